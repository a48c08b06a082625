"""What does a row of a benchmark ask, what may be answered, and what is right?

Each benchmark names its fields its own way. The first of the known names that holds text is taken, in capitals or not; a passage that
the question is about stands before it; a letter or a number for an answer is looked up among the choices; labels such as "Question:"
that stand in no leaked copy are cut.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hare_lab.choices import PASSAGE, QUESTION, choices_of, plain

ANSWER = ("answer", "gold", "answerkey", "label", "target", "cop", "answers", "best_answer", "correct_answer", "output", "solution",
          "response")  # fmt: skip
CLASSES = ("gold", "answerkey", "label", "target", "cop")  # a number here is the place of a choice or of a class, never the answer itself
JUDGED = ("mc1_targets", "mc2_targets")  # TruthfulQA's choices, each marked right (1) or wrong (0)
_LEAD = re.compile(r"^\s*(?:question|q|passage|context|problem)\s*:\s*", re.IGNORECASE)
_TAIL = re.compile(r"\s*\b(?:answer|a)\s*:\s*$", re.IGNORECASE)
_LISTED = re.compile(r"\n?\s*choices:\s*(?=\(?A[.)])", re.IGNORECASE)
_LETTER = re.compile(r"(?:^|\n)\s*\(?[A-H][.)]\s+")
_MARK = re.compile(r"\(?([A-J])[.)]?")


class Asked(NamedTuple):
    """A row as it was read, the answer still as the row says it: a text, the place of a choice, or its label."""

    question: str
    choices: tuple[str, ...]
    labels: tuple[str, ...]
    answer: str | int | None


def lowered(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their names in lower case, "Best Answer" as `best_answer`; those of a nested question (CommonsenseQA) beside them."""
    fields = {str(name): value for name, value in row.items()}
    fields = {**{name.strip().lower().replace(" ", "_"): value for name, value in fields.items()}, **fields}
    nested = fields.get("question")
    return {**fields, "question": None, **lowered(nested)} if isinstance(nested, Mapping) else fields


def read(row: Mapping[str, Any]) -> Asked:
    """Question, choices and answer of a row of any known shape, its names in lower case; labels cut."""
    name = next((name for name in QUESTION if _text(row, name)), "")
    question = _text(row, name)
    judged = _judged(row)
    choices, labels = (tuple(judged), ()) if judged else choices_of(row)
    listed = _LISTED.search(question)
    if listed and (not choices or all(len(choice) == 1 for choice in choices)):  # the options stand inside the text
        options = [part.strip() for part in _LETTER.split("\n" + _TAIL.sub("", question[listed.end() :]))]
        question, choices, labels = question[: listed.start()], tuple(part for part in options if part), ()
    question = _TAIL.sub("", _LEAD.sub("", question)).strip()
    if name == "instruction":  # Alpaca's task, and what it is to be done with
        question = f"{question}\n{_text(row, 'input')}".strip()
    passage = "" if name in PASSAGE else next((_text(row, name) for name in PASSAGE if _text(row, name)), "")
    if passage and passage not in question:
        question = f"{_LEAD.sub('', passage)}\n{question}".strip()
    right = next((choice for choice, mark in judged.items() if mark == 1), None)
    return Asked(question, choices, labels, right or _said_right(row, choices))


def _judged(row: Mapping[str, Any]) -> dict[str, Any]:
    """TruthfulQA's choices and whether each is right, from {choice: 0 or 1} or from the hub's lists of both; empty where there are none."""
    found: Mapping[str, Any] = next((row[name] for name in JUDGED if isinstance(row.get(name), Mapping)), {})
    if "choices" in found and "labels" in found:
        found = dict(zip(plain(found["choices"]), plain(found["labels"]), strict=False))
    return {str(choice).strip(): mark for choice, mark in found.items()}


def _text(row: Mapping[str, Any], name: str) -> str:
    return row[name].strip() if isinstance(row.get(name), str) else ""


def _said_right(row: Mapping[str, Any], choices: tuple[str, ...]) -> str | int | None:
    """What the first field that tells of an answer says; of several answers (SQuAD) the first."""
    for name in ANSWER:
        value = row.get(name)
        if isinstance(value, Mapping):
            value = value.get("text", value.get("value"))
        value = plain(value)
        if isinstance(value, list | tuple):
            told = (one.get("text") if isinstance(one, Mapping) else one for one in value)
            value = next((one for one in told if isinstance(one, str | int | float)), None)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, float):
            value = int(value) if value.is_integer() else value if math.isfinite(value) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and (choices or name not in CLASSES):
            if not choices or (str(value) in choices and not 0 <= value < len(choices)):
                return str(value)
            if isinstance(value, int) and 0 <= value <= len(choices):
                return value
    return None


def counted_from(asked: Iterable[tuple[str, Asked]]) -> dict[str, int]:
    """Whether a benchmark counts its choices from 0 or from 1, where its answers show it: one is 0, or one is as many as the choices."""
    first: dict[str, int] = {}
    for benchmark, one in asked:
        key = str(one.answer)
        if one.choices and key.isdecimal() and not (isinstance(one.answer, str) and key in one.choices):
            if int(key) == 0:
                first[benchmark] = 0
            elif int(key) == len(one.choices):
                first.setdefault(benchmark, 1)
    return first


def answer_of(one: Asked, first: int | None) -> str:
    """The right answer as text: a number, counted from `first` where that is known, or a letter is looked up among the choices."""
    key = "" if one.answer is None else str(one.answer)
    if not one.choices or (isinstance(one.answer, str) and key in one.choices):
        return key
    mark = _MARK.fullmatch(key)
    if key in one.labels and not (key.isdecimal() and first == 0):
        at = one.labels.index(key)
    elif key.isdecimal():
        at = int(key) - (first or 0)
    else:
        at = ord(mark[1]) - ord("A") if mark else -1
    if 0 <= at < len(one.choices):
        return one.choices[at]
    return key if isinstance(one.answer, str) else ""
