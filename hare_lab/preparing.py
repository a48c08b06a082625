"""Everything that is known of each page, in one table: what a choice is made from, and what a choice makes of a corpus.

The steps of notebooks 03 to 06 in a row, for `hare-lab curate`, and the join of their tables, for notebook 06. Nothing is decided
here: each step is a function of its own module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab import corpus, coverage, leakage, mapping, quality, texts
from hare_lab.corpus.pages import owned, with_columns
from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.texts import Topic

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


@dataclass(frozen=True)
class Prepared:
    """Pages with all that a choice looks at, their vectors, what was removed on the way, the taxonomy, and each step's report."""

    pages: Dataset
    removed: Dataset
    vectors: np.ndarray
    taxonomy: list[Topic]
    steps: dict[str, Any]


def prepare_corpus(
    source: Any, priors: Priors, *, seed: int = 0, limit: int | None = None, column: str | None = None, model: str | None = None,
    budget: int | None = None,
) -> Prepared:  # fmt: skip
    """Load, clean, deduplicate, embed, score, place and check a corpus: everything that `curation.curate` asks for.

    Raises
    ------
    InputError
        As `corpus.load` does, if no page survives cleaning, if a file that the priors name is missing, or if the pages have fewer tokens
        than `budget`.
    """
    loaded = corpus.load(source, column=column, limit=limit, seed=seed)  # first: a wrong path costs nothing yet
    topics = texts.taxonomy(priors.find(priors.taxonomy))
    reference = coverage.from_taxonomy(topics, priors.topics, model=model)
    items = leakage.load_items(*leakage.benchmark_files(priors))
    pages, removed, vectors, steps = mapping.distinct_pages(loaded, priors, model=model, budget=budget)
    scores = quality.score(pages, vectors, priors, model=model, seed=seed)
    covered = coverage.cover(pages, vectors, reference, tokenizer=priors.tokenizer, seed=seed)
    leaks = leakage.find(pages, items, priors.leakage, vectors=leakage.embed_windows(pages, items, model=model))
    steps |= {"quality": scores.report, "coverage": covered.report, "leakage": leaks}
    ready = prepare(pages, scores.table, covered.placed, leaks.pages(), tokenizer=priors.tokenizer)
    return Prepared(ready, removed, vectors, topics, steps)


def prepare(mapped: Dataset, scores: Dataset, placed: Dataset, leakage: Dataset, *, tokenizer: str = "") -> Dataset:
    """The mapped pages with what the notebooks on quality, coverage and leakage found, and their tokens.

    A column of the user's that has one of these names stays as `own_NAME`.

    Parameters
    ----------
    mapped : Dataset with `id` and `text`
    scores : Dataset with `id`, `quality`, `likeness` and `rules_failed`
    placed : Dataset with `id`, `topic` and `topic_similarity`
    leakage : Dataset with `id`, `leak` and `leaked`
    tokenizer : what tokens are counted with, as `corpus.token_counts` takes it

    Raises
    ------
    InputError
        If a table is of other pages, or in another order.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    ids = mapped["id"][:]
    tables = {
        "scores": (scores, ("quality", "likeness", "rules_failed")),
        "placed": (placed, ("topic", "topic_similarity")),
        "leakage": (leakage, ("leak", "leaked")),
    }
    for what, (table, names) in tables.items():
        if table["id"][:] != ids:
            raise InputError(f'"{what}" is about other pages than "mapped", or in another order; run the notebook that makes it again')
        columns |= {name: pa.array(table[name][:]) for name in names}
    columns["tokens"] = pa.array(corpus.token_counts(mapped["text"], tokenizer))
    return with_columns(owned(mapped, columns), columns)


def whole_funnel(pages: Dataset, removed: Dataset, chosen: pd.DataFrame) -> pd.DataFrame:
    """Columns step, pages, removed: from what was read to what was chosen.

    Parameters
    ----------
    pages, removed : as `mapping.funnel` takes them; those of the corpus before the choice
    chosen : the funnel of a `CurationReport`, which begins where theirs ends
    """
    import pandas as pd

    earlier = mapping.funnel(pages, removed)
    parts = [earlier, chosen[["step", "pages", "removed"]].iloc[1:]]
    lost = int(earlier["pages"].iloc[-1]) - int(chosen["pages"].iloc[0])
    if lost:  # copies by meaning go after `removed` was written
        parts.insert(1, pd.DataFrame([{"step": "semantic copy", "pages": int(chosen["pages"].iloc[0]), "removed": lost}]))
    return pd.concat(parts, ignore_index=True)


def chosen_points(prepared: Dataset, choices: pd.DataFrame, taxonomy: Sequence[Topic]) -> pd.DataFrame:
    """What the map before and after draws: one row a page, its place, whether it was kept, and its topic's name."""
    names = {topic.id: topic.name for topic in taxonomy}
    points: pd.DataFrame = prepared.select_columns(["id", "x", "y", "topic"]).to_pandas()
    return points.assign(topic=[names.get(topic, topic) for topic in points["topic"]], kept=choices["kept"].to_numpy(bool))
