"""Which pages lie nearest to a sentence of one's own?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.embedding.encode import embed
from hare_lab.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

SNIPPET = 140  # characters of a page that a row shows


def nearest(query: str, pages: Dataset, vectors: NDArray[np.float32], *, count: int = 5, model: Any = None) -> pd.DataFrame:
    """The pages whose vectors lie nearest to that of `query`, nearest first.

    Parameters
    ----------
    query : str
        A sentence, embedded by the same model as the pages.
    pages : Dataset of n pages
    vectors : float array of shape (n, dimension), rows of unit length, in the order of the pages
    count : how many rows
    model : the model that made `vectors`, as `embed` takes it

    Returns
    -------
    DataFrame with the columns similarity (cosine), title, source, text (its beginning)

    Raises
    ------
    InputError
        If there is not one vector a page, or the query is empty.
    """
    if len(vectors) != len(pages):
        raise InputError(f"nearest: {len(vectors):,} vectors for {len(pages):,} pages; pass the vectors of these very pages")
    if not query.strip():
        raise InputError("nearest: the query is empty; type a sentence")
    import pandas as pd

    similarity = np.asarray(vectors) @ embed([query], model=model, store=False).vectors[0]
    best = np.argsort(-similarity, kind="stable")[:count]
    rows = [pages[int(row)] for row in best]
    return pd.DataFrame(
        {
            "similarity": similarity[best].round(3),
            "title": [row.get("title", "") for row in rows],
            "source": [row.get("source", "") for row in rows],
            "text": [" ".join(row["text"][: 2 * SNIPPET].split())[:SNIPPET] for row in rows],
        }
    )
