"""More training requests from few: the same wording with other values, and requests that look like calls but are none.

A model that has seen four thousand requests learns the values by heart instead of copying them. So every time a request is
read, its free-text values may be exchanged: for another request's value of the same argument, or, where an argument takes
almost as many values as it has requests (names, titles, places), for a run of words from anywhere. The call changes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hare_lab.tool_calling.loading import Request
from hare_lab.tool_calling.registry import Call, Registry
from hare_lab.tool_calling.values import WORD, is_span, words
from hare_lab.tool_calling.writing import Prompt, find

OPEN = 0.4  # distinct values a value: from here on an argument takes any words


@dataclass(frozen=True)
class Values:
    """The values that training requests give to free-text arguments, by function and argument, each as often as it comes."""

    seen: dict[tuple[str, str], list[str]]
    open: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, requests: Sequence[Request], registry: Registry) -> Values:
        seen: dict[tuple[str, str], list[str]] = {}
        for request in requests:
            for name, value in request.call.arguments.items() if request.call else ():
                if is_span(registry[request.api].by_name[name]) and isinstance(value, str):
                    seen.setdefault((request.api, name), []).append(value)
        wide = (key for key, found in seen.items() if len({v.lower() for v in found}) >= OPEN * len(found))
        return cls(seen, frozenset(wide))


def vary(
    requests: Sequence[Request], registry: Registry, runs: Sequence[str], *, values: Values | None = None, seed: int = 0,
    kept: float = 0.3, exchanged: float = 0.5, invented: float = 0.3,
) -> list[Request]:  # fmt: skip
    """The same requests with other values.

    Parameters
    ----------
    runs : short runs of words that stand for names nobody has heard of
    values : of all training requests; default: of these
    kept : share of requests that stay as they are
    exchanged : share of the other requests' values that are exchanged
    invented : share of those that are made of `runs`, where the argument takes any words
    """
    rng = np.random.default_rng(seed)
    known = values or Values.of(requests, registry)
    found = []
    for request in requests:
        if request.call is None or rng.random() < kept:
            found.append(request)
            continue
        swaps = {}
        for name in request.call.arguments:
            key = (request.api, name)
            if key in known.seen and rng.random() < exchanged:
                fresh = key in known.open and len(runs) and rng.random() < invented
                pool = runs if fresh else known.seen[key]
                swaps[name] = pool[int(rng.integers(len(pool)))]
        found.append(exchange(request, swaps))
    return found


def exchange(request: Request, swaps: dict[str, str]) -> Request:
    """A request with other values in the places of these arguments; as it is where one of them is not to be found in it."""
    if request.call is None or not swaps:
        return request
    prompt = Prompt(request.text, (), (), tuple(words(request.text)))
    places, taken = {}, set[int]()
    for name, value in request.call.arguments.items():
        place = find(prompt, value, taken) if isinstance(value, str) else None
        if place is None or taken & set(range(place[0], place[1] + 1)):
            if name in swaps:
                return request
            continue
        taken |= set(range(place[0], place[1] + 1))
        places[name] = (prompt.words[place[0]].start, prompt.words[place[1]].end)
    text = request.text
    for name in sorted(swaps, key=lambda key: -places[key][0]):
        start, end = places[name]
        text = text[:start] + swaps[name] + text[end:]
    return Request(text, Call(request.call.name, {**request.call.arguments, **swaps}), request.id)


def runs(pages: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """Short runs of words from pages, drawn by seed: one to four words, as names and titles are."""
    rng = np.random.default_rng(seed)
    found: list[str] = []
    pool = [page.split() for page in pages if len(page.split()) >= 8]
    while pool and len(found) < count:
        page = pool[int(rng.integers(len(pool)))]
        at, length = int(rng.integers(len(page) - 4)), int(rng.integers(1, 5))
        run = " ".join(page[at : at + length]).strip(".,;:!?\"'()[]")
        if WORD.search(run):
            found.append(run)
    return found


def near_misses(requests: Sequence[Request], runs: Sequence[str], count: int, *, seed: int = 0) -> list[Request]:
    """Requests that look like calls and are none, made from those that are, in four ways drawn by seed.

    A request's words in another order; its values in a sentence of other words; its words with other ones in the place of one half
    of them; and running text that holds nothing of it.
    """
    rng = np.random.default_rng([seed, 1])
    calls = [request for request in requests if request.call]
    found = []
    for _ in range(count if calls and len(runs) else 0):
        request = calls[int(rng.integers(len(calls)))]
        parts = request.text.split()
        way = int(rng.integers(4))
        some = [word for i in rng.integers(len(runs), size=len(parts) + 2) for word in runs[int(i)].split()]
        if way == 0:
            text = " ".join(parts[int(i)] for i in rng.permutation(len(parts)))
        elif way == 1:
            values = " ".join(str(value) for value in request.call.arguments.values()) if request.call else ""
            at = int(rng.integers(len(parts)))
            text = " ".join([*some[:at], values, *some[at : len(parts)]])
        elif way == 2:
            change = rng.random(len(parts)) < 0.5
            text = " ".join(some[i] if change[i] else part for i, part in enumerate(parts))
        else:
            text = " ".join(some[: max(3, len(parts))])
        if text.strip() and text != request.text:
            found.append(Request(text, None, f"{request.id}-miss"))
    return found
