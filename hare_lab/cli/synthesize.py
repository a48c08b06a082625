"""`hare-lab synthesize`: write what a run's corpus lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from hare_lab.cli.options import Seed
from hare_lab.cli.results import run_folder, say
from hare_lab.errors import InputError


def synthesize(
    tokens: Annotated[int, typer.Option(help="How much to write, in the run's tokens (bytes where it has no tokenizer).")],
    run: Annotated[str, typer.Option(help="The run's name or folder.")] = "demo",
    endpoint: Annotated[
        str, typer.Option(help="An OpenAI-compatible server, as in http://127.0.0.1:8000/v1; its key: HARE_LAB_API_KEY.")
    ] = "",
    model: Annotated[str, typer.Option(help="The model as the server names it; without --endpoint, a local folder or hub id.")] = "",
    replay: Annotated[bool, typer.Option("--replay", help="Take the recorded replies: no network, no model.")] = False,
    worst: Annotated[int, typer.Option(help="Work on so many of the emptiest topics.", min=1)] = 5,
    task: Annotated[str, typer.Option(help="D2 (running text), D3 (task items), or both in the priors' mixture.")] = "both",
    prompts: Annotated[Path | None, typer.Option(help="Folder of prompt templates (default: data/prompts).")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests in flight at once.", min=1)] = 8,
    per_minute: Annotated[float, typer.Option(help="At most so many requests a minute (0: no limit).", min=0)] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds that a reply may take.")] = 120,
    seed: Seed = 0,
    limit: Annotated[int | None, typer.Option(help="Ask at most so many requests.", min=1)] = None,
) -> None:
    """Write text for the emptiest topics of a run's gap ledger, filter it, and keep it in the run as `synthetic`."""
    if sum((bool(endpoint), replay, bool(model) and not endpoint)) != 1:
        raise InputError("synthesize: give one of --endpoint URL --model M, --model FOLDER, or --replay")
    if task not in ("D2", "D3", "both"):
        raise InputError(f'--task "{task}" is unknown; choose D2, D3 or both')
    from hare_lab.run import read_run
    from hare_lab.synthesis import Backend, Endpoint, Local, Replay
    from hare_lab.synthesis.in_run import write_for_gaps

    this = read_run(run_folder(run))
    this.entry("gaps"), this.entry("mapped")  # what is missing is said before a model is loaded
    backend: Backend
    if replay:
        backend = Replay()
    elif endpoint:
        backend = Endpoint(endpoint, model, concurrency=concurrency, per_minute=per_minute, timeout=timeout)
    else:
        backend = Local(model, seed=seed)
    shares = None if task == "both" else {task: 1.0}
    accepted, rejected, report = write_for_gaps(
        this, backend, tokens=tokens, worst=worst, shares=shares, prompts=prompts, limit=limit, seed=seed
    )
    if not report.replies:
        raise InputError(f"synthesize: the recording has nothing for {report.left_out}; give --endpoint URL --model M or --model FOLDER")
    recorded = " (a recording)" if report.recorded else ""
    say(f"{len(accepted):,} of {report.replies:,} replies of {report.model}{recorded} accepted, {report.tokens:,} tokens")
    say(_why(rejected["reason"]))
    for row in report.topics.itertuples(index=False):
        say(f"  {row.name}: {row.before:.2%} -> {row.after:.2%} of the corpus (wanted {row.wanted:.2%})")
    say(f"In run {this.name}: synthetic, synthetic_rejected, synthesis")


def _why(reasons: Iterable[str]) -> str:
    found = Counter(reasons)
    return "rejected: " + (", ".join(f"{reason} ({n})" for reason, n in found.most_common()) or "none")
