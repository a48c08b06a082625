"""What does a batch of pages look like, letter by letter?

Rules and features count things: words, lines, sentences, repeated runs. Counting in Python costs a millisecond a page; so
a batch of pages is one array of code points, a table says of each what it is (space, letter, punctuation), and every count
is a difference of two running sums. Where two stretches are compared, their hashes are: that of any stretch comes from two
running sums as well (Karp & Rabin 1987).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

SPACE, LETTER, SIGN, STOP, BREAK, UPPER, DIGIT, CONTENT = 1, 2, 4, 8, 16, 32, 64, 128
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # where `str.splitlines` ends a line
_BATCH = 250_000  # characters worked on at once: the arrays of a batch stay within a few MB, near the processor
_STEP = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64


def batches(texts: Sequence[str]) -> Iterator[tuple[slice, list[str]]]:
    """The texts some at a time, about a million characters each, with their places."""
    waiting: list[str] = []
    start = length = 0
    for row, text in enumerate(texts):
        waiting.append(text)
        length += len(text) + 1
        if length >= _BATCH:
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
        self.kinds = _kinds(self.codes)

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
        sums: Ints = np.add.reduceat(flags, self.first, dtype=np.int64) - flags[self.last]
        return sums

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
        padded = np.append(places, -1)
        return np.where(empty, -1, padded[np.where(empty, -1, low)]), np.where(empty, -1, padded[np.where(empty, -1, high - 1)])

    def words_within(self, stretches: Stretches) -> tuple[Ints, Ints]:
        """The first word of each stretch, and the first after it."""
        starts = self.words.start
        return np.searchsorted(starts, stretches.start), np.searchsorted(starts, stretches.end)

    @cached_property
    def _seen(self) -> tuple[Ints, Ints]:
        return self.running(self.inked), np.flatnonzero(self.inked)

    def _runs(self, inside: Bools) -> Stretches:
        change = np.diff(inside.view(np.int8), prepend=np.int8(0), append=np.int8(0))
        edges = np.flatnonzero(change)
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
        return inside + stretches.length.astype(np.uint64) * np.uint64(_STEP)

    @cached_property
    def word_hashes(self) -> Hashes:
        """The hash of each word, the same in every page and batch."""
        hasher, starts = self.word_hasher
        return hasher.of(starts[:-1], starts[1:])


class Hasher:
    """64-bit hashes of any stretch of an array of code points, equal for equal stretches."""

    def __init__(self, codes: NDArray[np.uint32]) -> None:
        self._powers, self._inverse = _powers(1 << max(10, len(codes).bit_length()))
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(_values()[codes & 0xFFFF] * self._powers[: len(codes)], out=self._sums[1:])

    def of(self, start: Ints, end: Ints) -> Hashes:
        """The hash of each stretch from `start` up to `end`."""
        found: Hashes = (self._sums[end] - self._sums[start]) * self._inverse[start]
        return found


def hash_of(word: str) -> int:
    """The hash of one word, as `Batch.word_hashes` has it."""
    total = 0
    for place, letter in enumerate(word):
        total += int(_values()[ord(letter) & 0xFFFF]) * pow(_STEP, place, 1 << 64)
    return total % (1 << 64)


def among(hashes: Hashes, known: Hashes) -> Bools:
    """Which hashes are among known ones, in ascending order; a search, where `numpy.isin` would sort."""
    place = np.searchsorted(known, hashes)
    place[place == len(known)] = 0
    found: Bools = known[place] == hashes
    return found


def salts(count: int) -> Hashes:
    """A number for each page of a batch, to be added to hashes that must differ between pages."""
    return np.random.default_rng(1).integers(0, 2**64, count, dtype=np.uint64)


_DOT = ord(".")
_ABBREVIATIONS = (
    "Mr. Mrs. Ms. Dr. St. Jr. Sr. Prof. Rev. Gen. Col. Capt. Lt. Sgt. Gov. Sen. Rep. Hon. Inc. Corp. Co. Ltd. Bros. vs. e.g. i.e. cf. No. "
    "Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. a.m. p.m. Ph.D."
)  # after which a sentence goes on more often than not
_CLOSING = np.array([ord(sign) for sign in "\"'”’»)]"], np.uint32)


@cache
def _abbreviations() -> Hashes:
    return np.array(sorted(hash_of(word + comma) for word in _ABBREVIATIONS.split() for comma in ("", ",")), np.uint64)


@cache
def _values() -> Hashes:
    return np.random.default_rng(0).integers(0, 2**64, 1 << 16, dtype=np.uint64)


@cache
def _powers(length: int) -> tuple[Hashes, Hashes]:
    """Powers of the step and of its inverse, modulo 2^64."""
    powers = []
    for base in (_STEP, pow(_STEP, -1, 1 << 64)):
        steps = np.full(length, base, np.uint64)
        steps[0] = 1
        powers.append(np.cumprod(steps, dtype=np.uint64))
    return powers[0], powers[1]


def _kinds(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    table = _table()
    if codes.max(initial=0) < len(table):
        return table[codes]
    found = table[np.minimum(codes, len(table) - 1)]
    beyond = np.flatnonzero(codes >= len(table))
    if len(beyond):
        distinct, inverse = np.unique(codes[beyond], return_inverse=True)
        found[beyond] = np.array([_kind(chr(code)) for code in distinct.tolist()], np.uint8)[inverse]
    return found


@cache
def _table() -> NDArray[np.uint8]:
    """The kinds of the characters of the basic plane; the last one stands for all beyond, which are looked up one by one."""
    return np.array([_kind(chr(code)) for code in range(0x10000)], np.uint8)


def _kind(sign: str) -> int:
    """Letters are what `str.isalpha` says; a STOP ends a sentence by Unicode's property Sentence_Terminal."""
    category = unicodedata.category(sign)
    is_sign = category[0] in "PS" or category == "Cc"
    return (
        SPACE * sign.isspace()
        + LETTER * sign.isalpha()
        + SIGN * is_sign
        + STOP * (sign in _stops())
        + BREAK * (sign in _BREAKS)
        + UPPER * (category in ("Lu", "Lt"))
        + DIGIT * (category == "Nd")
        + CONTENT * (not is_sign and not sign.isspace())
    )


# Unicode 16, property Sentence_Terminal (PropList.txt): what ends a sentence in any script
_SENTENCE_TERMINAL = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D5 1803 1809 "
    "1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F 2024 203C-203D 2047-2049 2CF9-2CFB 2E2E "
    "2E3C 2E53-2E54 2E60-2E61 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE12 "
    "FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 "
    "111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 113D4-113D5 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 "
    "1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 "
    "16D6E-16D6F 16E98 1BC9F 1DA88 "
)


@cache
def _stops() -> frozenset[str]:
    ranges = [[int(code, 16) for code in part.split("-")] for part in _SENTENCE_TERMINAL.split()]
    return frozenset(chr(code) for low, *high in ranges for code in range(low, (high or [low])[0] + 1))
