"""Which pages are edited copies of others?

MinHash signatures (rensa) in bands find the pairs that may be alike; the exact Jaccard similarity of their word shingles
decides. So a false pair costs time, never a page, and what can be missed is stated: at most `MISS` of the pairs that stand exactly
at the threshold, fewer above it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from hare_lab.bars import bar
from hare_lab.dedup.keep import Claim, claim, priority
from hare_lab.dedup.report import Duplicates, checked, duplicates, share
from hare_lab.dedup.words import WordHashes, distinct, jaccard, shingles

if TYPE_CHECKING:
    from datasets import Dataset

SHINGLE = 5  # words
SIGNATURE = 128  # hashes a page
MISS = 0.005
BATCH = 2_000  # pages
THRESHOLD = 0.45


def near(pages: Dataset, *, threshold: float = THRESHOLD, seed: int = 0) -> Duplicates:
    """Pages that share most of their five-word runs with a longer page.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    threshold : float in (0, 1]
        The least Jaccard similarity of the two sets of 5-word shingles. The default finds a short post with a paragraph added
        or with other headers and footers; at 0.7 a quarter of such copies stay (docs/dedup.md).
    seed : int
        Of the MinHash functions.

    Returns
    -------
    Duplicates
        `similarity` is the exact Jaccard similarity to the page that stays.

    Raises
    ------
    InputError
        If there is no page, a page without text, or a threshold outside (0, 1].

    References
    ----------
    Broder (1997), "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of Massive
    Datasets", section 3.4 (bands).
    """
    start = time.perf_counter()
    share(threshold, "near")
    texts, ids = checked(pages, "near")
    signatures = minhash(texts, seed)
    buckets = Buckets(signatures, rows_a_band(threshold))
    mated = buckets.mated()
    sets = dict(zip(mated.tolist(), distinct([texts[row] for row in mated], SHINGLE, WordHashes()), strict=True))

    least = threshold - 3 * np.sqrt(threshold * (1 - threshold) / SIGNATURE)

    def copies_of(row: int, unclaimed: np.ndarray) -> Claim:
        rows = buckets.mates(row)
        rows = rows[unclaimed[rows]]
        rows = rows[(signatures[rows] == signatures[row]).mean(axis=1) >= least]  # three standard errors of the estimate
        similarity = jaccard(sets[row], [sets[mate] for mate in rows.tolist()]) if len(rows) else np.zeros(0)
        alike = similarity >= threshold
        return rows[alike], similarity[alike]

    keeper, similarity = claim(priority(texts, ids), copies_of)
    said = 'shares {percent} of the distinct 5-word runs with "{kept}"'
    return duplicates(pages, "near", threshold, keeper, similarity, said, time.perf_counter() - start)


def minhash(texts: list[str], seed: int) -> np.ndarray:
    """MinHash signatures of word shingles, uint32 of shape (n_texts, SIGNATURE). A text without words has the largest value throughout."""
    from rensa import RMinHash

    hashes = WordHashes()
    signatures = np.empty((len(texts), SIGNATURE), np.uint32)
    for low in bar(range(0, len(texts), BATCH), told="near copies", unit="batches"):
        flat, bounds = shingles(texts[low : low + BATCH], SHINGLE, hashes)
        digests = RMinHash.digest_matrix_from_flat_token_hashes(flat, bounds.astype(np.uint64), SIGNATURE, seed)
        signatures[low : low + BATCH] = digests.to_rows()
    return signatures


def rows_a_band(threshold: float) -> int:
    """The most hashes a band may have for a pair at the threshold to share a band with probability 1 - MISS.

    A pair of similarity s shares a band of r hashes with probability s^r, and none of b bands with (1 - s^r)^b.
    """
    fit = [r for r in range(1, SIGNATURE + 1) if (1 - threshold**r) ** (SIGNATURE // r) <= MISS]
    return max(fit, default=1)


class Buckets:
    """Which pages share a band of their signatures."""

    def __init__(self, signatures: np.ndarray, rows: int) -> None:
        worded = np.flatnonzero((signatures != np.iinfo(np.uint32).max).any(axis=1))
        members, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for low in range(0, SIGNATURE - rows + 1, rows):
            found, counts = _shared(np.ascontiguousarray(signatures[worded, low : low + rows]))
            members.append(worded[found])
            sizes.append(counts)
        self._members = np.concatenate(members)
        self._ends = np.cumsum(np.concatenate(sizes))
        self._starts = self._ends - np.concatenate(sizes)
        bucket = np.repeat(np.arange(len(self._ends)), self._ends - self._starts)
        by_page = np.argsort(self._members, kind="stable")
        self._bucket_of = bucket[by_page]
        self._first = np.searchsorted(self._members[by_page], np.arange(len(signatures) + 1))

    def mated(self) -> np.ndarray:
        """The rows that share a band with another page."""
        return np.unique(self._members)

    def mates(self, row: int) -> np.ndarray:
        """The rows that share a band with `row`, itself included."""
        mine = self._bucket_of[self._first[row] : self._first[row + 1]]
        if len(mine) == 0:
            return np.zeros(0, np.int64)
        return np.unique(np.concatenate([self._members[self._starts[b] : self._ends[b]] for b in mine]))


def _shared(band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `band` that are equal to another, bucket by bucket, and the size of each bucket."""
    keys = band.view(np.dtype((np.void, band.dtype.itemsize * band.shape[1]))).ravel()
    _, codes, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable")
    return order[counts[codes[order]] > 1], counts[counts > 1]
