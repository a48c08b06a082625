"""`hare-lab leakage`: which pages overlap which benchmark items, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hare_lab.cli.options import Column, Corpus, Limit, Model, PriorsFile, Seed, refuse
from hare_lab.cli.results import parquet, result_file, say, set_aside
from hare_lab.errors import InputError


def leakage(
    corpus: Corpus,
    *,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,  # only to be refused, in words
    out: Annotated[Path, typer.Option(help="Parquet file for the hits, one row a page and item; `leaked`: the page goes.")],
    benchmarks: Annotated[
        list[str] | None, typer.Option(help="Files, folders or hf:owner/name of items: all up to the next option (default: the priors').")
    ] = None,
    kind: Annotated[str, typer.Option(help="crawl, synthetic or task: whose n-gram length of the priors counts.")] = "crawl",
    paraphrases: Annotated[bool, typer.Option(help="Look for reworded items too; embeds every page in windows.")] = True,
    priors: PriorsFile = None,
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
    model: Model = None,
) -> None:
    """Find the pages that hold benchmark items: copied, edited, or told in other words."""
    from hare_lab import corpus as corpora
    from hare_lab.leakage import benchmark_files, embed_windows, find, load_items
    from hare_lab.leakage.find import KINDS
    from hare_lab.priors import default, load

    parquet(out, "leaks")
    if more:
        raise InputError(f"{more[0]}: one corpus at a time; quote a glob, and name benchmarks after --benchmarks")
    if kind not in KINDS:
        raise InputError(f'--kind "{kind}" is unknown; choose one of {", ".join(KINDS)}')
    if not paraphrases:
        refuse({"model": model}, "--paraphrases")
    with result_file(out) as (table, report):
        statement = load(priors) if priors else default()
        items = load_items(*(benchmarks or benchmark_files(statement)))
        loaded = corpora.load(corpus, column=column, limit=limit, seed=seed)
        pages, (aside, told_aside) = loaded.pages, set_aside(loaded)
        vectors = embed_windows(pages, items, model=model) if paraphrases else None
        found = find(pages, items, statement.leakage, kind=kind, vectors=vectors)
        found.table().to_parquet(table, index=False)
        judged = found.pages()
        gone = [id for id, leaked in zip(judged["id"], judged["leaked"], strict=True) if leaked]
        told = {**found.to_dict(), "pages_that_go": gone, "set_aside": aside}
        report.write_text(json.dumps(told, ensure_ascii=False, indent=2), encoding="utf-8")
    say(f"{found.summary()}{told_aside}\nResults: {out}, one row a page and item; {out.name}.report.json beside it")
