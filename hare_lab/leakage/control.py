"""What does a model that has read the exam look like? A positive control, made in seconds.

Two tiny models start from the same weights and read the same number of tokens. One reads the benchmark over and over among other
text, the other only other text. If the test of appendix B can't tell these two apart, it can't tell any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hare_lab.errors import InputError

VOCABULARY = 320  # tokens; few, so that what is learnt in seconds already shows
CONTEXT, BATCH = 64, 8  # small steps and many of them: what so small a model learns from in seconds
RATE, SPREAD = 1e-2, 0.1  # learning rate, and the spread of the first weights: at the usual 0.02 it learns ten times as slowly
SHARE = 0.9  # of what the leaked model reads last that is the benchmark


@dataclass(frozen=True)
class Control:
    """Two models that differ only in what they read last, and the tokenizer of both."""

    leaked: Any
    clean: Any
    tokenizer: Any
    parameters: int
    tokens: int


def tiny_pair(
    texts: Sequence[str], exam: Sequence[str], *, steps: int = 300, leaked_steps: int = 300, width: int = 96, layers: int = 2,
    vocabulary: int = VOCABULARY, seed: int = 0,
) -> Control:  # fmt: skip
    """Train a tiny Llama on `texts`, then one copy of it on the exam among texts and another on texts alone.

    Parameters
    ----------
    texts : what both read; must not hold the exam
    exam : what only the leaked one reads, as `model_side.exam_texts` gives it
    steps, leaked_steps : batches of 8 x 64 tokens before the two part, and after
    width, layers : of the model
    vocabulary : tokens of the tokenizer, at least 257; the fewer, the shorter are five in a row, and the likelier is a model that read
        nothing to be right about some of them: a test needs that room to fall, but then the exam also takes more steps to read
    seed : of weights and batches

    Raises
    ------
    InputError
        If either holds fewer than 65 tokens.
    """
    import copy

    import torch

    tokenizer = tiny_tokenizer([*texts, *exam], vocabulary)
    streams = [_stream(tokenizer, side) for side in (texts, exam)]
    for stream, what in zip(streams, ("texts", "exam"), strict=True):
        if len(stream) <= CONTEXT + 1:
            raise InputError(f"control: the {what} hold {len(stream)} tokens; give more than {CONTEXT}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model gains nothing from two, and loses all of it where the cores are busy
    try:
        torch.manual_seed(seed)
        base = tiny_model(len(tokenizer), width, layers)
        rng = np.random.default_rng(seed)
        _train(base, [streams[0]], [1.0], steps, rng)
        leaked, clean = base, copy.deepcopy(base)
        _train(leaked, streams, [1 - SHARE, SHARE], leaked_steps, np.random.default_rng(seed + 1))
        _train(clean, streams[:1], [1.0], leaked_steps, np.random.default_rng(seed + 1))
    finally:  # also where a reader stops the cell
        torch.set_num_threads(threads)
    parameters = sum(p.numel() for p in leaked.parameters())
    return Control(leaked, clean, tokenizer, parameters, (steps + leaked_steps) * BATCH * CONTEXT)


def tiny_tokenizer(texts: Sequence[str], vocabulary: int = VOCABULARY) -> Any:
    """A byte-pair tokenizer of so many tokens, trained here."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=["<s>"], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, bos_token="<s>", eos_token="<s>", pad_token="<s>")


def tiny_model(vocabulary: int, width: int, layers: int) -> Any:
    """A Llama of a few hundred thousand parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=1_024, tie_word_embeddings=False, initializer_range=SPREAD, bos_token_id=0,
            eos_token_id=0,
        )
    )  # fmt: skip


def _stream(tokenizer: Any, texts: Sequence[str]) -> np.ndarray:
    """All texts as one row of tokens, a start token before each."""
    rows = tokenizer(list(texts), verbose=False)["input_ids"]
    return np.concatenate([np.array([0, *ids]) for ids in rows]) if rows else np.zeros(0, np.int64)


def _train(model: Any, streams: Sequence[np.ndarray], shares: Sequence[float], steps: int, rng: np.random.Generator) -> None:
    """AdamW over random stretches of the streams, each batch line from one of them by its share."""
    import torch

    from hare_lab.bars import bar

    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: min((at + 1) / warm, 0.5 * (1 + np.cos(np.pi * at / max(1, steps))) + 0.02)
    )
    for _ in bar(range(steps), told="control", unit="steps"):
        which = rng.choice(len(streams), BATCH, p=shares)
        at = [int(rng.integers(len(streams[side]) - CONTEXT)) for side in which]
        rows = torch.from_numpy(np.stack([streams[side][start : start + CONTEXT] for side, start in zip(which, at, strict=True)])).long()
        loss = model(input_ids=rows, labels=rows).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()
