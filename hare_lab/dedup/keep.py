"""Which page of a set of copies stays?

The longest page stays: an edited or cut copy holds nothing that it lacks. Pages are met from longest to shortest (of equal
length, by smallest id); a page that no kept page claims is kept and claims those after it that are its own copies. So
a page never goes because of a chain (A like B, B like C, A unlike C): it goes only if it is a copy of the very page that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

Claim = tuple[np.ndarray, np.ndarray]  # rows of the copies, their similarity to the page


def priority(texts: Iterable[str], ids: Sequence[str]) -> np.ndarray:
    """Rows from the first to be kept to the last: longest text first, then smallest id. Independent of the input's order."""
    lengths = np.fromiter((len(text) for text in texts), np.int64, len(ids))
    by_id = np.argsort(np.asarray(ids, dtype=object), kind="stable")
    return by_id[np.argsort(-lengths[by_id], kind="stable")]


def claim(order: np.ndarray, copies_of: Callable[[int, np.ndarray], Claim]) -> tuple[np.ndarray, np.ndarray]:
    """Give each page the page that stays for it.

    Parameters
    ----------
    order : array of shape (n_pages,)
        Rows from the first to be kept to the last.
    copies_of : callable
        (row, open) to the rows that are copies of `row` and how similar they are; `open` marks the pages that are still
        without a keeper, and only those may be returned.

    Returns
    -------
    keeper : array of shape (n_pages,)
        The row that stays for each page; its own where it is kept.
    similarity : array of shape (n_pages,)
        To the keeper; 1 where the page is kept.
    """
    keeper = np.arange(len(order))
    similarity = np.ones(len(order))
    unclaimed = np.ones(len(order), bool)
    for row in order:
        if not unclaimed[row]:
            continue
        unclaimed[row] = False
        rows, likeness = copies_of(int(row), unclaimed)
        keeper[rows], similarity[rows], unclaimed[rows] = row, likeness, False
    return keeper, similarity
