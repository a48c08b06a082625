"""Which pages are examples of good ones, and which of bad ones: those that the priors name, the bundled ones, or a user's own?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.quality.fitting import FEWEST, Examples

if TYPE_CHECKING:
    from datasets import Dataset

SAMPLE = "sample"
GOOD_TIERS = "reference", "ordinary"  # of the bundled pages; the thin and the junk ones are the bad examples


def reference(priors: Priors) -> Dataset:
    """The pages that the priors name as good.

    `sample` means the bundled pages whose tier is "reference". Naming them, and the bundled examples of good and bad that go with them,
    reads the truth about the sample: no other step does, and this one because the priors say so. Anything else is a path, as
    `corpus.load` takes it.

    Raises
    ------
    InputError
        If there are fewer than 20, or the path is none.
    """
    from datasets import Dataset

    from hare_lab import corpus, texts

    name = priors.quality.good
    if name == SAMPLE:
        truth = texts.sample_truth()
        wanted = {row["id"] for row in truth if row["tier"] == "reference" and row["language"] == "en"}
        pages = Dataset.from_list([{**page, "id": f"sample#{page['id']}"} for page in texts.sample_pages() if page["id"] in wanted])
    else:
        found = Path(name)
        pages = corpus.load(str(found if found.exists() or name.startswith("hf:") else priors.find(name))).pages
    return enough(pages, name)


def reference_fingerprint(priors: Priors) -> str:
    """16 hexadecimal digits that change with any page the priors name as good, so that a run sees a file that was edited in its place.

    A hub name stands for itself, as in `corpus.fingerprint`: pages that were scored once are not fetched again.

    Raises
    ------
    InputError
        As `reference` does.
    """
    import hashlib
    import json

    name = priors.quality.good
    told = name if name.startswith("hf:") else json.dumps(list(reference(priors)["text"]))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def bundled_examples(texts: Sequence[str], ids: Sequence[str]) -> tuple[Examples, list[str]]:
    """The bundled pages as examples of good and bad: where they stand among the texts, and those that don't, which come after them.

    Each of their topics has pages of all tiers by the same authors, so that what tells the tiers apart is neither a subject nor a source.

    Parameters
    ----------
    texts, ids : pages; a bundled one is known by its id `sample#...`, as cleaning may have changed it, or by its text

    Returns
    -------
    Examples of len(texts) + n_others pages, and the texts of the others.
    """
    from hare_lab.texts import sample_truth

    rows = [row for row in sample_truth() if row["language"] == "en"]
    topic = np.unique([row["topic"] for row in rows], return_inverse=True)[1]
    place = {f"sample#{row['id']}": at for at, row in enumerate(rows)} | {row["text"]: at for at, row in enumerate(rows)}
    found = [place.get(page, place.get(text, -1)) for text, page in zip(texts, ids, strict=True)]
    lacking = sorted(set(range(len(rows))) - set(found))
    at = np.array([*found, *lacking])
    good = np.array([row["tier"] in GOOD_TIERS for row in rows])
    kind = np.where(at >= 0, good[at], -1)
    return Examples(kind, topic[at], np.arange(len(at)) >= len(texts)), [rows[row]["text"] for row in lacking]


def examples_of(source: str, column: str | None = None) -> Dataset:
    """Example pages; the corpus' text column is theirs too where they have one of its name."""
    from hare_lab import corpus

    if column is not None:
        with suppress(InputError):
            return corpus.load(source, column=column).pages
    return corpus.load(source).pages


def enough(pages: Dataset, name: str, kind: str = "good") -> Dataset:
    """The good or bad pages that `name` names, if a scorer can learn from so many.

    Raises
    ------
    InputError
        If there are fewer than 20.
    """
    if len(pages) < FEWEST:
        said = f'the {kind} pages "{name}" are {len(pages)}, and a scorer learns from {FEWEST} or more'
        raise InputError(f"quality: {said}; name more of them")
    return pages
