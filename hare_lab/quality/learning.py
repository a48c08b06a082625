"""What tells good pages from others, in style and in meaning, to a model that has not seen the page it is asked about?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hare_lab.quality.evidence import Evidence, Floats
from hare_lab.quality.style import PLACES

Ints = NDArray[np.int64]


class Learnt:
    """The two opinions that need examples, from sums that can be taken apart again: what a fold added is simply subtracted.

    Style is the mean log-ratio of the runs of a page in good pages and in the others (naive Bayes with the smoothing of `_SMOOTH`
    runs); meaning is Fisher's discriminant between the vectors, each taken from the middle of its group, so that what a page
    is about does not count. Both with a firm ridge.

    `kind` is 1 for pages that are examples of good ones, 0 for examples of the others, -1 for pages that are no example.
    """

    _SMOOTH = 200.0
    _RIDGE = 1.0

    def __init__(self, known: Evidence, kind: Ints, fold: Ints, folds: int, residual: NDArray[np.floating[Any]] | None) -> None:
        self.known, self.residual = known, residual
        proportion = csr_matrix(known.style.multiply(1 / np.maximum(known.style.sum(axis=1), 1)))
        self.style = np.zeros((folds, 2, PLACES))
        self.pages = np.zeros((folds, 2))
        for part in range(folds):
            for side in (0, 1):
                rows = (fold == part) & (kind == side)
                self.style[part, side] = np.asarray(proportion[rows].sum(axis=0)).ravel()
                self.pages[part, side] = rows.sum()
        if residual is not None:
            width = residual.shape[1]
            self.sums, self.squares = np.zeros((folds, 2, width)), np.zeros((folds, 2, width, width))
            for part in range(folds):
                for side in (0, 1):
                    rows_of = residual[(fold == part) & (kind == side)].astype(np.float64)
                    self.sums[part, side] = rows_of.sum(axis=0)
                    self.squares[part, side] = rows_of.T @ rows_of

    def model(self, without: Collection[int]) -> tuple[Floats, Floats | None]:
        """The log-ratio of each style place and the direction among vectors, from all folds but those."""
        kept = [part for part in range(len(self.pages)) if part not in without]
        pages = np.maximum(self.pages[kept].sum(axis=0), 1)
        shares = self.style[kept].sum(axis=0) / pages[:, None]
        typical = shares.mean(axis=0) + 0.1 / PLACES
        weight = self._SMOOTH / (self._SMOOTH + pages * 20)  # how far each side is drawn to what both have in common
        shares = shares * (1 - weight[:, None]) + typical * weight[:, None]
        ratio = np.log(shares[1] + 0.02 / PLACES) - np.log(shares[0] + 0.02 / PLACES)
        if self.residual is None:
            return ratio, None
        means = self.sums[kept].sum(axis=0) / pages[:, None]
        within = sum(self.squares[kept].sum(axis=0)[kind] / pages[kind] - np.outer(means[kind], means[kind]) for kind in (0, 1)) / 2
        ridge = self._RIDGE * np.trace(within) / len(within) + 1e-9
        direction = np.linalg.solve(within + ridge * np.eye(len(within)), means[1] - means[0])
        return ratio, direction

    def crossfit(self, fold: Ints, *without: int) -> Floats:
        """What each page's style and meaning say to a model that saw neither its fold nor those left out."""
        found = np.zeros((len(fold), 2))
        for part in range(len(self.pages)):
            rows = fold == part
            found[rows] = heard(
                self.known.style[rows], None if self.residual is None else self.residual[rows], *self.model({*without, part})
            )
        return found


def heard(style: csr_matrix, residual: NDArray[np.floating[Any]] | None, ratio: Floats, direction: Floats | None) -> Floats:
    """The style and meaning opinions of pages, as they come; meaning is 0 where there are no vectors."""
    total = np.maximum(np.asarray(style.sum(axis=1)).ravel(), 1)
    says = np.asarray(style @ ratio).ravel() / total
    return np.column_stack([says, np.zeros(len(says)) if direction is None or residual is None else residual @ direction])


@dataclass(frozen=True)
class Space:
    """Vectors with their subject taken out: how a page differs from the middle of its group, in the directions that vary most.

    `groups` has the middle of each group, `axes` the directions as columns.
    """

    groups: NDArray[np.floating[Any]]
    axes: NDArray[np.floating[Any]]

    def of(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Vectors of shape (n_pages, dim) in this space."""
        nearest = (vectors @ self.groups.T - 0.5 * (self.groups**2).sum(axis=1)).argmax(axis=1)
        found: NDArray[np.floating[Any]] = (vectors - self.groups[nearest]) @ self.axes
        return found


def space(vectors: NDArray[np.floating[Any]], group: Ints) -> Space:
    """The middles of all groups of at least 10 pages (of all pages, where there is none), and 64 axes."""
    names, inverse, count = np.unique(group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), vectors.shape[1]), np.float32)
    np.add.at(sums, inverse, vectors)
    large = count >= 10
    middles = np.asarray(sums[large] / count[large, None] if large.any() else vectors.mean(axis=0, keepdims=True), np.float32)
    raw = Space(middles, np.eye(vectors.shape[1], dtype=np.float32)).of(vectors)
    with threadpool_limits(1):  # so small a matrix gains nothing from threads, and the digits stay the same
        _, axes = np.linalg.eigh((raw.T @ raw / len(raw)).astype(np.float64))
    return Space(middles, np.asarray(axes[:, -64:], np.float32))
