"""Text to tokens: a tokenizer trained on the set itself, or a given one, and pages as one stream of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError
from hare_lab.tokenizing import ids_of, open_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
BATCH = 1_000


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer learnt from `texts`: any text can be written with it, and it fits this one best.

    Digits stand alone, so that numbers are read digit by digit, as Llama's and Mistral's tokenizers do. The same texts in the
    same order give the same tokenizer.

    Parameters
    ----------
    vocabulary : at most so many tokens, at least 259 (the bytes and three signs); fewer where the texts are short

    Raises
    ------
    InputError
        If the vocabulary is too small or there is no text.

    References
    ----------
    Sennrich et al. (2016), "Neural machine translation of rare words with subword units"; bytes: Radford et al. (2019).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    smallest = 256 + 3
    if vocabulary < smallest:
        raise InputError(f"a vocabulary of {vocabulary} is too small; the bytes alone and three signs take {smallest}")
    bpe = Tokenizer(models.BPE())
    digits, letters = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, BOS, EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    seen = _Seen(texts)
    bpe.train_from_iterator(seen, trainer)
    if not seen.letters:
        raise InputError("there is no text to learn a tokenizer from; give pages that hold some, or name the column with --column")
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=BOS, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False)


class _Seen:
    """Texts as they pass, and whether any of them held anything."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts, self.letters = texts, False

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.letters = self.letters or bool(text.strip())
            yield text


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id.

    Raises
    ------
    InputError
        If there is none, or it has no sign for the end of a text.
    """
    found = open_tokenizer(name)
    if found.eos_token_id is None:
        raise InputError(f'tokenizer "{name}" has no token for the end of a text (eos_token); give one that has')
    return found


def encode(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All pages as one stream of token ids: each begins with the start sign (where there is one) and ends with the end sign.

    A page without text adds nothing; a sign that a page spells is read as its letters.

    Returns
    -------
    stream : int32 array of shape (n_tokens,)
    starts : int64 array of shape (n_pages + 1,)
        Where each page begins; the last entry is n_tokens. A page without text begins where the next one does.
    """
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    eos = [tokenizer.eos_token_id]
    parts: list[NDArray[np.int32]] = []
    starts = [0]
    waiting = iter(texts)
    while batch := list(islice(waiting, BATCH)):
        for text, ids in zip(batch, ids_of(batch, tokenizer), strict=True):
            found = np.array([*bos, *ids, *eos] if text.strip() else [], np.int32)
            parts.append(found)
            starts.append(starts[-1] + len(found))
    return (np.concatenate(parts) if parts else np.empty(0, np.int32)), np.array(starts, np.int64)
