"""What is to be learnt of a text when only a part of it is an answer: examples, and rows of them.

A page is learnt whole. An example is a question with its answer, and only the answer is learnt: the question is read, as it will
be when the model is asked, but no effort goes into foretelling what people ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hare_lab.errors import InputError
from hare_lab.training.packing import Packed

OPEN = 64  # rows that may still take an example; older ones are left as they are, so that packing stays quick


@dataclass(frozen=True)
class Example:
    """Token ids, and which of them are to be learnt. The first is never learnt: nothing stands before it."""

    ids: list[int]
    answer: list[bool]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.answer):
            raise InputError(f"an example has {len(self.ids)} tokens and {len(self.answer)} marks; each token needs one")
        if not any(self.answer[1:]):
            raise InputError("an example has no token to learn; mark its answer")


def pack_examples(examples: Sequence[Example], context: int, *, pad_id: int) -> Packed:
    """Examples as rows of `context` tokens; none is cut, none sees another, and only answers are learnt.

    Each example goes into the first open row that has room for it; what is left of a row is filled up with `pad_id`.

    Raises
    ------
    InputError
        If there is no example, or one is longer than a row; `tune` leaves those out first, and counts them.
    """
    if not examples:
        raise InputError("no example to learn from; give at least one")
    rows: list[list[Example]] = []
    room: list[int] = []
    for number, example in enumerate(examples):
        length = len(example.ids)
        if length > context:
            raise InputError(
                f"example {number + 1} has {length} tokens, more than the {context} of a row; shorten it or give a longer context"
            )
        first = max(0, len(rows) - OPEN)
        row = next((r for r in range(first, len(rows)) if room[r] >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(context)
        rows[row].append(example)
        room[row] -= length
    stream = np.full((len(rows), context), pad_id, np.int32)
    learnt = np.zeros((len(rows), context), bool)
    starts: list[int] = []
    for row, members in enumerate(rows):
        at = 0
        for example in members:
            end = at + len(example.ids)
            stream[row, at:end], learnt[row, at:end] = example.ids, example.answer
            starts.append(row * context + at)
            at = end
        if at < context:
            starts.append(row * context + at)  # what fills the row is a page of its own
    return Packed(stream.ravel(), np.array([*starts, stream.size], np.int64), context, learnt.ravel())
