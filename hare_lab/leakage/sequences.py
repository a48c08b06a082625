"""Texts as sequences of word hashes, and where in a text a word stands.

Both paths that compare words (n-grams, edited copies) see pages and items as these arrays; `dedup.words` says what a word is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hare_lab.dedup.words import WordHashes, words
from hare_lab.leakage.items import Items

LONGEST = 2_000  # words of an item that are compared; the longest known benchmark item has about 1,000
ALONE = 13  # words: so long a question is found by itself, changed or not; a shorter one is looked for with its choices too
TOLD, PLAIN, LETTERED = range(3)  # how an item may stand in a page: with its answer, with its choices, with lettered choices
_STEP = np.uint64(0x9E3779B97F4A7C15)
# Words that a copy may change without a trace and that two texts share without a reason; each counts `FUNCTION` of a word.
FUNCTION = 0.3
_SMALL = (
    "a about after all also am an and any are as at be because been before being but by can could d did do does don during each for "
    "from get had has have having he her here him his how i if in into is it its just like ll m me more most my no not of on one or "
    "other our out over re s she so some such t than that the their them then there these they this those through to under up us ve "
    "was we were what when where which while who whom whose why will with would you your "
    "following question answer choices given many much"
)
FUNCTION_WORDS = frozenset(_SMALL.split(" "))


@dataclass(frozen=True)
class Sequences:
    """Texts as one array of word hashes after another: text i has `flat[bounds[i]:bounds[i + 1]]`."""

    flat: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> np.ndarray:
        lengths: np.ndarray = np.diff(self.bounds)
        return lengths

    def runs(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """A 64-bit hash of every run of `size` words inside a text, and the place in `flat` where the run starts."""
        total = len(self.flat) - size + 1
        if total <= 0:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        rolled = np.zeros(total, np.uint64)
        for offset in range(size):
            rolled = rolled * _STEP + self.flat[offset : offset + total]
        inside = np.ones(total, bool)
        ends = np.unique(self.bounds[1:])
        for offset in range(1, size):
            places = ends - offset
            inside[places[(places >= 0) & (places < total)]] = False  # a run that starts here ends in the next text
        starts = np.flatnonzero(inside)
        return rolled[starts], starts

    def owners(self) -> np.ndarray:
        """For every word, which text it belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)


def sequences(texts: Sequence[str], hashes: WordHashes, longest: int | None = None) -> Sequences:
    """The words of texts as hashes."""
    parts = [hashes.of(text)[:longest] for text in texts]
    bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)]).astype(np.int64)
    return Sequences(np.concatenate(parts) if parts else np.zeros(0, np.uint64), bounds)


def item_sequences(items: Items, hashes: WordHashes) -> tuple[Sequences, np.ndarray]:
    """Question and answer of each item as one sequence, and how many of its words are the question's."""
    told = sequences([items.told(row) for row in range(len(items))], hashes, LONGEST)
    questions = np.array([len(words(question)) for question in items.questions], np.int64)
    return told, np.minimum(questions, told.lengths)


@dataclass(frozen=True)
class Forms:
    """The ways in which items may stand in a page, one sequence each: all items with their answer, then those that need it with choices.

    Attributes
    ----------
    words : the words of each form
    questions : how many of them, from the first, are the question's
    items : the item that each is a form of
    kinds : `TOLD`, `PLAIN` or `LETTERED`
    """

    words: Sequences
    questions: np.ndarray
    items: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.words)

    def longest(self) -> np.ndarray:
        """Words of the longest form of each item."""
        most: np.ndarray = self.words.lengths[self.kinds == TOLD]
        np.maximum.at(most, self.items, self.words.lengths)
        return most


def item_forms(items: Items, hashes: WordHashes) -> Forms:
    """Every item with its answer and, where the question is too short to be found alone, with its choices in order, lettered and not.

    A dump says "question, A. ..., B. ..., answer: B": its answer stands apart, and question and answer are no run of words.
    """
    told, questions = item_sequences(items, hashes)
    more = [row for row in np.flatnonzero(questions < ALONE).tolist() if len(items.choices[row]) > 1]
    plain = sequences([items.offered(row) for row in more], hashes, LONGEST)
    lettered = sequences([items.lettered(row) for row in more], hashes, LONGEST)
    parts = (told, plain, lettered)
    lengths = np.concatenate([part.lengths for part in parts])
    return Forms(
        Sequences(np.concatenate([part.flat for part in parts]), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)),
        np.minimum(np.concatenate([questions, questions[more], questions[more]]), lengths),
        np.concatenate([np.arange(len(told)), more, more]).astype(np.int64),
        np.repeat(np.array([TOLD, PLAIN, LETTERED]), [len(part) for part in parts]),
    )


def weights(flat: np.ndarray, hashes: WordHashes) -> np.ndarray:
    """How much each word counts in an alignment: a function word `FUNCTION`, any other 1."""
    small = np.sort(np.array([hashes[word] for word in FUNCTION_WORDS], np.uint64))
    at = np.minimum(np.searchsorted(small, flat), len(small) - 1)
    counted: np.ndarray = np.where(small[at] == flat, FUNCTION, 1.0).astype(np.float32)
    return counted


def spans(text: str) -> list[tuple[int, int]]:
    """Where each word of `dedup.words.words(text)` stands in the text, as character spans; two words of one character (½) share it."""
    from hare_lab.dedup.words import _WORD

    if text.isascii():
        return [match.span() for match in _WORD.finditer(text.casefold())]
    cased: list[str] = []
    places: list[tuple[int, int]] = []
    for start, end in _pieces(text):
        piece = unicodedata.normalize("NFKC", text[start:end])
        each = [(at, at + 1) for at in range(start, end)] if piece == text[start:end] else [(start, end)] * len(piece)
        for place, character in zip(each, piece, strict=True):
            folded = character.casefold()
            cased.append(folded)
            places += [place] * len(folded)
    return [(places[a][0], places[b - 1][1]) for a, b in (match.span() for match in _WORD.finditer("".join(cased)))]


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Where a text may be cut so that its pieces, each folded (NFKC) by itself, are the whole, folded."""
    start = 0
    for at in range(1, len(text)):
        if text[at - 1 : at + 1].isascii() or not _joined(text, start, at):
            yield start, at
            start = at
    if text:
        yield start, len(text)


def _joined(text: str, start: int, at: int) -> bool:
    """Whether a character belongs to what stands before it from `start` on: an accent, a voicing mark, the rest of a syllable."""
    if unicodedata.combining(unicodedata.normalize("NFKD", text[at])[0]):
        return True
    one, other, both = (unicodedata.normalize("NFKC", part) for part in (text[start:at], text[at], text[start : at + 1]))
    return both != one + other
