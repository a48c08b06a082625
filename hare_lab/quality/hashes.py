"""Which stretches of text are the same? Hashes of any stretch, from two running sums (Karp & Rabin 1987)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Bools = NDArray[np.bool_]

Hashes = NDArray[np.uint64]

_BITS = 18  # that tell most hashes of a batch apart
STEP = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64


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
        total += int(_values()[ord(letter) & 0xFFFF]) * pow(STEP, place, 1 << 64)
    return total % (1 << 64)


def among(hashes: Hashes, known: Hashes) -> Bools:
    """Which hashes are among known ones, in ascending order; a search, where `numpy.isin` would sort."""
    place = np.searchsorted(known, hashes)
    place[place == len(known)] = 0
    found: Bools = known[place] == hashes
    return found


def shared(hashes: Hashes, times: int = 2) -> Ints:
    """The rows whose hash may occur so many times; few others are among them.

    Most hashes of a text occur once, and a count of their first bits tells so in a fraction of the time that sorting them takes.
    """
    first = (hashes >> np.uint64(64 - _BITS)).astype(np.int64)
    return np.flatnonzero(np.bincount(first, minlength=1 << _BITS)[first] >= times)


def salts(count: int) -> Hashes:
    """A number for each page of a batch, to be added to hashes that must differ between pages."""
    return np.random.default_rng(1).integers(0, 2**64, count, dtype=np.uint64)


@cache
def _values() -> Hashes:
    return np.random.default_rng(0).integers(0, 2**64, 1 << 16, dtype=np.uint64)


@cache
def _powers(length: int) -> tuple[Hashes, Hashes]:
    """Powers of the step and of its inverse, modulo 2^64."""
    powers = []
    for base in (STEP, pow(STEP, -1, 1 << 64)):
        steps = np.full(length, base, np.uint64)
        steps[0] = 1
        powers.append(np.cumprod(steps, dtype=np.uint64))
    return powers[0], powers[1]
