"""Who trains the cells: one worker, or several side by side, each with one thread.

A second thread speeds a small model up less than a second cell uses a second core, most of all while it trains. A worker takes a cell
by locking a file in its folder, and the system lets go of it however the worker ends, so any number of processes may share an
experiment's folder. What a worker can't take it waits for, and goes on with if whoever had it is gone.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.bars import no_bars
from hare_lab.errors import InputError
from hare_lab.experiment.cells import LeakTest, cell_folder, finished, run_cell, settings_of
from hare_lab.experiment.plan import Arm, Plan
from hare_lab.experiment.setup import Material
from hare_lab.machine import available_memory, cores

if TYPE_CHECKING:
    from hare_lab.training import Progress

TAKEN = ".taken"
PAUSE = 1.0  # seconds between two looks at a cell that another worker has
OFTEN = 0.5  # seconds between two words of a worker to the process that watches it
BASE = 1.5 * 2**30  # bytes of a worker before it trains: Python, torch, the harness, and the pages


@dataclass(frozen=True)
class News:
    """What a worker says: tokens read of a cell, and whether that cell is finished."""

    arm: str
    seed: int
    tokens: int
    finished: bool = False


NOTHING = News("", 0, 0)  # said by who only waits
Tell = Callable[[News], bool]  # a true answer asks the worker to stop after its present step


def fitting(plan: Plan) -> int:
    """How many workers this machine takes for a plan: one a core as far as memory goes; one where there is a GPU, or only one cell."""
    import torch

    from hare_lab import models
    from hare_lab.training.limits import memory_needed

    if torch.cuda.is_available():
        return 1
    size, numbers = models.shape(plan.model), models.parameters(plan.model, vocabulary=plan.vocabulary or None)
    one = BASE + memory_needed(numbers, size.layers, size.width, settings_of(plan), "fp32")
    free = available_memory()
    room = cores() if free is None else int(free // one)
    return max(1, min(cores(), room, len(plan.cells())))


def work(
    shared: Material, folder: Path, tell: Tell, *, order: Sequence[tuple[Arm, int]] | None = None, leak_test: LeakTest | None = None
) -> None:
    """Train the cells that nobody else trains, until all are finished or `tell` says to stop.

    Parameters
    ----------
    shared : pages, tokenizer and plan
    folder : of the experiment, begun (`conduct.begin`)
    tell : told of every step and of every cell that this worker finished
    order : cells, the most urgent first; default: the plan's order
    leak_test : as `run_cell` takes it
    """
    waiting = list(order or shared.plan.cells())
    while waiting:
        others = []
        for arm, seed in waiting:
            with _taken(cell_folder(folder, arm, seed)) as mine:
                if finished(folder, shared.plan, arm, seed) is not None:
                    continue
                if not mine:
                    others.append((arm, seed))
                    continue
                record = run_cell(shared, arm, seed, folder, leak_test=leak_test, watch=_watch(arm, seed, tell))
                if record is None or tell(News(arm.name, seed, int(record["tokens"]), finished=True)):
                    return
        waiting = others
        if waiting:
            time.sleep(PAUSE)
            if tell(NOTHING):
                return


def side_by_side(shared: Material, folder: Path, count: int, tell: Tell, *, cancel: Path, leak_test: LeakTest | None = None) -> None:
    """Train the cells with so many workers, each a process of its own.

    Parameters
    ----------
    shared, leak_test : as `work` takes them; both go to the other processes, so the test can't be a lambda
    count : workers
    tell : as `work` takes it; called in this process, at least once in `PAUSE` seconds
    cancel : a file that asks the workers to stop once it is there

    Raises
    ------
    InputError
        What a worker raised; the others stop after their present step.
    RuntimeError
        If a worker ended without a word, or with an error that is not the user's.
    """
    context = get_context("spawn")  # a fork would take locks along that other threads of this process hold
    pairs = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_worker, args=(theirs, folder, cancel), daemon=True) for _, theirs in pairs]
    try:
        with no_bars():  # several would be written over each other
            for process in processes:
                process.start()
        for _, theirs in pairs:
            theirs.close()  # so that a worker's end is the end of its line
        lines: dict[Any, Any] = {ours: process for (ours, _), process in zip(pairs, processes, strict=True)}
        for line in lines:
            with suppress(BrokenPipeError, ConnectionResetError):  # it is gone already; its end is heard below
                line.send((shared, leak_test))
        trouble: list[Exception] = []
        while lines:
            for line in connection.wait(list(lines), timeout=PAUSE):
                said = _heard(line)
                if isinstance(said, News):
                    tell(said)
                    continue
                if said is not None:
                    trouble.append(said)
                    continue
                process = lines.pop(line)
                process.join()
                if process.exitcode:
                    trouble.append(_lost(process.exitcode))
            if trouble or tell(NOTHING):
                cancel.touch()
        if trouble:
            raise trouble[0]
    finally:
        for process in processes:
            if process.is_alive():  # this process was interrupted: what they trained since their last checkpoint is trained again
                process.kill()
                process.join()


def _worker(line: Any, folder: Path, cancel: Path) -> None:
    """The other process: ends when it is asked to, when all cells are finished, or when the process that watches it is gone."""
    for name in (signal.SIGINT, signal.SIGTERM):  # meant for the process that watches, which passes them on
        signal.signal(name, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    parent, said = os.getppid(), 0.0

    def tell(news: News) -> bool:
        nonlocal said
        if os.getppid() != parent:
            return True
        if news.finished or (news.arm and time.monotonic() - said > OFTEN):
            said = time.monotonic()
            line.send(news)
        return cancel.exists()

    try:
        shared, leak_test = line.recv()
        work(shared, folder, tell, leak_test=leak_test)
    except (BrokenPipeError, EOFError):  # nobody watches any more
        pass
    except Exception as error:
        line.send(InputError(str(error)) if isinstance(error, InputError) else RuntimeError(f"{type(error).__name__}: {error}"))


def _heard(line: Any) -> News | Exception | None:
    """What a worker has said; None at its end."""
    try:
        said: News | Exception = line.recv()
    except (EOFError, ConnectionResetError):
        return None
    return said


def _watch(arm: Arm, seed: int, tell: Tell) -> Callable[[Progress], bool]:
    return lambda progress: tell(News(arm.name, seed, progress.tokens))


def _lost(code: int) -> RuntimeError:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    more = "; the system may have run out of memory: take fewer workers" if code == -signal.SIGKILL else ""
    return RuntimeError(f"a worker ended without a word ({how}){more}; start the experiment again to go on")


@contextmanager
def _taken(place: Path) -> Iterator[bool]:
    """Whether this process got hold of a cell's folder; held until the end of the block."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / TAKEN).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
