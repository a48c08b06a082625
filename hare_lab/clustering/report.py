"""What a clustering came to: how many clusters, how large, what is left out, how long it took, by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.report_base import Report

if TYPE_CHECKING:
    import plotly.graph_objects as go

_STABLE = "how alike the groups that two random halves of the links between neighbours give: 0 as by chance, 1 the same"


@dataclass(frozen=True)
class ClusterReport(Report):
    """The account of one clustering.

    `noise` is the share of pages in no cluster; `sizes` holds the pages of each cluster, by its number; `fitted` of the
    `pages` were clustered together and the rest assigned; `least_strength` is the strength below which a page is
    unclustered; `seconds` are by step; memory is in GiB, the peak that of the whole process so far; `stability` is how well
    communities of random halves of the graph agree (adjusted mutual information, 0 by chance, 1 the same) at `resolution`;
    `rules` say how each column comes about, for whoever reads the report as data.
    """

    title: ClassVar[str] = "Clusters"

    pages: int
    n_clusters: int
    noise: float
    sizes: list[int]
    fitted: int
    sampled: bool
    least_strength: float
    seconds: dict[str, float]
    memory_estimated: float
    memory_peak: float
    settings: dict[str, Any]
    rules: dict[str, str]
    resolution: float | None = None
    stability: float | None = None

    def _rows(self) -> list[tuple[str, Any]]:
        clustered = sorted(self.sizes)
        spread = f"{clustered[0]:,} to {clustered[-1]:,} pages, median {clustered[len(clustered) // 2]:,}" if clustered else "–"
        fitted = f"a sample of {self.fitted:,}; the rest by their neighbours in it" if self.sampled else "all pages together"
        wanted = self.settings.get("n_clusters")
        missed = [("target", f"asked for {wanted:,}, found {self.n_clusters:,}")] if wanted not in (None, self.n_clusters) else []
        return [
            ("pages", self.pages),
            ("clusters", f"{self.n_clusters:,} ({spread})"),
            *missed,
            ("unclustered", f"{self.noise:.1%}"),
            *([("stability", f"{self.stability:.2f} ({_STABLE})")] if self.stability is not None else []),
            ("fitted on", fitted),
            ("seconds", f"{sum(self.seconds.values()):.1f} ({', '.join(f'{step} {spent:.1f}' for step, spent in self.seconds.items())})"),
            ("memory", f"{self.memory_estimated:.1f} GiB estimated, {self.memory_peak:.1f} GiB at most in this process so far"),
        ]

    def figure(self) -> go.Figure:
        """The sizes of the clusters; those of `topics.describe` carry names."""
        import pandas as pd

        from hare_lab import figures

        table = pd.DataFrame({"cluster": range(len(self.sizes)), "size": self.sizes})
        table["name"] = [f"cluster {number}" for number in table["cluster"]]
        table["share"] = table["size"] / max(self.pages, 1)
        return figures.topic_sizes(table)
