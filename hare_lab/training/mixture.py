"""In which order are which rows read? The recipe: one stage, or the paper's two, with its repeats counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError

FIRST_STAGE = 52 / 600  # share of all tokens that the paper's first stage reads, D1 alone (arXiv 2406.11410, section "Training")
PARTS = ("D1", "D2", "D3")


@dataclass(frozen=True)
class Stage:
    """A stretch of training with fixed shares: `share` of all tokens, read from the parts in proportion to `weights`."""

    name: str
    share: float
    weights: Mapping[str, float]


def recipe(parts: Sequence[str], mixture: Mapping[str, float], *, first_stage: float = FIRST_STAGE) -> tuple[Stage, ...]:
    """The paper's two stages (D1 alone, then all parts by the weights of the priors), or one where there is one part.

    Parameters
    ----------
    parts : names of the parts at hand
    mixture : weight of each part in the second stage, on any scale
    first_stage : share of all tokens for the first; 0 leaves it out

    Raises
    ------
    InputError
        If a part has no weight, D1 is missing where there is a first stage, or no weight is above 0.
    """
    if len(parts) == 1:
        return (Stage("one", 1.0, {parts[0]: 1.0}),)
    unknown = [part for part in parts if part not in mixture]
    if unknown:
        raise InputError(f"part {', '.join(unknown)} has no weight in the mixture; it names {', '.join(mixture)}")
    weights = {part: float(mixture[part]) for part in parts}
    if sum(weights.values()) <= 0:
        raise InputError(f"the mixture gives {', '.join(parts)} no weight; give at least one a weight above 0")
    if not 0 <= first_stage < 1:
        raise InputError(f"the first stage takes {first_stage} of the tokens; it must be 0 or more and below 1")
    second = Stage("two", 1 - first_stage, weights)
    if not first_stage:
        return (second,)
    if "D1" not in parts:
        raise InputError(f"the first stage reads D1 alone, but the parts are {', '.join(parts)}; add D1")
    return (Stage("one", first_stage, {"D1": 1.0}), second)


@dataclass(frozen=True)
class Order:
    """Which row of which part stands where: `part` and `row` are arrays of shape (n_rows,), `stage` too."""

    names: tuple[str, ...]
    part: NDArray[np.int16]
    row: NDArray[np.int64]
    stage: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.part)


def order(sizes: Mapping[str, int], stages: Sequence[Stage], rows: int, *, seed: int) -> Order:
    """The order of reading, settled before the first step, so that a run that was killed goes on exactly where it was.

    Within a stage each part comes as evenly as its weight allows: the next row is of the part that is furthest behind its
    share. Each part is read through in an order drawn by the seed, every row once, before any row a second time; a later
    stage goes on where the earlier one stopped.

    Parameters
    ----------
    sizes : rows of each part
    stages : as `recipe` gives them
    rows : how many to read in all
    seed : of the orders within the parts

    References
    ----------
    Furthest-behind is Webster's method of apportionment, row by row (Balinski & Young 1982, "Fair Representation").
    """
    names = tuple(sizes)
    part, stage_of = np.empty(rows, np.int16), np.empty(rows, np.int16)
    ends = np.rint(np.cumsum([stage.share for stage in stages]) * rows).astype(int)
    ends[-1] = rows
    begin = 0
    for number, (stage, end) in enumerate(zip(stages, ends, strict=True)):
        weights = np.array([stage.weights.get(name, 0.0) for name in names])
        part[begin:end] = _even(weights / weights.sum(), end - begin)
        stage_of[begin:end] = number
        begin = end
    row = np.empty(rows, np.int64)
    for index, name in enumerate(names):
        where = np.flatnonzero(part == index)
        row[where] = _through(sizes[name], len(where), seed, name)
    return Order(names, part, row, stage_of)


def repeats(chosen: Order, sizes: Mapping[str, int], until: int | None = None) -> dict[str, float]:
    """How many times each part has been read after `until` rows (default: all): 1 is once through, 8 is eight times."""
    counts = np.bincount(chosen.part[:until], minlength=len(chosen.names))
    return {name: float(count / sizes[name]) for name, count in zip(chosen.names, counts, strict=True)}


def _even(shares: NDArray[np.float64], count: int) -> NDArray[np.int16]:
    """`count` part numbers in which each part's share holds all along the way, not only at the end."""
    present = np.flatnonzero(shares > 0)
    if len(present) == 1:
        return np.full(count, present[0], np.int16)
    quota = np.ceil(shares[present] * count).astype(int) + 1
    # the k-th row of a part is due at (k + 1/2) / share: sorting the due times is furthest-behind, without a loop
    due = np.concatenate([(np.arange(n) + 0.5) / shares[p] for p, n in zip(present, quota, strict=True)])
    who = np.repeat(present, quota)
    return who[np.argsort(due, kind="stable")[:count]].astype(np.int16)


def _through(size: int, count: int, seed: int, name: str) -> NDArray[np.int64]:
    """`count` row numbers of a part: whole shuffled readings one after the other."""
    readings = -(-count // size)
    rng = np.random.default_rng([seed, *name.encode()])
    return np.concatenate([rng.permutation(size) for _ in range(readings)] or [np.empty(0, np.int64)])[:count]
