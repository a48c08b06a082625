"""What became of each page, in words, and what became of them all, in numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd

from hare_lab.curation.given import Given, Topics
from hare_lab.curation.report import CurationReport
from hare_lab.curation.worth import Worth
from hare_lab.diversity import effective_number

CAUSES = (
    "kept", "leaked", "below the floor", "unlike the good pages", "topic not wanted", "below its level", "repeats a page", "topic full",
    "no room", "budget full",
)  # fmt: skip
Cause = IntEnum("Cause", "KEPT LEAKED LOW UNLIKE UNWANTED BELOW REPEATS FULL NO_ROOM LATE", start=0)


@dataclass(frozen=True)
class Verdict:
    """What became of each page: kept, its place in CAUSES, the reason in words, its worth; and the tokens fit for each topic."""

    kept: np.ndarray
    cause: np.ndarray
    said: list[str]
    worth: np.ndarray
    fit: np.ndarray


def in_words(
    given: Given, topics: Topics, turn: Worth, cause: np.ndarray, floors: tuple[float, float], levels: np.ndarray, last: np.ndarray,
    needed: np.ndarray, drawn: str,
) -> list[str]:  # fmt: skip
    """The reason of each page; `floors` are those of quality and of likeness."""
    floor, least = floors
    alike = [] if given.likeness is None else given.likeness.tolist()
    quality, like, near, ids = given.quality.tolist(), turn.likeness.tolist(), turn.nearest.tolist(), given.ids
    of, worth, tokens = topics.of.tolist(), turn.worth.tolist(), given.tokens.tolist()

    among = [f" in {name}" if topics.named else "" for name in topics.names]

    def kept(row: int) -> str:
        name = topics.names[of[row]]
        if needed[of[row]]:
            return f"kept: every fit page of {name} is needed"
        new = "nothing like it before" if near[row] < 0 else f"at most {like[row]:.2f} like any page before it"
        return f"kept for {name}: {drawn or f'quality {quality[row]:.2f}, {new}'}"

    words = {
        Cause.KEPT: kept,
        Cause.LEAKED: lambda row: "overlaps a benchmark",
        Cause.LOW: lambda row: f"quality {quality[row]:.2f} is below the floor of {floor:.2f}",
        Cause.UNLIKE: lambda row: f"likeness {alike[row]:.2f} to the good pages is below {least:.2f}",
        Cause.UNWANTED: lambda row: f"the priors don't ask for {topics.names[of[row]]}",
        Cause.BELOW: lambda row: f"quality {quality[row]:.2f} is below {levels[of[row]]:.2f}: there is plenty above it{among[of[row]]}",
        Cause.REPEATS: lambda row: f"{like[row]:.2f} like {ids[near[row]]}, which is kept",
        Cause.FULL: lambda row: (
            f"{topics.names[of[row]]} is full of pages worth more: {worth[row]:.2f} against {last[of[row]]:.2f} or more"
        ),
        Cause.NO_ROOM: lambda row: f"its {tokens[row]:,} tokens were more than was left for {topics.names[of[row]]}",
    }
    return [words[why](row) for row, why in enumerate(cause.tolist())]


def account(choices: pd.DataFrame, verdict: Verdict, topics: Topics, limit: int, method: str, seed: int, start: float) -> CurationReport:
    tokens, quality, kept, of = choices["tokens"].to_numpy(), choices["quality"].to_numpy(), verdict.kept, topics.of
    size = len(topics.labels)

    def by_topic(values: np.ndarray | None, which: np.ndarray) -> np.ndarray:
        return np.bincount(of[which], None if values is None else values[which], size)

    every = np.ones(len(tokens), bool)
    wanted = topics.weights / topics.weights.sum()
    before, after, counts = by_topic(tokens, every), by_topic(tokens, kept), by_topic(None, kept)
    rows, starved = by_topic(None, every), verdict.fit < wanted * limit
    mean_before, mean = (by_topic(quality, which) / np.maximum(by_topic(None, which), 1) for which in (every, kept))
    square_before, square = (by_topic(quality**2, which) / np.maximum(by_topic(None, which), 1) for which in (every, kept))
    spread_before, spread = np.sqrt(np.maximum(square_before - mean_before**2, 0)), np.sqrt(np.maximum(square - mean**2, 0))
    table = pd.DataFrame(
        {
            "topic": topics.labels, "name": topics.names, "wanted": wanted, "before": before / max(before.sum(), 1),
            "after": after / max(after.sum(), 1), "pages": counts, "tokens": after.astype(np.int64),
            "available_tokens": verdict.fit.astype(np.int64),
            "gap_tokens": np.where(starved, np.maximum(np.round(wanted * limit - after), 0), 0).astype(np.int64),
            "quality_before": mean_before, "quality_after": mean, "spread_after": spread,
        }
    )  # fmt: skip
    left, funnel = len(tokens), [{"step": "came in", "pages": len(tokens), "removed": 0, "tokens": int(tokens.sum())}]
    remaining = every.copy()
    for at, name in enumerate(CAUSES):
        gone = verdict.cause == at
        if at != Cause.KEPT and gone.any():
            remaining &= ~gone
            left -= int(gone.sum())
            funnel.append({"step": name, "pages": left, "removed": int(gone.sum()), "tokens": int(tokens[remaining].sum())})
    return CurationReport(
        method=method, budget=limit, tokens=int(after.sum()), available=int(tokens.sum()), pages_in=len(tokens), pages=int(kept.sum()),
        quality=float(np.average(quality[kept], weights=tokens[kept])) if after.sum() else 0.0,
        quality_before=float(np.average(quality, weights=tokens)) if tokens.sum() else 0.0,
        spread=float(spread[counts > 1].mean()) if (counts > 1).any() else 0.0,
        spread_before=float(spread_before[rows > 1].mean()) if (rows > 1).any() else 0.0,
        effective_topics=effective_number(after), effective_topics_before=effective_number(before),
        gap_tokens=int(table["gap_tokens"].sum()), seed=seed, seconds=round(time.perf_counter() - start, 3), funnel=pd.DataFrame(funnel),
        topics=table,
    )  # fmt: skip
