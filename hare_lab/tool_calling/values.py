"""What could an argument's value be, given the request? Spans of its words, the schema's own choices, or numbers it spells out.

A request is cut into words, each with its place in the text, so that a value that a model copies word by word is given back
letter by letter as it was written. What a schema restricts (an enum, a pattern, a number) is chosen among values that the
request can mean; everything that comes out is valid by construction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hare_lab.tool_calling.registry import Parameter

WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")
LONGEST = 2_000  # characters of a request; what is longer is answered with no call and a note
MOST_WORDS = 400

DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS = {
    **{word: int(digit) for word, digit in DIGITS.items() if word not in ("oh", "o", "nought")},
    **{word: 10 + n for n, word in enumerate(TEENS)}, **{word: 20 + 10 * n for n, word in enumerate(TENS)},
    "a": 1, "an": 1, "half": 30, "quarter": 15, "couple": 2, "dozen": 12, "noon": 12, "midday": 12, "midnight": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Word:
    """A word of a request (a run of letters, a digit, or a sign), its place in the text, and whether a space stands before it."""

    text: str
    start: int
    end: int
    spaced: bool


def words(text: str) -> list[Word]:
    """A request as words; signs and digits stand alone, as the tokenizers learnt here have it."""
    found = []
    for match in WORD.finditer(text):
        start = match.start()
        found.append(Word(match[0], start, match.end(), start == 0 or text[start - 1].isspace()))
    return found


def too_long(text: str) -> str:
    """Why a request can't be read, in one sentence; "" where it can."""
    if len(text) > LONGEST:
        return f"the request has {len(text):,} characters and at most {LONGEST:,} are read; shorten it"
    count = len(words(text))
    return f"the request has {count:,} words and signs and at most {MOST_WORDS} are read; shorten it" if count > MOST_WORDS else ""


def is_span(parameter: Parameter) -> bool:
    """Whether the argument is free text, copied from the request."""
    return parameter.kind in ("string", "any") and not parameter.enum and not parameter.pattern


def is_unsaid(parameter: Parameter) -> bool:
    """Whether the argument is a list or an object, which no request spells out: it is left out of every call."""
    return parameter.kind in ("array", "object") and not parameter.enum


def options(parameter: Parameter, text: str) -> list[Any]:
    """The values that an argument which is not free text may take for this request, most usual first; perhaps none."""
    if parameter.choices:
        return list(parameter.choices)
    found: list[Any] = []
    for value in _read(parameter, text):
        if value not in found and not parameter.fault(value):
            found.append(value)
    return found[:64]


def written(value: Any) -> str:
    """A value as text for the model: what stands in `<api_i>(...)`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _read(parameter: Parameter, text: str) -> Iterator[Any]:
    if parameter.kind in ("integer", "number"):
        yield from _numbers(text, whole=parameter.kind == "integer")
        return
    for run in re.finditer(r"\+?\d[\d\s().+-]*\d|\d", text):
        yield re.sub(r"\D", "", run[0])
    yield from _spoken_digits(text)
    yield from _clock(text)
    yield from re.findall(r"\S+", text)


def _numbers(text: str, *, whole: bool) -> Iterator[float | int]:
    for run in re.findall(r"-?\d+(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?", text):
        value = float(run.replace(",", ""))
        if not math.isfinite(value):  # hundreds of digits
            continue
        if whole and value == int(value):
            yield int(value)
        elif not whole:
            yield value
    tokens = re.findall(r"[a-z]+", text.lower())
    for place, word in enumerate(tokens):
        if word in NUMBERS:
            value = NUMBERS[word]
            if word in TENS and place + 1 < len(tokens) and tokens[place + 1] in DIGITS and tokens[place + 1] not in ("oh", "o"):
                value += int(DIGITS[tokens[place + 1]])
            yield value
    for number, _ in re.findall(r"(\d+|[a-z]+)\s+(minutes?)", text.lower()):
        if number.isdigit() or number in NUMBERS:
            yield 60 * int(number if number.isdigit() else NUMBERS[number])


def _spoken_digits(text: str) -> Iterator[str]:
    """Telephone numbers as people say them: "five double five oh one", digits and words mixed."""
    run, times = "", 1
    for token in [*re.findall(r"[a-z]+|\d+", text.lower()), ""]:
        if token in ("double", "triple"):
            times = 2 if token == "double" else 3
        elif token in DIGITS or token.isdigit():
            run, times = run + DIGITS.get(token, token) * times, 1
        else:
            if run:
                yield run
            run, times = "", 1


def _clock(text: str) -> Iterator[str]:
    """Times of day as HH:MM: 7:30, 6.45 pm, half six, quarter to nine, noon; each also twelve hours later."""
    low = text.lower()
    found: list[tuple[int, int, str]] = []
    number = r"(\d{1,2}|" + "|".join(sorted((w for w in NUMBERS if NUMBERS[w] <= 60 and len(w) > 2), key=len, reverse=True)) + r")"
    late = r"\s*(a\.?m|p\.?m)?"
    value = lambda token: int(token) if token.isdigit() else NUMBERS[token]  # noqa: E731
    for hour, minute, half in re.findall(r"\b(\d{1,2})[:.h](\d{2})" + late, low):
        found.append((int(hour), int(minute), half))
    for digits, half in re.findall(r"\b(\d{3,4})(?:\s*hours|\s*hrs)?\b" + late, low):
        found.append((int(digits[:-2]), int(digits[-2:]), half))
    for part, side, hour, half in re.findall(
        r"\b(half|quarter|" + number[1:-1] + r")\s+(?:minutes?\s+)?(past|to|after|before)\s+" + number + late, low
    ):
        minutes = {"half": 30, "quarter": 15}.get(part) or value(part)
        back = side in ("to", "before")
        found.append(((value(hour) - back) % 24, (60 - minutes) % 60 if back else minutes % 60, half))
    for hour, half in re.findall(r"\bhalf\s+" + number + late, low):
        found.append((value(hour), 30, half))
    for hour, tens, ones, half in re.findall(
        rf"\b{number}[\s-]+({'|'.join((*TENS[:4], *TEENS, 'oh'))})[\s-]*({'|'.join(DIGITS)})?\b" + late, low
    ):
        found.append((value(hour), (0 if tens == "oh" else NUMBERS[tens]) + (int(DIGITS[ones]) if ones else 0), half))
    found += [(value(hour), 0, half) for hour, half in re.findall(r"\b" + number + r"\b(?:\s*o.?clock)?" + late, low)]
    evening = bool(re.search(r"evening|afternoon|tonight|at night|p\.?m", low))
    for hour, minute, half in found:
        if hour > 24 or minute > 59:
            continue
        afternoon = half.startswith("p") or (not half and evening)
        first = (hour % 12 + 12) if afternoon and hour <= 12 else 0 if half.startswith("a") and hour == 12 else hour % 24
        for moment in (first, hour % 24, (hour + 12) % 24):
            yield f"{moment:02d}:{minute:02d}"
