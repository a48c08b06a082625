"""What is a page worth to a set that already holds others, for what it costs?

Worth is quality and novelty, as a geometric mean with one weight between them, over a root of the page's length: (1 - s) is the
novelty of a page whose nearest already chosen page has the cosine s. It only falls while pages are chosen, so choosing the worthiest
page again and again is exact with one pass, and the order does not depend on the budget: a smaller set is the beginning of a larger one.

Pages are compared within cells of at most 512 neighbours, found by halving a topic along its main directions, always at a gap.
That makes the cost linear in the number of pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hare_lab.machine import cores

CELL = 512  # pages compared with one another at most
BATCH = 1 << 14  # pages whose cells are worked on at once
LEAST = 1e-4  # novelty and quality of a page that has none: worth next to nothing, yet in order
SKETCH = 256  # pages that the main directions are taken from
HALVINGS = 4  # for which the vectors are read once
COST = 0.2  # power of the length that a page's worth is divided by: a page ten times as long must be worth 1.6 times as much


@dataclass(frozen=True)
class Worth:
    """For each page its `worth` (0 or more) at its turn, the cosine `likeness` to the nearest page chosen before it, and which that is.

    `nearest` is a row, -1 where nothing was chosen before. Pages that were not asked about have a worth of 0.
    """

    worth: np.ndarray
    likeness: np.ndarray
    nearest: np.ndarray


def worth_in_turn(vectors: np.ndarray, group: np.ndarray, quality: np.ndarray, novelty: float, tokens: np.ndarray | None = None) -> Worth:
    """The worth of every page when its turn comes, the worthiest of its cell first.

    Parameters
    ----------
    vectors : float array of shape (n_pages, dim), rows of length 1
    group : int array of shape (n_pages,)
        Pages of different groups are not compared; -1 leaves a page out.
    quality : float array of shape (n_pages,), 0 to 1
    novelty : float from 0 to 1
        0 counts quality alone, 1 novelty alone: worth = quality^(1 - novelty) x (1 - cosine)^novelty / (tokens / median)^COST.
    tokens : int array of shape (n_pages,)
        What a page costs; None: all cost the same.

    References
    ----------
    Lin & Bilmes (2010), "Multi-document summarization via budgeted maximization of submodular functions", NAACL, algorithm 1, on the
    gain over a power of the cost.
    """
    n = len(group)
    found = Worth(np.zeros(n), np.zeros(n, np.float32), np.full(n, -1))
    base = ((1 - novelty) * np.log(np.clip(quality, LEAST, 1)) - COST * dearness(tokens, group)).astype(np.float32)
    with threadpool_limits(limits=1), ThreadPoolExecutor(cores()) as pool:  # one product, one thread: the same at any number of them
        rows = np.flatnonzero(group >= 0)
        rows = rows[np.argsort(group[rows], kind="stable")]
        groups = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)
        cells = [cell for part in pool.map(lambda g: list(_cells(vectors, g)), groups) for cell in part]
        cells.sort(key=len, reverse=True)

        def turn(batch: list[np.ndarray]) -> None:
            _in_turn(vectors, batch, base, novelty, found)

        list(pool.map(turn, _batches(cells)))
    return found


def dearness(tokens: np.ndarray | None, group: np.ndarray) -> np.ndarray:
    """The logarithm of what each page costs, the median page of all that are asked about being 0."""
    asked = group >= 0
    if tokens is None or not asked.any():
        return np.zeros(len(group))
    costs = np.log(np.maximum(tokens, 1))
    dearness: np.ndarray = costs - np.median(costs[asked])
    return dearness


def _cells(vectors: np.ndarray, rows: np.ndarray) -> Iterable[np.ndarray]:
    """The rows in parts of at most CELL that lie together. Vectors are read once for several halvings: reading is what takes time."""
    waiting = [rows]
    while waiting:
        part = waiting.pop()
        if len(part) <= CELL:
            if len(part):
                yield part
            continue
        axes = _directions(vectors[part[np.linspace(0, len(part) - 1, SKETCH).astype(np.int64)]])
        along = np.concatenate([vectors[part[low : low + BATCH]] @ axes.T for low in range(0, len(part), BATCH)])
        halves = [np.arange(len(part))]
        for axis in range(len(axes)):
            halves = [half for whole in halves for half in _halved(whole, along[whole, axis])]
        waiting += [part[half] for half in halves]


def _halved(rows: np.ndarray, along: np.ndarray) -> list[np.ndarray]:
    """Two parts of the rows, cut at the widest gap near the middle, so that copies stay together; one where they fit in a cell."""
    if len(rows) <= CELL:
        return [rows]
    order = np.argsort(along, kind="stable")
    low, high = int(0.4 * len(rows)), int(0.6 * len(rows))
    cut = low + 1 + int(np.argmax(np.diff(along[order[low : high + 1]])))
    return [np.sort(rows[order[:cut]]), np.sort(rows[order[cut:]])]


def _directions(sample: np.ndarray) -> np.ndarray:
    """The directions along which the sample is longest, float32 of shape (at most HALVINGS, dim)."""
    centred = np.asarray(sample, np.float64) - sample.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:HALVINGS]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    directions: np.ndarray = (axes * signs[:, None]).astype(np.float32)
    return directions


def _batches(cells: list[np.ndarray]) -> Iterable[list[np.ndarray]]:
    """Cells of like size together, as many as make a batch."""
    batch: list[np.ndarray] = []
    for cell in cells:
        if batch and (len(batch) + 1) * len(batch[0]) > BATCH:
            yield batch
            batch = []
        batch.append(cell)
    if batch:
        yield batch


def _in_turn(vectors: np.ndarray, batch: list[np.ndarray], base: np.ndarray, novelty: float, found: Worth) -> None:
    """Choose in all cells of a batch side by side; writes into `found`. Logarithms, so that a turn is an addition and a minimum."""
    width, lanes = len(batch[0]), np.arange(len(batch))
    rows = np.full((len(batch), width), -1)
    cosines = np.zeros((len(batch), width, width), np.float32)
    for lane, cell in enumerate(batch):
        mine = np.asarray(vectors[cell], np.float32)
        np.matmul(mine, mine.T, out=cosines[lane, : len(cell), : len(cell)])
        rows[lane, : len(cell)] = cell
    np.clip(cosines, 0, 1, out=cosines)
    factor = novelty * np.log(np.maximum(1 - cosines, np.float32(LEAST)))
    left = np.where(rows >= 0, base[rows], np.float32(-np.inf))
    lowest = np.zeros((len(batch), width), np.float32)  # logarithm of the novelty that is left
    highest = np.zeros((len(batch), width), np.float32)  # cosine to the nearest chosen page
    by = np.full((len(batch), width), -1)  # which that is
    for _ in range(width):
        value = left + lowest
        pick = value.argmax(axis=1)
        at = value[lanes, pick]
        here = np.flatnonzero(np.isfinite(at))  # cells that still hold a page
        row, choice = rows[here, pick[here]], pick[here]
        found.worth[row], found.likeness[row], found.nearest[row] = np.exp(at[here]), highest[here, choice], by[here, choice]
        left[here, choice] = -np.inf
        np.minimum(lowest, factor[lanes, pick], out=lowest)
        nearer = cosines[lanes, pick] > highest
        np.maximum(highest, cosines[lanes, pick], out=highest)
        by[nearer] = np.broadcast_to(rows[lanes, pick][:, None], by.shape)[nearer]
