"""Text from anywhere, as pages.

A source is a path (JSON lines, Parquet, Arrow, CSV, plain text or HTML, each also compressed), a folder or glob of such
files, `-` for standard input, `hf:owner/name` for a Hugging Face dataset, `demo` for the bundled corpus, or rows in memory.
A row that can't be used is kept aside with its reason, be it a line or a file that is one text; a file of many rows that can't be used
is an error that names it.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.corpus.files import PROBLEM, Problem, expand, read_file, read_stdin
from hare_lab.corpus.pages import ADDED_COLUMNS, PAGE_COLUMNS, REMOVED_COLUMNS, Collector, own_name, removed_table
from hare_lab.errors import InputError
from hare_lab.report_base import Report, plural

if TYPE_CHECKING:
    from datasets import Dataset

OURS = frozenset((*PAGE_COLUMNS, *REMOVED_COLUMNS, *ADDED_COLUMNS))
LACKING = 20  # rows in a row, from the first, without the text column: it is a mistake, and reading on is a waste
Row = tuple[str, dict[str, Any]]  # where it stands ("posts.jsonl line 3"), its fields


@dataclass(frozen=True)
class LoadReport(Report):
    """What was read: rows in, pages out, and how many rows could not be used, by reason."""

    title: ClassVar[str] = "Loaded"

    source: str
    rows: int
    pages: int
    unusable: int
    reasons: dict[str, int]
    files: int
    words: int

    def _rows(self) -> list[tuple[str, Any]]:
        aside = [(f"set aside: {reason}", count) for reason, count in self.reasons.items()]
        return [("source", self.source), ("files", self.files), ("rows", self.rows), ("pages", self.pages), ("words", self.words), *aside]


@dataclass(frozen=True)
class Loaded:
    """`pages` and `removed` partition the rows that were read."""

    pages: Dataset
    removed: Dataset
    report: LoadReport

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def load(source: Any, *, column: str | None = None, limit: int | None = None, seed: int = 0) -> Loaded:
    """Read a corpus.

    Parameters
    ----------
    source : str, Path, Dataset, DataFrame or iterable
        A path, a folder (every file of a known kind below it, in name order), a glob, "-" (standard input), "hf:owner/name",
        "hf:owner/name:config" or "hf:owner/name:config@split" (the hub, streamed where `limit` is given), "demo", or rows in
        memory: texts, or mappings.
    column : str
        The column that holds the text; default "text".
    limit : int
        Read at most so many rows, from the start. For "demo": the number of pages to draw, every bundled one first.
    seed : int
        Draws the demo's pages; no other source needs it.

    Returns
    -------
    Loaded
        `pages` has `id`, `text`, `title`, `source` and the user's columns (one that has a name of ours stays as `own_NAME`);
        `removed` holds the rows without usable text, with a reason.

    Raises
    ------
    InputError
        If the source does not exist, is not what its name says, lacks the column, or holds no usable text at all.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; give a number of pages of at least 1")
    name, files, rows = _rows(source, limit, seed)
    good, bad = Collector(PAGE_COLUMNS), Collector((*PAGE_COLUMNS, *REMOVED_COLUMNS))
    reasons: Counter[str] = Counter()
    seen: set[str] = set()
    words, lacking, first = 0, 0, ""
    for number, (where, fields) in enumerate(rows):
        if limit is not None and number >= limit:
            break
        lacking += (column or "text") not in fields and lacking == number
        page, reason, detail = _page(where, fields, column, seen)
        if reason:
            bad.add({**page, "step": "load", "reason": reason, "detail": detail})
            reasons[reason] += 1
            first = first or detail
            if lacking == LACKING:
                raise InputError(first)
        else:
            good.add(page)
            words += len(page["text"].split())
    if not len(good):
        if lacking:
            raise InputError(first)
        sentence = f"{name}: no usable text in {plural(len(bad), 'row')}{first and '; the first: '}{first}"
        raise InputError(f"{sentence}; check the file, or pass --column to name the text column")
    pages = good.dataset()
    removed = bad.dataset() if len(bad) else removed_table(pages, [], "load", [], [])
    report = LoadReport(name, len(good) + len(bad), len(good), len(bad), dict(reasons.most_common()), files, words)
    return Loaded(pages, removed, report)


def fingerprint(source: Any) -> str:
    """What tells whether a source has changed since it was last read: names, sizes and times of its files, or the demo's parts.

    A hub name stands for itself: pin a revision in the dataset's name where that matters.
    """
    name = str(source)
    if name == "demo":
        from hare_lab.corpus.demo import demo_fingerprint

        return demo_fingerprint()
    if name == "-" or name.startswith("hf:"):
        return name
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in expand(name)]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _rows(source: Any, limit: int | None, seed: int) -> tuple[str, int, Iterator[Row]]:
    """The source's name, its number of files, and its rows."""
    if isinstance(source, str | Path):
        name = str(source)
        if name == "demo":
            from hare_lab.corpus.demo import demo_rows

            return name, 0, demo_rows(limit, seed)
        if name == "-":
            return "standard input", 0, read_stdin()
        if name.startswith("hf:"):
            from hare_lab.corpus.hub import hub_rows

            return name, 0, hub_rows(name, limit)
        files = expand(name)
        base = files[0].parent if len(files) == 1 else Path(name) if Path(name).is_dir() else _common(files)
        return _said(name), len(files), (row for file in files for row in read_file(file, _said(file.relative_to(base))))
    return "rows in memory", 0, _memory(source)


def _said(name: str | Path) -> str:
    """A file's name as text; a byte of it that is not UTF-8 is written out, as in `caf\\xe9.txt`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _common(files: list[Path]) -> Path:
    """The deepest folder that holds all the files."""
    parents = [set(f.parents) for f in files]
    return max(set.intersection(*parents), key=lambda p: len(p.parts))


def _memory(source: Any) -> Iterator[Row]:
    if not isinstance(source, Iterable) or isinstance(source, bytes | Mapping):
        raise InputError(f"a {type(source).__name__} is no corpus; give a path, a Dataset, a DataFrame, or a list of texts or rows")
    rows = source.to_dict(orient="records") if hasattr(source, "to_dict") and hasattr(source, "iterrows") else source
    rows = rows.with_format(None) if hasattr(rows, "with_format") else rows  # a Dataset that gives tensors
    for number, row in enumerate(rows):
        yield f"memory row {number}", dict(row) if isinstance(row, Mapping) else {"text": row}


def _page(where: str, fields: dict[str, Any], column: str | None, seen: set[str]) -> tuple[dict[str, Any], str, str]:
    """One row as a page, with a reason and a sentence where its text can't be used."""
    name = column or "text"
    place, _, number = where.rpartition(" ")
    file = place.removesuffix(" line").removesuffix(" row")
    problem = fields.pop(PROBLEM) if isinstance(fields.get(PROBLEM), Problem) else None
    fields = {key: None if _missing(value) else value for key, value in fields.items()}
    text = fields.get(name)
    reason, detail = problem or _unusable(where, name, fields)
    own = fields.get("id")
    own_id = str(own) if isinstance(own, str | int) and not isinstance(own, bool) and str(own) else ""
    page_id = _arrow_text(f"{file}#{own_id or number}")
    while page_id in seen:  # the same id again: its row keeps it apart
        page_id = f"{page_id}~{number}"
    seen.add(page_id)
    page = {
        "id": page_id, "text": _arrow_text(text if isinstance(text, str) else "" if text is None else str(text)[:1000]),
        "title": _words(fields.get("title")), "source": _words(fields.get("source")) or file,
    }  # fmt: skip
    for key, value in fields.items():
        if key == "id" and own_id:
            page[own_name(key, fields)] = own_id
        elif key not in ("title", "source", name):
            page[own_name(key, fields) if key in OURS else str(key)] = value
    return page, reason, detail


def _arrow_text(text: str) -> str:
    """The text with "?" for each half of a surrogate pair, which Arrow can't hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _missing(value: Any) -> bool:
    """Whether a value says that there is none: None, and pandas' NaN, NaT and NA, which differ even from themselves."""
    if value is None or isinstance(value, str | int | list | dict):
        return value is None
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # NA is no truth value; nor is an array, which is none of them
        return type(value).__name__ == "NAType"


def _words(value: Any) -> str:
    """A title or source as text, whatever it came as; "" where it is missing."""
    return "" if value is None else str(value)


def _unusable(where: str, name: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    if name not in fields:
        has = ", ".join(map(str, list(fields)[:12])) or "no columns"
        return "no text", f'{where}: no column "{name}"; pass --column to name the text column (this row has: {has})'
    text = fields[name]
    if text is None:
        return "no text", f'{where}: column "{name}" is null'
    if not isinstance(text, str):
        kind = "number" if isinstance(text, int | float) else type(text).__name__
        return "not text", f'{where}: column "{name}" holds a {kind} ({str(text)[:40]})'
    if not text.strip():
        return "empty", f'{where}: column "{name}" is empty'
    return "", ""
