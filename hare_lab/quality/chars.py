"""What does a batch of pages look like, letter by letter?

Rules and features count things: words, lines, sentences, repeated runs. Counting in Python costs a millisecond a page; so
a batch of pages is one array of code points, a table says of each what it is (space, letter, punctuation), and every count
is a difference of two running sums. Where two stretches are compared, their hashes are: that of any stretch comes from two
running sums as well (Karp & Rabin 1987).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from hare_lab.quality.hashes import STEP, Bools, Hasher, Hashes, Ints, among, hash_of
from hare_lab.quality.kinds import BREAK, CONTENT, LETTER, SPACE, STOP, UPPER, kinds_of

_BATCH, _PAGES = 250_000, 256  # characters and pages worked on at once: the arrays of a batch stay within a few MB, near the processor


def batches(texts: Sequence[str]) -> Iterator[tuple[slice, list[str]]]:
    """The texts some at a time, with their places: about a quarter of a million characters, and no more than 256 texts."""
    waiting: list[str] = []
    start = length = 0
    for row, text in enumerate(texts):
        waiting.append(text)
        length += len(text) + 1
        if length >= _BATCH or len(waiting) == _PAGES:
            yield slice(start, row + 1), waiting
            waiting, start, length = [], row + 1, 0
    if waiting:
        yield slice(start, start + len(waiting)), waiting


@dataclass(frozen=True)
class Stretches:
    """Stretches of a batch, in order: from `start` up to `end` (not included), each within the page `page`."""

    start: Ints
    end: Ints
    page: Ints

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> Ints:
        """Characters of each."""
        return self.end - self.start

    def where(self, chosen: Bools) -> Stretches:
        """Those that are chosen."""
        return Stretches(self.start[chosen], self.end[chosen], self.page[chosen])


class Batch:
    """Some pages as one array of code points, a line break after each.

    Attributes
    ----------
    codes : uint32 array
    kinds : uint8 array
        What each is: a sum of SPACE, LETTER, SIGN, STOP, BREAK, UPPER, DIGIT and CONTENT (no space and no sign).
    first, last : arrays of shape (n_pages,)
        Where each page begins, and where the line break after it stands.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.count = len(texts)
        joined = "\n".join([*texts, ""])
        self.codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        self.last = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))) - 1
        self.first = np.concatenate([[0], self.last[:-1] + 1]).astype(np.int64)
        self.kinds = kinds_of(self.codes)

    def is_kind(self, kind: int) -> Bools:
        """Which characters are of that kind."""
        found: Bools = (self.kinds & kind) != 0
        return found

    def running(self, flags: Bools) -> Ints:
        """How many flags are set before each place: one longer than `flags`, so that stretches are differences."""
        sums = np.zeros(len(flags) + 1, np.int64)
        np.cumsum(flags, out=sums[1:])
        return sums

    def per_page(self, flags: Bools) -> Ints:
        """How many flags are set in each page."""
        places = np.flatnonzero(flags)
        return np.searchsorted(places, self.last) - np.searchsorted(places, self.first)

    def page_of(self, places: Ints) -> Ints:
        """The page that each place lies in."""
        return np.searchsorted(self.last, places)

    def totals(self, page: Ints, values: NDArray[np.generic] | None = None) -> NDArray[np.float64]:
        """The sum of values, or the number of rows, for each page."""
        return np.bincount(page, values, minlength=self.count).astype(float)

    @cached_property
    def length(self) -> Ints:
        """Characters of each page."""
        return self.last - self.first

    @cached_property
    def inked(self) -> Bools:
        """Which characters are no spaces."""
        return ~self.is_kind(SPACE)

    # --- words -------------------------------------------------------------------------------------------------------

    @cached_property
    def words(self) -> Stretches:
        """What stands between spaces, as `str.split` gives it."""
        return self._runs(self.inked)

    @cached_property
    def word_kinds(self) -> NDArray[np.uint8]:
        """What each word has somewhere in it."""
        if not len(self.words):
            return np.zeros(0, np.uint8)
        found: NDArray[np.uint8] = np.bitwise_or.reduceat(self.kinds, self.words.start)  # up to the next word: spaces change no letter
        return found

    @cached_property
    def has_content(self) -> Bools:
        """Which words are more than punctuation and signs."""
        found: Bools = (self.word_kinds & CONTENT) != 0
        return found

    @cached_property
    def word_bounds(self) -> Ints:
        """Page i has the words `word_bounds[i]` up to `word_bounds[i + 1]`."""
        return np.concatenate([np.searchsorted(self.words.start, self.first), [len(self.words)]]).astype(np.int64)

    # --- lines -------------------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> Stretches:
        r"""What stands between "\n", empty rows too, as `str.split("\n")` gives it."""
        ends = np.flatnonzero(self.codes == 10)
        return Stretches(np.concatenate([[0], ends[:-1] + 1]).astype(np.int64), ends, self.page_of(ends))

    @cached_property
    def lines(self) -> Stretches:
        """Lines as `str.splitlines` gives them."""
        breaks = self.is_kind(BREAK)
        breaks[:-1] &= ~((self.codes[:-1] == 13) & (self.codes[1:] == 10))
        ends = np.flatnonzero(breaks)
        page = self.page_of(ends)
        found = Stretches(np.concatenate([[0], ends[:-1] + 1]).astype(np.int64), ends, page)
        after_a_break = (found.start == self.last[page]) & (self.length[page] > 0)  # nothing follows the last break: no line
        return found.where(~after_a_break)

    @cached_property
    def paragraphs(self) -> Stretches:
        """What stands between two or more line breaks, once the spaces around the page are gone."""
        new = self.codes == 10
        outside = new.copy()
        outside[1:-1] &= new[:-2] | new[2:]
        outside[self.last] = True
        seen, places = self._seen
        for page in np.flatnonzero(seen[self.last] > seen[self.first]):
            outside[self.first[page] : places[seen[self.first[page]]]] = True
            outside[places[seen[self.last[page]] - 1] + 1 : self.last[page]] = True
        return self._runs(~outside)

    def edges(self, stretches: Stretches) -> tuple[Ints, Ints]:
        """The first and the last character of each that is no space; both -1 where there is none."""
        seen, places = self._seen
        low, high = seen[stretches.start], seen[stretches.end]
        empty = low == high
        return places[np.where(empty, -1, low)], places[np.where(empty, -1, high - 1)]

    def words_within(self, stretches: Stretches) -> tuple[Ints, Ints]:
        """The first word of each stretch, and the first after it."""
        starts = self.words.start
        return np.searchsorted(starts, stretches.start), np.searchsorted(starts, stretches.end)

    @cached_property
    def _seen(self) -> tuple[Ints, Ints]:
        """How many characters before each place are no spaces, and where those stand; -1 comes last."""
        return self.running(self.inked), np.append(np.flatnonzero(self.inked), -1)

    def _runs(self, inside: Bools) -> Stretches:
        edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
        start = edges[::2]
        bounds = np.append(np.searchsorted(start, self.first), len(start))
        return Stretches(start, edges[1::2], np.repeat(np.arange(self.count), np.diff(bounds)))

    # --- sentences ---------------------------------------------------------------------------------------------------

    @cached_property
    def ends_sentence(self) -> Bools:
        """Which words end a sentence: by a full stop and its like, quotes and brackets after it aside.

        A full stop after an initial or an abbreviation ends none, nor does an ellipsis.
        """
        ends = self.words.end.copy()
        for _ in range(2):
            ends -= np.isin(self.codes[ends - 1], _CLOSING) & (ends - 1 > self.words.start)
        found: Bools = (self.kinds[ends - 1] & STOP) != 0
        rows = np.flatnonzero(found)  # one word in ten: only these are looked at closely
        start, end = self.words.start[rows], ends[rows]
        before, further = np.maximum(end - 2, 0), np.maximum(end - 3, 0)
        ellipsis = (self.codes[end - 1] == _DOT) & (self.codes[before] == _DOT)
        starts_there = (end - start == 2) | (self.codes[further] == _DOT) | (self.codes[further] == ord("("))
        initial = ((self.kinds[before] & UPPER) != 0) & starts_there
        found[rows] = ~ellipsis & ~initial & ~among(self.word_hashes[rows], _abbreviations())
        return found

    @cached_property
    def sentence_ends(self) -> Ints:
        """Where sentences end: the last characters of the words that do, and stops between two words that are run together."""
        stops = np.flatnonzero(self.is_kind(STOP))
        stops = stops[(stops > 0) & (stops < len(self.codes) - 3)]
        after = stops + 1 + np.isin(self.codes[stops + 1], _CLOSING)
        runs_on = ((self.kinds[stops - 1] & UPPER) == 0) & (self.codes[stops - 1] != _DOT) & ((self.kinds[after] & UPPER) != 0)
        runs_on &= (self.kinds[after + 1] & (LETTER | UPPER)) == LETTER
        return np.sort(np.concatenate([self.words.end[self.ends_sentence] - 1, stops[runs_on]]))

    # --- phrases and hashes ------------------------------------------------------------------------------------------

    @cached_property
    def _ascii(self) -> bytes:
        """The batch in lower case, one byte a character, 0 for what is not ASCII: places stay the same."""
        return np.where(self.codes < 128, self.codes, 0).astype(np.uint8).tobytes().lower()

    def find(self, phrase: str) -> Ints:
        """Where a phrase in lower-case ASCII stands, whatever the case there."""
        sought, places = phrase.encode(), []
        place = self._ascii.find(sought)
        while place >= 0:
            places.append(place)
            place = self._ascii.find(sought, place + 1)
        return np.array(places, np.int64)

    @cached_property
    def word_hasher(self) -> tuple[Hasher, Ints]:
        """Hashes over the words without the spaces between them, and where each word begins there; the end of the last comes last."""
        starts = np.zeros(len(self.words) + 1, np.int64)
        np.cumsum(self.words.length, out=starts[1:])
        return Hasher(self.codes[self.inked]), starts

    def hashes_of(self, stretches: Stretches) -> Hashes:
        """Hashes of any stretches: of what is no space in them, and of their length; where spaces stand between words does not tell."""
        seen = self._seen[0]
        inside = self.word_hasher[0].of(seen[stretches.start], seen[stretches.end])
        return inside + stretches.length.astype(np.uint64) * np.uint64(STEP)

    @cached_property
    def word_hashes(self) -> Hashes:
        """The hash of each word, the same in every page and batch."""
        hasher, starts = self.word_hasher
        return hasher.of(starts[:-1], starts[1:])


_DOT = ord(".")
_ABBREVIATIONS = (
    "Mr. Mrs. Ms. Dr. St. Jr. Sr. Prof. Rev. Gen. Col. Capt. Lt. Sgt. Gov. Sen. Rep. Hon. Inc. Corp. Co. Ltd. Bros. vs. e.g. i.e. cf. No. "
    "Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. a.m. p.m. Ph.D."
)  # after which a sentence goes on more often than not
_CLOSING = np.array([ord(sign) for sign in "\"'”’»)]"], np.uint32)


@cache
def _abbreviations() -> Hashes:
    return np.array(sorted(hash_of(word + comma) for word in _ABBREVIATIONS.split() for comma in ("", ",")), np.uint64)
