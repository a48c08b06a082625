"""What an experiment found, said the same way whether it went as expected or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.errors import InputError
from hare_lab.experiment.analysis import (
    TokensToTarget,
    by_seed,
    differences,
    equal_tokens,
    mean_interval,
    paired_difference,
    tokens_to_target,
)
from hare_lab.experiment.plan import Plan
from hare_lab.report_base import Report, html_table
from hare_lab.training.settings import DECAY

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

SCORE = "bits_per_byte"


@dataclass(frozen=True)
class Experiment(Report):
    """All finished cells, and what they say.

    Attributes
    ----------
    cells : DataFrame, one row a cell: arm, seed, level, leaked, tokens, equal_tokens (as many as the baseline's), repeats, bits_per_byte,
        natural, and one column a task and number of the leakage test
    curves : DataFrame: arm, seed, tokens, loss (macro-averaged bits per byte), constant (before the learning rate falls)
    differences : DataFrame, one row an arm of equal tokens: arm minus baseline in bits per byte, interval, p, Holm-adjusted p, seeds
    longest : the baseline, or the arm with its recipe that reads the most: whose curve `target` is read off
    target : tokens to target of that arm against ours, where both have curves
    verdict : one sentence
    """

    title: ClassVar[str] = "The experiment"

    plan: str
    name: str
    hypothesis: str
    kind: str
    ours: str
    baseline: str
    longest: str
    complete: bool
    verdict: str
    cells: pd.DataFrame
    curves: pd.DataFrame
    differences: pd.DataFrame
    target: TokensToTarget | None

    def arms(self) -> pd.DataFrame:
        """One row an arm: arm, level, leaked, seeds, mean bits per byte with Student's 95 % interval, and every other score's mean."""
        import pandas as pd

        rows = []
        skip = {"arm", "seed", "level", "leaked", "equal_tokens", SCORE}
        for arm, group in self.cells.groupby("arm", sort=False):
            value, low, high = mean_interval(group[SCORE].tolist())
            others = {c: float(group[c].mean()) for c in group.columns if c not in skip and group[c].dtype.kind in "fi"}
            rows.append({"arm": arm, "level": group["level"].iloc[0], "leaked": bool(group["leaked"].iloc[0]), "seeds": len(group),
                         SCORE: value, "low": low, "high": high, **others})  # fmt: skip
        return pd.DataFrame(rows, columns=None if rows else ["arm", "level", "leaked", "seeds", "tokens", SCORE, "low", "high"])

    def scored(self) -> pd.DataFrame:
        """One row an arm of equal tokens, as `figures.score_against_priors` takes it: `score`, higher is better, with its 95 % interval
        over seeds; none (NaN) where the seeds are fewer than three or all scored alike, for that is luck and no certainty.

        The mean of the tasks where some were asked; else bits per byte, its sign turned.
        """
        tasks = [column for column in self.cells.columns if column.startswith("bundled")]
        score = self.cells[tasks].mean(axis=1) if tasks else -self.cells[SCORE]
        arms = self.arms()
        arms = arms[arms["arm"].isin(equal_tokens(self.cells)["arm"])].reset_index(drop=True)
        spans = [mean_interval(score[self.cells["arm"] == arm].tolist()) for arm in arms["arm"]]
        if tasks:  # Student knows no bounds, a share of right answers has some
            spans = [(value, max(low, 0.0), min(high, 1.0)) for value, low, high in spans]
        low, high = (np.array([span[end] for span in spans], float) for end in (1, 2))
        unknown = (arms["seeds"].to_numpy() < 3) | ~(high - low > 1e-9)
        low[unknown] = high[unknown] = np.nan
        return arms.assign(score=[s[0] for s in spans], low=low, high=high)

    def score_name(self) -> str:
        """What the axis of `scored` says."""
        tasks = [column for column in self.cells.columns if column.startswith("bundled")]
        return "right answers on the bundled benchmark" if tasks else "bits per byte, below zero (higher is better)"

    def figure(self, theme: str = "screen") -> go.Figure:
        """Every arm's difference to the baseline, ours among them, with its interval."""
        from hare_lab import figures

        return figures.arm_differences(self.differences, ours=self.ours, baseline=self.baseline, order=self._order(), theme=theme)

    def curves_figure(self, arms: Sequence[str] = (), theme: str = "screen") -> go.Figure:
        """The curves of some arms, or of all, each in the colour that it has in every figure."""
        from hare_lab import figures

        curves = self.curves[self.curves["arm"].isin(arms)] if arms else self.curves
        return figures.ablation_curves(curves, ours=self.ours, baseline=self.baseline, order=self._order(), theme=theme)

    def _order(self) -> list[str]:
        return list(dict.fromkeys(self.cells["arm"].astype(str)))

    def target_figure(self, theme: str = "screen") -> go.Figure:
        """The curves of ours and of the baseline's longest arm, read sideways.

        Raises
        ------
        InputError
            If one of the two has no curve yet.
        """
        from hare_lab import figures

        if self.target is None:
            raise InputError(f'"{self.ours}" and "{self.longest}" have no curve to compare yet; let a cell of each end first')
        found, steady = self.target, self.curves[self.curves["constant"].astype(bool)]
        return figures.tokens_to_target(
            steady, ours=self.ours, other=self.longest, ratio=found.ratio, low=found.low, high=found.high, loss=found.target_loss,
            reached=found.reached, theme=theme,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        arms = self.arms()
        gaps = self.differences.set_index("arm") if len(self.differences) else self.differences
        rows = []
        for arm, seeds, value, tokens in zip(arms["arm"], arms["seeds"], arms[SCORE], arms["tokens"], strict=True):
            gap = gaps.loc[arm] if len(gaps) and arm in gaps.index else None
            said = "–" if gap is None else f"{gap['value']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})"
            rows.append((arm, int(seeds), f"{value:.4f}", said, "–" if gap is None else f"{gap['p_holm']:.3f}", f"{tokens:,.0f}"))
        head = ("arm", "seeds", "bits per byte", f"minus {self.baseline} (95 %)", "p, adjusted (Holm)", "tokens read")
        return html_table(rows, head, f"{self.name}: {self.verdict}")


def assemble(plan: Plan, records: Sequence[dict[str, Any]]) -> Experiment:
    """Tables, differences, tokens to target and the verdict, from the records of finished cells."""
    import pandas as pd

    base = plan.arm(plan.baseline).budget
    rows = [{**_row(record), "equal_tokens": plan.arm(record["arm"]).budget == base} for record in records]
    cells = pd.DataFrame(rows, columns=None if records else ["arm", "seed", SCORE, "equal_tokens"])
    points = [(r["arm"], r["seed"], tokens, loss, tokens <= (1 - DECAY) * r["tokens"]) for r in records for tokens, loss, *_ in r["looks"]]
    curves = pd.DataFrame(points, columns=["arm", "seed", "tokens", "loss", "constant"])
    complete = len(records) == len(plan.cells())
    gaps = differences(cells if plan.baseline in set(cells["arm"]) else cells.iloc[:0], SCORE, plan.baseline)
    return Experiment(
        plan=plan.hash, name=plan.name, hypothesis=plan.hypothesis, kind=plan.kind, ours=plan.ours, baseline=plan.baseline,
        complete=complete, verdict=_verdict(plan, cells, complete), cells=cells, curves=curves, differences=gaps,
        longest=_longest(plan), target=_target(plan, curves),
    )  # fmt: skip


def _row(record: dict[str, Any]) -> dict[str, Any]:
    scores = {score["task"]: score["value"] for score in record["scores"]}
    leakage = {f"leakage_{key}": value for key, value in record.get("leakage", {}).items()}
    keep = ("arm", "seed", "level", "leaked", "tokens", SCORE, "natural", "train_loss", "wall_seconds")
    return {**{key: record[key] for key in keep}, "repeats": max(record["repeats"].values()), **scores, **leakage}


def _target(plan: Plan, curves: pd.DataFrame) -> TokensToTarget | None:
    """From the looks before the rates fall."""
    steady = curves[curves["constant"].astype(bool)] if len(curves) else curves
    sides = [_curves(steady, plan.ours), _curves(steady, _longest(plan))]
    return tokens_to_target(sides[0], sides[1], seed=plan.pool_seed) if all(sides) else None


def _longest(plan: Plan) -> str:
    """Of the arms with the baseline's recipe, the one that goes on for longest."""
    base = plan.arm(plan.baseline)
    alike = [
        arm for arm in plan.arms if (arm.method, arm.parts, arm.leaked, arm.crawl) == (base.method, base.parts, base.leaked, base.crawl)
    ]
    return max(alike, key=lambda arm: arm.budget).name


def _curves(steady: pd.DataFrame, arm: str) -> dict[int, list[tuple[float, float]]]:
    mine = steady[steady["arm"] == arm]
    return {int(str(seed)): list(zip(rows["tokens"].tolist(), rows["loss"].tolist(), strict=True)) for seed, rows in mine.groupby("seed")}


def _verdict(plan: Plan, cells: pd.DataFrame, complete: bool) -> str:
    """Whether the hypothesis held, in the same words and the same place for either outcome."""
    both = [by_seed(cells, arm, SCORE) for arm in (plan.ours, plan.baseline)]
    if not set(both[0]) & set(both[1]):
        return "nothing to compare yet"
    gap = paired_difference(both[0], both[1])
    span = f"{gap.value:+.4f} bits per byte" + (f", 95 % interval {gap.low:+.4f} to {gap.high:+.4f}" if np.isfinite(gap.low) else "")
    so_far = "" if complete else "so far, "
    if gap.seeds == 1:
        return f"{so_far}one seed decides nothing: {plan.ours} minus {plan.baseline} is {span}"
    if not gap.decided:
        return f"{so_far}not decided: {plan.ours} minus {plan.baseline} is {span}, over {gap.seeds} seeds"
    held = "predicts better" if gap.value < 0 else "predicts worse"
    return f"{so_far}{plan.ours} {held} than {plan.baseline}: {span}, over {gap.seeds} seeds"
