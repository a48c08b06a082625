"""A file is whole or not there: written aside, flushed to disk, renamed; whoever writes a file that others read writes it here."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hare_lab.errors import InputError


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path` at the end of the block: a reader sees the old file or the new, never half of it.

    Raises
    ------
    OSError
        If it can't be written; what stood at `path` stays, and nothing is left beside it.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")  # of its own, whoever else writes the same file now
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        with contextlib.suppress(OSError):  # on a read-only disk this fails as the writing did
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text in UTF-8, whole or not at all.

    Raises
    ------
    InputError
        If it can't be written.
    """
    try:
        with written(path) as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror or error}); free some space or choose another folder") from error
    return path
