"""How much arithmetic is in a token, and how much does this machine do in a second?"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from hare_lab.machine import drawn_by

if TYPE_CHECKING:
    from transformers import MistralConfig

Precision = Literal["fp32", "bf16"]
MATRIX, PATIENCE = 1_024, 0.4  # side of the matrices, and seconds to look for the best time


def flops_per_token(config: MistralConfig, context: int) -> float:
    """Floating-point operations that training takes for one token: forward and backward.

    Six for each weight that multiplies something (the input table is looked up, not multiplied; a shared table multiplies at
    the output), and for attention 12 a layer, dimension and position, halved because a token looks back only.

    Parameters
    ----------
    config : of the model
    context : tokens read at once

    References
    ----------
    Chowdhery et al. (2022), "PaLM", appendix B; the half for causal attention as in Dao (2023), "FlashAttention-2", section 4.
    """
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = config.num_attention_heads * dim
    attention = config.hidden_size * (2 * heads + 2 * config.num_key_value_heads * dim)
    layer = attention + 3 * config.hidden_size * config.intermediate_size
    weights = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    seen = min(context, getattr(config, "sliding_window", None) or context)
    return float(6 * weights + 6 * config.num_hidden_layers * heads * seen)


@functools.cache
def matmul_peak(precision: Precision, device: str = "cpu", clock: Callable[[], float] = time.perf_counter) -> float:
    """Operations a second of this machine's best matrix product, in the given precision.

    The denominator of "utilisation": measured on square matrices that fit the caches, the best of as many as fit
    half a second (on a GPU: larger ones, after a warm-up). Measured once in a process. `clock` gives seconds; one that counts
    only this process keeps other work on the machine out of it.
    """
    import torch

    side = MATRIX if device == "cpu" else 8 * MATRIX
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with drawn_by(0):  # a GPU multiplies equal numbers faster than any others
        a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    for _ in range(3):
        a @ b
    best, stop = float("inf"), clock() + PATIENCE
    while clock() < stop:
        wait()
        start = clock()
        a @ b
        wait()
        best = min(best, clock() - start)
    return 2 * side**3 / best
