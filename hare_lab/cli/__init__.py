"""The command line, one file a command; `hare-lab --help` lists them.

Each command wires the package's functions together, writes its results with a report beside them, and exits 0, or 2 with
one sentence where the input or the usage is wrong. Heavy modules are imported inside the commands, so that `--help` is
instant.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from hare_lab.cli.bench import bench
from hare_lab.cli.coverage import coverage
from hare_lab.cli.curate import curate
from hare_lab.cli.doctor import doctor
from hare_lab.cli.evaluate import evaluate
from hare_lab.cli.experiment import experiment
from hare_lab.cli.figure import figure
from hare_lab.cli.leakage import leakage
from hare_lab.cli.map import map_
from hare_lab.cli.options import Several
from hare_lab.cli.results import Stopped, remedy
from hare_lab.cli.run import run
from hare_lab.cli.score import score
from hare_lab.cli.synthesize import synthesize
from hare_lab.cli.train import train
from hare_lab.cli.tune import tune
from hare_lab.errors import InputError

INTERRUPTED = 130  # the status of what Ctrl-C ended
GO_ON = frozenset({"run", "synthesize", "train", "tune", "experiment"})  # keep what is finished; the others write all at their end

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="See, measure and test the human priors in the data of a small language model.",
)


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Settings for every command."""
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(name)s: %(message)s")


app.command()(run)
app.command("map")(map_)
app.command()(score)
app.command()(coverage)
app.command(cls=Several)(leakage)
app.command()(curate)
app.command()(synthesize)
app.command()(train)
app.command()(tune)
app.command(cls=Several)(evaluate)
app.command()(experiment)
app.command()(bench)
app.command()(figure)
app.command()(doctor)


def main() -> None:
    """Entry point: every bad input is one sentence on standard error and exit status 2; so is Ctrl-C, with status 130."""
    # Threads that wait in turning loops starve each other where anything else runs on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="hare-lab", standalone_mode=False)
        if status == INTERRUPTED:
            _fail(_interrupted(next((word for word in sys.argv[1:] if not word.startswith("-")), "")), status)
        sys.exit(status)
    except Stopped as stopped:
        _fail(str(stopped), INTERRUPTED)
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
        _fail(f"{error.filename or 'a file'} can't be read or written ({error.strerror or error}); {remedy(error)}")
    except MemoryError:
        if debug:
            raise
        _fail("the memory ran out; pass --limit to read fewer pages")


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the words on the command line, and where to look them up."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "hare-lab"
    return f"{error.format_message().rstrip('.')}; `{command} --help` lists what can be given"


def _interrupted(command: str) -> str:
    """What Ctrl-C left of a command."""
    if command in GO_ON:
        return "stopped; what was finished is kept, and the same command goes on from there"
    return "stopped" if command == "bench" else "stopped; nothing was written"


def _fail(sentence: str, status: int = 2) -> None:
    sys.stderr.write(f"hare-lab: {' '.join(sentence.split())}\n")
    try:
        sys.stdout.flush()
    except OSError:  # else Python tries once more as it ends, and its own status takes the place of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
