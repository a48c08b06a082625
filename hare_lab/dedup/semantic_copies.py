"""Which pages say the same thing in other words?

Two signs have to agree: the vectors point the same way (the pages are about the same thing) and the telling words of the
shorter page stand in the longer one (they name the same people, places and numbers). A cosine alone merges posts that only share
a subject before it finds a rewritten article (docs/dedup.md has the figures). Both depend on the two pages alone, never on the rest
of the corpus, so what was deduplicated once stays so.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.bars import bar
from hare_lab.dedup.keep import Claim, claim, priority
from hare_lab.dedup.report import Duplicates, checked, duplicates, share
from hare_lab.dedup.words import words
from hare_lab.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

THRESHOLD = 0.84
SUBJECT = 0.7  # the least cosine of two pages about the same thing
STEM = 5  # letters: a word is telling from this length on, and compared by so many
FEW = 10  # telling words; with fewer in the shorter page all words count
BLOCK = 512  # pages compared at once
EXACT = 50_000  # pages; beyond it only those that share a neighbourhood are compared
HOMES = 4  # neighbourhoods that a page belongs to
PAIRS = 200_000  # pairs whose words are compared at once
MARKS = 1_024  # bits of a page's marks


def semantic(pages: Dataset, vectors: np.ndarray, *, threshold: float = THRESHOLD) -> Duplicates:
    """Pages that say what a longer page says, in other words.

    The similarity is the mean of two shares: the cosine of the vectors, and the share of the shorter page's telling words that
    stand in the longer. A telling word has five letters or more, or a digit; words that begin with the same five letters are one.
    A pair needs a cosine of 0.7 in any case.

    Up to 50,000 pages every pair is compared. Beyond, those that share one of their four nearest of about n / 1000 pages
    taken as landmarks: see docs/dedup.md for the pairs that this misses.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    vectors : float array of shape (n_pages, dim), rows of length 1, in the order of the pages
        Those of long pages by `embed(long="windows")` find more than those of their beginnings.
    threshold : float in (0, 1]
        The least similarity of two copies.

    Returns
    -------
    Duplicates
        `similarity` is the mean of cosine and shared telling words, to the page that stays.

    Raises
    ------
    InputError
        If there is no page, a page without text, a threshold outside (0, 1], or vectors that don't fit the pages.
    """
    start = time.perf_counter()
    share(threshold, "semantic")
    texts, ids = checked(pages, "semantic")
    fitting = _fitting(vectors, len(texts))
    order = priority(texts, ids)
    first, alike = _claimed(fitting[order], Telling([texts[row] for row in order]), threshold)
    keeper, similarity = np.empty_like(order), np.empty(len(order))
    keeper[order], similarity[order] = order[first], alike
    said = 'says the same as "{kept}" (similarity {percent})'
    return duplicates(pages, "semantic", threshold, keeper, similarity, said, time.perf_counter() - start)


class Telling:
    """The words of pages that tell what they are about, as sets that can be compared pair by pair."""

    def __init__(self, texts: Sequence[str]) -> None:
        said = [set(words(text)) for text in texts]
        self._telling = _sets([{word[:STEM] for word in page if len(word) >= STEM or any(map(str.isdigit, word))} for page in said])
        self._all = _sets(said)
        self._marks = _marks(self._telling)

    def at_most(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """For pairs of rows: a share that `shared` does not exceed, a hundred times cheaper.

        Each word sets one of the bits of its page. A bit that only the smaller page has is a word that the other lacks.
        """
        sizes = np.diff(self._telling.indptr)
        found = np.ones(len(one))
        for low in range(0, len(one), PAIRS):
            part = slice(low, low + PAIRS)
            swap = sizes[one[part]] > sizes[other[part]]
            small, large = np.where(swap, other[part], one[part]), np.where(swap, one[part], other[part])
            lacking = np.bitwise_count(self._marks[small] & ~self._marks[large]).sum(axis=1, dtype=np.int64)
            found[part] = np.where(sizes[small] < FEW, 1.0, 1 - lacking / np.maximum(sizes[small], 1))
        return found

    def shared(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """For pairs of rows: the share of the smaller page's telling words that the other has, between 0 and 1."""
        parts = [
            self._shared(one[low : low + PAIRS], other[low : low + PAIRS])
            for low in range(0, len(one), PAIRS)
        ]  # fmt: skip
        return np.concatenate(parts) if parts else np.zeros(0)

    def _shared(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        telling, smaller = _overlap(self._telling, one, other)
        found: np.ndarray = telling / np.maximum(smaller, 1)
        few = smaller < FEW
        every, smaller = _overlap(self._all, one[few], other[few])
        found[few] = every / np.maximum(smaller, 1)
        return found


def _claimed(vectors: np.ndarray, telling: Telling, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """For pages in order of priority: the kept one that claims each (its own index where kept), and the similarity.

    Block by block, each against the pages kept so far and then within itself, so that no list of all pairs is ever held.
    """
    n = len(vectors)
    keeper, similarity = np.arange(n), np.ones(n)
    homes = _homes(vectors)
    residents: defaultdict[int, list[int]] = defaultdict(list)  # neighbourhood -> the pages kept in it
    for low in bar(range(0, n, BLOCK), told="semantic copies", unit="blocks"):
        rows = np.arange(low, min(low + BLOCK, n))
        later, earlier, cosine = _close_to_kept(vectors, rows, homes, residents)
        later, earlier, alike = _copies(later, earlier, cosine, telling, threshold)
        by_keeper = np.lexsort((earlier, later))
        claimed, at = np.unique(later[by_keeper], return_index=True)  # the first that claims is the first in priority
        keeper[claimed], similarity[claimed] = earlier[by_keeper][at], alike[by_keeper][at]
        unclaimed = np.setdiff1d(rows, claimed, assume_unique=True)
        first, alike = _claimed_within(vectors, unclaimed, telling, threshold)
        keeper[unclaimed], similarity[unclaimed] = unclaimed[first], alike
        for row in unclaimed[np.unique(first)].tolist():
            for home in homes[row].tolist():
                residents[home].append(row)
    return keeper, similarity


def _claimed_within(vectors: np.ndarray, rows: np.ndarray, telling: Telling, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The same within one block: positions in `rows`, and similarities."""
    import scipy.sparse as sparse

    cosines = vectors[rows] @ vectors[rows].T
    one, other = np.nonzero(np.triu(cosines >= SUBJECT, 1))
    earlier, later, alike = _copies(rows[one], rows[other], cosines[one, other], telling, threshold)
    place = np.searchsorted(rows, earlier), np.searchsorted(rows, later)
    pairs = sparse.csr_matrix((alike, place), shape=(len(rows), len(rows)))

    def copies_of(row: int, unclaimed: np.ndarray) -> Claim:
        mates = pairs.indices[pairs.indptr[row] : pairs.indptr[row + 1]]
        left = unclaimed[mates]
        return mates[left], pairs.data[pairs.indptr[row] : pairs.indptr[row + 1]][left]

    return claim(np.arange(len(rows)), copies_of)


def _close_to_kept(
    vectors: np.ndarray, rows: np.ndarray, homes: np.ndarray, residents: dict[int, list[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of a row and a kept page that are about the same thing, and their cosines; a pair may come more than once."""
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for home in np.unique(homes[rows]).tolist():
        kept = np.array(residents.get(home, []), np.int64)
        mine = rows[(homes[rows] == home).any(axis=1)]
        cosines = vectors[mine] @ vectors[kept].T
        one, other = np.nonzero(cosines >= SUBJECT)
        found.append((mine[one], kept[other], cosines[one, other]))
    later, earlier, cosine = (np.concatenate(part) for part in zip(*found, strict=True))
    return later, earlier, cosine


def _copies(
    one: np.ndarray, other: np.ndarray, cosine: np.ndarray, telling: Telling, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that are copies, with their similarity."""
    cosine = np.minimum(cosine, 1.0)
    hopeful = (cosine + telling.at_most(one, other)) / 2 >= threshold
    one, other, cosine = one[hopeful], other[hopeful], cosine[hopeful]
    alike = (cosine + telling.shared(one, other)) / 2
    copies = alike >= threshold
    return one[copies], other[copies], alike[copies]


def _homes(vectors: np.ndarray) -> np.ndarray:
    """The neighbourhoods of each page, int of shape (n, HOMES): its nearest landmarks, or the only one there is."""
    n = len(vectors)
    if n <= EXACT:
        return np.zeros((n, 1), np.int64)
    landmarks = vectors[np.linspace(0, n - 1, n // 1000).astype(np.int64)]  # of every length, for the order is by length
    nearest = [
        np.argpartition(-(vectors[low : low + BLOCK] @ landmarks.T), HOMES, axis=1)[:, :HOMES]
        for low in range(0, n, BLOCK)
    ]  # fmt: skip
    return np.concatenate(nearest)


def _sets(pages: Sequence[set[str]]) -> Any:
    """Sets of words as a sparse matrix of ones, (n_pages, n_words)."""
    import scipy.sparse as sparse

    number: defaultdict[str, int] = defaultdict(count().__next__)
    columns = np.fromiter((number[word] for page in pages for word in page), np.int32)
    bounds = np.cumsum([0, *map(len, pages)])
    return sparse.csr_matrix((np.ones(len(columns), np.int32), columns, bounds), shape=(len(pages), max(len(number), 1)))


def _marks(sets: Any) -> np.ndarray:
    """A bit for each word of a set, words sharing bits by their number: uint64 of shape (n_pages, MARKS / 64)."""
    packed = np.zeros((sets.shape[0], MARKS // 64), np.uint64)
    for low in range(0, sets.shape[0], BLOCK):
        part = sets[low : low + BLOCK]
        bits = np.zeros((part.shape[0], MARKS), bool)
        bits[np.repeat(np.arange(part.shape[0]), np.diff(part.indptr)), part.indices % MARKS] = True
        packed[low : low + BLOCK] = np.packbits(bits, axis=1).view(np.uint64)
    return packed


def _overlap(sets: Any, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For pairs of rows: how many words both have, and the size of the smaller set."""
    sizes = np.diff(sets.indptr)
    both = np.asarray(sets[one].multiply(sets[other]).sum(axis=1)).ravel()
    return both, np.minimum(sizes[one], sizes[other])


def _fitting(vectors: np.ndarray, n: int) -> np.ndarray:
    if np.ndim(vectors) != 2 or len(vectors) != n:
        raise InputError(
            f"dedup.semantic: the vectors have the shape {np.shape(vectors)} but there are {n:,} pages; embed these very pages"
        )
    array = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(array, axis=1)
    if not np.allclose(lengths, 1, atol=0.01):
        row = int(np.flatnonzero(~np.isclose(lengths, 1, atol=0.01))[0])
        raise InputError(f"dedup.semantic: the vector of row {row} has the length {lengths[row]:.3g}, not 1; normalise the vectors")
    return array
