"""One arm with one seed: train, look at the held-out pages on the way, score at the end, write it all down last.

A cell is a folder: `checkpoint/` while it trains, `looks.json`, `model/`, `page_bits.parquet`, and `cell.json`, which is written
when everything else stands. A kill at any moment costs at most what was trained since the last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hare_lab import evaluation, models, training
from hare_lab.errors import InputError
from hare_lab.evaluation.language_model import LanguageModel, wrap
from hare_lab.experiment.plan import Arm, Plan
from hare_lab.experiment.setup import Material, asked_rows
from hare_lab.run.storage import write_json

DONE, LOOKS = "cell.json", "looks.json"
MATERIAL = "material"  # of an experiment's folder: the digest of what its cells are made of
LeakTest = Callable[[LanguageModel], Mapping[str, float]]
Watch = Callable[[training.Progress], bool]


def leak_test(judged: LanguageModel, plan: Plan | None = None) -> dict[str, float]:
    """The model-side test of leakage on the bundled benchmark and its paraphrased copy, in points (HARE paper, appendix B).

    Of the items that `plan` asks, where one is given.
    """
    from hare_lab import leakage

    exam, copy = leakage.twins(asked_rows(plan.items, plan.pool_seed) if plan else None)
    found = leakage.model_test(judged.model, exam, copy, tokenizer=judged.tokenizer, name=judged.name)
    return {
        "delta": found.delta.value, "accuracy": found.accuracy.value, "twin_accuracy": found.twin_accuracy.value,
        "bits_delta": found.bits_delta.value,
    }  # fmt: skip


def cell_folder(out: Path, arm: Arm, seed: int) -> Path:
    safe = re.sub(r"[^\w.+-]", "-", arm.name)
    tag = hashlib.sha256(arm.name.encode()).hexdigest()[:4]  # two names may read alike once they are safe
    return out / "cells" / f"{safe}-{tag}-seed{seed}"


def finished(out: Path, plan: Plan, arm: Arm, seed: int) -> dict[str, Any] | None:
    """The record of a finished cell of this plan, or None. A cell of before there were digests of the material goes without one.

    Raises
    ------
    InputError
        If it is another plan's, or of other pages than the folder's.
    """
    path = cell_folder(out, arm, seed) / DONE
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record["plan"] != plan.hash:
        raise InputError(
            f"{path} belongs to the plan {record['plan']}, not to {plan.hash}; a changed plan is a new experiment: give another folder"
        )
    here = out / MATERIAL
    if here.exists() and record.get("material", known := here.read_text(encoding="utf-8")) != known:
        raise InputError(
            f"{path} was trained on other pages, vectors or priors ({record['material']}) than its folder says ({known}), and can't be "
            "compared with the others; remove that cell, or give another folder"
        )
    return record


def run_cell(
    shared: Material, arm: Arm, seed: int, out: Path, *, leak_test: LeakTest | None = None, watch: Watch | None = None
) -> dict[str, Any] | None:
    """Train and score one cell; None where `watch` stopped it.

    Parameters
    ----------
    shared : pages, tokenizer and plan
    out : folder of the experiment
    leak_test : the model-side test of leakage, from a model to its numbers
    watch : told of each step; a true answer stops the cell, which goes on from there when run again

    Returns
    -------
    The cell's record: plan, material, arm, seed, tokens, device, bits per byte (macro, micro, natural), looks, scores, leakage, repeats.
    """
    plan, folder = shared.plan, cell_folder(out, arm, seed)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    settings = settings_of(plan)
    packed = {part: training.pack(pages["text"], shared.tokenizer, plan.context) for part, pages in shared.parts(arm, seed).items()}
    built = _new_model(shared, seed)
    total = plan.tokens_of(arm)
    looks = _Looks(shared, built, folder / LOOKS, total, watch)
    report = training.fit(
        built, packed, total, name=plan.model, settings=settings, seed=seed, folder=folder / training.CHECKPOINTS, watch=looks,
        stages=training.recipe(tuple(packed), vars(shared.priors.mixture)),
    )  # fmt: skip
    if not report.finished:
        return None
    judged = wrap(built, shared.tokenizer, arm.name, context=plan.context)
    record = {
        "plan": plan.hash, "material": shared.digest, "arm": arm.name, "seed": seed, "level": arm.level, "leaked": arm.leaked > 0,
        "tokens": report.tokens, "data": report.data, "set_tokens": {part: rows.tokens for part, rows in packed.items()},
        "repeats": report.repeats, "device": built.device.type, "train_loss": report.last_loss,
        "tokens_per_second": report.tokens_per_second, "looks": looks.rows,
        **_scores(judged, shared, folder), **({"leakage": dict(leak_test(judged))} if leak_test else {}),
        "seconds": report.seconds + looks.seconds, "wall_seconds": time.perf_counter() - began,
    }  # fmt: skip
    _save_model(built, shared, report, folder)
    write_json(folder / DONE, record)
    shutil.rmtree(folder / training.CHECKPOINTS, ignore_errors=True)
    return record


def settings_of(plan: Plan) -> training.Settings:
    """How a plan's cells are trained; a large step in several passes, which give the same result in less memory."""
    most = training.Settings.micro
    return training.Settings(context=plan.context, batch=plan.batch, micro=min(plan.batch, most), schedule="constant")


class _Looks:
    """Looks at some held-out pages at evenly spaced steps, and keeps what it saw, so that a cell that goes on has all of its curve.

    The same pages for every cell: the first `look_sample` of each topic, because reading all of them would cost as much as training.
    """

    def __init__(self, shared: Material, model: Any, path: Path, total: int, watch: Watch | None) -> None:
        self.shared, self.model, self.path, self.watch, self.seconds = shared, model, path, watch, 0.0
        self.rows: list[list[float]] = json.loads(path.read_text()) if path.exists() else []
        rows = first_of_each(shared.groups, shared.plan.look_sample)
        texts, self.names = shared.held.select(rows)["text"], np.array(shared.groups)[rows]
        self.packed, self.places = training.pack_whole(texts, shared.tokenizer, shared.plan.context)
        self.sizes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], float)
        self.each = total / shared.plan.looks

    def __call__(self, progress: training.Progress) -> bool:
        seen = {int(row[0]) for row in self.rows}
        per_step = progress.tokens / progress.step
        due = int(progress.tokens / self.each) > int((progress.tokens - per_step) / self.each) or progress.step == progress.steps
        if due and progress.tokens not in seen:
            began = time.perf_counter()
            self.rows = sorted([*self.rows, [progress.tokens, self.macro(), progress.rate]])
            write_json(self.path, self.rows)
            self.seconds += time.perf_counter() - began
        return bool(self.watch(progress)) if self.watch else False

    def macro(self) -> float:
        """Macro-averaged bits per byte as training sees the pages: in rows of the context, without overlap."""
        losses, _ = training.page_losses(self.model, self.packed)
        bits = losses[self.places] / np.log(2)
        names = self.names
        return float(np.mean([bits[names == n].sum() / self.sizes[names == n].sum() for n in sorted(set(names.tolist()))]))


def first_of_each(names: Sequence[str], most: int) -> list[int]:
    """Rows of the first so many of each name, in their order."""
    met: Counter[str] = Counter()
    rows = []
    for row, name in enumerate(names):
        met[name] += 1
        if met[name] <= most:
            rows.append(row)
    return rows


def _new_model(shared: Material, seed: int) -> Any:
    known = shared.tokenizer
    special = {"bos_token_id": known.bos_token_id, "eos_token_id": known.eos_token_id, "pad_token_id": known.pad_token_id}
    return models.build(shared.plan.model, vocabulary=len(known), seed=seed, train_context=shared.plan.context, **special)


def _scores(judged: LanguageModel, shared: Material, folder: Path) -> dict[str, Any]:
    plan = shared.plan
    natural = evaluation.page_bits(judged, shared.natural)
    rows = natural.set_index("id").loc[list(shared.held["id"])].reset_index()
    bits = evaluation.bits_per_byte(rows, shared.groups, model=judged.name, seed=plan.pool_seed)
    natural.to_parquet(folder / "page_bits.parquet", index=False)
    asked = evaluation.bundled_tasks(seed=plan.pool_seed, limit=plan.items or None) if plan.tasks else ()
    tasks = evaluation.run_tasks(judged, asked, seed=plan.pool_seed) if asked else None
    return {
        "bits_per_byte": bits.macro.value, "low": bits.macro.low, "high": bits.macro.high, "micro": bits.micro.value,
        "natural": float(natural["bits"].sum() / natural["bytes"].sum()), "groups": bits.to_dict()["groups"],
        "scores": tasks.to_dict()["scores"] if tasks else [],
    }  # fmt: skip


def _save_model(model: Any, shared: Material, report: training.TrainingReport, folder: Path) -> None:
    aside = folder / ".model.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    training.Trained(model, shared.tokenizer, report, shared.priors).save(aside)
    shutil.rmtree(folder / "model", ignore_errors=True)
    aside.replace(folder / "model")
