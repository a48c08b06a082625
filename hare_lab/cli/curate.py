"""`hare-lab curate`: a corpus and priors in, the concise set out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hare_lab.cli.options import Column, Corpus, Limit, Model, PriorsFile, Seed
from hare_lab.cli.results import parquet, result_file, say
from hare_lab.errors import InputError


def curate(
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="Parquet file for the chosen pages.")],
    priors: PriorsFile = None,
    tokens: Annotated[int | None, typer.Option(help="Budget of the set (default: the priors', or all there is).")] = None,
    method: Annotated[str, typer.Option(help="priors, or a published method: docs/curation.md lists them.")] = "priors",
    engine: Annotated[str, typer.Option(help="local; ray comes with a later version.")] = "local",
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
    model: Model = None,
) -> None:
    """Choose the concise set that serves the priors best within a token budget; say of every page why it is in or out."""
    _checked(out, tokens, engine)
    import datasets

    from hare_lab import curation
    from hare_lab import priors as statements
    from hare_lab.corpus import demo_licences
    from hare_lab.preparing import prepare_corpus, whole_funnel
    from hare_lab.report_base import plain

    if method not in curation.METHODS:
        raise InputError(f"--method {method} is unknown; choose one of {', '.join(curation.METHODS)}")
    with result_file(out, "choices.parquet", "removed.parquet", "card.md") as (chosen, report, choices, removed, card):
        statement = statements.load(priors) if priors else statements.default()
        ready = prepare_corpus(corpus, statement, seed=seed, limit=limit, column=column, model=model, budget=tokens)
        have = sum(ready.pages["tokens"])
        budget = tokens or min(statement.tokens, have)
        found = curation.curate(ready.pages, ready.vectors, statement, taxonomy=ready.taxonomy, budget=budget, method=method, seed=seed)
        pages = found.pages(ready.pages)
        datasets.disable_progress_bars()  # the files are written in no time
        pages.to_parquet(chosen)
        found.choices.to_parquet(choices, index=False)
        ready.removed.to_parquet(removed)
        licences = demo_licences(pages["source"]) if corpus == "demo" else None
        funnel = whole_funnel(ready.pages, ready.removed, found.report.funnel)
        card.write_text(curation.dataset_card(pages, found.report, statement, licences=licences, funnel=funnel), encoding="utf-8")
        steps = {name: plain(step.to_dict()) for name, step in ready.steps.items()}
        report.write_text(json.dumps({**found.report.to_dict(), "steps": steps}, ensure_ascii=False, indent=2), encoding="utf-8")
    beside = "what became of each page that could be chosen (.choices.parquet) and of each row before that (.removed.parquet)"
    all_of_them = f" The priors ask for {statement.tokens:,} tokens; all pages together have {have:,}."
    few = "" if tokens or have >= statement.tokens else all_of_them
    say(f"{found.report.summary()}{few}\nResults: {out}; beside it {beside}, .card.md and .report.json")


def _checked(out: Path, tokens: int | None, engine: str) -> None:
    """What can be wrong before anything is read."""
    parquet(out, "curated")
    if tokens is not None and tokens <= 0:
        raise InputError(f"--tokens {tokens} leaves no room for a page; give a budget of at least 1")
    if engine not in ("local", "ray"):
        raise InputError(f"--engine {engine} is unknown; choose local or ray")
    if engine == "ray":
        raise InputError("--engine ray is not part of this version; --engine local does the same on one machine")
