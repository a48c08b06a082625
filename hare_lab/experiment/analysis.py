"""Did it pay, by how much, and how sure are we? Pure functions on numbers; nothing here knows how they were made.

Seeds are paired: two arms with the same seed began with the same weights and were shuffled by the same draw. So differences
are taken seed by seed, and the interval is Student's over them. Formulas and what they can't say: docs/experiment.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from hare_lab.errors import InputError

RESAMPLES = 4_000


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences.

    Attributes
    ----------
    value : mean of (one minus other) over the seeds that both have
    low, high : 95 % interval (Student); infinite for a single seed, which says nothing of another
    p : two-sided, for the hypothesis that there is no difference
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def paired_difference(one: Mapping[int, float], other: Mapping[int, float]) -> Difference:
    """The mean of one minus other over the seeds that both have.

    Parameters
    ----------
    one, other : seed to value

    Raises
    ------
    InputError
        If they share no seed.

    References
    ----------
    Student (1908); Dror et al. (2018), "The hitchhiker's guide to testing statistical significance in NLP", section 3.
    """
    both = sorted(set(one) & set(other))
    if not both:
        raise InputError("paired difference: the two arms share no seed; train both with the same seeds")
    gaps = np.array([one[seed] - other[seed] for seed in both], float)
    value, n = float(gaps.mean()), len(gaps)
    if n == 1:
        return Difference(value, -math.inf, math.inf, 1.0, 1)
    error = float(gaps.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return Difference(value, value, value, 0.0 if value else 1.0, n)
    half = float(stdtrit(n - 1, 0.975)) * error
    return Difference(value, value - half, value + half, float(2 * stdtr(n - 1, -abs(value) / error)), n)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and Student's 95 % interval of it, infinite for one value."""
    gap = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))
    return gap.value, gap.low, gap.high


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """p values adjusted so that the chance of any false alarm among all of them stays what it is for one.

    The smallest is multiplied by the number of tests, the next by one less, and so on; none falls below one before it.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


@dataclass(frozen=True)
class TokensToTarget:
    """How many times the tokens another arm needs for the loss that ours has.

    Attributes
    ----------
    ratio, low, high : the multiple and its 95 % interval; a lower bound where the other arm never got there
    target_loss, target_tokens : ours, at its last look
    reached : whether the other arm's mean curve reaches the target
    share_reached : of the resamplings in which it does
    """

    ratio: float
    low: float
    high: float
    target_loss: float
    target_tokens: float
    reached: bool
    share_reached: float

    def __str__(self) -> str:
        if not self.reached:  # a bound has no interval, and where both read as much it bounds nothing
            return f"not reached with {self.ratio:.2f} times the tokens"
        return f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f})"


Curve = Sequence[tuple[float, float]]  # (tokens, loss), by rising tokens


def tokens_to_target(ours: Mapping[int, Curve], other: Mapping[int, Curve], *, seed: int = 0, resamples: int = RESAMPLES) -> TokensToTarget:
    """How many times ours' tokens the other arm needs for the loss that ours has at its last look.

    One loss-against-tokens curve per arm, the mean over its seeds; made to fall only (the best so far), and read between looks as
    straight in the logarithm of tokens. Both curves must come from the same learning rate at the same token, so the looks of a final
    decay don't belong in them. The interval resamples seeds, of both arms independently.

    Parameters
    ----------
    ours, other : seed to curve; within an arm all curves have the same tokens

    Raises
    ------
    InputError
        If a curve is empty, or the curves of an arm were looked at at different tokens.
    """
    grids = [_grid(ours, "ours"), _grid(other, "the other arm")]
    losses = [np.array([[loss for _, loss in curve] for curve in arm.values()], float) for arm in (ours, other)]
    value, reached = _ratio(grids, [part.mean(axis=0) for part in losses])
    rng = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    got = np.empty(resamples, bool)
    for turn in range(resamples):
        means = [part[rng.integers(len(part), size=len(part))].mean(axis=0) for part in losses]
        drawn[turn], got[turn] = _ratio(grids, means)
    low, high = (float(q) for q in np.quantile(drawn, [0.025, 0.975]))
    target = float(np.minimum.accumulate(losses[0].mean(axis=0))[-1])
    return TokensToTarget(value, min(low, value), max(high, value), target, float(grids[0][-1]), reached, float(got.mean()))


def tokens_at(tokens: NDArray[np.float64], loss: NDArray[np.float64], target: float) -> tuple[float, bool]:
    """At how many tokens a curve first reaches a loss, and whether it does; the last token where it does not."""
    falling = np.minimum.accumulate(loss)
    there = np.flatnonzero(falling <= target)
    if len(there) == 0:
        return float(tokens[-1]), False
    at = int(there[0])
    if at == 0 or falling[at - 1] == falling[at]:
        return float(tokens[at]), True
    share = (falling[at - 1] - target) / (falling[at - 1] - falling[at])
    logs = np.log(tokens[at - 1 : at + 1])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0]))), True


def _ratio(grids: list[NDArray[np.float64]], means: list[NDArray[np.float64]]) -> tuple[float, bool]:
    target = float(np.minimum.accumulate(means[0])[-1])
    needed, reached = tokens_at(grids[1], means[1], target)
    return needed / tokens_at(grids[0], means[0], target)[0], reached


def _grid(arm: Mapping[int, Curve], name: str) -> NDArray[np.float64]:
    grids = {tuple(tokens for tokens, _ in curve) for curve in arm.values()}
    if len(grids) != 1 or not next(iter(grids)):
        raise InputError(
            f"tokens to target: the curves of {name} are empty or were looked at at different tokens; give all seeds the same looks"
        )
    return np.array(next(iter(grids)), float)


def by_seed(cells: Any, arm: str, column: str) -> dict[int, float]:
    """Seed to value of one arm, from a table of cells (columns arm, seed and `column`)."""
    mine = cells[cells["arm"] == arm]
    return {int(seed): float(value) for seed, value in zip(mine["seed"], mine[column], strict=True) if value == value}


def equal_tokens(cells: Any) -> Any:
    """The cells that read as many tokens as the baseline's; all of them where no column says so."""
    return cells[cells["equal_tokens"].astype(bool)] if "equal_tokens" in cells else cells


def differences(cells: Any, column: str, baseline: str) -> Any:
    """Every arm minus the baseline in one column, with Holm's adjustment over the arms.

    Cells that read another number of tokens than the baseline's (column `equal_tokens`, where there is one) are left out: a baseline
    that goes on for longer is there for its curve.

    Returns
    -------
    DataFrame, one row an arm but the baseline, in the order of `cells`: arm, value, low, high, p, p_holm, seeds.
    """
    import pandas as pd

    cells = equal_tokens(cells)
    base = by_seed(cells, baseline, column)
    arms = [arm for arm in dict.fromkeys(cells["arm"]) if arm != baseline and set(by_seed(cells, arm, column)) & set(base)]
    found = [paired_difference(by_seed(cells, arm, column), base) for arm in arms]
    table = pd.DataFrame(
        [{"arm": arm, **vars(gap)} for arm, gap in zip(arms, found, strict=True)], columns=["arm", "value", "low", "high", "p", "seeds"]
    )
    table.insert(5, "p_holm", holm(table["p"].tolist()) if len(table) else [])
    return table
