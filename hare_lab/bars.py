"""A progress bar where a person looks on: in a notebook, or where standard error is a terminal; a log or a file gets none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def bar(rows: Iterable[Any] | None = None, *, told: str, unit: str, total: int | None = None, delay: float = 3, leave: bool = False) -> Any:
    """A bar of tqdm over `rows`, or one to update by hand, that shows after `delay` seconds and goes when it is done unless `leave`."""
    from tqdm.auto import tqdm

    # tqdm can't be asked (`disable=None`): a notebook's output is no terminal to it, and its bar for notebooks does not heed TQDM_DISABLE
    seen = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__) or (sys.stderr is not None and sys.stderr.isatty())
    hidden = not seen or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(rows, desc=told, unit=f" {unit}", total=total, delay=delay, leave=leave, disable=hidden)


@contextmanager
def no_bars() -> Iterator[None]:
    """Processes that are started within show none."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        os.environ.pop("TQDM_DISABLE") if before is None else os.environ.update(TQDM_DISABLE=before)
