"""A run: one folder that holds what was made, from what, with which settings and which code.

`make` is the heart: it computes an artifact unless the run already holds one with the same key (input hashes, parameters,
source of the modules it runs, versions of the libraries they import). An artifact is written aside and renamed; its
manifest entry follows, and a pointer to the entry comes last, so a kill at any moment leaves either the old state or the
new one. `manifest.json` is assembled from the entries.

    run = open_run("demo", profile="small")
    pages, removed = run.make(("pages", "removed"), lambda: clean(raw), inputs=["raw"], code=["corpus"])
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from hare_lab.errors import InputError, MissingArtifactError
from hare_lab.priors import Priors
from hare_lab.priors import default as default_priors
from hare_lab.priors import load as load_priors
from hare_lab.report_base import html_table, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

PACKAGE = Path(__file__).resolve().parent
NOTEBOOKS = PACKAGE.parent / "notebooks"
# Looks and error texts change no result, so a change there must not send a run back to its start.
NO_RESULT = frozenset({"figures", "report_base", "errors", "report", "cli", "run", "__init__"})
MAKERS = {  # which notebook makes which artifact: what a missing one is named by
    "loaded": "01", "unusable": "01", "pages": "01", "removed": "01", "cleaning": "01",
    "vectors": "02", "mapped": "02", "topics": "02", "points": "02", "diversity": "02",
}  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """Sizes, nothing else: a profile changes no logic."""

    name: str
    pages: int
    fit_sample: int
    figure_points: int


PROFILES = {
    "small": Profile("small", pages=1_500, fit_sample=5_000, figure_points=5_000),
    "laptop": Profile("laptop", pages=10_000, fit_sample=50_000, figure_points=50_000),
    "gpu": Profile("gpu", pages=200_000, fit_sample=200_000, figure_points=50_000),
}


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
        Default: the environment variable HARE_LAB_RUNS, else `runs` beside the notebooks.

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
    folder = Path(root or os.environ.get("HARE_LAB_RUNS") or PACKAGE.parent / "runs") / name
    try:
        for part in ("artifacts", "entries", "current", "figures"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"run folder {folder} can't be made ({error.strerror}); choose another with HARE_LAB_RUNS or --name") from error
    run = Run(folder, PROFILES[profile], seed, corpus, statement)
    _write_json(folder / "run.json", run.settings())
    return run


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
            "priors": plain(self.priors.to_dict()), "python": platform.python_version(), "hare_lab": _version("hare-lab"),
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
        build : function of no argument, returning the value or a sequence of as many values as names
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
        ingredients = {"inputs": lineage, "params": plain(params or {}), "code": sources, "libraries": libraries, "names": wanted}
        key = hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:16]
        if not all(self._holds(name, key) for name in wanted):
            start = time.perf_counter()
            built = build()
            values = (built,) if isinstance(names, str) else tuple(built)
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
        return _READERS[entry.kind](self.folder / entry.file)

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
        """Make a missing artifact by running the notebook that makes it, and what that one needs, in the small profile."""
        if self.has(name):
            return
        if name not in MAKERS:
            raise MissingArtifactError(f'no notebook makes "{name}"; the known artifacts are {", ".join(MAKERS)}')
        for notebook in [n for n in notebooks() if "00" < n.name[:2] <= MAKERS[name]]:
            self.execute(notebook, profile="small")

    def _holds(self, name: str, key: str) -> bool:
        return (self.folder / "entries" / f"{name}-{key}.json").exists()

    def _store(self, name: str, value: Any, key: str, ingredients: Mapping[str, Any], seconds: float) -> None:
        kind, suffix = _kind(value)
        target = self.folder / "artifacts" / f"{name}-{key}{suffix}"
        aside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            _WRITERS[kind](value, aside)
            content = _content_hash(aside)
            _remove(target)  # a leftover without entry, from a run that was killed between the two renames
            aside.replace(target)
        except OSError as error:
            _remove(aside)
            raise InputError(
                f'"{name}" can\'t be written to {target.parent} ({error.strerror or error}); free some space or choose another folder '
                "with HARE_LAB_RUNS; what was finished before is kept"
            ) from error
        entry = Entry(
            name=name, key=key, kind=kind, file=str(target.relative_to(self.folder)), content=content, inputs=ingredients["inputs"],
            params=ingredients["params"], code=ingredients["code"], libraries=ingredients["libraries"], size=_size(value),
            seconds=seconds, made=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        _write_json(self.folder / "entries" / f"{name}-{key}.json", plain(entry))

    def _point(self, name: str, key: str) -> None:
        """Make `key` the current artifact of `name`, then drop what it replaced."""
        pointer = self.folder / "current" / name
        before = pointer.read_text() if pointer.exists() else None
        if before == key:
            return
        _write_text(pointer, key)
        if before:
            old = self.folder / "entries" / f"{name}-{before}.json"
            file = json.loads(old.read_text(encoding="utf-8"))["file"]
            old.unlink()
            _remove(self.folder / file)

    def write_manifest(self) -> Path:
        """Assemble `manifest.json` from the settings and the entries, so that it can always be made anew."""
        names = sorted(p.name for p in (self.folder / "current").iterdir() if not p.name.startswith("."))
        figures = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted((self.folder / "figures").glob("*.json"))}
        manifest = {"run": self.settings(), "artifacts": {n: plain(self.entry(n)) for n in names}, "figures": figures}
        return _write_json(self.folder / "manifest.json", manifest)

    # --- figures -----------------------------------------------------------------------------------------------------

    def save_figure(self, name: str, figure: go.Figure, data: Any, caption: str, inputs: Iterable[str] = ()) -> go.Figure:
        """Keep a figure with its data as CSV, its caption and its provenance; returns it, so that a cell can show it.

        Writes `figures/NAME.html`, `.csv`, `.plotly.json` (to render it again in another format) and `.json`.
        """
        from hare_lab import figures

        folder = self.folder / "figures"
        _write_text(folder / f"{name}.html", figures.html(figure, caption))
        _write_text(folder / f"{name}.plotly", figure.to_json())
        _write_text(folder / f"{name}.csv", data.to_csv(index=False))
        lineage = {i: self.entry(i).content for i in inputs}
        _write_json(folder / f"{name}.json", {"caption": caption, "inputs": lineage, "seed": self.seed, "profile": self.profile.name})
        self.write_manifest()
        return figure

    # --- notebooks ---------------------------------------------------------------------------------------------------

    def execute(self, notebook: Path, profile: str | None = None) -> Path:
        """Run a notebook with this run's settings; the executed copy lands in the run folder.

        Raises
        ------
        InputError
            If a cell fails; the sentence is the cell's own where it is one of ours.
        """
        import papermill

        out = self.folder / "notebooks"
        out.mkdir(exist_ok=True)
        priors_file = self.priors.save(self.folder / "priors.yaml")
        parameters = {
            "run_name": self.name, "runs": str(self.folder.parent), "profile": profile or self.profile.name, "seed": self.seed,
            "corpus": self.corpus, "priors": str(priors_file),
        }  # fmt: skip
        aside = out / f".{notebook.name}.part.ipynb"
        try:
            papermill.execute_notebook(notebook, aside, parameters, cwd=notebook.parent, progress_bar=False, kernel_name=_kernel())
        except papermill.PapermillExecutionError as error:
            aside.replace(out / notebook.name)
            what = error.evalue if error.ename.endswith(("InputError", "MissingArtifactError")) else f"{error.ename}: {error.evalue}"
            raise InputError(f"{notebook.name}, cell {error.exec_count}: {what}") from error
        aside.replace(out / notebook.name)
        return out / notebook.name

    def _repr_html_(self) -> str:
        rows = [(n, e.kind, e.size, f"{e.seconds:.1f} s", e.made) for n in sorted(MAKERS) if self.has(n) for e in [self.entry(n)]]
        caption = f"Run {self.name}: profile {self.profile.name}, corpus {self.corpus}, seed {self.seed}"
        return html_table(rows, ("artifact", "kind", "size", "took", "made"), caption)


def notebooks() -> list[Path]:
    """The numbered notebooks, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


# --- keys ------------------------------------------------------------------------------------------------------------


@functools.cache
def provenance(modules: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The source hash of each module of ours that `modules` run, and the version of each library that these import."""
    sources: dict[str, str] = {}
    libraries: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in sources or module in NO_RESULT:
            continue
        files = _files(module)
        sources[module] = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]
        for file in files:
            ours, others = _imports(file)
            waiting.extend(ours)
            libraries |= others
    owners = importlib.metadata.packages_distributions()
    named = {dist for library in libraries for dist in owners.get(library, ())}
    return dict(sorted(sources.items())), {dist: _version(dist) for dist in sorted(named)}


def _files(module: str) -> list[Path]:
    """The source files of a module of ours, be it a file or a folder."""
    file, folder = PACKAGE / f"{module}.py", PACKAGE / module
    found = [file] if file.exists() else sorted(folder.rglob("*.py"))
    if not found:
        raise ValueError(f"hare_lab has no module {module!r}")
    return found


def _imports(file: Path) -> tuple[set[str], set[str]]:
    """Which modules of ours and which other top-level packages a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"hare_lab.{a.name}" for a in node.names} if node.module == "hare_lab" else {node.module}
    ours = {name.split(".")[1] for name in names if name.startswith("hare_lab.")}
    others = {name.split(".")[0] for name in names} - {"hare_lab"} - set(sys.stdlib_module_names)
    return ours, others


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _kernel() -> str:
    return "python3"


# --- reading and writing ---------------------------------------------------------------------------------------------


def _kind(value: Any) -> tuple[str, str]:
    """How a value is stored: its kind and the file's suffix."""
    name = type(value).__name__
    if name == "Dataset":
        return "dataset", ""
    if isinstance(value, np.ndarray):
        return "array", ".npy"
    if name == "DataFrame":
        return "table", ".parquet"
    return "json", ".json"


def _size(value: Any) -> str:
    if hasattr(value, "shape"):
        return " x ".join(f"{n:,}" for n in value.shape)
    return f"{len(value):,} entries" if hasattr(value, "__len__") else "1 record"


def _save_array(value: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, value, allow_pickle=False)


def _load_dataset(path: Path) -> Any:
    from datasets import load_from_disk

    return load_from_disk(str(path))


def _load_table(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


_WRITERS: dict[str, Callable[[Any, Path], Any]] = {
    "dataset": lambda value, path: value.save_to_disk(str(path)),
    "array": _save_array,
    "table": lambda value, path: value.to_parquet(path, index=False),
    "json": lambda value, path: path.write_text(json.dumps(plain(value), ensure_ascii=False, indent=1), encoding="utf-8"),
}
_READERS: dict[str, Callable[[Path], Any]] = {
    "dataset": _load_dataset,
    "array": lambda path: np.load(path, mmap_mode="r", allow_pickle=False),
    "table": _load_table,
    "json": lambda path: json.loads(path.read_text(encoding="utf-8")),
}


def _content_hash(path: Path) -> str:
    """A hash of a file's bytes, or of a dataset folder's Arrow files (its JSON side files hold names and times)."""
    digest = hashlib.blake2b(digest_size=16)
    for file in [path] if path.is_file() else sorted(path.rglob("*.arrow")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _write_text(path: Path, text: str) -> Path:
    """Write aside, flush to disk, rename: a reader sees the old text or the new, never half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        _remove(aside)
        raise InputError(f"{path} can't be written ({error.strerror or error}); free some space or choose another folder") from error
    return path


def _write_json(path: Path, value: Any) -> Path:
    return _write_text(path, json.dumps(plain(value), ensure_ascii=False, indent=2, sort_keys=False) + "\n")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def read_run(folder: str | Path) -> Run:
    """Open an existing run folder by its own `run.json`.

    Raises
    ------
    InputError
        If the folder holds no run.
    """
    path = Path(folder)
    if not (path / "run.json").exists():
        raise InputError(f"{path} holds no run (no run.json); give a folder that `hare-lab run` made")
    settings = json.loads((path / "run.json").read_text(encoding="utf-8"))
    priors = path / "priors.yaml"
    return open_run(
        path.name, profile=settings["profile"]["name"], seed=cast(int, settings["seed"]), corpus=settings["corpus"],
        priors=priors if priors.exists() else None, root=path.parent,
    )  # fmt: skip
