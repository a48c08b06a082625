"""Did the priors pay? The confirmatory run on a crawl-like pool, the natural pool beside it, and the leaked arm. Hours on 2 cores.

    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py              the latest plan and the natural pool; gone on with at will
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py tune        settings on hare-1m, the other half of the labels, other seeds
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py work [tune]  train cells on one thread; start one a core, side by side
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py counts      choices of the last tuning, by a model that only counts
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py sum         what the finished cells of all plans say so far
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py [work] proxy|told|weighted|pool15|pool40|like33  an earlier plan
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py work natural  cells of the natural pool, beside the latest plan
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py read [PLAN]  what kinds of pages each arm reads, as docs/experiment.md shows
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py draw [PLAN]  the pictures of docs/experiment.md, as pages in docs/images
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py small       the same steps on few pages and tokens, to see that they work
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/experiment.py [sum] --laptop[=RUN] --small[=RUN]  also `hare-lab run`, timed

Cells live in `runs/benchmark-experiment` (or HARE_LAB_RUNS), so a run that was stopped goes on. The plan of each part is
registered before its first step; what was chosen in `tune` is fixed in the constants below before the confirmatory run is started.
Workers of one thread each train more in the same time than one of many threads (a small model's threads wait for each other).
They take the cells in the order of `urgency`: ours and random first, then what they are compared with.

The pool is `crawl_pool`'s; labels not used in tuning. The clean posts that it holds out, ten of each label, are the score,
macro-averaged over labels; no method sees a label. The scorer learns from `examples`, in the first plan (`proxy`) from the
bundled reference. Arms: random draws from the pool as it came; the others choose from what
deduplication left, by clusters and the learned scorer (`curation.prepared`, the same preparation as that benchmark's).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _cells import gathered
from _common import ROOT, earlier, held_by, measure, real_data, write_results
from _ngrams import token_bits
from crawl_pool import crawl_pool
from curation import Prepared, halves, prepared
from datasets import Dataset

from hare_lab import corpus, embedding, evaluation, experiment, figures, quality, texts, training
from hare_lab.experiment import Arm, Plan, workers
from hare_lab.experiment.cells import finished
from hare_lab.experiment.conduct import begin
from hare_lab.priors import default
from hare_lab.run import runs_folder
from hare_lab.run.keys import provenance

SEED, TUNED_SEED = 0, 1
SINGLE = ("quality-only", "diversity-only", "cluster-balanced", "top-quality")
PEERS = ("semdedup", "d4", "density")
NATURAL_PAGES = 12_000
PEAK, MEMORY = "peak_gib", 6.0  # what a timed run held at most, beside its folder, and what it may hold
MINUTES = {"laptop": 40.0, "small": 6.0}  # what notebooks 00 to 10 may take, by profile
TIMES = 1.5  # that random's tokens should be of ours, for the same loss
NOVELTY = 0.5  # the default
FLOOR = 0.3  # the default: in `tune` the floors differed less than the seeds (docs/experiment.md)
A_THIRD = 0.3333  # likeness of a kind that is half as frequent in the pool as among the examples
A_HALF = 0.5  # of a kind that is as frequent in the one as in the other
EXAMPLE = (200, 4_000)  # characters of an example
TUNED_PAGES, TUNED_TOKENS, TUNED_SEEDS = 9_000, 500_000, (100, 101)
THIRD_TOKENS, THIRD_SEEDS = 1_000_000, (100, 101, 102, 103)
FOURTH: dict[str, Any] = {"model": "hare-5m", "tokens": 2_000_000, "seeds": (100, 101, 102)}
SIXTH, SEVENTH = {**FOURTH, "seeds": (100, 101)}, {**FOURTH, "seeds": (100,)}


@dataclass(frozen=True)
class Stated:
    """What the priors of an experiment say beside the defaults.

    `examples` posts of labels that are not scored are named as good (0: the bundled reference); where `weighted`, each group of pages
    gets as much of the budget as it has of the examples. `likeness` is how much like them a page must be.
    """

    floor: float = FLOOR
    examples: int = 0
    novelty: float = NOVELTY
    weighted: bool = False
    likeness: float = 0.0


@dataclass(frozen=True)
class Trial:
    """Something tried in `tune`: priors, the set as a share of what is read, and how much is read with which seeds."""

    name: str
    stated: Stated
    share: float = 1.0
    arms: tuple[str, ...] = ("priors",)
    tokens: int = TUNED_TOKENS
    seeds: tuple[int, ...] = TUNED_SEEDS
    model: str = "hare-1m"
    pages: int = TUNED_PAGES


TRIED = (
    Trial("tune-0.0-0.5", Stated(0.0), 0.5, arms=("random", "priors")),
    Trial("tune-0.3-0.5", Stated(0.3), 0.5),
    Trial("tune-0.5-0.5", Stated(0.5), 0.5),
    Trial("tune-0.0-1.0", Stated(0.0)),
    Trial("tune-0.3-1.0", Stated(0.3)),
    Trial("tune-0.5-1.0", Stated(0.5)),
    Trial("tune-0.3-1.0-400", Stated(examples=400)),
    Trial("tune-weighted-0.5", Stated(examples=400, weighted=True)),
    Trial("tune-weighted-0.9", Stated(examples=400, weighted=True, novelty=0.9)),
    Trial("tune-weighted-single", Stated(examples=400, weighted=True), arms=("diversity-only",)),
    Trial("tune-weighted-1.0", Stated(examples=400, weighted=True, novelty=1.0)),
    # the third time: twice the tokens, so that as large a part of the pool is read as in the confirmatory plan, and twice the seeds
    Trial("third-single", Stated(examples=400), arms=("random", "diversity-only"), tokens=THIRD_TOKENS, seeds=THIRD_SEEDS),
    *(
        Trial(f"third-{floor}-{novelty}", Stated(floor, examples=400, novelty=novelty), tokens=THIRD_TOKENS, seeds=THIRD_SEEDS)
        for floor in (0.0, 0.3)
        for novelty in (0.5, 0.7, 0.9, 1.0)
    ),
    Trial("third-default", Stated(), tokens=THIRD_TOKENS, seeds=THIRD_SEEDS),
    Trial("third-default-0.0-0.7", Stated(0.0, novelty=0.7), tokens=THIRD_TOKENS, seeds=THIRD_SEEDS),
    Trial(
        "third-weighted-0.9", Stated(examples=400, weighted=True, novelty=0.9), arms=("priors", "diversity-only"), tokens=THIRD_TOKENS,
        seeds=THIRD_SEEDS,
    ),
    # the fourth time: what the third could not tell apart, with the model and the budget of the confirmatory plan
    Trial("fourth-single", Stated(examples=400), arms=("diversity-only",), **FOURTH),
    *(
        Trial(f"fourth-{floor}-{novelty}", Stated(floor, examples=400, novelty=novelty), **FOURTH)
        for floor, novelty in ((0.3, 0.5), (0.3, 0.7), (0.0, 0.9))
    ),
    # the fifth time: the same settings where there is more to choose from
    Trial("fifth-large", Stated(0.0, examples=400, novelty=0.9), arms=("random", "priors"), pages=40_000, **FOURTH),
    # the sixth time: pages of that pool that are like the examples, and how much like them
    *(
        Trial(f"sixth-{least:.4g}", Stated(0.0, examples=400, novelty=0.9, likeness=least), pages=40_000, **SIXTH)
        for least in (A_THIRD, 0.4)
    ),
    # the seventh time: likeness alone beside ours, with as much likeness asked for as a classifier says yes at
    Trial("seventh-single", Stated(0.0, examples=400, novelty=0.9, likeness=A_THIRD), arms=("top-likeness",), pages=40_000, **SEVENTH),
    Trial("seventh-0.5", Stated(0.0, examples=400, novelty=0.9, likeness=A_HALF), pages=40_000, **SEVENTH),
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large a part of the benchmark is."""

    pages: int
    tokens: int
    set_tokens: int
    model: str
    seeds: tuple[int, ...]
    more: tuple[int, ...]
    long: float
    stated: Stated = Stated()
    pool_seed: int = SEED
    leaked: bool = True  # whether the leaked arm is among the arms
    name: str = ""


TOLD = Size(15_000, 2_000_000, 2_000_000, "hare-5m", (0, 1, 2), (3, 4), 2.0, Stated(examples=400))
WEIGHTED = Size(
    15_000, 2_000_000, 2_000_000, "hare-5m", (10, 11, 12), (13, 14), 2.0, Stated(examples=400, weighted=True, novelty=0.9), 2, leaked=False
)
# what the fourth tuning chose of its three
POOL15 = Size(
    15_000, 2_000_000, 2_000_000, "hare-5m", (20, 21, 22), (23, 24), 2.0, Stated(0.0, examples=400, novelty=0.9), 3, leaked=False,
    name="crawl-like-0.0-0.9",
)  # fmt: skip
# the same where there is much more to choose from than is read, as in any crawl
POOL40 = Size(
    40_000, 2_000_000, 2_000_000, "hare-5m", (30, 31, 32), (33, 34), 2.0, Stated(0.0, examples=400, novelty=0.9), 4, leaked=False,
    name="crawl-like-40000",
)  # fmt: skip
# the same once more, from pages that are like the examples; what the sixth tuning chose
LIKE_A_THIRD = Size(
    40_000, 2_000_000, 2_000_000, "hare-5m", (40, 41, 42), (43, 44), 2.0,
    Stated(0.0, examples=400, novelty=0.9, likeness=A_THIRD), 5, leaked=False, name="crawl-like-likeness",
)  # fmt: skip
# more like them, after likeness alone had lain ahead; what the seventh tuning chose
LATEST = Size(
    40_000, 2_000_000, 2_000_000, "hare-5m", (50, 51, 52), (53, 54), 2.0,
    Stated(0.0, examples=400, novelty=0.9, likeness=A_HALF), 6, leaked=False, name="crawl-like-likeness-even",
)  # fmt: skip
NATURAL = POOL15  # the natural pool has the priors of that plan and the next; it stands beside both
PROXY = Size(15_000, 1_000_000, 1_000_000, "hare-1m", (0, 1, 2), (3, 4), 2.0)
SMALL = Size(700, 16_384, 8_192, "hare-1m", (0, 1), (), 2.0, Stated(examples=40))


def main() -> None:
    words = set(sys.argv[1:])
    size = next((size for word, size in {"small": SMALL, **PLANS}.items() if word in words), LATEST)
    posts, web = real_data("reddit_selfposts"), real_data("webcrawl_mix")
    if "tune" in words:
        tune(posts, web, work_only="work" in words)
        return
    if "counts" in words:
        print(counted(posts, web))
        return
    _, unseen = halves(posts)
    plan = confirmatory_plan(size)
    if {"work", "natural"} <= words:
        plan = natural_plan(NATURAL)
        work(natural_material(plan, posts, unseen, NATURAL), _folder(plan, "natural"), plan.cells(), judge=False)
        return
    if "read" in words:
        print(what_is_read(plan, posts, web, unseen, size))
        return
    if "draw" in words:
        draw(plan)
        return
    if "work" in words:
        work(crawl_material(plan, posts, web, unseen, size), _folder(plan, "crawl-like"), urgency(plan), judge=size.leaked)
        return
    if "sum" in words:
        rows = summed()
    else:
        shared, judge = crawl_material(plan, posts, web, unseen, size), experiment.leak_test if size.leaked else None
        result = experiment.conduct(shared, _folder(plan, "crawl-like"), workers=experiment.fitting(plan), leak_test=judge)
        beside = natural(posts, unseen, {SMALL: SMALL, LATEST: NATURAL}[size]) if size in (SMALL, LATEST) else []
        rows = [*measures(result, size), *beside] if size is SMALL else summed()
    told = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
    timed = {profile: told[profile] for profile in MINUTES if profile in told}
    own, runs = (tuple(f"experiment.{profile}_" for profile in some) for some in (timed, MINUTES))
    # the others take an hour, and cells that were trained since don't change them
    rows += [*earlier("experiment", lambda row: row.startswith(runs) and not row.startswith(own)), *minutes(timed)]
    if size is SMALL:
        for row in rows:
            print(f"{row['id']}: {row['value']:.4g} {row['interval'] or ''}  {row['how']}")
    else:
        write_results("experiment", rows)


PLANS = {  # how their rows begin
    "": LATEST, "like33": LIKE_A_THIRD, "pool40": POOL40, "pool15": POOL15, "told": TOLD, "weighted": WEIGHTED, "proxy": PROXY,
}  # fmt: skip


def summed() -> list[dict[str, Any]]:
    """The rows of every plan of which some cells are finished, each under a name of its own.

    The latest plan that has a finished cell needs none. A target stands in one row, that of the latest plan which has measured it;
    the rows of the plans before say whether it was met. Only one plan has the leaked arm, so its rows need no other name. Where no cell of
    a plan is at hand, its rows stay as they are.
    """
    rows, aimed = [], set()
    results = {name: gathered(plan := confirmatory_plan(size), _folder(plan, "crawl-like")) for name, size in PLANS.items()}
    latest = next((name for name, result in results.items() if result), "")
    for plan_name, size in PLANS.items():
        result, name = results[plan_name], "" if plan_name == latest else plan_name
        if not result and plan_name == "" != latest:
            continue  # nothing of it was trained: the rows without a name are of the plan before it
        found = measures(result, size) if result else earlier("experiment", lambda row, name=name: _plan_of(row) == name)
        for row in found:
            measured = row["id"].removeprefix("experiment.").removeprefix(f"{name}_")
            if measured in aimed:  # the table asks it of the plan above; what came of it here is still told
                told = "" if "; the aim was" in row["how"] else _verdict(row, measured)
                row |= {"target": None, "holds": None, "how": row["how"] + told}
            if row["target"] is not None:
                aimed.add(measured)
            row["id"] = f"experiment.{name}_{measured}" if name and not measured.startswith("leaked_") else f"experiment.{measured}"
            rows.append(row)
    natural = gathered(plan := natural_plan(NATURAL), _folder(plan, "natural"))
    return rows + (natural_measures(natural, NATURAL) if natural else earlier("experiment", lambda row: _plan_of(row) == "natural"))


def draw(plan: Plan) -> None:
    """Every arm against random, and the curves that tokens to target are read off; a picture too where there is a browser."""
    result = gathered(plan, _folder(plan, "crawl-like"))
    if result is None:
        sys.exit(f"benchmark: no cell of plan {plan.hash} is finished; train some with `work` first")
    drawn = {"experiment_arms": result.figure()} | ({"experiment_tokens": result.target_figure()} if result.target else {})
    for name, figure in drawn.items():
        page = ROOT / "docs" / "images" / f"{name}.html"
        page.write_text(figures.html(figure), encoding="utf-8")
        if figures.has_browser():
            page.with_suffix(".png").write_bytes(figures.image(figure))
        print(page)


def _verdict(row: dict[str, Any], measured: str) -> str:
    """What a plan's figure says about the aim of that figure; nothing where there is none, or it is not decided."""
    if measured == "bpb_difference":
        met = row["interval"][1] < 0
    elif measured == "tokens_to_target":
        met = row["value"] >= TIMES
    elif measured == "bpb_to_best_single_factor" and (row["value"] > 0 or "not done" not in row["how"]):
        met = row["value"] <= 0
    else:
        return ""
    return f"; the aim was {'met' if met else 'missed'}"


def _plan_of(row: str) -> str:
    """Which plan a row is of, by its name; a timed run of the notebooks stands by itself."""
    if ".leaked_" in row:
        return "told"
    if row.endswith("_natural"):
        return "natural"
    return next((name for name in (*PLANS, *MINUTES) if name and row.startswith(f"experiment.{name}_")), "")


def confirmatory_plan(size: Size) -> Plan:
    """Ours against random, single factors and peers, and the leaked arm, on the crawl-like pool."""
    arms = [Arm("random", crawl=True), Arm("priors", "priors"), *(Arm(m, m) for m in SINGLE), *(Arm(m, m) for m in PEERS)]
    arms += [Arm("likeness-only", "top-likeness")] if size.stated.likeness else []
    arms += [Arm("cleaned"), *([Arm("leaked", crawl=True, leaked=0.3)] if size.leaked else [])]
    arms += [Arm("random-long", crawl=True, budget=size.long)]
    told = f", which name {size.stated.examples} posts of other forums as good," if size.stated.examples else ""
    if size.stated.weighted:
        told += f" give each group of pages as much of the budget as it has of them and weigh novelty by {size.stated.novelty},"
    if size.name:
        told += f" have a floor of {size.stated.floor} and weigh novelty by {size.stated.novelty},"
    told += f" want pages that are at least {size.stated.likeness:.2f} like those," if size.stated.likeness else ""
    of = f" of {size.pages:,} pages" if size.pages > POOL15.pages else ""
    hypothesis = (
        f"On a crawl-like pool{of}, at equal tokens, pages chosen by the priors{told} give fewer bits per byte on clean held-out posts, "
        "macro-averaged over labels, than pages drawn at random."
    )
    name = size.name or ("crawl-like-weighted" if size.stated.weighted else "crawl-like-told" if told else "crawl-like")
    return _plan(name, hypothesis, tuple(arms), size, "confirmatory", size.pool_seed)


def urgency(plan: Plan) -> list[tuple[Arm, int]]:
    """The cells by what the table's first rows need; an order of work, which no result changes.

    Pairs of ours and random seed by seed, so that there is one to compare after each, likeness alone after the pairs of the first seeds.
    """
    pair = ["random", "priors"]
    order = [*pair, "likeness-only", "leaked", "random-long", "diversity-only", "quality-only", *SINGLE[2:], "cleaned", *PEERS]

    def turn(cell: tuple[Arm, int]) -> tuple[int, int, int]:
        name, seed = cell[0].name, cell[1]
        if name in pair:
            return (0 if seed in plan.seeds else 2, seed, pair.index(name))
        return (1 if name == "likeness-only" else 3, order.index(name), seed)

    return sorted(plan.cells(), key=turn)


def work(shared: experiment.Material, folder: Path, order: list[tuple[Arm, int]], *, judge: bool = True) -> None:
    """Train the cells that nobody else trains, on one thread, and say how each ended."""
    torch.set_num_threads(1)
    begin(shared.plan, folder, material=shared.digest)

    def tell(news: workers.News) -> bool:
        if news.finished:
            record = finished(folder, shared.plan, shared.plan.arm(news.arm), news.seed)
            assert record is not None
            told = f"{record['bits_per_byte']:.4f} bits per byte in {record['wall_seconds']:.0f} s"
            print(f"{shared.plan.name} {news.arm} seed {news.seed}: {told}", flush=True)
        return False

    workers.work(shared, folder, tell, order=order, leak_test=experiment.leak_test if judge else None)


def crawl_material(
    plan: Plan, posts: list[dict[str, Any]], web: list[dict[str, Any]], labels: list[str], size: Size
) -> experiment.Material:
    """The pool, prepared; what is held out has left before any step."""
    pool = crawl_pool(posts, web, seed=plan.pool_seed, pages=size.pages, labels=labels)
    data, stated = _prepared(f"{plan.pool_seed}-{size.pages}-{len(labels)}", pool.rows), size.stated
    good = examples(posts, labels, stated.examples) if stated.examples else None
    pages = judged(data, good) if good else data.pages.add_column("quality", data.quality.tolist())
    held = Dataset.from_list([{"id": row["id"], "text": row["text"], "label": row["label"]} for row in pool.held])
    crawl = Dataset.from_list([{"id": row["id"], "text": row["text"]} for row in pool.rows])
    priors, wanted = default().turned(floor=stated.floor, novelty=stated.novelty, likeness=stated.likeness), None
    if good and stated.weighted:
        weights = shares_of(good, data)
        priors = replace(priors, topics=weights)
        wanted = [texts.Topic(group, f"group {group}", "", 1.0, "") for group in weights]
    return experiment.material(
        plan, pages, data.vectors, priors, labels=data.group.tolist(), held=held, held_labels=list(held["label"]), crawl=crawl,
        taxonomy=wanted,
    )  # fmt: skip


def what_is_read(plan: Plan, posts: list[dict[str, Any]], web: list[dict[str, Any]], labels: list[str], size: Size) -> str:
    """A Markdown table of the shares, by characters, of the kinds of pages that each arm of the pool reads with the first seed."""
    shared = crawl_material(plan, posts, web, labels, size)
    pool = crawl_pool(posts, web, seed=plan.pool_seed, pages=size.pages, labels=labels)
    kind_of = {row["text"]: row["kind"] for row in pool.rows}
    kinds = {"web": "web pages", "original": "posts as they are", "copy": "copies of posts", "junk": "junk"}
    lines = [f"| | {' | '.join(kinds.values())} |", "|---" * (len(kinds) + 1) + "|"]
    for arm in (arm for arm in plan.arms if not arm.leaked and arm.budget == 1):
        read = shared.parts(arm, plan.seeds[0])["D1"]["text"][:]
        sizes = {kind: sum(len(text) for text in read if kind_of[text] == kind) for kind in kinds}
        lines.append(f"| {arm.name} | {' | '.join(f'{size / sum(sizes.values()):.0%}' for size in sizes.values())} |")
    return "\n".join([*lines, "", f"without copies {len(shared.pool):,} pages, {int(shared.tokens.sum()):,} tokens"])


def examples(posts: list[dict[str, Any]], labels: list[str], count: int) -> Dataset:
    """What a person who wants such a model would show as good: posts as they are, of other labels than those in the pool."""
    low, high = EXAMPLE
    others = [row for row in posts if row["label"] not in set(labels) and low < len(row["text"] or "") < high]
    drawn = np.random.default_rng(SEED).permutation(len(others))[:count].tolist()
    return Dataset.from_list([{"id": others[at]["id"], "text": others[at]["text"]} for at in drawn])


def shares_of(good: Dataset, data: Prepared) -> dict[str, float]:
    """How many of the examples stand nearest to the middle of each group of pages, and half a one more, so that none is unwanted."""
    groups = np.unique(data.group)
    middles = np.stack([data.vectors[data.group == group].mean(axis=0) for group in groups])
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    nearest = (np.asarray(embedding.embed(good).vectors) @ middles.T).argmax(axis=1)
    counts = np.bincount(nearest, minlength=len(groups)) + 0.5
    return {str(group): float(count) for group, count in zip(groups, counts, strict=True)}


def judged(data: Prepared, good: Dataset) -> Dataset:
    """The pool's pages with quality and likeness by a scorer that learnt from other examples than the bundled ones.

    Kept beside the cells, so that all workers choose by the same figures, to the last digit, wherever they run; another scorer has its own.
    """
    made_of = [data.pages["id"][:], good["id"][:], provenance(("corpus", "embedding", "quality"))]
    known = hashlib.blake2b(json.dumps(made_of).encode(), digest_size=8).hexdigest()
    path = runs_folder() / "benchmark-experiment" / f"judged-{known}.npz"
    if not path.exists():
        table = quality.score(data.pages, data.vectors, default(), good=good, seed=SEED).table
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.stem}.{os.getpid()}.npz")
        np.savez(aside, quality=table["quality"][:], likeness=table["likeness"][:])
        aside.replace(path)
    with np.load(path) as kept:
        return data.pages.add_column("quality", kept["quality"].tolist()).add_column("likeness", kept["likeness"].tolist())


def _prepared(name: str, rows: list[dict[str, Any]]) -> Prepared:
    """The pool prepared, once for all workers and sizes: what it took minutes to find lies beside the cells."""
    path = runs_folder() / "benchmark-experiment" / f"pool-{name}.npz"
    by_id = {row["id"]: row for row in rows}
    if not path.exists():
        data = prepared(rows, deduplicate=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.stem}.{os.getpid()}.npz")
        np.savez(aside, ids=np.array(list(data.pages["id"])), vectors=data.vectors, quality=data.quality, group=np.asarray(data.group))
        aside.replace(path)
    with np.load(path) as kept:
        kept_rows = [by_id[i] for i in kept["ids"].tolist()]
        pages = Dataset.from_list([{name: row[name] for name in ("id", "text", "title", "source")} for row in kept_rows])
        return Prepared(pages, kept["vectors"], kept["quality"], kept["group"], corpus.token_counts(pages["text"]), kept_rows)


def natural_plan(size: Size) -> Plan:
    """Ours against random on posts as they are."""
    hypothesis = "On posts as they are, pages chosen by the priors give fewer bits per byte, macro-averaged over labels, than random pages."
    arms = (Arm("random", crawl=True), Arm("priors", "priors"))
    return _plan(size.name.replace("crawl-like", "natural") or "natural", hypothesis, arms, size, "confirmatory", SEED, more=False)


def natural_material(plan: Plan, posts: list[dict[str, Any]], labels: list[str], size: Size) -> experiment.Material:
    """The posts as they are, no copies or junk planted, no label made rare: is there anything left for priors to do?"""
    own = [row for row in posts if row["label"] in set(labels)]
    order = np.random.default_rng(SEED).permutation(len(own))
    held_size = max(200, size.pages // 20)
    chosen = [own[i] for i in order[: min(NATURAL_PAGES, size.pages) + held_size].tolist()]
    rows = [
        {
            "id": r["id"],
            "text": r["text"],
            "title": str(r["title"] or ""),
            "source": "reddit",
            "label": r["label"],
            "kind": "",
            "copy_of": "",
        }
        for r in chosen
    ]
    held, free = rows[:held_size], rows[held_size:]
    data, stated = _prepared(f"natural-{SEED}-{len(free)}-{len(labels)}", free), size.stated
    good = examples(posts, labels, stated.examples) if stated.examples else None
    pages = judged(data, good) if good else data.pages.add_column("quality", data.quality.tolist())
    return experiment.material(
        plan, pages, data.vectors, default().turned(floor=stated.floor, novelty=stated.novelty, likeness=stated.likeness),
        labels=data.group.tolist(), held=Dataset.from_list([{"id": r["id"], "text": r["text"]} for r in held]),
        held_labels=[r["label"] for r in held], crawl=Dataset.from_list([{"id": r["id"], "text": r["text"]} for r in free]),
    )  # fmt: skip


def natural(posts: list[dict[str, Any]], labels: list[str], size: Size) -> list[dict[str, Any]]:
    """Train on the posts as they are, and compare."""
    plan = natural_plan(size)
    shared = natural_material(plan, posts, labels, size)
    result = experiment.conduct(shared, _folder(plan, "natural"), workers=experiment.fitting(plan))
    return natural_measures(result, size)


def natural_measures(result: experiment.Experiment, size: Size) -> list[dict[str, Any]]:
    """The row of the natural pool."""
    gap = experiment.paired_difference(_of(result, "priors"), _of(result, "random"))
    how = f"ours minus random on {min(NATURAL_PAGES, size.pages):,} posts as they are, {gap.seeds} seeds; {result.verdict}"
    return [
        measure("experiment.bpb_difference_natural", gap.value, interval=(gap.low, gap.high), unit="bits/byte", better="lower", how=how)
    ]


def measures(result: experiment.Experiment, size: Size) -> list[dict[str, Any]]:
    """The rows of the table, from one confirmatory run."""
    gap = experiment.paired_difference(_of(result, "priors"), _of(result, "random"))
    what = f"{size.model}, {size.tokens:,} tokens an arm, sets of {size.set_tokens:,}, a pool of {size.pages:,} pages, labels not tuned on"
    what += f"; the priors name {size.stated.examples} posts of other labels as good" if size.stated.examples else ""
    what += f", a floor of {size.stated.floor}, novelty {size.stated.novelty}" if size.name else ""
    what += f", likeness {size.stated.likeness:.2f}" if size.stated.likeness else ""
    what += (
        f", and weigh each group of pages by how many of them stand nearest to it; novelty {size.stated.novelty}"
        if size.stated.weighted
        else ""
    )
    what += "" if result.complete else f"; so far {len(result.cells)} of {len(confirmatory_plan(size).cells())} planned cells"
    how = f"ours minus random, macro over labels, {gap.seeds} paired seeds, Student's interval, which must leave zero out; {what}"
    span = (gap.low, gap.high)
    first = measure("experiment.bpb_difference", gap.value, target=0.0, better="lower", unit="bits/byte", interval=span, how=how)
    rows = [{**first, "holds": gap.high < 0}]
    means = result.cells.groupby("arm")["bits_per_byte"].mean()
    rows += [
        measure(f"experiment.bpb_{arm.replace('-', '_')}", float(means[arm]), unit="bits/byte", better="lower",
                how=f"mean over seeds, {int((result.cells['arm'] == arm).sum())} in number; the same plan")
        for arm in means.index
    ]  # fmt: skip
    counts, rivals = result.cells["arm"].value_counts(), (*SINGLE, *(["likeness-only"] if size.stated.likeness else []), "cleaned")
    done = [arm for arm in rivals if counts.get(arm, 0) >= len(size.seeds)]
    if done:
        best = min(done, key=lambda arm: means[arm])
        ahead = experiment.paired_difference(_of(result, "priors"), _of(result, best))
        how = f"ours minus {best}, the lowest mean of {', '.join(done)}; {ahead.seeds} paired seeds"
        how += "" if len(done) == len(rivals) else f"; {len(rivals) - len(done)} more arms are not done"
        decided = ahead.value > 0 or len(done) == len(rivals)  # to be ahead of some of them meets no target; to be behind one misses it
        rows.append(
            measure(
                "experiment.bpb_to_best_single_factor", ahead.value, target=0.0 if decided else None, better="lower", unit="bits/byte",
                interval=(ahead.low, ahead.high), how=how,
            )
        )  # fmt: skip
    if early := sooner(result, size.tokens / 2):
        how = f"the same curves read at half the way: tokens that random needs for the loss that ours has after {early.target_tokens:,.0f}"
        edges, how = _as_told(early, how)
        rows.append(measure("experiment.tokens_to_target_half", early.ratio, interval=edges, unit="x", how=how))
    if result.target:
        how = f"tokens that random needs for the loss that ours has after {result.target.target_tokens:,.0f}; constant rate, looks of the "
        edges, how = _as_told(result.target, how + "final decay left out")
        rows.append(measure("experiment.tokens_to_target", result.target.ratio, target=TIMES, interval=edges, unit="x", how=how))
    tasks = [c for c in result.cells.columns if c.startswith("bundled")]
    score = result.cells.assign(score=result.cells[tasks].mean(axis=1))
    told = (
        ("score", "score", "share of right answers"),
        ("delta", "leakage_delta", "points"),
        ("bits_delta", "leakage_bits_delta", "bits/byte"),
    )
    for name, column, unit in told if size.leaked else ():
        both = [dict(zip(part["seed"], part[column], strict=True)) for part in (score[score["arm"] == a] for a in ("leaked", "random"))]
        if not set(both[0]) & set(both[1]):
            continue
        leak = experiment.paired_difference(*both)
        how = f"leaked minus random, {leak.seeds} paired seeds; three in ten tokens of the leaked set are the benchmark; must be above zero"
        row = measure(f"experiment.leaked_{name}", leak.value, target=0.0, interval=(leak.low, leak.high), unit=unit, how=how)
        rows.append({**row, "holds": leak.low > 0})
    return rows


def _as_told(target: experiment.TokensToTarget, how: str) -> tuple[tuple[float, float] | None, str]:
    """The interval, where there is one, and how the figure was taken; a bound has none."""
    if not target.reached:
        return None, f"{how}; not reached: a lower bound"
    how += "; interval: seeds resampled (too narrow with so few, docs/experiment.md)"
    if target.share_reached < 1:
        how += f", of which {target.share_reached:.0%} reach it: the upper end is cut off where the curve ends"
    return (target.low, target.high), how


def sooner(result: experiment.Experiment, tokens: float) -> experiment.TokensToTarget | None:
    """Tokens to target with ours read after so many tokens, and the longest random arm that has a curve; None before both have one."""
    curves = result.curves[result.curves["constant"]]
    curve = lambda arm, most: {  # noqa: E731
        int(seed): [(t, loss) for t, loss in zip(one["tokens"], one["loss"], strict=True) if t <= most]
        for seed, one in curves[curves["arm"] == arm].groupby("seed")
    }
    ours, other = curve("priors", tokens * 1.01), curve("random-long", np.inf) or curve("random", np.inf)
    return experiment.tokens_to_target(ours, other, seed=SEED) if ours and other else None


def tune(posts: list[dict[str, Any]], web: list[dict[str, Any]], *, work_only: bool) -> None:
    """Floors and set sizes on the half of the labels that may be looked at, with a small model and other seeds; prints, writes nothing."""
    seen, _ = halves(posts)
    lines = []
    for trial in TRIED:
        size, plan, cells = tuning_plan(trial)
        folder = _folder(plan, plan.name)
        if any(finished(folder, plan, *cell) is None for cell in cells):
            work(crawl_material(plan, posts, web, seen, size), folder, cells, judge=False)
        if not work_only:
            lines.append(f"{trial.stated}, set {trial.share:.0%} of what is read: {experiment.results(folder).arms()}")
    print("\n".join(lines), flush=True)


def counted(posts: list[dict[str, Any]], web: list[dict[str, Any]]) -> str:
    """A Markdown table: bits per byte of the held-out posts of the last tuning, by n-gram counts of what each choice reads."""
    size, plan, _ = tuning_plan(TRIED[-1])
    shared, seed = crawl_material(plan, posts, web, halves(posts)[0], size), plan.seeds[0]
    asked, starts = training.encode(shared.held["text"], shared.tokenizer)
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in shared.held["text"]]
    told = {"random": shared.parts(Arm("random", crawl=True), seed)}
    told |= {method: shared.parts(Arm(method, method), seed) for method in ("diversity-only", "quality-only", "top-likeness")}
    for least in (0.0, A_THIRD, 0.4, A_HALF, 0.55):
        turned = replace(shared, priors=shared.priors.turned(likeness=least))
        told[f"priors, likeness {least:.2f}"] = turned.parts(Arm("priors", "priors"), seed)
    lines = ["| | bits per byte | tokens |", "|---|---|---|"]
    for name, parts in told.items():
        read, _ = training.encode(parts["D1"]["text"], shared.tokenizer)
        bits = np.add.reduceat(token_bits(read.astype(np.int64), asked.astype(np.int64), len(shared.tokenizer)), starts[:-1])
        found = evaluation.bits_per_byte(pd.DataFrame({"bits": bits, "bytes": sizes, "faithful": True}), shared.groups)
        lines.append(f"| {name} | {found.macro.value:.3f} | {len(read):,} |")
    return "\n".join(lines)


def tuning_plan(trial: Trial) -> tuple[Size, Plan, list[tuple[Arm, int]]]:
    """A trial as a plan; of its cells those that the trial asks for."""
    size = Size(trial.pages, trial.tokens, round(trial.share * trial.tokens), trial.model, trial.seeds, (), 1.0, trial.stated)
    arms = (Arm("random", crawl=True), Arm("priors", "priors"), *(Arm(m, m) for m in trial.arms if m not in ("random", "priors")))
    plan = _plan(trial.name, "none: settings", arms, size, "tuning", TUNED_SEED)
    return size, plan, [cell for cell in plan.cells() if cell[0].name in trial.arms]


def minutes(timed: dict[str, str]) -> list[dict[str, Any]]:
    """Minutes of the notebooks to 10, and of all, by profile: of a run folder that was made on an empty home, or of one made now."""
    rows = []
    for profile, folder in timed.items():
        run = Path(folder) if folder else _fresh_run(profile)
        ends = _ends(run)
        how = f"`hare-lab run --profile {profile}`, empty caches and an empty run folder, notebooks 00 to 10"
        rows.append(measure(f"experiment.{profile}_minutes", ends[10], target=MINUTES[profile], better="lower", unit="minutes", how=how))
        how = "the same and notebook 11"
        rows.append(measure(f"experiment.{profile}_minutes_all", ends[11], better="lower", unit="minutes", how=how))
        if (peak := run.parent / PEAK).exists():
            how = "what all processes of that run held at once at most, notebook 11 included: proportional set sizes, each second"
            value = float(peak.read_text())
            rows.append(measure(f"experiment.{profile}_peak_gib", value, target=MEMORY, better="lower", unit="GiB", how=how))
    return rows


def _fresh_run(profile: str) -> Path:
    """All notebooks as on a machine that never ran them; the folder is left to be looked at."""
    runs_folder().mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f"timed-{profile}-", dir=runs_folder())
    words = [sys.executable, "-m", "hare_lab.cli", "run", "--profile", profile, "--name", "demo"]
    env = {**os.environ, "HARE_LAB_CACHE": f"{folder}/cache", "NUMBA_CACHE_DIR": f"{folder}/numba", "HARE_LAB_RUNS": folder}
    env.pop("PYTHONPATH", None)  # with this folder on it, numba would find its `coverage.py` for the package
    running, peak = subprocess.Popen(words, env=env), 0.0
    while running.poll() is None:
        peak = max(peak, held_by(f"HARE_LAB_RUNS={folder}"))
        time.sleep(1)
    if running.returncode:
        sys.exit(f"benchmark: `hare-lab run --profile {profile}` ended with {running.returncode}; its folder is {folder}")
    (Path(folder) / PEAK).write_text(f"{peak:.3f}")
    return Path(folder) / "demo"


def _ends(run: Path) -> dict[int, float]:
    """Minutes from the start of a run's first notebook to the end of each, as papermill noted them."""
    noted = {
        int(page.name[:2]): json.loads(page.read_text(encoding="utf-8"))["metadata"]["papermill"]
        for page in (run / "notebooks").glob("[0-9]*.ipynb")
    }
    first = min(datetime.fromisoformat(note["start_time"]) for note in noted.values())
    return {number: (datetime.fromisoformat(note["end_time"]) - first).total_seconds() / 60 for number, note in noted.items()}


def _plan(name: str, hypothesis: str, arms: tuple[Arm, ...], size: Size, kind: str, seed: int, *, more: bool = True) -> Plan:
    # A step of 4 rows, 1,024 tokens: so few tokens teach more in many small steps than in few large ones.
    return Plan(
        name=name, hypothesis=hypothesis, kind=kind, arms=arms, seeds=size.seeds, more_seeds=size.more if more else (),
        tokens=size.tokens, set_tokens=size.set_tokens, model=size.model, tasks=("bundled",) if len(arms) > 2 else (),
        looks=12, look_sample=2,
        batch=4, pool_seed=seed,
    )  # fmt: skip


def _folder(plan: Plan, name: str) -> Path:
    return runs_folder() / "benchmark-experiment" / f"{name}-{plan.hash}"


def _of(result: experiment.Experiment, arm: str) -> dict[int, float]:
    mine = result.cells[result.cells["arm"] == arm]
    return {int(s): float(v) for s, v in zip(mine["seed"], mine["bits_per_byte"], strict=True)}


if __name__ == "__main__":
    main()
