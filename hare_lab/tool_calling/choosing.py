"""Which value does a request mean of an argument that is not copied from it? Counts of words again: naive Bayes.

A choice ("with the front camera"), a number or a time of day can't be marked in the request; it is chosen among the values that the
schema allows and the request can mean (`values.options`). Two things say which: whether the request names a choice, and which choice
(or the first, second or third possible value, or none) training requests with the same words gave (McCallum & Nigam 1998, "A comparison
of event models for naive Bayes text classification"; words that are absent are left out).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hare_lab.tool_calling.registry import Api, Parameter
from hare_lab.tool_calling.values import is_span, options, written

LEFT_OUT, NAMED = "", "named"  # requests that don't give the argument; those that give a choice which they name
FIRM = 10.0  # requests' worth of what all classes have in common; chosen on the telephone's validation requests
RANKS = 3  # computed values are told apart by their place in the list, up to here


@dataclass(frozen=True)
class Tally:
    """Requests of one kind: how many are of each class, and how many of those hold each word."""

    requests: Counter[str] = field(default_factory=Counter)
    words: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, kind: str, forms: Iterable[str]) -> None:
        self.requests[kind] += 1
        self.words.setdefault(kind, Counter()).update(set(forms))

    def read(self, kinds: Iterable[str], forms: Iterable[str]) -> dict[str, float]:
        """Log-odds of some classes for a request of these words, up to what they share."""
        total, some = self.requests.total(), set(forms)
        common = {form: sum(own[form] for own in self.words.values()) for form in some}
        found = {}
        for kind in kinds:
            count, own = self.requests[kind], self.words.get(kind, Counter())
            likely = [(own[form] + FIRM * often / total) / (count + FIRM) for form, often in common.items() if often > 1]
            found[kind] = float(np.log(count + 0.5) + np.log(likely).sum())
        return found


def add(tallies: dict[str, Tally], api: Api, arguments: Mapping[str, Any], text: str, forms: Iterable[str]) -> None:
    """Count one request for a function."""
    for parameter in api.parameters:
        if is_span(parameter):
            continue
        kinds, kind = kinds_of(parameter, text), LEFT_OUT
        if parameter.name in arguments and not (kind := kinds.get(written(arguments[parameter.name]), LEFT_OUT)):
            continue  # a value that the request can't mean says nothing
        tallies.setdefault(_key(parameter, kinds), Tally()).add(kind, forms)


def chances(tallies: Mapping[str, Tally], parameter: Parameter, text: str, forms: Iterable[str]) -> dict[str, float]:
    """Log-probability of each value, by how it is written, and of leaving the argument out (`LEFT_OUT`), where that is allowed."""
    own = kinds_of(parameter, text)
    many = Counter(own.values()) + Counter([] if parameter.required else [LEFT_OUT])
    said = tallies.get(_key(parameter, own), Tally()).read(many, forms)
    norm = np.logaddexp.reduce(list(said.values())) if said else 0.0
    values = own | ({} if parameter.required else {LEFT_OUT: LEFT_OUT})
    return {value: float(said[kind] - norm - np.log(many[kind])) for value, kind in values.items()}


def kinds_of(parameter: Parameter, text: str) -> dict[str, str]:
    """The class of each value that an argument can take in a request, by the value as it is written."""
    possible = list(dict.fromkeys(written(value) for value in options(parameter, text)))
    if not parameter.choices:
        return {value: f"#{min(rank, RANKS)}" for rank, value in enumerate(possible)}
    words = plain(text)
    return {value: NAMED if f" {value.lower()} " in words else f"={value}" for value in possible}


def plain(text: str) -> str:
    """Words and numbers alone, in lower case, a space before and behind each."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def _key(parameter: Parameter, kinds: Mapping[str, str]) -> str:
    """Requests that name a choice are another matter than those that don't."""
    return f"{parameter.name}, named" if NAMED in kinds.values() else parameter.name
