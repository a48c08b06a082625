"""What may be answered to a benchmark's question: the choices of a row, however its file holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CHOICES = ("choices", "options", "endings")


def choices_of(row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The choices of a row under the first of the names in `CHOICES` that holds any, and their labels; both empty where there are none.

    They are read from a list, a list as JSON text, or the hub's {"text": [...], "label": [...]}, which `corpus.load` keeps as JSON text.
    """
    told: list[Any] = [row.get(name) for name in CHOICES]
    lists = (value.tolist() if hasattr(value, "tolist") else value for value in told)  # pandas reads lists as arrays
    found: Any = next((value for value in lists if value), None)
    if isinstance(found, str) and found.lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(found)
        except ValueError:
            found = None
    if isinstance(found, Mapping):
        texts = [str(text) for text in found.get("text") or ()]
        labels = [str(label) for label in found.get("label") or ()]
        return tuple(texts), tuple(labels) if len(labels) == len(texts) else ()
    if not isinstance(found, list | tuple):
        return (), ()
    return tuple(str(choice.get("text", choice) if isinstance(choice, Mapping) else choice).strip() for choice in found), ()
