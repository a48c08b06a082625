"""What `cover` found, as numbers with intervals and as a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.diversity import Estimate
from hare_lab.report_base import Report, html_table, plural

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_WORDS = {
    "divergence": "distance of have from wanted (Jensen-Shannon, 0 to 1 bit)",
    "effective_topics": "effective number of topics, by tokens (Hill 1)",
    "wanted_effective_topics": "effective number of topics wanted",
    "covered": "share of what the reference says that some page is near to",
    "other": "share of the tokens in no topic of the reference",
}
SHARES = ("topic", "name", "wanted", "have", "low", "high")  # columns of the gap ledger that the figure is drawn from
WORDLESS = "pages without a word, in no topic"
LEFT_OUT = "pages of the reference without a label, left out"


@dataclass(frozen=True)
class CoverageReport(Report):
    """A corpus against a reference.

    Attributes
    ----------
    reference : what it was held against
    pages, tokens : of the corpus
    topics : of the reference; empty_topics have no page at all
    divergence : Jensen-Shannon divergence between shares had and wanted (`other` is wanted at 0), in bits
    effective_topics : Hill number of order 1 of the token shares within the reference, `other` left out
    covered : share of the reference's points, weighted as their topics are, with a page within `radius`
    radius : cosine similarity at which a page counts as near
    other : share of the tokens in no topic
    missing_tokens : all gaps above zero together
    floor : similarity from which a page fits a topic by itself; with its neighbours' word it may lie below
    curve : rows of (radius, covered, low, high), for the slider of notebook 04
    unlabelled : pages of the reference that were left out, since they say nothing of what they are about
    named_by : what a reference of pages takes its topics from: a column or clusters; "" for a taxonomy
    shares : rows of (topic, name, wanted, have, low, high), in the order of the gap ledger
    wordless : pages without a word, which are in no topic
    """

    title: ClassVar[str] = "Coverage"

    reference: str
    pages: int
    tokens: int
    topics: int
    empty_topics: int
    divergence: Estimate
    effective_topics: Estimate
    wanted_effective_topics: float
    covered: Estimate
    radius: float
    other: Estimate
    missing_tokens: int
    floor: float
    curve: tuple[tuple[float, float, float, float], ...] = ()
    unlabelled: int = 0
    named_by: str = ""
    shares: tuple[tuple[str, str, float, float, float, float], ...] = ()
    wordless: int = 0

    def table(self) -> pd.DataFrame:
        """The curve of coverage over the radius: columns radius, covered, low, high."""
        import pandas as pd

        return pd.DataFrame(self.curve, columns=["radius", "covered", "low", "high"])

    def figure(self, theme: str = "screen") -> go.Figure:
        """What each topic has, beside what was wanted of it."""
        import pandas as pd

        from hare_lab import figures

        return figures.wanted_and_have(pd.DataFrame(self.shares, columns=list(SHARES)), theme=theme)

    def summary(self) -> str:
        """One line for a terminal."""
        named_by = f" Topics of the reference by {self.named_by}." if self.named_by else ""
        wordless = f" {WORDLESS.capitalize()}: {self.wordless:,}." if self.wordless else ""
        left_out = f" {LEFT_OUT.capitalize()}: {self.unlabelled:,}." if self.unlabelled else ""
        return (
            f"{plural(self.pages, 'page')} against {plural(self.topics, 'topic')}: {self.empty_topics} empty, "
            f"{self.other.value:.0%} of the tokens in none, "
            f"divergence {self.divergence.value:.2f}, {plural(self.missing_tokens, 'token')} missing.{wordless}{named_by}{left_out}"
        )

    def _repr_html_(self) -> str:
        rows: list[tuple[str, Any]] = [
            (words, str(value) if isinstance(value := getattr(self, name), Estimate) else round(value, 2)) for name, words in _WORDS.items()
        ]
        rows += [("topics with no page at all", self.empty_topics), ("tokens missing in all topics", self.missing_tokens)]
        rows += [(WORDLESS, self.wordless)] if self.wordless else []
        rows += [("topics of the reference by", self.named_by)] if self.named_by else []
        rows += [(LEFT_OUT, self.unlabelled)] if self.unlabelled else []
        caption = f"{self.title} of {plural(self.topics, 'topic')} ({self.reference}) by {plural(self.pages, 'page')}"
        return html_table(rows, ("measure", "value (95 % interval)"), caption)
