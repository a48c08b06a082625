"""What a table of pages is: the columns that every step may rely on, and how rows of any shape become one.

A page has a fixed `id` (its source and its own id or row), `text`, `title` and `source`. The user's other columns stay;
where their values fit no Arrow type together they are kept as JSON text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hare_lab.tokenizing import ids_of, open_tokenizer

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

PAGE_COLUMNS = ("id", "text", "title", "source")
REMOVED_COLUMNS = ("step", "reason", "detail")
ADDED_COLUMNS = ("language", "language_confidence", "words", "text_hash", "cluster", "nearest_cluster", "strength", "x", "y")
BATCH = 2_000
TAKEN_AT_ONCE = 2**31 - 1  # bytes of text out of which Arrow can take rows; beyond it they are taken a batch at a time


def text_hash(text: str) -> str:
    """16 bytes of BLAKE2b over the UTF-8 text, in hexadecimal: what tells whether cleaning changed a page."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Dataset:
    """Rows as a Dataset that has at least `columns` (all text), whatever else the rows hold."""
    collected = Collector(columns)
    for row in rows:
        collected.add(row)
    return collected.dataset()


class Collector:
    """Takes rows one at a time and keeps them as Arrow batches, so that a large corpus never stands in memory as objects."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self._waiting: list[Mapping[str, Any]] = []
        self._batches: list[pa.Table] = []

    def __len__(self) -> int:
        return len(self._waiting) + sum(int(batch.num_rows) for batch in self._batches)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        self._waiting.append(row)
        if len(self._waiting) == BATCH:
            self._flush()

    def dataset(self) -> Dataset:
        """All rows taken so far, in order; a column whose type changes on the way is kept as JSON text."""
        self._flush()
        if not self._batches:
            return _dataset(pa.table({c: pa.array([], pa.string()) for c in self.columns}))
        return _dataset(_settled(_together(self._batches)))

    def _flush(self) -> None:
        if self._waiting:
            self._batches.append(_arrow(self._waiting, self.columns))
            self._waiting = []


def joined(parts: Sequence[Dataset]) -> Dataset:
    """The rows of all parts in one table; a column that only some have is null elsewhere, one of clashing types is JSON text."""
    return _dataset(_together([_table_of(part) for part in parts]))


def removed_table(pages: Dataset, rows: Sequence[int], step: str, reasons: Sequence[str], details: Sequence[str]) -> Dataset:
    """The pages at `rows`, with why each went: the shape that every step's `removed` has."""
    why = {"step": [step] * len(rows), "reason": list(reasons), "detail": list(details)}
    return with_columns(pages.select(list(rows)), {name: pa.array(values, pa.string()) for name, values in why.items()})


def word_counts(pages: Dataset) -> pd.DataFrame:
    """One row a page: `id` and `words`, by white space."""
    import pandas as pd

    return pd.DataFrame({"id": list(pages["id"]), "words": [len(text.split()) for text in pages["text"]]})


def token_counts(texts: Iterable[str], tokenizer: str = "") -> NDArray[np.int64]:
    """How many tokens each text has.

    Parameters
    ----------
    texts : texts in any number
    tokenizer : str
        A folder or hub id as `transformers.AutoTokenizer` takes it; empty counts UTF-8 bytes. Special tokens are not counted, and one
        that a text spells counts as its letters do.

    Raises
    ------
    InputError
        If the tokenizer can't be loaded.
    """
    if not tokenizer:
        return np.fromiter((len(text.encode("utf-8", "surrogatepass")) for text in texts), np.int64)
    encode = open_tokenizer(tokenizer)
    counts: list[int] = []
    waiting = iter(texts)
    while batch := list(islice(waiting, BATCH)):
        counts += map(len, ids_of(batch, encode))
    return np.array(counts, np.int64)


def account(earlier: Sequence[Dataset], pages: Dataset, removed: Dataset) -> tuple[Dataset, Dataset]:
    """The pages that are left, and everything that was removed on the way, in one table each.

    Raises
    ------
    ValueError
        If a page stands in both: some step has lost count.
    """
    gone = joined([*earlier, removed])
    both = set(pages["id"]) & set(gone["id"])
    if both:
        raise ValueError(f"{len(both)} pages are both kept and removed, {min(both)} among them")
    return pages, gone


def owned(pages: Dataset, names: Iterable[str]) -> Dataset:
    """The pages, their columns of these names renamed to `own_NAME`: the user's, of which a step is about to add its own."""
    present = [name for name in names if name in pages.column_names]
    return pages.rename_columns({name: own_name(name, pages.column_names) for name in present}) if present else pages


def own_name(name: str, taken: Container[str]) -> str:
    """The name under which a user's column stays whose name is one of ours."""
    own = f"own_{name}"
    return own if own not in taken else own_name(own, taken)


def with_columns(pages: Dataset, columns: Mapping[str, pa.Array]) -> Dataset:
    """The pages with columns added, or replaced where they have one of that name."""
    arrow = _table_of(pages)
    for name, values in columns.items():
        at = arrow.schema.get_field_index(name)
        arrow = arrow.append_column(name, values) if at < 0 else arrow.set_column(at, name, values)
    return _dataset(arrow)


def _dataset(arrow: pa.Table) -> Dataset:
    """A Dataset of a table, under a name drawn at random: `datasets` would else read all the text to find one, and can't beyond 2 GiB."""
    from datasets import Dataset
    from datasets.fingerprint import generate_random_fingerprint

    return Dataset(arrow, fingerprint=generate_random_fingerprint())


def _table_of(pages: Dataset) -> pa.Table:
    """The rows of a Dataset as they stand, its selection applied."""
    arrow = pages.data.table
    if pages._indices is None:
        return arrow
    if arrow.nbytes <= TAKEN_AT_ONCE:
        return arrow.take(pages._indices.column(0))
    return pa.concat_tables([rows.combine_chunks() for rows in pages.with_format("arrow").iter(BATCH)])


def _together(batches: Sequence[pa.Table]) -> pa.Table:
    try:
        return pa.concat_tables(batches, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        clashing = _clashing(batches)
        return pa.concat_tables([_as_json(b, clashing) for b in batches], promote_options="permissive")


def _arrow(batch: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pa.Table:
    try:
        return _rows_as_table(batch, columns)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON may escape and Arrow can't hold
        return _rows_as_table([_without_surrogates(row) for row in batch], columns)


def _without_surrogates(value: Any) -> Any:
    """The value with "?" for each half of a surrogate pair, at any depth."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return [_without_surrogates(item) for item in value] if isinstance(value, list | tuple) else value


def _rows_as_table(batch: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pa.Table:
    names = list(dict.fromkeys([*columns, *(key for row in batch for key in row)]))
    return pa.table({name: _column([row.get(name) for row in batch], text=name in columns) for name in names})


def _column(values: list[Any], *, text: bool) -> pa.Array:
    if text:
        return pa.array(values, pa.string())
    try:
        found = pa.array(values)
        inner = found.type.value_type if pa.types.is_list(found.type) else found.type
        if not pa.types.is_nested(inner):
            return found
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    return pa.array([None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values], pa.string())


def _clashing(batches: Sequence[pa.Table]) -> set[str]:
    kinds: dict[str, set[str]] = {}
    for batch in batches:
        for field in batch.schema:
            if not _says_nothing(field.type):
                kinds.setdefault(field.name, set()).add(str(field.type))
    return {name for name, types in kinds.items() if len(types) > 1}


def _says_nothing(kind: pa.DataType) -> bool:
    """Whether a column holds nothing that has a type: nulls, or lists that are empty. What comes later may have one."""
    return bool(pa.types.is_null(kind.value_type if pa.types.is_list(kind) else kind))


def _settled(table: pa.Table) -> pa.Table:
    """Columns that never held anything, as text."""
    for at, field in enumerate(table.schema):
        if _says_nothing(field.type):
            kind = pa.list_(pa.string()) if pa.types.is_list(field.type) else pa.string()
            table = table.set_column(at, field.name, table.column(at).cast(kind))
    return table


def _as_json(batch: pa.Table, names: set[str]) -> pa.Table:
    for position, field in enumerate(batch.schema):
        if field.name in names and not pa.types.is_string(field.type):
            values = [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in batch.column(position).to_pylist()]
            batch = batch.set_column(position, field.name, pa.array(values, pa.string()))
    return batch
