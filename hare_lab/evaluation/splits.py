"""Which pages are kept aside, so that no step of curation and no training ever sees them?

The split comes before curation. Near-copies stay on one side: a held-out page whose twin was trained on measures memory. Which pages
are held out follows from the seed and the ids alone: the order of the pages changes nothing, and a few pages added move few across.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.dedup.near_copies import SHINGLE, SIGNATURE, Buckets, minhash, rows_a_band
from hare_lab.dedup.words import WordHashes, distinct, jaccard
from hare_lab.errors import InputError
from hare_lab.report_base import Report

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray

NEAR = 0.45  # Jaccard similarity of five-word runs, as `dedup.near`


@dataclass(frozen=True)
class Split(Report):
    """What was held out. `copies_together`: pages that follow a near-copy to its side."""

    title: ClassVar[str] = "Held-out pages"

    pages: int
    held_out: int
    share: float
    labels: int
    copies_together: int
    seed: int


def hold_out(
    pages: Dataset, *, share: float = 0.1, labels: Sequence[Any] | None = None, seed: int = 0, near: float = NEAR
) -> tuple[Dataset, Dataset, Split]:
    """Training pages and held-out pages, no near-copy of the one among the other.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    share : of the pages of each label to hold out, in (0, 1)
    labels : topic of each page; default: all pages are one group
    seed : which pages
    near : from which similarity on two pages stay together

    Returns
    -------
    training pages, held-out pages (both in the order of `pages`), and the account.

    Raises
    ------
    InputError
        If the share is not between 0 and 1, lengths differ, or one of the sides would be empty.
    """
    if not 0 < share < 1:
        raise InputError(f"hold out: the share is {share}; it must lie between 0 and 1")
    names = [str(name) for name in labels] if labels is not None else [""] * len(pages)
    if len(names) != len(pages):
        raise InputError(f"hold out: {len(pages):,} pages but {len(names):,} labels; give one a page, in the same order")
    ids = [str(i) for i in pages["id"]]
    families = copy_families(list(pages["text"]), near=near)
    place = np.array([int.from_bytes(blake2b(f"{seed}:{i}".encode(), digest_size=7).digest()) / 2**56 for i in ids])
    lowest = np.ones(len(pages))
    np.minimum.at(lowest, families, place)  # a family goes where its first member goes, so that the others of its label stay put
    label_of = np.array(names)
    held = np.zeros(len(pages), bool)
    for name in sorted(set(names)):
        members = np.flatnonzero(label_of == name)
        wanted = round(share * len(members))
        order = members[np.argsort(lowest[families[members]], kind="stable")]
        held[order[:wanted]] = True
    held = np.isin(families, families[held])
    if held.all() or not held.any():
        side = "training" if held.all() else "held-out"
        raise InputError(f"hold out: of {len(pages):,} pages a share of {share} leaves no {side} page; give more pages or another share")
    sizes = np.bincount(families)
    report = Split(
        pages=len(pages), held_out=int(held.sum()), share=float(held.mean()), labels=len(set(names)),
        copies_together=int((sizes[families] > 1).sum()), seed=seed,
    )  # fmt: skip
    return pages.select(np.flatnonzero(~held)), pages.select(np.flatnonzero(held)), report


def copy_families(texts: list[str], *, near: float = NEAR) -> NDArray[np.int64]:
    """A number for each text, the same for texts that a chain of near-copies joins: all pairs at `near` or above, not only those to one
    page that stays, as deduplication has them."""
    signatures = minhash(texts, 0)
    buckets = Buckets(signatures, rows_a_band(near))
    mated = buckets.mated()
    sets = dict(zip(mated.tolist(), distinct([texts[row] for row in mated], SHINGLE, WordHashes()), strict=True))
    root = np.arange(len(texts))

    def top(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = int(root[row])
        return row

    least = near - 3 * np.sqrt(near * (1 - near) / SIGNATURE)  # three standard errors of the estimate, as in dedup
    for row in mated.tolist():
        rows = buckets.mates(row)
        rows = rows[rows > row]
        rows = rows[(signatures[rows] == signatures[row]).mean(axis=1) >= least]
        rows = np.array([other for other in rows.tolist() if top(other) != top(row)], np.int64)
        alike = jaccard(sets[row], [sets[other] for other in rows.tolist()]) >= near
        for other in rows[alike].tolist():
            root[top(other)] = top(row)
    families: NDArray[np.int64] = np.unique([top(row) for row in range(len(texts))], return_inverse=True)[1]
    return families
