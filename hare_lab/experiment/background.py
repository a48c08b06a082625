"""An experiment beside one's work: start it, look at it, stop it, go on with it.

The work is done by a process of its own, `hare-lab experiment` once more; the folder is all that it shares with whoever started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hare_lab.errors import InputError
from hare_lab.experiment.conduct import CANCEL, PLAN, RUNS, STARTED, STATUS, Status, begin
from hare_lab.experiment.plan import Plan, read_plan
from hare_lab.machine import alive, alone, held
from hare_lab.whole_files import write_text


def launch(plan: str | Path | Plan, out: str | Path, *, runs: str | Path | None = None, join: bool = False, workers: int = 0) -> int:
    """Start an experiment in a process of its own, and come back at once with its number.

    Parameters
    ----------
    plan : its file, or the plan itself, which is then written into the folder first
    out : folder of the experiment
    runs : where run folders live, and the list of confirmatory runs with them; default: `run.runs_folder()`
    join : where that very experiment runs in the folder already, come back with its number instead of refusing
    workers : cells trained side by side; 0: as many as cores and memory allow

    Raises
    ------
    InputError
        If the plan is not one, or an experiment runs in that folder.
    """
    read = plan if isinstance(plan, Plan) else read_plan(plan)  # what is wrong with it is said now, not in a log
    folder = Path(out)
    if held(folder) or _starting(folder):
        if join and (folder / PLAN).exists() and read_plan(folder / PLAN) == read and (folder / STARTED).exists():
            return int((folder / STARTED).read_text(encoding="utf-8"))
        raise InputError(RUNS.format(folder=folder))
    env = {**os.environ, **({"HARE_LAB_RUNS": str(Path(runs).resolve())} if runs else {})}
    with alone(folder, RUNS):  # of two that start it at once, one does
        if _starting(folder):
            raise InputError(RUNS.format(folder=folder))
        if isinstance(plan, Plan):
            begin(plan, folder, runs)
        for old in (STATUS, CANCEL):
            (folder / old).unlink(missing_ok=True)
        file = folder / PLAN if isinstance(plan, Plan) else Path(plan)
        words = [sys.executable, "-P", "-m", "hare_lab.cli", "experiment", str(file.resolve()), "--out", str(folder.resolve())]
        words += ["--workers", str(workers)]
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=env)
        write_text(folder / STARTED, str(process.pid))
    return process.pid


def status(out: str | Path) -> Status:
    """How far the experiment in a folder is.

    Raises
    ------
    InputError
        If there is none.
    """
    folder = Path(out)
    running = held(folder)  # looked at first: who ends between the two looks has written its last word by the second
    if not (folder / STATUS).exists():
        if running or _starting(folder):
            return Status("starting")
        if not (folder / STARTED).exists():
            raise InputError(f"{folder} holds no experiment; `hare-lab experiment PLAN.yaml --out {folder}` starts one")
        if (folder / STATUS).exists():  # it ended between the two looks
            return status(out)
        return Status("failed", message=_last_words(folder))
    told = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    found = Status(**{key: told[key] for key in Status.__dataclass_fields__ if key in told})
    if found.state == "running" and running and (folder / CANCEL).exists():
        return replace(found, message="asked to stop")
    if found.state == "running" and not running:
        return replace(
            found,
            state="lost",
            message="its process has ended without a word; start it again: what is done stays, and what has a checkpoint goes on",
        )
    return found


def cancel(out: str | Path) -> None:
    """Ask an experiment that runs, or is starting, to stop after its present step, or once the cell that it scores is done; it goes on
    from there when it is started again.

    Raises
    ------
    InputError
        If none runs in the folder.
    """
    if not held(Path(out)) and not _starting(Path(out)):
        raise InputError(f"no experiment runs in {out}; there is nothing to cancel")
    (Path(out) / CANCEL).touch()


def _starting(folder: Path) -> bool:
    """Whether a process was started that has not come to hold the folder yet."""
    started = folder / STARTED
    return not (folder / STATUS).exists() and started.exists() and alive(int(started.read_text(encoding="utf-8")))


def _last_words(folder: Path) -> str:
    lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines() if (folder / "log.txt").exists() else []
    return lines[-1][:300] if lines else "its process ended without a word"
