"""`hare-lab evaluate`: a model folder in, its scores out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hare_lab.cli.options import Column, Limit, Seed, refuse
from hare_lab.cli.results import results, say
from hare_lab.errors import InputError

if TYPE_CHECKING:
    from hare_lab.evaluation import Task


def evaluate(
    model_dir: Annotated[str, typer.Argument(help="A model's folder (or hub id), as `hare-lab train` makes it.")],
    *,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,  # only to be refused, in words
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    tasks: Annotated[
        list[str] | None, typer.Option(help="bundled, paper, a JSON-lines file of items, a task of lm-eval: all up to the next option.")
    ] = None,
    pages: Annotated[str | None, typer.Option(help="Held-out pages to measure bits per byte on, as CORPUS elsewhere.")] = None,
    group: Annotated[str | None, typer.Option(help="The column of the pages that names their topic.")] = None,
    tools: Annotated[
        str | None, typer.Option(help="Function calls of a model tuned for tools: bundled, or a JSON-lines file of text and call.")
    ] = None,
    embedder: Annotated[str | None, typer.Option("--model", help="Embedding model for --tools (default: the bundled MiniLM).")] = None,
    seed: Seed = 0,
    limit: Limit = None,
    column: Column = None,
) -> None:
    """Score a model on tasks, in bits per byte on held-out pages, or in function calls."""
    from hare_lab import evaluation, figures

    if more:
        raise InputError(f"{more[0]}: one model at a time; name tasks after --tasks")
    if not pages:
        refuse({"group": group, "column": column}, "--pages")
    if not tools:
        refuse({"model": embedder}, "--tools")
    if tools:
        from hare_lab.cli.tools import evaluate_tools

        if tasks or pages:
            raise InputError("--tools stands alone; score tasks and pages by a command of their own")
        evaluate_tools(model_dir, tools, out, limit, seed, embedder)
        return
    asked = _tasks(tasks or ([] if pages else ["bundled"]), limit, seed)
    model = evaluation.load_model(model_dir)
    with results(out) as folder:
        report: dict[str, Any] = {"model": model.name, "parameters": model.parameters, "context": model.context}
        lines = []
        if asked:
            scores = evaluation.run_tasks(model, asked, limit=limit, seed=seed)
            scores.table().to_parquet(folder / "scores.parquet", index=False)
            _draw(folder, "scores", scores.figure())
            _draw(folder, "leaderboard", figures.leaderboard(evaluation.leaderboard([scores])))
            report["scores"] = scores.to_dict()["scores"]
            lines += [f"{s.task}: {s.value:.1%} ± {s.stderr:.1%} (guessing {s.chance:.1%})" for s in scores.scores]
        if pages:
            bits = _bits(model, pages, group, column, limit, seed, folder)
            _draw(folder, "bits_by_topic", bits.figure())
            report["bits_per_byte"] = bits.to_dict()
            lines.append(
                f"bits per byte: {bits.macro.value:.4f} ({bits.macro.low:.4f} to {bits.macro.high:.4f}), mean of {len(bits.groups)} groups"
            )
        (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=2), encoding="utf-8")
    say("\n".join([*lines, f"Results in {out}"]))


def _tasks(names: Sequence[str], limit: int | None, seed: int) -> list[Task | str]:
    """The tasks that the words mean: bundled, the paper's six, a file, or the name of a task of the harness."""
    from hare_lab import evaluation

    found: list[Task | str] = []
    for name in names:
        if name == "bundled":
            found += evaluation.bundled_tasks(limit=limit, seed=seed)
        elif name == "paper":
            found += evaluation.PAPER
        elif Path(name).exists() or "." in name or "/" in name:
            found.append(evaluation.read_task(name, limit=limit, seed=seed))
        else:
            found.append(name)
    return found


def _bits(model: Any, pages: str, group: str | None, column: str | None, limit: int | None, seed: int, folder: Path) -> Any:
    from hare_lab import corpus, evaluation

    loaded = corpus.load(pages, column=column, limit=limit, seed=seed).pages
    if group and group not in loaded.column_names:
        raise InputError(f'{pages}: no column "{group}"; --group names one of {", ".join(loaded.column_names)}')
    scored = evaluation.page_bits(model, loaded)
    scored.to_parquet(folder / "page_bits.parquet", index=False)
    return evaluation.bits_per_byte(scored, list(loaded[group or "source"]), model=model.name, seed=seed)


def _draw(folder: Path, name: str, figure: Any) -> None:
    from hare_lab import figures

    (folder / f"{name}.html").write_text(figures.html(figure), encoding="utf-8")
