"""What must stay unseen: benchmark items from files of any common shape, as question, choices and answer.

Benchmarks come as JSON lines, CSV, Parquet or hub datasets, and each names its fields its own way. The first of the known names
that holds text is taken; a letter or a number for an answer is looked up among the choices; labels such as "Question:" that
stand in no leaked copy are cut.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.choices import choices_of
from hare_lab.dedup.words import words
from hare_lab.errors import InputError
from hare_lab.priors import Priors

if TYPE_CHECKING:
    import pandas as pd

QUESTION = ("question", "text", "prompt", "query", "problem", "goal", "sentence", "stem", "ctx", "passage")
ANSWER = ("answer", "gold", "answerKey", "label", "target")
BLANK = re.compile(r"_{2,}")
_LEAD = re.compile(r"^\s*(?:question|q|passage|context|problem)\s*:\s*", re.IGNORECASE)
_TAIL = re.compile(r"\s*\b(?:answer|a)\s*:\s*$", re.IGNORECASE)
_LISTED = re.compile(r"\n?\s*choices:\s*(?=\(?A[.)])", re.IGNORECASE)
_LETTER = re.compile(r"(?:^|\n)\s*\(?[A-H][.)]\s+")


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
        if answer and answer in question:
            return question
        return f"{question} {answer}".strip()

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
        A row needs a question under one of the names in `QUESTION`; choices and an answer are read where there are any. The
        row's `benchmark` names it, else the file does; its `id` names the item, else its place does.

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
    found: dict[tuple[str, ...], tuple[str, str, str, tuple[str, ...], str]] = {}
    for source in sources:
        count, fields = 0, ""
        for where, name, row in _rows(source):
            question, choices, answer = _read(row)
            fields = fields or ", ".join(map(str, row))
            if not question:
                continue
            count += 1
            benchmark = _said(row.get("benchmark")) or name
            item = _said(row.get("id")) or where.replace(" line ", "#").replace(" row ", "#")
            found.setdefault((benchmark, question, *choices, answer), (item, benchmark, question, choices, answer))
        if not count:
            what = source if isinstance(source, str | Path) else "rows in memory"
            raise InputError(
                f"benchmark {what}: no item has a text; name the question's field one of {', '.join(QUESTION)}"
                f"{f' (this benchmark has: {fields})' if fields else ''}"
            )
    return Items(*(tuple(column) for column in zip(*found.values(), strict=True)))


def benchmark_files(priors: Priors) -> list[str]:
    """The benchmarks that the priors name: paths as `Priors.find` resolves them, hub names as they are."""
    return [name if name.startswith("hf:") else str(priors.find(name)) for name in priors.leakage.benchmarks]


def _rows(source: str | Path | pd.DataFrame | Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
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
        called = file.parent.name if file.name.split(".")[0] == "data" else file.name.split(".")[0]
        for where, row in read_file(file, file.name):
            problem = row.get(PROBLEM)
            if isinstance(problem, Problem):
                raise InputError(f"benchmark {problem.sentence}; mend or remove the line")
            yield where, called, row


def _said(value: Any) -> str:
    """An id or a name as text; "" where it is missing, be that None or, as in a table, NaN or NA."""
    import pandas as pd

    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip()


def _read(row: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    """Question, choices and answer of a row of any known shape, labels cut."""
    question = next((str(row[name]) for name in QUESTION if isinstance(row.get(name), str) and str(row[name]).strip()), "")
    choices, labels = choices_of(row)
    listed = _LISTED.search(question)
    if listed and (not choices or all(len(choice) == 1 for choice in choices)):  # the options stand inside the text
        options = [part.strip() for part in _LETTER.split("\n" + _TAIL.sub("", question[listed.end() :]))]
        question, choices, labels = question[: listed.start()], tuple(part for part in options if part), ()
    question = _TAIL.sub("", _LEAD.sub("", question)).strip()
    return question, choices, _answer(row, choices, labels)


def _answer(row: Mapping[str, Any], choices: tuple[str, ...], labels: tuple[str, ...]) -> str:
    """The right answer as text: an index or a letter is looked up among the choices."""
    for name in ANSWER:
        value = row.get(name)
        if value is None or isinstance(value, bool) or (isinstance(value, str) and not value.strip()):
            continue
        if isinstance(value, str) and value.strip() in choices:
            return value.strip()
        key = str(value).strip()
        if choices:
            at = labels.index(key) if key in labels else int(key) if key.isdecimal() else "ABCDEFGH".find(key) if len(key) == 1 else -1
            if 0 <= at < len(choices):
                return choices[at]
        if isinstance(value, str):
            return key
    return ""
