"""`hare-lab run`: the notebooks in order, into a run folder."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import typer

from hare_lab.cli.options import PriorsFile, ProfileName, Seed
from hare_lab.cli.results import say
from hare_lab.errors import InputError


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
    from hare_lab.run import executed_otherwise, notebooks, open_run

    if corpus == "-":
        raise InputError("--corpus - can't be: notebooks don't share the standard input; save it to a file and give that")
    if corpus != "demo" and not corpus.startswith("hf:"):
        expand(corpus)  # a name that means nothing is said now, not by the first notebook
        corpus = os.path.abspath(corpus)  # noqa: PTH100 (a glob is no path); the notebooks run in a folder of their own
    wanted = {part.strip() for part in only.split(",")} - {""}
    known = [n.name[:2] for n in notebooks()]
    if unknown := sorted(wanted - set(known)) or (["nothing"] if only and not wanted else []):
        raise InputError(f"--only {only}: {unknown[0]} is no notebook's number; there are {', '.join(known)}")
    this = open_run(name, profile=profile, seed=seed, corpus=corpus, priors=priors)  # writes down what was asked for
    chosen = [n for n in notebooks() if not wanted or n.name[:2] in wanted]
    start = time.perf_counter()
    for number, notebook in enumerate(chosen, start=1):
        say(f"[{number}/{len(chosen)}] {notebook.stem} ...")
        began = time.perf_counter()
        this.execute(notebook)
        say(f"      done in {time.perf_counter() - began:.0f} s")
    others = executed_otherwise(this)
    minutes = (time.perf_counter() - start) / 60
    this.record("run", {"notebooks": [n.name for n in chosen], "profile": profile, "minutes": round(minutes, 2), "peak_gib": _peak()})
    say(f"\nFinished in {minutes:.1f} minutes. Where to look:")
    for figure in sorted((this.folder / "figures").glob("*.html")):
        say(f"  {figure}")
    say(f"  {this.folder / 'notebooks'}  (the executed notebooks)\n  {this.folder / 'manifest.json'}  (what was made from what)")
    if others:
        what, numbers = " and ".join(dict.fromkeys(name for names in others.values() for name in names)), ",".join(others)
        say(f"Of other {what}, and left as they were: notebooks {numbers}; give the same command with `--only {numbers}` to run them again")


def _peak() -> float:
    """The largest resident memory of this process or one of its children so far, in GiB."""
    import resource

    unit = 2**30 if sys.platform == "darwin" else 2**20
    return round(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit, 2)
