"""A score as it should be read: beside what guessing would reach, and with how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Z = 1.959964  # of a 95 % interval
FEW = 10  # of fewer items nothing is called sure: a guesser gets three of three right once in 64 times, and three are no fair draw


@dataclass(frozen=True)
class Score:
    """What a model reached on one task.

    Attributes
    ----------
    value : share of the items, 0 to 1
    stderr : standard error of the value over another draw of items
    chance : what guessing reaches, 0 to 1
    low, high : 95 % interval; Wilson's, which stays right near 0 and 1, where the value is a share of right answers
    """

    task: str
    metric: str
    value: float
    stderr: float
    chance: float
    low: float
    high: float
    items: int
    shots: int = 0

    @property
    def above_chance(self) -> bool:
        """Whether there are FEW items or more, and the whole interval lies above chance."""
        return self.items >= FEW and self.low > self.chance

    @property
    def verdict(self) -> str:
        """Whether it is surely above chance, in words."""
        return "too few to say" if self.items < FEW else "yes" if self.above_chance else "no"

    @classmethod
    def of(cls, task: str, metric: str, value: float, items: int, chance: float, *, shots: int = 0, stderr: float | None = None) -> Score:
        """A score from a mean over items; without a standard error given, that of a share of right answers.

        The interval is Wilson's (1927) of a share of so many items, whatever the standard error: what scores an item with a part of a
        point spreads less than right and wrong do, so there it is too wide rather than too narrow.
        """
        error = math.sqrt(value * (1 - value) / max(items - 1, 1)) if stderr is None else stderr
        low, high = wilson(value, items)
        return cls(task, metric, value, error, chance, low, high, items, shots)


def wilson(value: float, items: int, z: float = Z) -> tuple[float, float]:
    """Wilson's interval of a share `value` of `items`.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22.
    """
    if items == 0:
        return 0.0, 1.0
    middle = (value + z * z / (2 * items)) / (1 + z * z / items)
    half = z / (1 + z * z / items) * math.sqrt(value * (1 - value) / items + z * z / (4 * items * items))
    return min(max(0.0, middle - half), value), max(min(1.0, middle + half), value)


@dataclass(frozen=True)
class Scores(Report):
    """All the scores of one model."""

    title: ClassVar[str] = "Scores"

    model: str
    scores: tuple[Score, ...]

    def __getitem__(self, task: str) -> Score:
        return next(score for score in self.scores if score.task == task)

    def table(self) -> pd.DataFrame:
        """One row a task: model, task, metric, value, stderr, chance, low, high, items, shots."""
        import pandas as pd

        columns = ["model", "task", "metric", "value", "stderr", "chance", "low", "high", "items", "shots"]
        return pd.DataFrame([{"model": self.model, **vars(score)} for score in self.scores], columns=columns)

    def figure(self, theme: str = "screen") -> go.Figure:
        from hare_lab import figures

        return figures.task_scores(self.table(), theme=theme)

    def _repr_html_(self) -> str:
        rows = [
            (s.task, s.metric, f"{s.value:.1%} ({s.low:.1%} to {s.high:.1%})", f"{s.chance:.1%}", s.verdict, s.items, s.shots)
            for s in self.scores
        ]
        head = ("task", "metric", "score (95 %)", "chance", "surely above chance", "items", "shots")
        return html_table(rows, head, f"{self.title} of {self.model}")
