"""What was asked for, what came, what stayed, and how far it closes the gaps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.report_base import Report
from hare_lab.synthesis.backends.base import Backend
from hare_lab.synthesis.filters import REASONS
from hare_lab.synthesis.parsing import Sample

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True)
class SynthesisReport(Report):
    """The account of one synthesis.

    Attributes
    ----------
    funnel : DataFrame with the columns step, pages, removed
        How many replies were left after each filter, in order; the replies stand first.
    topics : DataFrame with the columns topic, name, wanted, before, after, asked_tokens, tokens
        Shares of the corpus's tokens (0 to 1) before and after the accepted samples are added, in the topic that was asked for
        and that the filters confirmed.
    composition : DataFrame with the columns task, kind, topic, samples, tokens
    """

    title: ClassVar[str] = "Synthesis"

    model: str
    recorded: bool
    settings: str
    budget: int
    replies: int
    accepted: int
    tokens: int
    mended: int
    worst_short: str
    funnel: pd.DataFrame
    topics: pd.DataFrame
    composition: pd.DataFrame

    def _rows(self) -> list[tuple[str, Any]]:
        note = [("note", "the replies are a recording that comes with the project: no model was asked")] if self.recorded else []
        return [
            ("model", self.model),
            ("budget in tokens", self.budget),
            ("replies", self.replies),
            ("accepted", self.accepted),
            ("tokens accepted", self.tokens),
            ("items mended", self.mended),
            ("topics that improved", int((self.topics["after"] > self.topics["before"]).sum())),
            *([("still short", self.worst_short)] if self.worst_short else []),
            *note,
        ]

    def figure(self) -> go.Figure:
        """What each filter took."""
        from hare_lab import figures

        return figures.synthesis_funnel(self.funnel)


def report_on(
    plan: pd.DataFrame, gaps: pd.DataFrame, samples: Sequence[Sample], verdicts: Sequence[tuple[str, str]], sizes: Sequence[int],
    backend: Backend, budget: int,
) -> SynthesisReport:  # fmt: skip
    """The report of replies and their verdicts."""
    import pandas as pd

    stays = [not reason for reason, _ in verdicts]
    rows = [(s.request.task, s.request.kind, s.request.topic, size) for s, stay, size in zip(samples, stays, sizes, strict=True) if stay]
    made = pd.DataFrame(rows, columns=["task", "kind", "topic", "tokens"])
    composition = made.groupby(["task", "kind", "topic"], as_index=False).agg(samples=("tokens", "size"), tokens=("tokens", "sum"))
    topics = _before_after(plan, gaps, made)
    short = topics[topics["tokens"] < 0.9 * topics["asked_tokens"]]
    settings = {s.request.task: dict(backend.settings(s.request)) for s in samples}
    return SynthesisReport(
        model=backend.model, recorded=not backend.live, settings=json.dumps(settings, sort_keys=True), budget=budget, replies=len(samples),
        accepted=sum(stays), tokens=int(made["tokens"].sum()),
        mended=sum(bool(s.mended) and stay for s, stay in zip(samples, stays, strict=True)),
        worst_short=", ".join(f"{name} ({have / asked:.0%} of its tokens)" for name, have, asked in
                              zip(short["name"], short["tokens"], short["asked_tokens"], strict=True)),
        funnel=funnel([reason for reason, _ in verdicts]), topics=topics, composition=composition,
    )  # fmt: skip


def funnel(reasons: Sequence[str]) -> pd.DataFrame:
    """Columns step, pages, removed: what is left of the replies after each filter, in the order in which they are asked."""
    import pandas as pd

    found, left = Counter(reasons), len(reasons)
    rows = [("replies", left, 0)]
    for reason in REASONS:
        if found[reason]:
            left -= found[reason]
            rows.append((reason, left, found[reason]))
    return pd.DataFrame(rows, columns=["step", "pages", "removed"])


def _before_after(plan: pd.DataFrame, gaps: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Each topic's share of the tokens before and after."""
    had = dict(zip(gaps["topic"], gaps["tokens"], strict=True))
    got = made.groupby("topic")["tokens"].sum()
    total, new = float(gaps["tokens"].sum()), float(got.sum())
    tokens = plan["topic"].map(got).fillna(0).astype(int)
    before = plan["topic"].map(had).to_numpy(float)
    return plan[["topic", "name", "wanted"]].assign(
        before=before / max(1.0, total),
        after=(before + tokens.to_numpy(float)) / max(1.0, total + new),
        asked_tokens=plan["tokens"].astype(int),
        tokens=np.asarray(tokens),
    )
