"""All the measures of one set of pages, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.diversity.estimate import Estimate
from hare_lab.diversity.shares import hill_curve
from hare_lab.diversity.vectors import Vectors, neighbour_distance, pairwise_distance, vendi_score
from hare_lab.diversity.words import text_measures
from hare_lab.errors import InputError
from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

_NO_TOPIC = frozenset({"-1", "-1.0", "", "unclustered", "nan", "none", "<na>"})
_WORDS = {
    "topics": "topics",
    "effective_topics": "effective number of topics, by share (Hill 1)",
    "common_topics": "effective number of common topics (Hill 2)",
    "vendi": "Vendi score: effective number of different pages",
    "pairwise_distance": "mean distance of two pages (cosine)",
    "neighbour_distance": "mean distance to the nearest page (cosine)",
    "distinct_1": "different words among equally many",
    "distinct_2": "different pairs of words",
    "distinct_3": "different runs of three words",
    "compression_ratio": "compression ratio (higher: more repetitive)",
}


@dataclass(frozen=True)
class DiversityProfile(Report):
    """What `profile` found. A measure that had no vectors, no labels or only one page to look at is None.

    Attributes
    ----------
    topics, effective_topics, common_topics : Estimate
        Hill numbers of order 0, 1 and 2 over the clustered pages. Their interval says how far another corpus of the same
        size and source could differ (bootstrap); the intervals below say how far the sampled number may be from the exact.
    unclustered : share of pages in no topic, which the Hill numbers leave out
    vendi : effective number of pages as far as their vectors differ; at most the vectors' dimension
    pairwise_distance, neighbour_distance : mean cosine distance of two pages, and of a page to the nearest other one
    distinct_1, distinct_2, distinct_3 : share of different n-grams among the same number of n-grams
    compression_ratio : bytes before over bytes after, for the same number of bytes; higher is more repetitive
    grams : n-grams in one reading, smaller than GRAMS where the corpus is
    curve : rows of (order, effective number, low, high)
    """

    title: ClassVar[str] = "Diversity"

    pages: int
    grams: int
    distinct_1: Estimate
    distinct_2: Estimate
    distinct_3: Estimate
    compression_ratio: Estimate
    topics: Estimate | None = None
    effective_topics: Estimate | None = None
    common_topics: Estimate | None = None
    unclustered: float | None = None
    vendi: Estimate | None = None
    pairwise_distance: Estimate | None = None
    neighbour_distance: Estimate | None = None
    curve: tuple[tuple[float, float, float, float], ...] = ()

    def table(self) -> pd.DataFrame:
        """The curve of Hill numbers as `figures.diversity_profile` takes it; put a column `set` to it to compare corpora."""
        import pandas as pd

        return pd.DataFrame(self.curve, columns=["order", "effective_number", "low", "high"])

    def figure(self, theme: str = "screen") -> go.Figure:
        """The curve of Hill numbers: the effective number of topics against how little rare ones count."""
        from hare_lab import figures

        return figures.diversity_profile(self.table(), theme=theme)

    def _repr_html_(self) -> str:
        said = {name: str(value) for name in _WORDS if (value := getattr(self, name)) is not None}
        if self.topics is not None:
            said["topics"] = f"{self.topics.value:,.0f}"  # a count; its interval is about the source, which can't have fewer
        rows = [(_WORDS[name], value) for name, value in said.items()]
        if self.unclustered is not None:
            rows.insert(0, ("pages in no topic, which the topics below leave out", f"{self.unclustered:.1%}"))
        return html_table(rows, ("measure", "value (95 % interval)"), f"{self.title} of {self.pages:,} pages")


def profile(
    pages: Any, vectors: Vectors | None = None, labels: Sequence[Any] | NDArray[Any] | None = None, *, seed: int = 0, sample: int = 4_000
) -> DiversityProfile:
    """Every measure of diversity that the data allow.

    Parameters
    ----------
    pages : Dataset, slice of one or DataFrame with a column `text`, or a sequence of texts
    vectors : array of shape (n_pages, dim), any length of rows but zero
    labels : topic of each page; -1, "unclustered" and None are no topic
    seed : of the bootstrap and the samples
    sample : int
        From how many pages to look for the nearest neighbour where the corpus has over 20,000; up to that, from all.

    Raises
    ------
    InputError
        If there is no page or no column text, lengths differ, or a vector holds NaN or is zero.
    """
    texts = _texts(pages)
    count = len(texts)
    if count == 0:
        raise InputError("diversity: no page to measure; load or keep at least one")
    for name, values in (("vectors", vectors), ("labels", labels)):
        if values is not None and len(values) != count:
            raise InputError(f"diversity: {count:,} pages but {len(values):,} {name}; give one a page, in the same order")
    found: dict[str, Any] = {**text_measures(texts, seed=seed)}
    if labels is not None:
        found |= _topic_measures(labels, seed)
    if vectors is not None:
        found["vendi"] = vendi_score(vectors)
        if count > 1:
            found["pairwise_distance"] = pairwise_distance(vectors)
            found["neighbour_distance"] = neighbour_distance(vectors, sample=None if count <= 20_000 else sample, seed=seed)
    return DiversityProfile(pages=count, **found)


def _texts(pages: Any) -> Sequence[str]:
    """The texts of a Dataset (read as they are asked for), of a slice of one (a dictionary), of a data frame, or as given."""
    if isinstance(pages, str):
        raise InputError("diversity: profile takes a list of texts, not one string; put it in a list")
    columns = list(pages) if isinstance(pages, Mapping) else getattr(pages, "column_names", getattr(pages, "columns", None))
    if columns is None:
        return list(pages) if not isinstance(pages, Sequence) else pages
    if "text" not in columns:
        raise InputError(f"diversity: the pages have no column text, only {', '.join(map(str, columns))}; name it at load")
    texts: Sequence[str] = pages["text"]
    if isinstance(texts, str):
        raise InputError("diversity: profile takes pages, not one of them; take it as a slice of length 1")
    return texts if hasattr(pages, "column_names") else list(texts)


def _topic_measures(labels: Sequence[Any] | NDArray[Any], seed: int) -> dict[str, Any]:
    names = [str(label) for label in labels]
    counts = Counter(name for name in names if name.lower() not in _NO_TOPIC)
    curve = dict(hill_curve(list(counts.values()), seed=seed))
    return {
        "topics": curve[0.0], "effective_topics": curve[1.0], "common_topics": curve[2.0], "unclustered": 1 - counts.total() / len(names),
        "curve": tuple((order, e.value, e.low, e.high) for order, e in curve.items()),
    }  # fmt: skip
