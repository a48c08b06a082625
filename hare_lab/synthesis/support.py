"""Does its seed bear out a task item? No model judges: an item's claim is held against each sentence of the seed, by vectors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hare_lab.synthesis.answers import Embed


def support(claims: Sequence[str], seeds: Sequence[str], embed: Embed) -> NDArray[np.float64]:
    """How well the seed bears out each claim: the highest cosine between the claim and a sentence, or two in a row, of the seed.

    Parameters
    ----------
    claims : texts such as a question with its answer
    seeds : the seed text of each claim
    embed : texts -> unit vectors of shape (n_texts, dimension)

    Returns
    -------
    float array of shape (n_claims,)
    """
    if not claims:
        return np.zeros(0)
    distinct_seeds = list(dict.fromkeys(seeds))
    parts = [passages(seed) for seed in distinct_seeds]
    vectors = embed([*claims, *(part for seed in parts for part in seed)])
    mine, rest = vectors[: len(claims)], vectors[len(claims) :]
    bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    of = {seed: rest[low:high] for seed, (low, high) in zip(distinct_seeds, pairwise(bounds), strict=True)}
    return np.array([float((of[seed] @ claim).max()) for claim, seed in zip(mine, seeds, strict=True)])


def passages(text: str) -> list[str]:
    """The sentences and lines of a text, and each two in a row: what an answer may be taken from."""
    sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()] or [text]
    return sentences + [f"{one} {two}" for one, two in pairwise(sentences)]
