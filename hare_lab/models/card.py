"""What does it take to train a size well? The training card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.errors import InputError
from hare_lab.models.ladder import LADDER, config, parameters, shape
from hare_lab.models.speed import flops_per_token, matmul_peak
from hare_lab.report_base import Report, readable

if TYPE_CHECKING:
    import pandas as pd

TOKENS_PER_PARAMETER = 20  # Hoffmann et al. (2022), "Training compute-optimal large language models", table 3, rounded as usual
GPU_PEAK = 989e12  # dense bf16 operations a second of one H100 or H200, from its data sheet
GPU_SHARE = 0.40  # of it that training reaches; measured on an H200: 0.37 with hare-250m, 0.48 with hare-1.1b (the paper's: about 0.10)


@dataclass(frozen=True)
class TrainingCard(Report):
    """What training a size to the compute-optimal point takes.

    Attributes
    ----------
    parameters, flops_per_token : of the model, at its context
    tokens : compute-optimal number of training tokens (20 a parameter), or what was asked for
    flops : of the whole training
    hours_here, hours_gpu : on this machine, and on one H100/H200-class GPU
    peak, share : this machine's measured matrix-product peak (operations a second), and the share of it that training reaches
    precision : in which it was measured
    """

    title: ClassVar[str] = "Training card"

    name: str
    parameters: int
    flops_per_token: float
    tokens: int
    flops: float
    hours_here: float
    hours_gpu: float
    peak: float
    share: float
    precision: str

    def _rows(self) -> list[tuple[str, Any]]:
        return [
            ("model", self.name),
            ("parameters", self.parameters),
            ("operations a token (forward and backward)", f"{self.flops_per_token:.3g}"),
            ("training tokens", self.tokens),
            ("operations in all", f"{self.flops:.3g}"),
            ("this machine", f"{duration(self.hours_here)} ({self.precision}, {self.share:.0%} of {self.peak / 1e9:,.0f} billion/s)"),
            ("one H200-class GPU", f"{duration(self.hours_gpu)} ({GPU_SHARE:.0%} of its bf16 peak)"),
        ]  # fmt: skip


def card(
    name: str,
    *,
    vocabulary: int | None = None,
    context: int | None = None,
    tokens: int | None = None,
    precision: str = "fp32",
    peak: float | None = None,
    share: float = 0.4,
) -> TrainingCard:
    """What training the size `name` takes.

    Parameters
    ----------
    vocabulary, context : default: the size's own
    tokens : training tokens; default: 20 a parameter
    precision : fp32 or bf16, of this machine's peak
    peak : operations a second of this machine; default: measured now, in half a second
    share : of the peak that training reaches here, between 0 and 1; take it from a run's report (`utilisation`)

    Raises
    ------
    InputError
        If the size is unknown, or the share is not one.
    """
    if not 0 < share <= 1:
        raise InputError(f"share is {share}; it must lie above 0 and be at most 1")
    size = shape(name)
    count = parameters(name, vocabulary=vocabulary)
    each = flops_per_token(config(name, vocabulary=vocabulary), context or size.context)
    wanted = tokens or TOKENS_PER_PARAMETER * count
    speed = peak or matmul_peak("bf16" if precision == "bf16" else "fp32")
    total = each * wanted
    return TrainingCard(
        name=name, parameters=count, flops_per_token=each, tokens=wanted, flops=total, hours_here=total / (speed * share) / 3600,
        hours_gpu=total / (GPU_PEAK * GPU_SHARE) / 3600, peak=speed, share=share, precision=precision,
    )  # fmt: skip


def cards(**settings: Any) -> pd.DataFrame:
    """The card of every size, one a row, smallest first; settings as `card` takes them."""
    import pandas as pd

    return pd.DataFrame([card(name, **settings).to_dict() for name in LADDER])


def duration(hours: float) -> str:
    """Hours as a person says them: seconds, minutes, hours, days or years."""
    for unit, size in (("years", 24 * 365.25), ("days", 24.0), ("hours", 1.0), ("minutes", 1 / 60)):
        if hours >= size:
            count = readable(round(hours / size, 1 if hours < 10 * size else None))
            return f"{count} {unit.removesuffix('s') if count == '1' else unit}"
    return f"{hours * 3600:.0f} seconds"
