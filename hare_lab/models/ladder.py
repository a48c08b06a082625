"""The sizes: HARE-1.1B of the paper, and six smaller ones in its proportions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hare_lab.errors import InputError
from hare_lab.machine import drawn_by

if TYPE_CHECKING:
    from transformers import MistralConfig, MistralForCausalLM

HEAD = 64  # dimensions of an attention head, in every size as in the paper's: 2048 / 32


@dataclass(frozen=True)
class Shape:
    """One size of the ladder: everything that decides how many numbers the model holds.

    Attributes
    ----------
    layers, width, ffn : depth, dimension of the residual stream, dimension of the feed-forward layer (2.75 widths)
    heads, kv_heads : attention heads of 64 dimensions, and how many keys and values they share (the paper: 4 to 1)
    vocabulary : tokens; small models get a small one, or it would hold most of their parameters
    context : tokens read at once in training
    tied : whether one table serves input and output (the paper's model has two; below 1B we share it, our choice)
    window, positions : sliding window and longest position
    """

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    context: int
    tied: bool = True
    window: int = 4_096
    positions: int = 32_768

    @property
    def learning_rate(self) -> float:
        """Peak learning rate: the paper's 3e-4 at its width, inversely proportional to the width below, at most 4e-3.

        The rule is Yang et al.'s (2021, "Tensor Programs V", table 3, Adam on hidden weights); that it holds here is our choice.
        """
        return min(4e-3, 3e-4 * 2_048 / self.width)


LADDER = {
    size.name: size
    for size in (
        Shape("hare-1m", 4, 128, 2, 1, 352, 4_096, 256),
        Shape("hare-5m", 4, 256, 4, 1, 704, 8_192, 256),
        Shape("hare-15m", 7, 384, 6, 2, 1_056, 8_192, 512),
        Shape("hare-50m", 14, 512, 8, 2, 1_408, 16_384, 1_024),
        Shape("hare-125m", 16, 768, 12, 3, 2_112, 32_000, 2_048),
        Shape("hare-250m", 20, 1_024, 16, 4, 2_816, 32_000, 2_048),
        Shape("hare-1.1b", 22, 2_048, 32, 8, 5_632, 32_000, 2_048, tied=False),
    )
}


def shape(name: str) -> Shape:
    """The size of that name.

    Raises
    ------
    InputError
        If the ladder has none; names those it has.
    """
    if name not in LADDER:
        raise InputError(f'model "{name}" is unknown; choose one of {", ".join(LADDER)}')
    return LADDER[name]


def config(name: str, *, vocabulary: int | None = None, **special: Any) -> MistralConfig:
    """The size `name` as transformers' own configuration, so that the trained model is a standard one.

    Parameters
    ----------
    vocabulary : int
        Tokens; default: the size's own.
    special : ids of special tokens (`bos_token_id`, `eos_token_id`, `pad_token_id`)

    References
    ----------
    Zhang et al. (2024), arXiv 2406.11410, section "Model"; what it leaves open is from the released code.
    """
    from transformers import MistralConfig

    size = shape(name)
    return MistralConfig(
        vocab_size=vocabulary or size.vocabulary, hidden_size=size.width, intermediate_size=size.ffn, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, num_key_value_heads=size.kv_heads, head_dim=HEAD, hidden_act="silu", rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        sliding_window=size.window, max_position_embeddings=size.positions, initializer_range=0.02,
        tie_word_embeddings=size.tied, use_cache=True, architectures=["MistralForCausalLM"], **special,
    )  # fmt: skip


def build(name: str, *, vocabulary: int | None = None, seed: int = 0, **special: Any) -> MistralForCausalLM:
    """A new model of that size, its weights drawn by `seed` and nothing else; the caller's random state stays as it was."""
    from transformers import MistralForCausalLM

    with drawn_by(seed):
        return MistralForCausalLM(config(name, vocabulary=vocabulary, **special))


def parameters(name: str, *, vocabulary: int | None = None) -> int:
    """How many numbers the model holds, shared ones once; counted on torch's meta device, which allocates none of them."""
    import torch
    from transformers import MistralForCausalLM

    with torch.device("meta"):
        model = MistralForCausalLM(config(name, vocabulary=vocabulary))
    return sum(p.numel() for p in model.parameters())
