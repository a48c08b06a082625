"""JSON lines, plain or gzipped, one object a line; whoever reads a person's file reads it here, so that a fault is told one way."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hare_lab.errors import InputError


def numbered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with the numbers of their lines, from 1; blank lines and a byte-order mark are passed over.

    Raises
    ------
    InputError
        If the file is missing or can't be read as text, or a line is no JSON object; names file and line.
    """
    if not path.is_file():
        raise InputError(f"no file {path}; give a JSON-lines file")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:  # or a number of thousands of digits
                    raise InputError(f"{path} line {number}: not valid JSON ({fault(error)}); mend or remove the line") from error
                if not isinstance(row, dict):
                    raise InputError(f"{path} line {number}: not a JSON object; write one object a line")
                yield number, row
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: can't be read as text ({error}); give a JSON-lines file in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}); give a JSON-lines file") from error


def fault(error: Exception) -> str:
    """What `json.loads` found wrong with a line, and where."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at column {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
