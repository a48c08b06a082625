"""How good is each page of a corpus, by the published rules and by a scorer that learnt from what the priors call good?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.quality.evidence import evidence
from hare_lab.quality.examples import SAMPLE, bundled_examples, enough, examples_of, reference
from hare_lab.quality.fitting import FEWEST, Fitted, fit, train
from hare_lab.quality.rules import RuleReport, check_rules, chosen, need_words
from hare_lab.quality.scorer import OPINIONS, Scorer
from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    from datasets import Dataset

    from hare_lab.corpus import Loaded

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class QualityReport(Report):
    """What was scored, against what, and how.

    Attributes
    ----------
    pages, good : pages scored, and pages named as good
    calibrated_against : which pages a score of 0.7 is better than 70 % of
    weights : what a standard deviation of each opinion counts, after learning
    calibration_error : of the likeness, cross-fitted
    passed : share of pages that pass every rule
    mean, low, high : quality over the corpus: its mean and its quartiles
    """

    title: ClassVar[str] = "Quality"

    pages: int
    good: int
    good_from: str
    calibrated_against: str
    weights: dict[str, float]
    calibration_error: float
    passed: float
    mean: float
    low: float
    high: float
    below_floor: int
    floor: float

    def _repr_html_(self) -> str:
        rows: list[tuple[str, Any]] = [
            ("pages", self.pages),
            ("pages that pass every published rule", f"{self.passed:.0%}"),
            ("good pages to learn from", f"{self.good:,} ({self.good_from})"),
            ("a score of 0.7 is better than 70 % of", self.calibrated_against),
            ("mean score, and the middle half", f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"),
            (f"pages below the floor of the priors ({self.floor:g})", self.below_floor),
            ("likeness to the good pages is off by", f"{self.calibration_error:.3f} on average"),
            ("what an opinion counts", ", ".join(f"{name} {weight:.2f}" for name, weight in self.weights.items())),
        ]
        return html_table(rows, caption=self.title)


@dataclass(frozen=True)
class Scores:
    """`table`: id, quality, rules_failed, likeness, then each rule's value, in the order of the pages."""

    table: Dataset
    report: QualityReport
    rules: RuleReport
    scorer: Scorer


def score(
    pages: Dataset,
    vectors: NDArray[np.floating[Any]],
    priors: Priors,
    *,
    good: Dataset | None = None,
    good_vectors: NDArray[np.floating[Any]] | None = None,
    groups: Sequence[int] | NDArray[np.int64] | None = None,
    model: str | None = None,
    seed: int = 0,
) -> Scores:
    """Score every page, by rules and by a scorer that is taught here.

    Parameters
    ----------
    pages : Dataset with `id` and `text`: the pool
    vectors : array of shape (n_pages, dim), unit rows
    good, good_vectors : pages to learn from, and their vectors
        Default: what the priors name, embedded here.
    groups : array of shape (n_pages,)
        What each page is about (`nearest_cluster`). A page is never scored by a model that saw its group. Default: groups found among
        the vectors.
    model : embedding model for the good pages; the one that made `vectors`

    Raises
    ------
    InputError
        If there is no page or a page has no words, lengths differ, there are fewer than 20 good pages, or a threshold of the
        priors names no rule.
    """
    if len(pages) != len(vectors):
        raise InputError(f"quality: {len(pages):,} pages but {len(vectors):,} vectors; give one a page, in the same order")
    rules = check_rules(pages, priors.quality.rules)
    texts = list(pages["text"])
    bundled = good is None and priors.quality.good == SAMPLE
    if good is None:
        good = reference(priors)
    if good_vectors is None:
        good_vectors = _embedded(good, model)
    good_texts = list(good["text"])
    need_words(good_texts, good["id"])
    if len(good) < FEWEST:
        raise InputError(f"quality: there are {len(good)} good pages, and a scorer learns from {FEWEST} or more; name more of them")
    # The bundled pages are known by their id, as cleaning may have changed them. Another's ids say only where a page stood in its file.
    named, ids = set(good_texts), set(good["id"]) if bundled else set()
    is_good = np.array([text in named or page in ids for text, page in zip(texts, pages["id"], strict=True)])
    pool = texts, np.asarray(vectors)
    against = "the pages of the corpus that nobody named as good"
    own = int((~is_good).sum())
    if own < FEWEST:
        from hare_lab.texts import sample_pages

        others = [page["text"] for page in sample_pages() if page["text"] not in named]
        pool = [*texts, *others], np.concatenate([vectors, _embedded(others, model)])
        is_good = np.concatenate([is_good, np.zeros(len(others), bool)])
        against = f"the bundled pages and the corpus, which alone has too few pages ({own})"
        groups = None
    group = np.asarray(groups) if groups is not None else _groups(pool[1], seed)
    present, there = set(pool[0]), set(pages["id"]) if bundled else set()
    outside = [
        row for row, (text, page) in enumerate(zip(good_texts, good["id"], strict=True)) if text not in present and page not in there
    ]
    every, joined = [*pool[0], *(good_texts[row] for row in outside)], np.concatenate([pool[1], np.asarray(good_vectors)[outside]])
    is_good = np.concatenate([is_good, np.ones(len(outside), bool)])
    examples = None
    if bundled:
        named_rows = [*pages["id"], *[""] * (len(pool[0]) - len(pages)), *(good["id"][row] for row in outside)]
        examples, others = bundled_examples(every, named_rows)
        every, joined = [*every, *others], np.concatenate([joined, _embedded(others, model)]) if others else joined
        is_good = np.concatenate([is_good, np.zeros(len(others), bool)])
    added = joined[len(pool[1]) :]
    group = np.concatenate([group, _nearest_group(added, pool[1], group)])
    fitted = fit(evidence(every, joined), is_good, group, examples=examples, seed=seed)
    named_by = "your good examples" if priors.quality.good == SAMPLE else priors.quality.good
    name = "bundled reference pages; style and meaning from all bundled pages, good and bad" if bundled else named_by
    return _scores(pages, fitted.quality[: len(pages)], fitted.likeness[: len(pages)], rules, fitted, priors, (len(good), name, against))


def apply(pages: Dataset, vectors: NDArray[np.floating[Any]] | None, fitted: Fitted, priors: Priors) -> Scores:
    """Score pages by a scorer that was taught elsewhere, such as on one's own good and bad examples (`train`).

    Raises
    ------
    InputError
        If there is no page, a page has no words, or a threshold of the priors names no rule.
    """
    rules = check_rules(pages, priors.quality.rules)
    says = fitted.scorer.opinions(list(pages["text"]), vectors)
    told = fitted.good, "your good examples", "your bad examples"
    return _scores(pages, fitted.scorer.quality(says), fitted.scorer.likeness(says), rules, fitted, priors, told)


def score_source(
    source: Any,
    priors: Priors,
    *,
    good: str | None = None,
    bad: str | None = None,
    classifier: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    column: str | None = None,
    model: str | None = None,
) -> tuple[Loaded, Dataset, Scores]:
    """Load a corpus and score it: what `hare-lab score` does.

    Parameters
    ----------
    source, limit, column, seed : see `corpus.load`
    good, bad : sources of example pages; with both, the scorer learns from them alone. Their text is in `column` too, or else where
        `corpus.load` finds it. `good` may be `sample`, the bundled pages of the tier "reference".
    classifier : see `load_classifier`; adds a column `classifier`

    Returns
    -------
    What was loaded, its pages with the scores and verdicts (`failed_RULE`) as columns (one of the user's of such a name stays as
    `own_NAME`), and the scores.

    Raises
    ------
    InputError
        As `corpus.load` and `score` do; or if there are bad examples but no good ones, or fewer than 20 of them.
    """
    import dataclasses

    import pyarrow as pa

    from hare_lab import corpus
    from hare_lab.corpus.pages import owned, with_columns
    from hare_lab.quality.classifier import load_classifier

    if bad is not None and good is None:
        raise InputError("bad examples alone teach one side only; give good ones too, with --good")
    chosen(priors.quality.rules)
    grade = load_classifier(classifier) if classifier else None
    if good is not None:
        priors = dataclasses.replace(priors, quality=dataclasses.replace(priors.quality, good=good))
    own = None if good is None or good == SAMPLE else enough(examples_of(good, column), good)
    examples = reference(priors) if own is None else own
    others = enough(examples_of(bad, column), bad, "bad") if bad else None
    loaded = corpus.load(source, column=column, limit=limit, seed=seed)
    vectors = _embedded(loaded.pages, model)
    if others is None:
        scores = score(loaded.pages, vectors, priors, good=own, model=model, seed=seed)
    else:
        fitted = train(examples, others, good_vectors=_embedded(examples, model), bad_vectors=_embedded(others, model), seed=seed)
        scores = apply(loaded.pages, vectors, fitted, priors)
    columns = {name: pa.array(scores.table[name]) for name in scores.table.column_names if name != "id"}
    columns |= {f"failed_{name}": pa.array(values.to_numpy()) for name, values in scores.rules.verdicts().items()}
    if grade is not None:
        columns["classifier"] = pa.array(grade(list(loaded.pages["text"])))
    return loaded, with_columns(owned(loaded.pages, columns), columns), scores


def _scores(pages: Dataset, quality: Floats, likeness: Floats, rules: RuleReport, fitted: Fitted, priors: Priors,
            learnt: tuple[int, str, str]) -> Scores:  # fmt: skip
    low, high = np.quantile(quality, [0.25, 0.75])
    weights = {name: round(float(weight), 3) for name, weight in zip(OPINIONS, fitted.scorer.weights, strict=True)}
    below = int((quality < priors.quality.floor).sum())
    middle = float(quality.mean()), float(low), float(high)
    passed = float(rules.passes().mean())
    report = QualityReport(len(pages), *learnt, weights, fitted.calibration_error, passed, *middle, below, priors.quality.floor)
    return Scores(_table(pages, quality, likeness, rules), report, rules, fitted.scorer)


def _table(pages: Dataset, quality: Floats, likeness: Floats, rules: RuleReport) -> Dataset:
    from datasets import Dataset

    values = {rule.name: rules.values[rule.name].to_numpy() for rule in rules.rules}
    return Dataset.from_dict({"id": list(pages["id"]), "quality": quality, "rules_failed": rules.failed(), "likeness": likeness, **values})


def _embedded(pages: Any, model: str | None) -> NDArray[np.floating[Any]]:
    from hare_lab.embedding import embed

    return np.asarray(embed(pages, model=model).vectors)


def _groups(vectors: NDArray[np.floating[Any]], seed: int) -> NDArray[np.int64]:
    """A group for each page where none is known: k-means, about 50 pages to a group, from 5 to 40 of them."""
    from sklearn.cluster import MiniBatchKMeans

    count = int(np.clip(len(vectors) // 50, 5, 40))
    found: NDArray[np.int64] = MiniBatchKMeans(count, n_init=1, random_state=seed, batch_size=2048).fit_predict(vectors)
    return found


def _nearest_group(vectors: NDArray[np.floating[Any]], pool: NDArray[np.floating[Any]], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group whose middle is nearest to each vector."""
    names = np.unique(group)
    centres = np.stack([pool[group == name].mean(axis=0) for name in names])
    found: NDArray[np.int64] = names[(vectors @ centres.T - 0.5 * (centres**2).sum(axis=1)).argmax(axis=1)] if len(vectors) else group[:0]
    return found
