"""How much of the budget does each topic get, and which pages fill it?

Weights say how much a topic is wanted; pages say how much of it there is. Where a topic has less than its share, all of it
is taken and what it leaves is handed to the others in proportion to their weights, so that no part of the budget is lost
and the composition stays as near to the priors as the pages allow.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.texts import Topic

OTHER = "other"  # a page that is about none of the taxonomy's topics


def topic_weights(priors: Priors, taxonomy: Sequence[Topic]) -> dict[str, float]:
    """How much each topic is wanted: the priors' weight, else the taxonomy's; `other` is not wanted unless the priors say so.

    Raises
    ------
    InputError
        If the priors weigh a topic that the taxonomy does not have, or no topic has a weight.
    """
    weights = {topic.id: topic.weight for topic in taxonomy} | {OTHER: 0.0}
    unknown = [topic for topic in priors.topics if topic not in weights]
    if unknown:
        near = ", ".join(sorted(weights)[:6])
        raise InputError(f'curation: the priors weigh the topic "{unknown[0]}", which the taxonomy does not have; it has {near}, ...')
    weights |= {topic: float(weight) for topic, weight in priors.topics.items()}
    if not any(weights.values()):
        raise InputError("curation: no topic has a weight above 0; give at least one in the priors")
    return weights


def water_fill(weights: np.ndarray, available: np.ndarray, budget: float) -> np.ndarray:
    """Shares of a budget that are as near to the weights as what is available allows.

    Each topic gets min(weight x level, available), with the level at which the shares sum to the budget: the answer that
    comes closest to the weights in the sense of Kullback and Leibler among all that spend the budget.

    Parameters
    ----------
    weights : float array of shape (n_topics,), zero or more
    available : float array of shape (n_topics,)
        Tokens of each topic.
    budget : tokens

    Returns
    -------
    float array of shape (n_topics,), summing to the budget, or to all that is available where that is less.
    """
    quotas = np.where(weights > 0, available, 0.0).astype(float)
    left, open_ = float(budget), quotas > 0
    if quotas.sum() <= left:
        return quotas
    while True:  # each round a topic is used up, or the last share is given
        shares = np.where(open_, weights, 0.0) / weights[open_].sum() * left
        used_up = open_ & (shares >= available)
        if not used_up.any():
            return np.where(open_, shares, quotas * (weights > 0))
        left -= float(available[used_up].sum())
        open_ &= ~used_up


def fill(group: np.ndarray, worth: np.ndarray, tokens: np.ndarray, quotas: np.ndarray, budget: int) -> np.ndarray:
    """Which pages to take: of each group those worth most, up to its quota, and no token above the budget.

    A quota seldom ends where a page does. What is left over is pooled, and goes page by page to the group that lacks most,
    to its best page that still fits.

    Parameters
    ----------
    group : int array of shape (n_pages,)
        Row of `quotas` that the page counts towards; -1 is never taken.
    worth : float array of shape (n_pages,)
    tokens : int array of shape (n_pages,)
    quotas : float array of shape (n_groups,), tokens
    budget : int

    Returns
    -------
    bool array of shape (n_pages,)
    """
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.lexsort((rows, -worth[rows], group[rows]))]
    bounds = np.searchsorted(group[rows], np.arange(len(quotas) + 1))
    before = np.concatenate([[0], np.cumsum(tokens[rows])])
    within = before[1:] - before[bounds[group[rows]]]  # tokens of the group up to and with this page
    taken = within <= np.floor(quotas[group[rows]])
    lacking = quotas - np.bincount(group[rows], np.where(taken, tokens[rows], 0), len(quotas))
    left = budget - int(tokens[rows][taken].sum())
    waiting = [(-float(lack), at) for at, lack in enumerate(lacking) if quotas[at] > 0]
    heapq.heapify(waiting)
    while waiting and left > 0:
        lack, at = heapq.heappop(waiting)
        part = slice(bounds[at], bounds[at + 1])
        fitting = ~taken[part] & (tokens[rows[part]] <= left)
        if not fitting.any():
            continue
        place = bounds[at] + int(fitting.argmax())
        taken[place] = True
        left -= int(tokens[rows[place]])
        heapq.heappush(waiting, (lack + float(tokens[rows[place]]), at))
    chosen = np.zeros(len(group), bool)
    chosen[rows[taken]] = True
    return chosen
