"""One corpus in, one topic map out: the steps of notebooks 01 and 02 in a row, for `hare-lab map`.

Nothing is decided here. Each step is a function of its own module; this one hands the results on and keeps the account of
what was removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab import clustering, corpus, dedup, diversity, embedding, topics
from hare_lab.corpus.pages import joined, with_columns
from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.report_base import plain, plural

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset

SNIPPET = 160  # characters of a page that a hover shows


@dataclass(frozen=True)
class Mapped:
    """A mapped corpus: `pages` (with cluster, nearest_cluster, x, y) and `removed` partition what came in."""

    pages: Dataset
    removed: Dataset
    vectors: np.ndarray
    topics: topics.Topics
    steps: dict[str, Any]

    def parts(self) -> tuple[Dataset, Dataset, np.ndarray, pd.DataFrame, dict[str, Any]]:
        """Pages, removed, vectors, the table of topics, and the reports as plain values: what a run keeps."""
        return self.pages, self.removed, self.vectors, self.topics.table, self.report()

    def figure(self) -> go.Figure:
        """The topic map."""
        from hare_lab import figures

        return figures.topic_map(points(self.pages, self.topics.table))

    def caption(self) -> str:
        """What the figure shows, in one sentence with its numbers."""
        clusters = self.steps["clustering"]
        return (
            f"Each point is one of {len(self.pages):,} pages; near points are alike in meaning (the axes have no unit). "
            f"Colour: {clusters.n_clusters} clusters; grey: {clusters.noise:.0%} unclustered."
        )

    def report(self) -> dict[str, Any]:
        """Every step's report as plain values."""
        return {name: plain(step.to_dict()) for name, step in self.steps.items()}

    def summary(self) -> str:
        """One line for a terminal."""
        clusters = self.steps["clustering"]
        kept, found = plural(len(self.pages), "page"), plural(clusters.n_clusters, "cluster")
        return f"{kept} kept, {len(self.removed):,} removed, {found}, {clusters.noise:.0%} unclustered."


def map_corpus(
    source: Any, priors: Priors, *, seed: int = 0, limit: int | None = None, column: str | None = None, model: str | None = None
) -> Mapped:
    """Load, clean, deduplicate, embed, cluster and name a corpus.

    Raises
    ------
    InputError
        As `corpus.load` does, or if no page survives cleaning.
    """
    loaded = corpus.load(source, column=column, limit=limit, seed=seed)
    pages, removed, vectors, steps = distinct_pages(loaded, priors, model=model)
    clusters = clustering.cluster(vectors, seed=seed)
    named = topics.describe(pages, clusters, vectors, seed=seed)
    steps |= {
        "clustering": clusters.report,
        "topics": named.report,
        "diversity": diversity.profile(pages, vectors, clusters.cluster, seed=seed),
    }
    return Mapped(with_clusters(pages, clusters), removed, vectors, named, steps)


def distinct_pages(
    loaded: corpus.Loaded, priors: Priors, *, model: str | None = None, budget: int | None = None
) -> tuple[Dataset, Dataset, np.ndarray, dict[str, Any]]:
    """Clean, deduplicate and embed what `corpus.load` read: its distinct pages, what was removed, vectors, and each step's report.

    Raises
    ------
    InputError
        If no page survives cleaning, or they have fewer tokens than `budget`; that is told before anything is embedded.
    """
    cleaned = corpus.clean(loaded.pages, priors)
    if len(cleaned.pages) == 0:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in cleaned.report.removed.items())
        raise InputError(
            f"{loaded.report.source}: no page is left after cleaning: {reasons}; loosen `cleaning` or `languages` in the priors"
        )
    pages, removed = cleaned.pages, [loaded.removed, cleaned.removed]
    steps: dict[str, Any] = {"load": loaded.report, "clean": cleaned.report}
    steps["exact copies"] = dedup.exact(pages)
    pages, gone = dedup.drop(pages, steps["exact copies"])
    removed.append(gone)
    steps["near copies"] = dedup.near(pages, threshold=priors.duplication.near)
    pages, gone = dedup.drop(pages, steps["near copies"])
    removed.append(gone)
    if budget is not None and budget > (have := int(corpus.token_counts(pages["text"], priors.tokenizer).sum())):
        raise InputError(
            f"{loaded.report.source}: the budget is {budget:,} tokens but all pages together have {have:,}; give at most that many"
        )
    embedded = embedding.embed(pages, model=model)
    vectors = np.asarray(embedded.vectors)
    steps["embed"] = embedded.report
    steps["semantic copies"] = dedup.semantic(pages, vectors, threshold=priors.duplication.semantic)
    vectors = vectors[steps["semantic copies"].kept_rows(len(pages))]
    pages, gone = dedup.drop(pages, steps["semantic copies"])
    removed.append(gone)
    return pages, joined(removed), vectors, steps


def with_clusters(pages: Dataset, clusters: clustering.Clusters) -> Dataset:
    """The pages with `cluster`, `nearest_cluster`, `strength` and their place `x`, `y` on the map."""
    import pyarrow as pa

    return with_columns(
        pages,
        {
            "cluster": pa.array(clusters.cluster), "nearest_cluster": pa.array(clusters.nearest_cluster),
            "strength": pa.array(clusters.strength), "x": pa.array(clusters.layout[:, 0]), "y": pa.array(clusters.layout[:, 1]),
        },
    )  # fmt: skip


def points(pages: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """What the topic map draws: one row a page, its cluster's name as `topic`, a snippet of its text."""
    import pandas as pd

    names = dict(zip(table["cluster"], table["name"], strict=True))
    columns = [
        c
        for c in ("id", "title", "source", "x", "y", "cluster", "nearest_cluster", "strength", "words", "language")
        if c in pages.column_names
    ]
    frame: pd.DataFrame = pages.select_columns(columns).to_pandas()
    frame["snippet"] = [" ".join(text[: 2 * SNIPPET].split())[:SNIPPET] for text in pages["text"]]
    frame["topic"] = pd.Series([names.get(c, "unclustered") for c in frame["cluster"]], index=frame.index)
    return frame


def funnel(pages: Dataset, removed: Dataset) -> pd.DataFrame:
    """Columns step, pages, removed: how many were left after each reason, in the order of the steps."""
    import pandas as pd

    why = pd.DataFrame({"step": list(removed["step"]), "reason": list(removed["reason"])})
    left = len(pages) + len(removed)
    rows = [{"step": "read", "pages": left, "removed": 0}]
    for _, counts in why.groupby("step", sort=False)["reason"]:
        for reason, count in counts.value_counts().items():
            left -= int(count)
            rows.append({"step": str(reason), "pages": left, "removed": int(count)})
    return pd.DataFrame(rows)
