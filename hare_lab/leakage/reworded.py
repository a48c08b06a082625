"""Which pages tell an item in other words?

Vectors propose: each window of a page, and each two that follow one another, against the question alone, with its answer and with
its choices. Words dispose: near the window must stand some of the words that carry the item, its answer or its choices. Neither is
enough alone: two texts on one subject have near vectors, and two texts on two subjects may share words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.dedup.words import words
from hare_lab.leakage.items import Items
from hare_lab.leakage.sequences import FUNCTION_WORDS
from hare_lab.leakage.windows import Windows, windows

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

# The score is a weighted mean, 0 to 1; what was tried beside it: docs/leakage.md
COSINE, TELLING, ANSWER, CHOICES = 0.65, 0.16, 0.06, 0.13
THRESHOLD = 0.6
SHARED = 0.15  # of the telling words a hit needs in any case
NEAR = 0.42  # cosine to the mean of an item's forms from which a window is looked at
STEM = 5  # letters by which words are one: "decide", "decided"
AROUND = 1  # windows on either side whose words count, so that an answer in the next sentence does
FEWEST = 4  # telling words that an item needs to be looked for
PASSAGE = 20  # telling words from which an item without choices is a passage, not a fact
OFFERED = 4  # telling words that the choices need together to count
BLOCK = 1_024  # runs of windows that are compared at once


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of the pages' windows, shape (n_windows, d), and of the items' forms, three of shape (n_items, d)."""

    windows: Windows
    pages: np.ndarray
    items: tuple[np.ndarray, ...]


def forms(items: Items) -> tuple[list[str], ...]:
    """What of each item may stand in a page: the question, question and answer, question and choices."""
    rows = range(len(items))
    return list(items.questions), [items.told(row) for row in rows], [items.offered(row) for row in rows]


def embed_windows(pages: Dataset, items: Items, *, model: Any = None) -> Vectors:
    """The vectors that the third path needs; they go through the store, so a second scan finds them.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    items : the benchmark items
    model : as `embedding.embed` takes it

    Raises
    ------
    InputError
        If there is no page or no item, or as `embedding.embed` does.
    """
    from hare_lab.embedding import embed
    from hare_lab.leakage.find import checked

    cut = windows(checked(pages)[0])
    texts = [*cut.texts, *(text for form in forms(items) for text in form)]
    made = np.asarray(embed(texts, model=model).vectors)
    return Vectors(cut, made[: len(cut)], tuple(np.split(made[len(cut) :], 3)))


def reworded(items: Items, vectors: Vectors) -> pd.DataFrame:
    """The pages that tell an item in other words: hits as `find` collects them, their span in characters.

    Parameters
    ----------
    items : the benchmark items
    vectors : what `embed_windows` returned for the pages and these items
    """
    import pandas as pd

    first, last, item, cosine = _nearest(vectors)
    telling = [Telling(items, row) for row in range(len(items))]
    cut = vectors.windows
    stems: dict[int, set[str]] = {}
    rows = []
    for low, high, which, near in zip(first.tolist(), last.tolist(), item.tolist(), cosine.tolist(), strict=True):
        if len(telling[which].told) < FEWEST or near < least(telling[which]):
            continue
        page = cut.page[low]
        around = [at for at in range(max(0, low - AROUND), min(len(cut), high + AROUND + 1)) if cut.page[at] == page]
        for at in around:
            if at not in stems:
                stems[at] = stemmed(cut.texts[at])
        said = set().union(*(stems[at] for at in around))
        score, shared = telling[which].score(near, said), telling[which].share(said)
        if score >= THRESHOLD and shared >= SHARED:
            certain = telling[which].certain(said)
            words_found = len(telling[which].offered & said)
            rows.append((int(page), which, score, shared, certain, words_found, int(cut.start[low]), int(cut.end[high])))
    columns = ["row", "item_row", "score", "overlap", "certain", "words", "start", "end"]
    return pd.DataFrame(rows, columns=columns).assign(how="reworded", first=-1, last=-1)


class Telling:
    """The words that carry an item: of question and answer, with the choices, of the answer, and of each choice."""

    def __init__(self, items: Items, row: int) -> None:
        self.told = stemmed(items.told(row))
        self.choices = [stemmed(choice) for choice in items.choices[row]]
        self.offered = self.told.union(*self.choices)
        self.answer = {stem for stem in stemmed(items.answers[row]) if not stem.isdigit()}
        named = {stem for choice in self.choices for stem in choice if not stem.isdigit()}
        self.many = len(named) >= OFFERED and all(self.choices)

    def score(self, cosine: float, said: set[str]) -> float:
        """The weighted mean of four shares, each from 0 to 1."""
        answer = len(self.answer & said) / len(self.answer) if self.answer else 0.0
        return COSINE * cosine + TELLING * self.share(said) + ANSWER * answer + CHOICES * self.chosen(said)

    def share(self, said: set[str]) -> float:
        """The share of the telling words that are there: of question and answer, or of the choices too, the larger."""
        return max(len(self.told & said) / len(self.told), len(self.offered & said) / len(self.offered))

    def chosen(self, said: set[str]) -> float:
        """The share of the choices that are there, 0 where they tell too little to count."""
        return sum(choice <= said for choice in self.choices) / len(self.choices) if self.many else 0.0

    def certain(self, said: set[str]) -> bool:
        """Whether more than the fact is there: at least half of the choices, or a whole passage.

        A page that teaches what an item asks about says much the same as the item, and should not go for it.
        """
        return self.chosen(said) >= 0.5 or (not self.choices and len(self.told) >= PASSAGE)


def least(telling: Telling) -> float:
    """The cosine without which an item can't reach the threshold, whatever its words."""
    return (THRESHOLD - TELLING - ANSWER * bool(telling.answer) - CHOICES * telling.many) / COSINE


def stemmed(text: str) -> set[str]:
    """The telling words of a text, cut to `STEM` letters; function words and single letters tell nothing, digits do."""
    return {word[:STEM] for word in words(text) if (len(word) > 2 and word not in FUNCTION_WORDS) or word.isdigit()}


def _nearest(vectors: Vectors) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each page and item that come near: first and last window of the nearest run of one or two windows, item, cosine."""
    page = vectors.windows.page
    single = np.arange(len(page))
    double = np.flatnonzero(page[:-1] == page[1:]) if len(page) else single
    runs = np.concatenate([np.stack([single, single]), np.stack([double, double + 1])], axis=1)
    runs = runs[:, np.argsort(page[runs[0]], kind="stable")]
    middle = unit(np.sum(vectors.items, axis=0))
    found: list[np.ndarray] = []
    for low in range(0, runs.shape[1], BLOCK):
        head, tail = runs[:, low : low + BLOCK]
        own = unit(np.asarray(vectors.pages[head]) + np.asarray(vectors.pages[tail]))
        run, item = np.nonzero(own @ middle.T >= NEAR)
        cosine = np.max([np.einsum("ij,ij->i", own[run], form[item]) for form in vectors.items], axis=0)
        found.append(np.stack([head[run], tail[run], item, cosine]))
    gathered = np.concatenate(found, axis=1) if found else np.zeros((4, 0))
    cosine = gathered[3]
    first, last, item = gathered[:3].astype(np.int64)
    order = np.lexsort((-cosine, item, page[first]))
    pair = page[first[order]] * (int(item.max(initial=0)) + 1) + item[order]
    best = order[np.unique(pair, return_index=True)[1]]
    return first[best], last[best], item[best], cosine[best]


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length; a row of zeros stays."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = (rows / np.where(length > 0, length, 1)).astype(np.float32)
    return scaled
