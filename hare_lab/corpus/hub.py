"""Rows of a Hugging Face dataset. The only code of `corpus` that may reach the network."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from hare_lab.errors import InputError

PATTERN = re.compile(r"hf:(?P<path>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))?(?:@(?P<split>[\w.\[\]:%-]+))?")


def hub_rows(source: str, limit: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of `hf:owner/name[:config][@split]` (split "train" by default), streamed where a limit is given.

    Raises
    ------
    InputError
        If the name is malformed, there is no network, or the hub refuses.
    """
    match = PATTERN.fullmatch(source)
    if not match:
        raise InputError(f'"{source}" is not a hub dataset; write hf:owner/name, hf:owner/name:config or hf:owner/name:config@split')
    from datasets import load_dataset

    path, config, split = match["path"], match["config"], match["split"] or "train"
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # each of its retries would be a line; the error says it all
    try:
        dataset = load_dataset(path, config, split=split, streaming=limit is not None)
        rows = iter(dataset)
        first = next(rows, None)
    except Exception as error:  # the hub's client raises two dozen kinds; each means that the data can't be had
        what = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(
            f"{source}: the dataset can't be read from the hub ({type(error).__name__}: {what}); check the name and the network, "
            "or give a local file, a folder or `demo`"
        ) from error
    if first is None:
        raise InputError(f"{source}: the dataset is empty")
    name = f"{path}:{config}" if config else path
    yield f"{name} row 0", dict(first)
    for number, row in enumerate(rows, start=1):
        yield f"{name} row {number}", dict(row)
