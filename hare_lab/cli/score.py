"""`hare-lab score`: how good is each page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hare_lab.cli.options import Column, Corpus, Limit, Model, PriorsFile, Seed
from hare_lab.cli.results import parquet, result_file, say, set_aside


def score(
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="Parquet file for the pages with their scores.")],
    good: Annotated[str | None, typer.Option(help="Pages to learn from, instead of those the priors name.")] = None,
    bad: Annotated[str | None, typer.Option(help="Bad pages to tell them from, instead of the corpus itself.")] = None,
    classifier: Annotated[str | None, typer.Option(help="A text classifier, a folder or hub id; adds a column.")] = None,
    priors: PriorsFile = None,
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
    model: Model = None,
) -> None:
    """Score the quality of each page, by the published rules and by a scorer that is taught here."""
    import datasets

    from hare_lab.priors import default, load
    from hare_lab.quality.scores import score_source
    from hare_lab.report_base import plain, plural

    parquet(out, "scores")
    with result_file(out) as (file, report):
        statement = load(priors) if priors else default()
        loaded, table, scores = score_source(
            corpus, statement, good=good, bad=bad, classifier=classifier, seed=seed, limit=limit, column=column, model=model
        )
        datasets.disable_progress_bars()
        table.to_parquet(file)
        aside, told_aside = set_aside(loaded)
        told = {
            "load": loaded.report.to_dict(),
            "quality": scores.report.to_dict(),
            "rules": plain(scores.rules.table()),
            "set_aside": aside,
        }
        report.write_text(json.dumps(told, ensure_ascii=False, indent=2), encoding="utf-8")
    report_of = scores.report
    said = f"{report_of.passed:.0%} pass every rule; the middle half scores {report_of.low:.2f} to {report_of.high:.2f}"
    say(f"{plural(report_of.pages, 'page')} scored{told_aside}; {said}. Results in {out}")
