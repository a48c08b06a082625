"""What replies are measured against, put together from a run's pages and the priors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab import embedding, texts
from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.synthesis.filters import Context
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
    score: Callable[[Sequence[str]], NDArray[np.float64]] | None = None,
    model: Any = None,
) -> Context:
    """Everything that `measure` holds a reply against.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    vectors : float array of shape (n_pages, dimension), in the order of the pages
    priors : say which benchmarks must stay unseen and which taxonomy holds
    placed : the topic of each page, as `coverage` gives it; None takes the topic whose description is nearest
    prompts : folder of templates, audiences and styles
    score : texts -> quality in 0..1; None leaves quality unjudged
    model : the embedding model that made `vectors`, as `embedding.embed` takes it

    Raises
    ------
    InputError
        If there is not one vector and one topic a page, or a file of the priors or prompts can't be read.
    """
    if len(vectors) != len(pages) or (placed is not None and len(placed) != len(pages)):
        raise InputError(f"synthesis: {len(pages):,} pages need as many vectors and topics, in the same order")
    topics = texts.taxonomy(priors.find(priors.taxonomy))
    embed = lambda lines: np.asarray(embedding.embed(list(lines), model=model).vectors)  # noqa: E731
    if placed is None:
        taught = embed([f"{topic.name}: {topic.description}" for topic in topics])
        placed = [topics[int(at)].id for at in (np.asarray(vectors) @ taught.T).argmax(axis=1)]
    return Context(
        pages=dict(zip(pages["id"], pages["text"], strict=True)), vectors=np.asarray(vectors), placed=list(placed),
        benchmark=benchmark_texts(priors), topics=topics, prompts=read_prompts(prompts), priors=priors, embed=embed, score=score,
    )  # fmt: skip


def benchmark_texts(priors: Priors) -> list[str]:
    """Each benchmark item as its question alone and with its answer: what a sample must not repeat."""
    rows = [item for name in priors.leakage.benchmarks for item in texts.items(priors.find(name))]
    return [text for item in rows for text in (item["question"], f"{item['question']} {item['answer']}")]
