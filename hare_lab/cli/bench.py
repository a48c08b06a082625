"""`hare-lab bench`: run one of the benchmarks of a checkout."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from hare_lab.errors import InputError


def bench(name: Annotated[str, typer.Argument(help="One of the files in benchmarks/, without .py.")]) -> None:
    """Run one benchmark; its table lands in benchmarks/results/."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    known = sorted(p.stem for p in folder.glob("[a-z]*.py") if "__main__" in p.read_text(encoding="utf-8"))  # the others are their parts
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
