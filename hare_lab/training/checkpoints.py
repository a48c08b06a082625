"""Where a run stands, kept so that it goes on as if it had never stopped. Whole or not there; no pickle.

A checkpoint is a folder `step-N`: the weights and AdamW's moments as safetensors, and what was run, at which step, with which
losses, as JSON. It is written aside and renamed; the one before it goes only then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hare_lab.errors import InputError

if TYPE_CHECKING:
    import torch

KINDS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Checkpoint:
    """A finished checkpoint: its folder, the step that comes next, the job that wrote it and its curve so far."""

    folder: Path
    step: int
    job: Mapping[str, Any]
    curve: list[list[Any]]
    seconds: float


def save(folder: Path, step: int, job: Mapping[str, Any], curve: list[list[Any]], seconds: float, model: Any, optimizer: Any) -> Path:
    """Write the checkpoint of `step`, then drop the earlier ones."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target, aside = folder / f"step-{step:08d}", folder / f".step-{step:08d}.{os.getpid()}.part"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        weights = {name: p for name, p in model.named_parameters() if p.requires_grad}  # what does not change is at hand anyway
        save_file({name: p.detach().contiguous() for name, p in weights.items()}, aside / "model.safetensors")
        moments = {f"{name}.{kind}": optimizer.state[p][kind] for name, p in weights.items() if p in optimizer.state for kind in KINDS}
        save_file(moments, aside / "optimizer.safetensors")
        state = {"step": step, "seconds": seconds, "job": dict(job), "curve": curve}
        (aside / "state.json").write_text(json.dumps(state), encoding="utf-8")
        for file in aside.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        shutil.rmtree(target, ignore_errors=True)
        aside.replace(target)
    except (OSError, SafetensorError) as error:  # a full disk is either, by who was writing
        shutil.rmtree(aside, ignore_errors=True)
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"the checkpoint of step {step} can't be written to {folder} ({why}); free some space or choose another "
            "folder; the checkpoint before it is kept"
        ) from error
    for old in folder.glob("step-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    return target


def lies_in(folder: Path) -> bool:
    """Whether a finished checkpoint lies there, of whatever job."""
    return any(folder.glob("step-*/state.json"))


def find(folder: Path, job: Mapping[str, Any]) -> Checkpoint | None:
    """The newest checkpoint in `folder`, None where there is none.

    Raises
    ------
    InputError
        If it belongs to another job (another model, other data or settings); the sentence names the first difference.
    """
    for left in folder.glob(".step-*.part"):
        shutil.rmtree(left, ignore_errors=True)
    found = sorted(folder.glob("step-*/state.json"))
    if not found:
        return None
    try:
        state = json.loads(found[-1].read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{found[-1]} is damaged ({error}); remove {folder} to start anew") from error
    here: dict[str, Any] = json.loads(json.dumps(dict(job)))  # tuples and lists are one to JSON
    for key in sorted({*here, *state["job"]}, key=lambda k: (k != "model", k)):
        if here.get(key) != state["job"].get(key):
            raise InputError(
                f"{folder} holds a checkpoint of another run, by its {key}: {_short(state['job'].get(key))} there, {_short(here.get(key))} "
                "here; give another folder, or remove that one to start anew"
            )
    return Checkpoint(found[-1].parent, state["step"], state["job"], state["curve"], state["seconds"])


def restore(checkpoint: Checkpoint, model: Any, optimizer: Any) -> None:
    """Put the checkpoint's weights and moments into a model and an optimizer of the same job."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(checkpoint.folder / "model.safetensors")
    moments = load_file(checkpoint.folder / "optimizer.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            parameter.copy_(weights[name])
            if f"{name}.{KINDS[0]}" in moments:
                kept: dict[str, torch.Tensor] = {kind: moments[f"{name}.{kind}"].to(parameter.device) for kind in KINDS}
                optimizer.state[parameter] = {"step": torch.tensor(float(checkpoint.step), device=_place(optimizer, parameter)), **kept}


def _place(optimizer: Any, parameter: Any) -> Any:
    """Where AdamW keeps its count of steps: beside the parameter where it is fused, else on the CPU."""
    return parameter.device if optimizer.defaults.get("fused") else "cpu"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
