"""The run folder itself: open it, make and load artifacts, keep figures, assemble the manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from hare_lab.errors import InputError, MissingArtifactError
from hare_lab.priors import Priors
from hare_lab.priors import default as default_priors
from hare_lab.priors import load as load_priors
from hare_lab.report_base import html_table, plain
from hare_lab.run.execution import STATEMENT, execute, notebooks
from hare_lab.run.keys import PACKAGE, provenance, version
from hare_lab.run.profiles import PROFILES, Profile
from hare_lab.run.storage import LAYOUT, READERS, WRITERS, content_hash, discard, kind_of, remove, size_of, write_json
from hare_lab.whole_files import write_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAKERS = {  # which notebook makes which artifact: what a missing one is named by
    "loaded": "01", "unusable": "01", "pages": "01", "removed": "01", "cleaning": "01",
    "vectors": "02", "mapped": "02", "topics": "02", "points": "02", "diversity": "02",
    "scores": "03", "quality": "03", "placed": "04", "gaps": "04", "coverage": "04", "leaks": "05", "leakage": "05",
    "prepared": "06", "curated": "06", "choices": "06", "curation": "06", "gaps_left": "06",
    "synthetic": "07", "synthetic_rejected": "07", "cards": "08", "training": "08", "model": "08",
    "page_bits": "09", "bits": "09", "task_scores": "09", "plan": "10", "experiment": "10",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """What the manifest says of one artifact. Immutable: other inputs, parameters or code make another entry."""

    name: str
    key: str
    kind: str
    file: str
    content: str
    inputs: Mapping[str, str]
    params: Mapping[str, Any]
    code: Mapping[str, str]
    libraries: Mapping[str, str]
    size: str
    seconds: float
    made: str


def open_run(
    name: str = "demo",
    *,
    profile: str = "laptop",
    seed: int = 0,
    corpus: str = "demo",
    priors: str | Path | Priors | None = None,
    root: str | Path | None = None,
) -> Run:
    """Open the run folder `root/name`, making it where it is new.

    Parameters
    ----------
    name : str
        Letters, digits, `-`, `_` and `.`; the folder's name.
    profile : one of PROFILES
    corpus : str
        Where text comes from, as `corpus.load` takes it.
    priors : path, Priors or None
        None takes the bundled default.
    root : folder of runs
        Default: `runs_folder()`.

    Raises
    ------
    InputError
        If the name or the profile is not one, or the folder can't be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise InputError(f'run name "{name}" may hold only letters, digits, "-", "_" and ".", and starts with a letter or digit')
    if profile not in PROFILES:
        raise InputError(f'profile "{profile}" is unknown; choose one of {", ".join(PROFILES)}')
    statement = priors if isinstance(priors, Priors) else load_priors(priors) if priors else default_priors()
    folder = (Path(root) if root else runs_folder()) / name
    try:
        for part in ("artifacts", "entries", "current", "figures"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"run folder {folder} can't be made ({error.strerror}); choose another with HARE_LAB_RUNS or --name") from error
    run = Run(folder, PROFILES[profile], seed, corpus, statement)
    statement.save(folder / STATEMENT)  # what `read_run` and the notebooks of the run read
    write_json(folder / "run.json", run.settings())
    return run


def runs_folder() -> Path:
    """Where runs live: the environment variable HARE_LAB_RUNS, else `runs` beside the notebooks."""
    return Path(os.environ.get("HARE_LAB_RUNS") or PACKAGE.parent / "runs")


@dataclass(frozen=True)
class Run:
    """A run folder and the settings that its steps share."""

    folder: Path
    profile: Profile
    seed: int
    corpus: str
    priors: Priors

    @property
    def name(self) -> str:
        return self.folder.name

    def settings(self) -> dict[str, Any]:
        """What was asked for: enough to repeat the run elsewhere."""
        return {
            "name": self.name, "profile": plain(self.profile), "seed": self.seed, "corpus": self.corpus,
            "priors": plain(self.priors.to_dict()), "python": platform.python_version(), "hare_lab": version("hare-lab"),
        }  # fmt: skip

    # --- artifacts ---------------------------------------------------------------------------------------------------

    @overload
    def make(self, names: str, build: Callable[[], Any], *, inputs: Iterable[str] = ..., params: Mapping[str, Any] | None = ...,
             code: Sequence[str] = ...) -> Any: ...  # fmt: skip
    @overload
    def make(self, names: tuple[str, ...], build: Callable[[], Sequence[Any]], *, inputs: Iterable[str] = ...,
             params: Mapping[str, Any] | None = ..., code: Sequence[str] = ...) -> tuple[Any, ...]: ...  # fmt: skip
    def make(
        self,
        names: str | tuple[str, ...],
        build: Callable[[], Any],
        *,
        inputs: Iterable[str] = (),
        params: Mapping[str, Any] | None = None,
        code: Sequence[str] = (),
    ) -> Any:
        """The artifacts `names`, computed by `build` unless the run holds them for these inputs, parameters and code.

        Parameters
        ----------
        names : one name, or a tuple for a step that returns several values
        build : function of no argument, returning the value, or for several names a sequence or dataclass of as many
        inputs : names of artifacts of this run that `build` uses; their content hashes enter the key
        params : whatever else the result depends on; must be JSON-able
        code : modules of this package that `build` runs; what they import of ours counts too

        Returns
        -------
        The stored value (or tuple of values), read back from the run, so that a first and a later run see the same.

        Raises
        ------
        MissingArtifactError
            If an input is not in the run.
        """
        wanted = (names,) if isinstance(names, str) else tuple(names)
        lineage = {name: self.entry(name).content for name in inputs}
        sources, libraries = provenance(tuple(code))
        ingredients = {
            "inputs": lineage,
            "params": plain(params or {}),
            "code": sources,
            "libraries": libraries,
            "names": wanted,
            "layout": LAYOUT,
        }
        key = hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:16]
        if not all(self._holds(name, key) for name in wanted):
            start = time.perf_counter()
            built = build()
            values = (built,) if isinstance(names, str) else _values(built)
            if len(values) != len(wanted):
                raise TypeError(f"build returned {len(values)} values for {len(wanted)} names: {', '.join(wanted)}")
            seconds = round(time.perf_counter() - start, 3)
            for name, value in zip(wanted, values, strict=True):
                self._store(name, value, key, ingredients, seconds)
        for name in wanted:
            self._point(name, key)
        self.write_manifest()
        stored = tuple(self.load(name) for name in wanted)
        return stored[0] if isinstance(names, str) else stored

    def load(self, name: str) -> Any:
        """The artifact `name`: a `datasets.Dataset` or an array (memory-mapped), a data frame, or plain JSON values.

        Raises
        ------
        MissingArtifactError
            If the run has none; the sentence names the notebook that makes it.
        """
        entry = self.entry(name)
        return READERS[entry.kind](self.folder / entry.file)

    def artifacts(self) -> list[str]:
        """The names of all finished artifacts, in order."""
        return sorted(p.name for p in (self.folder / "current").iterdir() if not p.name.startswith("."))

    def has(self, name: str) -> bool:
        """Whether the run holds a finished artifact of that name."""
        return (self.folder / "current" / name).exists()

    def entry(self, name: str) -> Entry:
        """The manifest entry of the current artifact `name`."""
        pointer = self.folder / "current" / name
        if not pointer.exists():
            maker = MAKERS.get(name)
            how = f"notebook {maker} makes it: run that first, or call run.compute_missing({name!r})" if maker else "no notebook makes it"
            raise MissingArtifactError(f'run "{self.name}" holds no "{name}" yet; {how}')
        return Entry(**json.loads((self.folder / "entries" / f"{name}-{pointer.read_text()}.json").read_text(encoding="utf-8")))

    def compute_missing(self, name: str) -> None:
        """Make a missing artifact in the small profile, by the notebook that makes it and those before it that have not run.

        A notebook whose artifacts are all there is left alone, and one that broke off goes on in the run's own profile, so that
        nothing made in a larger profile is replaced. The run keeps its settings.
        """
        if self.has(name):
            return
        if name not in MAKERS:
            raise MissingArtifactError(f'no notebook makes "{name}"; the known artifacts are {", ".join(MAKERS)}')
        wanting = {maker for made, maker in MAKERS.items() if not self.has(made)}
        begun = {maker for made, maker in MAKERS.items() if self.has(made)}
        try:
            for notebook in [n for n in notebooks() if n.name[:2] in wanting and n.name[:2] <= MAKERS[name]]:
                self.execute(notebook, profile=self.profile.name if notebook.name[:2] in begun else "small")
        finally:  # a notebook opens the run by the profile that it is given
            write_json(self.folder / "run.json", self.settings())
            self.write_manifest()

    def _holds(self, name: str, key: str) -> bool:
        return (self.folder / "entries" / f"{name}-{key}.json").exists()

    def _store(self, name: str, value: Any, key: str, ingredients: Mapping[str, Any], seconds: float) -> None:
        kind, suffix = kind_of(value)
        target = self.folder / "artifacts" / f"{name}-{key}{suffix}"
        aside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            WRITERS[kind](value, aside)
            content = content_hash(aside)
            remove(target)  # a leftover without entry, from a run that was killed between the two renames
            aside.replace(target)
        except OSError as error:
            discard(aside)
            raise InputError(
                f'"{name}" can\'t be written to {target.parent} ({error.strerror or error}); free some space or choose another folder '
                "with HARE_LAB_RUNS; what was finished before is kept"
            ) from error
        entry = Entry(
            name=name, key=key, kind=kind, file=str(target.relative_to(self.folder)), content=content, inputs=ingredients["inputs"],
            params=ingredients["params"], code=ingredients["code"], libraries=ingredients["libraries"], size=size_of(value),
            seconds=seconds, made=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        write_json(self.folder / "entries" / f"{name}-{key}.json", plain(entry))

    def _point(self, name: str, key: str) -> None:
        """Make `key` the current artifact of `name`, then drop what it replaced."""
        pointer = self.folder / "current" / name
        before = pointer.read_text() if pointer.exists() else None
        if before == key:
            return
        write_text(pointer, key)
        if before:
            old = self.folder / "entries" / f"{name}-{before}.json"
            file = json.loads(old.read_text(encoding="utf-8"))["file"]
            old.unlink()
            remove(self.folder / file)

    def write_manifest(self) -> Path:
        """Assemble `manifest.json` from the settings and the entries, so that it can always be made anew."""
        figures = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted((self.folder / "figures").glob("*.json"))}
        manifest = {"run": self.settings(), "artifacts": {n: plain(self.entry(n)) for n in self.artifacts()}, "figures": figures}
        return write_json(self.folder / "manifest.json", manifest)

    def record(self, name: str, values: Mapping[str, Any]) -> None:
        """Keep a note about the run itself (its time, its memory) beside the artifacts, as `NAME.note.json`."""
        write_json(self.folder / f"{name}.note.json", dict(values))

    # --- figures -----------------------------------------------------------------------------------------------------

    def save_figure(self, name: str, figure: go.Figure, data: Any, caption: str, inputs: Iterable[str] = ()) -> go.Figure:
        """Keep a figure with its data as CSV, its caption and its provenance; returns it, so that a cell can show it.

        Writes `figures/NAME.html`, `.csv`, `.plotly` (to render it again in another format) and `.json`.
        """
        from hare_lab import figures

        folder = self.folder / "figures"
        write_text(folder / f"{name}.html", figures.html(figure, caption))
        write_text(folder / f"{name}.plotly", figure.to_json())
        write_text(folder / f"{name}.csv", data.to_csv(index=False))
        lineage = {i: self.entry(i).content for i in inputs}
        write_json(folder / f"{name}.json", {"caption": caption, "inputs": lineage, "seed": self.seed, "profile": self.profile.name})
        self.write_manifest()
        return figure

    # --- notebooks ---------------------------------------------------------------------------------------------------

    def execute(self, notebook: Path, profile: str | None = None) -> Path:
        """Run a notebook with this run's settings; see `run.execution`."""
        return execute(self, notebook, profile)

    def _repr_html_(self) -> str:
        made = [self.entry(name) for name in self.artifacts()]
        rows = [(e.name, e.kind, e.size, f"{e.seconds:.1f} s", e.made) for e in made]
        caption = f"Run {self.name}: profile {self.profile.name}, corpus {self.corpus}, seed {self.seed}"
        if not rows:
            return html_table([("nothing is made yet",)], caption=caption)
        return html_table(rows, ("artifact", "kind", "size", "took", "made"), caption)


def _values(built: Any) -> tuple[Any, ...]:
    """What a step returned for several names: a sequence as it is, a result dataclass field by field."""
    if dataclasses.is_dataclass(built):
        return tuple(getattr(built, field.name) for field in dataclasses.fields(built))
    return tuple(built)


def read_run(folder: str | Path) -> Run:
    """Open an existing run folder by its own `run.json` and `priors.yaml`, and change neither.

    Raises
    ------
    InputError
        If the folder holds no run, or its priors can't be read.
    """
    path = Path(folder)
    if not (path / "run.json").exists():
        raise InputError(f"{path} holds no run (no run.json); give a folder that `hare-lab run` made")
    settings = json.loads((path / "run.json").read_text(encoding="utf-8"))
    statement = load_priors(path / STATEMENT)
    return Run(path, PROFILES[settings["profile"]["name"]], cast(int, settings["seed"]), settings["corpus"], statement)
