"""Which topic is a page about, going by the descriptions alone?

Three steps. A page's score for a topic is its similarity to the description, as the mean over the three phrases that fit best.
`other` competes with the topics: it scores as the best of the everyday subjects that the reference does not have, less a
margin, and never below a floor. Last, neighbours are heard: a page among pages of one topic is likely of that topic too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from hare_lab import texts
from hare_lab.clustering.neighbours import directed, nearest, unit
from hare_lab.coverage.reference import Reference, from_taxonomy
from hare_lab.errors import InputError
from hare_lab.priors import DATA

OTHER = "other"
SUBJECTS = DATA / "taxonomy" / "subjects.yaml"
# In units of the spread of similarities between descriptions of unrelated subjects, so that they hold for any model (docs/coverage.md).
FLOOR = -0.35  # from their median: less like every topic than that, and a page is in none
MARGIN = 1.1  # by which a subject outside the reference must fit better than the best topic
SHARPNESS = 0.3  # difference in score that makes one topic e times as likely as another
SAME = 0.5  # cosine of two descriptions from which they say the same
BEST = 3  # phrases of a topic that count for a page
NEIGHBOURS, HEARD, ROUNDS = 10, 0.6, 10
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
    floor : the similarity from which a page may belong to a topic
    """

    topic: NDArray[np.int64]
    similarity: NDArray[np.float32]
    scores: NDArray[np.float32]
    floor: float


def place(vectors: NDArray[np.float32], reference: Reference) -> Placement:
    """The topic of each page, or `other`.

    Parameters
    ----------
    vectors : float32 array (n_pages, dim), rows of unit length
    reference : embedded by the model that made the vectors

    Raises
    ------
    InputError
        If there is no vector, one holds NaN, or the reference has vectors of another length.

    References
    ----------
    The smoothing is Zhou et al. (2004), "Learning with local and global consistency", eq. 2, on the graph of nearest pages.
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
    rows = unit(rows)
    scores = topic_scores(rows, reference)
    rivals, floor, spread = _rivals(rows, reference)
    likely = softmax(np.column_stack([scores, rivals]) / (SHARPNESS * spread), axis=1)
    likely = _hear_neighbours(rows, likely)
    best = likely.argmax(axis=1)
    topic = np.where(best == len(reference.topics), -1, best)
    shown = np.where(topic < 0, scores.argmax(axis=1), topic)
    return Placement(topic, scores[np.arange(len(rows)), shown], scores, floor)


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


def _rivals(vectors: NDArray[np.float32], reference: Reference) -> tuple[NDArray[np.float32], float, float]:
    """The score of `other` for each page, its floor, and the spread that differences in score are measured in."""
    others = _subjects(reference.model)
    whole = np.searchsorted(others.owner, np.arange(len(others.topics)))  # a topic's first point is its name with its description
    unrelated = topic_scores(others.points[whole], others)[~np.eye(len(whole), dtype=bool)]
    middle = float(np.median(unrelated))
    spread = max(1e-6, 1.4826 * float(np.median(np.abs(unrelated - middle))))  # as a standard deviation, were they normal
    floor = middle + FLOOR * spread if reference.floor is None else reference.floor
    strangers = (_centres(others) @ _centres(reference).T).max(axis=1) < SAME
    if reference.floor is not None or not strangers.any():
        return np.full(len(vectors), floor, dtype=np.float32), floor, spread
    return np.maximum(floor, topic_scores(vectors, others)[:, strangers].max(axis=1) - MARGIN * spread), floor, spread


def _subjects(model: Any) -> Reference:
    """The everyday subjects, where the model puts them."""
    return from_taxonomy(texts.taxonomy(SUBJECTS), model=model)


def _centres(reference: Reference) -> NDArray[np.float32]:
    """The middle of each topic's points, at length 1."""
    sums = np.zeros((len(reference.topics), reference.points.shape[1]), dtype=np.float32)
    np.add.at(sums, reference.owner, reference.points)
    return unit(sums)


def _hear_neighbours(vectors: NDArray[np.float32], likely: NDArray[Any]) -> NDArray[Any]:
    """Each page's chances: its own, and for the greater part (HEARD) those of the pages nearest to it, until they settle."""
    k = min(NEIGHBOURS, len(vectors) - 1)
    if k < 1:
        return likely
    indices, similarities = nearest(vectors, vectors, k, same=True)
    weights = np.maximum(similarities, 1e-6).astype(np.float64) ** 4
    graph = directed(indices, weights / weights.sum(axis=1, keepdims=True), len(vectors))
    heard = likely
    for _ in range(ROUNDS):
        heard = (1 - HEARD) * likely + HEARD * (graph @ heard)
    return heard
