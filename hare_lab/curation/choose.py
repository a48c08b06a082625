"""Which pages make the concise set?

Six causes keep a page out, looked at in this order: it overlaps a benchmark, its quality is below the floor, it is too unlike the
pages that were named as good, nobody asked for its topic, its topic has better ones in plenty, or others of its topic are worth more
to the set. A page that is in, is in because its topic had room for it when its turn came. Each page is told its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hare_lab.curation.given import Given, Topics, checked_budget, checked_vectors, columns, topics_of
from hare_lab.curation.peers import ORDERS
from hare_lab.curation.quotas import fill, water_fill
from hare_lab.curation.report import Curated
from hare_lab.curation.verdict import CAUSES, Cause, Verdict, account, in_words
from hare_lab.curation.worth import COST, LEAST, Worth, dearness, worth_in_turn
from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.texts import Topic

if TYPE_CHECKING:
    from datasets import Dataset

# kept by the priors' machinery: the weight of novelty (None: the priors'), whether quality counts, whether topics are weighted
QUOTAS: dict[str, tuple[float | None, bool]] = {
    "priors": (None, True), "diversity-only": (1.0, False), "quality-only": (0.0, True), "cluster-balanced": (None, False),
}  # fmt: skip
METHODS = (*QUOTAS, *ORDERS)
LIKENESS = "top-likeness"  # the one order that asks for likeness
UNEVEN = 0.25  # the part of a topic that is below its own level ...
PLENTY = 2.0  # ... and goes where what is left is so many times its share
GROUPS_PLENTY = 4.0  # groups that nobody named: of all pages the best, so many times as many as the budget has room for


def curate(
    pages: Dataset,
    vectors: np.ndarray,
    priors: Priors,
    *,
    topic: Sequence[Any] | np.ndarray | None = None,
    quality: Sequence[float] | np.ndarray | None = None,
    likeness: Sequence[float] | np.ndarray | None = None,
    leaked: Sequence[bool] | np.ndarray | None = None,
    tokens: Sequence[int] | np.ndarray | None = None,
    taxonomy: Sequence[Topic] | None = None,
    budget: int | None = None,
    method: str = "priors",
    seed: int = 0,
) -> Curated:
    """Choose the set that serves the priors best within a token budget, and tell each page why it is in or out.

    By `method="priors"` every topic gets its share of the budget by its weight; what a topic with too few pages can't fill goes to the
    others, and is named. Within a topic the page worth most is taken again and again, its worth being quality and novelty
    (`priors.duplication.novelty` weighs them). The other methods are those of the literature, at the same budget and with the same pages:
    none of them keeps a leaked page, and none but ours knows weights or a floor.

    Parameters
    ----------
    pages : Dataset with `id`, and the columns of the next five where those are not given
    vectors : float array of shape (n_pages, dim), rows of length 1
    topic : one label a page; ids of the taxonomy or "other", or any groups, such as `nearest_cluster`, if no taxonomy is given
    quality : one score a page, 0 to 1
    likeness : how likely each page is one of the good ones, 0 to 1; looked at where the priors ask for some, and by "top-likeness"
    leaked : whether a page overlaps a benchmark; none does where neither this nor the column is there
    tokens : tokens of each page; counted with the priors' tokenizer where neither this nor the column is there
    taxonomy : the topics that the labels name, with their weights
        None: the labels are groups, all wanted equally, and the priors' weights don't apply.
    budget : tokens of the set; None takes the priors' `tokens`
    method : one of METHODS
    seed : of the methods that draw

    Raises
    ------
    InputError
        If a column is missing or does not fit the pages, the budget is 0 or above all tokens, the method is unknown, or the priors
        weigh a topic that the taxonomy does not have.
    """
    start = time.perf_counter()
    if method not in METHODS:
        raise InputError(f'curation: method "{method}" is unknown; choose one of {", ".join(METHODS)}')
    asks = method == LIKENESS or (method == "priors" and priors.quality.likeness > 0)
    given = columns(pages, priors, topic, quality, likeness, leaked, tokens, asks=asks)
    limit = checked_budget(priors.tokens if budget is None else budget, given.tokens)
    checked = checked_vectors(vectors, len(given.ids))
    topics = topics_of(priors, given.labels, taxonomy)
    choose = _by_quota if method in QUOTAS else _by_order
    verdict = choose(given, checked, topics, priors, limit, method, seed)
    choices = pd.DataFrame(
        {
            "id": pd.Series(given.ids, dtype=object), "kept": verdict.kept, "reason": pd.Series(verdict.said, dtype=object),
            "topic": pd.Series(given.labels.tolist(), dtype=object), "tokens": given.tokens, "quality": given.quality,
            "cause": pd.Series(np.array(CAUSES, dtype=object)[verdict.cause], dtype=object), "worth": verdict.worth,
        }
    )  # fmt: skip
    return Curated(choices, account(choices, verdict, topics, limit, method, seed, start))


def _by_quota(given: Given, vectors: np.ndarray, topics: Topics, priors: Priors, limit: int, method: str, seed: int) -> Verdict:
    """Each topic its share, its worthiest pages first."""
    novelty, good = QUOTAS[method]
    novelty = priors.duplication.novelty if novelty is None else novelty
    floor = priors.quality.floor if good else 0.0
    weights = np.ones(len(topics.labels)) if method == "cluster-balanced" else topics.weights
    cause = np.full(len(given.ids), Cause.FULL)
    cause[weights[topics.of] == 0] = Cause.UNWANTED
    if given.likeness is not None:
        cause[given.likeness < priors.quality.likeness] = Cause.UNLIKE
    cause[given.quality < floor] = Cause.LOW
    cause[given.leaked] = Cause.LEAKED
    fit = cause == Cause.FULL
    available = np.bincount(topics.of, np.where(fit, given.tokens, 0), len(weights))
    quotas = water_fill(weights, available, limit)
    levels = _levels(given, topics, fit, quotas, limit) if good else np.zeros(len(weights))
    cause[fit & (given.quality < levels[topics.of])] = Cause.BELOW
    available = np.bincount(topics.of, np.where(cause == Cause.FULL, given.tokens, 0), len(weights))
    quotas = water_fill(weights, available, limit)
    group = np.where(cause == Cause.FULL, topics.of, -1)
    if method == "cluster-balanced":
        chance = np.random.default_rng(seed).random(len(group))
        turn = Worth(chance, np.zeros(len(group), np.float32), np.full(len(group), -1))
    else:
        turn = worth_in_turn(vectors, group, given.quality if good else np.ones(len(group)), novelty, given.tokens)
    kept = fill(group, turn.worth, given.tokens, quotas, limit)
    last = np.full(len(weights), np.inf)  # the worth of the last page kept of each topic
    np.minimum.at(last, topics.of[kept], turn.worth[kept])
    out = (cause == Cause.FULL) & ~kept
    usual = np.median(turn.likeness[kept]) if kept.any() else 0.0  # had it been as new as kept pages usually are, would it be in?
    base = np.clip(given.quality if good else 1.0, LEAST, 1) ** (1 - novelty) * (1 - usual) ** novelty
    base = base * np.exp(-COST * dearness(given.tokens, group))
    nearest_kept = (turn.nearest >= 0) & kept[turn.nearest]
    cause[out & nearest_kept & (turn.likeness > usual) & (base >= last[topics.of])] = Cause.REPEATS
    cause[out & (turn.worth > last[topics.of])] = Cause.NO_ROOM
    cause[out & ~np.isfinite(last[topics.of])] = Cause.NO_ROOM
    cause[kept] = Cause.KEPT
    needed = quotas >= available  # topics of which every fit page is in
    drawn = "drawn at random" if method == "cluster-balanced" else ""
    said = in_words(given, topics, turn, cause, (floor, priors.quality.likeness), levels, last, needed, drawn)
    return Verdict(kept, cause, said, turn.worth, available)


def _by_order(given: Given, vectors: np.ndarray, topics: Topics, priors: Priors, limit: int, method: str, seed: int) -> Verdict:
    """The first pages of a published order."""
    clean = np.flatnonzero(~given.leaked)
    score = given.likeness if given.likeness is not None else given.quality
    order = clean[ORDERS[method](np.asarray(vectors[clean], np.float32), score[clean], seed)] if len(clean) else clean
    place = np.zeros(len(given.ids), np.int64)
    place[order] = np.arange(1, len(order) + 1)
    worth = np.where(place > 0, 1 - (place - 1) / max(len(order), 1), 0.0)
    kept = fill(np.where(given.leaked, -1, 0), worth, given.tokens, np.array([float(limit)]), limit)
    last = int(place[kept].max()) if kept.any() else 0
    cause = np.where(kept, Cause.KEPT, np.where(given.leaked, Cause.LEAKED, np.where(place < last, Cause.NO_ROOM, Cause.LATE)))
    of = f"of {len(order):,} by {method}"
    words = {
        Cause.KEPT: lambda row: f"kept: number {place[row]:,} {of}",
        Cause.LEAKED: lambda row: "overlaps a benchmark",
        Cause.NO_ROOM: lambda row: f"its {given.tokens[row]:,} tokens were more than was left of the budget",
        Cause.LATE: lambda row: f"number {place[row]:,} {of}; the budget ended at number {last:,}",
    }
    said = [words[why](row) for row, why in enumerate(cause.tolist())]
    return Verdict(kept, cause, said, worth, np.bincount(topics.of, np.where(given.leaked, 0, given.tokens), len(topics.labels)))


def _levels(given: Given, topics: Topics, fit: np.ndarray, quotas: np.ndarray, limit: int) -> np.ndarray:
    """The least quality in each topic, so that the set is even: above the floor only where there is plenty.

    In a topic that a person named it is the lower quartile, where what is left is still twice the topic's share. Groups found in the
    pages are nobody's wish (junk makes a group too), so there it is one level for all, above which lie four times as many pages as the
    budget has room for. Pages, not tokens: where long pages score higher, few of them would make up the tokens.
    """
    rows = np.flatnonzero(fit)
    if not topics.named:
        share = GROUPS_PLENTY * limit / max(int(given.tokens[rows].sum()), 1)
        return np.full(len(quotas), np.quantile(given.quality[rows], 1 - share, method="lower") if share < 1 else 0.0)
    levels = np.zeros(len(quotas))
    rows = rows[np.lexsort((given.quality[rows], topics.of[rows]))]
    bounds = np.searchsorted(topics.of[rows], np.arange(len(quotas) + 1))
    for at, quota in enumerate(quotas.tolist()):
        part = rows[bounds[at] : bounds[at + 1]]
        better = part[int(UNEVEN * len(part)) :]
        if len(better) and given.tokens[better].sum() >= PLENTY * quota:
            levels[at] = given.quality[better[0]]
    return levels
