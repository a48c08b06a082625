"""How a command speaks and writes: one line at a time, and nothing half-written, ever."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hare_lab.bars import bar
from hare_lab.errors import InputError
from hare_lab.machine import alive

if TYPE_CHECKING:
    from hare_lab.corpus import Loaded
    from hare_lab.training import Progress, TrainingReport


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def times(number: float) -> str:
    return f"{number:g} time{'' if number == 1 else 's'}"


class Stopped(Exception):
    """Ctrl-C ended a command in good order; the sentence says where it stands and how to go on."""


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Once training has begun, Ctrl-C asks it to stop after its present step, and a second one ends it at once.

    What it gives is called after each step, and says whether to stop.
    """
    begun = pressed = False

    def asked(*_: object) -> None:
        nonlocal pressed
        signal.signal(signal.SIGINT, before)
        if not begun:
            raise KeyboardInterrupt
        pressed = True
        sys.stderr.write("\nStopping after this step; Ctrl-C again stops at once and keeps no checkpoint of it\n")

    def stop() -> bool:
        nonlocal begun
        begun = True
        return pressed

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def where_it_stopped(report: TrainingReport, out: Path) -> str:
    from hare_lab.training import CHECKPOINTS

    return f"stopped at step {report.steps:,}; the same command goes on from the checkpoint in {out / CHECKPOINTS}"


@contextmanager
def steps_bar(told: str) -> Iterator[Callable[[Progress], bool]]:
    """A bar of a training's steps with its loss, where a person looks on; what it gives is the training's `watch`, which Ctrl-C stops."""
    with stoppable() as stop, bar(told=told, unit="steps", delay=0, leave=True) as shown:

        def watch(progress: Progress) -> bool:
            shown.total = progress.steps
            shown.update(progress.step - shown.n)
            shown.set_postfix_str(f"loss {progress.loss:.3f}")
            return stop()

        yield watch


@contextmanager
def results(out: Path) -> Iterator[Path]:
    """A folder to write results to, which becomes `out` only when all of them stand; what `out` held before stays until then."""
    target = out.resolve()
    if not target.name or (target.exists() and not target.is_dir()):
        raise InputError(f"--out {out} is {'a file' if target.name else 'the root of the disk'}; give a folder")
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            with suppress(OSError), _locked(left, wait=False):  # unlocked: who wrote it was killed
                shutil.rmtree(left)
        aside.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"--out {out} can't be written ({error.strerror}); choose another folder") from error
    try:
        with _locked(aside):
            yield aside
            target.mkdir(exist_ok=True)
            with _locked(target):  # two commands that write to one folder do so one after the other
                (target / "report.json").unlink(missing_ok=True)
                for file in sorted(aside.iterdir(), key=lambda f: f.name == "report.json"):  # last: it says that all is there
                    file.replace(target / file.name)
    except OSError as error:
        raise InputError(f"{error.filename or out} can't be written ({error.strerror or error}); {remedy(error)}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder for this process alone; the system lets go of it however the process ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def result_file(out: Path, *beside: str) -> Iterator[tuple[Path, ...]]:
    """A file to write, the report that lies beside it (`FILE.report.json`) and what else does (`FILE.NAME`); they take their places
    only when all of them stand."""
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give a file")
    targets = [out, *(out.with_name(f"{out.name}.{name}") for name in ("report.json", *beside))]
    asides = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in targets]
    try:
        if not out.parent.exists():
            out.parent.mkdir(parents=True)
        for target in targets:
            _sweep(target)
        asides[0].touch()
    except OSError as error:
        raise InputError(f"--out {out} can't be written ({error.strerror}); choose another file") from error
    try:
        yield tuple(asides)
        targets[1].unlink(missing_ok=True)
        for aside, target in sorted(zip(asides, targets, strict=True), key=lambda pair: pair[1] == targets[1]):
            aside.replace(target)  # the report last: it says that all is there
    except OSError as error:
        raise InputError(f"{error.filename or out} can't be written ({error.strerror or error}); {remedy(error)}") from error
    finally:
        for aside in asides:
            aside.unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Take away what was written aside for a file by a process that is no more."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        number = left.name.removesuffix(".part").rpartition(".")[2]
        if number.isdecimal() and not alive(int(number)):
            left.unlink(missing_ok=True)


def set_aside(loaded: Loaded) -> tuple[list[dict[str, str]], str]:
    """The rows without usable text, for a report, and how many they are, as a part of the line that a command says."""
    from hare_lab.report_base import plural

    rows = loaded.removed.select_columns(["id", "reason", "detail"]).to_list()
    return rows, f" ({plural(len(rows), 'row')} without usable text set aside)" if rows else ""


def parquet(out: Path, name: str) -> None:
    """Refuse a file that is not called what it will hold."""
    if out.suffix != ".parquet":
        raise InputError(f"--out {out} has no .parquet at its end; give a file such as {name}.parquet")


def save_array(path: Path, values: object) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.save(file, np.asarray(values), allow_pickle=False)


def run_folder(run: str) -> Path:
    from hare_lab.run import runs_folder

    folder = Path(run) if (Path(run) / "run.json").exists() else runs_folder() / run
    if not (folder / "run.json").exists():
        raise InputError(f"no run {run} in {runs_folder()}; `hare-lab run --name {run}` makes it")
    return folder


def remedy(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "free some space or choose another folder" if full else "check that it is there and may be used, or choose another"
