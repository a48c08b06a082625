"""The tools half of `hare-lab tune` and `hare-lab evaluate`: a model learns to call functions, and is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hare_lab.cli.options import EPOCHS
from hare_lab.cli.results import Stopped, results, say, steps_bar, times, where_it_stopped
from hare_lab.errors import InputError


def evaluate_tools(model_dir: str, source: str, out: Path, limit: int | None, seed: int, embedder: str | None) -> None:
    """Ask a model tuned for tools, with retrieval and rules beside it, and write the scores, the answers and their figures."""
    from hare_lab import figures, tool_calling

    caller = tool_calling.load(model_dir, embedder=embedder)
    requests = _drawn(_requests(source, caller.registry, "test"), limit, seed)
    scores, answers = tool_calling.evaluate(caller, requests, method=Path(model_dir).name)
    texts = [request.text for request in requests]
    looked = tool_calling.retrieve(texts, caller.registry, model=embedder)
    rules = tool_calling.score(requests, tool_calling.by_rules(texts, caller.registry, looked), method="retrieval and rules")
    by_counts = tool_calling.by_wording(texts, caller.registry, caller.known.wording)
    counts = tool_calling.score(requests, by_counts, method="counts of words alone")
    curve = tool_calling.risk_coverage(answers["doubt"], answers["right"])
    threshold = caller.abstain.threshold if caller.abstain else 0.5
    with results(out) as folder:
        answers.to_parquet(folder / "answers.parquet", index=False)
        scores.failures.to_parquet(folder / "failures.parquet", index=False)
        tool_calling.compare([scores, counts, rules]).to_csv(folder / "methods.csv", index=False)
        for name, figure in {
            "confusion": scores.figure(), "beside_paper": figures.calls_beside_paper(tool_calling.beside_paper(scores, rules)),
            "risk_coverage": figures.risk_coverage(curve, threshold=threshold),
        }.items():  # fmt: skip
            (folder / f"{name}.html").write_text(figures.html(figure), encoding="utf-8")
        report = {
            "tuned": scores.to_dict(),
            "counts": counts.to_dict(),
            "rules": rules.to_dict(),
            "recall": looked.recall(requests, caller.registry).to_dict("records"),
        }
        (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
    lines = [
        f"{one.method}: right function {one.api_accuracy:.1%}, exact call {one.exact_call:.1%}, argument F1 {one.argument_f1:.1%}"
        for one in (scores, counts, rules)
    ]
    say("\n".join([*lines, f"Results in {out}"]))


def tune_tools(
    source: str, model: str, out: Path, *, functions: Path | None, text: str, epochs: float | None, method: Any, rate: float | None,
    seed: int, limit: int | None,
) -> None:  # fmt: skip
    """Tune a model to call functions on requests with their calls, choose its threshold, and write it to a folder.

    Where `epochs` is None, the requests are read 3 times, or more where they are few; else as often as it says.
    """
    from hare_lab import corpus, tool_calling, training
    from hare_lab.machine import alone
    from hare_lab.tool_calling.calling import LEAST, readings

    if epochs is not None and not (epochs >= 1 and float(epochs).is_integer()):
        raise InputError(f"--epochs is {epochs:g}; with --tools give a whole number, 1 or more")
    often, least = (EPOCHS, LEAST) if epochs is None else (int(epochs), 0)
    registry = tool_calling.load_registry(functions) if functions else tool_calling.bundled()
    requests = _requests(source, registry, "train")
    validation = tool_calling.bundled_requests("validation") if source == "bundled" else []
    if not validation:  # a sixth is put aside; what the threshold is chosen on is not learnt from
        mixed = _drawn(requests, len(requests), seed)
        validation, requests = mixed[: len(mixed) // 6], mixed[len(mixed) // 6 :]
    requests = _drawn(requests, limit, seed)
    pages = list(corpus.load(text, limit=2_000, seed=seed).pages["text"])
    known, tokenizer = training.load_model(model)
    with alone(out), steps_bar(f"tuning {Path(model).name}") as watch:
        caller, tuned = tool_calling.teach(
            known, tokenizer, registry, requests, pages=pages, epochs=often, least=least, learning_rate=rate, method=method, seed=seed,
            out=out, watch=watch,
        )  # fmt: skip
    if not tuned.report.finished:
        raise Stopped(where_it_stopped(tuned.report.training, out))
    if len({request.call is None for request in validation}) == 2:
        caller = caller.with_abstention(validation)
    with results(out) as folder:
        tuned.save(folder)
        caller.save(folder)
        (folder / "report.json").write_text(json.dumps(tuned.report.to_dict(), indent=1), encoding="utf-8")
    run = tuned.report.training
    turns = readings(len(requests), often, least)
    learnt = f"read {times(turns)}, loss {run.first_loss:.3f} to {run.last_loss:.3f} in {run.seconds:.0f} s"
    again = f"`hare-lab evaluate {out} --tools {source} --out FOLDER` asks it"
    say(f"{len(requests):,} requests for {len(registry)} functions: {learnt}\nResults in {out}; {again}")


def _requests(source: str, registry: Any, split: str) -> list[Any]:
    from hare_lab import tool_calling

    return (
        tool_calling.check(tool_calling.bundled_requests(split), registry)
        if source == "bundled"
        else tool_calling.load_requests(source, registry)
    )


def _drawn(requests: list[Any], limit: int | None, seed: int) -> list[Any]:
    import numpy as np

    if limit is None:
        return requests
    if limit < 1:
        raise InputError(f"--limit is {limit}; give 1 or more")
    return [requests[int(i)] for i in np.random.default_rng(seed).permutation(len(requests))[:limit]]
