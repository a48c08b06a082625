"""Finished cells of experiments as the repository keeps them, so that a table can be made anew where none of them was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _common import RESULTS

from hare_lab.experiment import Experiment, Plan, assemble
from hare_lab.experiment.cells import finished

KEPT = (
    "arm", "seed", "level", "leaked", "tokens", "bits_per_byte", "natural", "train_loss", "wall_seconds", "repeats", "looks", "device",
)  # fmt: skip


def gathered(plan: Plan, folder: Path) -> Experiment | None:
    """What the finished cells of a plan say, those in its folder and those kept here; what the folder adds is kept from now on."""
    here = [finished(folder, plan, *cell) for cell in plan.cells()] if folder.exists() else []
    known = {(record["arm"], record["seed"]): record for record in [*kept(plan), *(_slim(record) for record in here if record)]}
    records = [known[arm.name, seed] for arm, seed in plan.cells() if (arm.name, seed) in known]
    if not records:
        return None
    _path(plan).parent.mkdir(parents=True, exist_ok=True)
    _path(plan).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return assemble(plan, records)


def kept(plan: Plan) -> list[dict[str, Any]]:
    """The records that lie beside the results."""
    path = _path(plan)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _path(plan: Plan) -> Path:
    return RESULTS / "cells" / f"{plan.hash}.jsonl"


def _slim(record: dict[str, Any]) -> dict[str, Any]:
    """Without the parts by label, by page and by item, which are many and which no table reads."""
    scores = [{key: score[key] for key in ("task", "value")} for score in record["scores"]]
    return {key: record[key] for key in KEPT} | {"scores": scores, "leakage": record.get("leakage", {})}
