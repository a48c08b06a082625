"""How does every method trade quality for diversity, at every budget?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hare_lab.curation.choose import LIKENESS, METHODS, curate
from hare_lab.curation.peers import ORDERS
from hare_lab.curation.quotas import fill
from hare_lab.diversity import effective_number, vendi_score
from hare_lab.errors import InputError
from hare_lab.priors import Priors

if TYPE_CHECKING:
    from datasets import Dataset


def compare(
    pages: Dataset,
    vectors: np.ndarray,
    priors: Priors,
    budgets: Sequence[int],
    *,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    **given: Any,
) -> pd.DataFrame:
    """Every method at every budget: what it chose, how good and how diverse that is.

    Parameters
    ----------
    pages, vectors, priors : as `curate` takes them
    budgets : tokens of the sets
    methods : some of METHODS; None: all, "top-likeness" only where the likeness is known
    given : topic, quality, likeness, leaked, tokens and taxonomy, as `curate` takes them

    Returns
    -------
    DataFrame with one row a method and budget: `method`, `budget`, `pages`, `tokens`, `quality` (mean by token), `diversity` (Vendi score
    of the chosen pages' vectors; no method aims at it, though several choose by the same vectors) and `effective_topics`.

    Raises
    ------
    InputError
        As `curate` does, or if no budget is given.
    """
    if not budgets:
        raise InputError("curation: no budget to compare at; give at least one number of tokens")
    known = "likeness" in pages.column_names or given.get("likeness") is not None
    rows = []
    for method in methods if methods is not None else (method for method in METHODS if known or method != LIKENESS):
        largest = curate(pages, vectors, priors, budget=max(budgets), method=method, seed=seed, **given).choices
        for budget in budgets:
            if method in ORDERS:  # the order is the same at every budget, so only the end of it is looked for again
                group = np.where(largest["cause"] == "leaked", -1, 0)
                kept = fill(group, largest["worth"].to_numpy(), largest["tokens"].to_numpy(), np.array([float(budget)]), budget)
                chosen = largest[kept]
            else:
                choices = curate(pages, vectors, priors, budget=budget, method=method, seed=seed, **given).choices
                chosen = choices[choices["kept"]]
            rows.append({"method": method, "budget": budget, **_measured(chosen, vectors)})
    return pd.DataFrame(rows)


def _measured(chosen: pd.DataFrame, vectors: np.ndarray) -> dict[str, float]:
    tokens = chosen["tokens"].to_numpy()
    some = len(chosen) > 0 and tokens.sum() > 0
    return {
        "pages": len(chosen), "tokens": int(tokens.sum()),
        "quality": float(np.average(chosen["quality"], weights=tokens)) if some else 0.0,
        "diversity": vendi_score(np.asarray(vectors[chosen.index.to_numpy()])).value if some else 0.0,
        "effective_topics": effective_number(chosen.groupby("topic")["tokens"].sum().to_numpy()),
    }  # fmt: skip
