"""Which pages say the same thing in other words?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from hare_lab.dedup.keep import Claim, claim, priority
from hare_lab.dedup.report import Duplicates, checked, duplicates, share
from hare_lab.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

THRESHOLD = 0.9
BLOCK = 2_048  # rows of one product


def semantic(pages: Dataset, vectors: np.ndarray, *, threshold: float = THRESHOLD) -> Duplicates:
    """Pages whose vectors point the same way.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    vectors : float array of shape (n_pages, dim), rows of length 1, in the order of the pages
    threshold : float in (0, 1]
        The least cosine of two copies.

    Returns
    -------
    Duplicates
        `similarity` is the cosine to the page that stays.

    Raises
    ------
    InputError
        If there is no page, a page without text, a threshold outside (0, 1], or vectors that don't fit the pages.
    """
    start = time.perf_counter()
    share(threshold, "semantic")
    texts, ids = checked(pages, "semantic")
    vectors = _fitting(vectors, len(texts))
    order = priority(texts, ids)
    keeper, similarity = np.empty(len(order), np.int64), np.empty(len(order))
    first, similarity[order] = _claimed(vectors[order], threshold)
    keeper[order] = order[first]
    said = 'says the same as "{kept}" (cosine {percent})'
    return duplicates(pages, "semantic", threshold, keeper, similarity, said, time.perf_counter() - start)


def _fitting(vectors: np.ndarray, n: int) -> np.ndarray:
    if np.ndim(vectors) != 2 or len(vectors) != n:
        raise InputError(
            f"dedup.semantic: the vectors have the shape {np.shape(vectors)} but there are {n:,} pages; embed these very pages"
        )
    array = np.asarray(vectors, np.float32)
    if not np.isfinite(array).all():
        raise InputError("dedup.semantic: the vectors hold values that are not numbers; embed the pages again")
    return array


def _claimed(vectors: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """For vectors in order of priority: the first kept one at or above the threshold (its own index where kept), and the cosine.

    Block by block, each against those kept so far and then within itself: no list of pairs is ever held.
    """
    n = len(vectors)
    keeper, similarity = np.arange(n), np.ones(n)
    kept = np.zeros(0, np.int64)
    for low in range(0, n, BLOCK):
        block = vectors[low : low + BLOCK]
        cosines = block @ vectors[kept].T
        claimed = (cosines >= threshold).any(axis=1)
        place = np.argmax(cosines[claimed] >= threshold, axis=1) if len(kept) else np.zeros(0, np.int64)
        rows = low + np.flatnonzero(claimed)
        keeper[rows], similarity[rows] = kept[place], cosines[claimed, place]
        open_rows = low + np.flatnonzero(~claimed)
        within = vectors[open_rows] @ vectors[open_rows].T

        def copies_of(row: int, unclaimed: np.ndarray, within: np.ndarray = within) -> Claim:
            mates = np.flatnonzero(unclaimed & (within[row] >= threshold))
            return mates, within[row, mates]

        first, alike = claim(np.arange(len(open_rows)), copies_of)
        keeper[open_rows], similarity[open_rows] = open_rows[first], alike
        kept = np.concatenate([kept, open_rows[np.unique(first)]])
    return keeper, np.minimum(similarity, 1.0)
