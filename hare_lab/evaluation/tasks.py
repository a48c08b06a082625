"""What is asked of a model: questions with choices, and pairs of sentences of which one is right.

A task comes from the bundled benchmark or from any JSON-lines file (also .gz) of items in one of these shapes:

    {"question": "...", "choices": ["...", "..."], "answer": "one of the choices, or its number from 0"}
    {"text": "...", "choices": [...], "gold": 1}
    {"sentence_good": "...", "sentence_bad": "..."}           as BLiMP and Zorro have them; "UID" names the phenomenon

Every item is checked when it is read: an answer that is none of the choices would be a wrong score, not an error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hare_lab import json_lines, texts
from hare_lab.errors import InputError

BLANK = "____"
OPTIONS = 4  # of a cloze item: its answer and three of other items


@dataclass(frozen=True)
class Item:
    """One question: what stands before, the ways to go on, and which of them is right."""

    id: str
    context: str
    choices: tuple[str, ...]
    gold: int
    group: str = ""


@dataclass(frozen=True)
class Task:
    """A named list of items.

    Attributes
    ----------
    kind : `choice`: the choices follow the context, after a space; `pair`: whole sentences, nothing before them
    about : in a few words, for tables
    """

    name: str
    kind: Literal["choice", "pair"]
    items: tuple[Item, ...]
    about: str = ""

    @property
    def chance(self) -> float:
        """The mean of one over the number of choices: what guessing reaches."""
        return float(np.mean([1 / len(item.choices) for item in self.items]))


def bundled_tasks(*, seed: int = 0, limit: int | None = None) -> tuple[Task, ...]:
    """The bundled benchmark as two tasks: its four-choice questions, and its sentences with a gap.

    A gap is filled with its own answer and with those of three other items of its topic (of the whole benchmark where the topic has too
    few), drawn by seed; the model should find the sentence with the right word the likeliest.
    """
    rows = texts.items()
    asked = [Item(r["id"], f"Question: {r['question']}\nAnswer:", tuple(r["choices"]), r["choices"].index(r["answer"]), r["topic"])
             for r in rows if r["kind"] == "multiple-choice"]  # fmt: skip
    found = (
        Task("bundled-choice", "choice", tuple(_some(asked, limit, seed)), "four-choice questions of the bundled benchmark"),
        Task("bundled-cloze", "pair", tuple(_some(_gaps([r for r in rows if r["kind"] == "cloze"], seed), limit, seed)),
             "bundled sentences with a gap, four words to choose from"),
    )  # fmt: skip
    return found


def read_task(path: str | Path, *, name: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """A task from a JSON-lines file; see the top of this module for the shapes.

    Parameters
    ----------
    name : default: the file's, without suffix (the folder's for `data.jsonl.gz`)
    limit : at most so many items, drawn by seed, equally many of each phenomenon where they are named

    Raises
    ------
    InputError
        If the file can't be read, mixes shapes, holds no item, or an item is broken; names file, line and field.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"no task file {source}; give a JSON-lines file of items, or `bundled`")
    stem = source.name.split(".")[0]
    called = name or (source.parent.name if stem == "data" else stem)
    items: list[Item] = []
    kinds: set[str] = set()
    for number, row in json_lines.numbered(source):
        kind, item = _item(row, f"{source} line {number}", len(items))
        kinds.add(kind)
        items.append(item)
        if len(kinds) > 1:
            raise InputError(f"{source} line {number}: a pair of sentences among questions with choices; keep them in files of their own")
    if not items:
        raise InputError(f"{source}: holds no item; write one JSON object a line")
    return Task(
        called, "pair" if kinds == {"pair"} else "choice", tuple(_some(items, limit, seed)), f"{len(items):,} items of {source.name}"
    )


def _item(row: dict[str, Any], where: str, number: int) -> tuple[str, Item]:
    key = str(row.get("id", number))
    if "sentence_good" in row or "sentence_bad" in row:
        both = [row.get("sentence_good"), row.get("sentence_bad")]
        if not all(isinstance(s, str) and s.strip() for s in both):
            raise InputError(f'{where}: "sentence_good" and "sentence_bad" must both be text')
        if both[0] == both[1]:
            raise InputError(f"{where}: the good and the bad sentence are the same; one of them must differ")
        return "pair", Item(key, "", (str(both[0]), str(both[1])), 0, str(row.get("UID", "")))
    context = next((row[f] for f in ("question", "text", "context") if isinstance(row.get(f), str)), None)
    if not context:
        raise InputError(f'{where}: no "question" (or "text") and no "sentence_good"; this item has: {", ".join(row) or "nothing"}')
    choices = row.get("choices")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise InputError(f'{where}: "choices" must be a list of at least two texts')
    if len(set(choices)) < len(choices):
        raise InputError(f'{where}: two of the "choices" are the same; only one can be right')
    return "choice", Item(key, context, tuple(choices), _gold(row, choices, where), str(row.get("topic", row.get("benchmark", ""))))


def _gold(row: dict[str, Any], choices: list[str], where: str) -> int:
    field = next((f for f in ("gold", "answer", "label") if row.get(f) is not None), None)
    if field is None:
        raise InputError(f'{where}: no "answer"; give the right choice, or its number from 0')
    answer = row[field]
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return answer
    raise InputError(
        f'{where}: "{field}" is {json.dumps(answer)}, but there are {len(choices)} choices; give one of them, or 0 to {len(choices) - 1}'
    )


def _gaps(rows: list[dict[str, Any]], seed: int) -> list[Item]:
    found = []
    for position, row in enumerate(rows):
        rng = np.random.default_rng([seed, position])
        own = [r["answer"] for r in rows if r["topic"] == row["topic"]]
        pool = sorted({a for a in own if a != row["answer"]})
        if len(pool) < OPTIONS - 1:
            pool = sorted({r["answer"] for r in rows} - {row["answer"]})
        words = [row["answer"], *rng.choice(pool, OPTIONS - 1, replace=False).tolist()]
        order = rng.permutation(OPTIONS)
        sentences = tuple(row["question"].replace(BLANK, words[i]) for i in order)
        found.append(Item(row["id"], "", sentences, int(np.flatnonzero(order == 0)[0]), row["topic"]))
    return found


def _some(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    """At most `limit` items in file order: shuffled by seed, then taken from the groups in turn."""
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; give a number of items of at least 1")
    if limit is None or limit >= len(items):
        return list(items)
    order = np.random.default_rng(seed).permutation(len(items))
    turn: dict[str, int] = {}
    ranked: list[tuple[int, int, int]] = []
    for i in order.tolist():
        turn[items[i].group] = turn.get(items[i].group, 0) + 1
        ranked.append((turn[items[i].group], len(ranked), i))
    return [items[i] for i in sorted(i for _, _, i in sorted(ranked)[:limit])]
