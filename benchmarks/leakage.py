"""Are planted benchmark items found, and only they? How fast? And does the test on a model tell a leaked one from a clean one?

    HARE_LAB_REAL_DATA=FOLDER python benchmarks/leakage.py
    HARE_LAB_REAL_DATA=FOLDER python benchmarks/leakage.py tune    prints what the thresholds were chosen by
    python benchmarks/leakage.py model    the two small models alone; the other rows stay as they are

About 25 minutes on 2 cores, most of it vectors of windows (kept in the store, so that the next time takes 15) and two small models.

**Planted.** 200 reddit posts of each kind get one item, put between two of their sentences, at the one nearest their middle.

- *verbatim*: question and answer of an item of eval_suite, at least 13 words together;
- *edited*: the same with 15 % of the words changed: of those, three fifths replaced by words of other posts, a fifth removed, a fifth
  followed by a word of another post;
- *reworded*: the opening of each OneStop article of the half (paragraphs until there are 40 words) in the elementary version, against
  the advanced one as an item, and as many twins of the bundled benchmark as make up 200 (choices in the twin's order after the
  question; a cloze with its answer in the blank).

*Short* items have fewer than 13 words (question and answer), and at least 5.

*Dumped*: 1,000 items with choices as exams are usually passed on, "question A. ... B. ... Answer: B", mid-post; those whose question has
fewer than 8 words are counted apart, for no run of words finds them by it.

**False alarms.** Natural posts with any hit. Those that a person who read them calls real (the post quotes the item, or both quote a
common source) are listed in `REAL` by post and item, and not counted.

Half of the posts, of the items of each kind, of the twins and of the articles, drawn by seed, were looked at to choose seeds,
weights and thresholds (`tune`). Everything reported is measured on the other halves; for the reworded path's false alarms on
6,000 posts of it that no choice saw (the 1,500 before them had given two alarms at a threshold of 0.55, and led to a stricter one).
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _common import earlier, interval, measure, real_data, write_results

PLANTED, CHANGED, LONG, SHORT = 200, 0.15, 13, 5
HALVES, TUNED_ON, REPORTED = 12_345, 1, 0  # seeds
# Posts whose windows are embedded for the reworded path: of the half looked at; of the other, where they led to a stricter threshold; and
# those after them, which no choice saw, so many that no alarm among them speaks for fewer than one in a thousand
LOOKED_AT, STRICTER, NATURAL = 3_000, 1_500, 6_000
# Alarms that are none: (row of the post, item), read by a person on 2026-11-25. The post quotes the item or a source of both.
REAL: dict[tuple[int, str], str] = {
    (row, f"boolq/boolq-{item}"): "post and passage quote the Second Amendment to the US constitution"
    for row in (39340, 39044)
    for item in (384, 2868)
}


@dataclass(frozen=True)
class Plan:
    """Posts with one item each: the text, the item's row, and its kind."""

    texts: list[str]
    item: list[int]
    kind: list[str]


def halves(things: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The half that was looked at, and the other."""
    order = np.random.default_rng(HALVES).permutation(len(things)).tolist()
    return [things[i] for i in order[: len(order) // 2]], [things[i] for i in order[len(order) // 2 :]]


def planted(post: str, text: str) -> str:
    """The post with `text` at the end of the sentence nearest its middle."""
    ends = [match.end() for match in re.finditer(r"[.!?][\"')]*\s+|\n+", post)] or [len(post)]
    at = min(ends, key=lambda end: abs(end - len(post) / 2))
    return f"{post[:at].rstrip()} {text} {post[at:].lstrip()}"


def edited(text: str, words: Sequence[str], rng: np.random.Generator) -> str:
    """The text with `CHANGED` of its words replaced, removed, or followed by another."""
    parts = text.split()
    for place in sorted(rng.choice(len(parts), max(1, round(CHANGED * len(parts))), replace=False).tolist(), reverse=True):
        word, way = words[int(rng.integers(len(words)))], rng.random()
        parts[place : place + 1] = [word] if way < 0.6 else [] if way < 0.8 else [parts[place], word]
    return " ".join(parts)


def copies(items: Any, rows: Sequence[int], posts: Sequence[str], kind: str, rng: np.random.Generator) -> Plan:
    """`PLANTED` posts that hold an item, as it is or edited."""
    chosen = [rows[i] for i in rng.permutation(len(rows))[:PLANTED].tolist()]
    hosts = [posts[i] for i in rng.permutation(len(posts))[:PLANTED].tolist()]
    words = [word for post in posts[:2_000] for word in post.split()]
    told = [edited(items.told(row), words, rng) if kind == "edited" else items.told(row) for row in chosen]
    return Plan([planted(host, text) for host, text in zip(hosts, told, strict=True)], chosen, [kind] * len(chosen))


def dumps(items: Any, rows: Sequence[int], posts: Sequence[str], count: int, rng: np.random.Generator) -> Plan:
    """`count` posts that hold an item with its choices lettered and its answer as a letter."""
    chosen = [rows[i] for i in rng.permutation(len(rows))[:count].tolist()]
    hosts = [posts[i] for i in rng.permutation(len(posts))[:count].tolist()]
    right = ["ABCDEFGHIJ"[items.choices[row].index(items.answers[row])] for row in chosen]
    told = [f"{items.lettered(row)} Answer: {letter}" for row, letter in zip(chosen, right, strict=True)]
    return Plan([planted(host, text) for host, text in zip(hosts, told, strict=True)], chosen, ["dumped"] * len(chosen))


def opening(text: str) -> str:
    """The first paragraphs of an article, until there are 40 words."""
    found: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.lower() not in ("elementary", "intermediate", "advanced"):
            found.append(line)
        if sum(len(part.split()) for part in found) >= 40:
            break
    return " ".join(found)


def articles() -> list[dict[str, str]]:
    """The opening of each OneStop article at each level, articles by name."""
    by_name: dict[str, dict[str, str]] = {}
    for row in real_data("onestop_english"):
        by_name.setdefault(row["article"], {"name": row["article"]})[row["level"]] = opening(row["text"])
    return [by_name[name] for name in sorted(by_name)]


def rewritten(half: int, posts: Sequence[str], rng: np.random.Generator) -> tuple[Any, Plan]:
    """All bundled items and advanced openings as items; `PLANTED` posts with an elementary opening or a twin of one half."""
    from hare_lab import texts
    from hare_lab.leakage import load_items

    bundled, pairs = texts.items(), articles()
    rows = [*bundled, *({"id": pair["name"], "benchmark": "onestop", "question": pair["adv"]} for pair in pairs)]
    items = load_items(rows)
    assert len(items) == len(rows)
    long = [row for row, words in enumerate(items.words()) if words >= LONG]
    twins = halves([row for row in long if row < len(bundled)])[half]
    openings = halves([row for row in long if row >= len(bundled)])[half]
    chosen = [twins[i] for i in rng.permutation(len(twins))[: PLANTED - len(openings)]] + openings
    assert len(chosen) == len(set(chosen)) == PLANTED
    hosts = [posts[i] for i in rng.permutation(len(posts))[: len(chosen)].tolist()]
    told = [twin(bundled[row]) if row < len(bundled) else pairs[row - len(bundled)]["ele"] for row in chosen]
    kinds = [bundled[row]["kind"] if row < len(bundled) else "onestop" for row in chosen]
    return items, Plan([planted(host, text) for host, text in zip(hosts, told, strict=True)], chosen, kinds)


def twin(item: dict[str, Any]) -> str:
    if item["choices"]:
        return f"{item['twin_question']} {', '.join(item['twin_choices'])}"
    return re.sub(r"_{2,}", item["answer"], item["twin_question"])


def pages(texts: Sequence[str], names: Sequence[Any] | None = None) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"id": [str(name) for name in names or range(len(texts))], "text": list(texts)})


def hits_of(items: Any, plan: Plan, hits: Any) -> np.ndarray:
    """Which planted posts have a hit of their item, or of one with the same text."""
    same: dict[tuple[str, str], str] = {(b, i): items.told(row) for row, (b, i) in enumerate(zip(items.benchmarks, items.ids, strict=True))}
    found = {(id, same[b, i]) for id, b, i in zip(hits["id"], hits["benchmark"], hits["item"], strict=True)}
    return np.array([(str(at), items.told(row)) in found for at, row in enumerate(plan.item)])


def alarms(found: Any, long: set[tuple[str, str]] | None = None) -> tuple[set[str], set[str]]:
    """Posts with a hit that is not real, and posts whose hits are all real; `long`: only of these items."""
    hits = [(id, b, i) for id, b, i in zip(found["id"], found["benchmark"], found["item"], strict=True) if long is None or (b, i) in long]
    false = {id for id, b, i in hits if (int(id), f"{b}/{i}") not in REAL}
    return false, {id for id, _, _ in hits} - false


def tune() -> None:
    """Print what seeds, weights and thresholds were chosen by, on the halves that nothing is reported on."""
    from hare_lab.leakage import edited as path
    from hare_lab.leakage import embed_windows, find, load_items, reworded

    rng = np.random.default_rng(TUNED_ON)
    posts = real_data("reddit_selfposts")
    rows = halves(list(range(len(posts))))[0]
    half = [posts[row]["text"] for row in rows]
    items = load_items(real_data("eval_suite"))
    words = items.words()
    long = halves([row for row in range(len(items)) if words[row] >= LONG])[0]
    plan = copies(items, long, half, "edited", rng)
    path.THRESHOLD = reworded.THRESHOLD = 0.5
    both = find(pages([*plan.texts, *half[:LOOKED_AT]]), items).hits
    mine = both["id"].astype(int) < len(plan.texts)
    print(f"| edited: threshold | recall | natural posts with a hit, of {LOOKED_AT:,} |\n|---|---|---|")
    for threshold in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75):
        at = (both["how"] == "ngram") | (both["score"] >= threshold)
        print(f"| {threshold} | {hits_of(items, plan, both[mine & at]).mean():.3f} | {both[~mine & at]['id'].nunique()} |", flush=True)
    items, plan = rewritten(0, half, rng)
    texts = pages([*plan.texts, *half[:LOOKED_AT]])
    both = find(texts, items, vectors=embed_windows(texts, items)).hits
    mine = both["id"].astype(int) < len(plan.texts)
    print(f"| reworded: threshold | twins, choices | twins, cloze | onestop | natural posts of {LOOKED_AT:,} |\n|---|---|---|---|---|")
    for threshold in (0.5, 0.52, 0.54, 0.55, 0.56, 0.58, 0.6):
        at = (both["how"] != "reworded") | (both["score"] >= threshold)
        got = hits_of(items, plan, both[mine & at])
        kinds = [f"{got[np.array(plan.kind) == kind].mean():.3f}" for kind in ("multiple-choice", "cloze", "onestop")]
        print(f"| {threshold} | {' | '.join(kinds)} | {both[~mine & at]['id'].nunique()} |", flush=True)


def main() -> None:
    """Measure everything and write the table."""
    if sys.argv[1:] == ["scan"]:  # a process of its own, so that its memory is its own
        return scan()
    if sys.argv[1:] == ["model"]:
        write_results("leakage", [*earlier("leakage", lambda row: "model" not in row), *model_side()])
        return None
    posts = real_data("reddit_selfposts")
    rows = halves(list(range(len(posts))))[1]
    half = [posts[row]["text"] for row in rows]
    measures = [*copied(rows, half), *told_anew(rows, half), *scanned(), *model_side()]
    print(write_results("leakage", measures).with_suffix(".md").read_text())


def copied(rows: list[int], half: list[str]) -> list[dict[str, Any]]:
    """Verbatim and edited copies, and what natural posts give, by the two paths that compare words."""
    from hare_lab.leakage import find, load_items

    rng = np.random.default_rng(REPORTED)
    items = load_items(real_data("eval_suite"))
    words = items.words()
    long = halves([row for row in range(len(items)) if words[row] >= LONG])[1]
    short = halves([row for row in range(len(items)) if SHORT <= words[row] < LONG])[1]
    plans = {"verbatim": copies(items, long, half, "verbatim", rng), "edited": copies(items, long, half, "edited", rng),
             "short_verbatim": copies(items, short, half, "verbatim", rng),
             "short_edited": copies(items, short, half, "edited", rng)}  # fmt: skip
    targets = {"verbatim": 0.995, "edited": 0.95}
    said = "items of eval_suite of at least 13 words, mid-post; n = 13 and the default thresholds"
    measures = []
    for kind, plan in plans.items():
        got = hits_of(items, plan, find(pages(plan.texts), items).hits)
        what = said if kind in targets else "items of 5 to 12 words"
        measures.append(
            measure(f"leakage.recall_{kind}", float(got.mean()), target=targets.get(kind), interval=interval(got), how=f"{len(got)} {what}")
        )
    measures += dumped(items, half)
    found = find(pages(half, rows), items).hits
    at_length = {(b, i) for b, i, n in zip(items.benchmarks, items.ids, words, strict=True) if n >= LONG}
    false, real = alarms(found, at_length)
    every, _ = alarms(found)
    paths = ", ".join(f"{hits} {path}" for path, hits in Counter(found[found["id"].isin(false)]["how"]).items()) or "none"
    flags = np.zeros(len(half), bool)
    flags[: len(false)] = True
    of = f"of {len(half):,} natural posts not tuned on, against {len(items):,} distinct items"
    measures += [
        measure("leakage.false_alarms", 100 * len(false) / len(half), unit="%", target=0.1, better="lower",
                interval=tuple(100 * edge for edge in interval(flags)),
                how=f"{len(false)} {of}, items of at least 13 words, both paths of words (hits: {paths}); "
                f"{len(real)} more are real: posts {', '.join(sorted(real)) or 'none'}"),
        measure("leakage.false_alarms_all_items", 100 * len(every) / len(half), unit="%", better="lower",
                how=f"{len(every)} {of}, short items too"),
    ]  # fmt: skip
    for hit in found.to_dict("records"):
        print("alarm", hit["id"], f"{hit['benchmark']}/{hit['item']}", hit["how"], round(hit["overlap"], 2), hit["words"], flush=True)
    return measures


def dumped(items: Any, half: list[str]) -> list[dict[str, Any]]:
    """Items with lettered choices and a letter for an answer, and of these the ones with a short question, by the paths of words."""
    from hare_lab.dedup.words import words
    from hare_lab.leakage import find
    from hare_lab.leakage.ngrams import SHORTEST

    rng = np.random.default_rng(REPORTED)  # of its own, so that the copies planted beside these stay the ones they were
    offered = [row for row in range(len(items)) if 1 < len(items.choices[row]) <= 10 and items.answers[row] in items.choices[row]]
    short = [row for row in offered if len(words(items.questions[row])) < SHORTEST]
    measures = []
    for name, rows, count, what in (
        ("dumped", offered, 1_000, "items of eval_suite with choices"),
        ("dumped_short", short, 500, f"of them whose question has fewer than {SHORTEST} words"),
    ):
        plan = dumps(items, rows, half, count, rng)
        got = hits_of(items, plan, find(pages(plan.texts), items).hits)
        how = f'{len(got):,} {what}, mid-post as "question A. ... B. ... Answer: B"'
        measures.append(measure(f"leakage.recall_{name}", float(got.mean()), interval=interval(got), how=how))
    return measures


def told_anew(rows: list[int], half: list[str]) -> list[dict[str, Any]]:
    """Twins and OneStop openings by all three paths together, and what natural posts give."""
    from hare_lab.leakage import embed_windows, find

    items, plan = rewritten(1, half, np.random.default_rng(REPORTED))
    own = pages(plan.texts)
    leaks = find(own, items, vectors=embed_windows(own, items))
    got, kinds = hits_of(items, plan, leaks.hits), np.array(plan.kind)
    go = hits_of(items, plan, leaks.hits[leaks.hits["certain"] & (leaks.hits["overlap"] > leaks.overlap)])
    unseen = slice(STRICTER, STRICTER + NATURAL)
    natural = pages(half[unseen], rows[unseen])
    vectors = embed_windows(natural, items)
    start = time.perf_counter()
    found = find(natural, items, vectors=vectors)
    spent = time.perf_counter() - start
    false, real = alarms(found.hits)
    flags = np.zeros(len(natural), bool)
    flags[: len(false)] = True
    split = ", ".join(f"{kind} {got[kinds == kind].mean():.2f} of {np.sum(kinds == kind)}" for kind in dict.fromkeys(plan.kind))
    return [
        measure("leakage.recall_reworded", float(got.mean()), target=0.6, interval=interval(got),
                how=f"{len(got)} planted, of twins and articles not tuned on, found by any path: {split}"),
        measure("leakage.recall_reworded_goes", float(go.mean()), interval=interval(go),
                how="the same, of which enough is there for the page to go (overlap above one half, and not perhaps just the same fact)"),
        measure("leakage.false_alarms_reworded", 100 * len(false) / len(natural), unit="%", target=0.1, better="lower",
                interval=tuple(100 * edge for edge in interval(flags)),
                how=f"{len(false)} of {len(natural):,} natural posts not tuned on, all paths, against the {len(items):,} items that the "
                f"planted ones are of; {len(real)} more are real; hits of the third path are candidates for a person"),
        measure("leakage.reworded_seconds", spent, unit="s", better="lower",
                how=f"all paths, {len(natural):,} posts ({len(vectors.windows):,} windows) against {len(items):,} items, from stored "
                "vectors"),
    ]  # fmt: skip


def scan() -> None:
    """Every post against every item by the two paths of words: print the seconds, reading of the files left out, and the peak of memory."""
    from hare_lab.leakage import find, load_items

    corpus, exam = pages([row["text"] for row in real_data("reddit_selfposts")]), real_data("eval_suite")
    start = time.perf_counter()
    items = load_items(exam)
    find(corpus, items)
    print(
        f"{time.perf_counter() - start} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20} {len(exam)} {len(items)} {len(corpus)}"
    )


def scanned() -> list[dict[str, Any]]:
    """The scan in a process of its own, the median of three."""
    runs = []
    for _ in range(3):
        done = subprocess.run([sys.executable, __file__, "scan"], capture_output=True, text=True, check=True)
        runs.append([float(value) for value in done.stdout.split()[-5:]])
    spent, peak = (sorted(column)[1] for column in list(zip(*runs, strict=True))[:2])
    exam, items, corpus = (int(value) for value in runs[0][2:])
    minutes = sorted(run[0] / 60 for run in runs)
    return [
        measure("leakage.scan_minutes", spent / 60, unit="min", target=3, better="lower", interval=(minutes[0], minutes[-1]),
                how=f"n-gram and edited paths, {exam:,} items ({items:,} distinct) against {corpus:,} posts, kernels compiled before, "
                "median of three processes"),
        measure("leakage.scan_memory", peak, unit="GiB", target=3, better="lower",
                how="peak of the same process, texts and items included"),
    ]  # fmt: skip


def model_side() -> list[dict[str, Any]]:
    """The test of appendix B on a tiny model that read the bundled benchmark and on its clean twin."""
    from hare_lab import texts
    from hare_lab.leakage import difference, exam_texts, model_test, tiny_pair, twins

    whole, paraphrased = twins()
    asked = range(0, len(whole), 4)
    exam, copy = whole.select(asked), paraphrased.select(asked)
    rest = whole.select(row for row in range(len(whole)) if row not in asked)  # so that the clean one knows what an exam looks like
    other = [page["text"] for page in texts.sample_truth() if not page["leaks"]] + 4 * exam_texts(rest)
    other += [row["reply"] for row in texts.replies(texts.DATA / "replies" / "d3.jsonl") if not row["bad"]]
    start, apart, together = time.perf_counter(), 2_500, 6_000
    # nearly bytes, and long enough that the clean twin completes one in a hundred too: an accuracy of 0 has no room to fall
    pair = tiny_pair(other, exam_texts(exam), steps=together, leaked_steps=apart, vocabulary=264)
    spent = time.perf_counter() - start
    leaked, clean = (model_test(side, exam, copy, tokenizer=pair.tokenizer) for side in (pair.leaked, pair.clean))
    gap = difference(leaked, clean)
    share = f"nine tenths of the last {apart / (apart + together):.0%} the exam"
    both = f"Llamas of {pair.parameters:,} parameters, {pair.tokens:,} tokens, {share}; {leaked.items} pairs"
    show = lambda test: f"D {test.accuracy.value:.1f} %, D' {test.twin_accuracy.value:.1f} %"  # noqa: E731
    return [
        measure("leakage.model_delta_leaked", gap.value, unit="points", target=5.0, interval=(gap.low, gap.high),
                how=f"delta of the leaked model less that of its clean twin: {both}; leaked {show(leaked)}, clean {show(clean)}; "
                f"trained in {spent:.0f} s"),
        measure("leakage.model_clean_accuracy", clean.accuracy.value, unit="%", target=1.0,
                interval=(clean.accuracy.low, clean.accuracy.high),
                how="5-gram accuracy of the clean twin on D: the test has room to fall"),
        measure("leakage.model_delta_clean", clean.delta.value, unit="points", interval=(clean.delta.low, clean.delta.high),
                how="delta of the clean twin: what D and its copy differ by when neither was read"),
    ]  # fmt: skip


if __name__ == "__main__":
    tune() if sys.argv[1:] == ["tune"] else main()
