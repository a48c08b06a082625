"""Requests with the calls they ask for, from the bundled telephone, from a file, or in the formats of public collections."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hare_lab import json_lines, texts
from hare_lab.errors import InputError
from hare_lab.tool_calling.registry import Call, Registry, read_registry, spoken


@dataclass(frozen=True)
class Request:
    """What a person asks for, and the call that answers it; `call` is None where nothing is to be called."""

    text: str
    call: Call | None = None
    id: str = ""

    @property
    def api(self) -> str:
        """The function's name, "" for none."""
        return self.call.name if self.call else ""


def bundled_requests(split: str) -> list[Request]:
    """The bundled requests to a telephone of one split: train, validation or test."""
    rows = [row for row in texts.requests() if row["split"] == split]
    return [Request(row["text"], Call(**row["call"]) if row["call"] else None, row["id"]) for row in rows]


def check(requests: Sequence[Request], registry: Registry, source: str = "requests") -> list[Request]:
    """The same requests, each call with its arguments in their fixed order.

    Raises
    ------
    InputError
        If a row has no text, calls what is not in the registry, or gives an argument that the schema does not allow; names the row.
    """
    found = []
    for number, request in enumerate(requests, start=1):
        where = f"{source} row {number}" + (f" ({request.id})" if request.id else "")
        if not isinstance(request.text, str) or not request.text.strip():
            raise InputError(f"{where} has no text; give a request in words, or remove the row")
        if request.call is None:
            found.append(request)
            continue
        if fault := registry.fault(request.call):
            raise InputError(f"{where}: the call {fault}; mend the row or the registry")
        found.append(Request(request.text, registry.ordered(request.call), request.id))
    return found


def load_requests(path: str | Path, registry: Registry) -> list[Request]:
    """Requests from JSON lines: `text`, `call` (`{"name", "arguments"}` or null) and perhaps `id`; checked against the registry.

    Raises
    ------
    InputError
        If the file can't be read, a line is broken, or a call is not valid; names the line.
    """
    found = []
    for number, row in json_lines.numbered(Path(path)):
        call = row.get("call")
        if not isinstance(row.get("text"), str) or not (call is None or (isinstance(call, dict) and isinstance(call.get("name"), str))):
            raise InputError(f'{path} line {number}: a row needs "text" and "call" ({{"name", "arguments"}} or null)')
        given = _given(call.get("arguments") or {}, f"{path} line {number}") if call else {}
        found.append(Request(row["text"], Call(call["name"], given) if call else None, str(row.get("id", number))))
    if not found:
        raise InputError(f"{path} holds no request; give one JSON object a line")
    return check(found, registry, str(path))


def _given(arguments: Any, where: str) -> dict[str, Any]:
    """A call's arguments, an object or, as OpenAI's protocol has it, the JSON text of one."""
    try:
        found = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        told = json.dumps(arguments, ensure_ascii=False)[:60]
        raise InputError(f'{where}: "arguments" is {told}, no object; write {{"name": value, ...}}')
    return found


def snips(path: str | Path) -> tuple[Registry, list[Request], list[Request]]:
    """SNIPS: seven intents as functions, their slots as free-text arguments; training and test requests.

    The set comes without descriptions; a function's is its name as words, an argument's likewise.
    """
    train: list[Request] = []
    test: list[Request] = []
    slots: dict[str, dict[str, None]] = {}
    for row in _rows(path, "snips"):
        ((name, arguments),) = row["answer"][0].items()
        slots.setdefault(name, {}).update(dict.fromkeys(arguments))
        (train if row["subset"] == "train" else test).append(Request(row["text"], Call(name, arguments), row["id"]))
    if not slots:
        raise InputError(f"{path} holds no row of SNIPS; give the data.jsonl.gz of function_calling")
    schemas = [
        {
            "name": name,
            "description": f"{spoken(name).capitalize()}.",
            "parameters": {"properties": {slot: {"type": "string", "description": spoken(slot)} for slot in sorted(found)}},
        }
        for name, found in sorted(slots.items())
    ]
    registry = read_registry(schemas, "SNIPS")
    return registry, check(train, registry, "SNIPS"), check(test, registry, "SNIPS")


def bfcl(path: str | Path, *, calls: bool = True) -> tuple[Registry, list[Request]]:
    """BFCL: the items that ask for a single call, over all their functions at once; with `calls=False` the items that need none.

    An item's functions are its own, so one name may stand for several; the first schema of a name is taken, and items whose call
    it does not allow are left out.
    """
    rows = _rows(path, "bfcl")
    schemas: dict[str, dict[str, Any]] = {}
    for row in rows:
        for schema in row["functions"] or []:
            if (schema.get("parameters") or {}).get("properties"):
                schemas.setdefault(schema["name"], schema)
    registry = read_registry(list(schemas.values()), "BFCL")
    if not calls:
        return registry, [Request(row["text"], None, row["id"]) for row in rows if not row["answer"] and row["text"].strip()]
    found = []
    for row in rows:
        if len(row["answer"] or []) != 1 or not row["text"].strip():
            continue
        ((name, arguments),) = row["answer"][0].items()
        call = Call(name, {key: values[0] for key, values in arguments.items() if values and values[0] != ""})
        if not registry.fault(call):
            found.append(Request(row["text"], registry.ordered(call), row["id"]))
    return registry, found


def toolalpaca(path: str | Path) -> tuple[Registry, list[Request]]:
    """ToolAlpaca's evaluation items that take one call; parameters are described in prose there, and read from it."""
    schemas: dict[str, dict[str, Any]] = {}
    found: list[Request] = []
    for row in _rows(path, "toolalpaca"):
        for group in row["functions"] or []:
            for name, told in group["functions"].items():
                if isinstance(told, str) and (properties := _told(told)):
                    schemas.setdefault(
                        name, {"name": name, "description": told.split("\n", 1)[0], "parameters": {"properties": properties}}
                    )
        answer = row["answer"] or []
        if len(answer) != 1 or answer[0].get("Action") not in schemas:
            continue
        try:
            arguments = json.loads(answer[0]["Action_Input"])
        except ValueError:
            continue
        known = schemas[answer[0]["Action"]]["parameters"]["properties"]
        given = {key: value for key, value in arguments.items() if key in known and value not in ("", None)}
        found.append(Request(row["text"], Call(answer[0]["Action"], given), row["id"]))
    registry = read_registry(list(schemas.values()), "ToolAlpaca")
    return registry, [Request(r.text, registry.ordered(r.call), r.id) for r in found if r.call and not registry.fault(r.call)]


def _told(text: str) -> dict[str, Any]:
    """Parameters from prose: `Parameters: {"size": "string. One of: [small, large]. ..."}`."""
    import re

    match = re.search(r"^Parameters: (\{.*\})$", text, re.MULTILINE)
    try:
        told = json.loads(match[1]) if match else {}
    except ValueError:
        return {}
    properties = {}
    for name, about in told.items():
        kind = re.match(r"(?:Required\. )?(\w+)", str(about))
        enum = re.search(r"One of: \[([^\]]*)\]", str(about))
        entry: dict[str, Any] = {"type": (kind[1] if kind else "any").lower(), "description": str(about)}
        if enum and entry["type"] == "string":
            entry["enum"] = [value.strip() for value in enum[1].split(",") if value.strip()]
        properties[name] = entry
    return properties


def _rows(path: str | Path, corpus: str) -> list[dict[str, Any]]:
    """The rows of one of the public collections in the file that holds them all."""
    return [row for _, row in json_lines.numbered(Path(path)) if row.get("corpus") == corpus]


def texts_of(requests: Iterable[Request]) -> list[str]:
    return [request.text for request in requests]


def draw(requests: Sequence[Request], each: int, seed: int) -> list[Request]:
    """At most so many requests of every function (and of no call), drawn by seed, in a drawn order."""
    import numpy as np

    counts: dict[str, int] = {}
    found = []
    for place in np.random.default_rng(seed).permutation(len(requests)):
        request = requests[int(place)]
        counts[request.api] = counts.get(request.api, 0) + 1
        if counts[request.api] <= each:
            found.append(request)
    return found
