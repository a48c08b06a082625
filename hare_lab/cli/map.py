"""`hare-lab map`: a corpus in, its topic map out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hare_lab.cli.options import Column, Corpus, Limit, Model, PriorsFile, Seed
from hare_lab.cli.results import results, save_array, say


def map_(
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    priors: PriorsFile = None,
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
    model: Model = None,
) -> None:
    """Clean, deduplicate, embed, cluster and name a corpus; draw its topic map."""
    import datasets

    from hare_lab import figures
    from hare_lab.mapping import map_corpus
    from hare_lab.priors import default, load

    with results(out) as folder:
        mapped = map_corpus(corpus, load(priors) if priors else default(), seed=seed, limit=limit, column=column, model=model)
        datasets.disable_progress_bars()  # two files are written in no time
        mapped.pages.to_parquet(folder / "pages.parquet")
        mapped.removed.to_parquet(folder / "removed.parquet")
        save_array(folder / "vectors.npy", mapped.vectors)
        mapped.topics.table.to_parquet(folder / "topics.parquet", index=False)
        (folder / "topic_map.html").write_text(figures.html(mapped.figure(), mapped.caption()), encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(mapped.report(), ensure_ascii=False, indent=2), encoding="utf-8")
    say(f"{mapped.summary()}\nResults in {out}: topic_map.html, pages.parquet, removed.parquet, topics.parquet, vectors.npy, report.json")
