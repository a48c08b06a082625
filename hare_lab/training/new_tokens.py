"""New words for a model: a token of its own for a sign or a function, which begins where its description stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hare_lab.errors import InputError


def add_tokens(model: Any, tokenizer: Any, names: Sequence[str], describe: Mapping[str, str]) -> dict[str, int]:
    """Give model and tokenizer a new token for each of `names`, in place.

    A new token's rows, in the table that reads and in the one that writes, are the mean of the rows of its description's tokens:
    from the first step on it is somewhere near what it means, and neither louder nor stranger than the tokens around it. The new
    tokens are special: no text is ever cut into them by chance, and decoding may leave them out.

    Parameters
    ----------
    names : as they are written, such as `<api_0>`
    describe : what each means, in a few words that the tokenizer knows

    Returns
    -------
    dict of name to token id

    Raises
    ------
    InputError
        If a name is there already, comes twice, or has no description.

    References
    ----------
    A token for each function: Chen & Li (2024), "Octopus v2", arXiv 2404.01744, section 3. The mean: Hewitt (2021), "Initializing
    new word embeddings for pretrained language models", there over all rows.
    """
    import torch
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    for position, name in enumerate(names):
        if not name.strip() or name in known or name in names[:position]:
            why = "is blank" if not name.strip() else "is a token already" if name in known else "comes twice"
            raise InputError(f'the new token "{name}" {why}; give each a name of its own')
        if not describe.get(name, "").strip():
            raise InputError(f'the new token "{name}" has no description; say in a few words what it means')
    parts = [tokenizer(describe[name], add_special_tokens=False, split_special_tokens=True)["input_ids"] for name in names]
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tables = {id(layer.weight): layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
    bias = getattr(model.get_output_embeddings(), "bias", None)
    found = {name: int(tokenizer.convert_tokens_to_ids(name)) for name in names}
    with torch.no_grad():
        for part, place in zip(parts, found.values(), strict=True):
            for table in (*tables.values(), *([] if bias is None else [bias])):
                table[place] = table[part].mean(0)
    return found
