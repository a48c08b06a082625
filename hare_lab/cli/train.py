"""`hare-lab train`: pages in, a small language model out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hare_lab.cli.options import Column, Limit, PriorsFile, Seed
from hare_lab.cli.results import Stopped, results, say, stoppable, where_it_stopped
from hare_lab.errors import InputError

if TYPE_CHECKING:
    from hare_lab.priors import Priors


def train(
    data: Annotated[str, typer.Argument(help="Pages: a path, a glob, hf:owner/name, demo, or - (D1 where there are parts).")] = "",
    model: Annotated[str, typer.Option(help="hare-1m, 5m, 15m, 50m, 125m, 250m or hare-1.1b.")] = "hare-5m",
    tokens: Annotated[int, typer.Option(help="How many tokens to read; more than there are repeats them, and says so.")] = 1_000_000,
    out: Annotated[Path | None, typer.Option(help="Folder for the model; checkpoints in it let a killed run go on.")] = None,
    d2: Annotated[str, typer.Option(help="Synthetic text: read in a second stage with D1, by the priors' mixture.")] = "",
    d3: Annotated[str, typer.Option(help="Task data, as --d2.")] = "",
    tokenizer: Annotated[str, typer.Option(help="A folder or hub id (default: one is learnt from the pages).")] = "",
    vocabulary: Annotated[int | None, typer.Option(help="Of a tokenizer that is learnt (default: the model's own).")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens read at once (default: the model's own).", min=2)] = None,
    batch: Annotated[int | None, typer.Option(help="Rows a step (default: as many as leave a thousand steps).")] = None,
    micro: Annotated[int, typer.Option(help="Rows a pass: less memory, the same result.")] = 16,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate (default: the model's own).")] = None,
    schedule: Annotated[str, typer.Option(help="cosine or constant.")] = "cosine",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    priors: PriorsFile = None,
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
    background: Annotated[bool, typer.Option("--background", help="Come back at once; see --status and --cancel.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far the run in --out is.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop the run in --out; it keeps a checkpoint.")] = False,
) -> None:
    """Train a small language model; `accelerate launch -m hare_lab.cli train ...` does it on several GPUs."""
    from hare_lab import models, training
    from hare_lab.machine import alone
    from hare_lab.priors import default, load

    if out is None:
        raise InputError("--out is missing; give the folder of the model")
    if status or cancel:
        job = training.Job(out)
        found = job.status()
        if cancel and not found.over:
            job.cancel()
        say(_line(found) + ("; asked to stop" if cancel and not found.over else ""))
        return
    if not data:
        raise InputError("no data; give pages to train on, such as pages.jsonl or demo")
    size = models.shape(model)
    judged: dict[str, Any] = {"schedule": schedule, "precision": precision}  # words, until `Settings` has judged them
    if tokens < 1:
        raise InputError(f"--tokens is {tokens}; give 1 or more")
    rows = training.batch_for(tokens, context or size.context) if batch is None else batch
    how = training.Settings(context=context or size.context, batch=rows, micro=micro, learning_rate=rate, **judged)
    statement = load(priors) if priors else default()
    parts = {name: _pages(source, name, limit, column, seed) for name, source in (("D1", data), ("D2", d2), ("D3", d3)) if source}
    more: dict[str, Any] = {"vocabulary": vocabulary, "tokenizer": tokenizer or None, "seed": seed}
    if background:
        training.launch(parts, model, tokens, out, settings=how, priors=str(priors.absolute()) if priors else None, **more)
        say(f"Training in the background; `hare-lab train --status --out {out}` says how far it is, `--cancel` stops it")
        return
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a folder")
    with alone(out):
        if told := _train(parts, model, tokens, out, how, statement, more):
            say(told)


def _train(parts: dict[str, Any], model: str, tokens: int, out: Path, how: Any, priors: Priors, more: dict[str, Any]) -> str:
    """Train in the foreground with a bar; the model takes its place in `out` only when all of it stands. One process speaks."""
    from tqdm.auto import tqdm

    from hare_lab import training
    from hare_lab.training.background import CANCEL, Watcher

    watcher = Watcher(out)
    if watcher.main:
        (out / CANCEL).unlink(missing_ok=True)
    with watcher, stoppable() as stop, tqdm(total=tokens, unit=" tokens", desc=model, disable=None if watcher.main else True) as bar:

        def watch(progress: training.Progress) -> bool:
            bar.update(progress.tokens - bar.n)
            bar.set_postfix_str(f"loss {progress.loss:.3f}, {progress.utilisation:.0%} of peak")
            return watcher(progress) or stop()

        try:
            trained = training.train(parts, model, tokens, out=out, settings=how, priors=priors, watch=watch, **more)
        except Exception as error:
            watcher.write("failed", str(error))
            raise
    report = trained.report
    if not watcher.main:
        return ""
    if not report.finished:
        watcher.write("cancelled", "stopped when asked; the same command goes on from its checkpoint")
        if stop():
            raise Stopped(where_it_stopped(report, out))
        return f"It {where_it_stopped(report, out)}"
    with results(out) as folder:
        trained.save(folder)
        (folder / "report.json").write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    losses = f"loss {report.first_loss:.3f} to {report.last_loss:.3f}"
    speed = f"{report.tokens_per_second:,.0f} tokens a second in {report.precision}, {report.utilisation:.0%} of the machine's peak"
    lines = [
        f"{model}: {report.tokens:,} tokens in {report.seconds:.0f} s, {losses} ({speed})"
        if watcher.progress
        else f"{model} was trained already, on {report.tokens:,} tokens, {losses}; nothing was left to do",
        *report.notes,
        f"Results in {out}: model.safetensors, config.json, tokenizer.json, README.md, report.json",
    ]
    watcher.done(report)
    return "\n".join(lines)


def _pages(source: str, name: str, limit: int | None, column: str | None, seed: int) -> Any:
    from hare_lab import corpus

    if name != "D1" and source == "-":
        raise InputError(f"--{name.lower()} - can't be: the standard input is one; save it to a file and give that")
    return corpus.load(source, column=column, limit=limit, seed=seed).pages


def _line(found: Any) -> str:
    parts = [f"{found.state}: step {found.step:,} of {found.steps:,}, {found.tokens:,} tokens"]
    if found.loss is not None:
        parts.append(f"loss {found.loss:.3f}")
    if found.tokens_per_second and not found.over:
        parts.append(f"{found.tokens_per_second:,.0f} tokens a second, {found.seconds_left or 0:.0f} s left")
    return ", ".join([*parts, *([found.message] if found.message else [])])
