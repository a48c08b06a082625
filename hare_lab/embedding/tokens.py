"""From texts to batches of tokens with almost no padding, and back.

Texts are tokenised once, sorted by length and packed longest first into batches of equal token count. A text longer than
the model reads is embedded by its head, or as the mean of its windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hare_lab.embedding.models import Plan

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHARACTERS = 8  # a token: as much of a long text as is tokenised first to fill its head; all of it where that falls short


class Batch(NamedTuple):
    """Token sequences of like length: their places, ids of shape (rows, tokens) padded at the end, and the mask to match."""

    places: NDArray[np.int64]
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


Forward = Callable[[Iterable[Batch]], Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]]
"""A forward pass: batches in; places and their pooled vectors out, in any order."""


def open_tokenizer(plan: Plan, length: int) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(plan.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return tokenizer


def encode_sorted(
    forward: Forward, tokenizer: Tokenizer, plan: Plan, length: int, budget: int, long: str, texts: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Tokenise, sort by length, run, put back in order; the windows of a long page are averaged."""
    sequences, owners, cut = _sequences(tokenizer, texts, length, windows=long == "windows")
    vectors = np.empty((len(sequences), plan.dimension), dtype=np.float32)
    for places, values in forward(_batches(sequences, budget, plan.pad_id)):
        vectors[places] = values
    if len(sequences) == len(texts):
        return vectors, cut
    special = tokenizer.num_special_tokens_to_add(False)
    weights = np.array([max(len(s) - special, 1) for s in sequences], dtype=np.float32)
    vectors *= (weights / np.maximum(np.linalg.norm(vectors, axis=1), 1e-12))[:, None]
    starts = np.flatnonzero(np.diff(owners, prepend=-1))  # owners ascend, so each page's windows are neighbours
    return np.add.reduceat(vectors, starts, axis=0), cut


def _sequences(
    tokenizer: Tokenizer, texts: Sequence[str], length: int, *, windows: bool
) -> tuple[list[NDArray[np.int32]], NDArray[np.int64], NDArray[np.bool_]]:
    """Token ids of each head or window, the text each belongs to, and whether each text is longer than its head.

    For a head only the beginning of a long text is tokenised; the whole of it where that does not fill `length`.
    """
    reach = length * CHARACTERS
    encoded = tokenizer.encode_batch_fast([text if windows else text[:reach] for text in texts])
    short = [i for i, text in enumerate(texts) if not windows and len(text) > reach and not encoded[i].overflowing]
    for i, whole in zip(short, tokenizer.encode_batch_fast([texts[i] for i in short]), strict=True):
        encoded[i] = whole
    sequences: list[NDArray[np.int32]] = []
    owners: list[int] = []
    for i, encoding in enumerate(encoded):
        parts = [encoding, *encoding.overflowing] if windows else [encoding]
        sequences.extend(np.array(part.ids, dtype=np.int32) for part in parts)
        owners.extend([i] * len(parts))
    return sequences, np.array(owners, dtype=np.int64), np.array([bool(e.overflowing) for e in encoded], dtype=bool)


def _batches(sequences: Sequence[NDArray[np.int32]], budget: int, pad_id: int) -> Iterator[Batch]:
    """Longest first, as many to a batch as `budget` tokens hold."""
    lengths = np.array([len(s) for s in sequences])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = max(int(lengths[order[start]]), 1)
        places = order[start : start + max(1, budget // width)]
        start += len(places)
        ids = np.full((len(places), width), pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, place in enumerate(places):
            ids[row, : lengths[place]] = sequences[place]
            mask[row, : lengths[place]] = 1
        yield Batch(places, ids, mask)
