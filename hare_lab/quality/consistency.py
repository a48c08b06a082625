"""Is the quality even, within each topic and from topic to topic?

The HARE paper asks for "data quality consistency" and gives no number for it. Ours is the spread: how far, typically, a page is
from the middle of its topic, and how far topics are from one another. A corpus of one source and one editor has little of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hare_lab.diversity import Estimate
from hare_lab.errors import InputError
from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

Floats = NDArray[np.float64]
RESAMPLES = 400


@dataclass(frozen=True)
class Consistency(Report):
    """How even quality is. Scores that are calibrated against a pool have a spread of 0.29 over all of it, by construction.

    Attributes
    ----------
    spread : standard deviation over all pages
    within : standard deviation around the middle of the page's topic (pooled over topics): 0 where a topic's pages are equally good
    between : standard deviation of the topics' means, each topic counting by its pages, less what the pages' own spread adds to it
    between_share : share of the variance that lies between topics (omega squared): 1 where the topic says all about quality
    topics : DataFrame with topic, pages, mean, spread, low and high (quartiles)
    """

    title: ClassVar[str] = "Consistency of quality"

    spread: Estimate
    within: Estimate
    between: Estimate
    between_share: Estimate
    topics: pd.DataFrame

    def _repr_html_(self) -> str:
        rows = [
            ("spread over all pages (standard deviation)", str(self.spread)),
            ("spread within a topic", str(self.within)),
            ("spread from topic to topic", str(self.between)),
            ("share of the variance that lies between topics", str(self.between_share)),
            ("topics", len(self.topics)),
        ]
        return html_table(rows, ("measure", "value (95 % interval)"), self.title)


def consistency(quality: ArrayLike, topics: Sequence[Any] | NDArray[Any], *, seed: int = 0) -> Consistency:
    """How far pages are from the middle of their topic, and topics from one another.

    The mean of a few pages differs from topic to topic even where quality does not, so what chance adds is taken off. It is taken
    for alike in all topics: where small topics spread much more than large ones, too little is taken off, and the reverse.

    Parameters
    ----------
    quality : array of shape (n_pages,)
    topics : the topic of each page, any values, known by how they print; topics of one page have no spread and count only between
    seed : of the bootstrap, which draws pages anew within each topic

    Raises
    ------
    InputError
        If lengths differ, there are fewer than two pages, or a score is not finite.

    References
    ----------
    Hays (1963), "Statistics for psychologists": omega squared, in a one-way analysis of variance.
    """
    import pandas as pd

    values, names = np.asarray(quality, float), [str(topic) for topic in topics]
    if len(values) != len(names):
        raise InputError(f"quality: {len(values):,} scores but {len(names):,} topics; give one a page")
    if len(values) < 2:
        raise InputError("quality: it takes two pages or more to say how even quality is; load a larger corpus")
    if not np.isfinite(values).all():
        row = int(np.isfinite(values).argmin())
        raise InputError(f"quality: the score of row {row} is {values[row]}; leave out pages that have no finite score")
    labels, inverse = np.unique(names, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    values, inverse = values[order], inverse[order]
    count = np.bincount(inverse)
    first = np.cumsum(count) - count
    found = _variances(values, inverse, count)
    # drawing again within a topic of n pages shrinks its variance by (n - 1)/n, which the stretch makes good, and adds it to that
    # between: so the error is of the draws around their own mean, put around the value found
    middle = (np.bincount(inverse, values) / count)[inverse]
    stretched = middle + (values - middle) * np.sqrt(count / np.maximum(count - 1, 1))[inverse]
    generator = np.random.default_rng(seed)
    drawn = [_variances(stretched[first[inverse] + generator.integers(0, count[inverse])], inverse, count) for _ in range(RESAMPLES)]
    error = 1.96 * np.std(drawn, axis=0, ddof=1)
    # roots are taken last: near nought a root is so steep that an interval of roots misses the truth
    low, high = np.maximum(found - error, 0), np.maximum(found + error, 0)
    bounds = np.column_stack([np.maximum(found, 0), low, high])
    spread, within, between = (Estimate(*row) for row in np.sqrt(bounds[:3]).tolist())
    share = Estimate(*np.minimum(bounds[3], 1).tolist())
    groups = np.split(values, first[1:])
    table = pd.DataFrame({
        "topic": [str(label) for label in labels], "pages": count, "mean": [float(g.mean()) for g in groups],
        "spread": [float(g.std(ddof=1)) if len(g) > 1 else 0.0 for g in groups],
        "low": [float(np.quantile(g, 0.25)) for g in groups], "high": [float(np.quantile(g, 0.75)) for g in groups],
    })  # fmt: skip
    return Consistency(spread, within, between, share, table.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True))


def _variances(values: Floats, inverse: NDArray[np.int64], count: NDArray[np.int64]) -> Floats:
    """The variance of all pages, that within topics, that between their means, and the latter's share: below 0 where chance took more."""
    values = values - values[0]  # so that equal scores are equal to the last digit
    means = np.bincount(inverse, values) / count
    within = float(((values - means[inverse]) ** 2).sum()) / max(len(values) - len(count), 1)
    outside = float((count * (means - values.mean()) ** 2).sum()) if len(count) > 1 else 0.0
    between = (outside - (len(count) - 1) * within) / len(values)
    total = between + within
    return np.array([values.var(ddof=1), within, between, between / total if total > 0 else 0.0])


# --- opinions beside one another ---------------------------------------------------------------------------------------


def disagreements(pages: Dataset, opinions: Mapping[str, ArrayLike], *, count: int = 10, length: int = 240) -> pd.DataFrame:
    """The pages on which opinions differ most: the list to read when two judges can't agree.

    Each opinion is turned into ranks between 0 and 1 (equals share the middle one), because a share of rules, a score and a
    perplexity have no common scale.

    Parameters
    ----------
    pages : Dataset with `id`, `title` and `text`
    opinions : mapping of name to array of shape (n_pages,)
        Higher is better; pass a perplexity with its sign turned. A page on which an opinion is not a number, as the perplexity of a
        page without text is, is left out: nobody can say how far apart they are.

    Returns
    -------
    DataFrame with id, title, one column an opinion (its rank), `apart` (the largest difference) and `text` (the beginning).

    Raises
    ------
    InputError
        If there are fewer than two opinions, or one does not have a value a page.
    """
    import pandas as pd
    from scipy.stats import rankdata

    if len(opinions) < 2:
        raise InputError("quality: disagreement needs at least two opinions")
    for name, values in opinions.items():
        if len(np.asarray(values)) != len(pages):
            raise InputError(f'quality: opinion "{name}" has {len(np.asarray(values)):,} values for {len(pages):,} pages; give one a page')
    given = np.column_stack([np.asarray(values, float) for values in opinions.values()])
    judged = np.flatnonzero(~np.isnan(given).any(axis=1))
    table = (rankdata(given[judged], axis=0) - 0.5) / max(len(judged), 1)
    apart = table.max(axis=1) - table.min(axis=1)
    first = np.argsort(-apart, kind="stable")[:count]
    chosen = pages.select(judged[first].tolist())
    titles = chosen["title"] if "title" in chosen.column_names else [""] * len(first)
    return pd.DataFrame({
        "id": list(chosen["id"]), "title": list(titles), **dict(zip(opinions, table[first].T, strict=True)), "apart": apart[first],
        "text": [" ".join(text[: 4 * length].split())[:length] for text in chosen["text"]],
    })  # fmt: skip


def to_grade(pages: Dataset, quality: ArrayLike, *, count: int = 20, seed: int = 0) -> Dataset:
    """Pages for a reader to grade: one drawn from each of `count` equal steps of quality, in random order, so that nothing tells."""
    generator = np.random.default_rng(seed)
    steps = np.array_split(np.argsort(np.asarray(quality), kind="stable"), min(count, len(pages)))
    chosen = generator.permutation([int(generator.choice(step)) for step in steps])
    return pages.select(chosen.tolist())


@dataclass(frozen=True)
class Agreement(Report):
    """How far a reader and each judge agree.

    `table` has columns judge, kappa, auc, auc_low and auc_high. For kappa a judge calls as many pages good as the reader
    did, its highest ones. Where equals stand at the cut, each is called good in part, all alike: what a draw among them gives on average.
    AUC asks whether a page that the reader calls good is scored above one called bad.
    """

    title: ClassVar[str] = "You and the judges"

    pages: int
    good: int
    table: pd.DataFrame

    def _repr_html_(self) -> str:
        rows = [(r.judge, f"{r.kappa:.2f}", f"{r.auc:.2f} [{r.auc_low:.2f}, {r.auc_high:.2f}]") for r in self.table.itertuples()]
        header = ("judge", "kappa (1: the same, 0: chance)", "AUC (95 % interval)")
        return html_table(rows, header, f"{self.title}: {self.pages} pages, {self.good} of them good to you")


def agreement(grades: Mapping[str, bool], ids: Sequence[str], opinions: Mapping[str, ArrayLike], *, seed: int = 0) -> Agreement:
    """Cohen's kappa and AUC of a reader's grades with each judge.

    Parameters
    ----------
    grades : mapping of page id to whether the reader calls it good
    ids : the ids of all pages, in the order of the opinions
    opinions : mapping of judge to array of shape (n_pages,), higher is better
    seed : of the bootstrap of the AUC

    Raises
    ------
    InputError
        If fewer than two pages are graded, all get the same grade, a graded page is not among the pages, or a judge's opinion of one is
        not a number.

    References
    ----------
    Cohen (1960), "A coefficient of agreement for nominal scales".
    """
    import pandas as pd

    place = {page: row for row, page in enumerate(ids)}
    missing = next((page for page in grades if page not in place), None)
    if missing is not None:
        raise InputError(f'quality: page "{missing}" is graded but not among the pages; grade pages of this corpus')
    clicked = sorted(grades, key=place.__getitem__)  # the order in which a reader got to them decides nothing
    said = np.array([bool(grades[page]) for page in clicked])
    if len(said) < 2 or said.all() or not said.any():
        raise InputError("quality: agreement needs at least one page graded good and one graded bad")
    graded = [place[page] for page in clicked]
    rows = []
    for judge, values in opinions.items():
        score = np.asarray(values, float)[graded]
        if np.isnan(score).any():
            silent = clicked[int(np.isnan(score).argmax())]
            raise InputError(f'quality: judge "{judge}" has no opinion on page "{silent}", which is graded; leave one of the two out')
        value, low, high = auc_interval(said, score, seed=seed)
        rows.append((judge, _kappa(said, _called(score, int(said.sum()))), value, low, high))
    return Agreement(len(said), int(said.sum()), pd.DataFrame(rows, columns=["judge", "kappa", "auc", "auc_low", "auc_high"]))


def auc(good: ArrayLike, score: ArrayLike) -> float:
    """The chance that a good page scores above a bad one, ties counting half (Mann & Whitney 1947)."""
    from scipy.stats import rankdata

    said, ranks = np.asarray(good, bool), rankdata(score)
    n, m = int(said.sum()), int((~said).sum())
    return float((ranks[said].sum() - n * (n + 1) / 2) / (n * m))


def auc_interval(good: ArrayLike, score: ArrayLike, *, resamples: int = 1_000, seed: int = 0) -> tuple[float, float, float]:
    """AUC with its 95 % interval, from the bootstrap over pages of each kind."""
    said, values = np.asarray(good, bool), np.asarray(score, float)
    generator = np.random.default_rng(seed)
    kinds = np.flatnonzero(said), np.flatnonzero(~said)
    drawn = []
    for _ in range(resamples):
        rows = np.concatenate([generator.choice(kind, len(kind)) for kind in kinds])
        drawn.append(auc(said[rows], values[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return auc(said, values), float(low), float(high)


def _called(score: Floats, count: int) -> Floats:
    """For each page how much of it a judge calls good who may call `count` of them: 1 above the cut, 0 below, equals at it alike."""
    cut = np.sort(score)[-count]
    above, at = score > cut, score == cut
    return np.where(above, 1.0, np.where(at, (count - above.sum()) / at.sum(), 0.0))


def _kappa(one: NDArray[np.bool_], other: Floats) -> float:
    same = float(np.where(one, other, 1 - other).mean())
    chance = float(one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean()))
    return 1.0 if chance == 1 else (same - chance) / (1 - chance)
