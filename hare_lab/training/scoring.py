"""How well does a model foretell pages: the loss of a set, and of each page in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hare_lab.training.packing import IGNORE, Packed

if TYPE_CHECKING:
    from transformers import MistralForCausalLM


def evaluate(model: MistralForCausalLM, rows: Packed, *, precision: str = "fp32", batch: int = 16) -> float:
    """Mean loss of a model on rows, in nats a token, each page seeing itself alone."""
    losses, counts = page_losses(model, rows, precision=precision, batch=batch)
    return float(losses.sum() / counts.sum())


def page_losses(model: MistralForCausalLM, rows: Packed, *, precision: str = "fp32", batch: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Summed loss (nats) and number of learnt tokens of each page of `rows`, as arrays of shape (n_pages,)."""
    import torch

    from hare_lab.training import kernels

    pages = len(rows.starts) - 1
    losses, counts = np.zeros(pages + 1), np.zeros(pages + 1, np.int64)  # one more for what fills the last row
    device = next(model.parameters()).device
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    was = model.training
    model.eval()
    with torch.inference_mode(), kernels.hastened(model):
        for at in range(0, len(rows), batch):
            chosen = rows.rows(np.arange(at, min(at + batch, len(rows))))
            tokens, targets, page, positions = (torch.from_numpy(part).to(device) for part in chosen)
            if kernels.suits(model):
                hidden = kernels.read(model, tokens, page, positions, kind).flatten(0, 1)
                table = model.lm_head.weight.to(hidden.dtype)
                each = kernels.token_losses(hidden, table, targets.flatten())
            else:
                each = kernels.own_losses(model, tokens, targets, page, kind)
            where = chosen.pages.ravel()
            losses += np.bincount(where, each.double().cpu().numpy(), minlength=pages + 1)
            counts += np.bincount(where, chosen.targets.ravel() != IGNORE, minlength=pages + 1).astype(np.int64)
    model.train(was)
    return losses[:pages], counts[:pages]


def precision_here(asked: str = "auto", device: str = "cpu") -> Literal["fp32", "bf16"]:
    """bf16 where the machine multiplies in it."""
    import torch

    if asked in ("fp32", "bf16"):
        return "bf16" if asked == "bf16" else "fp32"
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported() and _native() else "fp32"


def _native() -> bool:
    """Whether this CPU multiplies bf16 itself; where it does not, bf16 is slower than fp32."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
