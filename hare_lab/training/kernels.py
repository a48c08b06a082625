"""The arithmetic of a training step, where transformers' own is slow. Same numbers, fewer trips to memory.

Three pieces replace theirs while a model trains, and are taken out again when it has: the loss, which never holds the scores
of all tokens at once; the normalisation, which hands on the precision that the next product wants; and attention, which sees
one page at a time: in bf16 on a CPU it multiplies matrices outright, on a GPU its kernel is told where pages begin, so that no
mask is made. On a GPU a layer may be compiled as well. Measured in benchmarks/training.py; see docs/training.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn

from hare_lab.training.packing import IGNORE

CHUNK, GPU_CHUNK = 1_024, 4_096  # rows of scores that are held at a time: as few as products are fast with
BLOCK = 64  # of them, those that are made probabilities at a time: on a CPU, times 8,192 tokens in fp32 they stay in a cache
PRODUCTS = 512  # up to this context, whole matrices of scores are cheaper on a CPU than the blocks of scaled_dot_product_attention
NAME = "hare"
GROUPED = "enable_gqa" in inspect.signature(varlen_attn).parameters  # torch before 2.12 wants a key for each query
FAMILIES = ("mistral", "llama", "qwen2", "qwen3")  # whose attention and normalisation are the ones written here


class ChunkedLoss(torch.autograd.Function):
    """The summed cross-entropy of next tokens, from hidden states (n, width) and the output table (tokens, width), chunk by chunk.

    The gradient of each chunk is made with it, so that scores live only as long as their chunk; the idea is Liger Kernel's
    fused linear cross-entropy (Hsu et al. 2024, arXiv 2410.10989, section 3.2), written with plain products for a CPU.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, targets: Tensor, wanted: bool) -> Tensor:
        keep = targets >= 0
        if not bool(keep.all()):
            ctx.rows = keep.nonzero().squeeze(1)
            learnt, answers = hidden[ctx.rows], targets[ctx.rows]
        else:
            ctx.rows, learnt, answers = None, hidden, targets
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        weights, (some, few) = table.to(hidden.dtype), portions(hidden)
        if wanted:
            back, table_back = torch.empty_like(learnt), torch.zeros_like(table)
        for at in range(0, len(learnt), some):
            rows, answer = learnt[at : at + some], answers[at : at + some, None]
            scores = rows @ weights.t()
            for block, wants in zip(scores.split(few), answer.split(few), strict=True):
                shares = torch.softmax(block, -1, dtype=torch.float32)
                right = shares.gather(1, wants)
                total -= right.clamp_min(torch.finfo(torch.float32).tiny).log().sum()
                if wanted:
                    block.copy_(shares.scatter_(1, wants, right - 1))  # the scores give way to their gradient
            if wanted:
                torch.mm(scores, weights, out=back[at : at + some])
                if scores.dtype == torch.float32:
                    table_back.addmm_(scores.t(), rows)
                else:
                    table_back += scores.t() @ rows
        if wanted:
            ctx.shape = hidden.shape
            ctx.save_for_backward(back, table_back)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None]:
        back, table_back = ctx.saved_tensors
        back = back * slope.to(back.dtype)
        if ctx.rows is not None:
            back = back.new_zeros(ctx.shape).index_copy_(0, ctx.rows, back)
        return back, (table_back * slope), None, None


def token_losses(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of each token, fp32 (n,), 0 where there is nothing to foretell: what `ChunkedLoss` sums, without a gradient."""
    some, few = portions(hidden)
    found = []
    for rows, answers in zip(hidden.split(some), targets.split(some), strict=True):
        for block, wants in zip((rows @ table.t()).split(few), answers.split(few), strict=True):
            found.append(F.cross_entropy(block.float(), wants, reduction="none", ignore_index=IGNORE))
    return torch.cat(found)


def portions(rows: Tensor) -> tuple[int, int]:
    """Rows of scores to hold at a time, and of them those to make probabilities at a time, where `rows` lie."""
    return (CHUNK, BLOCK) if rows.device.type == "cpu" else (GPU_CHUNK, GPU_CHUNK)


class ProductAttention(torch.autograd.Function):
    """Attention as three matrix products and a softmax, for short contexts on a CPU, where bf16 products are fast.

    Arguments: queries (batch, heads, n, dim), keys and values (batch, kv_heads, n, dim), bias (batch, 1, n, n) of 0 and -inf.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float) -> Tensor:
        batch, heads, n, dim = q.shape
        kv = k.shape[1]
        q, k, v = (part.to(bias.dtype) for part in (q, k, v))
        queries = q.reshape(batch * kv, heads // kv * n, dim)
        keys, values = k.reshape(batch * kv, n, dim), v.reshape(batch * kv, n, dim)
        with torch.autocast(q.device.type, enabled=False):  # which would make the softmax's result twice as long
            scores = torch.bmm(queries, keys.transpose(1, 2)).view(batch, heads, n, n)
            shares = scores.mul_(scale).add_(bias).softmax(-1).view(batch * kv, -1, n)
            ctx.save_for_backward(queries, keys, values, shares)
            ctx.scale, ctx.q, ctx.k = scale, q.shape, k.shape
            return torch.bmm(shares, values).view(q.shape)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        queries, keys, values, shares = ctx.saved_tensors
        slope = slope.reshape(queries.shape)
        value_back = torch.bmm(shares.transpose(1, 2), slope)
        share_back = torch.bmm(slope, values.transpose(1, 2))
        score_back = torch._softmax_backward_data(share_back, shares, -1, shares.dtype).mul_(ctx.scale)
        query_back = torch.bmm(score_back, keys)
        key_back = torch.bmm(score_back.transpose(1, 2), queries)
        return query_back.view(ctx.q), key_back.view(ctx.k), value_back.view(ctx.k), None, None


def page_mask(pages: Tensor, window: int | None) -> Tensor | None:
    """Who may see whom: (batch, 1, n, n), true for earlier tokens of the same page; None where a row is one page."""
    n = pages.shape[1]
    if bool((pages == pages[:, :1]).all()) and (window is None or n <= window):
        return None
    place = torch.arange(n, device=pages.device)
    past = (place[:, None] >= place) & (place[:, None] - place < (window or n))
    return ((pages[:, :, None] == pages[:, None, :]) & past)[:, None]


def page_bounds(pages: Tensor) -> Tensor:
    """Where pages begin, and the end, in rows laid end to end: int32 (n_pages + 1,). A row begins a page, whatever stands before it."""
    starts = _new_pages(pages).flatten().nonzero().squeeze(1)
    return F.pad(starts, (0, 1), value=pages.numel()).int()


def _new_pages(pages: Tensor) -> Tensor:
    new = torch.ones_like(pages, dtype=torch.bool)
    new[:, 1:] = pages[:, 1:] != pages[:, :-1]
    return new


def _page_attention(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, scale: float, window: int | None) -> Tensor:
    """Causal attention within pages of any length, on a GPU in bf16: (batch, heads, n, dim) to (batch, n, heads, dim)."""
    batch, heads, n, dim = query.shape
    if not GROUPED:
        key, value = (part.repeat_interleave(heads // part.shape[1], 1) for part in (key, value))
    q, k, v = (part.transpose(1, 2).reshape(batch * n, -1, dim).to(torch.bfloat16) for part in (query, key, value))
    past = (window - 1 if window and window < n else -1, 0)
    seen: Tensor = varlen_attn(q, k, v, bounds, bounds, n, n, scale=scale, window_size=past, **({"enable_gqa": True} if GROUPED else {}))
    return seen.view(batch, n, heads, dim)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None,
    sliding_window: int | None = None, bounds: Tensor | None = None, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention as transformers calls it; `attention_mask` is what `page_mask` made, as a bias where products are used.

    With `bounds`, as `page_bounds` gives them, there is no mask.
    """
    scale = scaling or query.shape[-1] ** -0.5
    if bounds is not None:
        return _page_attention(query, key, value, bounds, scale, sliding_window), None
    if attention_mask is not None and attention_mask.dtype != torch.bool:
        seen = ProductAttention.apply(query, key, value, attention_mask, scale)
    else:
        group = query.shape[1] // key.shape[1]
        seen = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, is_causal=attention_mask is None, scale=scale, enable_gqa=group > 1
        )
    return seen.transpose(1, 2).contiguous(), None


class PagesLoss(nn.Module):
    """A causal language model as a function from rows to the summed loss of their next tokens: what training minimises."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, tokens: Tensor, targets: Tensor, pages: Tensor, positions: Tensor) -> Tensor:
        hidden = read(self.model, tokens, pages, positions, self.dtype).flatten(0, 1)
        loss: Tensor = ChunkedLoss.apply(hidden, self.model.lm_head.weight, targets.flatten(), torch.is_grad_enabled())
        return loss


class OwnLoss(nn.Module):
    """The same function for a model of any family: its own forward pass, one page a row, with nothing hastened."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, tokens: Tensor, targets: Tensor, pages: Tensor, positions: Tensor) -> Tensor:
        return own_losses(self.model, tokens, targets, pages, self.dtype).sum()


def suits(model: Any) -> bool:
    """Whether the pieces above do for this model what its own do; tests/test_tuning.py holds each family to that."""
    config = model.config
    return config.model_type in FAMILIES and not getattr(config, "use_sliding_window", False) and model.lm_head.bias is None


def loss_of(model: Any, dtype: torch.dtype) -> nn.Module:
    return PagesLoss(model, dtype) if suits(model) else OwnLoss(model, dtype)


def own_losses(model: Any, tokens: Tensor, targets: Tensor, pages: Tensor, dtype: torch.dtype) -> Tensor:
    """The loss of each token, 0 where there is nothing to learn, flat; each page is read by itself."""
    new = _new_pages(pages)
    of = new.flatten().cumsum(0) - 1
    at = torch.arange(len(of), device=of.device)
    place = at - at[new.flatten()][of]
    wanted = torch.bincount(of, (targets.flatten() >= 0).float()) > 0  # a page with nothing to learn needs no reading
    number = wanted.cumsum(0) - 1
    keep = wanted[of]
    where = (number[of[keep]], place[keep])
    found = torch.zeros(len(of), device=of.device)
    if not bool(keep.any()):
        return found
    shape = (int(wanted.sum()), int(place[keep].max()) + 1)
    ids, mask = torch.zeros(shape, dtype=torch.long, device=of.device), torch.zeros(shape, dtype=torch.long, device=of.device)
    ids[where], mask[where] = tokens.flatten()[keep], 1
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    losses = F.cross_entropy(logits[where].float(), targets.flatten()[keep], reduction="none")
    return found.masked_scatter(keep, losses)


def read(model: Any, tokens: Tensor, pages: Tensor, positions: Tensor, dtype: torch.dtype) -> Tensor:
    """The model's last hidden states (batch, n, width) in `dtype`, each token having seen its own page alone."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        told: dict[str, Any] = {}
        if tokens.device.type == "cuda" and dtype == torch.bfloat16:
            told["bounds"] = page_bounds(pages)
        else:
            mask = page_mask(pages, getattr(model.config, "sliding_window", None))
            if tokens.device.type == "cpu" and dtype == torch.bfloat16 and tokens.shape[1] <= PRODUCTS:
                mask = _bias(mask, tokens, dtype)
            told["attention_mask"] = mask
        seen = model.model(input_ids=tokens, position_ids=positions, use_cache=False, **told)
    hidden: Tensor = seen.last_hidden_state.to(dtype)
    return hidden


def _bias(mask: Tensor | None, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    n = tokens.shape[1]
    if mask is None:
        mask = torch.ones(n, n, dtype=torch.bool, device=tokens.device).tril()[None, None]
    return torch.zeros(mask.shape, dtype=dtype, device=tokens.device).masked_fill_(~mask, float("-inf"))


@contextmanager
def hastened(model: Any, *, compiled: bool = False) -> Iterator[None]:
    """Train `model` with the pieces above; afterwards it is transformers' own again.

    `compiled`: each layer as one graph (`torch.compile`), made once for all layers; an evaluation amid training does without.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    before = model.config._attn_implementation
    if before == NAME:  # an evaluation amid training
        with torch.compiler.set_stance("force_eager") if _are_compiled(model) else nullcontext():
            yield
        return
    if not suits(model):  # it is left as it is
        yield
        return
    ALL_ATTENTION_FUNCTIONS.register(NAME, _attention)
    model.config._attn_implementation = NAME
    pieces = {norm: _norm(norm) for norm in model.modules() if type(norm).__name__.endswith("RMSNorm")}
    if compiled:
        pieces |= {layer: torch.compile(layer.forward) for layer in model.model.layers}
    for module, forward in pieces.items():
        module.forward = forward
    try:
        yield
    finally:
        model.config._attn_implementation = before
        for module in pieces:
            del module.forward


def _are_compiled(model: Any) -> bool:
    return "forward" in vars(model.model.layers[0])


def _norm(module: Any) -> Any:
    """The module's normalisation in one step, its result in the precision of the product that follows."""

    def forward(hidden: Tensor) -> Tensor:
        normed = F.rms_norm(hidden.float(), (hidden.shape[-1],), module.weight, module.variance_epsilon)
        kind = hidden.device.type
        return normed.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else normed

    return forward
