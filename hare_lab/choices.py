"""What a benchmark's row asks, and what may be answered: a question's names, and its choices, however a file holds them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

PASSAGE = ("passage", "context", "article", "paragraph", "story")
QUESTION = ("question", "text", "prompt", "query", "problem", "goal", "sentence", "stem", "ctx", "question_stem", "instruction", "input",
            *PASSAGE)  # fmt: skip
CHOICES = ("choices", "options", "endings")
NUMBERS, LETTERS = "0123456789", "abcdefghij"
APART = (("option", NUMBERS), ("option_", NUMBERS), ("option", LETTERS), ("option_", LETTERS), ("choice", NUMBERS), ("choice_", NUMBERS),
         ("choice", LETTERS), ("choice_", LETTERS), ("ending", NUMBERS), ("sol", NUMBERS), ("answer", LETTERS), ("op", LETTERS),
         ("", LETTERS))  # fmt: skip
"""How the columns are called that hold a choice each: what they begin with, and what tells them apart (`option1`, `opa`, `A`)."""


def choices_of(row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The choices of a row under the first of the names in `CHOICES` that holds any, and their labels; both empty where there are none.

    They are read from a list, a list as JSON text, {"A": ..., "B": ...}, the hub's {"text": [...], "label": [...]}, which `corpus.load`
    keeps as JSON text, or, where no such column is, from columns of one choice each (`APART`, names in lower case).
    """
    told: list[Any] = [row.get(name) for name in CHOICES]
    found: Any = next((value for value in map(plain, told) if value), None)
    if found is None:
        return _apart(row)
    if isinstance(found, str) and found.lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(found)
        except ValueError:
            found = None
    if isinstance(found, Mapping):
        if isinstance(plain(found.get("text")), list | tuple):
            texts = [str(text) for text in plain(found["text"])]
            labels = [str(label) for label in plain(found.get("label")) or ()]
        else:  # a letter to each
            labels = [str(label).strip() for label, text in found.items() if isinstance(text, str | int | float)]
            texts = [str(text).strip() for text in found.values() if isinstance(text, str | int | float)]
        return tuple(texts), tuple(labels) if len(labels) == len(texts) else ()
    if not isinstance(found, list | tuple):
        return (), ()
    labels = [str(choice["label"]) for choice in found if isinstance(choice, Mapping) and "text" in choice and "label" in choice]
    texts = [str(choice.get("text", choice) if isinstance(choice, Mapping) else choice).strip() for choice in found]
    return tuple(texts), tuple(labels) if len(labels) == len(texts) else ()


def with_choices(question: str, choices: Iterable[str]) -> str:
    """The question as it is asked: its choices under it, one a line."""
    return "\n".join([question, *choices])


def plain(value: Any) -> Any:
    """A value as JSON has it: pandas reads lists as arrays."""
    return value.tolist() if hasattr(value, "tolist") else value


def _apart(row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The choices that stand in columns of their own, at least two, and what tells the columns apart, which an answer may name.

    `sol1` and `ending0` are counted from 0 by their benchmarks (PIQA, SWAG), whatever their columns say.
    """
    for begin, marks in APART:
        if not any(begin + mark in row for mark in marks[:2]):
            continue
        held = {mark: row[begin + mark] for mark in marks if isinstance(row.get(begin + mark), str | int | float)}
        texts = {mark: str(text).strip() for mark, text in held.items() if str(text).strip()}
        if len(texts) > 1:
            return tuple(texts.values()), () if begin in ("sol", "ending") else tuple(mark.upper() for mark in texts)
    return (), ()
