"""What must stay unseen: benchmark items from files of any common shape, as question, choices and answer.

Benchmarks come as JSON lines, CSV, Parquet or hub datasets, and each names its fields its own way. The first of the known names
that holds text is taken, in capitals or not; a passage that the question is about stands before it; a letter or a number for an
answer is looked up among the choices; labels such as "Question:" that stand in no leaked copy are cut.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import re
import textwrap
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hare_lab.choices import PASSAGE, QUESTION, choices_of, plain, with_choices
from hare_lab.dedup.words import words
from hare_lab.errors import InputError
from hare_lab.priors import Priors

if TYPE_CHECKING:
    import pandas as pd

ANSWER = ("answer", "gold", "answerkey", "label", "target", "cop", "answers", "best_answer", "correct_answer", "output", "solution",
          "response")  # fmt: skip
CLASSES = ("gold", "answerkey", "label", "target", "cop")  # a number here is the place of a choice or of a class, never the answer itself
JUDGED = ("mc1_targets", "mc2_targets")  # TruthfulQA's choices, each marked right (1) or wrong (0)
NESTS = ("data", "examples", "paragraphs", "qas", "qa_pairs")  # lists of rows within a row
BLANK = re.compile(r"_{2,}")
GAP = re.compile(r"(?<!\w)_(?!\w)")  # the blank of WinoGrande and RACE, elsewhere a sign like others
_LEAD = re.compile(r"^\s*(?:question|q|passage|context|problem)\s*:\s*", re.IGNORECASE)
_TAIL = re.compile(r"\s*\b(?:answer|a)\s*:\s*$", re.IGNORECASE)
_LISTED = re.compile(r"\n?\s*choices:\s*(?=\(?A[.)])", re.IGNORECASE)
_LETTER = re.compile(r"(?:^|\n)\s*\(?[A-H][.)]\s+")
_MARK = re.compile(r"\(?([A-J])[.)]?")


@dataclass(frozen=True)
class Items:
    """Benchmark items in order: five sequences of one length.

    Attributes
    ----------
    ids, benchmarks : which item of which benchmark
    questions : what is asked, or the text itself where nothing is asked
    choices : a tuple of texts an item, empty where it has none
    answers : the right answer as text, "" where none is known
    """

    ids: tuple[str, ...]
    benchmarks: tuple[str, ...]
    questions: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]
    answers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Iterable[int]) -> Items:
        """The items at `rows`, in that order."""
        chosen = list(rows)
        fields = (self.ids, self.benchmarks, self.questions, self.choices, self.answers)
        return Items(*(tuple(field[row] for row in chosen) for field in fields))  # type: ignore[arg-type]

    def told(self, row: int) -> str:
        """Question and answer as one text, the answer in the blank where the question has one."""
        question, answer = self.questions[row], self.answers[row]
        if answer and BLANK.search(question):
            return BLANK.sub(lambda _: answer, question)
        if answer and self.choices[row] and len(GAP.findall(question)) == 1:
            return GAP.sub(lambda _: answer, question)
        if answer and answer in question and f" {' '.join(words(answer))} " in f" {' '.join(words(question))} ":
            return question
        return f"{question} {answer}".strip()

    def offered(self, row: int) -> str:
        """Question and choices as one text, in the benchmark's order."""
        return with_choices(self.questions[row], self.choices[row])

    def lettered(self, row: int) -> str:
        """The same as a dump of an exam shows it, a letter before each choice: "A. first"."""
        return with_choices(self.questions[row], (f"{ascii_uppercase[at % 26]}. {choice}" for at, choice in enumerate(self.choices[row])))

    def words(self) -> np.ndarray:
        """Words of question and answer together, as the search counts them (`dedup.words`), one number an item."""
        return np.array([len(words(self.told(row))) for row in range(len(self))], np.int64)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any item."""
        return hashlib.sha256(json.dumps([self.benchmarks, self.questions, self.choices, self.answers]).encode()).hexdigest()[:16]

    def table(self) -> pd.DataFrame:
        """The items as a table: id, benchmark, question, choices (one a line), answer."""
        import pandas as pd

        return pd.DataFrame(
            {"id": self.ids, "benchmark": self.benchmarks, "question": self.questions,
             "choices": ["\n".join(choices) for choices in self.choices], "answer": self.answers}
        )  # fmt: skip


def load_items(*sources: str | Path | pd.DataFrame | Sequence[Mapping[str, Any]]) -> Items:
    """Read benchmarks.

    Parameters
    ----------
    sources : paths (file, folder or glob of JSONL, JSON, CSV, Parquet, Arrow or text, each also compressed), "hf:owner/name",
        or rows in memory, as a sequence of dictionaries or a DataFrame
        A row needs a question under one of the names in `QUESTION`; choices and an answer are read where there are any, and a
        passage under one of the names in `PASSAGE` is put before the question. Raw SQuAD, whose questions stand in lists within
        lists, and MMLU's CSV, which names no columns, are read as they are. The row's `benchmark` names it, else the file does,
        with its folder where two files have one name; its `id` names the item, else its place does. An id that its benchmark had
        before gets the number of its row, as in `corpus.load`: "a~2".

    Returns
    -------
    Items
        In the order of the sources; an item whose question, choices and answer all repeat an earlier one of its benchmark is
        read once.

    Raises
    ------
    InputError
        If there is no source, one can't be read, a row is broken, or a source holds no item with text.
    """
    if not sources:
        raise InputError("leakage: no benchmark to look for; name at least one file of items")
    asked: dict[tuple[Any, ...], tuple[str, str, Asked]] = {}
    names = _names(sources)
    for source in sources:
        count, fields = 0, ""
        for place, name, whole in _rows(source, names):
            for where, row in _flat(place, whole):
                own = _lowered(row)
                one = _read(own)
                fields = fields or textwrap.shorten(", ".join(map(str, row)), 200, placeholder=" ...")
                if not one.question:
                    continue
                count += 1
                benchmark = _said(own.get("benchmark")) or name
                item = _said(own.get("id")) or where.replace(" line ", "#").replace(" row ", "#")
                asked.setdefault((benchmark, *one), (where.rpartition(" ")[2], item, one))
        if not count:
            what = source if isinstance(source, str | Path) else "rows in memory"
            raise InputError(
                f"benchmark {what}: no item has a text; name the question's field one of {', '.join(QUESTION)}"
                f"{f' (this benchmark has: {fields})' if fields else ''}"
            )
    first = _counted_from((benchmark, one) for (benchmark, *_), (*_, one) in asked.items())
    found: dict[tuple[str, ...], tuple[str, str, str, tuple[str, ...], str]] = {}
    seen: set[tuple[str, str]] = set()
    for (benchmark, *_), (number, item, one) in asked.items():
        answer = _answer(one, first.get(benchmark))
        if (benchmark, one.question, *one.choices, answer) in found:
            continue
        while (benchmark, item) in seen:  # the same id again: its row keeps it apart
            item = f"{item}~{number}"
        seen.add((benchmark, item))
        found[benchmark, one.question, *one.choices, answer] = (item, benchmark, one.question, one.choices, answer)
    return Items(*(tuple(column) for column in zip(*found.values(), strict=True)))


def benchmark_files(priors: Priors) -> list[str]:
    """The benchmarks that the priors name: paths as `Priors.find` resolves them, hub names as they are."""
    return [name if name.startswith("hf:") else str(priors.find(name)) for name in priors.leakage.benchmarks]


def _names(sources: Iterable[Any]) -> dict[Path, str]:
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


def _rows(
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


def _flat(where: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
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
        yield from _flat(f"{where}.{number}", {**around, **one})


def _said(value: Any) -> str:
    """An id or a name as text; "" where it is missing, be that None or, as in a table, NaN or NA."""
    import pandas as pd

    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip()


class Asked(NamedTuple):
    """A row as it was read, the answer still as the row says it: a text, the place of a choice, or its label."""

    question: str
    choices: tuple[str, ...]
    labels: tuple[str, ...]
    answer: str | int | None


def _lowered(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their names in lower case, "Best Answer" as `best_answer`; those of a nested question (CommonsenseQA) beside them."""
    fields = {str(name): value for name, value in row.items()}
    fields = {**{name.strip().lower().replace(" ", "_"): value for name, value in fields.items()}, **fields}
    nested = fields.get("question")
    return {**fields, "question": None, **_lowered(nested)} if isinstance(nested, Mapping) else fields


def _read(row: Mapping[str, Any]) -> Asked:
    """Question, choices and answer of a row of any known shape, its names in lower case; labels cut."""
    name = next((name for name in QUESTION if _text(row, name)), "")
    question = _text(row, name)
    judged = _judged(row)
    choices, labels = (tuple(judged), ()) if judged else choices_of(row)
    listed = _LISTED.search(question)
    if listed and (not choices or all(len(choice) == 1 for choice in choices)):  # the options stand inside the text
        options = [part.strip() for part in _LETTER.split("\n" + _TAIL.sub("", question[listed.end() :]))]
        question, choices, labels = question[: listed.start()], tuple(part for part in options if part), ()
    question = _TAIL.sub("", _LEAD.sub("", question)).strip()
    if name == "instruction":  # Alpaca's task, and what it is to be done with
        question = f"{question}\n{_text(row, 'input')}".strip()
    passage = "" if name in PASSAGE else next((_text(row, name) for name in PASSAGE if _text(row, name)), "")
    if passage and passage not in question:
        question = f"{_LEAD.sub('', passage)}\n{question}".strip()
    right = next((choice for choice, mark in judged.items() if mark == 1), None)
    return Asked(question, choices, labels, right or _said_right(row, choices))


def _judged(row: Mapping[str, Any]) -> dict[str, Any]:
    """TruthfulQA's choices and whether each is right, from {choice: 0 or 1} or from the hub's lists of both; empty where there are none."""
    found: Mapping[str, Any] = next((row[name] for name in JUDGED if isinstance(row.get(name), Mapping)), {})
    if "choices" in found and "labels" in found:
        found = dict(zip(plain(found["choices"]), plain(found["labels"]), strict=False))
    return {str(choice).strip(): mark for choice, mark in found.items()}


def _text(row: Mapping[str, Any], name: str) -> str:
    return row[name].strip() if isinstance(row.get(name), str) else ""


def _said_right(row: Mapping[str, Any], choices: tuple[str, ...]) -> str | int | None:
    """What the first field that tells of an answer says; of several answers (SQuAD) the first."""
    for name in ANSWER:
        value = row.get(name)
        if isinstance(value, Mapping):
            value = value.get("text", value.get("value"))
        value = plain(value)
        if isinstance(value, list | tuple):
            told = (one.get("text") if isinstance(one, Mapping) else one for one in value)
            value = next((one for one in told if isinstance(one, str | int | float)), None)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, float):
            value = int(value) if value.is_integer() else value if math.isfinite(value) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and (choices or name not in CLASSES):
            if not choices or (str(value) in choices and not 0 <= value < len(choices)):
                return str(value)
            if isinstance(value, int) and 0 <= value <= len(choices):
                return value
    return None


def _counted_from(asked: Iterable[tuple[str, Asked]]) -> dict[str, int]:
    """Whether a benchmark counts its choices from 0 or from 1, where its answers show it: one is 0, or one is as many as the choices."""
    first: dict[str, int] = {}
    for benchmark, one in asked:
        key = str(one.answer)
        if one.choices and key.isdecimal() and not (isinstance(one.answer, str) and key in one.choices):
            if int(key) == 0:
                first[benchmark] = 0
            elif int(key) == len(one.choices):
                first.setdefault(benchmark, 1)
    return first


def _answer(one: Asked, first: int | None) -> str:
    """The right answer as text: a number, counted from `first` where that is known, or a letter is looked up among the choices."""
    key = "" if one.answer is None else str(one.answer)
    if not one.choices or (isinstance(one.answer, str) and key in one.choices):
        return key
    mark = _MARK.fullmatch(key)
    if key in one.labels and not (key.isdecimal() and first == 0):
        at = one.labels.index(key)
    elif key.isdecimal():
        at = int(key) - (first or 0)
    else:
        at = ord(mark[1]) - ord("A") if mark else -1
    if 0 <= at < len(one.choices):
        return one.choices[at]
    return key if isinstance(one.answer, str) else ""
