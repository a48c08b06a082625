"""How is an artifact kept on disk, so that it is either whole or not there?

Every writer writes to the path it is given, which is a name aside; the caller renames.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hare_lab.report_base import Report, plain
from hare_lab.run.reports import decode, encode
from hare_lab.whole_files import write_text

LAYOUT = 1  # of the files below; counts in every key, so that a change here makes artifacts anew


def kind_of(value: Any) -> tuple[str, str]:
    """How a value is stored: its kind and the file's suffix."""
    name = type(value).__name__
    if name == "Dataset":
        return "dataset", ".arrow"
    if isinstance(value, np.ndarray):
        return "array", ".npy"
    if name == "DataFrame":
        return "table", ".parquet"
    return ("report", ".json") if isinstance(value, Report) else ("json", ".json")


def size_of(value: Any) -> str:
    if hasattr(value, "shape"):
        return " x ".join(f"{n:,}" for n in value.shape)
    return f"{len(value):,} entries" if hasattr(value, "__len__") else "1 record"


def _save_array(value: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, value, allow_pickle=False)


def _save_dataset(value: Any, path: Path) -> None:
    """One Arrow stream, which `Dataset.from_file` maps into memory; unlike `save_to_disk` it holds a set of no rows too."""
    import pyarrow as pa

    schema = value.features.arrow_schema
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for rows in value.with_format("arrow").iter(1_000):  # never all at once: Arrow can't take rows out of more than 2 GiB of text
            stream.write_table(rows.cast(schema).combine_chunks())


def _load_dataset(path: Path) -> Any:
    from datasets import Dataset

    return Dataset.from_file(str(path))


def _load_table(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


WRITERS: dict[str, Callable[[Any, Path], Any]] = {
    "dataset": _save_dataset,
    "array": _save_array,
    "table": lambda value, path: value.to_parquet(path, index=False),
    "report": lambda value, path: path.write_text(json.dumps(encode(value), ensure_ascii=False, indent=1), encoding="utf-8"),
    "json": lambda value, path: path.write_text(json.dumps(plain(value), ensure_ascii=False, indent=1), encoding="utf-8"),
}
READERS: dict[str, Callable[[Path], Any]] = {
    "dataset": _load_dataset,
    "array": lambda path: np.load(path, mmap_mode="r", allow_pickle=False),
    "table": _load_table,
    "report": lambda path: decode(json.loads(path.read_text(encoding="utf-8"))),
    "json": lambda path: json.loads(path.read_text(encoding="utf-8")),
}


def content_hash(path: Path) -> str:
    """A hash of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> Path:
    return write_text(path, json.dumps(plain(value), ensure_ascii=False, indent=2, sort_keys=False) + "\n")


def remove(path: Path) -> None:
    """Delete a file that may not be there."""
    path.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Delete what a failed write left; where even that fails (a read-only disk), the failure itself is what to tell."""
    with contextlib.suppress(OSError):
        remove(path)
