"""What a table of pages is: the columns that every step may rely on, and how rows of any shape become one.

A page has a fixed `id` (its source and its own id or row), `text`, `title` and `source`. The user's other columns stay;
where their values fit no Arrow type together they are kept as JSON text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from datasets import Dataset

PAGE_COLUMNS = ("id", "text", "title", "source")
REMOVED_COLUMNS = ("step", "reason", "detail")
BATCH = 2_000


def text_hash(text: str) -> str:
    """16 bytes of BLAKE2b over the UTF-8 text, in hexadecimal: what tells whether cleaning changed a page."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Dataset:
    """Rows as a Dataset that has at least `columns` (all text), whatever else the rows hold."""
    from datasets import Dataset

    batches = [_arrow(batch, columns) for batch in _batches(rows)]
    if not batches:
        return Dataset(pa.table({c: pa.array([], pa.string()) for c in columns}))
    try:
        joined = pa.concat_tables(batches, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column changes its type between batches
        joined = pa.concat_tables([_as_json(b, _clashing(batches)) for b in batches], promote_options="permissive")
    return Dataset(joined.combine_chunks())


def removed_table(pages: Dataset, rows: Sequence[int], step: str, reasons: Sequence[str], details: Sequence[str]) -> Dataset:
    """The pages at `rows`, with why each went: the shape that every step's `removed` has."""
    why = {"step": [step] * len(rows), "reason": list(reasons), "detail": list(details)}
    return with_columns(pages.select(list(rows)), {name: pa.array(values, pa.string()) for name, values in why.items()})


def with_columns(pages: Dataset, columns: Mapping[str, pa.Array]) -> Dataset:
    """The pages with columns added, or replaced where they have one of that name."""
    from datasets import Dataset

    indices = pages._indices.column(0) if pages._indices is not None else None
    arrow = pages.data.table if indices is None else pages.data.table.take(indices)
    for name, values in columns.items():
        at = arrow.schema.get_field_index(name)
        arrow = arrow.append_column(name, values) if at < 0 else arrow.set_column(at, name, values)
    return Dataset(arrow)


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _arrow(batch: list[Mapping[str, Any]], columns: Sequence[str]) -> pa.Table:
    names = list(dict.fromkeys([*columns, *(key for row in batch for key in row)]))
    return pa.table({name: _column([row.get(name) for row in batch], text=name in columns) for name in names})


def _column(values: list[Any], *, text: bool) -> pa.Array:
    if text:
        return pa.array(values, pa.string())
    try:
        found = pa.array(values)
        if not pa.types.is_null(found.type) and not pa.types.is_struct(found.type):
            return found
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    return pa.array([None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values], pa.string())


def _clashing(batches: Sequence[pa.Table]) -> set[str]:
    kinds: dict[str, set[str]] = {}
    for batch in batches:
        for field in batch.schema:
            kinds.setdefault(field.name, set()).add(str(field.type))
    return {name for name, types in kinds.items() if len(types) > 1}


def _as_json(batch: pa.Table, names: set[str]) -> pa.Table:
    for position, field in enumerate(batch.schema):
        if field.name in names and not pa.types.is_string(field.type):
            values = [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in batch.column(position).to_pylist()]
            batch = batch.set_column(position, field.name, pa.array(values, pa.string()))
    return batch
