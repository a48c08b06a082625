"""Run the plan: every arm with every seed, stopped and gone on with at will.

The folder says everything: `plan.yaml` and `material`, what its pages are known by (written first), `status.json` (how far it is, anew
once a second), `cells/`, and at the end the report. Who looks into it from another process sees the same.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.errors import InputError
from hare_lab.experiment import registry
from hare_lab.experiment.cells import MATERIAL, LeakTest, cell_folder, finished
from hare_lab.experiment.plan import Plan, read_plan
from hare_lab.experiment.report import Experiment, assemble
from hare_lab.experiment.setup import Material
from hare_lab.experiment.workers import News, side_by_side, work
from hare_lab.machine import alone
from hare_lab.report_base import Report, html_table
from hare_lab.run.storage import write_json
from hare_lab.whole_files import write_text

if TYPE_CHECKING:
    import pandas as pd

PLAN, STATUS, CANCEL = "plan.yaml", "status.json", "cancel"
STARTED = "started"  # holds the number of the process that `launch` started
RUNS = "the experiment in {folder} runs already; look at it with --status, or stop it with --cancel"
EVERY = 1.0  # seconds between two writings of the status


@dataclass(frozen=True)
class Status(Report):
    """How far an experiment is. `state` is starting, running, done, cancelled, failed, or lost (its process ended without a word)."""

    title: ClassVar[str] = "The experiment, now"

    state: str
    cell: str = ""
    done: int = 0
    cells: int = 0
    tokens: int = 0
    tokens_in_all: int = 0
    seconds_left: float | None = None
    message: str = ""

    @property
    def over(self) -> bool:
        return self.state not in ("starting", "running")

    def __str__(self) -> str:
        left = f", about {self.seconds_left / 60:.0f} minutes left" if self.seconds_left and self.state == "running" else ""
        now = f"; now {self.cell}" if self.cell and self.state == "running" else ""
        share = f", {self.tokens / self.tokens_in_all:.0%} of the tokens" if self.tokens_in_all else ""
        said = f": {self.message}" if self.message else ""
        return f"{self.state}{said}: {self.done} of {self.cells} cells done{share}{now}{left}"

    def _repr_html_(self) -> str:
        return html_table([(str(self),)], caption=self.title)


def conduct(
    shared: Material | Callable[[], Material],
    out: str | Path,
    *,
    workers: int = 1,
    leak_test: LeakTest | None = None,
    watch: Callable[[Status], None] | None = None,
) -> Experiment:
    """Run all cells that are not finished yet, and sum up.

    Parameters
    ----------
    shared : pages, tokenizer and plan; or what makes them, which may take a while: the folder is held meanwhile
    out : folder of the experiment; one plan a folder, and the same pages, vectors and priors each time
    workers : cells trained side by side, each by a process of its own with one thread; 1 trains in this process. `fitting` says how
        many this machine takes. With more than one, a script needs the usual `if __name__ == "__main__":`, and `leak_test` a name
    leak_test : the model-side test of leakage, run on every trained model
    watch : told how far it is, once a second

    Returns
    -------
    Experiment
        What the finished cells say; `complete` is false where it was cancelled.

    Raises
    ------
    InputError
        If the folder holds an experiment of another plan or on other pages, vectors or priors, or one that runs at this moment.
    RuntimeError
        If a worker ended without a word (out of memory); what it did is kept.
    """
    if workers < 1:
        raise InputError(f"experiment: {workers} workers can do nothing; give 1 or more")
    folder = Path(out)
    with alone(folder, RUNS):
        if not _launched(folder):
            (folder / CANCEL).unlink(missing_ok=True)
        material = shared() if callable(shared) else shared
        plan = material.plan
        begin(plan, folder, material=material.digest)
        status = _Status(plan, folder, watch)
        try:
            with _on_sigterm(status):
                count = min(workers, len(status.cells) - len(status.done))
                if count > 1:
                    side_by_side(material, folder, count, status, cancel=folder / CANCEL, leak_test=leak_test)
                else:
                    work(material, folder, status, leak_test=leak_test)
        except KeyboardInterrupt:
            status.write("cancelled", "stopped by hand; start it again: what is done stays, and what has a checkpoint goes on")
            raise
        except BaseException as error:
            status.write("failed", str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
            raise
        result = assemble(plan, _records(plan, folder))
        if result.complete:
            registry.finish(plan, folder, result.verdict)
        status.write("done" if result.complete else "cancelled", "" if result.complete else "stopped when asked; start it again to go on")
        return result


def _launched(folder: Path) -> bool:
    """Whether `launch` started this process: it took an old request to stop away, and one that came since is meant for this process."""
    file = folder / STARTED
    return file.exists() and file.read_text(encoding="utf-8") == str(os.getpid())


def begin(plan: Plan, folder: Path, runs: str | Path | None = None, *, material: str = "") -> None:
    """Write down, before anything is trained, the plan and what is known of its material, and list the plan beside the run folders.

    Parameters
    ----------
    runs : where run folders live; default: `run.runs_folder()`
    material : its digest; empty: not known yet. A folder of before there were digests takes the first that comes

    Raises
    ------
    InputError
        If the folder holds another plan, or the same on other material.
    """
    held, kept = folder / PLAN, folder / MATERIAL
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
    known = kept.read_text(encoding="utf-8") if kept.exists() else ""
    if material and known and known != material:
        raise InputError(
            f"{folder} holds the same plan on other pages, vectors or priors ({known}, not {material}); cells of the two can't be "
            "compared: give another folder"
        )
    if material and not known:
        write_text(kept, material)
    registry.register(plan, folder.resolve(), runs)


def results(folder: str | Path) -> Experiment:
    """What the finished cells of an experiment's folder say so far.

    Raises
    ------
    InputError
        If the folder holds no experiment, or no finished cell.
    """
    plan = _plan_of(Path(folder))
    records = _records(plan, Path(folder))
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


def overview(folder: str | Path) -> pd.DataFrame:
    """`progress` for a person: one row an arm, one column a seed: waiting, the last look so far, or the end in bits per byte.

    Raises
    ------
    InputError
        If the folder holds no experiment.
    """
    cells, looks = progress(folder), _plan_of(Path(folder)).looks
    cells["said"] = [
        f"{bits:.3f}" if state == "done" else f"{bits:.3f} (look {n} of {looks})" if n else {"begun": "training ..."}.get(state, "–")
        for state, n, bits in zip(cells["state"], cells["looks"], cells["bits_per_byte"], strict=True)
    ]
    wide = cells.pivot(index="arm", columns="seed", values="said").loc[list(dict.fromkeys(cells["arm"]))].fillna("")
    wide.columns = [f"seed {seed}" for seed in wide.columns]
    return wide.reset_index()


def _records(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    return [record for arm, seed in plan.cells() if (record := finished(folder, plan, arm, seed))]


def _plan_of(folder: Path) -> Plan:
    if not (folder / PLAN).exists():
        raise InputError(f"{folder} holds no experiment (no {PLAN}); `hare-lab experiment PLAN.yaml --out {folder}` starts one")
    return read_plan(folder / PLAN)


class _Status:
    """Keeps `status.json` up to date, and passes on a request to stop (the file `cancel`, or SIGTERM)."""

    def __init__(self, plan: Plan, folder: Path, watch: Callable[[Status], None] | None) -> None:
        self.plan, self.folder, self.watch, self.stop, self.last = plan, folder, watch, False, 0.0
        self.cells = plan.cells()
        self.in_all = sum(plan.tokens_of(arm) for arm, _ in self.cells)
        self.read = {(arm.name, seed): int(record["tokens"]) for arm, seed in self.cells if (record := finished(folder, plan, arm, seed))}
        self.done, self.begun, self.began = set(self.read), sum(self.read.values()), time.monotonic()
        self.write("running")

    def __call__(self, news: News) -> bool:
        self.stop = self.stop or (self.folder / CANCEL).exists()
        if news.arm:
            cell = (news.arm, news.seed)
            if cell not in self.read:  # what it had read before this process came was read by another
                self.begun += news.tokens
            self.read[cell] = news.tokens
            if news.finished:
                self.done.add(cell)
        if news.finished or time.monotonic() - self.last > EVERY:
            self.write("running")
        return self.stop

    def write(self, state: str, message: str = "") -> None:
        """The status as it is; time left from the speed since this process began, scoring included."""
        read, spent = sum(self.read.values()), time.monotonic() - self.began
        mine, left = read - self.begun, self.in_all - read
        self.last = time.monotonic()
        now = Status(
            state=state, cell="; ".join(f"{arm}, seed {seed}" for arm, seed in self.read if (arm, seed) not in self.done),
            done=len(self.done), cells=len(self.cells), tokens=read, tokens_in_all=self.in_all,
            seconds_left=max(0.0, left * spent / mine) if mine else None, message=message,
        )  # fmt: skip
        write_json(self.folder / STATUS, {**now.to_dict(), "plan": self.plan.hash, "pid": os.getpid()})
        if self.watch:
            self.watch(now)


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
