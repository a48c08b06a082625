"""Which pages give away which items, and how: the three paths put together, one row for each page and item.

The n-gram path finds what was copied, the edited path what was copied and changed, the reworded path what was told anew. Each
says how much of the item the page holds; a page has leaked where that is more than the priors allow, or where so much of its own runs of
n words stands in items.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.dedup.words import WordHashes
from hare_lab.errors import InputError
from hare_lab.leakage import edited
from hare_lab.leakage.items import Items
from hare_lab.leakage.ngrams import BATCH, SHORTEST, RunIndex, lookup, shared_runs
from hare_lab.leakage.report import COLUMNS, HOW, Leaks
from hare_lab.leakage.reworded import Vectors, reworded
from hare_lab.leakage.sequences import TOLD, Forms, Sequences, item_forms, sequences, spans
from hare_lab.priors import Leakage

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

KINDS = ("crawl", "synthetic", "task")


def find(
    pages: Dataset, items: Items, settings: Leakage | None = None, *, kind: str = "crawl", vectors: Vectors | None = None,
) -> Leaks:  # fmt: skip
    """Every page and item of which the page holds a part, copied, edited or told anew.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    items : what must stay unseen, from `load_items`
    settings : the priors' `leakage`; default: the bundled ones
    kind : "crawl", "synthetic" or "task"
        Whose n of the priors counts (`crawl_n`, `synthetic_n`, `task_n`).
    vectors : what `reworded.embed_windows` returns for these pages and items
        None leaves the third path out.

    Returns
    -------
    Leaks
        `hits` has one row a page and item, the path that finds the most; `pages` one row a page.

    Raises
    ------
    InputError
        If there is no page or no item, a page without text, or an unknown kind.
    """
    start = time.perf_counter()
    settings = settings or Leakage()
    if kind not in KINDS:
        raise InputError(f'leakage: kind "{kind}" is unknown; choose one of {", ".join(KINDS)}')
    n = int(getattr(settings, f"{kind}_n"))
    texts, ids = checked(pages)
    if not len(items):
        raise InputError("leakage: there is no item to look for; load a benchmark with load_items")
    hashes = WordHashes()
    forms = item_forms(items, hashes)
    rows, repeated = by_words(texts, forms, n, hashes)
    if vectors is not None:
        if len(vectors.items[0]) != len(items) or vectors.windows.page.max(initial=-1) >= len(texts):
            raise InputError("leakage: the vectors are of other pages or items; pass what embed_windows returned for these")
        rows.append(reworded(items, vectors))
    hits = _best(rows, texts, ids, items)
    leak = repeated.copy()
    sure = hits[hits["certain"].to_numpy(dtype=bool)]
    np.maximum.at(leak, sure["row"].to_numpy(np.int64), sure["overlap"].to_numpy(float))
    short = forms.words.lengths[forms.kinds == TOLD]
    return Leaks(
        hits=hits.drop(columns="row"), ids=tuple(ids), leak=leak, repeated=repeated, n=n, overlap=settings.overlap, pages_in=len(ids),
        items_in=len(items), short_items=int((short < n).sum()), unseen_items=int((forms.longest() < SHORTEST).sum()),
        paraphrases=vectors is not None, leaked=int((leak > settings.overlap).sum()), seconds=time.perf_counter() - start,
    )  # fmt: skip


def checked(pages: Dataset) -> tuple[list[str], list[str]]:
    """The texts and ids of the pages.

    Raises
    ------
    InputError
        If there is no page, no column "text" or "id", or a text that is none.
    """
    lacking = [column for column in ("id", "text") if column not in pages.column_names]
    if lacking:
        raise InputError(f'leakage: the pages have no column "{lacking[0]}" (they have {", ".join(pages.column_names)}); load them first')
    texts, ids = list(pages["text"][:]), list(pages["id"][:])
    if not texts:
        raise InputError("leakage: the corpus is empty; load at least one page")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"leakage: text of row {row} holds {type(text).__name__}, not a string; clean the corpus first")
    return texts, ids


def by_words(texts: Sequence[str], forms: Forms, n: int, hashes: WordHashes) -> tuple[list[pd.DataFrame], np.ndarray]:
    """The hits of the n-gram and the edited path, and for each page the share of its runs of n words that stand in any item.

    An item is searched for in each of its forms; the share counts question and answer only, as `ngrams.shares` does.
    """
    from hare_lab.bars import bar

    index = edited.SeedIndex(forms, hashes)
    runs = RunIndex(forms, n)
    keys, owner, _ = runs.sizes[n]
    known = keys[forms.kinds[owner] == TOLD]
    found: list[pd.DataFrame] = []
    repeated = np.zeros(len(texts))
    for low in bar(range(0, len(texts), BATCH), told="leakage", unit="batches"):
        pages = sequences(texts[low : low + BATCH], hashes)
        found += [_copied(pages, runs, index.weight, low), _changed(pages, index, low)]
        keys, starts = pages.runs(n)
        owner = pages.owners()[starts]
        total = np.bincount(owner, minlength=len(pages))
        shared = np.bincount(owner[lookup(known, keys) >= 0], minlength=len(pages))
        repeated[low : low + len(pages)] = np.divide(shared, total, out=np.zeros(len(pages)), where=total > 0)
    return found, repeated


def _copied(pages: Sequences, runs: RunIndex, weight: np.ndarray, low: int) -> pd.DataFrame:
    """What the runs of n words that a page and an item share cover of the item, in each of its forms."""
    told, questions = runs.forms.words, runs.forms.questions
    at, item, place, size = shared_runs(pages, runs)
    page = pages.owners()[at].astype(np.int64)
    pair, which = np.unique(page * len(told) + item, return_inverse=True)
    page, item_of = pair // len(told), pair % len(told)
    lengths = told.lengths[item_of]
    offset = np.concatenate([[0], np.cumsum(lengths + 1)])
    steps = np.zeros(int(offset[-1]) + 1, np.int64)
    np.add.at(steps, offset[which] + place, 1)
    np.add.at(steps, offset[which] + place + size, -1)
    covered = np.cumsum(steps) > 0
    first = np.full(len(pair), np.iinfo(np.int64).max)
    np.minimum.at(first, which, at)
    shift = np.zeros(len(pair), np.int64)
    shift[which[at == first[which]]] = (at - place)[at == first[which]]
    near = np.abs(at - place - shift[which]) <= told.lengths[item] // 4 + 5  # a second copy further down is not part of the span
    last = np.zeros(len(pair), np.int64)
    np.maximum.at(last, which[near], (at + size)[near])
    shares, words = np.zeros(len(pair)), np.zeros(len(pair), np.int64)
    for k in range(len(pair)):
        flags = covered[offset[k] : offset[k] + lengths[k]]
        counts = weight[told.bounds[item_of[k]] : told.bounds[item_of[k] + 1]]
        asked = questions[item_of[k]]
        shares[k] = counts[flags].sum() / counts.sum()
        if asked >= SHORTEST:
            shares[k] = max(shares[k], counts[:asked][flags[:asked]].sum() / counts[:asked].sum())
        words[k] = flags.sum()
    start = pages.bounds[page]
    return _rows(page + low, runs.forms.items[item_of], "ngram", np.minimum(shares, 1.0), words, first - start, last - start)


def _changed(pages: Sequences, index: edited.SeedIndex, low: int) -> pd.DataFrame:
    page, item, overlap, words, spread, start, end = edited.candidates(pages, index)
    good = (overlap >= edited.THRESHOLD) & (words >= edited.MATCHED) & (spread <= edited.SPREAD)
    page, item, overlap, words, start, end = (column[good] for column in (page, item, overlap, words, start, end))
    first = pages.bounds[page]
    return _rows(page + low, index.forms.items[item], "edited", np.minimum(overlap, 1.0), words, start - first, end - first)


def _rows(page: np.ndarray, item: np.ndarray, how: str, overlap: np.ndarray, words: np.ndarray, first: Any, last: Any) -> pd.DataFrame:
    """Hits whose span is still in words: `first` and `last`, the end outside."""
    import pandas as pd

    return pd.DataFrame(
        {"row": page, "item_row": item, "how": how, "score": overlap.astype(float), "overlap": overlap.astype(float), "certain": True,
         "words": words, "first": first, "last": last, "start": -1, "end": -1}
    )  # fmt: skip


def _best(rows: list[pd.DataFrame], texts: Sequence[str], ids: Sequence[str], items: Items) -> pd.DataFrame:
    """One row for each page and item, that with the greatest overlap (of equals the plainest path); spans in characters."""
    import pandas as pd

    table = pd.concat([part for part in rows if len(part)] or rows[:1], ignore_index=True)
    table["rank"] = table["how"].map({how: rank for rank, how in enumerate(HOW)})
    table["rounded"] = table["overlap"].round(6)
    order = ["certain", "rounded", "rank"]
    table = table.sort_values(order, ascending=[False, False, True], kind="stable").drop_duplicates(["row", "item_row"])
    table = table.sort_values(["row", "rounded", "item_row"], ascending=[True, False, True], ignore_index=True)
    start, end = table["start"].to_numpy(np.int64, copy=True), table["end"].to_numpy(np.int64, copy=True)
    page, first, last = (table[name].to_numpy(np.int64) for name in ("row", "first", "last"))
    places: dict[int, list[tuple[int, int]]] = {}
    for at in np.flatnonzero(start < 0).tolist():
        row = int(page[at])
        if row not in places:
            places = {row: spans(texts[row])}  # rows are in order, so one page's words are enough to hold
        start[at], end[at] = places[row][first[at]][0], places[row][last[at] - 1][1]
    table["start"], table["end"] = start, end
    which = table["item_row"].to_numpy(np.int64)
    said: dict[str, list[str]] = {
        "id": [ids[row] for row in table["row"]],
        "benchmark": [items.benchmarks[item] for item in which],
        "item": [items.ids[item] for item in which],
        "found": [texts[row][start:end] for row, start, end in zip(table["row"], table["start"], table["end"], strict=True)],
        "text": [items.told(int(item)) for item in which],
        "choices": ["\n".join(items.choices[item]) for item in which],
    }
    kind = None if len(table) else "str"  # an empty list would be a column of numbers
    for name, values in said.items():
        table[name] = pd.Series(values, table.index, dtype=kind)
    return table[[*COLUMNS, "row"]]
