"""Will it fit? Memory and disk, estimated before the first step, so that a run does not die in its middle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hare_lab.errors import InputError
from hare_lab.machine import available_memory
from hare_lab.training.settings import Settings

WEIGHT, GRADIENT, MOMENTS = 4, 4, 8  # bytes a parameter
PIECES = 22  # numbers kept a token, layer and dimension between forward and backward; measured on hare-1m to hare-50m


def memory_needed(parameters: int, layers: int, width: int, settings: Settings, precision: str, learnt: int | None = None) -> int:
    """Bytes that training takes: weights, gradients, AdamW's moments, and what a pass keeps for its way back.

    `learnt` is how many of the parameters change; default: all.
    """
    changing = parameters if learnt is None else learnt
    fixed = parameters * (WEIGHT + (2 if precision == "bf16" else 0)) + changing * (GRADIENT + MOMENTS)
    rows = min(settings.micro, settings.batch)
    return int(fixed + rows * settings.context * layers * width * PIECES * (3 if precision == "bf16" else 4))


def disk_needed(parameters: int, learnt: int | None = None) -> int:
    """Bytes that two checkpoints (the old one stays until the new one stands) and the final model take."""
    return (parameters if learnt is None else learnt) * 2 * (WEIGHT + MOMENTS) + parameters * WEIGHT


def check_memory(model: Any, settings: Settings, precision: str, device: str, folder: Path | None) -> None:
    """Raise InputError where memory or disk will not do."""
    parameters = sum(p.numel() for p in model.parameters())
    learnt = sum(p.numel() for p in model.parameters() if p.requires_grad)
    needed = memory_needed(parameters, model.config.num_hidden_layers, model.config.hidden_size, settings, precision, learnt)
    free = available_memory() if device == "cpu" else _free_on_gpu() if device == "cuda" else None
    where = " on the GPU" if device == "cuda" else ""
    loaded = next(model.parameters()).device.type == device  # its weights are in the memory that was looked at
    if free is not None and needed - (parameters * WEIGHT if loaded else 0) > free:
        raise InputError(
            f"training this model takes about {_gib(needed)} of memory and {_gib(free)} are free{where}; take a smaller model, "
            "or fewer rows a pass (--micro)"
        )
    if folder:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        room = shutil.disk_usage(there).free
        wanted = disk_needed(parameters, learnt)
        if wanted > room:
            raise InputError(
                f"checkpoints of this model take about {_gib(wanted)} and {_gib(room)} are free in {there}; free some "
                "space or choose another folder"
            )


def _free_on_gpu() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0])


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size == 0 or size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
