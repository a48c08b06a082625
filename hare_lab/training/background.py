"""Training beside one's work: start it, look at it, cancel it, wait for it.

The job is a folder: `job/` says what to train on, `status.json` says how far it is (written anew once a second, whole), and the
result lies in the folder itself when it is done. A process of its own does the work, so a notebook may be closed meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab.errors import InputError
from hare_lab.machine import alive, alone, held
from hare_lab.report_base import Report, plain
from hare_lab.training.report import COLUMNS, Progress, TrainingReport
from hare_lab.training.settings import Settings
from hare_lab.whole_files import write_text

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from hare_lab.training.train import Trained

STATUS, CANCEL, JOB, HELD = "status.json", "cancel", "job", "heldout"
EVERY = 1.0  # seconds between two writings of the status


@dataclass(frozen=True)
class Status(Report):
    """How far a job is. `state` is starting, running, done, cancelled, failed or lost (its process ended without a word)."""

    title: ClassVar[str] = "Training, now"

    state: str
    step: int = 0
    steps: int = 0
    tokens: int = 0
    loss: float | None = None
    tokens_per_second: float | None = None
    utilisation: float | None = None
    seconds_left: float | None = None
    message: str = ""
    pid: int = 0

    @property
    def over(self) -> bool:
        return self.state not in ("starting", "running")

    def _rows(self) -> list[tuple[str, Any]]:
        rows: list[tuple[str, Any]] = [("state", self.state), ("step", f"{self.step:,} of {self.steps:,}"), ("tokens", self.tokens)]
        if self.loss is not None:
            rows.append(("loss, nats a token", f"{self.loss:.3f}"))
        if self.tokens_per_second is not None:
            rows.append(("tokens a second", f"{self.tokens_per_second:,.0f} ({self.utilisation or 0:.0%} of the machine's peak)"))
        if self.seconds_left is not None and not self.over:
            rows.append(("time left", f"{self.seconds_left:.0f} s"))
        return [*rows, *([("", self.message)] if self.message else [])]


@dataclass(frozen=True)
class Job:
    """A training run in the background, known by its folder; made by `launch`, or by `Job(folder)` in another session."""

    folder: Path

    def status(self) -> Status:
        """How far it is.

        Raises
        ------
        InputError
            If the folder holds no job.
        """
        file = self.folder / STATUS
        if not file.exists():
            raise InputError(f"{self.folder} holds no training job (no {STATUS}); start one with `hare-lab train ... --background`")
        found = Status(**{key: value for key, value in json.loads(file.read_text(encoding="utf-8")).items() if key != "curve"})
        if not found.over and not held(self.folder) and not (found.state == "starting" and alive(found.pid)):
            now = json.loads(file.read_text(encoding="utf-8"))  # it may have ended between the two looks
            if now["state"] in ("starting", "running"):
                from hare_lab.training import CHECKPOINTS, checkpoints

                kept = checkpoints.lies_in(self.folder / CHECKPOINTS)
                again = "start the same run again to go on from the last checkpoint" if kept else "there is no checkpoint: start it anew"
                message = f"its process has ended without a word; {again}"
                return Status(**{**asdict(found), "state": "lost", "message": message})
            return self.status()
        return found

    def curve(self) -> pd.DataFrame:
        """The losses so far, as `figures.loss_curve` takes them."""
        import pandas as pd

        rows = json.loads((self.folder / STATUS).read_text(encoding="utf-8")).get("curve", [])
        return pd.DataFrame(rows, columns=list(COLUMNS[:3])).astype({"loss": float})

    def report(self) -> TrainingReport:
        """The report of a finished run.

        Raises
        ------
        InputError
            If it is not done; the sentence says what it is.
        """
        found = self.status()
        if found.state != "done":
            raise InputError(
                f"the training job in {self.folder} is {found.state}{f' ({found.message})' if found.message else ''}, not done"
            )
        values = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        rows = tuple(tuple(row) for row in values["curve"])
        return TrainingReport(**{**values, "curve": rows, "notes": tuple(values["notes"])})

    def cancel(self) -> None:
        """Ask it to stop after its present step; it keeps a checkpoint, and the same run goes on from there when asked again."""
        (self.folder / CANCEL).touch()

    def wait(self, seconds: float = float("inf")) -> Status:
        """Wait until it is over, or `seconds` have passed; its status then."""
        stop = time.monotonic() + seconds
        while not (found := self.status()).over and time.monotonic() < stop:
            time.sleep(min(0.2, max(0.0, stop - time.monotonic())))
        return found


def launch(
    pages: Dataset | Mapping[str, Dataset],
    model: str,
    tokens: int,
    out: str | Path,
    *,
    settings: Settings | None = None,
    heldout: Dataset | None = None,
    **how: Any,
) -> Job:
    """Start `train` in a process of its own, and come back at once; where that very job runs already, come back with it.

    Parameters
    ----------
    pages, model, tokens, settings, heldout : as `train` takes them
    out : folder of the job, its checkpoints and its result
    how : `vocabulary`, `tokenizer` (a folder), `first_stage`, `seed`, `priors` (a file), as `train` takes them

    Raises
    ------
    InputError
        If another training runs in that folder, it can't be written, or the pages hold no column `text`.
    """
    from hare_lab.training.train import texts_of

    folder = Path(out)
    parts = dict(pages) if isinstance(pages, Mapping) else {"D1": pages}
    texts = {**parts, **({HELD: heldout} if heldout is not None else {})}
    words = {
        "parts": list(parts), HELD: heldout is not None, "model": model, "tokens": tokens, "how": plain(how),
        "settings": plain(settings) if settings else None, "data": _digest(texts_of(part, name) for name, part in texts.items()),
    }  # fmt: skip
    note = folder / JOB / "job.json"
    if (folder / STATUS).exists() and not (running := Job(folder).status()).over:
        if note.exists() and json.loads(note.read_text(encoding="utf-8")) == json.loads(json.dumps(words)):
            return Job(folder)
        raise InputError(f"another training job runs in {folder} (process {running.pid}); cancel it, or give another folder")
    try:
        with alone(folder):
            (folder / JOB).mkdir(parents=True, exist_ok=True)
            (folder / CANCEL).unlink(missing_ok=True)
            for name, part in texts.items():
                _keep(part, folder / JOB / f"{name}.parquet")
            note.write_text(json.dumps(words), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror or error}); choose another folder") from error
    log = (folder / JOB / "log.txt").open("w")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hare_lab.training", str(folder)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    log.close()
    if not (folder / STATUS).exists() or json.loads((folder / STATUS).read_text(encoding="utf-8")).get("pid") != process.pid:
        _write(folder, Status("starting", pid=process.pid), _known_curve(folder))
    return Job(folder)


def _digest(parts: Iterable[Iterable[str]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for texts in parts:
        digest.update(b"\x01")
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\x00")
    return digest.hexdigest()


def _keep(pages: Dataset, path: Path) -> None:
    """The texts of pages as a Parquet file, a thousand at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("text", pa.large_string())])
    with parquet.ParquetWriter(path, schema) as file:
        for rows in pages.select_columns(["text"]).with_format("arrow").iter(1_000):
            file.write_table(rows.cast(schema))


def job_name(model: str, tokens: int, settings: Settings, data: str) -> str:
    """A folder's name for a job, the same for the same job and another for another: `hare-1m-3fa9c04b`.

    `data` is whatever tells one set of pages from another, such as an artifact's content hash.
    """
    words = json.dumps([model, tokens, plain(settings), data])
    return f"{model}-{hashlib.blake2b(words.encode(), digest_size=4).hexdigest()}"


class Watcher:
    """Keeps `status.json` of a folder up to date while `fit` runs, and passes on a request to stop (its file, or SIGTERM).

    The file is left as it is found: who starts a training takes away an old one, and what comes after that is meant for this one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.last, self.stop = folder, 0.0, False
        self.curve = _known_curve(folder)  # of an earlier part of the same run; what it does again is dropped below
        self.progress: Progress | None = None
        self.main = os.environ.get("RANK", "0") == "0"  # of several processes (`accelerate launch`) one writes
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Watcher:
        self._before = signal.signal(signal.SIGTERM, self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _asked(self, *_: Any) -> None:
        self.stop = True

    def __call__(self, progress: Progress) -> bool:
        if self.progress is None:
            self.curve = [row for row in self.curve if row[0] < progress.step]
        self.progress = progress
        self.curve.append([progress.step, progress.tokens, progress.loss])
        self.stop = self.stop or (self.folder / CANCEL).exists()
        if time.monotonic() - self.last > EVERY or progress.step == 1:
            self.write("running")
            self.last = time.monotonic()
        return self.stop

    def done(self, report: TrainingReport) -> None:
        """The last word, from the report: a run that was finished before has taken no step to tell of."""
        self.curve = report.table()[list(COLUMNS[:3])].to_numpy(float).tolist()
        self.progress = Progress(
            report.steps, report.steps, report.tokens, report.last_loss, 0.0, 0, report.tokens_per_second, report.utilisation, 0.0
        )
        self.write("done")

    def write(self, state: str, message: str = "") -> None:
        """The status as it is, its curve thinned to what a screen can show."""
        if not self.main:
            return
        known = asdict(self.progress) if self.progress else {}
        fields = {key: known[key] for key in Status.__dataclass_fields__ if key in known}
        _write(self.folder, Status(state=state, message=message, pid=os.getpid(), **fields), thinned(self.curve))


def _known_curve(folder: Path) -> list[list[float]]:
    file = folder / STATUS
    found: list[list[float]] = json.loads(file.read_text(encoding="utf-8")).get("curve", []) if file.exists() else []
    return found


def thinned(curve: list[list[float]], most: int = 500) -> list[list[float]]:
    """At most so many points of a curve, each the mean of its neighbours."""
    if len(curve) <= most:
        return curve
    import numpy as np

    return [np.mean(part, axis=0).tolist() for part in np.array_split(np.array(curve, float), most)]


def _write(folder: Path, status: Status, curve: list[list[float]]) -> None:
    write_text(folder / STATUS, json.dumps({**asdict(status), "curve": curve}))


def work(folder: Path) -> Trained | None:
    """What the process of a job does: train, keep the status, save the model into the folder.

    Raises
    ------
    InputError
        If another training runs in the folder; its status is left alone.
    """
    with alone(folder):
        return _work(folder)


def _work(folder: Path) -> Trained | None:
    from datasets import Dataset, disable_progress_bars

    from hare_lab.priors import load as load_priors
    from hare_lab.training.train import train

    disable_progress_bars()
    watcher = Watcher(folder)
    watcher.write("starting")
    try:
        job = json.loads((folder / JOB / "job.json").read_text(encoding="utf-8"))
        names = [*job["parts"], *([HELD] if job[HELD] else [])]
        parts = {name: Dataset.from_parquet(str(folder / JOB / f"{name}.parquet"), cache_dir=str(folder / JOB)) for name in names}
        held = parts.pop(HELD, None)
        how = dict(job["how"])
        if how.get("priors"):
            how["priors"] = load_priors(how["priors"])
        chosen = Settings(**{**job["settings"], "betas": tuple(job["settings"]["betas"])}) if job["settings"] else None
        with watcher:
            trained = train(parts, job["model"], job["tokens"], out=folder, settings=chosen, heldout=held, watch=watcher, **how)
        if not trained.report.finished:
            watcher.write("cancelled", "stopped when asked; start the same run again to go on from its checkpoint")
            return None
        trained.save(folder)
        (folder / "report.json").write_text(json.dumps(trained.report.to_dict(), indent=1), encoding="utf-8")
        watcher.done(trained.report)
        return trained
    except Exception as error:
        watcher.write("failed", str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
        raise
