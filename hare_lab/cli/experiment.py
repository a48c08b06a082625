"""`hare-lab experiment`: a plan in, arms x seeds trained and compared; at once, or beside one's work."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hare_lab.cli.results import run_folder, say
from hare_lab.errors import InputError
from hare_lab.whole_files import write_text

if TYPE_CHECKING:
    from hare_lab.experiment import Experiment


def experiment(
    plan: Annotated[Path, typer.Argument(help="The plan, a YAML file (docs/experiment.md shows one).")],
    out: Annotated[Path, typer.Option(help="Folder of the experiment; the same folder goes on where it stopped.")],
    workers: Annotated[int, typer.Option(help="Cells trained side by side, one thread each; 0: as many as cores and memory allow.")] = 0,
    background: Annotated[bool, typer.Option("--background", help="Start it in a process of its own, and come back.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far it is.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it after its present step; it can be gone on with.")] = False,
) -> None:
    """Train every arm with every seed at equal tokens, and say whether the hypothesis held."""
    from hare_lab import experiment as module

    if sum((background, status, cancel)) > 1:
        raise InputError("--background, --status and --cancel exclude each other; give one")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a folder")
    if status:
        say(str(module.status(out)))
        for row in module.progress(out).itertuples(index=False) if (out / "plan.yaml").exists() else ():
            say(f"  {row.state:<8} {row.arm}, seed {row.seed}" + (f": {row.bits_per_byte:.4f} bits per byte" if row.looks else ""))
    elif cancel:
        module.cancel(out)
        told = "It stops after its present step, or once a cell that is being scored is done"
        say(f"{told}; `hare-lab experiment {plan} --out {out}` goes on from there")
    elif background:
        say(f"Started as process {module.launch(plan, out, workers=workers)}; `--status` says how far it is, `--cancel` stops it")
    else:
        from hare_lab.run import read_run

        read = module.read_plan(plan)
        run = read_run(run_folder(read.run))
        result = module.conduct(
            lambda: module.from_run(read, run), out, workers=workers or module.fitting(read),
            leak_test=partial(module.leak_test, plan=read),
        )  # fmt: skip
        pages = ", ".join(f"{name}.html" for name in write(result, out))
        say(f"{result.verdict}\nResults in {out}: report.json, cells.parquet, {pages}")


def write(result: Experiment, out: Path) -> list[str]:
    """The tables, the figures and, last, the report of an experiment; names the figures."""
    from hare_lab import figures

    drawn: dict[str, Any] = {
        "differences": result.figure(), "curves": result.curves_figure(),
        "score_against_priors": figures.score_against_priors(result.scored(), score="score", unit=result.score_name()),
    }  # fmt: skip
    if result.target:
        drawn["tokens_to_target"] = result.target_figure()
    for name, figure in drawn.items():
        write_text(out / f"{name}.html", figures.html(figure))
    result.cells.to_parquet(out / "cells.parquet", index=False)
    write_text(out / "report.json", json.dumps(result.to_dict(), ensure_ascii=False, indent=2))
    return list(drawn)
