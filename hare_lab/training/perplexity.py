"""How surprised is a small model by a page? A third opinion on quality, beside rules and the learned scorer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.pretrained import open_pretrained
from hare_lab.training.packing import pack_whole
from hare_lab.training.scoring import page_losses, precision_here
from hare_lab.training.tokens import load_tokenizer

if TYPE_CHECKING:
    from datasets import Dataset


def perplexity(model_folder: str | Path, pages: Dataset, *, context: int | None = None, precision: str = "auto") -> Dataset:
    """The pages with two columns more: how hard each is to foretell for the model in `model_folder`.

    `perplexity` is per token, as the literature has it; `bits_per_byte` does not depend on the tokenizer, so models can be
    compared by it. Both are low for boilerplate and high for gibberish: good text lies between, which is why this is an
    opinion and no verdict. A page's number is its own: neither its neighbours nor its place matter.

    Parameters
    ----------
    model_folder : a model that `train` wrote, or any causal language model of transformers
    context : tokens read at once; default: what the model was trained with

    Returns
    -------
    Dataset with `perplexity` and `bits_per_byte` (float; NaN for a page without text)

    Raises
    ------
    InputError
        If the folder holds no model, or no page any text.

    References
    ----------
    Wenzek et al. (2020), "CCNet", section 4.2, on perplexity as a filter.
    """
    model, tokenizer = load_model(model_folder)
    length = context or getattr(model.config, "train_context", None) or 256
    found = score(model, tokenizer, list(pages["text"]), context=length, precision=precision)
    columns = [name for name in ("perplexity", "bits_per_byte") if name in pages.column_names]
    plain = pages.remove_columns(columns) if columns else pages
    return plain.add_column("perplexity", found[0].tolist()).add_column("bits_per_byte", found[1].tolist())


def score(
    model: Any, tokenizer: Any, texts: list[str], *, context: int, precision: str = "auto", batch: int = 16
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Perplexity per token and bits per byte of each text, as arrays of shape (n_texts,)."""
    rows, places = pack_whole(texts, tokenizer, context)
    device = next(model.parameters()).device.type
    losses, counts = page_losses(model, rows, precision=precision_here(precision, device), batch=batch)
    sizes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts])
    there = (places >= 0) & (sizes > 0)
    nats, learnt = np.full(len(texts), np.nan), np.ones(len(texts))
    nats[there], learnt[there] = losses[places[there]], counts[places[there]]
    with np.errstate(over="ignore"):
        return np.exp(nats / learnt), nats / np.log(2) / np.maximum(sizes, 1)


def load_model(folder: str | Path) -> tuple[Any, Any]:
    """A causal language model in fp32, whatever it was saved in, and its tokenizer, from a folder or hub id; only safetensors are read, and
    no code of theirs runs.

    Raises
    ------
    InputError
        If it can't be loaded, or its weights are damaged, another model's or not all there.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(folder)
    model, _ = open_pretrained(folder, AutoModelForCausalLM, "a causal language model", dtype=torch.float32)
    return model, tokenizer
