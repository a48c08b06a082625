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
from hare_lab.leakage.sequences import Forms, Sequences, item_sequences, sequences

if TYPE_CHECKING:
    import pandas as pd

SHORTEST = 8  # words: an item of fewer than n but at least so many is looked for as a whole; as in GPT-3's clean-up (Brown et al. 2020, C)
SIZES = tuple(range(4, 16))  # the n that appendix A.4 speaks of, and those between
BATCH = 2_000  # pages
COMMON = 60  # a run that more items have says nothing about any one of them


class RunIndex:
    """The runs of words of all items, sorted by hash, for each length that counts: made once, asked by every batch of pages.

    An item of 8 to n - 1 words (in any of its forms), or a question of so many, counts as one run of all its words.
    """

    def __init__(self, forms: Forms, n: int) -> None:
        told, questions = forms.words, forms.questions
        lengths, owners = told.lengths, told.owners()
        short = [part[(part < n) & (part >= SHORTEST)].tolist() for part in (lengths, questions)]
        self.forms = forms
        self.sizes: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # length of the runs: hashes, forms, places in the forms
        self.common: dict[int, np.ndarray] = {}  # which of these runs more than COMMON items have
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
            self.common[size] = _common(keys, forms.items[item])


def _common(keys: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Which of sorted `keys` more than COMMON distinct items have."""
    new = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
    which = np.cumsum(new) - 1
    many = np.flatnonzero(np.bincount(which) > COMMON)  # few: only among these is it worth telling items apart
    rows = np.flatnonzero(np.isin(which, many))
    pairs = np.unique(np.stack([which[rows], items[rows]]), axis=1)[0]
    common: np.ndarray = (np.bincount(pairs, minlength=int(which[-1]) + 1 if len(which) else 0) > COMMON)[which]
    return common


def lookup(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of `wanted` stands first in sorted `keys`, -1 where it does not."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: np.ndarray = np.where(keys[at] == wanted, at, -1)
    return found


def shared_runs(pages: Sequences, index: RunIndex) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every run of words that a page shares with an item's form: place in the pages' words, form, place in the form, length.

    What more than COMMON items have, such as the preamble of a whole exam, counts only for those of which the page holds another run:
    else one page that repeats it would be a hit of every item.
    """
    found: list[tuple[np.ndarray, ...]] = []
    shared: list[tuple[int, np.ndarray, np.ndarray]] = []
    for size, (keys, forms, places) in index.sizes.items():
        page_keys, page_starts = pages.runs(size)
        first = lookup(keys, page_keys)
        hit = first >= 0
        first, at = first[hit], page_starts[hit]
        common = index.common[size][first]
        if common.any():
            shared.append((size, first[common], at[common]))
        first, at = first[~common], at[~common]
        counts = np.searchsorted(keys, keys[first], side="right") - first
        rows = np.repeat(first, counts) + _within(counts)
        found.append((np.repeat(at, counts), forms[rows], places[rows], np.full(len(rows), size)))
    owners = pages.owners().astype(np.int64)
    pairs = np.unique(np.concatenate([owners[at] * len(index.forms) + forms for at, forms, _, _ in found]))
    found += [_filled(pairs, owners, index, *runs) for runs in shared]
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))  # type: ignore[return-value]


def _filled(pairs: np.ndarray, owners: np.ndarray, index: RunIndex, size: int, first: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, ...]:
    """The common runs, `first` in the index and `at` in the pages' words, that known pairs of page and form share."""
    keys, forms, places = index.sizes[size]
    rows = np.flatnonzero(index.common[size])
    rows = rows[np.argsort(forms[rows], kind="stable")]
    page, form = pairs // len(index.forms), pairs % len(index.forms)
    low = np.searchsorted(forms[rows], form)
    counts = np.searchsorted(forms[rows], form, side="right") - low
    page, rows = np.repeat(page, counts), rows[np.repeat(low, counts) + _within(counts)]
    order = np.argsort(owners[at] * len(keys) + first, kind="stable")
    known, wanted = (owners[at] * len(keys) + first)[order], page * len(keys) + np.searchsorted(keys, keys[rows])
    low = np.searchsorted(known, wanted)
    counts = np.searchsorted(known, wanted, side="right") - low
    rows, at = np.repeat(rows, counts), at[order][np.repeat(low, counts) + _within(counts)]
    return at, forms[rows], places[rows], np.full(len(rows), size)


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


def funnel(rates: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """What appendix A.4 would remove, for each n: columns n, texts, shared, gone, as `figures.repetition_funnel` draws it.

    `shared` texts have any run of n words that stands in an item; `gone` are those of which more than `overlap` of the runs do.

    Parameters
    ----------
    rates : what `shares` returns
    overlap : the share of a text's runs above which it goes, 0 to 1
    """
    import pandas as pd

    rate = rates.to_numpy(float)
    sizes = [int(n) for n in rates.columns]
    return pd.DataFrame({"n": sizes, "texts": len(rate), "shared": (rate > 0).sum(axis=0), "gone": (rate > overlap).sum(axis=0)})
