"""What must stay unseen: benchmark items, as question, choices and answer, from files of any common shape.

`rows` finds the rows that a file, a hub dataset or a list holds, `asked` what a row asks; here they become items, each once.
"""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.choices import QUESTION, with_choices
from hare_lab.dedup.words import words
from hare_lab.errors import InputError
from hare_lab.leakage.asked import Asked, answer_of, counted_from, lowered, read
from hare_lab.leakage.rows import flat, names_of, rows_of
from hare_lab.priors import Priors

if TYPE_CHECKING:
    import pandas as pd

BLANK = re.compile(r"_{2,}")
GAP = re.compile(r"(?<!\w)_(?!\w)")  # the blank of WinoGrande and RACE, elsewhere a sign like others


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
    names = names_of(sources)
    for source in sources:
        count, fields = 0, ""
        for place, name, whole in rows_of(source, names):
            for where, row in flat(place, whole):
                own = lowered(row)
                one = read(own)
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
    first = counted_from((benchmark, one) for (benchmark, *_), (*_, one) in asked.items())
    found: dict[tuple[str, ...], tuple[str, str, str, tuple[str, ...], str]] = {}
    seen: set[tuple[str, str]] = set()
    for (benchmark, *_), (number, item, one) in asked.items():
        answer = answer_of(one, first.get(benchmark))
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


def _said(value: Any) -> str:
    """An id or a name as text; "" where it is missing, be that None or, as in a table, NaN or NA."""
    import pandas as pd

    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip()
