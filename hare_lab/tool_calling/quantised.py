"""The same model in fewer bits: what it costs in accuracy, and what it brings in speed and size on a processor.

Weights of every linear layer as whole numbers of 8 bits with a scale for each output, activations scaled row by row as they
come (dynamic quantisation; Dettmers et al. 2022, "LLM.int8()", arXiv 2208.07339, section 2, without its outliers). The layer is
a few lines of our own on PyTorch's integer product: its ready-made dynamic quantisation is being removed.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hare_lab.errors import InputError
from hare_lab.tool_calling.calling import Caller

PRECISIONS = ("fp32", "bf16", "int8")


class Int8Linear(nn.Module):
    """A linear layer whose product is of 8-bit whole numbers. Its weight is (out, in) int8 with a scale for each output."""

    weight: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        full = layer.weight.detach().float()
        scale = full.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
        self.register_buffer("weight", (full / scale).round().to(torch.int8))
        self.register_buffer("scale", scale.t().contiguous())
        self.bias = layer.bias

    def forward(self, hidden: Tensor) -> Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1]).float()
        scale = flat.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
        product = torch._int_mm((flat / scale).round().to(torch.int8), self.weight.t())
        out = product * scale * self.scale
        if self.bias is not None:
            out = out + self.bias
        return out.reshape(*hidden.shape[:-1], -1).to(hidden.dtype)


def in_precision(caller: Caller, precision: str) -> Caller:
    """A copy of a caller whose model computes in fp32, bf16 or int8 (embeddings and normalisations stay as they are).

    Raises
    ------
    InputError
        If the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise InputError(f'precision "{precision}" is unknown; choose one of {", ".join(PRECISIONS)}')
    model = copy.deepcopy(caller.model).eval()
    if precision == "bf16":
        model = model.to(torch.bfloat16)
    if precision == "int8":
        for parent in list(model.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(parent, name, Int8Linear(layer))
    return replace(caller, model=model)


def megabytes(model: Any) -> float:
    """Size of weights and buffers, shared ones once."""
    held = {t.data_ptr(): t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()]}
    return float(sum(held.values())) / 1e6
