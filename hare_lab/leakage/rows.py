"""Which rows does a benchmark hold, and what is it called? JSON lines, JSON, CSV, Parquet, a hub dataset, or rows in memory."""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.choices import PASSAGE, QUESTION
from hare_lab.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

NESTS = ("data", "examples", "paragraphs", "qas", "qa_pairs")  # lists of rows within a row


def names_of(sources: Iterable[Any]) -> dict[Path, str]:
    """What the benchmark in each file is called: as the file (or folder, of a file "data"), after as many folders as tell all apart."""
    from hare_lab.corpus.files import expand

    alike: dict[str, dict[Path, Path]] = {}
    for source in sources:
        if isinstance(source, str | Path) and not str(source).startswith("hf:"):
            for file in expand(str(source)):
                called, home = file.name.split(".")[0], file.parent.resolve()
                if called == "data":
                    called, home = file.parent.name or home.name, home.parent
                alike.setdefault(called, {})[file] = home
    names: dict[Path, str] = {}
    for called, homes in alike.items():
        places, deep = set(homes.values()), 0
        while len({home.parts[len(home.parts) - deep :] for home in places}) < len(places):
            deep += 1
        names |= {file: "/".join((*home.parts[len(home.parts) - deep :], called)) for file, home in homes.items()}
    return names


def rows_of(
    source: str | Path | pd.DataFrame | Sequence[Mapping[str, Any]], names: Mapping[Path, str]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Where a row stands, what its benchmark is called where it does not say, and the row."""
    import pandas as pd

    from hare_lab.corpus.files import PROBLEM, Problem, expand, read_file

    if not isinstance(source, str | Path):
        rows: Any = source
        if isinstance(source, pd.DataFrame):  # beside an empty cell a whole number, such as an answer's place, was made a float
            rows = source.convert_dtypes().astype(object).where(source.notna(), None).to_dict("records")
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InputError(f"benchmark rows in memory: row {number} is a {type(row).__name__}; give each as a dictionary")
            yield f"row {number}", "items", row
        return
    name = str(source)
    if name.startswith("hf:"):
        from hare_lab.corpus.hub import hub_rows

        for where, row in hub_rows(name, None):
            yield where, name.removeprefix("hf:"), row
        return
    for file in expand(name):
        rows = _one_object(file) or read_file(file, file.name)
        for where, row in _headed(rows) if ".csv" in file.suffixes else rows:
            problem = row.get(PROBLEM)
            if isinstance(problem, Problem):
                raise InputError(f"benchmark {problem.sentence}; mend or remove the line")
            yield where, names[file], row


def _one_object(file: Path) -> list[tuple[str, Any]]:
    """The row of a JSON file that is a single object, over one line or many; none of any other file."""
    from hare_lab.corpus.compressed import open_plain

    if ".json" not in file.suffixes:
        return []
    value = None
    failures = (OSError, EOFError, ValueError, RecursionError, lzma.LZMAError, zlib.error)  # the reader of rows says what is wrong
    with suppress(*failures), open_plain(file) as opened:
        value = json.load(opened)
    return [(f"{file.name} line 1", value)] if isinstance(value, Mapping) else []


def _headed(rows: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The rows of a CSV file under their names, also where it names none, as MMLU's do: question, four choices, and the letter of one."""
    named = ("question", *"ABCD", "answer")
    for number, (where, row) in enumerate(rows):
        head = list(row)
        told = {str(name).lower() for name in head} & {*QUESTION, "a"}
        if told or len(head) != len(named) or head[-1] not in named[1:-1]:
            yield where, row
            continue
        if not number:
            yield f"{where.rpartition(' ')[0]} 1", dict(zip(named, head, strict=True))
        yield where, dict(zip(named, row.values(), strict=True))


def flat(where: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The items that a row holds in lists (SQuAD: articles, their paragraphs, their questions), each with what stands around it."""
    alone = any(name in row for name in QUESTION if name not in PASSAGE)  # it asks a question of its own
    if isinstance(row.get("questions"), list) and not alone:
        raise InputError(f'benchmark {where}: "questions" holds a list; write a row for each question, with the passage as "context"')
    lists = {name: row[name] for name in NESTS if isinstance(row.get(name), list) and row[name]}
    inside = next((name for name, held in lists.items() if all(isinstance(one, Mapping) for one in held)), None)
    if inside is None or alone:
        yield where, row
        return
    around = {name: value for name, value in row.items() if name != inside}
    for number, one in enumerate(row[inside], start=1):
        yield from flat(f"{where}.{number}", {**around, **one})
