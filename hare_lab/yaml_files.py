"""A YAML file as a frozen dataclass, each mistake named with its line."""

from __future__ import annotations

import copyreg
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from hare_lab.errors import InputError

UNREADABLE = (ValueError, LookupError, AttributeError)  # what PyYAML raises at a date or number that is none, beside errors of its own


def _read_only(values: Mapping[str, Any]) -> types.MappingProxyType[str, Any]:
    return types.MappingProxyType(dict(values))


# a statement goes to other processes, and Python can't send the read-only mappings inside it by itself
copyreg.pickle(types.MappingProxyType, lambda held: (_read_only, (dict(held),)))


def read_yaml(path: str | Path, kind: type, name: str, *, example: str = "") -> Any:
    """A YAML file as the frozen dataclass `kind`, each key checked against its field; an empty file takes the defaults.

    Parameters
    ----------
    name : what the file holds, as errors call it
    example : a file of that kind, which the error for a missing one names

    Raises
    ------
    InputError
        If the file is missing, is not YAML, has an unknown key, a wrong type or a value out of range; the sentence names
        the file and the line.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{name}: no file {source}; give a YAML file{f' such as {example}' if example else ''}")
    try:
        node = yaml.compose(source.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}{where}: not valid YAML ({str(error).splitlines()[0]}); mend it there") from error
    if node is None:
        node = yaml.MappingNode("tag:yaml.org,2002:map", [], yaml.Mark(str(source), 0, 0, 0, "", 0))
    return _Reader(source).section(node, kind, name)


class _Reader:
    """Turns YAML nodes into dataclasses, and remembers lines, so that each mistake is named where it stands."""

    def __init__(self, source: Path) -> None:
        self.source = source

    def wrong(self, node: yaml.Node, problem: str) -> InputError:
        return InputError(f"{self.source} line {node.start_mark.line + 1}: {problem}")

    def section(self, node: yaml.Node, kind: type, name: str) -> Any:
        """A mapping node as an instance of the dataclass `kind`."""
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, f'"{name}" must hold keys with values, not {_say(node)}')
        known = typing.get_type_hints(kind)
        values: dict[str, Any] = {}
        lines: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key not in known:
                raise self.wrong(key_node, f'unknown key "{key}" in {name}; it may hold: {", ".join(known)}')
            if key in values:
                raise self.wrong(key_node, f'key "{key}" stands twice in {name}; keep one')
            values[key], lines[key] = self.value(value_node, known[key], key), value_node
        lacking = [
            f.name for f in dataclasses.fields(kind) if f.name not in values and f.default is f.default_factory is dataclasses.MISSING
        ]
        if lacking:
            raise self.wrong(node, f'{name} lacks "{lacking[0]}"; give it a value')
        try:
            return kind(**values)
        except InputError as error:  # a range that only the finished section can judge: say which line it came from
            culprit = next((lines[key] for key in lines if f'"{key}' in str(error)), node)
            raise self.wrong(self.inner(culprit, str(error)), str(error)) from None

    def inner(self, node: yaml.Node, message: str) -> yaml.Node:
        """The line of the entry that the message names inside a mapping, or the mapping's own."""
        if isinstance(node, yaml.MappingNode):
            return next((value for key, value in node.value if f'.{key.value}"' in message), node)
        return node

    def value(self, node: yaml.Node, kind: Any, key: str) -> Any:
        """A node as the type that the field declares."""
        origin = typing.get_origin(kind)
        if dataclasses.is_dataclass(kind):
            return self.section(node, typing.cast(type, kind), key)
        if origin is tuple:
            if not isinstance(node, yaml.SequenceNode):
                raise self.wrong(node, f'"{key}" must be a list such as [a, b], not {_say(node)}')
            return tuple(self.value(item, typing.get_args(kind)[0], key) for item in node.value)
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            if not isinstance(node, yaml.MappingNode):
                raise self.wrong(node, f'"{key}" must hold names with numbers, not {_say(node)}')
            return _read_only({str(k.value): self.value(v, typing.get_args(kind)[1], f"{key}.{k.value}") for k, v in node.value})
        try:
            found = yaml.SafeLoader("").construct_object(node, deep=True) if isinstance(node, yaml.ScalarNode) else None
        except (yaml.YAMLError, *UNREADABLE) as error:  # a date that is none, such as 2024-02-30, or an unknown tag
            kind_said = node.tag.rpartition(":")[2]
            raise self.wrong(node, f'"{key}" is {_say(node)}, which is no {kind_said} of YAML\'s; mend it, or quote it as text') from error
        if origin is Literal:
            choices = typing.get_args(kind)
            if found not in choices:
                raise self.wrong(node, f'"{key}" must be one of {", ".join(map(str, choices))}, not {_say(node)}')
            return found
        if kind is float and isinstance(found, int) and not isinstance(found, bool):
            try:
                found = float(found)
            except OverflowError as error:
                raise self.wrong(node, f'"{key}" has more digits than a number can hold; give a smaller one') from error
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            what = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[kind]
            raise self.wrong(node, f'"{key}" must be {what}, not {_say(node)}')
        return found


def _say(node: yaml.Node) -> str:
    return f'"{node.value}"' if isinstance(node, yaml.ScalarNode) else "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
