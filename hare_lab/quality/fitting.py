"""What makes a good page good, learnt from good pages and a pool?

Nobody labels the corpus. Pages that a person named as good stand against the pool they are to be chosen from, as in DCLM (Li
et al. 2024). Where there are examples of bad pages too, as the bundled ones have them for each of their topics, style and meaning are
learnt from those: good pages and a pool differ in where they come from, and not in quality alone.

Eight opinions are heard. One is on how much a page says: its length. Seven are on how well: the other aspects of
`features`, the style of writing (`style`) and the vector. These start out equal; the data may turn each up or down, within
bounds, and none upside down. How much and how well count equally, which the data may not change: a reference of short essays must not
teach that long pages are bad. That holds on pages unlike any seen, where a free classifier learns subject and era (Dawes
1979, "The robust beauty of improper linear models"). Method and evidence: docs/quality.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError
from hare_lab.quality.evidence import LIMITS, Bools, Evidence, Floats, Scale, evidence, scale
from hare_lab.quality.learning import Ints, Learnt, Space, space
from hare_lab.quality.rules import need_words
from hare_lab.quality.scorer import OPINIONS, Scorer, likeness, standing

if TYPE_CHECKING:
    from datasets import Dataset

WRITING = OPINIONS[1:]  # all but length: how well, not how much
EVEN = 0.6  # log-odds that one standard deviation of an opinion is worth before anything was learnt
BOUNDS = {**dict.fromkeys(WRITING, (0.5 * EVEN, 1.5 * EVEN)), "style": (0.0, 1.5 * EVEN), "meaning": (0.0, 1.5 * EVEN)}
FEWEST = 20  # good pages, and pages of a pool, from which something can be learnt
_HELD = 100.0  # how firmly a weight is held at EVEN: as by so many pages of each kind


@dataclass(frozen=True)
class Examples:
    """What style and meaning are learnt from, where that is not the good pages against the pool; a value for each page.

    Attributes
    ----------
    kind : int array of shape (n_pages,)
        1 for an example of a good page, 0 of a bad one, -1 for no example.
    topics : int array of shape (n_pages,)
        What each example is about: its vector is read as how it differs from the middle of its topic.
    aside : bool array of shape (n_pages,)
        Pages that are examples and nothing else: neither among the good pages nor in the pool.
    """

    kind: Ints
    topics: Ints
    aside: Bools


@dataclass(frozen=True)
class Fitted:
    """A scorer for new pages, and for each page it was taught with what a model says that saw neither it nor its group.

    Attributes
    ----------
    quality, likeness : see `Scorer`; both cross-fitted
    calibration_error : how far the likeness is from the share of good pages, on average over ten equal bins (ECE)
    good : pages named as good
    """

    scorer: Scorer
    quality: Floats
    likeness: Floats
    calibration_error: float
    good: int


def fit(
    known: Evidence,
    good: Bools,
    groups: Sequence[int] | Ints | None = None,
    *,
    examples: Examples | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Fitted:
    """Teach a scorer, and score what it was taught with, group by group.

    Parameters
    ----------
    known : Evidence of n_pages, from `evidence`
    good : array of shape (n_pages,)
        True for pages named as good, False for those of the pool (or bad examples).
    groups : array of shape (n_pages,)
        What each page is about (its cluster). Whole groups are left out together, so that no page is scored by a model that
        saw it or another of its topic; None leaves out pages drawn by seed.
    examples : what style and meaning are learnt from; None takes the good pages and the pool
    folds : in how many parts the groups are left out

    Raises
    ------
    InputError
        If there are fewer than 20 pages of one kind, so that there is nothing to learn.
    """
    good = np.asarray(good, bool)
    group = np.asarray(groups) if groups is not None else np.arange(len(known))
    learning = Examples(good.astype(np.int64), group, np.zeros(len(known), bool)) if examples is None else examples
    counted = ~learning.aside
    for count, kind in (((good & counted).sum(), "good pages"), ((~good & counted).sum(), "pages that are not among the good ones")):
        if count < FEWEST:
            raise InputError(f"quality: a scorer needs at least {FEWEST} {kind}, and there are {count}; name more of them")
    fold = folds_of(group, good, folds, seed, known.counts)
    folds = int(fold.max()) + 1
    taught = learning.kind >= 0
    subjectless = None if known.vectors is None else space(known.vectors[taught], learning.topics[taught])
    residual = None if known.vectors is None or subjectless is None else subjectless.of(known.vectors)
    told = scale({name: values[counted] for name, values in known.counts.items()}, good[counted])
    aspects = told.of(known.counts)
    learnt = Learnt(known, learning.kind, fold, folds, residual)
    raised, alike = np.zeros(len(known)), np.zeros(len(known))
    for left in range(folds):
        inside, out = (fold != left) & counted, fold == left
        raw = learnt.crossfit(fold, left)
        centre, spread = _middle(raw[inside], good[inside])
        opinions = np.column_stack([aspects, np.clip((raw - centre) / spread, *LIMITS)])
        raised[out] = opinions[out] @ _weights(opinions[inside], good[inside])
        alike[out] = likeness(opinions[out], _likely(opinions[inside], good[inside]))
    pool = np.sort(raised[~good & counted])
    scorer = _final(good[counted], learnt.crossfit(fold)[counted], told, aspects[counted], learnt, subjectless, pool)
    off = calibration_error(alike[counted], good[counted])
    return Fitted(scorer, standing(raised, pool), alike, off, int((good & counted).sum()))


def _final(good: Bools, raw: Floats, told: Scale, aspects: Floats, learnt: Learnt, subjectless: Space | None, pool: Floats) -> Scorer:
    """The scorer for new pages: opinions from all pages, weights from what each fold's opinion was without it."""
    centre, spread = _middle(raw, good)
    opinions = np.column_stack([aspects, np.clip((raw - centre) / spread, *LIMITS)])
    ratio, direction = learnt.model(())
    return Scorer(told, ratio, direction, subjectless, (centre, spread), _weights(opinions, good), _likely(opinions, good), pool)


def train(
    good: Dataset,
    bad: Dataset,
    *,
    good_vectors: NDArray[np.floating[Any]] | None = None,
    bad_vectors: NDArray[np.floating[Any]] | None = None,
    seed: int = 0,
) -> Fitted:
    """A scorer from one's own examples of good and bad pages, in seconds.

    Parameters
    ----------
    good, bad : Dataset with `id` and `text`, at least 20 pages each
    good_vectors, bad_vectors : arrays of shape (n_pages, dim), or both None

    Raises
    ------
    InputError
        If there are too few pages of one kind, a page has no words or is on both sides, or the vectors are not one a page on each.
    """
    if (good_vectors is None) != (bad_vectors is None):
        raise InputError("quality: only one of good and bad pages has vectors; give both, or neither")
    texts = [*good["text"], *bad["text"]]
    if not len(good) or not len(bad):
        raise InputError(f"quality: there are no {'bad' if len(good) else 'good'} pages; a scorer learns from both kinds")
    need_words(texts, [*good["id"], *bad["id"]])
    both = len(set(good["text"]) & set(bad["text"]))
    if both:
        raise InputError(f"quality: {both} of the good examples are among the bad ones too; take each out of one of the two")
    for name, pages, given in (("good", good, good_vectors), ("bad", bad, bad_vectors)):
        if given is not None and len(given) != len(pages):
            raise InputError(f"quality: {len(pages)} {name} pages but {len(given)} vectors; give one a page, in the same order")
    vectors = None if good_vectors is None or bad_vectors is None else np.concatenate([good_vectors, bad_vectors])
    return fit(evidence(texts, vectors), np.arange(len(texts)) < len(good), seed=seed)


def folds_of(group: Ints, good: Bools, folds: int, seed: int, counts: Mapping[str, Floats] | None = None) -> Ints:
    """The fold of each page: whole groups, the largest first, each to where it evens out both kinds of page best.

    Where two folds hold all pages of a kind, as with fewer than three groups, nothing would be left to learn from once they
    are out; then pages are spread one by one, those that are copies of each other (equal in all `counts`) together.
    """
    names, inverse = np.unique(group, return_inverse=True)
    held = np.column_stack([np.bincount(inverse, good, len(names)), np.bincount(inverse, ~good, len(names))])
    shares = held / held.sum(axis=0)
    load = np.zeros((min(folds, len(names)), 2))
    place = np.zeros(len(names), np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    for name in order[np.argsort(-shares[order].sum(axis=1), kind="stable")]:
        place[name] = (load @ shares[name]).argmin()
        load[place[name]] += shares[name]
    if len(load) < 3 or np.sort(load, axis=0)[-2:].sum(axis=0).max() > 1 - 1e-9:
        spread = np.random.default_rng(seed).permutation(len(group))
        rank = np.empty(len(group), np.int64)
        copies = None if counts is None else np.unique(np.column_stack(list(counts.values())), axis=0, return_inverse=True)[1].ravel()
        for kind in (good, ~good):
            rows = spread[kind[spread]]
            page = np.arange(len(rows))
            if copies is not None:
                _, first, same = np.unique(copies[rows], return_index=True, return_inverse=True)
                page = np.argsort(np.argsort(first))[same] if len(first) >= folds else page
            rank[rows] = page % folds
        return rank
    found: Ints = np.unique(place[inverse], return_inverse=True)[1]
    return found


def calibration_error(likeness: Floats, good: Bools, bins: int = 10) -> float:
    """Mean distance between what was said and what was so, both kinds counting equally.

    References
    ----------
    Guo et al. (2017), "On calibration of modern neural networks", eq. 3.
    """
    share = np.where(good, 0.5 / good.sum(), 0.5 / (~good).sum())
    place = np.minimum((likeness * bins).astype(int), bins - 1)
    weight, said, so = (np.bincount(place, v, bins) for v in (share, share * likeness, share * good))
    return float(np.abs(said - so)[weight > 0].sum())


def _middle(raw: Floats, good: Bools) -> tuple[Floats, Floats]:
    """Mean and spread of opinions where good pages and pool count equally."""
    weights = np.where(good, 0.5 / good.sum(), 0.5 / (~good).sum())
    centre = weights @ raw
    spread = np.sqrt(weights @ (raw - centre) ** 2)
    return centre, np.where(spread > 1e-12, spread, 1.0)


def _weights(opinions: Floats, good: Bools) -> Floats:
    """What each opinion counts. How much a page says and how well count equally; only what makes it well written is learnt.

    For the latter: logistic regression with both kinds of page counting equally, each weight held near EVEN and within its bounds, then
    brought to where a standard deviation of their sum over the pool counts as much as a step in length.
    """
    from scipy.optimize import minimize

    told = opinions[:, 1:]
    sign = np.where(good, 1.0, -1.0)
    share = np.where(good, 0.5 / good.sum(), 0.5 / (~good).sum())
    hold = _HELD / float(min(good.sum(), (~good).sum()))

    def loss(values: Floats) -> tuple[float, Floats]:
        weights, level = values[:-1], values[-1]
        margin = sign * (told @ weights + level)
        value = share @ np.logaddexp(0, -margin) + 0.5 * hold * ((weights - EVEN) ** 2).sum()
        pull = -share * sign / (1 + np.exp(margin))
        slope = np.append(pull @ told + hold * (weights - EVEN), pull.sum())
        return float(value), slope

    start = np.append(np.full(told.shape[1], EVEN), 0.0)
    bounds = [*(BOUNDS[name] for name in WRITING), (None, None)]
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x[:-1]
    spread = float((told[~good] @ weights).std())
    return np.concatenate([[1.0], weights / (spread if spread > 1e-9 else 1.0)])


def _likely(opinions: Floats, good: Bools) -> Floats:
    """What a standard deviation of each opinion adds to the log-odds of being a good page, and where they start.

    Logistic regression with both kinds of page counting equally, as by as many of each as there are of the fewer, each weight held at
    nothing by a normal prior of variance 1. Signs are free: what tells the good pages apart need not be what makes them good.
    """
    from sklearn.linear_model import LogisticRegression

    fewest = float(min(good.sum(), (~good).sum()))
    share = np.where(good, fewest / good.sum(), fewest / (~good).sum())
    found = LogisticRegression(C=1.0, max_iter=500).fit(opinions, good, sample_weight=share)
    return np.append(found.coef_[0], found.intercept_)
