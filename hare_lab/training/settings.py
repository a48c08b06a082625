"""How a model is trained: the paper's settings, and what it leaves open, as one frozen record with its checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hare_lab.errors import InputError

Schedule = Literal["cosine", "constant"]
FLOOR = 0.1  # of the peak learning rate, at the end of the cosine
STEPS = 1_000  # that a short run should have at least; a step of more rows teaches little more (docs/training.md)
DECAY = 0.2  # share of the steps in which a constant rate falls to 0 (Hu et al. 2024, "MiniCPM": 10 %; short runs want more)


@dataclass(frozen=True)
class Settings:
    """One training run's settings. AdamW's betas and eps, the decay and the clipping are those of the paper's released code.

    Attributes
    ----------
    context : tokens read at once
    batch : rows a step
    micro : rows a pass; a step of more rows adds up several passes, with the same result
    learning_rate : peak; None takes the size's own
    schedule : "cosine" falls to a tenth; "constant" stays, and falls to nothing over the last fifth
    warmup : share of the steps in which the rate rises from nothing
    decay, clip, betas, eps : AdamW's weight decay (not on norms and biases), gradient norm's limit, moments
    precision : "auto" takes bf16 where the machine multiplies in it, fp32 elsewhere
    across_pages : let a token see the pages before its own in its row, as most training code does
    checkpoint_minutes : between two checkpoints, where a folder is given
    compiled : whether layers are compiled; None: on a GPU, where the run is long enough for it to pay
    """

    context: int = 256
    batch: int = 16
    micro: int = 16
    learning_rate: float | None = None
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    decay: float = 0.1
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    across_pages: bool = False
    checkpoint_minutes: float = 2.0
    compiled: bool | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "micro"):
            if getattr(self, name) < 1:
                raise InputError(f"training: {name} is {getattr(self, name)}; it must be 1 or more")
        if self.learning_rate is not None and not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"training: the learning rate is {self.learning_rate}; it must be a number above 0")
        if self.schedule not in ("cosine", "constant"):
            raise InputError(f'training: schedule "{self.schedule}" is unknown; choose cosine or constant')
        if self.precision not in ("auto", "fp32", "bf16"):
            raise InputError(f'training: precision "{self.precision}" is unknown; choose auto, fp32 or bf16')
        if not 0 <= self.warmup <= 1:
            raise InputError(f"training: warmup is {self.warmup}; it is a share of the steps, between 0 and 1")


def batch_for(tokens: int, context: int) -> int:
    """Rows a step for a budget: as many as leave a thousand steps, from 2 to 512.

    Small steps pay in short runs: what a step of more rows adds is a less noisy direction, which a young model does not lack
    (McCandlish et al. 2018, "An empirical model of large-batch training", section 2).

    Parameters
    ----------
    tokens : of the whole run
    context : tokens a row
    """
    return max(2, min(512, tokens // (STEPS * context)))


def rate_at(step: int, steps: int, peak: float, schedule: Schedule = "cosine", warmup: float = 0.05) -> float:
    """The learning rate of a step.

    Parameters
    ----------
    step, steps : number of the step, from 0, and how many there are
    peak : highest rate
    schedule, warmup : as in `Settings`

    References
    ----------
    Cosine: Loshchilov & Hutter (2017), "SGDR", eq. 5. Constant, then falling: Hu et al. (2024), "MiniCPM", section 4.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    if schedule == "constant":
        falling = max(1, round(DECAY * steps))
        return peak * min(1.0, (steps - step) / falling)
    done = (step - rising) / max(1, steps - rising)
    return peak * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))
