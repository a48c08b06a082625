"""Which topic is a page about, going by the descriptions alone?

A page's score for a topic is its similarity to the description, as the mean over the three phrases that fit best. `other`
competes with the topics: it scores as the best of the everyday subjects that the reference does not have, less a margin, and
never below a floor. Neighbours are heard: a page among pages of one topic is likely of that topic too.

This is done twice. The first placing shows in which directions the topics, and the groups of pages outside them, differ in
this corpus, and how well the pages of each topic fit it. The second hears neighbours along those directions, and sends to
`other` what fits a topic far worse than that topic's own pages do: its near relatives, which no description tells apart.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import softmax

from hare_lab import texts
from hare_lab.clustering.communities import discriminant, leiden
from hare_lab.clustering.neighbours import closeness, directed, nearest, undirected, unit
from hare_lab.coverage.reference import Reference, from_taxonomy
from hare_lab.errors import InputError
from hare_lab.priors import DATA

SUBJECTS = DATA / "taxonomy" / "subjects.yaml"
# In units of the spread of similarities between descriptions of unrelated subjects, so that they hold for any model (docs/coverage.md).
FLOOR = -0.35  # from their median: less like every topic than that, and a page is in none at first
LEAST = -1.0  # the same at the second placing, where the topic's own pages say how well a page of it fits
REACH = 2.25  # how far below its topic's best pages (their TOP quantile) a page may lie
MARGIN = 1.1  # by which a subject outside the reference must fit better than the best topic
SHARPNESS = 0.3  # difference in score that makes one topic e times as likely as another
SAME = 0.5  # cosine of two descriptions from which they say the same
BEST = 3  # phrases of a topic that count for a page
NEIGHBOURS, AGAIN, HEARD, ROUNDS = 10, 15, 0.6, 10  # where topics stand apart, more of the pages nearest are of the same one
TOP = 0.9
RESOLUTION, SHRINKAGE = 4.0, 0.3  # of the communities that `other` is made of; of the scatter within topics and those
BLOCK = 4_096


@dataclass(frozen=True)
class Placement:
    """Where each page stands.

    Attributes
    ----------
    topic : int array (n_pages,)
        Number of the topic in the reference; -1 is `other`.
    similarity : float32 array (n_pages,)
        Of the page to that topic; for a page in `other`, to the topic that fits it best.
    scores : float32 array (n_pages, n_topics)
        Similarity of every page to every topic.
    floor : the similarity from which a page fits a topic by itself, the lowest of any topic; with its neighbours' word it may lie below
    """

    topic: NDArray[np.int64]
    similarity: NDArray[np.float32]
    scores: NDArray[np.float32]
    floor: float


def place(vectors: NDArray[np.float32], reference: Reference, worded: NDArray[np.bool_] | None = None) -> Placement:
    """The topic of each page, or `other`.

    Parameters
    ----------
    vectors : float32 array (n_pages, dim), rows of unit length
    reference : embedded by the model that made the vectors
    worded : bool array (n_pages,), which pages hold a word; None: all do
        A model puts pages such as "!!!" somewhere, and all in one place, where they would speak for each other. They are `other`,
        at similarity 0, and no page hears them.

    Raises
    ------
    InputError
        If there is no vector, one holds NaN, the reference has vectors of another length, or no page holds a word.

    References
    ----------
    The smoothing is Zhou et al. (2004), "Learning with local and global consistency", eq. 2, on the graph of nearest pages.
    The second placing in the space that separates the first is a step of Ding & Li (2007), "Adaptive dimension reduction using
    discriminant analysis and k-means clustering".
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or not rows.size:
        raise InputError(f"coverage: vectors must have the shape (pages, dimensions) with at least one page, not {rows.shape}")
    if not np.isfinite(rows).all():
        raise InputError(f"coverage: vector {int((~np.isfinite(rows)).any(axis=1).argmax())} holds NaN or infinity; embed that page again")
    if rows.shape[1] != reference.points.shape[1]:
        raise InputError(
            f"coverage: the pages' vectors have {rows.shape[1]} numbers and the reference's {reference.points.shape[1]}; "
            "embed both with the same model"
        )
    if worded is not None and not worded.all():
        return _without_words(rows, reference, worded)
    rows = unit(rows)
    scores = topic_scores(rows, reference)
    subjects, floor, spread = _strangers(rows, reference)
    floors = np.full(len(reference.topics), floor) if reference.floors is None else np.maximum(floor, reference.floors)
    near = _near(rows, NEIGHBOURS)
    topic = _likeliest(scores, _outside(subjects, floors[scores.argmax(axis=1)], spread), _weighted(*near), spread)
    if reference.floors is None and len(rows) > 1:  # pages of a reference said before how far their topics reach; one page has no company
        topic = _again(rows, scores, subjects, topic, near, floor, spread)
    shown = np.where(topic < 0, scores.argmax(axis=1), topic)
    return Placement(topic, scores[np.arange(len(rows)), shown], scores, float(floors.min()))


def _without_words(rows: NDArray[np.float32], reference: Reference, worded: NDArray[np.bool_]) -> Placement:
    """The pages that hold a word placed by themselves, and the others in `other`."""
    if not worded.any():
        raise InputError("coverage: no page holds a word, only signs and figures; give pages of text")
    placed = place(rows[worded], reference)
    topic, similarity = np.full(len(rows), -1), np.zeros(len(rows), dtype=np.float32)
    scores = np.zeros((len(rows), len(reference.topics)), dtype=np.float32)
    topic[worded], similarity[worded], scores[worded] = placed.topic, placed.similarity, placed.scores
    return Placement(topic, similarity, scores, placed.floor)


def _again(
    vectors: NDArray[np.float32],
    scores: NDArray[np.float32],
    subjects: NDArray[np.float32],
    first: NDArray[np.int64],
    near: tuple[NDArray[np.int32], NDArray[np.float32]],
    floor: float,
    spread: float,
) -> NDArray[np.int64]:
    """The second placing, by what the `first` taught; `near` are the neighbours that it heard."""
    n = scores.shape[1]
    communities = leiden(undirected(directed(near[0], closeness(near[1]), len(vectors))), RESOLUTION, 0)
    groups = np.unique(np.where(first < 0, n + communities, first), return_inverse=True)[1]
    if groups.max() > 0:
        apart = discriminant(vectors, groups, SHRINKAGE)  # with few groups it has few directions, so it is half of what counts
        near = _near(unit(np.hstack([vectors, apart])), AGAIN)
    graph = _weighted(*near)
    heard = _hear(graph, np.column_stack([scores, subjects]))
    scores, subjects = heard[:, :n], heard[:, n:]
    needed = _needed(scores, first) - REACH * spread
    outside = np.maximum(_outside(subjects, floor + (LEAST - FLOOR) * spread, spread), needed[scores.argmax(axis=1)])
    return _likeliest(scores, outside, graph, spread)


def _likeliest(scores: NDArray[Any], outside: NDArray[Any], graph: sparse.csr_matrix, spread: float) -> NDArray[np.int64]:
    """The likeliest topic of each page once its neighbours are heard; -1 where `other`, of the score `outside`, is likelier."""
    likely = _hear(graph, softmax(np.column_stack([scores, outside]) / (SHARPNESS * spread), axis=1))
    best = likely.argmax(axis=1)
    return np.where(best == scores.shape[1], -1, best)


def _needed(scores: NDArray[Any], topic: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the best pages placed in each topic score for it; nothing is known of a topic without pages."""
    own = [scores[topic == at, at] for at in range(scores.shape[1])]
    return np.array([np.quantile(found, TOP) if len(found) else -np.inf for found in own])


def topic_scores(vectors: NDArray[np.float32], reference: Reference) -> NDArray[np.float32]:
    """How well each topic fits each page: the mean similarity of the three points of the topic that lie nearest to the page.

    Returns
    -------
    float32 array (n_pages, n_topics)
    """
    starts = np.searchsorted(reference.owner, np.arange(len(reference.topics) + 1))
    scores = np.empty((len(vectors), len(reference.topics)), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        likeness = vectors[start : start + BLOCK] @ reference.points.T
        for number, (first, last) in enumerate(itertools.pairwise(starts)):
            own = likeness[:, first:last]
            if last - first > BEST:
                own = np.partition(own, last - first - BEST, axis=1)[:, -BEST:]
            scores[start : start + BLOCK, number] = own.mean(axis=1)
    return scores


def _strangers(vectors: NDArray[np.float32], reference: Reference) -> tuple[NDArray[np.float32], float, float]:
    """Each page's scores for the subjects outside the reference; the floor of `other`, and the spread that scores are measured in."""
    others = _subjects(reference.model)
    whole = np.searchsorted(others.owner, np.arange(len(others.topics)))  # a topic's first point is its name with its description
    unrelated = topic_scores(others.points[whole], others)[~np.eye(len(whole), dtype=bool)]
    middle = float(np.median(unrelated))
    spread = max(1e-6, 1.4826 * float(np.median(np.abs(unrelated - middle))))  # as a standard deviation, were they normal
    if reference.floors is not None:  # pages say themselves how far their topics reach
        return np.empty((len(vectors), 0), dtype=np.float32), middle + FLOOR * spread, spread
    strangers = (_centres(others) @ _centres(reference).T).max(axis=1) < SAME
    return topic_scores(vectors, others)[:, strangers], middle + FLOOR * spread, spread


def _outside(subjects: NDArray[Any], floor: NDArray[Any] | float, spread: float) -> NDArray[Any]:
    """The score of `other` for each page."""
    best: NDArray[Any] = subjects.max(axis=1, initial=-np.inf)
    return np.asarray(np.maximum(floor, best - MARGIN * spread))


def _subjects(model: Any) -> Reference:
    """The everyday subjects, where the model puts them."""
    return from_taxonomy(texts.taxonomy(SUBJECTS), model=model)


def _centres(reference: Reference) -> NDArray[np.float32]:
    """The middle of each topic's points, at length 1."""
    sums = np.zeros((len(reference.topics), reference.points.shape[1]), dtype=np.float32)
    np.add.at(sums, reference.owner, reference.points)
    return unit(sums)


def _near(vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `k` nearest pages of each, or all others, and their cosines; a page alone has itself."""
    return nearest(vectors, vectors, max(1, min(k, len(vectors) - 1)), same=len(vectors) > 1)


def _weighted(indices: NDArray[np.int32], similarities: NDArray[np.float32]) -> sparse.csr_matrix:
    """How much each page hears each of its neighbours; a page's weights sum to 1."""
    weights = np.maximum(similarities, 1e-6).astype(np.float64) ** 4
    return directed(indices, weights / weights.sum(axis=1, keepdims=True), len(indices))


def _hear(graph: sparse.csr_matrix, own: NDArray[Any]) -> NDArray[Any]:
    """What each page says itself, and for the greater part (HEARD) what the pages nearest to it say, until they settle."""
    heard = own
    for _ in range(ROUNDS):
        heard = (1 - HEARD) * own + HEARD * (graph @ heard)
    return heard
