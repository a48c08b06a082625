"""LoRA: learn two thin matrices beside each large one, and add their product to it when done (peft does the work).

The model that comes out is an ordinary one. What it costs: the large matrices are read but get no gradient and no moments, so the
memory of training falls to a fraction. New tokens' rows are learnt too: an adapter beside the layers could not reach them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hare_lab.machine import drawn_by

RANK = 16
ALPHA = 32  # the product is weighed by ALPHA / RANK; Hu et al. (2021), "LoRA", section 4.1, keep it fixed and turn the learning rate


@contextmanager
def adapted(model: Any, new: Sequence[int], seed: int) -> Iterator[int]:
    """Within, only adapters in every linear layer, and the tables' rows of the tokens in `new`, are learnt; afterwards it is all in the
    model's own weights. What it gives is how many numbers of the tables stay as they are though they have a gradient, which is 0."""
    from peft import LoraConfig, get_peft_model

    with drawn_by(seed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*is_gradient_checkpointing", FutureWarning)  # peft asks transformers under the old name
        wrapped = get_peft_model(
            model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", bias="none", task_type="CAUSAL_LM")
        )
    tables = {id(layer.weight): layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
    hooks = [_only(table, new) for table in tables.values()] if new else []
    try:
        yield sum(table.numel() - len(new) * table.shape[1] for table in tables.values()) if new else 0
    finally:
        for hook in hooks:
            hook.remove()
        wrapped.merge_and_unload()
        model.requires_grad_(True)


def _only(table: Any, rows: Sequence[int]) -> Any:
    """Let a table learn these rows alone."""
    import torch

    chosen = torch.zeros(len(table), 1)
    chosen[list(rows)] = 1
    table.requires_grad_(True)
    return table.register_hook(lambda slope: slope * chosen.to(slope.device, slope.dtype))
