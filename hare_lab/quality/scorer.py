"""What makes a good page good, learnt from good pages and a pool?

Nobody labels anything. Pages that a person named as good stand against the pool they are to be chosen from, as in DCLM (Li
et al. 2024). Eight opinions are heard. One is on how much a page says: its length. Seven are on how well: the other aspects of
`features`, the style of writing (`style`) and the vector. These start out equal; the data may turn each up or down, within
bounds, and none upside down. How much and how well count equally, which the data may not change: a reference of short essays must not
teach that long pages are bad. That holds on pages unlike any seen, where a free classifier learns subject and era (Dawes
1979, "The robust beauty of improper linear models"). Method and evidence: docs/quality.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hare_lab.errors import InputError
from hare_lab.quality.chars import Batch, batches
from hare_lab.quality.features import ASPECTS, COUNTS, Terms, counts
from hare_lab.quality.rules import need_words
from hare_lab.quality.style import PLACES, style_counts
from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    from datasets import Dataset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
OPINIONS = (*ASPECTS, "style", "meaning")
WRITING = OPINIONS[1:]  # all but length: how well, not how much
EVEN = 0.6  # log-odds that one standard deviation of an opinion is worth before anything was learnt
BOUNDS = {**dict.fromkeys(WRITING, (0.5 * EVEN, 1.5 * EVEN)), "style": (0.0, 1.5 * EVEN), "meaning": (0.0, 1.5 * EVEN)}
FEWEST = 20  # good pages, and pages of a pool, from which something can be learnt
_LIMITS = -4.0, 2.5  # standard deviations, beyond which a count says no more: a fault weighs more than a merit
_HELD = 100.0  # how firmly a weight is held at EVEN: as by so many pages of each kind


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of some pages before anything is learnt, one row a page."""

    counts: Mapping[str, Floats]
    style: csr_matrix
    vectors: NDArray[np.floating[Any]] | None

    def __len__(self) -> int:
        return int(self.style.shape[0])


def evidence(texts: Sequence[str], vectors: NDArray[np.floating[Any]] | None = None) -> Evidence:
    """What a scorer looks at, for pages that each have a word; `vectors` may be None, then none are asked."""
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(_seen, (part for _, part in batches(texts))))
    counted = {name: np.concatenate([part[0][name] for part in parts]) for name in COUNTS}
    style = vstack([part[1] for part in parts], format="csr")
    return Evidence(counted, style, None if vectors is None else np.asarray(vectors, np.float32))


def _seen(texts: list[str]) -> tuple[dict[str, Floats], csr_matrix]:
    batch = Batch(texts)
    terms = Terms(batch)
    return counts(batch, terms), style_counts(batch, terms)


@dataclass(frozen=True)
class Scale:
    """Counts and aspects on one scale: 0 is the middle between good pages and pool, 1 a standard deviation."""

    counts: dict[str, tuple[float, float]]
    aspects: dict[str, tuple[float, float]]

    def standard(self, counted: Mapping[str, Floats]) -> dict[str, Floats]:
        """Each count as standard deviations towards better, clipped."""
        signs = {name: sign for members in ASPECTS.values() for name, sign in members.items()}
        return {n: np.clip(signs[n] * (counted[n] - m) / s, *_LIMITS) for n, (m, s) in self.counts.items()}

    def of(self, counted: Mapping[str, Floats]) -> Floats:
        """The aspects of each page, in the order of ASPECTS."""
        standard = self.standard(counted)
        means = {name: np.mean([standard[count] for count in members], axis=0) for name, members in ASPECTS.items()}
        return np.column_stack([np.clip((means[n] - m) / s, *_LIMITS) for n, (m, s) in self.aspects.items()])


def scale(counted: Mapping[str, Floats], good: Bools) -> Scale:
    """The scale on which good pages and pool count equally, however many there are of each."""
    weights = np.where(good, 0.5 / max(good.sum(), 1), 0.5 / max((~good).sum(), 1))

    def middle(values: Floats) -> tuple[float, float]:
        mean = float(np.average(values, weights=weights))
        spread = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
        return mean, spread if spread > 1e-9 else 1.0

    first = Scale({name: middle(counted[name]) for name in COUNTS}, {})
    # Length has a scale of its own, for how long good pages are is a matter of where they were taken from: 2.7 times as many words
    # (a factor of e) are one step, everywhere.
    first.counts["words"] = float(counted["words"][~good].mean()), 1.0
    standard = first.standard(counted)
    means = {name: np.mean([standard[count] for count in members], axis=0) for name, members in ASPECTS.items()}
    return Scale(first.counts, {**{name: middle(values) for name, values in means.items()}, "length": (0.0, 1.0)})


class Learnt:
    """The two opinions that need examples, from sums that can be taken apart again: what a fold added is simply subtracted.

    Style is the mean log-ratio of the runs of a page in good pages and in the pool (naive Bayes with the smoothing of `_SMOOTH`
    runs); meaning is Fisher's discriminant between the vectors, each taken from the middle of its group, so that what a page
    is about does not count. Both with a firm ridge.
    """

    _SMOOTH = 200.0
    _RIDGE = 1.0

    def __init__(self, known: Evidence, good: Bools, fold: Ints, folds: int, residual: NDArray[np.floating[Any]] | None) -> None:
        self.known, self.residual = known, residual
        proportion = csr_matrix(known.style.multiply(1 / np.maximum(known.style.sum(axis=1), 1)))
        self.style = np.zeros((folds, 2, PLACES))
        self.pages = np.zeros((folds, 2))
        for part in range(folds):
            for kind in (0, 1):
                rows = (fold == part) & (good == bool(kind))
                self.style[part, kind] = np.asarray(proportion[rows].sum(axis=0)).ravel()
                self.pages[part, kind] = rows.sum()
        if residual is not None:
            width = residual.shape[1]
            self.sums, self.squares = np.zeros((folds, 2, width)), np.zeros((folds, 2, width, width))
            for part in range(folds):
                for kind in (0, 1):
                    rows_of = residual[(fold == part) & (good == bool(kind))].astype(np.float64)
                    self.sums[part, kind] = rows_of.sum(axis=0)
                    self.squares[part, kind] = rows_of.T @ rows_of

    def model(self, without: Collection[int]) -> tuple[Floats, Floats | None]:
        """The log-ratio of each style place and the direction among vectors, from all folds but those."""
        kept = [part for part in range(len(self.pages)) if part not in without]
        pages = np.maximum(self.pages[kept].sum(axis=0), 1)
        shares = self.style[kept].sum(axis=0) / pages[:, None]
        typical = shares.mean(axis=0) + 0.1 / PLACES
        weight = self._SMOOTH / (self._SMOOTH + pages * 20)  # how far each side is drawn to what both have in common
        shares = shares * (1 - weight[:, None]) + typical * weight[:, None]
        ratio = np.log(shares[1] + 0.02 / PLACES) - np.log(shares[0] + 0.02 / PLACES)
        if self.residual is None:
            return ratio, None
        means = self.sums[kept].sum(axis=0) / pages[:, None]
        within = sum(self.squares[kept].sum(axis=0)[kind] / pages[kind] - np.outer(means[kind], means[kind]) for kind in (0, 1)) / 2
        ridge = self._RIDGE * np.trace(within) / len(within) + 1e-9
        direction = np.linalg.solve(within + ridge * np.eye(len(within)), means[1] - means[0])
        return ratio, direction

    def crossfit(self, fold: Ints, *without: int) -> Floats:
        """What each page's style and meaning say to a model that saw neither its fold nor those left out."""
        found = np.zeros((len(fold), 2))
        for part in range(len(self.pages)):
            rows = fold == part
            found[rows] = heard(
                self.known.style[rows], None if self.residual is None else self.residual[rows], *self.model({*without, part})
            )
        return found


def heard(style: csr_matrix, residual: NDArray[np.floating[Any]] | None, ratio: Floats, direction: Floats | None) -> Floats:
    """The style and meaning opinions of pages, as they come; meaning is 0 where there are no vectors."""
    total = np.maximum(np.asarray(style.sum(axis=1)).ravel(), 1)
    says = np.asarray(style @ ratio).ravel() / total
    return np.column_stack([says, np.zeros(len(says)) if direction is None or residual is None else residual @ direction])


@dataclass(frozen=True)
class Space:
    """Vectors with their subject taken out: how a page differs from the middle of its group, in the directions that vary most.

    `groups` has the middle of each group, `axes` the directions as columns.
    """

    groups: NDArray[np.floating[Any]]
    axes: NDArray[np.floating[Any]]

    def of(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Vectors of shape (n_pages, dim) in this space."""
        nearest = (vectors @ self.groups.T - 0.5 * (self.groups**2).sum(axis=1)).argmax(axis=1)
        found: NDArray[np.floating[Any]] = (vectors - self.groups[nearest]) @ self.axes
        return found


def space(vectors: NDArray[np.floating[Any]], group: Ints) -> Space:
    """The middles of all groups of at least 10 pages (of all pages, where there is none), and 64 axes."""
    names, inverse, count = np.unique(group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), vectors.shape[1]), np.float32)
    np.add.at(sums, inverse, vectors)
    large = count >= 10
    middles = np.asarray(sums[large] / count[large, None] if large.any() else vectors.mean(axis=0, keepdims=True), np.float32)
    raw = Space(middles, np.eye(vectors.shape[1], dtype=np.float32)).of(vectors)
    with threadpool_limits(1):  # so small a matrix gains nothing from threads, and the digits stay the same
        _, axes = np.linalg.eigh((raw.T @ raw / len(raw)).astype(np.float64))
    return Space(middles, np.asarray(axes[:, -64:], np.float32))


@dataclass(frozen=True)
class Explanation(Report):
    """Why a page scored as it did: each opinion and what it added, and the counts that stand out.

    `opinions` has columns opinion, says (standard deviations from the middle of good pages and pool) and adds (that, times its weight).
    `counts` has columns count, aspect, value and says: how far it is towards better (above 0) or worse.
    """

    title: ClassVar[str] = "Why this score"

    quality: float
    opinions: Any
    counts: Any

    def figure(self, theme: str = "screen") -> Any:
        """What speaks for the page, and what against."""
        from hare_lab import figures

        return figures.quality_reasons(self.opinions, quality=self.quality, theme=theme)

    def _repr_html_(self) -> str:
        rows = [(r.opinion, f"{r.adds:+.2f}", f"{r.says:+.1f}") for r in self.opinions.itertuples()]
        told = self.counts.reindex(self.counts["says"].abs().sort_values(ascending=False).index).head(5)
        notable = "; ".join(f"{r.meaning}: {'better' if r.says > 0 else 'worse'} than usual" for r in told.itertuples())
        return html_table([*rows, ("what stands out", notable, "")], ("opinion", "adds", "standard deviations"),
                          f"Quality {self.quality:.2f}")  # fmt: skip


@dataclass(frozen=True)
class Scorer(Report):
    """A trained scorer: pages in, quality in 0..1 out. It can be kept with a run, as any report.

    The score is calibrated against the pool: 0.7 says that the page is better than 70 % of it. Beside it stands the
    likeness: the probability that a page is one of the good pages rather than one of the pool, if either were as likely.

    Attributes
    ----------
    weights : what a standard deviation of each of OPINIONS counts; one step in length (2.7 times as many words) counts 1
    slope, level : the likeness (Platt 1999): probability = logistic(slope x log-odds + level)
    pool : log-odds of the pages of the pool, each by a model that did not see it, in order
    """

    title: ClassVar[str] = "What an opinion counts"

    scale: Scale
    ratio: Floats
    direction: Floats | None
    space: Space | None
    learnt_scale: tuple[Floats, Floats]
    weights: Floats
    slope: float
    level: float
    pool: Floats

    def score(self, texts: Sequence[str], vectors: NDArray[np.floating[Any]] | None = None) -> Floats:
        """The quality of texts, each with a word; a scorer that was taught without vectors asks for none.

        Raises
        ------
        InputError
            If a text has no words.
        """
        need_words(texts, [f"{row}" for row in range(len(texts))])
        return self.quality(self.raw(texts, vectors))

    def raw(self, texts: Sequence[str], vectors: NDArray[np.floating[Any]] | None = None) -> Floats:
        """The sum of the weighted opinions, before any calibration."""
        found: Floats = self._opinions(evidence(texts, vectors if self.space is not None else None)) @ self.weights
        return found

    def quality(self, raw: Floats) -> Floats:
        """The share of the pool that is below, smooth beyond its ends so that no two pages tie."""
        return standing(raw, self.pool)

    def likeness(self, raw: Floats) -> Floats:
        """The probability of being a good page, were good pages and pool equally likely."""
        return np.asarray(_probability(raw, self.slope, self.level))

    def explain(self, text: str, vector: NDArray[np.floating[Any]] | None = None) -> Explanation:
        """Which opinions and counts speak for a page, and which against it."""
        import pandas as pd

        need_words([text], ["given"])
        known = evidence([text], None if vector is None or self.space is None else np.atleast_2d(vector))
        says = self._opinions(known)[0]
        standard = self.scale.standard(known.counts)
        opinions = pd.DataFrame({"opinion": OPINIONS, "says": says, "adds": says * self.weights})
        told = [
            {"count": n, "aspect": a, "meaning": COUNTS[n], "value": float(known.counts[n][0]), "says": float(standard[n][0])}
            for a, members in ASPECTS.items() for n in members
        ]  # fmt: skip
        return Explanation(float(self.quality(says[None] @ self.weights)[0]), opinions, pd.DataFrame(told))

    def _repr_html_(self) -> str:
        about = {name: ", ".join(COUNTS[count] for count in members) for name, members in ASPECTS.items()}
        about |= {"style": "runs of common words, endings and punctuation", "meaning": "the vector, less what its topic has in common"}
        rows = [(name, f"{weight:.2f}", about[name]) for name, weight in zip(OPINIONS, self.weights, strict=True)]
        return html_table(rows, ("opinion", "counts", "what it looks at"), self.title)

    def _opinions(self, known: Evidence) -> Floats:
        residual = None if known.vectors is None or self.space is None else self.space.of(known.vectors)
        centre, spread = self.learnt_scale
        learnt = np.clip((heard(known.style, residual, self.ratio, self.direction) - centre) / spread, *_LIMITS)
        if residual is None:
            learnt[:, 1] = 0.0
        return np.column_stack([self.scale.of(known.counts), learnt])


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
    folds : in how many parts the groups are left out

    Raises
    ------
    InputError
        If there are fewer than 20 pages of one kind, so that there is nothing to learn.
    """
    good = np.asarray(good, bool)
    for count, kind in ((good.sum(), "good pages"), ((~good).sum(), "pages that are not among the good ones")):
        if count < FEWEST:
            raise InputError(f"quality: a scorer needs at least {FEWEST} {kind}, and there are {count}; name more of them")
    group = np.asarray(groups) if groups is not None else np.arange(len(known))
    fold = folds_of(group, good, folds, seed)
    folds = int(fold.max()) + 1
    subjectless = None if known.vectors is None else space(known.vectors, group)
    residual = None if known.vectors is None or subjectless is None else subjectless.of(known.vectors)
    told = scale(known.counts, good)
    aspects = told.of(known.counts)
    learnt = Learnt(known, good, fold, folds, residual)
    logits = np.zeros(len(known))
    for left in range(folds):
        inside, out = fold != left, fold == left
        raw = learnt.crossfit(fold, left)
        centre, spread = _middle(raw[inside], good[inside])
        opinions = np.column_stack([aspects, np.clip((raw - centre) / spread, *_LIMITS)])
        weights = _weights(opinions[inside], good[inside])
        logits[out] = opinions[out] @ weights
    likeness = np.zeros(len(known))
    for left in range(folds):
        out = fold == left
        likeness[out] = _probability(logits[out], *_platt(logits[~out], good[~out]))
    pool = np.sort(logits[~good])
    scorer = _final(good, fold, told, aspects, learnt, subjectless, _platt(logits, good), pool)
    return Fitted(scorer, standing(logits, pool), likeness, calibration_error(likeness, good), int(good.sum()))


def standing(values: Floats, pool: Floats) -> Floats:
    """The share of a pool that lies below each value: by rank within it, fading out beyond its ends.

    Parameters
    ----------
    pool : sorted array

    Returns
    -------
    array of numbers between 0 and 1, in the order of `values` where that is strict.
    """
    rank = np.interp(values, pool, np.arange(1, len(pool) + 1) - 0.5) / len(pool)
    edge = 0.5 / len(pool)
    below, above = np.minimum(values - pool[0], 0), np.minimum(pool[-1] - values, 0)
    return np.asarray(np.where(below < 0, edge * np.exp(below), np.where(above < 0, 1 - edge * np.exp(above), rank)))


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


def _final(good: Bools, fold: Ints, told: Scale, aspects: Floats, learnt: Learnt, subjectless: Space | None,
           calibration: tuple[float, float], pool: Floats) -> Scorer:  # fmt: skip
    """The scorer for new pages: opinions from all pages, weights from what each fold's opinion was without it."""
    raw = learnt.crossfit(fold)
    centre, spread = _middle(raw, good)
    weights = _weights(np.column_stack([aspects, np.clip((raw - centre) / spread, *_LIMITS)]), good)
    ratio, direction = learnt.model(())
    return Scorer(told, ratio, direction, subjectless, (centre, spread), weights, *calibration, pool)


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
        If there are too few pages of one kind, a page has no words, or only one side has vectors.
    """
    if (good_vectors is None) != (bad_vectors is None):
        raise InputError("quality: only one of good and bad pages has vectors; give both, or neither")
    texts = [*good["text"], *bad["text"]]
    if not len(good) or not len(bad):
        raise InputError(f"quality: there are no {'bad' if len(good) else 'good'} pages; a scorer learns from both kinds")
    need_words(texts, [*good["id"], *bad["id"]])
    vectors = None if good_vectors is None or bad_vectors is None else np.concatenate([good_vectors, bad_vectors])
    return fit(evidence(texts, vectors), np.arange(len(texts)) < len(good), seed=seed)


def folds_of(group: Ints, good: Bools, folds: int, seed: int) -> Ints:
    """The fold of each page: whole groups, the largest first, each to where it evens out both kinds of page best.

    Where two folds hold all pages of a kind, as with fewer than three groups, nothing would be left to learn from once they
    are out; then pages are spread one by one.
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
        for kind in (good, ~good):
            rows = spread[kind[spread]]
            rank[rows] = np.arange(len(rows)) % folds
        return rank
    found: Ints = np.unique(place[inverse], return_inverse=True)[1]
    return found


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


def _platt(logits: Floats, good: Bools) -> tuple[float, float]:
    """Slope and level that turn log-odds into probabilities at even odds; the targets are drawn in a little (Platt 1999)."""
    from scipy.optimize import minimize

    share = np.where(good, 0.5 / good.sum(), 0.5 / (~good).sum())
    target = np.where(good, (good.sum() + 1) / (good.sum() + 2), 1 / ((~good).sum() + 2))

    def loss(values: Floats) -> float:
        margin = values[0] * logits + values[1]
        return float(share @ (np.logaddexp(0, margin) - target * margin))

    slope, level = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(1e-3, 20), (None, None)]).x
    return float(slope), float(level)


def _probability(logits: Any, slope: float, level: float) -> Any:
    return 1 / (1 + np.exp(-(slope * logits + level)))
