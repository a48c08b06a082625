"""Run the plan: every arm with every seed, one cell after another, stopped and gone on with at will.

The folder says everything: `plan.yaml` (written first), `status.json` (how far it is, anew once a second), `cells/`, and at the end the
report. Who looks into it from another process sees the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.errors import InputError
from hare_lab.experiment import registry
from hare_lab.experiment.cells import LeakTest, cell_folder, finished, run_cell
from hare_lab.experiment.plan import Plan, read_plan
from hare_lab.experiment.report import Experiment, assemble
from hare_lab.experiment.setup import Material
from hare_lab.run.storage import write_json

if TYPE_CHECKING:
    import pandas as pd

    from hare_lab.training import Progress

PLAN, STATUS, CANCEL, LOCK = "plan.yaml", "status.json", "cancel", ".lock"
EVERY = 1.0  # seconds between two writings of the status


def conduct(shared: Material, out: str | Path, *, leak_test: LeakTest | None = None) -> Experiment:
    """Run all cells that are not finished yet, and sum up.

    Parameters
    ----------
    shared : pages, tokenizer and plan
    out : folder of the experiment; one plan a folder
    leak_test : the model-side test of leakage, run on every trained model

    Returns
    -------
    Experiment
        What the finished cells say; `complete` is false where it was cancelled.

    Raises
    ------
    InputError
        If the folder holds another plan's experiment, or one that runs at this moment.
    """
    plan, folder = shared.plan, Path(out)
    with _alone(folder):
        begin(plan, folder)
        (folder / CANCEL).unlink(missing_ok=True)
        status = _Status(plan, folder)
        records = []
        try:
            with _on_sigterm(status):
                for arm, seed in plan.cells():
                    record = finished(folder, plan, arm, seed)
                    if record is None and not status.stop:
                        status.start(arm.name, seed, plan.tokens_of(arm))
                        record = run_cell(shared, arm, seed, folder, leak_test=leak_test, watch=status)
                    if record is not None:
                        records.append(record)
                        status.add(record)
        except BaseException as error:
            status.write("failed", str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
            raise
        result = assemble(plan, records)
        if result.complete:
            registry.finish(plan, folder, result.verdict)
        status.write("done" if result.complete else "cancelled", "" if result.complete else "stopped when asked; start it again to go on")
        return result


def begin(plan: Plan, folder: Path) -> None:
    """Write the plan down, before anything is trained; refuse a folder that holds another."""
    held = folder / PLAN
    if held.exists():
        other = read_plan(held)
        if other.hash != plan.hash:
            raise InputError(
                f"{folder} holds the experiment of another plan ({other.hash}, not {plan.hash}); a changed plan is a new experiment: give "
                "another folder"
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        plan.save(held)
    registry.register(plan, folder.resolve())


def results(folder: str | Path) -> Experiment:
    """What the finished cells of an experiment's folder say so far.

    Raises
    ------
    InputError
        If the folder holds no experiment, or no finished cell.
    """
    plan = _plan_of(Path(folder))
    records = [record for arm, seed in plan.cells() if (record := finished(Path(folder), plan, arm, seed))]
    if not records:
        raise InputError(f"{folder}: no cell is finished yet; `--status` says how far it is")
    return assemble(plan, records)


def progress(folder: str | Path) -> pd.DataFrame:
    """One row a cell: arm, seed, state (waiting, begun, done), looks, bits_per_byte (of the last look), minutes.

    Raises
    ------
    InputError
        If the folder holds no experiment.
    """
    import pandas as pd

    out, rows = Path(folder), []
    plan = _plan_of(out)
    for arm, seed in plan.cells():
        record, place = finished(out, plan, arm, seed), cell_folder(out, arm, seed)
        looks = record["looks"] if record else json.loads((place / "looks.json").read_text()) if (place / "looks.json").exists() else []
        state = "done" if record else "begun" if place.exists() else "waiting"
        minutes = record["wall_seconds"] / 60 if record else float("nan")
        rows.append((arm.name, seed, state, len(looks), looks[-1][1] if looks else float("nan"), minutes))
    return pd.DataFrame(rows, columns=["arm", "seed", "state", "looks", "bits_per_byte", "minutes"])


def _plan_of(folder: Path) -> Plan:
    if not (folder / PLAN).exists():
        raise InputError(f"{folder} holds no experiment (no {PLAN}); `hare-lab experiment PLAN.yaml --out {folder}` starts one")
    return read_plan(folder / PLAN)


class _Status:
    """Keeps `status.json` up to date, and passes on a request to stop (the file `cancel`, or SIGTERM)."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder, self.stop, self.last = plan, folder, False, 0.0
        self.cells = plan.cells()
        self.tokens = sum(plan.tokens_of(arm) for arm, _ in self.cells)
        self.done = self.done_tokens = self.now_tokens = self.own_tokens = 0
        self.began, self.cell = time.monotonic(), ""
        self.write("running")

    def start(self, arm: str, seed: int, tokens: int) -> None:
        self.cell, self.now_tokens = f"{arm}, seed {seed}", 0
        self.write("running")

    def add(self, record: dict[str, Any]) -> None:
        self.done += 1
        self.done_tokens += int(record["tokens"])
        self.own_tokens += self.now_tokens
        self.now_tokens = 0

    def __call__(self, progress: Progress) -> bool:
        self.now_tokens = progress.tokens
        self.stop = self.stop or (self.folder / CANCEL).exists()
        if time.monotonic() - self.last > EVERY:
            self.write("running")
        return self.stop

    def write(self, state: str, message: str = "") -> None:
        """The status as it is; time left from the speed since this process began, scoring included."""
        mine, spent = self.own_tokens + self.now_tokens, time.monotonic() - self.began
        left = self.tokens - self.done_tokens - self.now_tokens
        self.last = time.monotonic()
        write_json(self.folder / STATUS, {
            "state": state, "plan": self.plan.hash, "cell": self.cell, "done": self.done, "cells": len(self.cells),
            "tokens": self.done_tokens + self.now_tokens, "tokens_in_all": self.tokens,
            "seconds_left": left * spent / mine if mine else None, "message": message, "pid": os.getpid(),
        })  # fmt: skip


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the experiment's folder for this process; the system lets go of it however the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        for attempt in range(5):  # who only looks whether it is held holds it for a moment
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if attempt == 4:
                    raise InputError(
                        f"the experiment in {folder} runs already; look at it with --status, or stop it with --cancel"
                    ) from error
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


@contextmanager
def _on_sigterm(status: _Status) -> Iterator[None]:
    """SIGTERM stops after the present step, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(*_: Any) -> None:
        status.stop = True

    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
