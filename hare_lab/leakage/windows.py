"""A page as windows of a few sentences, so that a vector can say what each part of it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WORDS = 32  # of a window at most; about two sentences, as long as most questions with their answer
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|\n+")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Windows:
    """Windows of all pages, one after the other: window i is `texts[i]`, of page `page[i]`, characters `start[i]` to `end[i]`."""

    texts: list[str]
    page: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


def windows(texts: Sequence[str]) -> Windows:
    """Cut each text at the ends of sentences and lines into windows of at most `WORDS` words; a longer sentence is cut within."""
    pieces: list[str] = []
    page, starts, ends = [], [], []
    for row, text in enumerate(texts):
        for start, end in _spans(text):
            pieces.append(text[start:end])
            page.append(row)
            starts.append(start)
            ends.append(end)
    return Windows(pieces, np.array(page, np.int64), np.array(starts, np.int64), np.array(ends, np.int64))


def _spans(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    held = 0
    low = 0
    for high in [*(match.end() for match in _SENTENCE.finditer(text)), len(text)]:
        words = [match.span() for match in _WORD.finditer(text, low, high)]
        low = high
        for at in range(0, len(words), WORDS):
            part = words[at : at + WORDS]
            if found and held + len(part) <= WORDS:
                found[-1] = (found[-1][0], part[-1][1])
                held += len(part)
            else:
                found.append((part[0][0], part[-1][1]))
                held = len(part)
    return found
