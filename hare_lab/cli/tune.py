"""`hare-lab tune`: conversations and a model in, a model that answers out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hare_lab.cli.options import EPOCHS, Limit, Seed
from hare_lab.cli.results import Stopped, results, say, steps_bar, times, where_it_stopped
from hare_lab.errors import InputError


def tune(
    data: Annotated[
        str,
        typer.Argument(
            help='Conversations: JSON lines of {"messages": [{"role": ..., "content": ...}, ...]}. With --tools: bundled, or JSON lines '
            'of {"text": ..., "call": {"name": ..., "arguments": {...}} or null}.'
        ),
    ],
    model: Annotated[str, typer.Option(help="The model to tune: a folder, as `hare-lab train` makes it, or a hub id.")],
    out: Annotated[Path, typer.Option(help="Folder for the tuned model; checkpoints in it let a killed run go on.")],
    method: Annotated[str, typer.Option(help="full (every weight) or lora (adapters, merged at the end).")] = "full",
    template: Annotated[str, typer.Option(help="auto (the model's own, else hare), own, hare or chatml.")] = "auto",
    epochs: Annotated[
        float | None, typer.Option(help="How many times each is read (default: 3; with --tools more where they are few).")
    ] = None,
    heldout: Annotated[float, typer.Option(help="Share of the conversations that is not learnt from, for a second curve.")] = 0.05,
    context: Annotated[int | None, typer.Option(help="Tokens read at once (default: what the longest needs).", min=2)] = None,
    batch: Annotated[int | None, typer.Option(help="Rows a step (default: by the number of conversations, at most 16).")] = None,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate (default: by the model's width and the method).")] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    tools: Annotated[bool, typer.Option("--tools", help="Learn to call functions.")] = False,
    functions: Annotated[Path | None, typer.Option(help="With --tools: a JSON list of schemas (default: the bundled telephone's).")] = None,
    text: Annotated[str, typer.Option(help="With --tools: pages that invented names and nonsense are made of.")] = "demo",
    seed: Seed = 0,
    limit: Limit = None,
) -> None:
    """Fine-tune a model on conversations, or on function calls; the loss is on the answers only."""
    import numpy as np

    from hare_lab import training
    from hare_lab.machine import alone

    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a folder")
    if not 0 <= heldout < 1:
        raise InputError(f"--heldout is {heldout:g}; it is a share, 0 or more and below 1")
    if method not in ("full", "lora"):
        raise InputError(f"--method {method} is unknown; choose full or lora")
    chat = {"template": template != "auto", "heldout": heldout != 0.05, "context": context is not None, "batch": batch is not None,
            "precision": precision != "auto"}  # fmt: skip
    deaf = next((name for name, given in (chat if tools else {"functions": functions is not None}).items() if given), None)
    if deaf:
        raise InputError(f"--{deaf} says nothing {'with' if tools else 'without'} --tools; leave one of the two out")
    if data == "bundled" and not tools:
        raise InputError("bundled is what --tools learns from; add --tools, or give a JSON-lines file of conversations")
    if tools:
        from hare_lab.cli.tools import tune_tools

        kind: Any = method
        tune_tools(data, model, out, functions=functions, text=text, epochs=epochs, method=kind, rate=rate, seed=seed, limit=limit)
        return
    talks = training.conversations(data, limit=limit)
    known, tokenizer = training.load_model(model)
    chosen = training.set_template(known, tokenizer, template)
    examples = training.chat_examples(talks, tokenizer)
    order = np.random.default_rng(seed).permutation(len(examples)).tolist()
    aside = round(heldout * len(examples))
    usual = training.tuning_settings(known, tokenizer, examples, context)
    judged: Any = precision  # words, until they have been judged
    settings = replace(usual, precision=judged, batch=batch or usual.batch, micro=batch or usual.batch)
    picked: Any = method
    often = EPOCHS if epochs is None else epochs
    with alone(out), steps_bar(f"tuning {Path(model).name}") as watch:
        tuned = training.tune(
            known, tokenizer, [examples[i] for i in order[aside:]], heldout=[examples[i] for i in order[:aside]], epochs=often,
            learning_rate=rate, settings=settings, method=picked, out=out, name=model, seed=seed, watch=watch,
        )  # fmt: skip
    report = tuned.report
    if not report.finished:
        raise Stopped(where_it_stopped(report.training, out))
    with results(out) as folder:
        tuned.save(folder)
        (folder / "report.json").write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    run = report.training
    held = f", held out {run.heldout_loss:.3f}" if run.heldout_loss is not None else ""
    talk = "conversation" if report.examples == 1 else "conversations"
    lines = [
        f"{report.examples:,} {talk} in template {chosen}, {report.answers:,} answer tokens, read {times(often)} in "
        f"{run.seconds:.0f} s: loss {run.first_loss:.3f} to {run.last_loss:.3f}{held}",
        *([f"{report.too_long:,} left out, longer than {report.context} tokens"] if report.too_long else []),
        *run.notes,
        f"Results in {out}: model.safetensors, config.json, tokenizer.json, chat_template.jinja, README.md, report.json",
    ]
    say("\n".join(lines))
