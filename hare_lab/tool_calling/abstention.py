"""When is it better not to call? Signals that a request is none of the functions' business, one score from them, and a threshold.

A model that was taught a "no call" token still calls boldly where a request is of a kind that it never saw. So several signs
are read together: the token's own probability, what the sentence vector says (`meaning`) and what the words say (`wording`), how sure all
three are of the function and of the arguments, how far the request lies, in the model's own states and in sentence vectors, from the
training requests of the function that was chosen, how strangely it would be worded for it, how unusual its words are, names aside, and
how many such words there are to go by. A logistic regression on validation requests weighs them; the threshold is chosen there too, for
a precision that a person asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hare_lab.errors import InputError
from hare_lab.tool_calling.decoding import Outcome
from hare_lab.tool_calling.meaning import Meaning
from hare_lab.tool_calling.wording import Wording

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURS = 5
CAUTION = 0.05  # inverse strength of the penalty on the signals' weights (docs/tool_calling.md)
SIGNALS = (
    "no-call token",
    "no call by meaning",
    "no call by wording",
    "doubt of the function",
    "doubt of the arguments",
    "distance in the model",
    "distance in meaning",
    "strange wording",
    "unusual words",
    "words to judge by",
)
# signals of what can't be read: as large as any that is
UNREADABLE = (30.0, 10.0, 30.0, 5.0, 5.0, 2.0, 2.0, 5.0, 7.0, 5.0)


@dataclass(frozen=True)
class Known:
    """Training requests as the model and the embedder see them: unit rows, and the function each asks for (-1: none).

    `meaning` is what was learnt from the vectors, `wording` from the words.
    """

    hidden: NDArray[np.float32]
    vectors: NDArray[np.float32]
    apis: NDArray[np.int64]
    meaning: Meaning
    wording: Wording


def signals(outcomes: Sequence[Outcome], known: Known) -> NDArray[np.float64]:
    """Ten signs that nothing should be called, the larger the likelier.

    The last says how much the others have to go by: "find Landing on Water" holds one word that is part of no name.

    Parameters
    ----------
    outcomes : with their sentence vectors, as `Caller.outcomes` gives them

    Returns
    -------
    float64 array of shape (n_requests, 10), columns as `SIGNALS`; what can't be read has the largest values.
    """
    found = np.zeros((len(outcomes), len(SIGNALS)))
    for row, outcome in enumerate(outcomes):
        if not len(outcome.hidden) or outcome.oddness is None or outcome.vector is None:
            found[row] = UNREADABLE
            continue
        among = outcome.shares
        chosen = int(among.argmax())
        own = known.apis == chosen
        hidden = outcome.hidden / max(float(np.linalg.norm(outcome.hidden)), 1e-9)
        found[row] = (
            _odds(outcome.apis), _odds(outcome.meaning), _odds(outcome.wording), -np.log(max(float(among.max()), 1e-12)),
            -outcome.confidence, _distance(hidden, known.hidden[own]), _distance(outcome.vector, known.vectors[own]),
            outcome.oddness.strange[chosen], outcome.oddness.unusual[chosen], np.log1p(outcome.oddness.words),
        )  # fmt: skip
    return found


def _odds(opinion: NDArray[np.float64]) -> float:
    """Log-odds of no call."""
    return float(opinion[-1] - np.logaddexp.reduce(opinion[:-1]))


def _distance(one: NDArray[np.float32], many: NDArray[np.float32]) -> float:
    """1 less the mean cosine to the nearest few."""
    if not len(many):
        return 1.0
    near = np.sort(many @ one)[-NEIGHBOURS:]
    return float(1 - near.mean())


@dataclass(frozen=True)
class Abstention:
    """How likely a request needs no call, from its signals, and from which likelihood on nothing is called."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    offset: float
    threshold: float = 0.5

    def __call__(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of no call for each row of signals, 0 to 1."""
        scaled = np.clip((found - np.array(self.mean)) / np.array(self.spread), -6, 6)
        return np.asarray(1 / (1 + np.exp(-(scaled @ np.array(self.weights) + self.offset))))


def fit(found: NDArray[np.float64], none: ArrayLike, *, precision: float | None = None) -> Abstention:
    """Weigh the signals of validation requests, and choose the threshold.

    Parameters
    ----------
    none : which of the requests need no call, shape (n,)
    precision : wanted share of right answers among those without a call, on these requests; default: the threshold with the most
        right answers to whether anything should be called

    Raises
    ------
    InputError
        If the requests are all of one sort.
    """
    from sklearn.linear_model import LogisticRegression

    truth = np.asarray(none, bool)
    if truth.all() or not truth.any():
        raise InputError("abstention: the validation requests need both some with a call and some without; add what is missing")
    mean, spread = found.mean(0), np.maximum(found.std(0), 1e-6)
    scaled = np.clip((found - mean) / spread, -6, 6)
    fitted = LogisticRegression(C=CAUTION, max_iter=1000).fit(scaled, truth)
    rule = Abstention(tuple(mean), tuple(spread), tuple(fitted.coef_[0]), float(fitted.intercept_[0]))
    threshold = best_threshold(rule(found), truth) if precision is None else threshold_for(rule(found), truth, precision)
    return Abstention(rule.mean, rule.spread, rule.weights, rule.offset, threshold)


def threshold_for(scores: NDArray[np.float64], none: NDArray[np.bool_], precision: float) -> float:
    """The lowest threshold at which answers without a call are right so often; above every score where none is."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(none[order]) / np.arange(1, len(order) + 1)
    ends = np.append(scores[order][1:] != scores[order][:-1], True)  # a threshold can't part equal scores
    good = np.flatnonzero((right >= precision) & ends)
    return float(scores[order][good[-1]]) if len(good) else float(np.nextafter(scores.max(), 2.0))


def best_threshold(scores: NDArray[np.float64], none: NDArray[np.bool_]) -> float:
    """The threshold that parts requests with a call from those without with the fewest mistakes; the highest of several."""
    cuts = np.append(np.unique(scores), np.nextafter(scores.max(), 2.0))
    right = [int(((scores >= cut) == none).sum()) for cut in cuts]
    return float(cuts[len(cuts) - 1 - int(np.argmax(right[::-1]))])


def recall_at(scores: ArrayLike, none: ArrayLike, precision: float = 0.95) -> float:
    """Largest share of the requests without a call that is found while answers without a call are right so often."""
    values, truth = np.asarray(scores, float), np.asarray(none, bool)
    return float((values >= threshold_for(values, truth, precision))[truth].mean()) if truth.any() else float("nan")


def risk_coverage(scores: ArrayLike, right: ArrayLike) -> pd.DataFrame:
    """What answering only the surest requests buys: for each share answered, the share of wrong calls among them.

    Parameters
    ----------
    scores : probability that nothing should be called, shape (n,); the requests are answered from the lowest on
    right : whether each call would be exactly right

    Returns
    -------
    DataFrame: coverage, risk (both 0 to 1), threshold

    References
    ----------
    El-Yaniv & Wiener (2010), "On the foundations of noise-free selective classification", JMLR 11.
    """
    import pandas as pd

    values, good = np.asarray(scores, float), np.asarray(right, float)
    order = np.argsort(values, kind="stable")
    count = np.arange(1, len(order) + 1)
    return pd.DataFrame({"coverage": count / max(1, len(order)), "risk": np.cumsum(1 - good[order]) / count, "threshold": values[order]})
