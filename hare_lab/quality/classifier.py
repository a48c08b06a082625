"""A second scorer from elsewhere: a text classifier as the hub has them, such as HuggingFaceFW/fineweb-edu-classifier.

The one part of `quality` that may reach the network, and only for a name that is no folder here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.bars import bar
from hare_lab.errors import InputError
from hare_lab.pretrained import open_pretrained

Floats = NDArray[np.float64]
Classifier = Callable[[Sequence[str]], Floats]
_BATCH, _LENGTH = 16, 512


def load_classifier(name: str, *, top: float = 5.0) -> Classifier:
    """A sequence classifier as a function from texts to scores in 0..1.

    Parameters
    ----------
    name : folder or hub id
        Safetensors weights; no code from the hub is run. One output is a grade, of which `top` is the best (fineweb-edu
        grades 0 to 5); of several outputs the score is the probability of the last, as "good" usually is.
    top : the best grade of a model with one output

    Raises
    ------
    InputError
        If there is no such model, its weights are damaged, or it is no sequence classifier: it has no head that was trained; or if its
        tokenizer can't pad.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    model, tokenizer = open_pretrained(name, AutoModelForSequenceClassification, "a sequence classifier")
    _make_pad(name, model, tokenizer)
    longest = min(_LENGTH, int(getattr(model.config, "max_position_embeddings", _LENGTH)))

    def grade(texts: Sequence[str]) -> Floats:
        order = np.argsort([len(text) for text in texts], kind="stable")  # pages of like length together: little padding
        found = np.zeros(len(texts))
        for start in bar(range(0, len(texts), _BATCH), told="classifier", unit="batches"):
            rows = order[start : start + _BATCH]
            batch = tokenizer([texts[i] for i in rows], truncation=True, max_length=longest, padding=True, return_tensors="pt")
            with torch.inference_mode():
                out = model(**batch).logits.float()
            found[rows] = (out[:, 0] / top if out.shape[1] == 1 else out.softmax(dim=1)[:, -1]).numpy()
        return np.clip(found, 0, 1)

    return grade


def _make_pad(name: str, model: Any, tokenizer: Any) -> None:
    """See that pages of unlike length can be read together: a model that was made to write, such as GPT-2, comes without padding."""
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(f"{name}: its tokenizer has no token to pad with; name one as pad_token in its tokenizer_config.json")
        tokenizer.pad_token = tokenizer.eos_token
    config = model.config.get_text_config()
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
