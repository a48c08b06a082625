"""What does a choice look at? The columns of the pages, the topics and their weights, each checked before anything is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.corpus import token_counts
from hare_lab.curation.quotas import OTHER, topic_weights
from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.texts import Topic

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Given:
    """The columns that a choice looks at, one entry a page."""

    ids: list[str]
    labels: np.ndarray
    quality: np.ndarray
    likeness: np.ndarray | None
    leaked: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True)
class Topics:
    """The topics: label, name for people and weight of each, the topic that each page is of, and whether a person named them."""

    labels: list[str]
    names: list[str]
    weights: np.ndarray
    of: np.ndarray
    named: bool


def topics_of(priors: Priors, labels: np.ndarray, taxonomy: Sequence[Topic] | None) -> Topics:
    if taxonomy is None:
        found, of = np.unique(labels, return_inverse=True)
        return Topics(found.tolist(), [f"group {label}" for label in found.tolist()], np.ones(len(found)), of, named=False)
    weights = topic_weights(priors, taxonomy)
    place = {label: at for at, label in enumerate(weights)}
    found, back = np.unique(labels, return_inverse=True)
    strange = [label for label in found.tolist() if label not in place]
    if strange:
        raise InputError(
            f'curation: the topic "{strange[0]}" of row {int(np.argmax(labels == strange[0]))} is not in the taxonomy; place the pages in '
            "this taxonomy, or pass no taxonomy to take the labels as groups"
        )
    told = {topic.id: topic.name for topic in taxonomy} | {OTHER: OTHER}
    of = np.array([place[label] for label in found.tolist()], dtype=np.int64)[back]
    return Topics(list(weights), [told[label] for label in weights], np.array(list(weights.values())), of, named=True)


def columns(
    pages: Dataset, priors: Priors, topic: Any, quality: Any, likeness: Any, leaked: Any, tokens: Any, *, asks: bool = False
) -> Given:
    """Each column as it was given, or that of the pages, checked; the likeness where the choice asks for it."""
    if "id" not in pages.column_names:
        raise InputError(f'curation: the pages have no column "id" (they have {", ".join(pages.column_names)}); use corpus.load')
    ids, count = pages["id"][:], len(pages)
    if not count:
        raise InputError("curation: there is no page to choose from; load or keep at least one")

    def column(name: str, given: Any, maker: str = "") -> Any:
        values = given if given is not None else pages[name][:] if name in pages.column_names else None
        if values is None and maker:
            raise InputError(f'curation: the pages have no column "{name}"; pass {name}=..., which {maker} makes')
        if values is not None and len(values) != count:
            raise InputError(f"curation: {count:,} pages but {len(values):,} entries of {name}; give one a page, in the same order")
        return values

    labels = np.array([str(label) for label in column("topic", topic, "coverage (or clustering: nearest_cluster)")])

    def scores(name: str, given: Any) -> np.ndarray:
        values = _numbers(column(name, given, "quality.score"), name, float)
        bad = ~((values >= 0) & (values <= 1))
        if bad.any():
            raise InputError(f"curation: the {name} of row {int(bad.argmax())} is {values[bad.argmax()]}; scores lie between 0 and 1")
        return values

    good = scores("quality", quality)
    alike = scores("likeness", likeness) if asks else None
    leaks = column("leaked", leaked)
    sizes = column("tokens", tokens)
    if sizes is None:
        sizes = token_counts(pages["text"], priors.tokenizer)
    sizes = _numbers(sizes, "tokens", np.int64)
    if (sizes < 0).any():
        raise InputError(f"curation: row {int((sizes < 0).argmax())} has {sizes.min()} tokens; count them with corpus.token_counts")
    return Given(ids, labels, good, alike, np.zeros(count, bool) if leaks is None else _flags(leaks), sizes)


def _numbers(values: Any, name: str, kind: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=kind)
    except (TypeError, ValueError) as error:  # a text, a gap
        raise InputError(f"curation: {name} holds what is no number ({error}); give one number a page") from error


def _flags(values: Any) -> np.ndarray:
    """Yes or no for each page. A gap or a text is neither, though Python takes both for yes."""
    found = np.asarray(values)
    if found.dtype == bool:
        return found
    found = np.asarray(values, dtype=object)
    bad = next((row for row, value in enumerate(found) if value not in (True, False)), None)
    if bad is not None:
        raise InputError(f"curation: leaked of row {bad} is {found[bad]!r}; give True or False for each page")
    return found.astype(bool)


def checked_budget(budget: int, tokens: np.ndarray) -> int:
    total = int(tokens.sum())
    if budget <= 0:
        raise InputError(f"curation: the budget is {budget} tokens; give at least 1")
    if budget > total:
        raise InputError(f"curation: the budget is {budget:,} tokens but all pages together have {total:,}; give at most that many")
    return int(budget)


def checked_vectors(vectors: np.ndarray, count: int) -> np.ndarray:
    """The vectors, a memory map as it is, once every row was looked at."""
    if np.ndim(vectors) != 2 or len(vectors) != count:
        raise InputError(f"curation: the vectors have the shape {np.shape(vectors)} but there are {count:,} pages; embed these very pages")
    for low in range(0, count, 10_000):
        lengths = np.linalg.norm(np.asarray(vectors[low : low + 10_000], np.float32), axis=1)
        bad = ~(np.abs(lengths - 1) < 0.01)
        if bad.any():
            raise InputError(
                f"curation: the vector of row {low + int(bad.argmax())} has the length {lengths[bad][0]:.3g}, not 1; embed again"
            )
    return vectors
