"""What was found to be a copy of what, why, and what acting on it removes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.corpus.pages import removed_table
from hare_lab.errors import InputError
from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

COLUMNS = ("group", "id", "row", "kept", "kept_id", "similarity", "why")
BEFORE, AFTER = 6, 24  # words of context that an example shows around the first difference


@dataclass(frozen=True)
class Examples(Report):
    """Pairs of a removed page and the one that stays, where they first differ. `table`: kept_id, id, similarity, stays, goes."""

    title: ClassVar[str] = "Copies, from where they differ"

    table: pd.DataFrame

    def _repr_html_(self) -> str:
        return html_table(self.table.itertuples(index=False), header=self.table.columns, caption=self.title)


@dataclass(frozen=True)
class Duplicates(Report):
    """The copies in a corpus: which pages belong together, which one stays and why.

    Attributes
    ----------
    groups : DataFrame with the columns group, id, row, kept, kept_id, similarity, why
        One row for each page that has a copy, groups one after the other, the page that stays first. `similarity` is that to
        the page that stays, on the scale that `kind` uses (docs/dedup.md).
    kind : "exact", "near" or "semantic"
    threshold : the least similarity of a copy
    """

    title: ClassVar[str] = "Copies"

    groups: pd.DataFrame
    kind: str
    threshold: float
    pages_in: int
    n_groups: int
    n_removed: int
    seconds: float
    _pages: Dataset | None = field(default=None, repr=False, compare=False)  # not kept in a run: pass them to `examples`

    def kept_rows(self, n: int) -> np.ndarray:
        """The rows that stay, ascending; `n` is the number of pages that they index.

        Raises
        ------
        InputError
            If the copies were found among another number of pages.
        """
        if n != self.pages_in:
            raise InputError(f"dedup: these copies were found among {self.pages_in:,} pages, not {n:,}; pass the same pages")
        gone = self.groups["row"].to_numpy()[~self.groups["kept"].to_numpy(dtype=bool)]
        return np.setdiff1d(np.arange(n), gone, assume_unique=True)

    def examples(self, k: int = 5, pages: Dataset | None = None) -> Examples:
        """The `k` removed pages that are least like the page that stays: where the threshold has to prove itself.

        `pages` are those that the copies were found among; a report read back from a run needs them.
        """
        import pandas as pd

        pages = pages if pages is not None else self._pages
        if pages is None or len(pages) != self.pages_in:
            raise InputError(f"dedup: pass the {self.pages_in:,} pages that these copies were found among, as examples(k, pages)")
        gone = self.groups[~self.groups["kept"].astype(bool)].sort_values(["similarity", "id"]).head(k)
        rows_of = dict(zip(self.groups["id"], self.groups["row"].tolist(), strict=True))
        rows = []
        for kept_id, id, row, similarity in zip(gone["kept_id"], gone["id"], gone["row"].tolist(), gone["similarity"], strict=True):
            stays, goes = snippets(*(pages.select([at])["text"][0] for at in (rows_of[kept_id], row)))
            rows.append((kept_id, id, round(similarity, 3), stays, goes))
        return Examples(pd.DataFrame(rows, columns=["kept_id", "id", "similarity", "stays", "goes"]))

    def _rows(self) -> list[tuple[str, Any]]:
        return [
            ("kind", self.kind),
            ("threshold", self.threshold),
            ("pages in", self.pages_in),
            ("groups of copies", self.n_groups),
            ("pages that go", self.n_removed),
            ("share that goes", f"{self.n_removed / self.pages_in:.2%}"),
            ("seconds", self.seconds),
        ]


def snippets(one: str, other: str) -> tuple[str, str]:
    """A few words of each text around the place where they first differ."""
    words, others = one.split(), other.split()
    at = next((i for i, (a, b) in enumerate(zip(words, others, strict=False)) if a != b), min(len(words), len(others)))
    start = max(0, at - BEFORE)
    return _clip(words, start, at + AFTER), _clip(others, start, at + AFTER)


def duplicates(
    pages: Dataset, kind: str, threshold: float, keeper: np.ndarray, similarity: np.ndarray, said: str, seconds: float
) -> Duplicates:
    """The report on a kept page for each page. `said` completes "goes: ..." with `{percent}` and `{kept}`."""
    import pandas as pd

    ids = pages["id"][:]
    gone = np.flatnonzero(keeper != np.arange(len(keeper)))
    stays = np.unique(keeper[gone])
    rows = np.concatenate([stays, gone])
    keepers = keeper[rows]
    ordered = np.lexsort((rows, rows != keepers, keepers))  # by group, the kept page first, then as the pages came
    rows, keepers = rows[ordered], keepers[ordered]
    sizes = dict(zip(stays.tolist(), np.bincount(np.searchsorted(stays, keeper[gone]), minlength=len(stays)).tolist(), strict=True))
    kept = rows == keepers
    why = [
        f"stays: first of {sizes[row] + 1} by length, then id" if stay
        else "goes: " + said.format(percent=f"{similarity[row]:.0%}", kept=ids[by])
        for row, by, stay in zip(rows.tolist(), keepers.tolist(), kept, strict=True)
    ]  # fmt: skip
    named = [pd.Series([ids[row] for row in which.tolist()], dtype=object) for which in (rows, keepers)]
    groups = pd.DataFrame(
        {
            "group": np.searchsorted(stays, keepers), "id": named[0], "row": rows, "kept": kept,
            "kept_id": named[1], "similarity": similarity[rows], "why": pd.Series(why, dtype=object),
        },
        columns=list(COLUMNS),
    )  # fmt: skip
    return Duplicates(groups, kind, threshold, len(keeper), len(stays), len(gone), seconds, pages)


def drop(pages: Dataset, duplicates: Duplicates) -> tuple[Dataset, Dataset]:
    """The pages without their copies, in order, and the removed ones with the page that stays for each.

    Raises
    ------
    InputError
        If the copies were found among another number of pages.
    """
    kept = duplicates.kept_rows(len(pages))
    gone = duplicates.groups[~duplicates.groups["kept"].astype(bool)].sort_values("row")
    details = [
        f'"{kept_id}" stays; similarity {similarity:.3f}' for kept_id, similarity in zip(gone["kept_id"], gone["similarity"], strict=True)
    ]
    kind = duplicates.kind
    removed = removed_table(pages, gone["row"].tolist(), f"dedup-{kind}", [f"{kind} copy"] * len(gone), details)
    return pages.select(kept), removed


def checked(pages: Dataset, step: str) -> tuple[list[str], list[str]]:
    """The texts and ids of pages that can be compared.

    Raises
    ------
    InputError
        If there is no page, a column is missing, or a text is null.
    """
    for column in ("id", "text"):
        if column not in pages.column_names:
            raise InputError(
                f'dedup.{step}: the pages have no column "{column}" (they have {", ".join(pages.column_names)}); use corpus.load'
            )
    if len(pages) == 0:
        raise InputError(f"dedup.{step}: the corpus is empty; load at least one page")
    texts, ids = pages["text"][:], pages["id"][:]
    bad = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
    if bad is not None:
        raise InputError(f'dedup.{step}: column "text" of row {bad} holds {type(texts[bad]).__name__}, not text; use corpus.load')
    return texts, ids


def share(threshold: float, step: str) -> float:
    """The threshold, if it is one.

    Raises
    ------
    InputError
        If it is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"dedup.{step}: threshold is {threshold}; give a similarity above 0 and at most 1")
    return float(threshold)


def _clip(words: list[str], start: int, stop: int) -> str:
    return ("… " if start else "") + " ".join(words[start:stop]) + (" …" if stop < len(words) else "")
