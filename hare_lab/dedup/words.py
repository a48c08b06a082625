"""What two texts are compared by: their words, free of case, punctuation and spacing.

A word is a run of letters, their marks and digits after Unicode compatibility folding (NFKC) and case folding; in scripts
that put no spaces between words, a single character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from hare_lab.marks import MARK

_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"  # Thai, Lao, Burmese, Khmer, kana, Han
_WORD = re.compile(rf"[^\W{_SPACELESS}]+(?:(?:{MARK})+[^\W{_SPACELESS}]*)*|[{_SPACELESS}]")
_ASCII_WORD = re.compile(r"\w+")  # the same for ASCII, read faster
_MOST_WORDS = 1_000_000  # distinct words remembered at once; beyond it the memory starts afresh
_STEP = np.uint64(0x9E3779B97F4A7C15)


def words(text: str) -> list[str]:
    """The words of a text, folded."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class WordHashes(dict[str, int]):
    """64-bit hashes of words, each computed once. From the word alone, so that no result depends on the order of pages."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        value = self[word] = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        return value

    def of(self, text: str) -> np.ndarray:
        """The hashes of a text's words, in order."""
        return np.fromiter(map(self.__getitem__, words(text)), np.uint64)


def shingles(texts: Iterable[str], size: int, hashes: WordHashes) -> tuple[np.ndarray, np.ndarray]:
    """64-bit hashes of every run of `size` words.

    A text with fewer words is one shingle of all of them, so that it equals its own copies and nothing else.

    Returns
    -------
    flat : uint64 array
        The shingles of all texts, one after the other, repeats included.
    bounds : array of shape (n_texts + 1,)
        Text i has `flat[bounds[i]:bounds[i + 1]]`.
    """
    padded = [_padded(hashes.of(text), size) for text in texts]
    lengths = np.array([len(part) for part in padded], dtype=np.int64)
    flat = np.concatenate([*padded, np.zeros(size - 1, np.uint64)])
    rolled = np.zeros(int(lengths.sum()), np.uint64)
    for offset in range(size):
        rolled = rolled * _STEP + flat[offset : offset + len(rolled)]
    inside = np.ones(len(rolled), bool)
    ends = np.cumsum(lengths)[lengths > 0]
    for offset in range(1, size):
        inside[ends - offset] = False  # a run that starts here would end in the next text
    counts = np.where(lengths > 0, lengths - size + 1, 0)
    return _mixed(rolled[inside]), np.concatenate([[0], np.cumsum(counts)])


def distinct(texts: Sequence[str], size: int, hashes: WordHashes) -> list[np.ndarray]:
    """The distinct shingles of each text, sorted."""
    flat, bounds = shingles(texts, size, hashes)
    return [np.unique(flat[low:high]) for low, high in pairwise(bounds)]


def jaccard(one: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """The exact Jaccard similarity of one sorted set with each of several non-empty ones: shared over all distinct."""
    if not others:
        return np.zeros(0)
    sizes = np.array([len(other) for other in others])
    flat = np.concatenate(others)
    places = np.minimum(np.searchsorted(one, flat), len(one) - 1)
    shared = np.add.reduceat((one[places] == flat).astype(np.int64), np.concatenate([[0], np.cumsum(sizes)[:-1]]))
    similarity: np.ndarray = shared / (len(one) + sizes - shared)
    return similarity


def _padded(hashed: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(hashed)
    return np.pad(hashed, (0, missing)) if 0 < missing < size else hashed


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: spreads every bit, for MinHash takes the smallest values."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed
