"""What a corpus is held against: topics with a weight, and the points in the space of meaning where each of them lies.

A taxonomy's topics lie where their descriptions do: each is embedded whole, by its name, and part by part, since one sentence
about five things lies near none of them. A benchmark's or a corpus' topics lie where their pages do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab import clustering, corpus, texts, topics
from hare_lab.choices import CHOICES, QUESTION, choices_of, with_choices
from hare_lab.corpus.pages import with_columns
from hare_lab.embedding import embed
from hare_lab.errors import InputError
from hare_lab.report_base import plural
from hare_lab.texts import OTHER, Topic

if TYPE_CHECKING:
    from datasets import Dataset

OWN_OTHER = "other of the reference"  # a topic of a reference of pages that calls it `other`, the name of what is in no topic
FEWEST = 20  # pages or items below which shares say nothing
GROUPS = ("topic", "subject", "label", "benchmark", "category")  # columns that name what a page of a reference is about
# Where the text of a page or item stands; the first that a reference has is read.
TEXTS = ("text", *(name for name in QUESTION if name != "text"))
MOST_GROUPS = 500
OUT = 0.1  # of pages that don't reach the floor of their own topic; half of them are placed by the word of neighbours that do
CENTRES = 12  # points that stand for a topic of many pages
_PART = re.compile(r"[:;,.]| and ")


@dataclass(frozen=True)
class Reference:
    """Topics that are wanted, and where they lie.

    Attributes
    ----------
    topics : tuple of Topic
        Their weights sum to 1.
    points : float32 array (n_points, dim), rows of unit length
    owner : int array (n_points,)
        The topic that each point belongs to, ascending.
    said : tuple of str, one a point
        What the point stands for: a phrase of the description, or a page's title.
    kind : "taxonomy" or "pages"
    floors : float array (n_topics,) or None
        The similarity to its topic that most pages of a reference's own reach, those of each topic apart. A page below it is not of
        that topic by itself, nor is one below that of unrelated descriptions, which alone counts where this is None (see `place`).
    model : what embedded the points, as `embedding.embed` takes it; what else they are compared with is embedded the same way
    unlabelled : pages that say nothing of what they are about, which are left out
    named_by : what a reference of pages takes its topics from, in words: a column or clusters; "" for a taxonomy
    """

    topics: tuple[Topic, ...]
    points: NDArray[np.float32]
    owner: NDArray[np.int64]
    said: tuple[str, ...]
    kind: str
    floors: NDArray[np.float64] | None = None
    model: Any = None
    unlabelled: int = 0
    named_by: str = ""

    @property
    def wanted(self) -> NDArray[np.float64]:
        """The share of the tokens that each topic should have."""
        return np.array([topic.weight for topic in self.topics])


def phrases(topic: Topic) -> list[str]:
    """The ways in which a topic is said: name and description together and apart, then the name with each part of the description."""
    parts = [part.strip() for part in _PART.split(topic.description) if part.strip()]
    return [f"{topic.name}. {topic.description}", topic.name, topic.description, *(f"{topic.name}: {part}" for part in parts)]


def from_taxonomy(found: Sequence[Topic], weights: Mapping[str, float] | None = None, *, model: Any = None) -> Reference:
    """A taxonomy as a reference.

    Parameters
    ----------
    found : topics as `texts.taxonomy` reads them
    weights : topic id to weight, as `priors.topics` holds them
        They take the place of the taxonomy's own.
    model : what embeds the descriptions, as `embedding.embed` takes it: the model that made the pages' vectors

    Raises
    ------
    InputError
        If there is no topic, two have one id or one has the id `other`, a weight is of no topic, or every weight is 0.
    """
    weighted = _weighted(found, weights or {})
    said = [(number, phrase) for number, topic in enumerate(weighted) for phrase in phrases(topic)]
    points = embed([phrase for _, phrase in said], model=model).vectors
    return Reference(
        weighted, points, np.array([number for number, _ in said]), tuple(phrase for _, phrase in said), "taxonomy", model=model
    )


def from_pages(
    pages: Dataset, vectors: NDArray[np.float32], *, by: str | None = None, tokenizer: str = "", model: Any = None, seed: int = 0
) -> Reference:
    """A corpus, or the items of a benchmark, as a reference: its topics in the shares that they have there.

    Parameters
    ----------
    pages : Dataset with `text` and perhaps `title`
    vectors : float32 array (n_pages, dim) of unit rows, in the order of the pages
    by : column that says what a page is about
        None takes the first of topic, subject, label, benchmark and category that the pages have, else finds clusters; where
        there are choices, `label` is the key to the answers and not taken. A page whose value is missing or blank is left out;
        what the column calls "other" is wanted like the rest, as the topic "other of the reference".
    tokenizer : as `corpus.token_counts` takes it, and as `cover` is given it; empty counts bytes
    model : what made the vectors; None is the bundled one

    Raises
    ------
    InputError
        If there are fewer than 20 pages or pages with a label, no such column, the column names one topic for all or hundreds
        for few, or all pages are one cluster.
    """
    if len(pages) < FEWEST:
        raise InputError(f"the reference has {plural(len(pages), 'page')}; shares need at least {FEWEST}, give a larger one or a taxonomy")
    if by is not None and by not in pages.column_names:
        raise InputError(f'the reference has no column "{by}" (it has {", ".join(pages.column_names)}); name one of them')
    groups = [name for name in GROUPS if name != "label" or not _offered(pages)]
    column = by or next((name for name in groups if name in pages.column_names and _usable(_labels(pages, name))), None)
    labels = _clusters(pages, vectors, seed) if column is None else _labels(pages, column)
    known = np.flatnonzero([label is not None for label in labels])
    if len(known) < FEWEST:
        raise InputError(f'{len(known)} pages of the reference say something in "{column}"; shares need at least {FEWEST}, so name another')
    names = [OWN_OTHER if label == OTHER else label for label in labels if label is not None]
    if column is not None and not _usable(labels):
        raise InputError(f'the reference names {plural(len(set(names)), "topic")} in "{column}"; a column of 2 to {MOST_GROUPS} is needed')
    counts = Counter(names)
    if len(counts) < 2:
        raise InputError(
            f"the {len(pages)} pages of the reference are one cluster, of which nothing can be missing; give more of them, name a column "
            "of topics (--by), or give a taxonomy"
        )
    order = sorted(counts, key=lambda name: (-counts[name], name))
    number = {name: at for at, name in enumerate(order)}
    group = np.array([number[name] for name in names])
    vectors = np.asarray(vectors)[known]
    tokens = corpus.token_counts(pages["text"][:], tokenizer).astype(float)[known]
    shares = np.bincount(group, weights=tokens, minlength=len(order)) / tokens.sum()
    points = [_centres(vectors[group == at], seed) for at in range(len(order))]
    owner = np.concatenate([np.full(len(rows), at) for at, rows in enumerate(points)])
    found = [_from_group(name, share) for name, share in zip(order, shares, strict=True)]
    stacked = np.concatenate(points)
    own = [_held_out(vectors[group == at], seed) for at in range(len(order))]
    return Reference(
        tuple(found), stacked, owner, tuple(order[at] for at in owner), "pages", model=model, floors=_floors(own),
        unlabelled=len(pages) - len(known), named_by="clusters of its pages" if column is None else f'its column "{column}"',
    )  # fmt: skip


def load_reference(
    source: str | Path, *, weights: Mapping[str, float] | None = None, by: str | None = None, column: str | None = None,
    tokenizer: str = "", model: Any = None, seed: int = 0,
) -> Reference:  # fmt: skip
    """A reference from a file: a taxonomy (.yaml), or whatever `corpus.load` reads, be it pages or items of a benchmark.

    `column` holds the text, where there is one of that name, else the first of `TEXTS` does. The rest as for `from_taxonomy` and
    `from_pages`.

    Raises
    ------
    InputError
        As `texts.taxonomy`, `corpus.load`, `from_taxonomy` and `from_pages` do, and for a benchmark that holds no text.
    """
    if str(source).lower().endswith((".yaml", ".yml")):
        return from_taxonomy(texts.taxonomy(source), weights, model=model)
    pages = _pages_or_items(source, column, seed)
    return from_pages(pages, embed(pages, model=model).vectors, by=by, tokenizer=tokenizer, model=model, seed=seed)


def _pages_or_items(source: str | Path, column: str | None, seed: int) -> Dataset:
    """Pages as they are; the items of a benchmark with their choices under the question."""
    import pyarrow as pa

    pages = _read(source, column, seed)
    if not (offered := _offered(pages)):
        return pages
    joined = [with_choices(row["text"], choices_of(row)[0]) for row in pages.select_columns(["text", *offered])]
    return with_columns(pages, {"text": pa.array(joined, pa.string())})


def _read(source: str | Path, column: str | None, seed: int) -> Dataset:
    """The rows of a source by the first column of text that it has."""
    if column is not None:
        with suppress(InputError):  # the corpus's column need not be the reference's
            return corpus.load(source, column=column, seed=seed).pages
    first = ""
    for name in TEXTS:
        try:
            return corpus.load(source, column=name, seed=seed).pages
        except InputError as lacks:
            if str(lacks) == first:  # the file itself is at fault
                raise
            first = first or str(lacks)
    names = ", ".join(f'"{name}"' for name in TEXTS[1:])
    raise InputError(
        f'the reference {source} holds no page with "text" and no item with {names}; name its column of text, or give a taxonomy in YAML'
    )


def _offered(pages: Dataset) -> list[str]:
    """The columns that hold choices, as the items of a benchmark do."""
    return [name for name in CHOICES if name in pages.column_names]


def _weighted(found: Sequence[Topic], weights: Mapping[str, float]) -> tuple[Topic, ...]:
    """The topics with these weights instead of their own, all of them summing to 1."""
    if not found:
        raise InputError("the taxonomy holds no topic; give at least one, with a description")
    ids = [topic.id for topic in found]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise InputError(f'the taxonomy holds the topic "{twice}" twice; give each topic an id of its own')
    if OTHER in ids:
        raise InputError(f'the taxonomy holds the topic "{OTHER}", which is what pages of no topic are called; give it another id')
    stranger = next((name for name in weights if name not in (*ids, OTHER)), None)  # `other` has a weight in a choice alone
    if stranger is not None:
        raise InputError(f'the priors weigh the topic "{stranger}", which the taxonomy lacks; its topics are {", ".join(ids[:8])} ...')
    chosen = [float(weights.get(topic.id, topic.weight)) for topic in found]
    if not sum(chosen) > 0:
        raise InputError("every topic of the taxonomy has the weight 0; give at least one a weight above it")
    return tuple(
        Topic(topic.id, topic.name, topic.description, weight / sum(chosen), topic.parent)
        for topic, weight in zip(found, chosen, strict=True)
    )


def _labels(pages: Dataset, column: str) -> list[str | None]:
    """What each page is about in the words of a column; None where that is missing (None, NaN) or blank."""
    values = pages[column][:]
    return [None if value is None or value != value or not str(value).strip() else str(value) for value in values]


def _usable(labels: Sequence[str | None]) -> bool:
    """Whether labels divide the pages that have one, and are enough, into topics of a few pages or more."""
    names = [label for label in labels if label is not None]
    return len(names) >= FEWEST and 2 <= len(set(names)) <= min(MOST_GROUPS, len(names) // 2)


def _clusters(pages: Dataset, vectors: NDArray[np.float32], seed: int) -> Sequence[str | None]:
    """The name of each page's nearest cluster."""
    found = clustering.cluster(np.asarray(vectors), seed=seed)
    table = topics.describe(pages, found, np.asarray(vectors), seed=seed).table
    names = dict(zip(table["cluster"].tolist(), table["name"].tolist(), strict=True))
    return [names.get(at, f"cluster {at}") for at in found.nearest_cluster.tolist()]


def _centres(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The pages themselves where they are few, else the means of that many groups of them; at length 1."""
    if len(rows) > CENTRES:
        from sklearn.cluster import MiniBatchKMeans

        rows = MiniBatchKMeans(CENTRES, n_init=1, random_state=seed).fit(rows).cluster_centers_
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _top_mean(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the three largest of each row, as a page's score is made of (see `placing.topic_scores`)."""
    return np.asarray(np.sort(likeness, axis=1)[:, -3:].mean(axis=1))


def _held_out(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """What each page scores for its topic by the points of the half of the pages that it is not in; none for a page alone.

    By points made of the page itself it would score as no new page of the topic can.
    """
    halves = np.array_split(np.random.default_rng(seed).permutation(len(rows)), 2)
    seen = [(rows[one], rows[other]) for one, other in (halves, halves[::-1]) if len(one) and len(other)]
    return np.concatenate([np.empty(0, dtype=np.float32), *(_top_mean(one @ _centres(other, seed).T) for one, other in seen)])


def _floors(own: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """What all but a share OUT of the pages of each topic score for it, by the topic's median and how far pages lie below their medians.

    Each topic has its own, since a topic that is told with one voice reaches less far than one of many; how far below is taken of all
    together, since a few pages would not tell. A topic of one page has the median of all.
    """
    everybody = np.median(np.concatenate(own))
    middle = np.array([np.median(scores) if len(scores) else everybody for scores in own])
    below = np.concatenate([scores - at for scores, at in zip(own, middle, strict=True)])
    return np.asarray(middle + np.quantile(below, OUT), dtype=float)


def _from_group(name: str, share: float) -> Topic:
    return Topic(name, name, f"What the reference holds under “{name}”", float(share), "")
