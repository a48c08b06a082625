"""The command line: `hare-lab run | map | figure | bench | doctor`.

Each command wires the package's functions together, writes its results with a report beside them, and exits 0, or 2 with
one sentence where the input or the usage is wrong. Heavy modules are imported inside the commands, so that `--help` is
instant.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import logging
import os
import runpy
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from hare_lab.errors import InputError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="See, measure and test the human priors in the data of a small language model.",
)

Seed = Annotated[int, typer.Option(help="Every draw follows from it.", min=0, max=2**31 - 1)]
Limit = Annotated[int | None, typer.Option(help="Read at most so many pages.")]
Column = Annotated[str | None, typer.Option(help='The column that holds the text (default: "text").')]
Model = Annotated[str | None, typer.Option(help="Embedding model: a folder or a hub id (default: the bundled MiniLM).")]
PriorsFile = Annotated[Path | None, typer.Option(help="Priors file (default: data/priors/default.yaml).")]
ProfileName = Annotated[str, typer.Option(help="Sizes: small, laptop or gpu.")]


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Settings for every command."""
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(name)s: %(message)s")


@app.command()
def run(
    corpus: Annotated[str, typer.Option(help="demo, a path, a glob, hf:owner/name, or -.")] = "demo",
    priors: PriorsFile = None,
    profile: ProfileName = "laptop",
    name: Annotated[str, typer.Option(help="The run's name: results land in runs/NAME.")] = "demo",
    only: Annotated[str, typer.Option(help="Notebook numbers, as in 01,02 (default: all).")] = "",
    seed: Seed = 0,
) -> None:
    """Run the notebooks in order, into runs/NAME."""
    from hare_lab.corpus.files import expand
    from hare_lab.run import notebooks, open_run

    if corpus == "-":
        raise InputError("--corpus - can't be: notebooks don't share the standard input; save it to a file and give that")
    if corpus != "demo" and not corpus.startswith("hf:"):
        expand(corpus)  # a name that means nothing is said now, not by the first notebook
        corpus = os.path.abspath(corpus)  # noqa: PTH100 (a glob is no path); the notebooks run in a folder of their own
    this = open_run(name, profile=profile, seed=seed, corpus=corpus, priors=priors)
    chosen = [n for n in notebooks() if not only or n.name[:2] in only.split(",")]
    if not chosen:
        raise InputError(f"--only {only} names no notebook; there are {', '.join(n.name[:2] for n in notebooks())}")
    start = time.perf_counter()
    for number, notebook in enumerate(chosen, start=1):
        _say(f"[{number}/{len(chosen)}] {notebook.stem} ...")
        began = time.perf_counter()
        this.execute(notebook)
        _say(f"      done in {time.perf_counter() - began:.0f} s")
    minutes = (time.perf_counter() - start) / 60
    this.record("run", {"notebooks": [n.name for n in chosen], "profile": profile, "minutes": round(minutes, 2), "peak_gib": _peak()})
    _say(f"\nFinished in {minutes:.1f} minutes. Where to look:")
    for figure in sorted((this.folder / "figures").glob("*.html")):
        _say(f"  {figure}")
    _say(f"  {this.folder / 'notebooks'}  (the executed notebooks)\n  {this.folder / 'manifest.json'}  (what was made from what)")


@app.command("map")
def map_(
    corpus: Annotated[str, typer.Argument(help="demo, a path, a glob, hf:owner/name, or - for standard input.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    priors: PriorsFile = None,
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
    model: Model = None,
) -> None:
    """Clean, deduplicate, embed, cluster and name a corpus; draw its topic map."""
    import datasets

    from hare_lab import figures
    from hare_lab.mapping import map_corpus
    from hare_lab.priors import default, load

    with _results(out) as folder:
        mapped = map_corpus(corpus, load(priors) if priors else default(), seed=seed, limit=limit, column=column, model=model)
        datasets.disable_progress_bars()  # two files are written in no time
        mapped.pages.to_parquet(folder / "pages.parquet")
        mapped.removed.to_parquet(folder / "removed.parquet")
        _save_array(folder / "vectors.npy", mapped.vectors)
        mapped.topics.table.to_parquet(folder / "topics.parquet", index=False)
        (folder / "topic_map.html").write_text(figures.html(mapped.figure(), mapped.caption()), encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(mapped.report(), ensure_ascii=False, indent=2), encoding="utf-8")
    _say(f"{mapped.summary()}\nResults in {out}: topic_map.html, pages.parquet, removed.parquet, topics.parquet, vectors.npy, report.json")


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="The figure's name in runs/R/figures.")],
    run: Annotated[str, typer.Option(help="The run's name or folder.")] = "demo",
    format: Annotated[str, typer.Option(help="html, png, svg or pdf.")] = "html",
    theme: Annotated[str, typer.Option(help="screen, paper or talk.")] = "screen",
    out: Annotated[Path | None, typer.Option(help="File to write (default: runs/R/figures/NAME-THEME.FORMAT).")] = None,
) -> None:
    """Draw a figure of a run again, in another format or theme."""
    from hare_lab import figures

    folder = _run_folder(run) / "figures"
    stored = folder / f"{name}.plotly"
    if not stored.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.plotly"))) or "none yet"
        raise InputError(f'run {run} has no figure "{name}"; it has: {known}')
    if format not in figures.FORMATS:
        raise InputError(f'format "{format}" is unknown; choose one of {", ".join(figures.FORMATS)}')
    caption = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["caption"]
    drawn = figures.themed(figures.from_json(stored.read_text(encoding="utf-8")), theme)
    content = (
        figures.html(drawn, caption).encode() if format == "html" else figures.image(drawn, cast(Literal["png", "svg", "pdf"], format))
    )
    target = out or folder / f"{name}-{theme}.{format}"
    if target.is_dir():
        raise InputError(f"--out {target} is a folder; give a file")
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    _say(str(target))


@app.command()
def bench(name: Annotated[str, typer.Argument(help="One of the files in benchmarks/, without .py.")]) -> None:
    """Run one benchmark; its table lands in benchmarks/results/."""
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    known = sorted(p.stem for p in folder.glob("[a-z]*.py"))
    if name not in known:
        raise InputError(f'no benchmark "{name}"; there are {", ".join(known) or "none here: they come with a checkout of the project"}')
    sys.path.insert(0, str(folder))
    sys.argv = [f"{name}.py"]  # its own, not ours
    try:
        runpy.run_path(str(folder / f"{name}.py"), run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):  # how a benchmark says what it lacks
            raise InputError(stop.code) from stop
        raise


@app.command()
def doctor() -> None:
    """Say what this machine has: versions, weights and their hash, network, browser, cores, bf16, disk."""
    from hare_lab.doctor import examine

    checks = examine()
    width = max(len(check.name) for check in checks)
    for check in checks:
        _say(f"{'ok ' if check.ok else '-- '} {check.name:<{width}}  {check.finding}")
    if any(check.needed and not check.ok for check in checks):
        raise InputError("something that the workbench needs is missing; see the lines marked --")


def main() -> None:
    """Entry point: every bad input is one sentence on standard error and exit status 2; Ctrl-C is exit status 130."""
    debug = "--debug" in sys.argv
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="hare-lab", standalone_mode=False))
    except InputError as error:
        if debug:
            raise
        _fail(str(error))
    except typer.TyperException as error:
        _fail(_usage(error))
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        _fail(f"{error.filename or 'a file'} can't be read or written ({error.strerror or error}); {_remedy(error)}")
    except MemoryError:
        if debug:
            raise
        _fail("the memory ran out; pass --limit to read fewer pages")


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the words on the command line, and where to look them up."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "hare-lab"
    return f"{error.format_message().rstrip('.')}; `{command} --help` lists what can be given"


def _remedy(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "free some space or choose another folder" if full else "check that it is there and may be used, or choose another"


def _fail(sentence: str) -> None:
    sys.stderr.write(f"hare-lab: {' '.join(sentence.split())}\n")
    sys.exit(2)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def _results(out: Path) -> Iterator[Path]:
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
        raise InputError(f"{error.filename or out} can't be written ({error.strerror or error}); {_remedy(error)}") from error
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


def _save_array(path: Path, values: object) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.save(file, np.asarray(values), allow_pickle=False)


def _run_folder(run: str) -> Path:
    from hare_lab.run import runs_folder

    folder = Path(run) if (Path(run) / "run.json").exists() else runs_folder() / run
    if not (folder / "run.json").exists():
        raise InputError(f"no run {run} in {runs_folder()}; `hare-lab run --name {run}` makes it")
    return folder


def _peak() -> float:
    """The largest resident memory of this process or one of its children so far, in GiB."""
    import resource

    unit = 2**30 if sys.platform == "darwin" else 2**20
    return round(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit, 2)


if __name__ == "__main__":
    main()
