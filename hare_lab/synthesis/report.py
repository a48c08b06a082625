"""What was asked for, what came, what stayed, and how far it closes the gaps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.coverage import OTHER, place
from hare_lab.report_base import Report
from hare_lab.synthesis.backends.base import Backend
from hare_lab.synthesis.filters import REASONS, Context
from hare_lab.synthesis.parsing import Sample

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset


@dataclass(frozen=True)
class SynthesisReport(Report):
    """The account of one synthesis.

    Attributes
    ----------
    funnel : DataFrame with the columns step, pages, removed
        How many replies were left after each filter, in order; the replies stand first.
    topics : DataFrame with the columns topic, name, wanted, before, after, asked_tokens, tokens, placed
        `before` and `after` are shares of the corpus's tokens (0 to 1): the ledger's, and those after the accepted samples have
        been added and placed like any page, wherever that puts them. `tokens` are those accepted, `placed` those of them that
        were placed in their topic.
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
    left_out: str
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
            *([("left out, with nothing to start from", self.left_out)] if self.left_out else []),
            *note,
        ]

    def stages(self) -> pd.DataFrame:
        """What `figures.synthesis_pipeline` draws: columns stage, count, unit, note."""
        import pandas as pd

        asked = int(self.topics["asked_tokens"].sum())
        enough = asked + len(self.topics) < self.budget  # where it is all poured, each topic loses less than a token to rounding
        poured = f"enough: each gets all that it lacks, {asked:,} together" if enough else "poured until all of them stand at one level"
        writer = "read from a recording" if self.recorded else f"written by {self.model}"
        rows = [
            ("Gap ledger", len(self.topics), "gaps", "the emptiest topics, held against the priors"),
            ("Budget", self.budget, "tokens", poured),
            ("Prompts", self.replies, "prompts", "seed page × kind × audience × style"),
            ("Replies", self.replies, "replies", writer),
            ("Filters", self.replies - self.accepted, "rejected", "each for one stated reason"),
            ("Accepted", self.accepted, "new samples", "each with its prompt, seed page and model"),
        ]
        return pd.DataFrame(rows, columns=["stage", "count", "unit", "note"])

    def figure(self) -> go.Figure:
        """What each filter took."""
        from hare_lab import figures

        return figures.synthesis_funnel(self.funnel)


def report_on(
    plan: pd.DataFrame,
    gaps: pd.DataFrame,
    placed: Mapping[str, int],
    samples: Sequence[Sample],
    verdicts: Sequence[tuple[str, str]],
    sizes: Sequence[int],
    backend: Backend,
    budget: int,
    left_out: Sequence[str] = (),
) -> SynthesisReport:
    """The report of replies and their verdicts."""
    import pandas as pd

    stays = [not reason for reason, _ in verdicts]
    rows = [(s.request.task, s.request.kind, s.request.topic, size) for s, stay, size in zip(samples, stays, sizes, strict=True) if stay]
    made = pd.DataFrame(rows, columns=["task", "kind", "topic", "tokens"])
    composition = made.groupby(["task", "kind", "topic"], as_index=False).agg(samples=("tokens", "size"), tokens=("tokens", "sum"))
    topics = _before_after(plan, gaps, made, placed)
    short = topics[topics["tokens"] < 0.9 * topics["asked_tokens"]]
    settings = {s.request.task: dict(backend.settings(s.request)) for s in samples}
    return SynthesisReport(
        model=backend.model, recorded=not backend.live, settings=json.dumps(settings, sort_keys=True), budget=budget, replies=len(samples),
        accepted=sum(stays), tokens=int(made["tokens"].sum()),
        mended=sum(bool(s.mended) and stay for s, stay in zip(samples, stays, strict=True)),
        worst_short=", ".join(f"{name} ({have / asked:.0%} of its tokens)" for name, have, asked in
                              zip(short["name"], short["tokens"], short["asked_tokens"], strict=True)),
        left_out=", ".join(left_out), funnel=funnel([reason for reason, _ in verdicts]), topics=topics, composition=composition,
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


def covered_with(samples: Sequence[Sample], sizes: Sequence[int], context: Context) -> dict[str, int]:
    """How many tokens of the samples coverage places in each topic, going by the text alone and not by what was asked for."""
    if not samples:
        return {}
    vectors = context.embed([sample.claim if sample.item else sample.text for sample in samples])
    found = place(np.concatenate([np.asarray(context.vectors, np.float32), vectors]), context.reference).topic[-len(samples) :]
    tokens: Counter[str] = Counter()
    for at, size in zip(found.tolist(), sizes, strict=True):
        tokens[context.topics[at].id if at >= 0 else OTHER] += size
    return dict(tokens)


def funnel_at(accepted: Dataset, rejected: Dataset, support: float) -> pd.DataFrame:
    """The funnel, were another support asked of task items; exact, for that filter asks last.

    Parameters
    ----------
    accepted, rejected : Dataset, as `synthesize` returns them
    support : the least cosine of an item's claim to its seed's best sentence
    """
    last = "not answerable"
    open_rows = list(accepted["support"]) + [s for s, reason in zip(rejected["support"], rejected["reason"], strict=True) if reason == last]
    reasons = [reason for reason in rejected["reason"] if reason != last]
    return funnel(reasons + [last if value is not None and value < support else "" for value in open_rows])


def _before_after(plan: pd.DataFrame, gaps: pd.DataFrame, made: pd.DataFrame, placed: Mapping[str, int]) -> pd.DataFrame:
    """Each topic's share of the tokens before and after."""
    total, new = float(gaps["tokens"].sum()), float(sum(placed.values()))
    had = plan["topic"].map(dict(zip(gaps["topic"], gaps["tokens"], strict=True))).to_numpy(float)
    got = plan["topic"].map(lambda topic: placed.get(topic, 0)).to_numpy(int)
    accepted = plan["topic"].map(made.groupby("topic")["tokens"].sum()).fillna(0).astype(int)
    return plan[["topic", "name", "wanted"]].assign(
        before=had / max(1.0, total), after=(had + got) / max(1.0, total + new), asked_tokens=plan["tokens"].astype(int),
        tokens=accepted, placed=got,
    )  # fmt: skip
