"""How much text does each gap get, and what is asked for it?

The gap ledger says what is missing; the budget is shared so that the thinnest topics are raised to one level first. Then
each topic's tokens become requests: a seed page x a kind x an audience x a style, in an order drawn by seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from hare_lab.errors import InputError
from hare_lab.synthesis.prompts import Prompts

if TYPE_CHECKING:
    import pandas as pd

LEDGER = ("topic", "name", "description", "wanted", "have", "tokens", "gap_tokens", "nearest")
OTHER = "other"


@dataclass(frozen=True)
class Request:
    """One thing to ask a model for; `seed` is the id of the page whose snippet the prompt shows, `draw` counts repeats of a key."""

    topic: str
    task: str
    kind: str
    audience: str
    style: str
    seed: str
    prompt: str
    words: tuple[int, int]
    draw: int = 0

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What a recorded reply is kept under."""
        return (self.topic, self.kind, self.audience, self.style, self.seed)

    @property
    def id(self) -> str:
        """A name of the request that is the same in every run: what a sample is called by."""
        text = "\x1f".join((*self.key, str(self.draw), self.prompt))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def prompt_hash(self) -> str:
        return hashlib.blake2b(self.prompt.encode(), digest_size=16).hexdigest()


def allocate(gaps: pd.DataFrame, tokens: int, *, worst: int = 5) -> pd.DataFrame:
    """Share a budget over the topics that are furthest below what the priors want.

    The `worst` topics are those with the least of what is wanted (`have / wanted`). They are raised together, the emptiest
    first, until the budget is spent or no gap is left: the level to which tokens are poured is the same for all, so no
    topic overtakes another.

    Parameters
    ----------
    gaps : DataFrame, the gap ledger of `coverage` (columns topic, name, description, wanted, have, tokens, gap_tokens, nearest)
    tokens : int
        The budget, in the ledger's tokens.
    worst : int
        How many topics are worked on.

    Returns
    -------
    DataFrame with the columns topic, name, description, wanted, have, gap_tokens, tokens (to be made), emptiest topic first.

    Raises
    ------
    InputError
        If the budget is not above 0, the ledger lacks a column, or no topic has a gap.
    """
    if tokens <= 0:
        raise InputError(f"synthesis: the budget is {tokens} tokens; give one above 0")
    missing = [column for column in LEDGER if column not in gaps.columns]
    if missing:
        raise InputError(f"synthesis: the gap ledger has no column {', '.join(missing)}; notebook 04 makes one")
    thin = gaps[(gaps["topic"] != OTHER) & (gaps["gap_tokens"] > 0) & (gaps["wanted"] > 0)]
    if thin.empty:
        raise InputError("synthesis: no topic of the ledger has a gap; there is nothing to write for these priors")
    thin = thin.assign(filled=thin["have"] / thin["wanted"]).sort_values(["filled", "topic"], kind="stable").head(worst)
    wanted, have, gap = (thin[name].to_numpy(float) for name in ("wanted", "tokens", "gap_tokens"))
    shares = _poured(wanted, have, gap, float(tokens))
    columns = ["topic", "name", "description", "wanted", "have", "gap_tokens"]
    return thin[columns].assign(tokens=np.floor(shares).astype(int)).reset_index(drop=True)


def _poured(wanted: np.ndarray, have: np.ndarray, gap: np.ndarray, tokens: float) -> np.ndarray:
    """Tokens for each topic: min(gap, max(0, level x wanted - have)), the level such that they add up to the budget."""
    if gap.sum() <= tokens:
        return gap
    pour = lambda level: np.minimum(gap, np.maximum(0, level * wanted - have))  # noqa: E731
    low, high = 0.0, float(((have + gap) / wanted).max())
    for _ in range(100):  # halving an interval: exact to the last bit long before
        middle = (low + high) / 2
        low, high = (middle, high) if pour(middle).sum() < tokens else (low, middle)
    poured: np.ndarray = pour(low)
    return poured


def requests(
    topic: Mapping[str, str],
    task: str,
    prompts: Prompts,
    seeds: Mapping[str, str],
    *,
    seed: int,
    offers: Sequence[tuple[str, str, str, str]] | None = None,
) -> Iterator[Request]:
    """What may be asked for one topic, in the order in which it is asked.

    Every seed x kind x audience x style comes once before any comes twice; the order is drawn by seed, kinds taking turns.

    Parameters
    ----------
    topic : its id as `topic`, its `name` and `description`
    task : "D2" or "D3"
    seeds : page id -> text of the pages to start from
    offers : (kind, audience, style, seed) combinations to stay within, as a recording has them; None takes them all, without end
    """
    kinds = prompts.kinds(task)
    combos = list(product(kinds, prompts.audiences, prompts.styles, seeds)) if offers is None else sorted(set(offers))
    combos = [combo for combo in combos if combo[0] in kinds and combo[3] in seeds]
    draw = 0
    while combos and (draw == 0 or offers is None):
        for kind, audience, style, page in _in_turns(combos, [topic["topic"], task, str(seed), str(draw)]):
            template = prompts.templates[kind]
            values = {
                "topic": topic["name"], "description": topic["description"],
                "audience": prompts.audiences[audience], "style": prompts.styles[style],
            }  # fmt: skip
            yield Request(topic["topic"], task, kind, audience, style, page, template.fill(values, seeds[page]), template.words, draw)
        draw += 1


def _in_turns(combos: Iterable[tuple[str, str, str, str]], salt: list[str]) -> list[tuple[str, str, str, str]]:
    """The combinations in an order drawn by hash, one of each kind before the next of any."""
    drawn = sorted(combos, key=lambda combo: hashlib.blake2b("\x1f".join([*salt, *combo]).encode(), digest_size=8).digest())
    turn: dict[str, int] = {}
    places: list[tuple[int, int]] = []
    for combo in drawn:
        turn[combo[0]] = turn.get(combo[0], -1) + 1
        places.append((turn[combo[0]], len(places)))
    return [drawn[at] for _, at in sorted(places)]
