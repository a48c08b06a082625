"""Which pages share a run of n words with a benchmark item?

The usual check: a page that holds any run of 13 words of an item is marked. What a run gives away depends on how much of
the item it covers, so each hit says that. And the paper's (HARE, appendix A.4): the share of a page's own runs that stand in any
item; a synthetic text goes when it is above one half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hare_lab.dedup.words import WordHashes
from hare_lab.errors import InputError
from hare_lab.leakage.items import Items
from hare_lab.leakage.sequences import Sequences, item_sequences, sequences

if TYPE_CHECKING:
    import pandas as pd

SHORTEST = 8  # words: an item of fewer than n but at least so many is looked for as a whole; as in GPT-3's clean-up (Brown et al. 2020, C)
SIZES = tuple(range(4, 16))  # the n that appendix A.4 speaks of, and those between
BATCH = 2_000  # pages


class RunIndex:
    """The runs of words of all items, sorted by hash, for each length that counts: made once, asked by every batch of pages.

    An item of 8 to n - 1 words, or a question of so many, counts as one run of all its words.
    """

    def __init__(self, told: Sequences, questions: np.ndarray, n: int) -> None:
        lengths, owners = told.lengths, told.owners()
        short = [part[(part < n) & (part >= SHORTEST)].tolist() for part in (lengths, questions)]
        self.sizes: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # length of the runs: hashes, items, places in the items
        for size in sorted({n, *short[0], *short[1]}):
            keys, starts = told.runs(size)
            if size < n:  # only from an item's first word, and only to the end of the item or its question
                item = owners[starts]
                whole = (starts == told.bounds[item]) & ((lengths[item] == size) | (questions[item] == size))
                keys, starts = keys[whole], starts[whole]
            order = np.argsort(keys, kind="stable")
            keys, starts = keys[order], starts[order]
            item = owners[starts]
            self.sizes[size] = keys, item, starts - told.bounds[item]


def lookup(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of `wanted` stands first in sorted `keys`, -1 where it does not."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: np.ndarray = np.where(keys[at] == wanted, at, -1)
    return found


def shared_runs(pages: Sequences, index: RunIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every run of words that a page shares with an item: place in the pages' words, item, place in the item, length."""
    found: list[tuple[np.ndarray, ...]] = []
    for size, (keys, items, places) in index.sizes.items():
        page_keys, page_starts = pages.runs(size)
        first = lookup(keys, page_keys)
        hit = first >= 0
        first, at = first[hit], page_starts[hit]
        counts = np.searchsorted(keys, keys[first], side="right") - first
        rows = np.repeat(first, counts) + _within(counts)
        found.append((np.repeat(at, counts), items[rows], places[rows], np.full(len(rows), size)))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))  # type: ignore[return-value]


def _within(counts: np.ndarray) -> np.ndarray:
    """0 to counts[0] - 1, then 0 to counts[1] - 1, and so on."""
    ends = np.cumsum(counts)
    within: np.ndarray = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
    return within


def shares(texts: Sequence[str], items: Items, sizes: Sequence[int] = SIZES) -> pd.DataFrame:
    """The repetition rate of appendix A.4 for several n: the share of a text's runs of n words that stand in any item.

    The paper does not state its formula; this is our choice. A text of fewer than n words has no such run, so its share is 0 even where it
    is an item word for word; `find` looks for whole items of any length besides.

    Parameters
    ----------
    texts : texts in any number
    items : benchmark items; question and answer of each count as one text
    sizes : the n

    Returns
    -------
    DataFrame with one row a text and one column an n (named "13" for 13), shares from 0 to 1.

    Raises
    ------
    InputError
        If an n is below 1.
    """
    import pandas as pd

    for n in sizes:
        if n < 1:
            raise InputError(f"n is {n}; an n-gram has at least 1 word")
    hashes = WordHashes()
    told, _ = item_sequences(items, hashes)
    known = {n: np.unique(told.runs(n)[0]) for n in sizes}
    parts = []
    for low in range(0, len(texts), BATCH):
        pages = sequences(texts[low : low + BATCH], hashes)
        parts.append(pd.DataFrame({str(n): _share(pages, known[n], n) for n in sizes}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({str(n): [] for n in sizes}, dtype=float)


def _share(pages: Sequences, known: np.ndarray, n: int) -> np.ndarray:
    keys, starts = pages.runs(n)
    owner = pages.owners()[starts] if len(starts) else np.zeros(0, np.int64)
    total = np.bincount(owner, minlength=len(pages))
    hits = np.bincount(owner[lookup(known, keys) >= 0], minlength=len(pages))
    share: np.ndarray = np.divide(hits, total, out=np.zeros(len(pages)), where=total > 0)
    return share


def funnel(rates: pd.DataFrame, n: int, overlap: float) -> pd.DataFrame:
    """What appendix A.4 would remove: columns step, pages, removed, as `figures.cleaning_funnel` draws it.

    Parameters
    ----------
    rates : what `shares` returns
    n : words of a run; one of the columns
    overlap : the share of a page's runs above which it goes, 0 to 1
    """
    import pandas as pd

    if str(n) not in rates.columns:
        raise InputError(f"n is {n}; the shares were counted for n = {', '.join(map(str, rates.columns))}")
    rate = rates[str(n)].to_numpy(float)
    gone, touched = int((rate > overlap).sum()), int((rate > 0).sum())
    return pd.DataFrame(
        [("read", len(rate), 0), (f"above {overlap:.0%} of the {n}-grams", len(rate) - gone, gone),
         (f"any {n}-gram at all", len(rate) - touched, touched - gone)],
        columns=["step", "pages", "removed"],
    )  # fmt: skip
