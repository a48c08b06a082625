"""How a tokenizer is opened, and how it reads text that anyone may have written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def open_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id.

    Raises
    ------
    InputError
        If there is none.
    """
    from transformers import AutoTokenizer

    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(name))
    except (OSError, ValueError) as error:
        raise InputError(f'tokenizer "{name}" can\'t be loaded; give the folder of one, a hub id with a network, or none') from error
    return found


def ids_of(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of each text, none of them a sign: `</s>` in a page is four letters, not the end of it, and no page can forge one."""
    asked: dict[str, Any] = {"add_special_tokens": False, "verbose": False}
    try:
        ids: list[list[int]] = tokenizer(list(texts), **asked, split_special_tokens=True)["input_ids"]
    except ValueError:  # mistral-common's never reads a sign in a text, and refuses to be told so
        ids = tokenizer(list(texts), **asked)["input_ids"]
    return ids
