"""How far is what a corpus has from what was wanted, and how sure is that?

The intervals come from drawing the pages again (the bootstrap): another crawl of the same source and size would be as far off.
Pages are drawn, tokens are counted, since a long page comes or goes as a whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from hare_lab.diversity import Estimate
from hare_lab.errors import InputError

DRAWS = 300
COUNTED = 100  # draws of which it is remembered how often each page came: a byte a page and draw
LEVEL = 0.95
BLOCK = 4_096
NEAREST = 25  # pages near a point that are remembered: that none of so many is drawn again does not happen


def divergence(have: ArrayLike, wanted: ArrayLike) -> NDArray[np.float64]:
    """Jensen-Shannon divergence in bits along the last axis: 0 where both have the same shares, 1 where they share nothing.

    Parameters
    ----------
    have, wanted : arrays of shape (..., n_topics)
        Non-negative weights; each row is taken as shares.

    Raises
    ------
    InputError
        If a weight is negative or not finite, or all are 0.

    References
    ----------
    Lin (1991), "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37(1), eq. 4.1.
    """
    p, q = (np.asarray(weights, dtype=float) for weights in (have, wanted))
    for weights in (p, q):
        if not np.isfinite(weights).all() or (weights < 0).any() or not (weights.sum(axis=-1) > 0).all():
            raise InputError("divergence: shares must be finite, zero or more, and not all zero")
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2

    def bits(part: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = np.divide(part, middle, out=np.ones(np.broadcast(part, middle).shape), where=(part > 0) & (middle > 0))
        return np.asarray((part * np.log2(ratio)).sum(axis=-1))

    return np.asarray(np.clip((bits(p) + bits(q)) / 2, 0, 1))


def redraw(
    topic: NDArray[np.int64], tokens: NDArray[np.float64], n_topics: int, seed: int
) -> tuple[NDArray[np.float64], list[NDArray[np.uint8]]]:
    """Draw as many pages again with replacement, DRAWS times.

    Parameters
    ----------
    topic : int array (n_pages,), 0 to n_topics - 1
    tokens : float array (n_pages,)

    Returns
    -------
    shares : float array (DRAWS, n_topics)
        Of the tokens, in each draw.
    counts : list of COUNTED uint8 arrays (n_pages,)
        How often each page was drawn, in the first draws.
    """
    generator = np.random.default_rng(seed)
    n = len(topic)
    shares = np.empty((DRAWS, n_topics))
    counts: list[NDArray[np.uint8]] = []
    for draw in shares:
        often = np.bincount(generator.integers(n, size=n), minlength=n)
        held = np.bincount(topic, weights=often * tokens, minlength=n_topics)
        draw[:] = held / max(held.sum(), 1e-300)
        if len(counts) < COUNTED:
            counts.append(often.astype(np.uint8))
    return shares, counts


def share_intervals(shares: NDArray[np.float64], pages: NDArray[np.int64], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each topic's share lies in 95 of 100 draws; a topic of no page may yet have three in n (the rule of three)."""
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, np.where(pages == 0, min(1.0, 3 / n), high)


def estimate(value: float, drawn: NDArray[np.float64], least: float = 0.0, most: float = np.inf) -> Estimate:
    """A measure with its bootstrap interval; where redrawing moves it to one side, the interval reaches as far to the other."""
    bias, error = float(drawn.mean()) - value, float(ndtri((1 + LEVEL) / 2) * drawn.std(ddof=1))
    return Estimate(value, max(least, value - error - max(0.0, bias)), min(most, value + error + max(0.0, -bias)))


def crowding(vectors: NDArray[np.float32], points: NDArray[np.float32], owner: NDArray[np.int64], radius: float) -> NDArray[np.int64]:
    """How many pages are near to a topic, be they placed there or not: within `radius` of a point of it.

    Parameters
    ----------
    vectors, points : float32 arrays of unit rows
    owner : int array (n_points,), the topic of each point, ascending from 0 without gaps

    Returns
    -------
    int array (n_topics + 1,); the last counts the pages that are near to no topic
    """
    starts = np.searchsorted(owner, np.arange(owner[-1] + 1))
    counts = np.zeros(len(starts) + 1, dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        near = np.logical_or.reduceat(vectors[start : start + BLOCK] @ points.T >= radius, starts, axis=1)
        counts += np.append(near.sum(axis=0), (~near.any(axis=1)).sum())
    return counts


def near_points(vectors: NDArray[np.float32], points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each point the pages that lie nearest to it, nearest first.

    Returns
    -------
    rows : int array (n_points, m) of page rows, m at most NEAREST
    similarities : float32 array (n_points, m)
    """
    m = min(NEAREST, len(vectors))
    rows = np.empty((len(points), m), dtype=np.int64)
    similarities = np.empty((len(points), m), dtype=np.float32)
    size = max(1, min(len(points), (1 << 24) // len(vectors)))
    for start in range(0, len(points), size):
        likeness = points[start : start + size] @ vectors.T
        chosen = np.argpartition(-likeness, m - 1, axis=1)[:, :m]
        order = np.argsort(-np.take_along_axis(likeness, chosen, axis=1), axis=1, kind="stable")
        rows[start : start + size] = np.take_along_axis(chosen, order, axis=1)
        similarities[start : start + size] = np.take_along_axis(likeness, rows[start : start + size], axis=1)
    return rows, similarities


def point_weights(owner: NDArray[np.int64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each point counts: its topic's share, divided among the topic's points."""
    weights = wanted[owner] / np.bincount(owner, minlength=len(wanted))[owner]
    return np.asarray(weights / weights.sum())
