"""Is the chosen set diverse and good at once, does it follow the priors, and how long does choosing take?

    HARE_LAB_REAL_DATA=FOLDER python benchmarks/curation.py
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/curation.py tune    prints what the defaults were chosen by

About 15 minutes on 2 cores, and 15 more where the store lacks the vectors of copies and junk.

**The pool** is made crawl-like (`crawl_pool.py`): 15,000 pages, of which 30 % are near-copies and 12 % junk, labels falling as 1/rank. It
goes through the workbench's own steps: exact, near and semantic copies, quality, and clusters as topics, all wanted equally. No step
sees a label. Every method then chooses 10 % of the pool's tokens, from what deduplication left (so the peers are helped by it)
and, for the peers, from the pool as it was crawled.

**Diversity**: Hill number of order 1 of the posts' labels, by tokens. Crawled pages and junk have no label and don't count.
**Judged quality**: the mean by token of a judge's score, nothing for junk and for a page of which a copy is in the set. The judge (words
and pairs of words, TF-IDF, logistic regression) has learnt from the human votes of dclm_human_quality_dev, which our scorer has not. It
reads the first 200 words of a page: those votes follow length, and a set of the longest pages is not what is meant by a good one.

Half of the labels, drawn by seed, were looked at to choose the defaults (`tune`); what is reported is of a pool from the other half,
`curation.*_all` of all labels.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _common import measure, real_data, write_results
from crawl_pool import Pool, crawl_pool

HALVES, TUNED_SEED, SEED, SEEDS = 12_345, 1, 0, (0,)
HALF_PAGES, PAGES, NATURAL = 9_000, 15_000, 6_000
SHARE = 0.10
READ = 200  # words of a page that the judge reads
SIZES = (50_000, 100_000, 200_000, 400_000, 1_000_000)
PRIORS = {
    "even": {},
    "sciences": {"astronomy": 6.0, "geology": 6.0, "physics": 6.0, "biology": 6.0, "mathematics": 6.0, "oceanography": 6.0},
    "home": {"cooking": 10.0, "gardening": 5.0, "woodworking": 5.0, "home-repair": 5.0, "pets": 5.0},
}
FOLLOWED = 150_000  # tokens of the sets that are to follow them


# --- the pool through the workbench's own steps ------------------------------------------------------------------------


@dataclasses.dataclass
class Prepared:
    """Pages that are left, their vectors, quality, cluster and tokens, and what is known of them."""

    pages: Any
    vectors: np.ndarray
    quality: np.ndarray
    group: np.ndarray
    tokens: np.ndarray
    truth: list[dict[str, Any]]


def prepared(rows: list[dict[str, Any]], *, deduplicate: bool) -> Prepared:
    """Rows of a pool through deduplication (if asked), embedding, quality and clustering."""
    from datasets import Dataset

    from hare_lab import clustering, corpus, dedup, embedding, quality
    from hare_lab.priors import default

    priors = default()
    pages = Dataset.from_list([{name: row[name] for name in ("id", "text", "title", "source")} for row in rows])
    vectors = np.asarray(embedding.embed(pages).vectors)
    if deduplicate:
        for find in (
            lambda pages, _: dedup.exact(pages),
            lambda pages, _: dedup.near(pages, threshold=priors.duplication.near),
            lambda pages, vectors: dedup.semantic(pages, vectors, threshold=priors.duplication.semantic),
        ):
            copies = find(pages, vectors)
            vectors = vectors[copies.kept_rows(len(pages))]
            pages, _ = dedup.drop(pages, copies)
    known = {row["id"]: row for row in rows}
    scored = quality.score(pages, vectors, priors, seed=SEED)
    return Prepared(
        pages, vectors, np.asarray(scored.table["quality"]), clustering.cluster(vectors, seed=SEED).nearest_cluster,
        corpus.token_counts(pages["text"]), [known[page] for page in pages["id"]],
    )  # fmt: skip


def halves(posts: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The labels that were looked at, and the others."""
    labels = sorted({post["label"] for post in posts})
    order = [labels[at] for at in np.random.default_rng(HALVES).permutation(len(labels)).tolist()]
    return order[: len(order) // 2], order[len(order) // 2 :]


# --- what is measured --------------------------------------------------------------------------------------------------


class Judge:
    """How good a page is by words that people's votes on web pages teach; knows nothing of our features or reference pages."""

    def __init__(self) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        rows = real_data("dclm_human_quality_dev")
        self.model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            LogisticRegression(C=10, class_weight="balanced", max_iter=2_000),
        )
        self.model.fit(self._beginnings(row["text"] for row in rows), [int(row["label"]) for row in rows])

    def __call__(self, texts: list[str]) -> np.ndarray:
        return np.asarray(self.model.predict_proba(self._beginnings(texts))[:, 1])

    @staticmethod
    def _beginnings(texts: Iterable[str]) -> list[str]:
        return [" ".join(text.split()[:READ]) for text in texts]


def judged(chosen: np.ndarray, data: Prepared, scores: np.ndarray) -> dict[str, float]:
    """Diversity and quality of a choice, by what no method sees."""
    from hare_lab.diversity import effective_number

    shares: dict[str, float] = {}
    models: set[str] = set()
    worth = np.zeros(len(chosen))
    junk = copies = 0
    for at, row in enumerate(chosen.tolist()):
        page = data.truth[row]
        model = page["copy_of"] or page["id"]
        if page["kind"] == "junk":
            junk += 1
        elif model in models:
            copies += 1
        else:
            models.add(model)
            worth[at] = scores[row]
        if page["kind"] in ("original", "copy"):
            shares[page["label"]] = shares.get(page["label"], 0.0) + float(data.tokens[row])
    tokens = data.tokens[chosen]
    return {
        "labels": effective_number(list(shares.values())), "quality": float(np.average(worth, weights=tokens)) if len(chosen) else 0.0,
        "junk": junk / max(len(chosen), 1), "copies": copies / max(len(chosen), 1), "tokens": int(tokens.sum()), "pages": len(chosen),
    }  # fmt: skip


def every_method(data: Prepared, budget: int, judge: Judge, priors: Any = None, methods: Any = None) -> dict[str, dict[str, float]]:
    """Each method's choice at one budget, judged; all in one run."""
    from hare_lab import curation
    from hare_lab.curation.choose import LIKENESS
    from hare_lab.priors import Priors

    scores = judge(list(data.pages["text"]))
    found = {}
    for method in methods or [method for method in curation.METHODS if method != LIKENESS]:  # no pages are named as good here
        start = time.perf_counter()
        given = {"topic": data.group, "quality": data.quality, "tokens": data.tokens}
        choice = curation.curate(data.pages, data.vectors, priors or Priors(), budget=budget, method=method, seed=SEED, **given)
        found[method] = judged(choice.rows, data, scores) | {"seconds": time.perf_counter() - start}
    return found


def dominated(found: dict[str, dict[str, float]], ours: dict[str, float]) -> list[str]:
    """Peers that are at least as good on both."""
    return [m for m, f in found.items() if m not in OWN and f["labels"] >= ours["labels"] and f["quality"] >= ours["quality"]]


OWN = ("priors", "diversity-only", "quality-only")


def table_of(found: dict[str, dict[str, float]]) -> str:
    return "; ".join(f"{name} {f['labels']:.1f} / {f['quality']:.3f}" for name, f in found.items())


@dataclasses.dataclass
class Contest:
    """One pool: what every method chose from it, deduplicated and as crawled."""

    pool: Pool
    left: int
    budget: int
    found: dict[str, dict[str, float]]
    raw: dict[str, dict[str, float]]

    @property
    def ours(self) -> dict[str, float]:
        return self.found["priors"]

    @property
    def peers(self) -> dict[str, dict[str, float]]:
        return {name: f for name, f in self.found.items() if name not in OWN}

    def ahead(self) -> list[str]:
        return dominated(self.found, self.ours) + [f"{name} on the pool as crawled" for name in dominated(self.raw, self.ours)]

    def to_balanced(self) -> float:
        return self.ours["labels"] / self.found["cluster-balanced"]["labels"]

    def to_top(self) -> float:
        return self.ours["quality"] / max(self.found["top-quality"]["quality"], self.raw["top-quality"]["quality"])


def contest(pool: Pool, judge: Judge) -> Contest:
    crawled, clean = prepared(pool.rows, deduplicate=False), prepared(pool.rows, deduplicate=True)
    budget = round(SHARE * int(crawled.tokens.sum()))
    return Contest(pool, len(clean.pages), budget, every_method(clean, budget, judge), every_method(crawled, budget, judge))


def against_peers(posts: list[dict[str, Any]], web: list[dict[str, Any]], judge: Judge) -> list[dict[str, Any]]:
    """Pools of the labels not looked at, by each of SEEDS; that of all labels; the natural pool."""
    _, reported = halves(posts)
    drawn = [contest(crawl_pool(posts, web, seed=seed, pages=HALF_PAGES, labels=reported), judge) for seed in SEEDS]
    every = [contest(crawl_pool(posts, web, seed=SEED, pages=PAGES), judge)]
    return [
        *compared("", drawn, f"labels not looked at, {len(SEEDS)} pool{'s' if len(SEEDS) > 1 else ''}"),
        *compared("_all", every, "all 162 labels, half of which were looked at"),
        *compared("_natural", [contest(natural(posts), judge)], "posts as they come, 300 a label but for chance", bound=False),
    ]


def compared(suffix: str, contests: list[Contest], where: str, *, bound: bool = True) -> list[dict[str, Any]]:
    """The rows of pools of one kind: medians over them, with the lowest and the highest; tables are of the first."""
    first = contests[0]
    how = (
        f"{len(first.pool.rows):,} pages ({where}), {first.left:,} after deduplication, {first.budget:,} bytes; target: 0.9 of "
        f"cluster-balanced; labels / judged quality: {table_of(first.found)}"
    )

    def row(name: str, of: Any, **more: Any) -> dict[str, Any]:
        values = [float(of(one)) for one in contests]
        span = (min(values), max(values)) if len(values) > 1 else None
        more["target"] = more.get("target") if bound else None
        return measure(f"curation.{name}{suffix}", float(np.median(values)), interval=span, **more)

    def middle(of: Any) -> float:
        return float(np.median([of(one) for one in contests]))

    ahead = sorted({name for one in contests for name in one.ahead()})
    return [
        row("effective_labels", lambda one: one.ours["labels"], unit="labels", how=how,
            target=0.9 * middle(lambda one: one.found["cluster-balanced"]["labels"])),
        row("judged_quality", lambda one: one.ours["quality"],
            how="target: 0.9 of top quality; on the pool as crawled: " + table_of(first.raw),
            target=0.9 * middle(lambda one: max(one.found["top-quality"]["quality"], one.raw["top-quality"]["quality"]))),
        row("peers_ahead", lambda one: len(one.ahead()), target=0, better="lower",
            how=f"peers at least as good on both, deduplicated or not{': ' + ', '.join(ahead) if ahead else ''}"),
        row("labels_to_balanced", Contest.to_balanced, target=0.9, how="ours / cluster-balanced on the same deduplicated pool"),
        row("quality_to_top", Contest.to_top, target=0.9, how="ours / top quality, the better of its two pools"),
        row("junk", lambda one: one.ours["junk"], unit="of pages", better="lower",
            how="junk in our set; in the peers': " + ", ".join(f"{name} {f['junk']:.3f}" for name, f in first.peers.items())),
        row("copies", lambda one: one.ours["copies"], unit="of pages", better="lower",
            how="pages of which another copy is in the set; the peers' on the pool as crawled: "
                + ", ".join(f"{name} {f['copies']:.3f}" for name, f in first.raw.items() if name not in OWN)),
        row("budget_error", lambda one: 100 * abs(one.ours["tokens"] / one.budget - 1), unit="%", target=0.5, better="lower",
            how="of the same sets"),
    ]  # fmt: skip


def natural(posts: list[dict[str, Any]]) -> Pool:
    """Posts as they come, equally many of each label but for chance."""
    order = np.random.default_rng(SEED).permutation(len(posts))[:NATURAL].tolist()
    rows = [
        {"id": f"original-{post['id']}", "text": post["text"], "title": str(post.get("title") or ""), "source": "reddit",
         "label": post["label"], "kind": "original", "copy_of": ""}
        for post in (posts[at] for at in order)
    ]  # fmt: skip
    return Pool(rows, [])


def tune() -> None:
    """What the defaults were chosen by: weights of novelty, on a pool of the labels that were looked at."""
    from hare_lab.priors import Priors

    posts, web = real_data("reddit_selfposts"), real_data("webcrawl_mix")
    looked_at, _ = halves(posts)
    pool = crawl_pool(posts, web, seed=TUNED_SEED, pages=HALF_PAGES, labels=looked_at)
    data, judge = prepared(pool.rows, deduplicate=True), Judge()
    budget = round(SHARE * sum(len(row["text"].encode()) for row in pool.rows))
    for name, found in every_method(data, budget, judge).items():
        print(name, {key: round(value, 3) for key, value in found.items()})
    for novelty in (0.2, 0.35, 0.5, 0.65, 0.8):
        found = every_method(data, budget, judge, Priors().turned(novelty=novelty), ["priors"])["priors"]
        print("novelty", novelty, {key: round(value, 3) for key, value in found.items()})


# --- the priors, the leaks, the time -----------------------------------------------------------------------------------


def follows() -> list[dict[str, Any]]:
    """Three priors on the demo: is the composition theirs where the pages allow, and is a leak kept?"""
    from hare_lab import curation, texts
    from hare_lab.preparing import prepare_corpus
    from hare_lab.priors import default

    priors = default()
    ready = prepare_corpus("demo", priors, seed=SEED, limit=1_800)
    taxonomy = texts.taxonomy(priors.find(priors.taxonomy))
    worst, said, leaks = 0.0, [], 0
    for name, weights in PRIORS.items():
        tuned = dataclasses.replace(priors, topics=weights)
        choice = curation.curate(ready.pages, ready.vectors, tuned, taxonomy=taxonomy, budget=FOLLOWED)
        report = choice.report.topics
        feasible = allowed(report["wanted"].to_numpy(), report["available_tokens"].to_numpy(), FOLLOWED)
        points = 100 * float(np.abs(report["after"].to_numpy() - feasible).max())
        full = (report["gap_tokens"] > 0).sum()
        worst = max(worst, points)
        said.append(f"{name} {points:.2f} ({full} topics with too few pages)")
        leaks += int((choice.choices["kept"] & np.array(ready.pages["leaked"])).sum())
    how = f"greatest difference of a topic's share from the nearest that the pages allow, in points; {'; '.join(said)}; demo, "
    return [
        measure("curation.follows_priors", worst, unit="points", target=2.0, better="lower", how=how + f"{len(ready.pages):,} pages"),
        measure("curation.leaked_kept", leaks, target=0, better="lower",
                how=f"of {int(np.sum(ready.pages['leaked']))} leaked pages of the demo, in the three sets"),
    ]  # fmt: skip


def allowed(wanted: np.ndarray, available: np.ndarray, budget: int) -> np.ndarray:
    """The nearest feasible shares, by handing out the budget token by token (in a thousand parts); written apart from the package's."""
    given = np.zeros(len(wanted))
    for _ in range(20_000):
        ratio = np.where((wanted > 0) & (given < available), given / np.maximum(wanted, 1e-12), np.inf)
        if not np.isfinite(ratio).any():
            break
        given[int(ratio.argmin())] += budget / 20_000
    return given / given.sum()


def timed(size: int) -> dict[str, float]:
    """Seconds and peak memory of one choice among `size` prepared pages, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "time", str(size)], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def time_one(size: int) -> None:
    """Vectors on disk to a choice: 384 numbers a page around 2,000 centres, 37 topics whose sizes fall as 1/rank."""
    from datasets import Dataset

    from hare_lab import curation
    from hare_lab.priors import Priors

    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(size, 384))
        centres, topic = rng.normal(size=(2_000, 384)).astype(np.float32), np.zeros(size, np.int64)
        shares = 1 / np.arange(1, 38)
        of_centre = rng.choice(37, 2_000, p=shares / shares.sum())
        for low in range(0, size, 20_000):
            count = min(20_000, size - low)
            which = rng.integers(2_000, size=count)
            part = centres[which] + rng.normal(size=(count, 384)).astype(np.float32)
            vectors[low : low + count] = part / np.linalg.norm(part, axis=1, keepdims=True)
            topic[low : low + count] = of_centre[which]
        vectors.flush()
        del vectors
        ready = np.load(path, mmap_mode="r")
        pages = Dataset.from_dict({"id": [f"page-{row}" for row in range(size)]})
        tokens, quality = rng.integers(200, 4_000, size), rng.random(size)
        start = time.perf_counter()
        choice = curation.curate(pages, ready, Priors(), topic=topic, quality=quality, tokens=tokens, budget=int(SHARE * tokens.sum()))
        spent = time.perf_counter() - start
        error = 100 * abs(choice.report.tokens / choice.report.budget - 1)
        peak = peak_gib()
    print(json.dumps({"seconds": spent, "peak_gib": peak, "error": error}))


def peak_gib() -> float:
    """Largest resident memory of this program; `getrusage` would count that of the one which started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes on macOS


def speed() -> list[dict[str, Any]]:
    """The main size five times, then the curve."""
    main_size = [timed(48_600) for _ in range(5)]
    rounds = [{size: timed(size) for size in SIZES} for _ in range(3)]  # interleaved, so that a drift of the machine falls on all sizes
    curve = {size: sorted((found[size] for found in rounds), key=lambda one: one["seconds"])[1] for size in SIZES}
    logs = np.log([[size, found["seconds"]] for size, found in curve.items()])
    exponent = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
    seconds = [found["seconds"] for found in main_size]
    points = ", ".join(f"{size:,}: {found['seconds']:.1f} s" for size, found in curve.items())
    made = "synthetic vectors of 384 numbers on disk, 37 topics falling as 1/rank, 10 % of the tokens chosen"
    return [
        measure("curation.seconds", float(np.median(seconds)), interval=(min(seconds), max(seconds)), unit="s", target=60, better="lower",
                how=f"`curate` of 48,600 prepared pages, a reason for each included; {made}; median of 5 processes"),
        measure("curation.peak_gib", max(found["peak_gib"] for found in main_size), unit="GiB", target=3.0, better="lower",
                how="largest resident memory of those processes, imports and mapped vectors included"),
        measure("curation.exponent", exponent, target=1.1, better="lower",
                how=f"slope of log seconds on log pages, medians of 3 processes each, interleaved; {made}; {points}"),
        measure("curation.peak_gib_million", curve[SIZES[-1]]["peak_gib"], unit="GiB", better="lower",
                how=f"the same at {SIZES[-1]:,} pages, of which {SIZES[-1] * 384 * 4 / 2**30:.1f} are the mapped vectors"),
    ]  # fmt: skip


def main() -> None:
    match sys.argv[1:]:
        case ["time", size]:
            time_one(int(size))
        case ["tune"]:
            tune()
        case []:
            judge = Judge()
            posts, web = real_data("reddit_selfposts"), real_data("webcrawl_mix")
            print(write_results("curation", [*against_peers(posts, web, judge), *follows(), *speed()]).with_suffix(".md").read_text())
        case _:
            sys.exit("benchmark: python benchmarks/curation.py [tune]")


if __name__ == "__main__":
    main()
