"""Rows of files: which files a name means, what is in them, and what is wrong with them.

A file is read by its suffix and checked against its first bytes, because a crawl's `.jsonl.gz` is now and then an error
page in disguise. A line that can't be decoded or parsed is passed on with its problem, so that the loader sets it aside.
"""

from __future__ import annotations

import codecs
import csv
import glob
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hare_lab.corpus.compressed import COMPRESSED, open_plain
from hare_lab.errors import InputError
from hare_lab.json_lines import fault

Row = tuple[str, dict[str, Any]]
PROBLEM = "__problem__"  # the field under which a row carries what is wrong with it


class Problem(NamedTuple):
    """Why a row can't be used, in a word and in a sentence. A class of its own, so that no field of a user's passes for one."""

    reason: str
    sentence: str


SAVED_BESIDE = frozenset({"dataset_dict.json", "dataset_info.json", "state.json"})  # what `save_to_disk` writes beside the rows


def expand(name: str) -> list[Path]:
    """The files that a path, a folder or a glob means, in name order.

    Raises
    ------
    InputError
        If there is none of a known kind.
    """
    path = Path(name)
    known = ", ".join(sorted(READERS))
    if not name:
        raise InputError("the corpus has an empty name; give a path, a glob, `hf:owner/name`, `-` for standard input, or `demo`")
    if len(path.name.encode("utf-8", "replace")) > 255:  # a name that is not UTF-8 counts a byte for each that is not
        raise InputError(f"no file or folder {name[:40]}...; its name is longer than a file's can be")
    if path.is_file():
        return [path]
    if path.is_dir():
        if _is_saved(path):
            return _parts(path)
        inside = [p for p in path.rglob("*") if p.is_file() and _kind(p) and p.name not in SAVED_BESIDE]
        parts = {folder: set(_parts(folder)) for folder in {p.parent for p in inside} if _is_saved(folder)}
        inside = [p for p in inside if p.suffix != ".arrow" or p in parts.get(p.parent, {p})]
        found = sorted(p for p in inside if not any(q.startswith(".") for q in p.relative_to(path).parts))
        if not found:
            raise InputError(f"folder {name} holds no file of a known kind ({known}, each also .gz, .bz2, .xz or .zst)")
        return found
    if glob.has_magic(name):
        found = sorted(p for p in map(Path, glob.glob(name, recursive=True)) if p.is_file())  # noqa: PTH207 (takes absolute patterns)
        if not found:
            raise InputError(f"no file matches {name}; check the pattern (it is looked up from {Path.cwd()})")
        return found
    raise InputError(f"no file or folder {name}; give a path, a glob, `hf:owner/name`, `-` for standard input, or `demo`")


def _is_saved(folder: Path) -> bool:
    """Whether a Hugging Face dataset was saved there."""
    return (folder / "dataset_info.json").exists() or (folder / "state.json").exists()


def _parts(folder: Path) -> list[Path]:
    """The files that hold a saved dataset's rows, in order: beside them `datasets` keeps what `map` and `filter` made of them."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        parts = [folder / Path(part["filename"]).name for part in state["_data_files"]]
    except (OSError, ValueError, LookupError, TypeError):  # of another version of theirs, or none
        return sorted(p for p in folder.glob("*.arrow") if not p.name.startswith("cache-"))
    for part in parts:
        if not part.is_file():
            raise InputError(f"{folder / 'state.json'} names {part.name}, which is not there; copy the dataset again, with all its files")
    return parts


def read_file(path: Path, name: str) -> Iterator[Row]:
    """The rows of one file; each comes with where it stands, as "name line 3".

    Raises
    ------
    InputError
        If the kind is unknown, or the content is not what the name says.
    """
    kind = _kind(path)
    if not kind:
        raise InputError(f"{path}: unknown kind of file; known are {', '.join(sorted(READERS))}, each also .gz, .bz2, .xz or .zst")
    try:
        yield from READERS[kind](path, name)
    except InputError:
        raise
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, zlib.error) as error:
        what = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: can't be read ({what}); is it damaged, or not what its name says?") from error


def read_stdin() -> Iterator[Row]:
    """Standard input: JSON lines where the first line is a JSON object, else one plain text."""
    if sys.stdin is None:
        raise InputError("standard input is closed; pipe a text or JSON lines into it, or give a path")
    yield from _lines_or_text(sys.stdin.buffer.read().splitlines(keepends=True), "stdin")


def _lines_or_text(lines: list[bytes], name: str) -> Iterator[Row]:
    lines = [line.removeprefix(codecs.BOM_UTF8) for line in lines[:1]] + lines[1:]
    first = next((line for line in lines if line.strip()), b"")
    if first.lstrip().startswith(b"{"):
        yield from _json_rows(lines, name, name)
    else:
        yield f"{name} row 0", _decoded(b"".join(lines), f"{name} row 0")


def _kind(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in READERS else ""


def _read_lines(path: Path) -> Iterator[bytes]:
    with open_plain(path) as raw:
        yield from raw


def _decoded(raw: bytes, where: str) -> dict[str, Any]:
    """Bytes as a text row; where they are not UTF-8, the row says so and keeps what can be read."""
    try:
        return {"text": raw.decode("utf-8-sig")}
    except UnicodeDecodeError as error:
        problem = Problem("invalid UTF-8", f"{where}: byte {error.start} is not UTF-8; convert the file to UTF-8")
        return {"text": raw.decode("utf-8", "replace"), PROBLEM: problem}


def _jsonl(path: Path, name: str) -> Iterator[Row]:
    return _json_rows(_read_lines(path), name, str(path))


def _json_rows(lines: Iterable[bytes], name: str, path: str) -> Iterator[Row]:
    read = broken = 0
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        where = f"{name} line {number}"
        read += 1
        row = _decoded(raw, where)
        if PROBLEM not in row:
            try:
                value = json.loads(row["text"])
                row = value if isinstance(value, dict) else {**row, PROBLEM: Problem("not a JSON object", f"{where}: not a JSON object")}
            except (ValueError, RecursionError) as error:  # ValueError: not JSON, or a number of more than 4,300 digits
                row[PROBLEM] = Problem("not JSON", f"{where}: not valid JSON ({fault(error)})")
        broken += isinstance(row.get(PROBLEM), Problem)
        if broken == read == 20:
            raise InputError(f"{path}: none of its first 20 lines is a JSON object; is it JSON lines?")
        yield where, row


def _json(path: Path, name: str) -> Iterator[Row]:
    """A `.json` file: one array of objects, or JSON lines under the wrong name."""
    with open_plain(path) as file:
        raw = file.read()
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if raw.lstrip()[:1] != b"[":
        yield from _json_rows(raw.splitlines(keepends=True), name, str(path))
        return
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); mend it, or write one object a line and call it .jsonl") from error
    for number, value in enumerate(values):
        yield f"{name} row {number}", dict(value) if isinstance(value, dict) else {"text": value}


def _parquet(path: Path, name: str) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(_buffer(path) or path).iter_batches(batch_size=1024)
        yield from _arrow_rows(batches, name)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file ({str(error).splitlines()[0]}); is it what its name says?") from error


def _arrow(path: Path, name: str) -> Iterator[Row]:
    import pyarrow as pa

    source = _buffer(path) or pa.memory_map(str(path))
    try:
        try:
            reader: Any = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            opened = pa.ipc.open_file(source)
            reader = (opened.get_batch(i) for i in range(opened.num_record_batches))
        yield from _arrow_rows(reader, name)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not an Arrow file ({str(error).splitlines()[0]}); is it what its name says?") from error


def _buffer(path: Path) -> Any:
    """What a compressed file holds; None for a plain one, which is read where it lies."""
    import pyarrow as pa

    if path.suffix.lower() not in COMPRESSED:
        return None
    with open_plain(path) as file:
        return pa.BufferReader(file.read())


def _arrow_rows(batches: Iterable[Any], name: str) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            yield f"{name} row {number}", row
            number += 1


def _csv(path: Path, name: str) -> Iterator[Row]:
    csv.field_size_limit(1 << 30)  # a page of 20 MB is a page
    delimiter = "\t" if _kind(path) == ".tsv" else ","
    lines = (raw.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape") for number, raw in enumerate(_read_lines(path)))
    rows = csv.DictReader(lines, restkey=BEYOND, delimiter=delimiter, strict=True)
    try:
        columns = list(rows.fieldnames or ())
        twice = next((column for column in columns if columns.count(column) > 1), None)
        if twice is not None:
            raise InputError(f'{path} line 1: two columns are called "{twice}"; rename one of them')
        for row in rows:
            where = f"{name} line {rows.line_num}"
            yield where, _checked(where, row, delimiter)
    except csv.Error as error:
        raise InputError(f"{path} line {rows.line_num}: not a well-formed CSV file ({error}); check its quotes") from error


def _checked(where: str, row: dict[str, Any], delimiter: str) -> dict[str, Any]:
    """A row of a CSV file, with its problem where it has more fields than the header or bytes that are not UTF-8."""
    if beyond := row.pop(BEYOND, None):
        sentence = f'{where}: {len(beyond)} more fields than the header names; put texts that hold a "{delimiter}" in quotes'
        row[UNNAMED if UNNAMED not in row else f"own_{UNNAMED}"] = beyond
        row[PROBLEM] = Problem("too many fields", sentence)
    for key, value in row.items():
        if isinstance(value, str) and not value.isascii() and any("\udc80" <= character <= "\udcff" for character in value):
            row[key] = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            row[PROBLEM] = Problem("invalid UTF-8", f'{where}: column "{key}" is not UTF-8; convert the file to UTF-8')
            break
    return row


def _text(path: Path, name: str) -> Iterator[Row]:
    with open_plain(path) as file:
        raw = file.read()
    where = f"{name} row 0"
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    row = {"text": raw.decode("utf-16", "replace")} if wide else _decoded(raw, where)
    if "\x00" in row["text"][:4096]:
        row = {"text": "", PROBLEM: Problem("binary data", f"{where}: its name says plain text, but it holds binary data")}
    yield where, row


def _html(path: Path, name: str) -> Iterator[Row]:
    """The main text of a web page: what is left when menus, adverts and comments are gone."""
    import trafilatura

    with open_plain(path) as file:
        raw = file.read()
    where = f"{name} row 0"
    if b"<" not in raw:
        words = Problem("no HTML", f"{where}: its name says HTML, but it holds no tag")
        yield where, {"text": "", **({PROBLEM: words} if raw.strip() else {})}
        return
    document = trafilatura.bare_extraction(raw, include_comments=False, with_metadata=True)
    found = document.as_dict() if document else {}
    if not found.get("text"):
        yield where, {"text": "", PROBLEM: Problem("no main text", f"{where}: no main text found in the HTML")}
        return
    yield where, {"text": found["text"], "title": found.get("title") or "", "url": found.get("url") or ""}


READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".parquet": _parquet, ".arrow": _arrow, ".feather": _arrow,
    ".csv": _csv, ".tsv": _csv, ".txt": _text, ".md": _text, ".html": _html, ".htm": _html,
}  # fmt: skip
UNNAMED = "unnamed"  # the column that holds what a CSV row has beyond its header's names
BEYOND: Any = object()  # the same while the row is read: no header can be called so
