"""Which cluster does a page belong to, how strongly, and is that strong enough to say so?

Strength is read from the neighbours in the vectors as they came, not from the sharpened space, which was shaped by the
clusters themselves. New pages, and those beyond the sample, belong where their neighbours belong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hare_lab.bars import bar
from hare_lab.clustering import neighbours

LEAST_STRENGTH = 0.5  # most of the neighbourhood
REMOTE = 1.5  # times as far from its neighbours as they are from theirs: from there on a page loses strength
VOTERS = 15  # neighbours that assign a new page
BLOCK = 10_000  # pages assigned at a time


@dataclass(frozen=True)
class Found:
    """What a fit or a vote finds, before it is told apart into clustered and not."""

    nearest: np.ndarray
    strength: np.ndarray
    layout: np.ndarray
    least: float
    resolution: float | None = None
    stability: float | None = None


def company(distance: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """1 for a page among its like, below 1 for a remote one, which is near nothing though all its neighbours may agree.

    Parameters
    ----------
    distance : mean distance (1 - cosine) of each page to its neighbours
    theirs : the mean of that over its neighbours

    References
    ----------
    Breunig, Kriegel, Ng & Sander (2000), "LOF: identifying density-based local outliers", SIGMOD; the ratio is theirs, simplified.
    """
    ratio: np.ndarray = REMOTE * theirs / np.maximum(distance, 1e-12)
    return np.where(distance > 0, np.minimum(ratio, 1), 1)


def settled(
    indices: np.ndarray, weights: np.ndarray, near: np.ndarray, labels: np.ndarray, copies: np.ndarray, noise: float | None, least_size: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Nearest cluster and strength of each page, and the least strength, once communities too small are dissolved.

    `indices` and `weights` (n, k) are the neighbours and their closeness, `near` (n,) the company of each page, `copies` (n,)
    how many pages it stands for.
    """
    while True:
        strength = near * (weights * (labels[indices] == labels[:, None])).sum(axis=1) / weights.sum(axis=1)
        least = LEAST_STRENGTH if noise is None else _quantile(strength, copies, noise)
        core = np.bincount(labels, copies * (strength >= least))
        if core.max() < least_size:  # nothing stands out: the pages are one cluster
            return np.zeros_like(labels), np.ones_like(strength), least
        small = core < least_size
        if not small.any():
            return by_size(labels, copies), strength, least
        homes, _ = plurality(labels[indices], weights * ~small[labels[indices]])
        homes = np.where(small[homes], int(core.argmax()), homes)  # every neighbour is homeless too
        labels = np.unique(np.where(small[labels], homes, labels), return_inverse=True)[1]


def plurality(votes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vote with most weight in each row, and its share of the row's weight; votes and weights are (m, k)."""
    support = np.stack([(weights * (votes == votes[:, [j]])).sum(axis=1) for j in range(votes.shape[1])], axis=1)
    best = support.argmax(axis=1)
    rows = np.arange(len(votes))
    return votes[rows, best], support[rows, best] / np.maximum(weights.sum(axis=1), 1e-12)


def voted(vectors: np.ndarray, rows: np.ndarray, old: np.ndarray, found: Found) -> Found:
    """The pages in `rows` of `vectors` by their neighbours among those found.

    A block at a time, so that vectors on disk (a memory map) may be larger than memory; `old`, those of the pages found, rows
    of length 1, is held whole.
    """
    middle = old.mean(axis=0)
    points = neighbours.unit(old - middle)
    k = min(VOTERS, len(points))
    far = np.full(len(points), np.nan)  # mean distance of a voter to its own neighbours, as far as it was needed
    nearest = np.empty(len(rows), np.int32)
    strength = np.empty(len(rows), np.float32)
    layout = np.empty((len(rows), 2), np.float32)
    for start in bar(range(0, len(rows), BLOCK), told="assigning pages", unit="blocks"):
        block = slice(start, start + BLOCK)
        indices, similarities = neighbours.nearest(neighbours.unit(neighbours.unit(vectors[rows[block]]) - middle), points, k)
        unknown = np.unique(indices[np.isnan(far[indices])])
        if len(unknown):
            own = neighbours.nearest(points[unknown], points, min(k + 1, len(points)))[1]
            far[unknown] = 1 - own[:, 1:].mean(axis=1) if own.shape[1] > 1 else 1.0
        weights = neighbours.closeness(similarities)
        votes = found.nearest[indices]
        nearest[block], share = plurality(votes, weights)
        strength[block] = share * company(1 - similarities.mean(axis=1), far[indices].mean(axis=1))
        weights *= votes == nearest[block][:, None]
        layout[block] = (found.layout[indices] * (weights / weights.sum(axis=1, keepdims=True))[:, :, None]).sum(axis=1)
    return Found(nearest, strength, layout, found.least)


def extended(vectors: np.ndarray, chosen: np.ndarray, fitted: Found) -> Found:
    """The fit on the chosen pages, and every other page by its neighbours among them."""
    rest = np.setdiff1d(np.arange(len(vectors)), chosen, assume_unique=True)
    others = voted(vectors, rest, neighbours.unit(vectors[chosen]), fitted)
    order = np.argsort(np.concatenate([chosen, rest]))
    both = lambda name: np.concatenate([getattr(fitted, name), getattr(others, name)])[order]  # noqa: E731
    return replace(fitted, nearest=both("nearest"), strength=both("strength"), layout=both("layout"))


def by_size(labels: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Labels renumbered so that 0 is the largest."""
    rank = np.argsort(np.argsort(-np.bincount(labels, copies), kind="stable"), kind="stable")
    renumbered: np.ndarray = rank[labels]
    return renumbered


def _quantile(strength: np.ndarray, copies: np.ndarray, noise: float) -> float:
    """The strength that leaves a share `noise` of the pages below it."""
    order = np.argsort(strength, kind="stable")
    below = np.cumsum(copies[order]) - copies[order]
    return float(strength[order][np.searchsorted(below, noise * copies.sum(), side="right") - 1])
