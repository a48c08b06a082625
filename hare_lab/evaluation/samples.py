"""How do two models go on from the same words? Numbers say which is better; reading says how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hare_lab.errors import InputError
from hare_lab.evaluation.language_model import LanguageModel
from hare_lab.machine import drawn_by

if TYPE_CHECKING:
    import pandas as pd


def side_by_side(
    models: Sequence[LanguageModel], prompts: Sequence[str], *, tokens: int = 40, temperature: float = 0.8, seed: int = 0
) -> pd.DataFrame:
    """The beginnings in `prompts`, carried on by each model.

    Parameters
    ----------
    tokens : how many to write at most
    temperature : 0 always takes the likeliest next token; 1 draws as the model says
    seed : of the draws, the same for every model

    Returns
    -------
    DataFrame with a column `prompt` and one a model, of its name.

    Raises
    ------
    InputError
        If there is no prompt, or two models share a name.
    """
    import pandas as pd

    names = [model.name for model in models]
    if not prompts or len(set(names)) < len(names):
        raise InputError(
            "side by side: give at least one prompt" if not prompts else "side by side: two models share a name; name them apart"
        )
    table = {"prompt": list(prompts)}
    for model in models:
        table[model.name] = [_goes_on(model, prompt, tokens, temperature, seed + row) for row, prompt in enumerate(prompts)]
    return pd.DataFrame(table)


def _goes_on(model: LanguageModel, prompt: str, tokens: int, temperature: float, seed: int) -> str:
    import torch

    ids = torch.tensor([[model.start, *model.encode([prompt])[0]][-max(1, model.context - tokens) :]]).to(model.model.device)
    how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {"do_sample": False}
    with drawn_by(seed), torch.inference_mode():
        written = model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, pad_token_id=model.start,
            eos_token_id=model.tokenizer.eos_token_id, **how,
        )  # fmt: skip
    text: str = model.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    return text.strip()
