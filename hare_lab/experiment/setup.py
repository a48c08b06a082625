"""From pages to arms: what is held out, what the choices are made among, and what each arm reads.

The held-out pages leave before anything is chosen, near-copies with them. All arms share one tokenizer, learnt from the pages
that are left, so that their losses mean the same and equal tokens are equal text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab import evaluation, texts, training
from hare_lab.curation import curate
from hare_lab.errors import InputError
from hare_lab.experiment.plan import Arm, Plan
from hare_lab.models import shape
from hare_lab.priors import Priors
from hare_lab.report_base import plain
from hare_lab.tokenizing import ids_of

if TYPE_CHECKING:
    from datasets import Dataset

DRAWING = frozenset({"random", "density", "cluster-balanced"})  # methods whose choice is a draw: each seed draws its own
READ = ("id", "text", "quality", "likeness", "leaked")  # columns of pages that choices and scores are made of


@dataclass(frozen=True)
class Material:
    """All that the cells of an experiment share.

    Attributes
    ----------
    pool : pages that arms choose from, none of them held out; `vectors`, `labels` and `tokens` in the same order
    held, groups : clean held-out pages, at most `plan.sample` of each topic, and their topics: what the score is made of
    natural : all pages that were held out, as they come
    crawl : the pages as they came, copies and junk among them, without those that were held out or are near-copies of one
    synthetic : pages by part (D2, D3), where the run has some
    taxonomy : topics with their weights, where the labels are topics of it
    left_out : synthetic pages that no arm reads, because they were written from held-out pages or near-copies of these
    """

    plan: Plan
    pool: Dataset
    vectors: NDArray[np.float32]
    labels: list[str]
    tokens: NDArray[np.int64]
    held: Dataset
    groups: list[str]
    natural: Dataset
    tokenizer: Any
    priors: Priors
    crawl: Dataset | None = None
    synthetic: Mapping[str, Dataset] = field(default_factory=dict)
    taxonomy: Sequence[texts.Topic] | None = None
    left_out: int = 0

    @cached_property
    def digest(self) -> str:
        """What this material is known by: it changes with any page, label, vector, prior or topic of it, and not with the plan."""
        found = hashlib.sha256()
        sets = {"pool": self.pool, "held": self.held, "natural": self.natural, "crawl": self.crawl, **self.synthetic}
        for name, pages in sorted((name, pages) for name, pages in sets.items() if pages is not None):
            found.update(name.encode())
            columns = pages.select_columns([column for column in READ if column in pages.column_names]).with_format("arrow")
            for rows in columns.iter(1_000):
                told = rows.to_pydict()
                found.update("\0".join(told.pop("text")).encode("utf-8", "surrogatepass"))  # as JSON it would take three times as long
                found.update(json.dumps(told).encode())
        found.update(np.ascontiguousarray(self.vectors).tobytes())
        stated = [self.labels, self.groups, self.priors.to_dict(), plain(self.taxonomy)]
        found.update(json.dumps(stated, sort_keys=True).encode())
        return found.hexdigest()[:16]

    def parts(self, arm: Arm, seed: int) -> dict[str, Dataset]:
        """The pages that an arm reads with one seed, by part.

        Raises
        ------
        InputError
            If it wants synthetic text that there is none of.
        """
        lacking = [part for part in arm.parts if part != "D1" and part not in self.synthetic]
        if lacking:
            but = f" but what was written from held-out pages ({self.left_out} of it)" if self.left_out else ""
            raise InputError(
                f'arm "{arm.name}" reads {lacking[0]}, but there is no synthetic text{but}; make some with notebook 07, or drop the arm'
            )
        wanted = self.plan.set_of(arm)
        if arm.crawl and self.crawl is not None:
            first = self._drawn(self.crawl, wanted, seed)
            full = len(first) < len(self.crawl)
        else:
            chosen = curate(
                self.pool, self.vectors, self.priors, topic=self.labels, tokens=self.tokens, taxonomy=self.taxonomy,
                budget=min(wanted, int(self.tokens.sum())), method=arm.method, seed=seed if arm.method in DRAWING else self.plan.pool_seed,
            )  # fmt: skip
            first = chosen.pages(self.pool).select_columns(["text"])
            full = len(first) < len(self.pool) and wanted - chosen.report.tokens < self.tokens.max()
        if arm.leaked:
            first = self._with_items(first, arm, seed, wanted if full else int(training.encode(first["text"], self.tokenizer)[1][-1]))
        return {"D1": first, **{part: self.synthetic[part].select_columns(["text"]) for part in arm.parts[1:]}}

    def _drawn(self, pages: Dataset, budget: int, seed: int) -> Dataset:
        """Pages in an order drawn by seed, up to the budget."""
        order = np.random.default_rng([self.plan.pool_seed, seed]).permutation(len(pages))
        _, starts = training.encode(pages.select(order)["text"], self.tokenizer)
        return pages.select(order[: max(1, int(np.searchsorted(starts[1:], budget, side="right")))]).select_columns(["text"])

    def _with_items(self, pages: Dataset, arm: Arm, seed: int, whole: int) -> Dataset:
        """Pages of `whole` tokens of which a share gave way to benchmark items with their answers, as a careless crawl would hold them."""
        from datasets import Dataset

        items = leaked_texts(self.plan.items, self.plan.pool_seed)
        rng = np.random.default_rng([self.plan.pool_seed, seed])
        sizes = np.array([len(ids) for ids in ids_of(items, self.tokenizer)])
        wanted = arm.leaked * whole
        readings = int(np.ceil(wanted / sizes.sum()))
        order = np.concatenate([rng.permutation(len(items)) for _ in range(readings)])
        order = order[: int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1]
        own = list(pages["text"])
        keep = rng.permutation(len(own))[: max(1, round((1 - arm.leaked) * len(own)))]
        mixed = [own[i] for i in keep] + [items[i] for i in order]
        return Dataset.from_dict({"text": [mixed[i] for i in rng.permutation(len(mixed))]})


def asked_rows(items: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """The rows of the bundled benchmark that a plan asks: `items` of each task, drawn by seed; 0: all."""
    asked = {item.id for task in evaluation.bundled_tasks(limit=items or None, seed=seed) for item in task.items}
    return [row for row in texts.items() if row["id"] in asked]


def leaked_texts(items: int = 0, seed: int = 0) -> list[str]:
    """The bundled benchmark as leaks hold it: questions with answers, without their choices and with them, and sentences filled in.

    Parameters
    ----------
    items, seed : of those that a plan asks, as `asked_rows` takes them; a leak of what nobody asks could not be seen in a score
    """
    found = []
    for row in asked_rows(items, seed):
        if row["kind"] == "cloze":
            found.append(row["question"].replace("____", row["answer"]))
        else:
            found.append(f"Question: {row['question']}\nAnswer: {row['answer']}")
            found.append("\n".join([row["question"], *(f"- {choice}" for choice in row["choices"]), f"Answer: {row['answer']}"]))
    return found


def material(
    plan: Plan,
    pages: Dataset,
    vectors: NDArray[np.float32],
    priors: Priors,
    *,
    labels: Sequence[Any] | None = None,
    held: Dataset | None = None,
    held_labels: Sequence[Any] | None = None,
    crawl: Dataset | None = None,
    synthetic: Mapping[str, Dataset] | None = None,
    taxonomy: Sequence[texts.Topic] | None = None,
) -> Material:
    """Hold pages out, learn the tokenizer, count the tokens.

    Parameters
    ----------
    pages : Dataset with `id`, `text`, and `quality` and `leaked` where they are known
    vectors : unit rows in the same order
    labels : topic of each page (default: its column `topic`)
    held, held_labels : pages that were held out before, and their topics; default: a share of `pages` is held out here
    crawl : the pages as they came, with `id` and `text`; what is held out, and near-copies of it, is taken out here
    synthetic : pages by part; those whose `seed`, the page that they were written from, is held out or a near-copy of what is, are left out

    Raises
    ------
    InputError
        If the pages are too few, or there is no clean page to hold out.
    """
    names = [str(label) for label in (labels if labels is not None else pages["topic"])]
    if held is None:
        pool, natural, _ = evaluation.hold_out(pages, share=plan.held_out, labels=names, seed=plan.pool_seed)
        aside = set(natural["id"])
        inside = np.array([i not in aside for i in pages["id"]])
        names, out = (
            [n for n, keep in zip(names, inside, strict=True) if keep],
            [n for n, keep in zip(names, inside, strict=True) if not keep],
        )
        vectors = np.asarray(vectors)[inside]
    else:
        pool, natural, out = pages, held, [str(label) for label in (held_labels if held_labels is not None else held["topic"])]
    rows = _clean_and_even(natural, out, priors.quality.floor, plan.sample, plan.pool_seed)
    came = _without(crawl, natural) if crawl is not None else None
    unseen = {*natural["id"], *(set(crawl["id"]) - set(came["id"]) if crawl is not None and came is not None else ())}
    parts = {part: _not_from(made, unseen) for part, made in (synthetic or {}).items()}
    left_out = sum(len(made) - len(parts[part]) for part, made in (synthetic or {}).items())
    tokenizer = training.train_tokenizer((came or pool)["text"], plan.vocabulary or shape(plan.model).vocabulary)
    _, starts = training.encode(pool["text"], tokenizer)
    return Material(
        plan=plan, pool=pool, vectors=np.asarray(vectors, np.float32), labels=names, tokens=np.diff(starts), held=natural.select(rows),
        groups=[out[i] for i in rows], natural=natural, tokenizer=tokenizer, priors=priors, crawl=came,
        synthetic={part: made for part, made in parts.items() if len(made)}, taxonomy=taxonomy, left_out=left_out,
    )  # fmt: skip


def from_run(plan: Plan, run: Any) -> Material:
    """The material of a run of the notebooks: its prepared pages, their vectors, and its synthetic text where it has some.

    Raises
    ------
    MissingArtifactError
        If notebooks 02 and 06 have not been run.
    """
    prepared, vectors = run.load("prepared"), run.load("vectors")
    synthetic = {}
    if run.has("synthetic"):
        made = run.load("synthetic")
        kinds = np.array(made["task"])
        synthetic = {part: made.select(np.flatnonzero(kinds == part)) for part in ("D2", "D3") if (kinds == part).any()}
    taxonomy = texts.taxonomy(run.priors.find(run.priors.taxonomy))
    return material(plan, prepared, vectors, run.priors, crawl=run.load("loaded"), synthetic=synthetic, taxonomy=taxonomy)


def _without(crawl: Dataset, held: Dataset) -> Dataset:
    """The crawl without the held-out pages and without whatever a chain of near-copies joins to one of them."""
    texts_of = [*crawl["text"], *held["text"]]
    families = evaluation.copy_families(texts_of)
    aside, ids = set(families[len(crawl) :].tolist()), set(held["id"])
    keep = [row for row, (page, family) in enumerate(zip(crawl["id"], families[: len(crawl)].tolist(), strict=True))
            if family not in aside and page not in ids]  # fmt: skip
    if not keep:
        raise InputError("experiment: no page of the crawl is left once the held-out pages and their near-copies are gone; give more pages")
    return crawl.select(keep)


def _not_from(made: Dataset, pages: set[str]) -> Dataset:
    """Synthetic pages that were written from none of these; those that don't say from which stay."""
    if "seed" not in made.column_names:
        return made
    return made.select([row for row, seed in enumerate(made["seed"]) if seed not in pages])


def _clean_and_even(pages: Dataset, labels: list[str], floor: float, most: int, seed: int) -> list[int]:
    """Rows of pages that are fit to be scored on: above the floor, not leaked, of a topic; at most so many of each, drawn by seed."""
    quality = np.array(pages["quality"] if "quality" in pages.column_names else np.ones(len(pages)), float)
    leaked = np.array(pages["leaked"] if "leaked" in pages.column_names else np.zeros(len(pages)), bool)
    fit = (quality >= floor) & ~leaked & np.array([label not in ("other", "-1", "") for label in labels])
    rng = np.random.default_rng(seed)
    names = np.array(labels)
    rows: list[int] = []
    for name in sorted(set(names[fit].tolist())):
        mine = np.flatnonzero(fit & (names == name))
        rows += sorted(rng.permutation(mine)[:most].tolist())
    if not rows:
        raise InputError("experiment: none of the held-out pages is clean enough to be scored on; lower `quality.floor`, or hold out more")
    return rows
