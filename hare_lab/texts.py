"""The texts that the workbench ships with: a labelled miniature web, a benchmark, topics, prompts, replies, tools, tables.

Everything in `data/` is read here, and checked while it is read: a broken row is named by file, line and field. The truth
about the sample (topic, tier, copies, leaks) comes from `sample_truth` alone and is for scoring: no step of the package
reads it.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hare_lab.errors import InputError
from hare_lab.json_lines import fault
from hare_lab.priors import DATA, HEAVIEST
from hare_lab.yaml_files import UNREADABLE

OTHER = "other"  # a page of none of a taxonomy's topics
TIERS = ("reference", "ordinary", "thin", "junk")
DUPLICATE_KINDS = ("exact", "near", "semantic")
LEAK_KINDS = ("verbatim", "edited", "reworded")
D2_KINDS = ("course-unit", "textbook-passage", "explainer", "story", "forum-answer")
D3_KINDS = ("multiple-choice", "question-answering", "cloze", "summarisation")

# field -> the type its value must have; `| None` fields may be null but must be there
PAGE = {
    "id": str, "text": str, "title": str, "topic": str, "tier": str, "voice": str, "language": str,
    "duplicate_of": str | None, "duplicate_kind": str | None, "leaks": list, "personal_data": bool,
}  # fmt: skip
ITEM = {
    "id": str, "kind": str, "question": str, "choices": list, "answer": str, "topic": str, "difficulty": str,
    "twin_question": str, "twin_choices": list, "page": str | None, "evidence": str | None,
}  # fmt: skip
REPLY = {
    "id": str, "task": str, "topic": str, "kind": str, "audience": str, "style": str, "seed": str, "reply": str,
    "bad": str | None, "about": str | None,
}  # fmt: skip
REQUEST = {"id": str, "text": str, "call": dict | None, "split": str, "wording": str}


@dataclass(frozen=True)
class Topic:
    """One topic of a taxonomy: what a person calls it, what its pages talk about, how much it matters by default."""

    id: str
    name: str
    description: str
    weight: float
    parent: str


def read_rows(path: str | Path, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, each checked against `fields`.

    Raises
    ------
    InputError
        If the file is missing, or a row is not JSON, lacks a field or holds another type; names file, line and field.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"no file {source}; the bundled texts belong there (is the checkout complete?)")
    rows = []
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{source} line {number}: not valid JSON ({fault(error)}); mend or remove the line") from error
        if not isinstance(row, dict):
            raise InputError(f"{source} line {number}: not a JSON object; write one object a line")
        for field, kind in fields.items():
            if field not in row:
                raise InputError(f'{source} line {number}: field "{field}" is missing; the row needs {", ".join(fields)}')
            if not isinstance(row[field], kind):
                raise InputError(f'{source} line {number}: field "{field}" holds {type(row[field]).__name__}, not {_kind(kind)}')
        rows.append(row)
    return rows


def sample_pages(path: Path = DATA / "sample" / "pages.jsonl") -> list[dict[str, Any]]:
    """The bundled pages as a crawl would give them: `id`, `text`, `title`, and nothing of the truth.

    A checkout without the file has no bundled pages; the demo then consists of machine text alone.
    """
    if not path.exists():
        return []
    return [{key: row[key] for key in ("id", "text", "title")} for row in sample_truth(path)]


def sample_truth(path: Path = DATA / "sample" / "pages.jsonl") -> list[dict[str, Any]]:
    """The bundled pages with what is known of them: topic, tier, voice, language, copies, leaks.

    For scoring what steps find, and for the examples of good and bad pages that the default priors name (`quality.examples`); no other
    step may read it.

    Raises
    ------
    InputError
        If a row is broken, an id stands twice, or a label is none of the known ones.
    """
    rows = read_rows(path, PAGE)
    _unique(path, rows)
    for number, row in enumerate(rows, start=1):
        _one_of(path, number, "tier", row["tier"], TIERS)
        if row["duplicate_kind"] is not None:
            _one_of(path, number, "duplicate_kind", row["duplicate_kind"], DUPLICATE_KINDS)
        for leak in row["leaks"]:
            if not isinstance(leak, dict) or set(leak) != {"item", "kind"}:
                raise InputError(f'{path} line {number}: field "leaks" must hold objects with "item" and "kind"')
            _one_of(path, number, "leaks", leak["kind"], LEAK_KINDS)
    return rows


def planted_copies_found(removed: Iterable[str], truth: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """For each kind of planted copy: its name, how many of the pairs lost one page or both, how many pairs there are.

    Parameters
    ----------
    removed : ids of removed pages, as the loader gives them ("sample#page-0001")
    truth : rows of `sample_truth`
    """
    gone = {str(page).rpartition("#")[2] for page in removed}
    pairs = [(row["duplicate_kind"], row["id"], row["duplicate_of"]) for row in truth if row["duplicate_of"]]
    found = [(kind, bool({a, b} & gone)) for kind, a, b in pairs]
    return [(kind, sum(hit for k, hit in found if k == kind), sum(k == kind for k, _ in found)) for kind in DUPLICATE_KINDS]


def items(path: Path = DATA / "benchmark" / "items.jsonl") -> list[dict[str, Any]]:
    """The bundled benchmark: four-choice and cloze items, each with its paraphrased twin.

    Raises
    ------
    InputError
        If a row is broken, an id stands twice, or an answer is not among its choices.
    """
    rows = read_rows(path, ITEM)
    _unique(path, rows)
    for number, row in enumerate(rows, start=1):
        _one_of(path, number, "kind", row["kind"], ("multiple-choice", "cloze"))
        if row["kind"] == "multiple-choice":
            for choices in ("choices", "twin_choices"):
                if len(set(row[choices])) != 4 or row["answer"] not in row[choices]:
                    raise InputError(f'{path} line {number}: field "{choices}" must hold four different choices, the answer among them')
    return rows


def taxonomy(path: str | Path = DATA / "taxonomy" / "everyday.yaml") -> list[Topic]:
    """The topics of a taxonomy file, parents' names attached.

    Raises
    ------
    InputError
        If the file is missing or malformed, a topic lacks an id or a description, its id is `other`, an id stands twice, or a weight
        is not from 0 to 1e300.
    """
    source = Path(path)
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no taxonomy {source}; give a YAML file such as data/taxonomy/everyday.yaml") from error
    except OSError as error:
        raise InputError(
            f"taxonomy {source} can't be read ({error.strerror or error}); give a YAML file such as data/taxonomy/everyday.yaml"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: byte {error.start} is not UTF-8; convert the file to UTF-8") from error
    except (yaml.YAMLError, *UNREADABLE) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"{source}{f' line {mark.line + 1}' if mark else ''}: not valid YAML; mend it there") from error
    found: list[Topic] = []
    for entry in _topics(content, source):
        children = _topics(entry, source) if entry.get("topics") is not None else None
        parent = _name(entry, "") if children is not None else ""
        found += [_topic(leaf, parent, source) for leaf in (children if children is not None else [entry])]
    if not found:
        raise InputError(f'{source}: holds no topic; list them under "topics"')
    ids = [topic.id for topic in found]
    twice = next((i for i in ids if ids.count(i) > 1), None)
    if twice:
        raise InputError(f'{source}: topic "{twice}" stands twice; give each topic an id of its own')
    return found


def replies(path: Path) -> list[dict[str, Any]]:
    """Recorded replies to prompts, keyed by (topic, kind, audience, style, seed). `bad` and `about` are truth, for scoring.

    Raises
    ------
    InputError
        If a row is broken, an id or a key stands twice, or a kind is unknown.
    """
    rows = read_rows(path, REPLY)
    _unique(path, rows)
    keys: set[tuple[str, ...]] = set()
    for number, row in enumerate(rows, start=1):
        _one_of(path, number, "kind", row["kind"], D2_KINDS if row["task"] == "D2" else D3_KINDS)
        key = tuple(row[field] for field in ("topic", "kind", "audience", "style", "seed"))
        if key in keys:
            raise InputError(f"{path} line {number}: the key {' / '.join(key)} stands twice; a reply is served for one key")
        keys.add(key)
    return rows


def planted_replies_judged(accepted: Iterable[Mapping[str, Any]], rejected: Iterable[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """How a recording's replies fared: for the good and for each planted fault its name, how many were rejected, and of how many.

    Parameters
    ----------
    accepted, rejected : rows with the key of a reply (topic, kind, audience, style, seed), seeds as the loader gives them
    """
    key = lambda row: (row["topic"], row["kind"], row["audience"], row["style"], row["seed"].rpartition("#")[2])  # noqa: E731
    fault = {key(row): row["bad"] or "good" for name in ("d2", "d3") for row in replies(DATA / "replies" / f"{name}.jsonl")}
    stayed, gone = Counter(fault[key(row)] for row in accepted), Counter(fault[key(row)] for row in rejected)
    return [(name, gone[name], gone[name] + stayed[name]) for name in sorted({*stayed, *gone}, key=lambda name: (name != "good", name))]


def requests(path: Path = DATA / "tools" / "requests.jsonl") -> list[dict[str, Any]]:
    """Requests to a telephone, each with the exact call it asks for (null: none), its split and its wording group.

    Raises
    ------
    InputError
        If a row is broken, an id stands twice, or the split is neither train nor test.
    """
    rows = read_rows(path, REQUEST)
    _unique(path, rows)
    for number, row in enumerate(rows, start=1):
        _one_of(path, number, "split", row["split"], ("train", "validation", "test"))
    return rows


def apis(path: Path = DATA / "tools" / "apis.json") -> list[dict[str, Any]]:
    """The seven phone APIs as JSON-schema function descriptions (`name`, `description`, `parameters`)."""
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: no readable list of APIs ({error})") from error
    return found


def paper_table(name: str) -> list[dict[str, str]]:
    """A table of the HARE paper, as `data/reference/NAME.csv` has it.

    Raises
    ------
    InputError
        If there is no such table; names those there are.
    """
    path = DATA / "reference" / f"{name}.csv"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.csv")))
        raise InputError(f'no paper table "{name}"; there are {known}')
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def _unique(path: Path, rows: list[dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if row["id"] in seen:
            raise InputError(f'{path} line {number}: field "id" repeats "{row["id"]}" of line {seen[row["id"]]}; give it its own')
        seen[row["id"]] = number


def _one_of(path: Path, number: int, field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f'{path} line {number}: field "{field}" is "{value}", not one of {", ".join(allowed)}')


def _kind(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _topics(content: Any, source: Path) -> list[dict[str, Any]]:
    entries = content.get("topics") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f'{source}: has no list "topics"; see data/taxonomy/everyday.yaml for the shape')
    return entries


def _topic(leaf: dict[str, Any], parent: str, source: Path) -> Topic:
    for field in ("id", "description"):
        if not isinstance(leaf.get(field), str) or not leaf[field].strip():
            raise InputError(f'{source}: topic "{leaf.get("id", leaf.get("name", "?"))}" has no {field}; give it one')
    if leaf["id"] == OTHER:
        raise InputError(f'{source}: a topic has the id "{OTHER}", which is what pages of no topic are called; give it another id')
    weight = leaf.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= HEAVIEST:
        raise InputError(
            f'{source}: topic "{leaf["id"]}" has the weight {weight}; a weight is a number of zero or more, {HEAVIEST:g} at most'
        )
    return Topic(leaf["id"], _name(leaf, leaf["id"]), leaf["description"], float(weight), parent)


def _name(entry: Mapping[str, Any], otherwise: str) -> str:
    """What an entry is called; `otherwise` where the name is left out or blank."""
    name = entry.get("name")
    return str(name) if name is not None and str(name).strip() else otherwise
