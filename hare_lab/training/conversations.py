"""Conversations as most of the world writes them, checked row by row.

One row is `{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]}`: a `system` message
may come first, then questions and answers take turns, and an answer is last. Rows come from a JSON-lines file (also .gz), a
Dataset, or are made of the exercises that the synthesis wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hare_lab import json_lines
from hare_lab.errors import InputError

Message = Mapping[str, str]
Conversation = list[dict[str, str]]
ROLES = ("system", "user", "assistant")


def conversations(source: str | Path | Iterable[Mapping[str, Any]], *, limit: int | None = None) -> list[Conversation]:
    """The conversations of a file or Dataset, in their order.

    Parameters
    ----------
    source : JSON-lines file, or rows with a field `messages`
    limit : read at most so many

    Raises
    ------
    InputError
        If the file can't be read, a row is no conversation, there is none, or the limit is below 1; names file, line and what is wrong.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; give a number of conversations of at least 1")
    from_file = isinstance(source, str | Path)
    numbered = json_lines.numbered(Path(source)) if isinstance(source, str | Path) else enumerate(source)
    rows = ((f"{source} line {n}" if from_file else f"row {n}", row) for n, row in numbered)
    found = [_checked(row, where) for where, row in islice(rows, limit)]
    if not found:
        raise InputError(f"{source if isinstance(source, str | Path) else 'the set'} holds no conversation; write one JSON object a line")
    return found


def from_exercises(written: Iterable[Mapping[str, Any]]) -> list[Conversation]:
    """The task items (D3) among synthetic samples as conversations: the exercise is asked, its solution is the answer.

    A small set of questions and answers about the very topics that a run is about, filtered and freed of benchmark items by the
    synthesis; summaries are left out, for their pages don't stand beside them.

    Parameters
    ----------
    written : rows of `synthetic`, as notebook 07 saves it: `task`, `kind`, and `item`, its fields as JSON
    """
    found = []
    for row in written:
        item = json.loads(row["item"]) if row["task"] == "D3" else {}
        if row["kind"] == "multiple-choice":
            letters = dict(zip("ABCDEFGH", item["options"], strict=False))
            asked = "\n".join([item["question"], *(f"{letter}. {option}" for letter, option in letters.items())])
            right = next(letter for letter, option in letters.items() if option == item["answer"])
            found.append(_pair(asked, f"{right}. {item['answer']}"))
        elif row["kind"] == "question-answering":
            found.append(_pair(item["question"], item["answer"]))
        elif row["kind"] == "cloze":
            found.append(_pair(f"Fill the gap: {item['text']}", item["answer"]))
    if not found:
        raise InputError("there is no exercise among these samples; synthesise task items (D3) first")
    return found


def _pair(asked: str, answer: str) -> Conversation:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _checked(row: Any, where: str) -> Conversation:
    messages = row.get("messages") if isinstance(row, Mapping) else None
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        has = f"it has: {', '.join(map(str, row)) or 'nothing'}" if isinstance(row, Mapping) else "it is no JSON object"
        raise InputError(
            f'{where}: no list "messages" of roles and contents ({has}); write {{"messages": [{{"role": ..., "content": ...}}]}}'
        )
    found: Conversation = []
    for number, message in enumerate(messages, start=1):
        role = message.get("role") if isinstance(message, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        if role not in ROLES:
            raise InputError(f"{where}: the role of message {number} is {json.dumps(role)}; it must be system, user or assistant")
        if not isinstance(content, str) or not content.strip():
            raise InputError(f"{where}: message {number} ({role}) has no text as its content; write one or remove the row")
        before = found[-1]["role"] if found else None
        due = ("system", "user") if before is None else ("user",) if before in ("system", "assistant") else ("assistant",)
        if role not in due:
            raise InputError(f"{where}: message {number} is of the {role}, but the turn is of the {due[-1]}; they take turns")
        found.append({"role": str(role), "content": content})
    if found[-1]["role"] != "assistant":
        raise InputError(f"{where}: the last message is of the {found[-1]['role']}; a conversation to learn from ends with an answer")
    return found
