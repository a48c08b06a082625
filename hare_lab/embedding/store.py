"""A vector for every text ever embedded with these settings: shards on disk, only ever added to.

A shard is one file of two `.npy` records: an index (the text's 128-bit hash, a checksum, whether the text was cut) and the
vectors. It is written aside, flushed to disk and renamed, so a reader sees a whole shard or none, and a kill loses at most
the shard in the making. Names are unique, so any number of processes may write at once without a lock; a text that two of
them embedded stands twice, which harms nobody. Every row carries its own checksum: a damaged row counts as absent and is
embedded again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError
from hare_lab.whole_files import written

log = logging.getLogger(__name__)

INDEX = np.dtype([("key", "<u8", (2,)), ("check", "<u8"), ("cut", "?")])
STALE = 24 * 3600  # seconds after which a part that nobody finished is the litter of a kill


def cache_folder() -> Path:
    """Where vectors and exported models are kept: HARE_LAB_CACHE, else `~/.cache/hare-lab`; shared by all runs."""
    return Path(os.environ.get("HARE_LAB_CACHE") or Path.home() / ".cache" / "hare-lab")


def text_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """The 128-bit BLAKE2b hash of each text, as an array of shape (n, 2)."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def open_store(root: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """The folder of the vectors that these settings make, created where it is new; `key.json` in it says what they are.

    Raises
    ------
    InputError
        If the folder can't be written.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    folder = root / f"{_slug(name)}-{digest}"
    if not (folder / "key.json").exists():
        write_small(folder / "key.json", json.dumps(settings, indent=1, sort_keys=True).encode())
    _sweep(folder)
    return folder


@dataclass(frozen=True)
class Found:
    """What the store holds of the wanted texts: `rows` of the question, their vectors, and whether each text was cut."""

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    cut: NDArray[np.bool_]


def find(folder: Path, keys: NDArray[np.uint64]) -> Found:
    """Look texts up by their keys, which must be distinct.

    Only the indexes of the shards are read, then the rows that are wanted. A shard that can't be read and a row whose
    checksum fails are passed over with a logged sentence.
    """
    order = np.argsort(keys[:, 0], kind="stable")
    first, second = keys[order, 0], keys[order, 1]
    absent = np.ones(len(keys), dtype=bool)
    parts: list[Found] = []
    for path in sorted(folder.glob("*.shard")):
        if not absent.any():
            break
        shard = _open(path)
        if shard is None:
            continue
        index, vectors = shard
        place = np.minimum(np.searchsorted(first, index["key"][:, 0]), len(keys) - 1)
        hit = (first[place] == index["key"][:, 0]) & (second[place] == index["key"][:, 1])
        hit[hit] = absent[order[place[hit]]]
        where = np.flatnonzero(hit)
        taken = np.asarray(vectors[where])
        whole = _checks(index["key"][where], index["cut"][where], taken) == index["check"][where]
        if not whole.all():
            log.warning("vector store: %d damaged rows of %s are passed over; their texts are embedded again", (~whole).sum(), path.name)
            where, taken = where[whole], taken[whole]
        rows = order[place[where]]
        absent[rows] = False
        parts.append(Found(rows, taken, index["cut"][where]))
    return _joined([part for part in parts if len(part.rows)])


def append(folder: Path, keys: NDArray[np.uint64], vectors: NDArray[np.float32], cut: NDArray[np.bool_]) -> Path:
    """Add one shard.

    Raises
    ------
    InputError
        If the disk is full or the folder can't be written; the shards before this one stay.
    """
    index = np.empty(len(keys), dtype=INDEX)
    index["key"], index["cut"] = keys, cut
    vectors = np.ascontiguousarray(vectors, dtype="<f4")
    index["check"] = _checks(keys, cut, vectors)
    # Time first, so that a listing is in order of age; the random part keeps two processes apart.
    path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.shard"
    try:
        with written(path) as file:
            np.save(file, index, allow_pickle=False)
            np.save(file, vectors, allow_pickle=False)
    except OSError as error:
        raise cache_error(folder, error) from error
    return path


def write_small(path: Path, content: bytes) -> None:
    """Write a small file of the cache.

    Raises
    ------
    InputError
        If it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as file:
            file.write(content)
    except OSError as error:
        raise cache_error(path.parent, error) from error


def _open(path: Path) -> tuple[NDArray[Any], NDArray[np.float32]] | None:
    """The index and the memory-mapped vectors of a shard; None, and a logged sentence, where the file is not whole."""
    try:
        with path.open("rb") as file:
            index = np.lib.format.read_array(file, allow_pickle=False)
            np.lib.format.read_magic(file)
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        if index.dtype != INDEX or kind != np.dtype("<f4") or len(shape) != 2 or shape[0] != len(index):
            raise ValueError("not a shard")
        return index, np.memmap(path, dtype=kind, mode="r", offset=offset, shape=shape)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:  # a damaged header may ask for anything
        log.warning("vector store: shard %s is damaged and passed over (%s); its texts are embedded again", path.name, error)
        return None


def _checks(keys: NDArray[np.uint64], cut: NDArray[np.bool_], vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One checksum a row, over key, flag and vector: the wrap-around sum of its words, each weighed by an odd number of its own.

    Any one changed word shows for certain, any other damage all but certainly; and it costs no more than reading the row.
    """
    words = vectors.view("<u4")
    weights = (np.arange(words.shape[1], dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
    mixed: NDArray[np.uint64] = words @ weights
    return mixed + keys[:, 0] + np.uint64(3) * keys[:, 1] + cut


def _joined(parts: list[Found]) -> Found:
    if not parts:
        return Found(np.empty(0, np.int64), np.empty((0, 0), np.float32), np.empty(0, bool))
    width = parts[-1].vectors.shape[1]
    parts = [part for part in parts if part.vectors.shape[1] == width]  # a stranger's shard of another width is no hit
    return Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "vectors", "cut")))


def _sweep(folder: Path) -> None:
    """Remove the parts that killed processes left behind, once they are too old to belong to a live one."""
    for part in folder.glob("*.part"):
        try:
            if time.time() - part.stat().st_mtime > STALE:
                part.unlink(missing_ok=True)
        except OSError:
            continue


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name.rstrip("/").split("/")[-1])[:60].strip(".-") or "model"


def cache_error(folder: Path, error: OSError) -> InputError:
    """Why the cache could not be written, as a sentence for a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"the disk is full at {folder}; free some space or point HARE_LAB_CACHE elsewhere (what is stored stays)")
    return InputError(f"{folder} can't be written ({error.strerror or error}); point HARE_LAB_CACHE to a folder that can")
