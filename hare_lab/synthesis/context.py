"""What replies are measured against, put together from a run's pages and the priors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab import embedding, texts
from hare_lab.coverage import OTHER, from_taxonomy, place
from hare_lab.errors import InputError
from hare_lab.leakage import benchmark_files, load_items
from hare_lab.priors import Priors
from hare_lab.synthesis.filters import Context, Score
from hare_lab.synthesis.prompts import FOLDER, read_prompts

if TYPE_CHECKING:
    from datasets import Dataset


def context(
    pages: Dataset,
    vectors: NDArray[np.float32],
    priors: Priors,
    *,
    placed: Sequence[str] | None = None,
    prompts: str | Path = FOLDER,
    score: Score | None = None,
    fit: Iterable[str] | None = None,
    model: Any = None,
) -> Context:
    """Everything that `measure` holds a reply against.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    vectors : float array of shape (n_pages, dimension), in the order of the pages
    priors : say which benchmarks must stay unseen and which taxonomy holds
    placed : the topic of each page, as `coverage` gives it; None places the pages here
    prompts : folder of templates, audiences and styles
    score : (texts, their vectors) -> quality in 0..1, as a `quality.Scorer` gives it; None leaves quality unjudged
    fit : ids of the pages that a prompt may start from; None allows all
    model : the embedding model that made `vectors`, as `embedding.embed` takes it

    Raises
    ------
    InputError
        If there is not one vector and one topic a page, or a file of the priors or prompts can't be read.
    """
    if len(vectors) != len(pages) or (placed is not None and len(placed) != len(pages)):
        raise InputError(f"synthesis: {len(pages):,} pages need as many vectors and topics, in the same order")
    reference = from_taxonomy(texts.taxonomy(priors.find(priors.taxonomy)), priors.topics, model=model)
    if placed is None:
        names = [*(topic.id for topic in reference.topics), OTHER]  # -1, no topic, is the last
        placed = [names[at] for at in place(np.asarray(vectors, np.float32), reference).topic.tolist()]
    return Context(
        pages=dict(zip(pages["id"], pages["text"], strict=True)), vectors=np.asarray(vectors), placed=list(placed),
        benchmark=load_items(*benchmark_files(priors)), reference=reference, prompts=read_prompts(prompts), priors=priors,
        embed=lambda lines: np.asarray(embedding.embed(list(lines), model=model).vectors), score=score,
        fit=None if fit is None else frozenset(fit),
    )  # fmt: skip
