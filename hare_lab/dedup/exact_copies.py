"""Which pages have the very same words?"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from hare_lab.dedup.keep import priority
from hare_lab.dedup.report import Duplicates, checked, duplicates
from hare_lab.dedup.words import words

if TYPE_CHECKING:
    from datasets import Dataset


def exact(pages: Dataset) -> Duplicates:
    """Pages whose words are the same after Unicode (NFKC), case, punctuation and spacing are folded.

    Parameters
    ----------
    pages : Dataset with `id` and `text`

    Returns
    -------
    Duplicates
        `similarity` is 1 throughout.

    Raises
    ------
    InputError
        If there is no page, or a page without text.
    """
    import pandas as pd

    start = time.perf_counter()
    texts, ids = checked(pages, "exact")
    order = priority(texts, ids)
    codes, _ = pd.factorize(np.array([fingerprint(text) for text in texts], dtype=object)[order])
    first = order[np.unique(codes, return_index=True)[1]]  # codes are numbered as they appear, so in order of priority
    keeper = np.empty(len(texts), np.int64)
    keeper[order] = first[codes]
    said = 'word for word the same as "{kept}"'
    return duplicates(pages, "exact", 1.0, keeper, np.ones(len(texts)), said, time.perf_counter() - start)


def fingerprint(text: str) -> bytes:
    """16 bytes that two texts share if their words do; a text with no word at all is taken sign by sign."""
    said = " ".join(words(text)) or " ".join(text.split())
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
