"""What may come next in a call that is being written: only what keeps it valid.

A path through the grammar is: a function, then for every word of the request an argument that it belongs to or none, then the arguments
that are not copied, each a free choice to give or to leave out, then the end. An argument's words stand together, so a free-text value
is a run of the request's words, which begins with a letter or a digit; any other value is one that the schema allows and the request
can mean; what is required can't be left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.tool_calling.choosing import LEFT_OUT
from hare_lab.tool_calling.registry import Call, Parameter
from hare_lab.tool_calling.values import is_span, options, written
from hare_lab.tool_calling.wording import Heard
from hare_lab.tool_calling.writing import END, OUT, PLACES, Prompt, Script

VOICE = 2.0  # of the wording's say in arguments, where the model has 1; 1 to 4 are alike on SNIPS (docs/tool_calling.md)


@dataclass
class Path:
    """One way through the grammar so far. `spans` are first and last word of each argument given; `node` stands in a tree of values."""

    score: float = 0.0
    decisions: int = 0
    unread: tuple[int, ...] = ()  # tokens that the model has not read yet
    api: int = -1
    word: int = 0  # the word of the second reading
    piece: int = 0  # how many of its tokens are read
    open: str = ""  # the argument of the word before
    spans: tuple[tuple[str, int, int], ...] = ()
    next: int = 0  # the first argument that may still be given after the reading
    name: str = ""
    given: tuple[tuple[str, Any], ...] = ()
    node: Any = None
    done: bool = False
    origin: int = 0  # the row of the batch that its last tokens were read in


class Grammar:
    """What may come next, for one request; `heard` is what its wording says, where that was listened to, and `voice` its weight."""

    def __init__(self, script: Script, prompt: Prompt, heard: Heard | None = None, voice: float = VOICE) -> None:
        self.script, self.prompt, self.heard, self.voice = script, prompt, heard, voice
        self._trees: dict[str, dict[int, Any] | None] = {}
        self._spans: dict[int, list[Parameter]] = {}  # the copied arguments of each function
        self.out, self.end = script.ids[OUT], script.ids[END]
        self.words = min(PLACES, len(prompt.pieces))
        # No value begins with a sign: of 13,375 in the training requests of SNIPS and the telephone, none does.
        self._heads = [word.text[0].isalnum() for word in prompt.words[: self.words]]
        self._left = np.append(np.cumsum(self._heads[::-1])[::-1], 0).tolist()  # words from here on that a value may begin with

    def possible(self, api: int) -> bool:
        """Whether the request holds a value for every required argument."""
        needed = [p for p in self.script.registry.apis[api].parameters if p.required]
        return all(is_span(p) or self._tree(p) is not None for p in needed) and sum(map(is_span, needed)) <= self._left[0]

    def onward(self, path: Path) -> Path:
        """The same path at its next choice, or at its end: what has no alternative is taken."""
        unread = list(path.unread)
        while not path.done and len(moves := self.moves(path)) == 1:
            [(token, change)] = moves.items()
            path = replace(path, **change)
            unread.append(token)
        return replace(path, unread=tuple(unread))

    def moves(self, path: Path) -> dict[int, dict[str, Any]]:
        """The tokens that may follow, each with what it changes of the path (scores and unread tokens are the caller's)."""
        if path.word < self.words:
            pieces = self.prompt.pieces[path.word]
            if path.piece < len(pieces):
                return {pieces[path.piece]: {"piece": path.piece + 1}}
            return self._marks(path)
        if not path.name:
            return self._names(path)
        found: dict[int, dict[str, Any]] = {token: {"node": child} for token, child in path.node.items() if token >= 0}
        if -1 in path.node:
            closed = {"given": (*path.given, (path.name, path.node[-1])), "name": "", "node": None}
            found.update({token: closed | change for token, change in self._names(path).items()})
        return found

    def opinion(self, path: Path, changes: Iterable[dict[str, Any]]) -> NDArray[np.float64] | float:
        """What the wording says of each of a path's moves, log-probabilities times its voice; 0 where nobody listened."""
        if self.heard is None:
            return 0.0
        if path.word >= self.words:
            return self.voice * np.array([self._chosen(path, change) for change in changes])
        states = {name: state for state, name in enumerate(("", *self.heard.names[path.api]))}
        row = self.heard.chances[path.api][path.word, states[path.open]]
        return self.voice * np.array([row[states[change.get("open", path.open)]] for change in changes])

    def _chosen(self, path: Path, change: dict[str, Any]) -> float:
        """What counts say of a value's next token, and of the arguments that are given or left out after it."""
        assert self.heard is not None
        told, found = self.heard.choices[path.api], 0.0
        if path.name:
            said, below = told[path.name], _leaves(path.node)
            after = [change["given"][-1][1]] if "given" in change else _leaves(change["node"])
            found += _together(said, after) - _together(said, below)
            if "given" not in change:
                return found
        given = change.get("name", "")
        for parameter in self.script.registry.apis[path.api].parameters[path.next :]:
            if parameter.name == given:
                return found + _together(told[given], _leaves(change["node"]))
            if not is_span(parameter):
                found += told[parameter.name].get(LEFT_OUT, 0.0)
        return found

    def call(self, path: Path) -> Call:
        """The call that a finished path states, its arguments in the function's order."""
        given = {name: self.prompt.span(first, last) for name, first, last in path.spans} | dict(path.given)
        return self.script.registry.ordered(Call(self.script.registry.names[path.api], given))

    def _marks(self, path: Path) -> dict[int, dict[str, Any]]:
        """The argument that a word belongs to: that of the word before, one not given yet, or none."""
        if path.api not in self._spans:
            self._spans[path.api] = [p for p in self.script.registry.apis[path.api].parameters if is_span(p)]
        parameters = self._spans[path.api]
        used = {name for name, _, _ in path.spans}
        needed = {p.name for p in parameters if p.required and p.name not in used}
        left = self._left[path.word + 1]
        on = {"word": path.word + 1, "piece": 0}
        found: dict[int, dict[str, Any]] = {}
        if len(needed) <= left:
            found[self.out] = on | {"open": ""}
            if path.open:
                name, first, _ = path.spans[-1]
                found[self.script.argument_tokens[name]] = on | {"spans": (*path.spans[:-1], (name, first, path.word))}
        for parameter in parameters if self._heads[path.word] else ():
            if parameter.name not in used and len(needed - {parameter.name}) <= left:
                begun = (*path.spans, (parameter.name, path.word, path.word))
                found[self.script.argument_tokens[parameter.name]] = on | {"open": parameter.name, "spans": begun}
        return found

    def _names(self, path: Path) -> dict[int, dict[str, Any]]:
        """Give another argument that is not copied, or end."""
        found: dict[int, dict[str, Any]] = {}
        parameters = self.script.registry.apis[path.api].parameters
        for place in range(path.next, len(parameters)):
            parameter = parameters[place]
            if is_span(parameter):
                continue
            if (tree := self._tree(parameter)) is not None:
                found[self.script.argument_tokens[parameter.name]] = {"name": parameter.name, "next": place + 1, "node": tree}
            if parameter.required:
                return found
        found[self.end] = {"done": True}
        return found

    def _tree(self, parameter: Any) -> dict[int, Any] | None:
        """The allowed values as a tree of tokens; -1 holds the value that ends there."""
        key = repr(parameter)  # its choices may be lists, which have no hash
        if key not in self._trees:
            tree: dict[int, Any] = {}
            for value in options(parameter, self.prompt.text):
                node = tree
                for token in self.script.value(written(value)):
                    node = node.setdefault(token, {})
                if node is not tree:
                    node.setdefault(-1, value)
            self._trees[key] = tree or None
        return self._trees[key]


def _leaves(node: dict[int, Any]) -> list[Any]:
    """The values below a place in a tree of values."""
    return [value for token, child in node.items() for value in ([child] if token < 0 else _leaves(child))]


def _together(said: dict[str, float], values: Iterable[Any]) -> float:
    """Log-probability of any of some values."""
    return float(np.logaddexp.reduce([said[written(value)] for value in values]))
