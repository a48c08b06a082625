"""The table of topics: each cluster's name, key terms, size, representative pages and place in a hierarchy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from hare_lab.clustering import Clusters
from hare_lab.errors import InputError
from hare_lab.report_base import Report, html_table
from hare_lab.topics.names import Namer, name_all
from hare_lab.topics.terms import Counts, count_terms, key_terms, pull

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset

REPRESENTATIVES = 5
TELLING = 5  # first key terms of a cluster that may name the broader topic it is part of
SNIPPET = 300  # characters of a representative that a namer sees


@dataclass(frozen=True)
class TopicsReport(Report):
    """How the clusters were named; `rows` holds each cluster's name, parent_name, size and share, the largest first.

    `layers` counts the topics of each layer, the finest first; `fallbacks` says where the namer failed.
    """

    title: ClassVar[str] = "Topics"

    pages: int
    unclustered: float
    layers: list[int]
    named_by: str
    fallbacks: list[str]
    rows: list[dict[str, Any]]
    seconds: float

    def _repr_html_(self) -> str:
        layers = ", ".join(f"{count:,}" for count in self.layers)
        failed = f", {len(self.fallbacks)} of them by key terms since the namer failed" if self.fallbacks else ""
        caption = f"Topics: {layers} by layer; named by {self.named_by}{failed}; {self.unclustered:.1%} of {self.pages:,} pages unclustered"
        rows = [(row["name"], row["size"], f"{row['share']:.1%}", row["parent_name"]) for row in self.rows]
        return html_table(rows, ("topic", "pages", "share", "part of"), caption)

    def figure(self) -> go.Figure:
        """Topics within broader topics."""
        import pandas as pd

        from hare_lab import figures

        return figures.topic_hierarchy(pd.DataFrame(self.rows, columns=["name", "parent_name", "size", "share"]))


@dataclass(frozen=True)
class Topics:
    """`table`: one row a cluster; `report`: the account of it. Columns: see `describe`."""

    table: pd.DataFrame
    report: TopicsReport

    def figure(self) -> go.Figure:
        """Topics within broader topics."""
        return self.report.figure()


def describe(
    pages: Dataset, clusters: Clusters, vectors: np.ndarray, *, namer: Namer | None = None, layers: int = 2, seed: int = 0
) -> Topics:
    """Say what each cluster is about, and how clusters make up broader topics.

    Parameters
    ----------
    pages : Dataset with id, text and, if it has one, title
    clusters : what `clustering.cluster` found for them
    vectors : float array (n, dim), in the same order
    namer : called with key terms and excerpts of a cluster, gives a name; None names by the three best key terms
    layers : layers of topics, the clusters among them; 1 or more
    seed : every step takes one; naming draws nothing at random, so it changes nothing

    Returns
    -------
    Topics, whose table has, for each cluster with pages, the columns cluster, name, terms (list of str), size (pages), share
    (of all pages), representatives (ids of the pages nearest to its centre) and, with two layers or more, parent and
    parent_name; a third layer adds parent_2 and parent_2_name, and so on. Names of one layer differ from one another.

    Raises
    ------
    InputError
        If pages, clusters and vectors differ in number, or layers is below 1.
    """
    import pandas as pd

    start = time.perf_counter()
    labels = np.asarray(clusters.cluster)
    if not len(pages) == len(labels) == len(vectors):
        raise InputError(f"topics: {len(pages):,} pages, {len(labels):,} clustered and {len(vectors):,} vectors; give those of one corpus")
    if layers < 1:
        raise InputError(f"topics: layers is {layers}; give 1 or more")
    present, groups = np.unique(labels, return_inverse=True)
    groups = groups - int(present[0] == -1) if len(present) else groups
    present = present[present >= 0]
    sizes = np.bincount(groups[groups >= 0], minlength=len(present))
    centres = _centres(vectors, groups, len(present))
    nearest = _representatives(vectors, groups, centres)
    titles = pages["title"] if "title" in pages.column_names else [""] * len(pages)
    counts = count_terms((f"{title or ''}\n{text or ''}" for title, text in zip(titles, pages["text"], strict=True)), groups, len(present))
    terms = key_terms(counts, sizes)
    names, failures = name_all(terms, [_snippets(pages, rows) for rows in nearest], namer)
    ids = pages["id"]
    table = pd.DataFrame(
        {
            "cluster": present.astype(int), "name": names, "terms": terms, "size": sizes, "share": sizes / max(len(pages), 1),
            "representatives": [[ids[int(row)] for row in rows] for rows in nearest],
        }
    )  # fmt: skip
    layer_sizes = [len(present)]
    for layer, parents in enumerate(_layers(centres, sizes, layers), start=1):
        suffix = "" if layer == 1 else f"_{layer}"
        table[f"parent{suffix}"] = parents
        table[f"parent{suffix}_name"] = _parent_names(counts, terms, sizes, parents, vectors, centres)
        layer_sizes.append(len(np.unique(parents)))
    if layers == 1:
        table["parent_name"] = ""
    shown = table.sort_values("size", ascending=False, kind="stable")[["name", "parent_name", "size", "share"]]
    report = TopicsReport(
        pages=len(pages),
        unclustered=float((labels < 0).mean()) if len(labels) else 0.0,
        layers=layer_sizes,
        named_by="key terms" if namer is None else "the namer",
        fallbacks=failures,
        rows=[{str(name): value for name, value in row.items()} for row in shown.to_dict(orient="records")],
        seconds=time.perf_counter() - start,
    )
    return Topics(table, report)


def _centres(vectors: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """The mean of each group's vectors (g, dim)."""
    inside = np.flatnonzero(groups >= 0)
    member = sparse.csr_matrix((np.ones(len(inside), np.float32), (groups[inside], inside)), shape=(n_groups, len(groups)))
    total = member @ np.asarray(vectors, dtype=np.float32)
    return np.asarray(total / np.bincount(groups[inside], minlength=n_groups)[:, None])


def _representatives(vectors: np.ndarray, groups: np.ndarray, centres: np.ndarray) -> list[np.ndarray]:
    """Rows of the pages nearest to the centre of each group, the nearest first."""
    found = []
    for group, centre in enumerate(centres):
        rows = np.flatnonzero(groups == group)
        found.append(rows[np.argsort(-(vectors[rows] @ centre), kind="stable")[:REPRESENTATIVES]])
    return found


def _snippets(pages: Dataset, rows: np.ndarray) -> list[str]:
    return [" ".join(pages[int(row)]["text"][: 2 * SNIPPET].split())[:SNIPPET] for row in rows]


def _layers(centres: np.ndarray, sizes: np.ndarray, layers: int) -> list[np.ndarray]:
    """Parents of the clusters in each coarser layer; the counts of the layers fall geometrically to one above the last.

    Average linkage of the centres by cosine, the corpus's own centre taken off first: what all pages share says nothing.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    n = len(centres)
    if n < 2:
        return [np.zeros(n, int) for _ in range(layers - 1)]
    apart = centres - np.average(centres, axis=0, weights=sizes)
    tree = linkage(apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12), "average")  # of unit rows: as by cosine
    wanted = [max(1, round(n ** ((layers - layer) / layers))) for layer in range(1, layers)]
    return [_by_pages(fcluster(tree, count, "maxclust") - 1, sizes) for count in wanted]


def _by_pages(parents: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Parents renumbered so that 0 has the most pages."""
    _, dense = np.unique(parents, return_inverse=True)
    rank = np.argsort(np.argsort(-np.bincount(dense, sizes), kind="stable"), kind="stable")
    return np.asarray(rank[dense])


def _parent_names(
    counts: Counts, terms: list[list[str]], sizes: np.ndarray, parents: np.ndarray, vectors: np.ndarray, centres: np.ndarray
) -> list[str]:
    """A name for each cluster's parent, of words that tell one of its clusters and whose pages lie towards its centre."""
    n = int(parents.max()) + 1 if len(parents) else 0
    member = sparse.csr_matrix((np.ones(len(parents)), (parents, np.arange(len(parents)))), shape=(n, len(parents)))
    pages = np.bincount(parents, sizes, minlength=n)
    pulls = np.ones((1, len(counts.terms)))  # one topic of all pages has no direction
    if n > 1:
        pulls = pull(counts.uses, vectors, (member @ (centres * sizes[:, None])) / pages[:, None])
    column = {term: number for number, term in enumerate(counts.terms)}
    telling = np.zeros((n, len(column)), bool)
    for own, parent in zip(terms, parents, strict=True):
        telling[parent, [column[term] for term in own[:TELLING]]] = True
    grouped = Counts((member @ counts.pages_with).tocsr(), counts.terms, counts.uses)
    best = key_terms(grouped, pages, pulls=pulls * telling, share=0.005)  # a word of one cluster among many stands on few of all pages
    names, _ = name_all(best, [[] for _ in range(n)], None)
    return [names[parent] for parent in parents]
