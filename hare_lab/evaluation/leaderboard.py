"""Where does a model stand among those of the paper?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hare_lab import texts
from hare_lab.evaluation.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "mmlu": "MMLU", "arc_challenge": "ARC-C", "truthfulqa_mc2": "TruthfulQA", "winogrande": "WinoGrande", "hellaswag": "HellaSwag",
    "gsm8k": "GSM8K",
}  # fmt: skip
_PRINTED = {"truthfulqa_mc2": "truthfulqa"}
CHANCE = {"mmlu": 25.0, "arc_challenge": 25.0, "winogrande": 50.0, "hellaswag": 25.0, "gsm8k": 0.0}


def leaderboard(scores: Sequence[Scores] = ()) -> pd.DataFrame:
    """Table 1 of the paper, with the user's models as rows of it and a row for guessing.

    Returns
    -------
    DataFrame, best average first: model, origin (`paper`, `yours` or `chance`), average (of all six, empty where one is missing),
    and the six scores in percent, empty where a model was not asked. What else yours were asked follows as columns of their own.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for printed in texts.paper_table("table1_leaderboard"):
        cells = {shown: float(printed[_PRINTED.get(task, task)]) for task, shown in COLUMNS.items()}
        rows.append({"model": printed["model"], "origin": "paper", "average": float(printed["average"]), **cells})
    own = list(dict.fromkeys(s.task for one in scores for s in one.scores if s.task not in COLUMNS))
    for one in scores:
        got = {s.task: 100 * s.value for s in one.scores}
        six = [got.get(task) for task in COLUMNS]
        mean = sum(v for v in six if v is not None) / 6 if None not in six else None
        cells_own = {COLUMNS.get(task, task): value for task, value in got.items()}
        rows.append({"model": one.model, "origin": "yours", "average": mean, **cells_own})
    guess = {COLUMNS[t]: v for t, v in CHANCE.items()} | {s.task: 100 * s.chance for one in scores for s in one.scores if s.task in own}
    for one in scores:
        guess |= {COLUMNS[s.task]: 100 * s.chance for s in one.scores if s.task == "truthfulqa_mc2"}
    rows.append({"model": "guessing", "origin": "chance", "average": None, **guess})
    table = pd.DataFrame(rows, columns=["model", "origin", "average", *COLUMNS.values(), *own])
    numbers = table.columns[2:]
    table[numbers] = table[numbers].astype(float)
    order = table["average"].fillna(-1) + table["origin"].map({"paper": 0.0, "yours": -0.1, "chance": -0.5}).to_numpy()
    return table.iloc[order.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)
