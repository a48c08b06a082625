"""What was chosen, what was left out and why, and what that did to the composition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.report_base import Report

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset


@dataclass(frozen=True)
class CurationReport(Report):
    """The account of a choice.

    Attributes
    ----------
    budget, tokens, available : tokens allowed, tokens chosen, tokens of all pages that came in
    funnel : DataFrame with columns step, pages, removed, tokens
        How many were left after each cause, in the order in which it was looked at; `tokens` are those of the pages left.
    topics : DataFrame, one row a topic
        `topic`, `name`, `wanted` (share asked for, 0 to 1), `before` and `after` (shares of the tokens), `pages` and `tokens` chosen,
        `available_tokens` (fit to be chosen), `gap_tokens` (what the pages could not give), `quality_before`, `quality_after` and
        `spread_after` (mean and standard deviation of the quality of its pages, 0 where there is none).
    quality, quality_before : mean quality by token of what was chosen, of what came in
    spread, spread_before : mean over topics of the standard deviation of quality within a topic; small is consistent
    effective_topics, effective_topics_before : Hill numbers of order 1 of the shares of tokens
    gap_tokens : what topics with too few pages lack of their shares, in all
    """

    title: ClassVar[str] = "The concise set"

    method: str
    budget: int
    tokens: int
    available: int
    pages_in: int
    pages: int
    quality: float
    quality_before: float
    spread: float
    spread_before: float
    effective_topics: float
    effective_topics_before: float
    gap_tokens: int
    seed: int
    seconds: float
    funnel: pd.DataFrame
    topics: pd.DataFrame

    def _rows(self) -> list[tuple[str, Any]]:
        short = self.topics[self.topics["gap_tokens"] > 0]
        names = ", ".join(str(name) for name in short.sort_values("gap_tokens", ascending=False)["name"].head(5))
        return [
            ("method", self.method),
            ("pages", f"{self.pages:,} of {self.pages_in:,}"),
            ("tokens", f"{self.tokens:,} of a budget of {self.budget:,} ({self.tokens / self.budget:.2%})"),
            ("mean quality", f"{self.quality:.2f}, before {self.quality_before:.2f}"),
            ("spread of quality within a topic", f"{self.spread:.3f}, before {self.spread_before:.3f}"),
            ("effective topics", f"{self.effective_topics:.1f}, before {self.effective_topics_before:.1f}"),
            ("topics with too few pages", f"{len(short):,}{f': {names}' if names else ''}{', ...' if len(short) > 5 else ''}"),
            ("tokens they lack", self.gap_tokens),
            ("seconds", self.seconds),
        ]

    def summary(self) -> str:
        """One line for a terminal."""
        short = int((self.topics["gap_tokens"] > 0).sum())
        topics = "1 topic has" if short == 1 else f"{short} topics have"
        lack = f"; {topics} too few pages and lack {self.gap_tokens:,} tokens" if short else ""
        return f"{self.pages:,} of {self.pages_in:,} pages chosen, {self.tokens:,} of {self.budget:,} tokens{lack}."

    def figure(self, theme: str = "screen") -> go.Figure:
        """The composition before and after, beside what the priors ask for."""
        from hare_lab import figures

        return figures.composition(self.topics, theme=theme)


@dataclass(frozen=True)
class Curated:
    """A choice of pages: what became of each, and the account.

    Attributes
    ----------
    choices : DataFrame, one row a page, in the order of the pages
        `id`, `kept`, `reason` (in words), `topic`, `tokens`, `quality`, `cause` (the kind of reason), `worth` (at its turn;
        falling in the order in which a method prefers pages).
    """

    choices: pd.DataFrame
    report: CurationReport

    @property
    def rows(self) -> np.ndarray:
        """The rows of the chosen pages, ascending."""
        return np.flatnonzero(self.choices["kept"].to_numpy(bool))

    def pages(self, pages: Dataset) -> Dataset:
        """The chosen pages of those that the choice was made among, in their order, each with its `reason`.

        Raises
        ------
        InputError
            If these are not the pages that the choice was made among.
        """
        import pyarrow as pa

        from hare_lab.corpus.pages import with_columns
        from hare_lab.errors import InputError

        if len(pages) != len(self.choices) or pages["id"][:] != list(self.choices["id"]):
            raise InputError(f"curation: the choice was made among {len(self.choices):,} other pages; pass the same pages")
        return with_columns(pages.select(self.rows), {"reason": pa.array(self.choices["reason"].to_numpy(object)[self.rows], pa.string())})

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def gaps_left(ledger: pd.DataFrame, report: CurationReport) -> pd.DataFrame:
    """The gap ledger with `gaps_left`: the tokens that each topic lacks of its share of the budget once all its pages are in.

    Parameters
    ----------
    ledger : DataFrame with a column `topic`, one row a topic
    """
    short = dict(zip(report.topics["topic"], report.topics["gap_tokens"], strict=True))
    return ledger.assign(gaps_left=[int(short.get(topic, 0)) for topic in ledger["topic"]])
