"""`hare-lab coverage`: a corpus and a reference in, the gap ledger and its figures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hare_lab.cli.options import Column, Corpus, Limit, Model, PriorsFile, Seed, refuse
from hare_lab.cli.results import results, say, set_aside

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of one


def coverage(
    corpus: Corpus,
    reference: Annotated[str, typer.Option(help="A taxonomy (.yaml), a benchmark or another corpus, as CORPUS is given.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    by: Annotated[str | None, typer.Option(help="The reference's column of topics (default: found, else clusters).")] = None,
    priors: PriorsFile = None,
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
    model: Model = None,
) -> None:
    """Hold a corpus against a reference: place each page in a topic, and list how many tokens each topic lacks."""
    import datasets

    from hare_lab import corpus as corpora
    from hare_lab import coverage as coverages
    from hare_lab import embedding, figures
    from hare_lab.priors import default, load

    if reference.lower().endswith((".yaml", ".yml")):
        refuse({"by": by}, "a benchmark or a corpus as --reference, for a taxonomy's topics are its own")
    with results(out) as folder:
        statement = load(priors) if priors else default()
        taxonomy = statement.find(statement.taxonomy)
        own = Path(reference).exists() and taxonomy.samefile(reference)  # only their own taxonomy is the one that the priors weigh
        loaded = corpora.load(corpus, column=column, limit=limit, seed=seed)  # first: a wrong path costs nothing yet
        wanted = coverages.load_reference(
            reference, weights=statement.topics if own else None, by=by, column=column, tokenizer=statement.tokenizer, model=model,
            seed=seed,
        )  # fmt: skip
        pages, (aside, told_aside) = loaded.pages, set_aside(loaded)
        vectors = embedding.embed(pages, model=model).vectors
        found = coverages.cover(pages, vectors, wanted, name=Path(reference).name, tokenizer=statement.tokenizer, seed=seed)
        datasets.disable_progress_bars()  # two files are written in no time
        found.placed.to_parquet(folder / "placed.parquet")
        found.gaps.to_parquet(folder / "gaps.parquet", index=False)
        _for_spreadsheets(found.gaps).to_csv(folder / "gaps.csv", index=False)
        drawn = {
            "coverage_bars": figures.wanted_and_have(found.gaps),
            "coverage_treemap": figures.coverage_treemap(found.gaps),
        }
        for name, figure in drawn.items():
            (folder / f"{name}.html").write_text(figures.html(figure, figure.layout.meta["caption"]), encoding="utf-8")
        (folder / "report.json").write_text(
            json.dumps({**found.report.to_dict(), "set_aside": aside}, ensure_ascii=False, indent=2), encoding="utf-8"
        )
    unused = f"\nThe topics' weights in {priors} were not used: they are for {taxonomy}, and the reference is {reference}."
    told_unused = unused if priors and statement.topics and not own else ""
    files = ", ".join((*(f"{name}.html" for name in drawn), "gaps.parquet", "gaps.csv", "placed.parquet", "report.json"))
    say(f"{found.report.summary()}{told_aside}{told_unused}\nResults in {out}: {files}")


def _for_spreadsheets(gaps: pd.DataFrame) -> pd.DataFrame:
    """The ledger in cells that a spreadsheet shows as they are: ids in one line, and no text that it would compute as a formula."""
    cells = gaps.assign(nearest=["; ".join(map(str, ids)) for ids in gaps["nearest"]])
    for column in ("topic", "name", "description", "parent", "nearest"):
        cells[column] = [f"'{text}" if str(text).startswith(FORMULA) else text for text in cells[column]]
    return cells
