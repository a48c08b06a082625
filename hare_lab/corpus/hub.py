"""Rows of a Hugging Face dataset. The only code of `corpus` that may reach the network."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hare_lab.errors import InputError

PATTERN = re.compile(r"hf:(?P<path>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))?(?:@(?P<split>[\w.\[\]:%-]+))?")
PATIENCE = 5.0  # seconds that the hub has to answer at all


def hub_rows(source: str, limit: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of `hf:owner/name[:config][@split]` (split "train" by default), streamed where a limit is given.

    Where the hub does not answer, a copy that an earlier download left on this machine is used.

    Raises
    ------
    InputError
        If the name is malformed, there is neither network nor copy, or the hub refuses.
    """
    match = PATTERN.fullmatch(source)
    if not match:
        raise InputError(f'"{source}" is not a hub dataset; write hf:owner/name, hf:owner/name:config or hf:owner/name:config@split')
    from datasets import load_dataset

    path, config, split = match["path"], match["config"], match["split"] or "train"
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # each of its retries would be a line; the error says it all
    silence = unreachable()
    try:
        with _offline(silence is not None):
            dataset = load_dataset(path, config, split=split, streaming=limit is not None)
            rows = iter(dataset)
            first = next(rows, None)
    except Exception as error:  # the hub's client raises two dozen kinds; each means that the data can't be had
        raise _unread(source, silence or _said(error)) from error
    if first is None:
        raise InputError(f"{source}: the dataset is empty")
    name = f"{path}:{config}" if config else path
    yield f"{name} row 0", dict(first)
    number = 0
    while True:
        try:
            row = next(rows, None)
        except Exception as error:  # a stream that breaks off on the way
            raise _unread(source, f"after {number + 1:,} rows, {_said(error)}") from error
        if row is None:
            return
        number += 1
        yield f"{name} row {number}", dict(row)


def _unread(source: str, what: str) -> InputError:
    return InputError(
        f"{source}: the dataset can't be read from the hub ({what}); check the name and the network, "
        "or give a local file, a folder or `demo`"
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"


def unreachable() -> str | None:
    """Why the hub can't be reached, None where it can. Asked once, for its client would retry each of its requests for 12 s."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # no address, no route, no answer, a proxy's refusal, or its own offline mode
        return f"no answer from {constants.ENDPOINT}, {type(error).__name__}"
    return None


@contextmanager
def _offline(on: bool) -> Iterator[None]:
    """The hub's client without the network: what it holds a copy of, or an error at once."""
    from datasets import config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before[0] or on, before[1] or on
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before
