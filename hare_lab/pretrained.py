"""A pretrained model and its tokenizer, opened so that what does not fit is one sentence, never a model of which a part is random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hare_lab.errors import InputError


def open_pretrained(source: str | Path, kind: Any, what: str, **asked: Any) -> tuple[Any, Any]:
    """A model as transformers loads it, in evaluation mode, and its tokenizer. No remote code, no pickle: safetensors only.

    Parameters
    ----------
    source : folder or hub id
    kind : the class of transformers that loads it, such as AutoModelForCausalLM
    what : what it should be, as errors call it, such as "a causal language model"
    asked : passed on to `kind.from_pretrained`

    Raises
    ------
    InputError
        If there is no such model or tokenizer, the weights are damaged, of another shape or of another model, or lack a tensor that `kind`
        needs, which transformers would draw at random.
    """
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source))
        with _quiet_loading():
            model, told = kind.from_pretrained(
                str(source), use_safetensors=True, trust_remote_code=False, output_loading_info=True,
                ignore_mismatched_sizes=True, **asked,  # told below, in a sentence
            )  # fmt: skip
    except SafetensorError as error:
        raise InputError(f"{source}: the weights are damaged ({error}); copy or train the model again") from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"{source} can't be loaded as {what} ({first}); give the folder of {what}, with config, safetensors and tokenizer, or a hub id"
        ) from error
    if misfits := sorted(str(key[0]) for key in told["mismatched_keys"]):
        raise InputError(
            f"{source}: {len(misfits)} tensors have another shape than config.json asks for ({misfits[0]} first); they are another model's"
        )
    if over := sorted(key for key in told["unexpected_keys"] if ".layers." in key and key.endswith(".weight")):
        raise InputError(
            f"{source}: the weights hold {len(over)} tensors that config.json knows nothing of ({over[0]} first); they are another model's"
        )
    if missing := sorted(told["missing_keys"]):
        raise InputError(
            f"{source}: the weights lack {len(missing)} tensors that {what} needs ({missing[0]} first); they are another model's"
        )
    return model.eval(), tokenizer


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Without transformers' bar, and its table of what did not fit, which our sentence replaces."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
