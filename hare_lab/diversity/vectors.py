"""How far apart are pages, by their vectors?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.diversity.estimate import Estimate
from hare_lab.errors import InputError

Vectors = NDArray[np.floating[Any]]
_BLOCK = 4_096


def vendi_score(vectors: Vectors) -> Estimate:
    """How many wholly different pages would be as diverse as these.

    The exponential of the entropy of the eigenvalues of K/n, with K the cosine similarities of all pages. K has as many
    rows as pages, but shares its eigenvalues with the covariance of the vectors, which has only as many as they have
    dimensions: exact in O(n d²), with no page by page matrix.

    Returns
    -------
    Estimate between 1 (all the same) and the smaller of n_pages and dim (all orthogonal).

    Raises
    ------
    InputError
        If there is no vector, one is zero, or one holds NaN or infinity.

    References
    ----------
    Friedman & Dieng (2023), "The Vendi Score: a diversity evaluation metric for machine learning", TMLR.
    """
    rows, dim = _shape(vectors)
    if rows < dim:
        unit = np.concatenate(list(_blocks(vectors)))
        gram = unit @ unit.T
    else:
        gram = np.zeros((dim, dim))
        for block in _blocks(vectors):
            gram += block.T @ block
    values = np.linalg.eigvalsh(gram / rows)
    values = values[values > 1e-14]  # rounding leaves some just below or above zero
    return Estimate.exact(float(np.exp(-(values * np.log(values)).sum())))


def pairwise_distance(vectors: Vectors) -> Estimate:
    """Mean cosine distance of two different pages, over all pairs.

    The similarities of all pairs sum to the squared length of the sum of all vectors: exact in O(n d).

    Raises
    ------
    InputError
        As `vendi_score`, and for fewer than two pages.
    """
    count = _pairs(vectors)
    total = np.sum([block.sum(axis=0) for block in _blocks(vectors)], axis=0)
    return Estimate.exact(float(1 - (total @ total - count) / (count * (count - 1))))


def neighbour_distance(vectors: Vectors, *, sample: int | None = None, seed: int = 0) -> Estimate:
    """Mean cosine distance of a page to the nearest other one: small where a corpus says everything twice.

    Parameters
    ----------
    sample : int or None
        From how many pages, drawn at random, to look; the search itself is always among all. None looks from each: exact,
        and quadratic. The interval of a sample is Student's, with the finite-population correction.

    Raises
    ------
    InputError
        As `vendi_score`, and for fewer than two pages.
    """
    count = _pairs(vectors)
    chosen = np.arange(count)
    if sample is not None and sample < count:
        chosen = np.sort(np.random.default_rng(seed).choice(count, max(2, sample), replace=False))
    return Estimate.mean(_nearest(vectors, chosen), of=count)


def _nearest(vectors: Vectors, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosine distance of each chosen page to the nearest other one; blockwise, so that memory stays at some 100 MB."""
    found = np.empty(len(chosen))
    for start in range(0, len(chosen), _BLOCK):
        rows = chosen[start : start + _BLOCK]
        queries = np.asarray(vectors[rows], dtype=np.float32)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        best = np.full(len(rows), -1.0, dtype=np.float32)
        for offset, block in zip(range(0, len(vectors), _BLOCK), _blocks(vectors), strict=True):
            likeness = queries @ block.astype(np.float32).T
            own = np.flatnonzero((rows >= offset) & (rows < offset + len(block)))
            likeness[own, rows[own] - offset] = -1.0
            np.maximum(best, likeness.max(axis=1), out=best)
        found[start : start + _BLOCK] = 1 - np.minimum(best, 1)
    return found


def _blocks(vectors: Vectors) -> Iterator[NDArray[np.float64]]:
    """The vectors a few thousand rows at a time, at length 1."""
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], dtype=np.float64)
        lengths = np.linalg.norm(block, axis=1)
        bad = ~np.isfinite(lengths) | (lengths == 0)
        if bad.any():
            raise InputError(f"diversity: vector {start + int(bad.argmax())} is zero or holds NaN or infinity; embed that page again")
        yield block / lengths[:, None]


def _shape(vectors: Vectors) -> tuple[int, int]:
    if vectors.ndim != 2 or not vectors.size:
        raise InputError(f"diversity: vectors must have the shape (pages, dimensions) with at least one page, not {vectors.shape}")
    return vectors.shape[0], vectors.shape[1]


def _pairs(vectors: Vectors) -> int:
    """How many pages, of which a distance needs two."""
    rows, _ = _shape(vectors)
    if rows < 2:
        raise InputError("diversity: a distance needs at least two pages; there is only one")
    return rows
