"""How much of a text has been said before, and where? Exact counts of shared word runs, no estimate.

`Runs` keeps the runs of many texts as one sorted array, so that a text is compared with all of them by a binary search.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hare_lab.dedup.words import WordHashes, distinct, shingles, words

COPIED = 6  # words in a row: the prompts allow five


class Runs:
    """The distinct runs of `size` words of each text, to look up which texts share them."""

    def __init__(self, texts: Sequence[str], size: int) -> None:
        self.size = size
        self._hashes = WordHashes()
        sets = distinct(texts, size, self._hashes) if len(texts) else []
        self.sizes = np.array([len(runs) for runs in sets], np.int64)
        flat = np.concatenate(sets) if sets else np.zeros(0, np.uint64)
        owner = np.repeat(np.arange(len(sets), dtype=np.int32), self.sizes)
        order = np.argsort(flat, kind="stable")
        self._flat, self._owner = flat[order], owner[order]

    def of(self, text: str) -> NDArray[np.uint64]:
        """The distinct runs of one text, sorted."""
        (found,) = distinct([text], self.size, self._hashes)
        return found

    def shared(self, runs: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """The texts that share a run, how many each shares, and which of `runs` occur in any text at all."""
        low, high = np.searchsorted(self._flat, runs, "left"), np.searchsorted(self._flat, runs, "right")
        owners = [self._owner[a:b] for a, b in zip(low, high, strict=True) if b > a]
        texts, counts = np.unique(np.concatenate(owners), return_counts=True) if owners else (np.zeros(0, np.int64),) * 2
        return texts.astype(np.int64), counts.astype(np.int64), high > low

    def most_alike(self, runs: NDArray[np.uint64]) -> tuple[int, float]:
        """The text with the highest Jaccard similarity to `runs`, and that similarity; (-1, 0) if none shares a run."""
        texts, counts, _ = self.shared(runs)
        if len(texts) == 0:
            return -1, 0.0
        jaccard = counts / (len(runs) + self.sizes[texts] - counts)
        best = int(jaccard.argmax())
        return int(texts[best]), float(jaccard[best])


def copied(text: str, source: str, size: int = COPIED) -> float:
    """The share of a text's words that stand in runs of at least `size` words which its source has too, 0 to 1."""
    count = len(words(text))
    if count < size:
        return 0.0
    hashes = WordHashes()
    (theirs,) = distinct([source], size, hashes)
    runs, _ = shingles([text], size, hashes)
    inside = np.zeros(count, bool)
    for at in np.flatnonzero(np.isin(runs, theirs)):
        inside[at : at + size] = True
    return float(inside.mean())
