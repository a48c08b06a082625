"""How often would a model read each source? The HARE paper's tables 3 to 5, of one's own data.

The paper gives each source's sampling weight and, for synthetic text, its tokens; how often a source is repeated follows from both
and is not in the paper. It is the column that a ledger of one's own should have: a small set with a large weight is read many times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hare_lab.errors import InputError
from hare_lab.priors import Mixture

PARTS = {"D1": "open data (table 3)", "D2": "synthetic text (table 4)", "D3": "language tasks (table 5)"}


def ledgers(sets: Mapping[str, pd.DataFrame], mixture: Mixture, trained_tokens: int) -> pd.DataFrame:
    """One row a source of each part of the mixture: its tokens, its sampling weight and how often it is repeated.

    A part's weight is that of the mixture, shared among its sources by their tokens; epochs = weight x trained tokens / tokens.

    Parameters
    ----------
    sets : part ("D1", "D2", "D3") to a table with one row a text: `source` and `tokens`
        A part that is not there yet is one row without tokens.
    mixture : the priors'
    trained_tokens : tokens that a training run reads

    Returns
    -------
    DataFrame with the columns part, source, texts, tokens, weight_percent, epochs (not a number where there are no tokens).

    Raises
    ------
    InputError
        If a part is unknown, a table lacks a column, or the run reads nothing.

    References
    ----------
    Zhang et al. (2024), "HARE", arXiv:2406.11410, tables 3 to 5.
    """
    if trained_tokens <= 0:
        raise InputError(f"ledgers: a run of {trained_tokens} tokens reads nothing; give the tokens of a training run")
    if strange := set(sets) - set(PARTS):
        raise InputError(f"ledgers: part {min(strange)} is unknown; the parts of the mixture are {', '.join(PARTS)}")
    total = sum(vars(mixture).values())
    rows = []
    for part in PARTS:
        weight = vars(mixture)[part] / total
        table = sets.get(part)
        if table is not None and not {"source", "tokens"} <= set(table.columns):
            raise InputError(f'ledgers: the table of {part} needs the columns "source" and "tokens"; it has {", ".join(table.columns)}')
        if table is None or not table["tokens"].sum():
            rows.append(_row(part, f"no {PARTS[part]} yet", 0, 0, 100 * weight, math.nan))
            continue
        sizes = table.groupby("source")["tokens"].agg(["size", "sum"]).sort_values("sum", ascending=False, kind="stable")
        held = float(sizes["sum"].sum())
        for source, texts, tokens in sizes.itertuples():
            share, epochs = 100 * weight * tokens / held, weight * trained_tokens / held if tokens else math.nan
            rows.append(_row(part, str(source), int(texts), int(tokens), share, epochs))
    return pd.DataFrame(rows)


def _row(part: str, source: str, texts: int, tokens: int, weight_percent: float, epochs: float) -> dict[str, Any]:
    return {"part": part, "source": source, "texts": texts, "tokens": tokens, "weight_percent": weight_percent, "epochs": epochs}
