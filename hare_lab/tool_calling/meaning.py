"""Which function does a request's meaning point to? A regression on sentence vectors, the second opinion beside the tuned model's.

A model of minutes has met each word of a few thousand requests; a sentence embedder has read the rest of the language. The
embedder can't fill arguments, but it knows that "put this on my list" and "add it to my playlist" are near. Their
log-probabilities are added, with equal voice (a product of experts: Hinton 2002, "Training products of experts by minimizing
contrastive divergence", eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOOSENESS = 10.0  # inverse strength of the penalty on the weights; 1 to 100 choose alike (docs/tool_calling.md)
UNSEEN = -8.0  # nats: what a function that no request asks for gets


@dataclass(frozen=True)
class Meaning:
    """Log-probabilities of each function, and last of no call, from unit sentence vectors.

    Attributes
    ----------
    weights : shape (n_apis + 1, width)
    offsets : shape (n_apis + 1,)
    """

    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-probabilities, shape (n, n_apis + 1)."""
        from scipy.special import log_softmax

        return np.asarray(log_softmax((vectors @ self.weights.T + self.offsets).astype(float), axis=1))


def fit(vectors: NDArray[np.float32], apis: ArrayLike, count: int) -> Meaning:
    """Learn from requests; with fewer than two kinds among them, it has no opinion.

    Parameters
    ----------
    vectors : unit sentence vectors of the requests, shape (n, width)
    apis : the function that each asks for by its place, shape (n,); -1: none
    count : functions in all
    """
    from sklearn.linear_model import LogisticRegression

    places = np.asarray(apis, int)
    weights, offsets = np.zeros((count + 1, vectors.shape[1]), np.float32), np.zeros(count + 1, np.float32)
    if len(kinds := np.unique(places)) > 1:
        offsets[:] = UNSEEN
        made = LogisticRegression(C=LOOSENESS, max_iter=2_000).fit(vectors, places)
        two = len(kinds) == 2  # scikit-learn keeps one row for two kinds: the second's odds
        coefficients = np.vstack([-made.coef_ / 2, made.coef_ / 2]) if two else made.coef_
        constants = np.concatenate([-made.intercept_ / 2, made.intercept_ / 2]) if two else made.intercept_
        weights[kinds], offsets[kinds] = coefficients, constants  # -1 is the last row
    return Meaning(weights, offsets)
