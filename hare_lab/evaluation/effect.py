"""What did fine-tuning do to a model's scores? The paper's table 7 with the reader's model in it, and how sure each change is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hare_lab import texts
from hare_lab.errors import InputError
from hare_lab.evaluation.leaderboard import COLUMNS
from hare_lab.evaluation.scores import Score, Scores, wilson

if TYPE_CHECKING:
    import pandas as pd

# Items of the paper's six test sets (TruthfulQA mc2 and HellaSwag: validation); the paper prints no error, so we take Wilson's
ITEMS = {
    "mmlu": 14_042, "arc_challenge": 1_172, "truthfulqa_mc2": 817, "winogrande": 1_267, "hellaswag": 10_042, "gsm8k": 1_319,
}  # fmt: skip
_PRINTED = {"truthfulqa_mc2": "truthfulqa"}


def tuning_effect(before: Scores, after: Scores) -> pd.DataFrame:
    """Scores before and after tuning, the reader's tasks first, then the paper's six (HARE-1.1B and HARE-1.1B-Chat).

    The interval of a change is Newcombe's, as if the two models had answered different items. They answered the same ones,
    so a change whose interval leaves 0 out is sure; one that does not may still be real.

    Returns
    -------
    DataFrame with one row a task: task, origin (`yours` or `paper`), before, after, change, low, high (of the change), sure (whether
    the interval leaves 0 out), chance, items; all scores are shares from 0 to 1.

    Raises
    ------
    InputError
        If the two models were not asked the same tasks.

    References
    ----------
    Zhang et al. (2024), arXiv 2406.11410, table 7; intervals there are ours. Newcombe (1998), "Interval estimation for the difference
    between independent proportions", Statistics in Medicine 17, method 10.
    """
    import pandas as pd

    asked, again = ([score.task for score in one.scores] for one in (before, after))
    if sorted(asked) != sorted(again):
        raise InputError(f"before tuning the model was asked {', '.join(asked)}, after it {', '.join(again)}; ask the same tasks")
    rows = [_row(score, after[score.task], "yours") for score in before.scores]
    base, chat = texts.paper_table("table7_chat")
    for task, shown in COLUMNS.items():
        one, other = (_printed(task, shown, table[_PRINTED.get(task, task)]) for table in (base, chat))
        rows.append(_row(one, other, "paper"))
    return pd.DataFrame(rows)


def change(one: Score, other: Score) -> tuple[float, float, float]:
    """How much more `other` is than `one`, and the 95 % interval of it."""
    found = other.value - one.value
    low = found - math.hypot(other.value - other.low, one.high - one.value)
    high = found + math.hypot(other.high - other.value, one.value - one.low)
    return found, low, high


def _row(one: Score, other: Score, origin: str) -> dict[str, object]:
    found, low, high = change(one, other)
    return {
        "task": one.task, "origin": origin, "before": one.value, "after": other.value, "change": found, "low": low, "high": high,
        "sure": low > 0 or high < 0, "chance": one.chance, "items": one.items,
    }  # fmt: skip


def _printed(task: str, shown: str, percent: str) -> Score:
    value = float(percent) / 100
    low, high = wilson(value, ITEMS[task])
    return Score(shown, "", value, math.nan, math.nan, low, high, ITEMS[task])
