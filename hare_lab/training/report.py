"""What a training run did: its curve, its speed, and how often each part was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.report_base import Report

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLUMNS = ("step", "tokens", "loss", "rate", "seconds", "stage", "heldout")


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step. `loss` in nats a token, `utilisation` of the machine's matrix-product peak."""

    step: int
    steps: int
    tokens: int
    loss: float
    rate: float
    stage: int
    tokens_per_second: float
    utilisation: float
    seconds_left: float


@dataclass(frozen=True)
class TrainingReport(Report):
    """What `fit` did.

    Attributes
    ----------
    tokens, steps : read, padding included; a budget is rounded up to whole steps
    seconds : of training steps alone; `tokens_per_second` follows from it
    utilisation : operations a second as a share of the machine's measured matrix-product peak in the same precision
    first_loss, last_loss : nats a token; the mean over the first and the last twentieth of the steps
    heldout_loss : on the held-out rows after the last step, where some were given
    repeats : how many times each part was read
    notes : what a person should know, one sentence each
    curve : rows of COLUMNS; `heldout` is None between evaluations
    """

    title: ClassVar[str] = "Training"

    model: str
    parameters: int
    tokens: int
    steps: int
    finished: bool
    seconds: float
    tokens_per_second: float
    utilisation: float
    precision: str
    first_loss: float
    last_loss: float
    heldout_loss: float | None
    repeats: dict[str, float]
    notes: tuple[str, ...]
    data: str
    seed: int
    curve: tuple[tuple[float | None, ...], ...] = ()

    def table(self) -> pd.DataFrame:
        """The curve, one row a step, as `figures.loss_curve` takes it."""
        import pandas as pd

        return pd.DataFrame(self.curve, columns=list(COLUMNS)).astype({"heldout": float})

    def figure(self, theme: str = "screen") -> go.Figure:
        """Loss against tokens."""
        from hare_lab import figures

        return figures.loss_curve(self.table(), theme=theme)

    def _rows(self) -> list[tuple[str, Any]]:
        read = [(f"{part} was read", f"{times:.2f} times") for part, times in self.repeats.items()]
        rows = [
            ("model", f"{self.model}, {self.parameters:,} parameters"),
            ("tokens", self.tokens),
            ("steps", self.steps),
            ("loss, nats a token", f"{self.first_loss:.3f} over the first twentieth of the steps, {self.last_loss:.3f} over the last"),
            *([("held-out loss", f"{self.heldout_loss:.3f}")] if self.heldout_loss is not None else []),
            ("speed", f"{self.tokens_per_second:,.0f} tokens a second ({self.precision}, {self.utilisation:.0%} of the machine's peak)"),
            ("time", f"{self.seconds:.0f} s"),
            *read,
        ]
        return [*rows, *(("note", note) for note in self.notes)]
