"""How much does the text repeat itself, word by word and byte by byte?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from hare_lab.diversity.estimate import Estimate
from hare_lab.marks import MARK

GRAMS = 20_000  # n-grams in one reading: distinct-n falls with length, so that every corpus is read to the same length
BYTES = 100_000  # of text in one reading, for the same reason: about what 20,000 n-grams take
READINGS = 20
_WORD = re.compile(rf"\w+(?:(?:{MARK})+\w*)*")
_ASCII_WORD = re.compile(r"\w+")  # the same for ASCII, read faster


def text_measures(texts: Sequence[str], *, grams: int = GRAMS, size: int = BYTES, seed: int = 0) -> dict[str, Any]:
    """Distinct-n and compression ratio, each at a fixed length, so that corpora of any size compare.

    Both change with the length of the text. So the corpus is read READINGS times, each time in another random order
    of pages and just to that length; the estimate is the mean of the readings, the interval Student's for the mean over
    all orders. A corpus that is shorter is read to its end, and `grams` says how far that was.

    Parameters
    ----------
    texts : sequence of str
        Words are runs of letters, their marks, digits and underscores, in lower case; no n-gram crosses from page to page.
    grams : n-grams in a reading, for each n
    size : bytes of text in a reading, for the compression ratio

    Returns
    -------
    dict of Estimates distinct_1, distinct_2, distinct_3 and compression_ratio, and the number `grams`.

    References
    ----------
    distinct-n: Li et al. (2016), "A diversity-promoting objective function", NAACL; compression ratio: Shaib et al. (2024),
    "Standardizing the measurement of text diversity".
    """
    generator = np.random.default_rng(seed)
    values, read = np.empty((READINGS, 4)), 0
    for row in values:
        raw, words = _reading(texts, generator.permutation(len(texts)), grams, size)
        row[:] = *(_distinct(words, n, grams) for n in (1, 2, 3)), _compression(raw, size)
        read = max(read, min(grams, sum(max(0, len(page) - 2) for page in words)))
    names = ("distinct_1", "distinct_2", "distinct_3", "compression_ratio")
    return {**{name: Estimate.mean(column) for name, column in zip(names, values.T, strict=True)}, "grams": read}


def _reading(texts: Sequence[str], order: NDArray[np.int64], grams: int, size: int) -> tuple[list[str], list[list[str]]]:
    """Pages in that order until they hold enough three-word runs and bytes: their texts, and their words."""
    seen: list[str] = []
    words: list[list[str]] = []
    runs = length = 0
    for index in order:
        text = str(texts[int(index)])[: 20 * grams + size]  # no more of a huge page than a reading can use
        seen.append(text)
        words.append((_ASCII_WORD if text.isascii() else _WORD).findall(text.lower()))
        runs += max(0, len(words[-1]) - 2)
        length += len(text)
        if runs >= grams and length >= size:
            break
    return seen, words


def _distinct(words: list[list[str]], n: int, most: int) -> float:
    """Share of different n-grams among the first `most`; 1 where there are none to repeat."""
    runs = list(chain.from_iterable(zip(*(page[i:] for i in range(n)), strict=False) for page in words))[:most]
    return len(set(runs)) / len(runs) if runs else 1.0


def _compression(texts: list[str], size: int) -> float:
    """Bytes before over bytes after; zstd at level 12 looks back over the whole reading, gzip over 32 KiB only."""
    raw = "\n".join(texts).encode("utf-8", "replace")[:size]
    return len(raw) / len(zstandard.ZstdCompressor(level=12).compress(raw)) if raw else 1.0
