"""How much of a page says again what the same page has said before?

The measures of Gopher (Rae et al. 2021, table A1): lines and paragraphs that stand twice, the n-gram that takes most of the
page, and everything inside n-grams that came before. Exactly as datatrove counts them, but for all pages of a batch at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hare_lab.quality.chars import Batch, Stretches
from hare_lab.quality.hashes import Ints, salts, shared

Floats = NDArray[np.float64]
TOP = (2, 3, 4)
REPEATED = (5, 6, 7, 8, 9, 10)


def repeated_lines(batch: Batch) -> dict[str, Floats]:
    """Shares of lines and paragraphs, and of the characters in them, that repeat an earlier one of the page."""
    length = np.maximum(batch.length, 1)
    paragraphs = batch.paragraphs
    again, characters = repeats(batch, paragraphs)
    found = {
        "gopher_repeated_paragraphs": again / np.maximum(batch.totals(paragraphs.page), 1),
        "gopher_repeated_paragraph_chars": characters / length,
    }
    rows = batch.rows
    full = rows.where(rows.length > 0)
    again, characters = repeats(batch, full)
    begins, ends = batch.codes[batch.first] == 10, batch.codes[np.maximum(batch.last - 1, 0)] == 10  # an empty line before, after
    both = (begins & ends).astype(float)
    found["gopher_repeated_lines"] = (again + both) / np.maximum(batch.totals(full.page) + begins + ends, 1)
    found["gopher_repeated_line_chars"] = characters / length
    return found


def repeats(batch: Batch, stretches: Stretches) -> tuple[Floats, Floats]:
    """For each page, how many of its stretches equal an earlier one, and how many characters those have."""
    keys = batch.hashes_of(stretches) + salts(batch.count)[stretches.page]
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    page, extra = stretches.page[first], counts - 1
    return batch.totals(page, extra), batch.totals(page, extra * stretches.length[first])


def repeated_ngrams(batch: Batch, longest: int = REPEATED[-1]) -> dict[str, Floats]:
    """The share of a page's characters that its most frequent n-gram takes, and that lie in n-grams said before.

    An n-gram occurs twice only where its first and last n - 1 words do: so that each n looks only at what the one before it
    left over. `longest` is the last n that is looked at.
    """
    hasher, starts = batch.word_hasher
    bounds, length = batch.word_bounds, np.maximum(batch.length, 1)
    page = batch.words.page
    end_of_page = bounds[1:][page]
    salt = salts(batch.count)
    candidates = np.flatnonzero(np.arange(len(page)) + TOP[0] <= end_of_page)
    found = {}
    for n in range(TOP[0], longest + 1):
        keys = hasher.of(starts[candidates], starts[candidates + n]) + salt[page[candidates]]
        if n == TOP[0]:  # all pairs of words, most of them there once; what is left after that has been said twice
            rows = shared(keys)
            candidates, keys = candidates[rows], keys[rows]
        order = np.argsort(keys)
        ranked = keys[order]
        again = np.zeros(len(ranked) + 1, bool)
        again[1:-1] = ranked[1:] == ranked[:-1]
        several = again[1:] | again[:-1]
        rows, new = order[several], ~again[:-1][several]  # those that occur more than once, each next to its equals
        if n in TOP:
            found[f"gopher_top_{n}_gram"] = _top(batch, n, candidates[rows], np.flatnonzero(new)) / length
        twice = np.zeros(len(candidates), bool)
        twice[rows] = True
        kept = candidates[twice]
        if n in REPEATED:
            ids = np.empty(len(candidates), np.int64)
            ids[rows] = np.cumsum(new) - 1
            found[f"gopher_repeated_{n}_grams"] = _said_before(batch, n, kept, ids[twice]) / length
        longer = np.zeros(len(page) + 1, bool)
        longer[kept] = True
        candidates = kept[longer[kept + 1] & (kept + n + 1 <= end_of_page[kept])]
    return found


def _top(batch: Batch, n: int, places: Ints, heads: Ints) -> Floats:
    """Characters that the most frequent n-gram of each page takes in all; of equally frequent ones the first counts.

    `places` has those that occur more than once, each next to its equals, of which the first is at one of `heads`.
    """
    starts = batch.word_hasher[1]
    bounds = batch.word_bounds
    takes = np.zeros(batch.count)
    long_enough = np.flatnonzero(bounds[:-1] + n <= bounds[1:])
    if len(long_enough):  # nothing repeated: the first n-gram of the page, once
        first = bounds[long_enough]
        takes[long_enough] = starts[first + n] - starts[first] + n - 1
    if not len(places):
        return takes
    first, counts = np.minimum.reduceat(places, heads), np.diff(heads, append=len(places))
    page = batch.words.page[first]
    best = np.lexsort((first, -counts, page))
    best = best[np.diff(page[best], prepend=-1) > 0]
    first = first[best]
    takes[page[best]] = counts[best] * (starts[first + n] - starts[first] + n - 1)
    return takes


def _said_before(batch: Batch, n: int, places: Ints, ids: Ints) -> Floats:
    """Characters in n-grams that came before, read from the left; an n-gram that counts is jumped over.

    The jump makes it a matter of order, so it is walked; but only through n-grams that occur twice in the page, which are few.
    """
    starts = batch.word_hasher[1]
    letters = starts[places + n] - starts[places]
    seen = bytearray(int(ids.max()) + 1 if len(ids) else 0)
    hits, after = [], -1
    for row, (place, gram) in enumerate(zip(places.tolist(), ids.tolist(), strict=True)):
        if place < after:
            continue
        if seen[gram]:
            hits.append(row)
            after = place + n
        else:
            seen[gram] = 1
    chosen = np.array(hits, np.int64)
    return batch.totals(batch.words.page[places[chosen]], letters[chosen])
