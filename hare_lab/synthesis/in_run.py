"""Synthesis for a run: its ledger, pages and priors in, the artifacts `synthetic`, `synthetic_rejected` and `synthesis` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.corpus.pages import token_counts
from hare_lab.run import Run
from hare_lab.synthesis.backends import Backend
from hare_lab.synthesis.context import context
from hare_lab.synthesis.filters import Context
from hare_lab.synthesis.generate import synthesize
from hare_lab.synthesis.plan import Request
from hare_lab.synthesis.prompts import FOLDER, TASKS

if TYPE_CHECKING:
    from datasets import Dataset

    from hare_lab.synthesis.report import SynthesisReport

INPUTS = ("gaps", "mapped", "vectors")


def context_of(run: Run, prompts: Path | None = None) -> Context:
    """What replies to the run's gaps are measured against: its pages, their vectors and topics, its priors."""
    placed = list(run.load("placed")["topic"]) if run.has("placed") else None
    score = run.load("scorer").score if run.has("scorer") else None
    return context(
        run.load("mapped"), run.load("vectors"), run.priors, placed=placed, prompts=prompts or FOLDER, score=score, fit=_fit(run)
    )


def _fit(run: Run) -> set[str] | None:
    """The pages that a prompt may start from: none that leaks, none below the floor of quality, as far as the run knows."""
    unfit: set[str] = set()
    if run.has("scores"):
        scores = run.load("scores")
        unfit |= {page for page, quality in zip(scores["id"], scores["quality"], strict=True) if quality < run.priors.quality.floor}
    if run.has("leakage"):
        found = run.load("leakage")
        unfit |= {page for page, leaked in zip(found["id"], found["leaked"], strict=True) if leaked}
    return set(run.load("mapped")["id"]) - unfit if unfit else None


def _asked(task: str) -> Request:
    """A request of a task: enough to learn a backend's settings for it."""
    return Request("", task, "", "", "", "", "", (0, 0))


def write_for_gaps(
    run: Run,
    backend: Backend,
    *,
    tokens: int,
    worst: int = 5,
    shares: Mapping[str, float] | None = None,
    prompts: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> tuple[Dataset, Dataset, SynthesisReport]:
    """`synthesize` for a run, kept as its artifacts: made anew only if ledger, pages, priors, prompts, model or settings changed.

    Raises
    ------
    MissingArtifactError
        If the run has no ledger or no map yet; names the notebook that makes it.
    InputError
        As `synthesize` does.
    """
    inputs = [*INPUTS, *(name for name in ("placed", "scores", "scorer", "leakage") if run.has(name))]
    where = context_of(run, prompts)
    templates = {kind: asdict(template) for kind, template in where.prompts.templates.items()}
    params: dict[str, Any] = {
        "tokens": tokens, "worst": worst, "shares": dict(shares or {}), "limit": limit, "seed": seed, "model": backend.model,
        "place": backend.place, "settings": {task: dict(backend.settings(_asked(task))) for task in TASKS},
        "templates": templates, "audiences": dict(where.prompts.audiences), "styles": dict(where.prompts.styles),
        "priors": run.priors.to_dict(),
    }  # fmt: skip
    count = lambda texts: token_counts(texts, run.priors.tokenizer)  # noqa: E731

    def build() -> tuple[Dataset, Dataset, SynthesisReport]:
        made = synthesize(run.load("gaps"), where, backend, tokens=tokens, count=count, worst=worst, shares=shares, limit=limit, seed=seed)
        return made.accepted, made.rejected, made.report

    accepted, rejected, report = run.make(
        ("synthetic", "synthetic_rejected", "synthesis"),
        build,
        inputs=inputs,
        params=params,
        code=["synthesis"],
    )
    return accepted, rejected, report
