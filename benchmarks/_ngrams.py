"""What a set of pages teaches a model that only counts: a first opinion in seconds, where a network takes a quarter of an hour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDER, DISCOUNT = 4, 0.75

Ids = NDArray[np.int64]


def token_bits(read: Ids, asked: Ids, vocabulary: int, *, order: int = ORDER, discount: float = DISCOUNT) -> NDArray[np.float64]:
    """Bits of each token of `asked`, given up to `order` - 1 tokens before it, by the counts of `read`; shape (n_asked,).

    Interpolated Kneser-Ney with one discount (Chen & Goodman 1999, section 2.7): the highest order counts n-grams, the lower ones how
    many different tokens an n-gram was seen after; below single tokens lies the uniform distribution.
    """
    width = int(vocabulary - 1).bit_length()  # bits of a token in a key
    seen = {n: np.unique(_keys(read, n, width), return_counts=True) for n in range(1, order + 1)}
    chance = np.full(len(asked), 1 / vocabulary)
    for n in range(1, order + 1):
        keys, counts = seen[n] if n == order else np.unique(seen[n + 1][0] & ((1 << width * n) - 1), return_counts=True)
        contexts, first = np.unique(keys >> width, return_index=True)
        totals, kinds = np.add.reduceat(counts, first), np.diff(np.append(first, len(keys)))
        wanted, here = _keys(asked, n, width), slice(n - 1, None)
        count = _found(keys, counts, wanted)
        total, kind = _found(contexts, totals, wanted >> width), _found(contexts, kinds, wanted >> width)
        mixed = (np.maximum(count - discount, 0) + discount * kind * chance[here]) / np.maximum(total, 1)
        chance[here] = np.where(total > 0, mixed, chance[here])
    return -np.log2(chance)


def _keys(ids: Ids, n: int, width: int) -> Ids:
    """Each n tokens in a row as one number, shape (n_ids - n + 1,)."""
    keys = np.zeros(len(ids) - n + 1, np.int64)
    for at in range(n):
        keys = (keys << width) | ids[at : len(ids) - n + 1 + at]
    return keys


def _found(keys: Ids, values: Ids, wanted: Ids) -> Ids:
    """The value of each wanted key, 0 where there is none."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
