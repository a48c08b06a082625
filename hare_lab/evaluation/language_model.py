"""A model to be judged: its weights, its tokenizer, and how likely it finds a text.

One function does the arithmetic for bits per byte and for minimal pairs: `log_likelihoods`, which scores token sequences in batches
of like lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.bars import bar
from hare_lab.errors import InputError
from hare_lab.pretrained import open_pretrained
from hare_lab.tokenizing import ids_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 2_048  # tokens; a model that claims more is still read in windows of this many
BATCH = 1 << 25  # logits held at once: tokens of a batch times the vocabulary
MOST_TOKENS = 16_384  # of a batch, for a small vocabulary


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model in evaluation mode.

    Attributes
    ----------
    model, tokenizer : as transformers loads them
    name : what figures and tables call it
    context : tokens that it reads at once, the one before the text included
    start : id of the token that stands before a text, so that the first token of the text is predicted too
    """

    model: Any
    tokenizer: Any
    name: str
    context: int
    start: int

    @property
    def parameters(self) -> int:
        return int(sum(p.numel() for p in self.model.parameters()))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, no special token added; one that a text spells is read as its letters."""
        return ids_of(texts, self.tokenizer) if texts else []


def load_model(source: str | Path, *, name: str | None = None, context: int | None = None) -> LanguageModel:
    """A model from a Hugging Face folder, or by its hub id where there is a network. No remote code, no pickle: safetensors only.

    Parameters
    ----------
    source : folder or hub id
    name : default: the folder's
    context : tokens to read at once; default: what it was trained on, or can read at most, up to 2,048

    Raises
    ------
    InputError
        If there is no model, the weights are damaged or of another model, or it has no tokenizer.
    """
    import torch
    from transformers import AutoModelForCausalLM

    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").exists():
        raise InputError(f"{folder} holds no model (no config.json); give a folder that `hare-lab train` or save_pretrained made")
    if not folder.is_dir() and (folder.is_absolute() or str(source).count("/") != 1):
        raise InputError(f"no model folder {source}; give a folder with config.json and model.safetensors, or a hub id as owner/name")
    gpu = torch.cuda.is_available()
    model, tokenizer = open_pretrained(source, AutoModelForCausalLM, "a causal language model", dtype="auto" if gpu else torch.float32)
    return wrap(model.to("cuda" if gpu else "cpu"), tokenizer, name or folder.name, context=context)


def wrap(model: Any, tokenizer: Any, name: str, *, context: int | None = None) -> LanguageModel:
    """A model that is in memory already, as one to be judged.

    Raises
    ------
    InputError
        If the tokenizer has no token to begin or end a text with, or more tokens than the model.
    """
    start = next((t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id) if t is not None), None)
    if start is None:
        raise InputError(f"{name}: the tokenizer has neither a bos nor an eos token; give it one, so that a text has a beginning")
    vocabulary = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > vocabulary:
        raise InputError(f"{name}: the tokenizer has {len(tokenizer):,} tokens, the model {vocabulary:,}; they don't belong together")
    # positions may go far beyond the length of text that a model was trained on, which ours note and tokenizers may name
    told = (getattr(model.config, name, None) for name in ("train_context", "max_position_embeddings"))
    limit = min([int(tokenizer.model_max_length), *(int(n) for n in told if n)])
    return LanguageModel(model.eval(), tokenizer, name, min(context or LONGEST, limit), int(start))


def text_log_likelihoods(
    model: LanguageModel, texts: Sequence[list[int]], *, stride: int | None = None, what: str = "score"
) -> NDArray[np.float64]:
    """The natural logarithm of the probability of each text, from its first token on; shape (n_texts,), in nats.

    A text longer than the context is read in windows that overlap, and each token is scored once, in the window that shows the most of
    what stands before it.

    Parameters
    ----------
    texts : token ids of each
    stride : tokens that a further window adds; default half the context
    """
    windows: list[list[int]] = []
    skips: list[int] = []
    owners: list[int] = []
    for owner, tokens in enumerate(texts):
        for window, skip in windows_of([model.start, *tokens], model.context, stride or max(1, model.context // 2)):
            windows.append(window)
            skips.append(skip)
            owners.append(owner)
    nats = log_likelihoods(model, windows, skips, what)
    return np.bincount(owners, weights=nats, minlength=len(texts)).astype(np.float64)


def windows_of(tokens: list[int], context: int, stride: int) -> list[tuple[list[int], int]]:
    """Windows of at most context + 1 tokens (the last is only predicted) and how many at the front of each are given."""
    found = [(tokens[: context + 1], 1)]
    end = context + 1
    while end < len(tokens):
        new = min(end + stride, len(tokens))
        low = max(0, new - context - 1)
        found.append((tokens[low:new], end - low))
        end = new
    return found


def log_likelihoods(
    model: LanguageModel, sequences: Sequence[Sequence[int]], skip: Sequence[int], what: str = "score"
) -> NDArray[np.float64]:
    """The natural logarithm of the probability of each sequence, given its own beginning.

    Parameters
    ----------
    sequences : token ids, each no longer than `model.context` plus one; the last is never read, only predicted
    skip : how many tokens at the front of each are given, not scored; at least 1
    what : what the progress bar says

    Returns
    -------
    array of shape (n_sequences,), in nats; 0 where nothing is left to score.
    """
    import torch

    found = np.zeros(len(sequences))
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))  # the longest first: a lack of memory shows at once
    vocabulary = model.model.get_input_embeddings().num_embeddings
    budget = max(1, min(MOST_TOKENS, BATCH // vocabulary))
    with torch.inference_mode(), bar(told=what, unit="texts", total=len(order)) as shown:
        while order:
            count = max(1, budget // max(1, len(sequences[order[0]])))
            rows, order = order[:count], order[count:]
            found[rows] = _batch(model, [sequences[i] for i in rows], [skip[i] for i in rows])
            shown.update(len(rows))
    return found


def _batch(model: LanguageModel, sequences: list[Sequence[int]], skip: list[int]) -> NDArray[np.float64]:
    import torch
    import torch.nn.functional as F

    longest = max(len(s) for s in sequences)
    if longest < 2:
        return np.zeros(len(sequences))
    ids = torch.full((len(sequences), longest), model.start)
    scored = torch.zeros((len(sequences), longest - 1), dtype=torch.bool)
    real = torch.zeros((len(sequences), longest - 1), dtype=torch.long)
    for row, (sequence, given) in enumerate(zip(sequences, skip, strict=True)):
        ids[row, : len(sequence)] = torch.tensor(list(sequence))
        scored[row, max(given, 1) - 1 : max(len(sequence) - 1, 0)] = True
        real[row, : max(len(sequence) - 1, 1)] = 1
    device = model.model.device
    # padding stands on the right, where a causal model's earlier tokens can't see it; the mask only tells it not to warn
    logits = model.model(input_ids=ids[:, :-1].to(device), attention_mask=real.to(device), use_cache=False).logits
    wanted = scored.to(device)
    losses = F.cross_entropy(logits[wanted].float(), ids[:, 1:].to(device)[wanted], reduction="none")
    total = torch.zeros(scored.shape, dtype=torch.float64)
    total[scored] = losses.double().cpu()
    nats: NDArray[np.float64] = -total.sum(dim=1).numpy()
    return nats
