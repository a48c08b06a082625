"""Which functions are there, and what may they be called with? JSON schemas read, checked, and held against calls."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hare_lab import texts
from hare_lab.errors import InputError

# What other collections call JSON schema's types (BFCL writes Python's and Java's names).
KINDS = {
    "string": "string", "str": "string", "char": "string", "any": "any", "integer": "integer", "int": "integer", "long": "integer",
    "byte": "integer", "short": "integer", "number": "number", "float": "number", "double": "number", "boolean": "boolean",
    "bool": "boolean", "array": "array", "list": "array", "tuple": "array", "arraylist": "array", "object": "object", "dict": "object",
    "hashmap": "object", "hashtable": "object", "null": "any",
}  # fmt: skip
RANGE = 200  # a bounded whole number with at most so many values is chosen among them


@dataclass(frozen=True)
class Parameter:
    """One argument of a function, from its JSON schema. `enum` is empty where any value of the kind will do."""

    name: str
    kind: str = "string"
    description: str = ""
    required: bool = False
    enum: tuple[Any, ...] = ()
    pattern: str = ""
    low: float | None = None
    high: float | None = None

    def fault(self, value: Any) -> str:
        """What is wrong with a value, in words; "" where it is allowed."""
        if self.enum:
            if any(value == allowed and type(value) is type(allowed) for allowed in self.enum):
                return ""
            return f"is {json.dumps(value, ensure_ascii=False)[:60]}, not one of {', '.join(map(str, self.enum[:12]))}"
        kinds: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
        wanted = kinds.get(self.kind)
        if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and self.kind != "boolean")):
            return f"is {type(value).__name__}, not {self.kind}"
        if self.pattern and not (isinstance(value, str) and re.search(self.pattern, value)):
            return f"is {json.dumps(value, ensure_ascii=False)[:60]}, which its pattern {self.pattern} does not allow"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.low is not None and value < self.low:
                return f"is {value}, below {self.low:g}"
            if self.high is not None and value > self.high:
                return f"is {value}, above {self.high:g}"
        return ""

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values to choose among, where the schema leaves finitely many and few; empty otherwise."""
        if self.enum:
            return self.enum
        if self.kind == "boolean":
            return (True, False)
        if self.kind == "integer" and self.low is not None and self.high is not None and self.high - self.low < RANGE:
            return tuple(range(int(self.low), int(self.high) + 1))
        return ()


@dataclass(frozen=True)
class Api:
    """A function that can be called: its parameters in the fixed order in which arguments are written."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    @property
    def text(self) -> str:
        """What is embedded, and shown in a prompt's list: name, description, parameters with what is known of them."""
        told = "; ".join(f"{p.name}: {p.description}" if p.description else p.name for p in self.parameters)
        return f"{spoken(self.name)}: {self.description} ({told})"


@dataclass(frozen=True)
class Call:
    """One call, its arguments by name."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in self.arguments.items())
        return f"{self.name}({inside})"

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "arguments": dict(self.arguments)}


@dataclass(frozen=True)
class Registry:
    """The functions on offer, in a fixed order: function i has the token `<api_i>`."""

    apis: tuple[Api, ...]

    def __len__(self) -> int:
        return len(self.apis)

    @cached_property
    def by_name(self) -> dict[str, Api]:
        return {api.name: api for api in self.apis}

    @property
    def names(self) -> list[str]:
        return [api.name for api in self.apis]

    def without(self, name: str) -> Registry:
        """The registry lacking one function: what is asked of it is then no call."""
        self[name]
        return Registry(tuple(api for api in self.apis if api.name != name))

    def __getitem__(self, name: str) -> Api:
        if name not in self.by_name:
            raise InputError(f'no function "{name}" in the registry; it has {", ".join(self.names[:20])}')
        return self.by_name[name]

    def fault(self, call: Call) -> str:
        """Why a call is not valid under the schemas, in words; "" where it is."""
        if call.name not in self.by_name:
            return f'calls "{call.name}", which is not in the registry ({", ".join(self.names[:12])})'
        api = self.by_name[call.name]
        for name, value in call.arguments.items():
            if name not in api.by_name:
                return f'gives {call.name} an argument "{name}"; it takes {", ".join(api.by_name) or "none"}'
            if fault := api.by_name[name].fault(value):
                return f"{call.name}.{name} {fault}"
        missing = [p.name for p in api.parameters if p.required and p.name not in call.arguments]
        return f"lacks {', '.join(missing)}, which {call.name} requires" if missing else ""

    def ordered(self, call: Call) -> Call:
        """The call with its arguments in the function's own order."""
        return Call(call.name, {p.name: call.arguments[p.name] for p in self[call.name].parameters if p.name in call.arguments})

    def parse(self, text: str) -> Call | None:
        """The call that a JSON text states (`{"name": ..., "arguments": {...}}`, or null), strictly.

        Raises
        ------
        InputError
            If it is neither a valid call nor null; says what is wrong.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"a call is no JSON ({str(error)[:60]})") from error
        if found is None:
            return None
        if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not isinstance(found.get("arguments", {}), dict):
            raise InputError('a call is an object with "name" and "arguments", or null')
        call = Call(found["name"], found.get("arguments", {}))
        if fault := self.fault(call):
            raise InputError(f"the call {fault}")
        return self.ordered(call)


def spoken(name: str) -> str:
    """A function's or argument's name as words: AddToPlaylist and add_to_playlist are both "add to playlist"."""
    return " ".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace(".", " ").split()).lower()


def read_registry(schemas: Sequence[Mapping[str, Any]], source: str = "the registry") -> Registry:
    """Functions from their JSON schemas: `{"name", "description", "parameters": {"type": "object", "properties", "required"}}`.

    A schema may stand inside `{"type": "function", "function": ...}`, as OpenAI's protocol has it.

    Raises
    ------
    InputError
        If there is none, one has no name or no parameters, two share a name, or a field is not what JSON schema has there.
    """
    apis: list[Api] = []
    for number, schema in enumerate(schemas, start=1):
        schema = schema.get("function", schema) if isinstance(schema, Mapping) else schema
        where = f"{source}, function {number}"
        if not isinstance(schema, Mapping) or not isinstance(schema.get("name"), str) or not schema["name"].strip():
            raise InputError(f'{where} has no "name"; give each function one')
        name = schema["name"]
        if name in {api.name for api in apis}:
            raise InputError(f'{where}: the name "{name}" stands twice; give each function its own')
        apis.append(Api(name, str(schema.get("description", "")), _parameters(schema.get("parameters"), f'{where} ("{name}")')))
    if not apis:
        raise InputError(f"{source} holds no function; give at least one JSON schema")
    return Registry(tuple(apis))


def bundled() -> Registry:
    """The seven phone functions that the workbench ships with."""
    return read_registry(texts.apis(), "the bundled functions")


def load_registry(path: str | Path) -> Registry:
    """A registry from a JSON file: a list of function schemas.

    Raises
    ------
    InputError
        If the file can't be read, is no JSON list, or a schema is broken.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable list of function schemas ({str(error)[:80]}); give a JSON file that holds one") from error
    if not isinstance(found, list):
        raise InputError(f"{path}: holds {type(found).__name__}, not a list of function schemas; put them in a list")
    return read_registry(found, str(path))


def _parameters(schema: Any, where: str) -> tuple[Parameter, ...]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        raise InputError(f'{where} has no parameters; describe them under "parameters": {{"type": "object", "properties": ...}}')
    required = schema.get("required", [])
    if not isinstance(required, list) or (unknown := [name for name in required if name not in properties]):
        raise InputError(f'{where}: "required" names {unknown if isinstance(required, list) else required}, not among its properties')
    return tuple(_parameter(name, about, name in required, where) for name, about in properties.items())


def _parameter(name: str, about: Any, required: bool, where: str) -> Parameter:
    if not isinstance(about, Mapping):
        raise InputError(f'{where}: parameter "{name}" is {type(about).__name__}, not a schema; describe it as an object')
    kind = about.get("type", "any")
    kind = KINDS.get(str(kind).lower(), "any") if not isinstance(kind, list) else "any"
    enum = about.get("enum", [])
    if not isinstance(enum, Iterable) or isinstance(enum, str | Mapping):
        raise InputError(f'{where}: parameter "{name}" has an enum that is no list; list the values')
    pattern = str(about.get("pattern", ""))
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(f'{where}: parameter "{name}" has a pattern that is no regular expression ({error})') from error
    low, high = (_bound(about.get(which), f'{where}: parameter "{name}" has a {which}') for which in ("minimum", "maximum"))
    return Parameter(name, kind, str(about.get("description", "")), required, tuple(enum), pattern, low, high)


def _bound(value: Any, where: str) -> float | None:
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or value != value or abs(value) == math.inf):
        raise InputError(f"{where} that is no number ({json.dumps(value, default=str)[:60]}); write one")
    return value
