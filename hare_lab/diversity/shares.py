"""How diverse are shares? Hill numbers: the effective number of topics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from hare_lab.diversity.estimate import LEVEL, Estimate
from hare_lab.errors import InputError

ORDERS = tuple(float(order) for order in np.linspace(0, 3, 31).round(1))
RESAMPLES = 500


def effective_number(shares: ArrayLike, order: float = 1.0) -> float:
    """How many equally common topics would be as diverse as these.

    The Hill number of `order`: 0 counts topics, 1 weighs them by share (the exponential of Shannon entropy), 2 by
    their square, so that rare topics hardly matter.

    Parameters
    ----------
    shares : array of shape (n_topics,)
        Non-negative weights; need not sum to 1.
    order : float
        0, 1, 2 or any non-negative number.

    Returns
    -------
    float between 1 and n_topics (0 for no topic with weight).

    Raises
    ------
    InputError
        If a share is negative or not finite, or the order is.

    References
    ----------
    Hill (1973), "Diversity and evenness", Ecology 54(2), eq. 4.
    """
    weights = np.asarray(shares, dtype=float)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError("shares must be finite and non-negative")
    if not math.isfinite(order) or order < 0:
        raise InputError(f"the order of a Hill number must be zero or more, not {order}")
    return float(_hill(weights, order)) if weights.any() else 0.0


def hill_curve(counts: ArrayLike, *, orders: Sequence[float] = ORDERS, seed: int = 0) -> list[tuple[float, Estimate]]:
    """Hill numbers of each order, with intervals that say how far another corpus of this size and source could differ.

    Drawing again from the corpus loses rare topics, as the corpus lost some of its source: by as much as the draws fall
    short, the interval reaches higher.

    Parameters
    ----------
    counts : array of shape (n_topics,)
        Pages of each topic.
    orders : which Hill numbers

    References
    ----------
    Chao et al. (2014), "Rarefaction and extrapolation with Hill numbers", Ecological Monographs 84(1), on bootstrapping them.
    """
    pages = np.asarray(counts, dtype=np.int64)
    pages = pages[pages > 0]
    if not pages.size:
        return [(order, Estimate.exact(0.0)) for order in orders]
    draws = np.random.default_rng(seed).multinomial(pages.sum(), pages / pages.sum(), size=RESAMPLES).astype(float)
    curve = []
    for order in orders:
        value, drawn = float(_hill(pages.astype(float), order)), _hill(draws, order)
        bias, error = float(drawn.mean()) - value, float(ndtri((1 + LEVEL) / 2) * drawn.std(ddof=1))
        curve.append((order, Estimate(value, max(1.0, value - error - max(0.0, bias)), value + error + max(0.0, -bias))))
    return curve


def _hill(weights: NDArray[np.float64], order: float) -> NDArray[np.float64]:
    """Hill numbers along the last axis, in logarithms, so that no power under- or overflows."""
    if order == 0:
        return np.asarray((weights > 0).sum(axis=-1), dtype=float)
    scaled = weights / weights.max(axis=-1, keepdims=True)
    p = scaled / scaled.sum(axis=-1, keepdims=True)
    logs = np.log(np.where(p > 0, p, 1.0))
    if abs(order - 1) < 1e-6:  # the general formula divides by zero here; its limit is exp(entropy)
        return np.asarray(np.exp(-(p * logs).sum(axis=-1)))
    top = np.log(p.max(axis=-1))
    powers = np.where(p > 0, np.exp(order * (logs - top[..., None])), 0.0).sum(axis=-1)
    return np.asarray(np.exp((order * top + np.log(powers)) / (1 - order)))
