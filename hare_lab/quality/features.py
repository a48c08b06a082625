"""What can be seen of a page's quality without understanding a word of it?

Six aspects that readers agree on, each the mean of a few plain counts: is there enough of it, is it prose, does it read like
sentences, is it clean, does it want to sell, does it repeat itself. Each count points the way that experience says (more
prose is better, more shouting is worse), so that a page can be told why it scored as it did. The word lists below are
ours, written from common knowledge of English and of web pages; none was fitted on any set. Formulas: docs/quality.md.
"""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from hare_lab.quality.chars import Batch
from hare_lab.quality.hashes import Hasher, Hashes, hash_of, salts, shared
from hare_lab.quality.kinds import BREAK, DIGIT, LETTER, SPACE, UPPER
from hare_lab.quality.repetition import repeated_lines, repeated_ngrams

Floats = NDArray[np.float64]

# aspect -> its counts, each with the direction in which it is better
ASPECTS: dict[str, dict[str, int]] = {
    "length": {"words": 1},
    "prose": {"line_ends": 1, "words_in_prose": 1, "line_length": 1},
    "grammar": {"function_words": 1, "sentence_length": 1, "connectives": 1},
    "cleanness": {"signs": -1, "digits": -1, "capitals": -1, "shouting": -1},
    "restraint": {"sales_words": -1, "page_furniture": -1},
    "freshness": {"repeated_runs": -1, "repeated_lines": -1, "top_term": -1, "variety": 1},
}  # fmt: skip
COUNTS = {
    "words": "words", "line_ends": "lines that end like a sentence", "words_in_prose": "words in lines that end like a sentence",
    "line_length": "words in a line", "function_words": "words such as the, of, that", "sentence_length": "sentences of usual length",
    "connectives": "words that join thoughts (because, although, which)", "signs": "odd signs", "digits": "digits",
    "capitals": "capitals within sentences", "shouting": "exclamation marks and words in capitals",
    "sales_words": "words that sell (buy, free, best, deal)", "page_furniture": "words of menus and forms (login, click, comment)",
    "repeated_runs": "runs of five words said before", "repeated_lines": "lines said before", "top_term": "one term again and again",
    "variety": "different terms among the first two hundred",
}  # fmt: skip
_USUAL = 0.45  # share of function words in ordinary prose, beyond which more of them says nothing
_REPEATED, _TOP, _VARIED = 0.05, 0.03, 0.91  # as much repetition, and as little variety, as good long pages have
_ENOUGH = 2_000  # words, beyond which a page is not better for being longer

FUNCTION_WORDS = (
    "the of and to a in that is was he for it with as his on be at by i this had not are but from or have an they which one you were all "
    "her she there would their we him been has when who will no more if out so up said what its about than into them can only other "
    "time new some could these two may first then do any like my now over such our man me even most made after also did many off before "
    "must well back through years much where your way down should because long each just those people too how little good very make "
    "still see own work men day get here between both being under three never know same last while us might great go come since against "
    "right came take used himself few use during without again place around however home small found thought went say part once high "
    "upon every does don't didn't isn't it's i'm that's can't won't doesn't i've you're they're we're wasn't"
)  # the commonest words of English
CONNECTIVES = (
    "because although though however therefore while whereas since unless until which who whose whom whether if when where why how that "
    "but so then thus hence yet despite instead rather moreover nevertheless after before once as than"
)
SALES_WORDS = (
    "buy buying sale sales sell shop shopping price prices priced pricing cheap cheapest discount discounts deal deals offer offers free "
    "shipping order orders ordering cart checkout coupon coupons save savings guarantee guaranteed warranty bonus casino poker betting "
    "bet slots viagra cialis pills pharmacy loan loans payday mortgage insurance quote quotes affordable luxury best top rated reviews "
    "review seo marketing leads customers customer clients client professional professionals services service solutions solution brand "
    "brands product products wholesale supplier suppliers manufacturer dealer dealers rent rental booking bookings hotel hotels escort "
    "escorts porn sexy xxx dating singles download downloads install torrent crack keygen serial hire essay essays exclusive premium "
    "instant trial subscribe amazing perfect ultimate awesome today now contact call"
)
PAGE_FURNITURE = (
    "login logout log sign signup register registered registration password username account profile member members join joined posts "
    "posted post reply replies comment comments share shared tweet facebook twitter instagram pinterest google email mail newsletter "
    "subscribe subscription rss feed click here read more menu home page pages next previous prev back top search sitemap site website "
    "cookie cookies privacy policy terms conditions copyright reserved rights disclaimer javascript browser enable loading views viewed "
    "tags tagged category categories archive archives filed permalink link links admin forum thread topic edit quote report print skip "
    "content navigation toggle javascript browser"
)
_LISTS = FUNCTION_WORDS, CONNECTIVES, SALES_WORDS, PAGE_FURNITURE
_LINE = 80  # words, beyond which a line is not better for being longer


class Terms:
    """The words of a batch as readers say them: runs of letters (an apostrophe within), in lower case, by their hashes."""

    def __init__(self, batch: Batch) -> None:
        letters = batch.is_kind(LETTER)
        inside = letters.copy()
        apostrophe = (batch.codes == 0x27) | (batch.codes == 0x2019)
        inside[1:-1] |= apostrophe[1:-1] & letters[:-2] & letters[2:]
        stretches = batch._runs(inside)
        self.start, self.end, self.page = stretches.start, stretches.end, stretches.page
        lowered = np.where((batch.codes >= 65) & (batch.codes <= 90), batch.codes | 32, batch.codes)
        lowered[lowered == 0x2019] = 0x27
        self.hasher = Hasher(lowered)
        self.hashes: Hashes = self.hasher.of(self.start, self.end)
        self.capital = (batch.kinds[self.start] & UPPER) != 0
        self.count = batch.totals(self.page)

    def among(self, words: str) -> NDArray[np.bool_]:
        """Which terms stand on one of the lists of words above."""
        found: NDArray[np.bool_] = (self._lists & (1 << _LISTS.index(words))) != 0
        return found

    @cached_property
    def _lists(self) -> NDArray[np.uint8]:
        """The lists that each term stands on, a bit for each: one search for all of them."""
        known, lists = _dictionary()
        place = np.searchsorted(known, self.hashes)
        place[place == len(known)] = 0
        return np.where(known[place] == self.hashes, lists[place], np.uint8(0))


def counts(batch: Batch, terms: Terms) -> dict[str, Floats]:
    """Every count of every page of a batch, higher where there is more of it; roots and logarithms tame the long tails."""
    words = np.maximum(batch.totals(batch.words.page), 1)
    said = np.maximum(terms.count, 1)
    inked = np.maximum(batch.totals(batch.words.page, batch.words.length), 1)

    def rate(flags: NDArray[np.bool_]) -> Floats:
        return np.asarray(batch.totals(terms.page[flags]) / said)

    function, digits = terms.among(FUNCTION_WORDS), batch.is_kind(DIGIT)
    odd = ~batch.is_kind(SPACE | LETTER | DIGIT | BREAK)
    odd[odd] = ~np.isin(batch.codes[odd], _PLAIN_SIGNS)
    upper = batch.running(batch.is_kind(UPPER))
    shouted = (upper[terms.end] - upper[terms.start] == terms.end - terms.start) & (terms.end - terms.start > 3)
    shouts = batch.per_page(batch.codes == ord("!")) + batch.totals(terms.page[shouted])
    return {
        "words": np.log(np.minimum(words, _ENOUGH)),
        **_lines(batch),
        **_sentences(batch, terms),
        "function_words": np.minimum(rate(function), _USUAL),
        "connectives": np.sqrt(rate(terms.among(CONNECTIVES))),
        "signs": np.sqrt(batch.per_page(odd) / inked),
        "digits": np.sqrt(batch.per_page(digits) / inked),
        "shouting": np.sqrt(shouts / words),
        "sales_words": np.sqrt(rate(terms.among(SALES_WORDS))),
        "page_furniture": np.sqrt(rate(terms.among(PAGE_FURNITURE))),
        "repeated_runs": np.sqrt(_beyond(repeated_ngrams(batch, 5)["gopher_repeated_5_grams"], _REPEATED)),
        "repeated_lines": np.sqrt(repeated_lines(batch)["gopher_repeated_line_chars"]),
        "top_term": np.sqrt(_beyond(_top_term(batch, terms, ~function), _TOP)),
        "variety": np.minimum(_variety(batch, terms), _VARIED),
    }


def _beyond(share: Floats, usual: float) -> Floats:
    """What a share has above the usual: less than the usual is no better."""
    return np.asarray(np.maximum(share - usual, 0))


def _lines(batch: Batch) -> dict[str, Floats]:
    """How much of a page stands in lines that end like a sentence, and how long its lines are."""
    lines = batch.lines
    low, high = batch.words_within(lines)
    many = high - low
    finished = batch.ends_sentence[np.maximum(high - 1, 0)] & (many > 0) if len(batch.words) else many > 0
    rows = np.maximum(batch.totals(lines.page, many > 0), 1)
    total = np.maximum(batch.totals(lines.page, many), 1)
    return {
        "line_ends": batch.totals(lines.page, finished) / rows,
        "words_in_prose": batch.totals(lines.page, np.where(finished, many, 0)) / total,
        "line_length": np.log1p(batch.totals(lines.page, np.minimum(many, _LINE) * many) / total),
    }


def _sentences(batch: Batch, terms: Terms) -> dict[str, Floats]:
    """The share of words in sentences of 5 to 45 words, and of capitals that no sentence begins with.

    A sentence ends where `Batch.ends_sentence` says, and at the end of each line.
    """
    words, lines = batch.words, batch.lines
    _, high = batch.words_within(lines)
    ends = batch.ends_sentence.copy()
    real_ends = ends.copy()
    ends[high[high > 0] - 1] = True
    last = np.flatnonzero(ends)
    first = np.concatenate([[0], last[:-1] + 1]).astype(np.int64) if len(last) else last
    length, page = last - first + 1, words.page[last]
    usual = (length >= 5) & (length <= 45) & real_ends[last]
    begins = np.zeros(len(words) + 1, bool)
    begins[1:] = real_ends  # a line alone begins no sentence: menus are lists of lines with capitals
    begins[batch.word_bounds[:-1]] = True
    total = np.maximum(batch.totals(words.page), 1)
    capital = (batch.kinds[words.start] & UPPER) != 0
    inner = capital & ~begins[:-1] & (words.length > 1)
    return {
        "sentence_length": batch.totals(page, np.where(usual, length, 0)) / total,
        "capitals": np.sqrt(batch.totals(words.page[inner]) / total),
    }


def _top_term(batch: Batch, terms: Terms, content: NDArray[np.bool_]) -> Floats:
    """The share of a page's terms that its most frequent one, function words aside, takes beyond the first three times."""
    keys = terms.hashes[content] + salts(batch.count)[terms.page[content]]
    rows = shared(keys, 4)
    _, first, times = np.unique(keys[rows], return_index=True, return_counts=True)
    page = terms.page[content][rows[first]]
    most = np.zeros(batch.count)
    np.maximum.at(most, page, times.astype(float))
    return np.asarray(np.maximum(most - 3, 0) / np.maximum(terms.count, 1))


def _variety(batch: Batch, terms: Terms) -> Floats:
    """Herdan's C, log of different terms over log of all, among the first 200 of each page: from 0 to 1, at any length."""
    place = np.arange(len(terms.page)) - np.searchsorted(terms.page, np.arange(batch.count))[terms.page]
    early = place < 200
    keys = terms.hashes[early] + salts(batch.count)[terms.page[early]]
    _, first = np.unique(keys, return_index=True)
    different = batch.totals(terms.page[early][first])
    return np.asarray(np.log1p(different) / np.log1p(np.maximum(np.minimum(terms.count, 200), 1)))


_PLAIN_SIGNS = np.array([ord(sign) for sign in ".,;:?!'\"-–—()’‘“”…"], np.uint32)


@cache
def _dictionary() -> tuple[Hashes, NDArray[np.uint8]]:
    """The hashes of all words of the lists, in order, and which lists each stands on."""
    lists: dict[int, int] = {}
    for bit, words in enumerate(_LISTS):
        for word in words.split():
            lists[hash_of(word)] = lists.get(hash_of(word), 0) | 1 << bit
    known = sorted(lists)
    return np.array(known, np.uint64), np.array([lists[word] for word in known], np.uint8)
