"""Every confirmatory run that was ever started, also those that were given up or went against the hypothesis.

One line a run, appended before its first step and once more when it ends; nothing is ever taken out. The list lies beside the run folders.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.experiment.plan import Plan
from hare_lab.run import runs_folder

if TYPE_CHECKING:
    import pandas as pd

FILE = "experiments.jsonl"
COLUMNS = ("registered", "plan", "name", "hypothesis", "folder", "finished", "verdict")


def register(plan: Plan, folder: Path, root: str | Path | None = None) -> None:
    """Note that a confirmatory run begins; a run that goes on after a kill is the same run and is noted once."""
    if plan.kind != "confirmatory" or any(row["plan"] == plan.hash and row["folder"] == str(folder) for row in _rows(root)):
        return
    said = {"event": "registered", "plan": plan.hash, "name": plan.name, "hypothesis": plan.hypothesis, "folder": str(folder)}
    _append(said, root)


def finish(plan: Plan, folder: Path, verdict: str) -> None:
    """Note how it ended."""
    place = str(folder.resolve())  # as it was registered, wherever it was called from
    ended = any(row["event"] == "finished" and row["plan"] == plan.hash and row["folder"] == place for row in _rows())
    if plan.kind == "confirmatory" and not ended:
        _append({"event": "finished", "plan": plan.hash, "folder": place, "verdict": verdict})


def confirmatory_runs(root: str | Path | None = None) -> pd.DataFrame:
    """Every confirmatory run ever registered, the first first: registered, plan, name, hypothesis, folder, finished, verdict.

    Parameters
    ----------
    root : where run folders live; default: `run.runs_folder()`
    """
    import pandas as pd

    runs: dict[tuple[str, str], dict[str, Any]] = {}
    for row in _rows(root):
        key = (row["plan"], row["folder"])
        if row["event"] == "registered":
            runs.setdefault(key, {**row, "registered": row["time"], "finished": "", "verdict": "not finished"})
        elif key in runs:
            runs[key] |= {"finished": row["time"], "verdict": row["verdict"]}
    return pd.DataFrame(list(runs.values()), columns=list(COLUMNS))


def _rows(root: str | Path | None = None) -> list[dict[str, Any]]:
    path = Path(root or runs_folder()) / FILE
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:  # the last line of a run that was killed while it wrote
            continue
    return rows


def _append(row: dict[str, Any], root: str | Path | None = None) -> None:
    path = Path(root or runs_folder()) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        before = file.read()
        start = "\n" if before and not before.endswith("\n") else ""
        file.write(start + json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **row}, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
