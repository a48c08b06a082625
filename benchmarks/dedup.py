"""Are the copies found, and only they? How fast, beside datatrove? About 25 minutes on 2 cores, 10 of them once, for the vectors.

    HARE_LAB_REAL_DATA=FOLDER HARE_LAB_PEERS=FOLDER python benchmarks/dedup.py
    HARE_LAB_REAL_DATA=FOLDER HARE_LAB_PEERS=FOLDER python benchmarks/dedup.py tune    prints what the defaults were chosen by

`HARE_LAB_PEERS` is a folder of virtual environments; datatrove is looked for in `datatrove/` (requirements-peers.txt).

**Near copies.** 20,000 reddit posts of at least 60 words, of which 1,000, drawn by seed, get one edited copy each. A third of the
copies each, in turn:

- a paragraph: with even odds one of the post's paragraphs is removed (at least 5 words, at most half of the post's words), or one of
  20 to 80 words of another post is put between two of its paragraphs, at the start or at the end; always the latter where
  no paragraph can go;
- boilerplate: post and copy stand in different frames, each a header line and a footer line (together 19 to 29 words) of a site;
- words: 3 % of the words, and at least one, are replaced by words of other posts.

Recall: of the planted pairs, those of which not both pages stay. Precision: of the pages that go, those that go for the
page that they were made from (or that was made from them), or for one whose Jaccard similarity of 5-word shingles, computed here and
exactly, is at least the threshold: natural copies are real copies. `dedup.precision_at_07` counts a natural copy only from 0.7 on.

**Semantic copies.** The levels of a OneStop article are copies of one another; two distinct reddit posts (no copies of one another by
`exact` and `near`) are not. Vectors: `embed` as it comes, so of the first 256 tokens of a page.

Half of the posts and half of the articles, drawn by seed, were looked at to choose the measures, the thresholds and datatrove's
bands (`tune`). Everything reported is measured on the other halves, except `dedup.semantic_false_all`.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import interval, measure, ratio, real_data, write_results

POSTS, PLANTED, PAIRS = 20_000, 1_000, 5
HALVES, TUNED_ON, REPORTED = 12_345, 1, 0  # seeds
WORDS_CHANGED = 0.03
HEADERS = (
    "Welcome to the archive of {} where you can browse all {} threads",
    "{} | Home | Forum | {} | Contact us | Search this site",
    "You are reading {} sponsored by {} so subscribe to our weekly newsletter for more",
)
FOOTERS = (
    "Copyright {} and {}. All rights reserved. Do not reproduce without permission.",
    "Share this on {} | Report a problem | Back to {} | Terms of use | Privacy policy",
    "Posted under {}. Tagged {}. Comments are closed. See also related discussions below.",
)
BUCKETS, HASHES = 24, 2  # datatrove's bands: see `tune`
TRIED_BANDS = ((14, 8), (16, 2), (20, 2), (24, 2))
TRIED_NEAR = (0.7, 0.6, 0.5, 0.45, 0.4)
TRIED_SEMANTIC = (0.80, 0.82, 0.84, 0.86)


@dataclass(frozen=True)
class Planted:
    """Texts, the rows of each post and its copy, and the kind of edit."""

    texts: list[str]
    truth: list[tuple[int, int]]
    kinds: list[str]


def main() -> None:
    match sys.argv[1:]:
        case ["datatrove", folder, buckets, hashes]:
            datatrove(Path(folder), int(buckets), int(hashes))
        case ["tune"]:
            tune()
        case []:
            write_results("dedup", [*near_copies(), *semantic_copies()])
        case _:
            sys.exit("benchmark: python benchmarks/dedup.py [tune]")


# --- near copies ---------------------------------------------------------------------------------------------------


def near_copies() -> list[dict[str, Any]]:
    """Precision, recall and speed on the half that was not looked at."""
    from hare_lab.dedup.near_copies import THRESHOLD

    planted = plant([row["text"] for row in halves(posts())[1]], np.random.default_rng(REPORTED))
    kept, claimed = ours(planted.texts, THRESHOLD)
    right, right_07 = judged(planted, claimed, THRESHOLD), judged(planted, claimed, 0.7)
    by_kind = ", ".join(f"{kind} {value:.3f}" for kind, value in recalls(planted, kept).items())
    where = f"{PLANTED:,} planted copies in {POSTS:,} posts not tuned on, threshold {THRESHOLD}"
    with corpus_folder(planted.texts) as folder:
        theirs_kept = run_datatrove(folder, BUCKETS, HASHES)[1]
        timed = [
            (clocks(lambda: ours_from_file(folder, THRESHOLD)), clocks(lambda: run_datatrove(folder, BUCKETS, HASHES)))
            for _ in range(PAIRS)
        ]
    times, work = ([(our[clock], peer[clock]) for our, peer in timed] for clock in range(2))
    value, span = ratio(times)
    their_recall = recall(planted, theirs_kept)
    way = "from a JSONL file to a JSONL file of kept pages, imports not counted"
    return [
        measure("dedup.precision", float(np.mean(right)), target=0.98, interval=interval(right),
                how=f"pages that rightly go, of {len(claimed):,} that go; natural copies by exact Jaccard >= {THRESHOLD}; {where}"),
        measure("dedup.recall", recall(planted, kept), target=0.98, interval=interval(found(planted, kept)), how=f"{where}; {by_kind}"),
        measure("dedup.precision_at_07", float(np.mean(right_07)), interval=interval(right_07),
                how="the same, natural copies counted only from an exact Jaccard of 0.7 on"),
        measure("dedup.speedup", value, interval=span, unit="x", target=3.0,
                how="`near` + `drop` (one process) against datatrove's MinHash (5-grams, "
                    f"{BUCKETS} buckets of {HASHES} hashes, 2 tasks, 2 workers), {way}, {len(planted.texts):,} pages, "
                    f"median of {PAIRS} interleaved pairs"),
        measure("dedup.cpu_ratio", ratio(work)[0], interval=ratio(work)[1], unit="x",
                how="the same runs in processor seconds, which other work on the machine hardly changes; datatrove's include its imports"),
        measure("dedup.recall_datatrove", their_recall,
                how=f"of the configuration timed: the cheapest tried that reaches our recall; {where}"),
        measure("dedup.kept_datatrove", len(theirs_kept), unit="pages", how=f"of {len(planted.texts):,} (ours keeps {len(kept):,}); "
                "datatrove does not verify its candidates"),
        measure("dedup.seconds", float(np.median([our for our, _ in times])), unit="s", how=f"ours, {way}"),
        measure("dedup.seconds_datatrove", float(np.median([peer for _, peer in times])), unit="s", how=f"datatrove, {way}"),
    ]  # fmt: skip


def plant(pool: Sequence[str], rng: np.random.Generator) -> Planted:
    """Posts with one copy of each of a thousand, by the edit model above."""
    texts = [pool[i] for i in rng.permutation(len(pool))[:POSTS].tolist()]
    words = [word for text in texts[:2_000] for word in text.split()]
    spare = [part for text in texts for part in paragraphs(text) if 20 <= len(part.split()) <= 80]
    truth, kinds = [], []
    for number, row in enumerate(rng.permutation(POSTS)[:PLANTED].tolist()):
        kind = ("paragraph", "boilerplate", "words")[number % 3]
        if kind == "paragraph":
            copy = other_paragraph(texts[row], spare, rng)
        elif kind == "boilerplate":
            one, other = rng.permutation(len(HEADERS))[:2].tolist()
            texts[row], copy = framed(texts[row], one, words, rng), framed(texts[row], other, words, rng)
        else:
            copy = other_words(texts[row], words, rng)
        truth.append((row, len(texts)))
        kinds.append(kind)
        texts.append(copy)
    return Planted(texts, truth, kinds)


def paragraphs(text: str) -> list[str]:
    return re.split(r"\n\s*\n", text)


def other_paragraph(text: str, spare: Sequence[str], rng: np.random.Generator) -> str:
    """The text without one of its paragraphs, or with one more."""
    parts, total = paragraphs(text), len(text.split())
    may_go = [place for place, part in enumerate(parts) if 5 <= len(part.split()) <= total / 2]
    if may_go and rng.random() < 0.5:
        del parts[may_go[int(rng.integers(len(may_go)))]]
    else:
        parts.insert(int(rng.integers(len(parts) + 1)), spare[int(rng.integers(len(spare)))])
    return "\n\n".join(parts)


def framed(text: str, site: int, words: Sequence[str], rng: np.random.Generator) -> str:
    one, other = (words[i] for i in rng.integers(len(words), size=2).tolist())
    return f"{HEADERS[site].format(one, other)}\n\n{text}\n\n{FOOTERS[site].format(one, other)}"


def other_words(text: str, words: Sequence[str], rng: np.random.Generator) -> str:
    parts = re.split(r"(\s+)", text)
    places = [place for place in range(0, len(parts), 2) if parts[place]]
    for place in rng.choice(places, max(1, round(WORDS_CHANGED * len(places))), replace=False):
        parts[place] = words[int(rng.integers(len(words)))]
    return "".join(parts)


def found(planted: Planted, kept: set[int]) -> list[bool]:
    return [not (one in kept and other in kept) for one, other in planted.truth]


def recall(planted: Planted, kept: set[int]) -> float:
    return float(np.mean(found(planted, kept)))


def recalls(planted: Planted, kept: set[int]) -> dict[str, float]:
    hits = np.array(found(planted, kept))
    return {kind: float(hits[np.array(planted.kinds) == kind].mean()) for kind in dict.fromkeys(planted.kinds)}


def judged(planted: Planted, claimed: Sequence[tuple[int, int]], threshold: float) -> list[bool]:
    """Which of the pages that go do so rightly."""
    true = {frozenset(pair) for pair in planted.truth}
    return [frozenset(pair) in true or jaccard(*(planted.texts[row] for row in pair)) >= threshold for pair in claimed]


def jaccard(one: str, other: str) -> float:
    """Exact, of the sets of 5-word tuples; written apart from the package's on purpose."""
    sets = []
    for text in (one, other):
        words = re.findall(r"\w+", text.lower())
        sets.append({tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def ours(texts: Sequence[str], threshold: float) -> tuple[set[int], list[tuple[int, int]]]:
    """The rows that stay, and (the row that goes, the row that it goes for)."""
    from hare_lab import dedup

    found = dedup.near(pages(texts), threshold=threshold)
    gone = found.groups[~found.groups["kept"].astype(bool)]
    return set(found.kept_rows(len(texts)).tolist()), [(row, int(by)) for row, by in zip(gone["row"], gone["kept_id"], strict=True)]


def ours_from_file(folder: Path, threshold: float) -> None:
    from hare_lab import dedup

    texts = [json.loads(line)["text"] for part in sorted((folder / "in").glob("*.jsonl")) for line in part.open(encoding="utf-8")]
    before = pages(texts)
    kept, _ = dedup.drop(before, dedup.near(before, threshold=threshold))
    with (folder / "kept.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps({"text": text, "id": id}) + "\n" for text, id in zip(kept["text"][:], kept["id"][:], strict=True))


def pages(texts: Sequence[str]) -> Any:
    """Texts as pages whose ids are their rows, so that a tie falls to the earlier one."""
    from datasets import Dataset

    return Dataset.from_dict({"id": [f"{row:06}" for row in range(len(texts))], "text": list(texts)})


# --- datatrove, in an environment of its own -----------------------------------------------------------------------


def datatrove(folder: Path, buckets: int, hashes: int) -> None:
    """The four stages of datatrove's MinHash example on `folder`, timed; run by the peer's own Python.

    As its example has it, with two choices in its favour: workers start by fork, and what it keeps is written uncompressed.
    """
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.logging import logger

    logger.remove()
    config = MinhashConfig(n_grams=5, num_buckets=buckets, hashes_per_bucket=hashes)
    read = lambda: JsonlReader(str(folder / "in"))  # noqa: E731
    at = lambda name: str(folder / "trove" / name)  # noqa: E731
    stages = (
        (2, [read(), MinhashDedupSignature(at("signatures"), config=config)]),
        (buckets, [MinhashDedupBuckets(at("signatures"), at("buckets"), config=config)]),
        (1, [MinhashDedupCluster(at("buckets"), at("remove"), config=config)]),
        (2, [read(), MinhashDedupFilter(at("remove")), JsonlWriter(at("kept"), compression=None)]),
    )
    start = time.perf_counter()
    for number, (tasks, pipeline) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=2, logging_dir=at(f"logs{number}"), start_method="fork").run()
    (folder / "seconds").write_text(str(time.perf_counter() - start))


def run_datatrove(folder: Path, buckets: int, hashes: int) -> tuple[float, set[int]]:
    """Seconds that datatrove took, and the rows that it keeps."""
    shutil.rmtree(folder / "trove", ignore_errors=True)
    python = Path(os.environ.get("HARE_LAB_PEERS", "")) / "datatrove" / "bin" / "python"
    if "HARE_LAB_PEERS" not in os.environ or not python.exists():
        sys.exit("benchmark: set HARE_LAB_PEERS to a folder with a virtual environment datatrove/ (benchmarks/requirements-peers.txt)")
    work = [str(python), str(Path(__file__).resolve()), "datatrove", str(folder), str(buckets), str(hashes)]
    done = subprocess.run(work, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"benchmark: datatrove failed: {done.stderr[-2000:]}")
    kept = [json.loads(line)["id"] for part in (folder / "trove" / "kept").iterdir() for line in part.open(encoding="utf-8")]
    return float((folder / "seconds").read_text()), {int(id) for id in kept}


def clocks(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock and processor seconds of one call, child processes included; the wall clock that a call returns goes first."""
    used = lambda: sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # noqa: E731
    start, before = time.perf_counter(), used()
    told = work()
    return (told[0] if told else time.perf_counter() - start), used() - before


@contextmanager
def corpus_folder(texts: Sequence[str]) -> Iterator[Path]:
    """The texts as two JSON-lines files, one for each of two workers, shuffled so that the two have as much to do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for part in range(2):
            with (folder / "in" / f"{part}.jsonl").open("w", encoding="utf-8") as out:
                out.writelines(json.dumps({"text": texts[row], "id": f"{row:06}"}) + "\n" for row in range(part, len(texts), 2))
        yield folder


# --- semantic copies -----------------------------------------------------------------------------------------------


def semantic_copies() -> list[dict[str, Any]]:
    """F1 on the articles that were not looked at, false merges on the posts that were not looked at."""
    from hare_lab.dedup.semantic_copies import THRESHOLD

    levels = [row for article in halves(real_articles())[1] for row in article]
    score, pairs_found, pairs_true = pairwise_f1(levels, THRESHOLD)
    windows = pairwise_f1(levels, THRESHOLD, long="windows")[0]
    rows = posts()
    half, everything = false_merges(halves(rows)[1], THRESHOLD), false_merges(rows, THRESHOLD)
    how = "distinct posts that go, in per cent"
    return [
        measure("dedup.semantic_f1", score, target=0.9,
                how=f"pairwise, the levels of a OneStop article as one group, {len(levels)} pages of articles not tuned on, "
                f"threshold {THRESHOLD}; {pairs_found} pairs found, {pairs_true} true"),
        measure("dedup.semantic_f1_windows", windows, how='the same with embed(long="windows")'),
        measure("dedup.semantic_false", half[0], unit="%", target=0.5, better="lower",
                how=f"{how}: {half[2]:,} posts not tuned on; {half[1]:.2f} % stand in a group, those that stay included"),
        measure("dedup.semantic_false_all", everything[0], unit="%", target=0.5, better="lower",
                how=f"{how}: all {everything[2]:,} (half of them tuned on); {everything[1]:.2f} % stand in a group"),
    ]  # fmt: skip


def pairwise_f1(rows: Sequence[dict[str, Any]], threshold: float, long: str = "head") -> tuple[float, int, int]:
    """F1 over pairs of pages in one group, pairs found, pairs that there are."""
    from hare_lab import dedup
    from hare_lab.embedding import embed

    corpus = pages([row["text"] for row in rows])
    found = dedup.semantic(corpus, np.asarray(embed(corpus, long=long).vectors), threshold=threshold)
    group = np.arange(len(rows))
    group[found.groups["row"].to_numpy()] = found.groups["kept_id"].astype(int)
    article = np.array([row["article"] for row in rows])
    above = np.triu_indices(len(rows), 1)
    together = (group[:, None] == group)[above]
    same = (article[:, None] == article)[above]
    return float(2 * (together & same).sum() / (together.sum() + same.sum())), int(together.sum()), int(same.sum())


def false_merges(rows: Sequence[dict[str, Any]], threshold: float) -> tuple[float, float, int]:
    """Per cent of the distinct posts that go, per cent that stand in a group, and how many distinct posts there are."""
    from datasets import Dataset

    from hare_lab import dedup
    from hare_lab.embedding import embed

    corpus = Dataset.from_dict({name: [row[name] for row in rows] for name in ("id", "title", "text")})
    for find in (dedup.exact, dedup.near):
        corpus = dedup.drop(corpus, find(corpus))[0]
    found = dedup.semantic(corpus, np.asarray(embed(corpus).vectors), threshold=threshold)
    return 100 * found.n_removed / len(corpus), 100 * len(found.groups) / len(corpus), len(corpus)


# --- what was looked at --------------------------------------------------------------------------------------------


def tune() -> None:
    """Print what the defaults were chosen by, on the halves that nothing is reported on."""
    planted = plant([row["text"] for row in halves(posts())[0]], np.random.default_rng(TUNED_ON))
    print("| `near` threshold | recall | paragraph | boilerplate | words | pages that go | precision at the threshold | at 0.7 |")
    print("|---|---|---|---|---|---|---|---|")
    for threshold in TRIED_NEAR:
        kept, claimed = ours(planted.texts, threshold)
        kinds = " | ".join(f"{value:.3f}" for value in recalls(planted, kept).values())
        precise = " | ".join(f"{np.mean(judged(planted, claimed, at)):.3f}" for at in (threshold, 0.7))
        print(f"| {threshold} | {recall(planted, kept):.3f} | {kinds} | {len(claimed):,} | {precise} |")
    print("\n| datatrove buckets x hashes | recall | pages that go | seconds |\n|---|---|---|---|")
    with corpus_folder(planted.texts) as folder:
        for buckets, hashes in TRIED_BANDS:
            spent, kept = run_datatrove(folder, buckets, hashes)
            print(f"| {buckets} x {hashes} | {recall(planted, kept):.3f} | {len(planted.texts) - len(kept):,} | {spent:.1f} |")
    levels = [row for article in halves(real_articles())[0] for row in article]
    print("\n| `semantic` threshold | F1, beginnings | F1, windows | distinct posts that go |\n|---|---|---|---|")
    for threshold in TRIED_SEMANTIC:
        scores = " | ".join(f"{pairwise_f1(levels, threshold, long)[0]:.3f}" for long in ("head", "windows"))
        print(f"| {threshold} | {scores} | {false_merges(halves(posts())[0], threshold)[0]:.2f} % |")


def posts() -> list[dict[str, Any]]:
    return real_data("reddit_selfposts")


def real_articles() -> list[list[dict[str, Any]]]:
    """The pages of each OneStop article, articles by name."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in real_data("onestop_english"):
        by_name.setdefault(row["article"], []).append(row)
    return [by_name[name] for name in sorted(by_name)]


def halves(things: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The half that was looked at, and the other."""
    order = np.random.default_rng(HALVES).permutation(len(things)).tolist()
    return [things[i] for i in order[: len(order) // 2]], [things[i] for i in order[len(order) // 2 :]]


if __name__ == "__main__":
    main()
