"""How large is a run? A profile is a handful of sizes and changes no logic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cells:
    """Sizes of the experiment of notebook 10: the model, the tokens that each arm reads, how many seeds, and how much is scored.

    `sample` pages of each topic make the score, out of the share `held_out`; `looks` at it on the way; `items` are asked of each task
    (0: all).
    """

    model: str
    tokens: int
    seeds: int
    batch: int
    sample: int
    looks: int
    held_out: float
    items: int = 0


@dataclass(frozen=True)
class Profile:
    """Sizes, nothing else: a profile changes no logic."""

    name: str
    pages: int
    fit_sample: int
    figure_points: int
    experiment: Cells
    model: str
    train_tokens: int
    tool_examples: int


PROFILES = {
    "small": Profile(
        "small", pages=1_500, fit_sample=5_000, figure_points=5_000, experiment=Cells("hare-1m", 8_192, 2, 4, 1, 3, 0.04, 20),
        model="hare-1m", train_tokens=80_000, tool_examples=6_000,
    ),
    "laptop": Profile(
        "laptop", pages=10_000, fit_sample=50_000, figure_points=50_000, experiment=Cells("hare-1m", 160_000, 3, 4, 10, 8, 0.05, 40),
        model="hare-5m", train_tokens=500_000, tool_examples=12_000,
    ),
    "gpu": Profile(
        "gpu", pages=200_000, fit_sample=200_000, figure_points=50_000, experiment=Cells("hare-125m", 100_000_000, 5, 64, 20, 20, 0.05),
        model="hare-125m", train_tokens=500_000_000, tool_examples=200_000,
    ),
}  # fmt: skip
