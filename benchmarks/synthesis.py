"""Do the filters find what is bad, does the text close the gaps, and is anything lost or paid twice? About 3 minutes on 2 cores.

    python benchmarks/synthesis.py

The recorded replies against the demo of the small profile; faults that a program plants in the good ones; and a real
`transformers serve` process on loopback that dies, comes back and misbehaves.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import measure, write_results

from hare_lab import corpus, coverage, dedup, embedding, leakage, priors, quality, texts
from hare_lab.corpus.pages import token_counts
from hare_lab.priors import DATA
from hare_lab.synthesis import (
    Context,
    Endpoint,
    Replay,
    Request,
    RequestCache,
    Sample,
    Settings,
    Thresholds,
    context,
    judge,
    parse,
    synthesize,
    twins,
)
from hare_lab.synthesis import measure as looked_at

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from serving import Served, opened, tiny_model

PAGES, BUDGET, SHARES = 1_800, 250_000, {"D2": 70.0, "D3": 30.0}
RARE = {"astronomy", "beekeeping", "chess", "geology", "oceanography"}
REASON_OF = {
    "copied-seed": "copy of the seed", "refusal": "refusal", "wrong-json": "schema", "two-right-answers": "two right answers",
    "off-topic": "off topic", "leaked-item": "leaked", "near-duplicate": "near-duplicate", "template-residue": "template residue",
}  # fmt: skip


def main() -> None:
    pages, vectors = demo()
    reference = coverage.from_taxonomy(texts.taxonomy(), priors.default().topics)
    covered = coverage.cover(pages, vectors, reference)
    scorer = quality.score(pages, vectors, priors.default()).scorer
    where = context(pages, vectors, priors.default(), placed=list(covered.placed["topic"]), score=scorer.score)
    rows = [row for name in ("d2", "d3") for row in texts.replies(DATA / "replies" / f"{name}.jsonl")]
    samples = [sample_of(row, where) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        found = [*labelled(rows, samples, where), *planted(rows, samples, where), *gaps(covered.gaps, where), served(Path(folder))]
    write_results("synthesis", found)


def demo() -> tuple[Any, np.ndarray]:
    """The demo's pages, cleaned and without copies, and their vectors."""
    settings = priors.default()
    pages = corpus.clean(corpus.load("demo", limit=PAGES).pages, settings).pages
    for copies in (dedup.exact, lambda p: dedup.near(p, threshold=settings.duplication.near)):
        pages, _ = dedup.drop(pages, copies(pages))
    return pages, np.asarray(embedding.embed(pages).vectors)


def sample_of(row: dict[str, Any], where: Context) -> Sample:
    """A recorded reply with the prompt that it answers, as the filters see it: without its label."""
    topic = next(topic for topic in where.topics if topic.id == row["topic"])
    template, seed = where.prompts.templates[row["kind"]], f"sample#{row['seed']}"
    values = {
        "topic": topic.name, "description": topic.description, "audience": where.prompts.audiences[row["audience"]],
        "style": where.prompts.styles[row["style"]],
    }  # fmt: skip
    prompt = template.fill(values, where.pages[seed])
    asked = Request(row["topic"], row["task"], row["kind"], row["audience"], row["style"], seed, prompt, template.words)
    return parse(asked, row["reply"])


def reasons_of(samples: Sequence[Sample], where: Context) -> list[str]:
    """Why each goes, "" for those that stay."""
    return [reason for reason, _ in judge(samples, looked_at(samples, where), twins(samples), Thresholds.of(where.priors))]


def labelled(rows: list[dict[str, Any]], samples: list[Sample], where: Context) -> list[dict[str, Any]]:
    """The replies that were made bad on purpose, each for its own reason, and the good ones."""
    anew = replace(where, embed=lambda lines: np.asarray(embedding.embed(list(lines), store=False).vectors))
    start = time.perf_counter()
    reasons = reasons_of(samples, anew)
    seconds = time.perf_counter() - start
    place = {row["id"]: at for at, row in enumerate(rows)}
    original = {row["about"] for row in rows if row["bad"] == "near-duplicate"}

    def went(row: dict[str, Any]) -> bool:
        mine = {reasons[place[row["id"]]]}
        if row["bad"] == "near-duplicate":  # nothing says which of two alike is the copy
            mine.add(reasons[place[row["about"]]])
        return REASON_OF[row["bad"]] in mine

    bad = [row for row in rows if row["bad"]]
    good = [row for row in rows if not row["bad"] and row["id"] not in original]
    unseen = lambda some: [row for row in some if int(row["id"].partition("-")[2]) % 2]  # noqa: E731
    stays = lambda some: float(np.mean([not reasons[place[row["id"]]] for row in some]))  # noqa: E731
    least = min(np.mean([went(row) for row in bad if row["bad"] == fault]) for fault in REASON_OF)
    each = f"the least of the eight faults; {len(bad)} replies made bad on purpose, each rejected for its own reason; of two alike, either"
    half = (
        "the replies with odd ids; thresholds come from the even ones. The first run here missed 5 of 20; three filters and the "
        "topic threshold were "
    )
    return [
        measure("synthesis.bad_rejected", float(least), target=1.0, how=each),
        measure("synthesis.bad_rejected_other_half", float(np.mean([went(row) for row in unseen(bad)])), target=1.0,
                how=half + "then changed (docs/synthesis.md), so this is no longer blind: the planted faults are"),
        measure("synthesis.good_accepted", stays(good), target=0.95, how=f"{len(good)} good replies; {len(where.pages):,} demo pages"),
        measure("synthesis.good_accepted_other_half", stays(unseen(good)), target=0.95, how="the replies with odd ids, as above"),
        measure("synthesis.filter_seconds", seconds, unit="s", better="lower",
                how=f"{len(samples)} replies against {len(where.pages):,} pages, the vectors of replies made anew"),
    ]  # fmt: skip


def planted(rows: list[dict[str, Any]], samples: list[Sample], where: Context) -> list[dict[str, Any]]:
    """Faults that a program makes of the good replies: nobody has looked at these, and nothing was set on them."""
    rng = np.random.default_rng(0)
    good = [sample for row, sample in zip(rows, samples, strict=True) if not row["bad"]]
    long, items = ([s for s in good if s.request.task == task] for task in ("D2", "D3"))
    bench = [item for item in texts.items() if len(item["question"].split()) >= 12]
    pool = [page["text"] for page in texts.sample_truth() if page["topic"] not in RARE and page["tier"] == "reference"]
    drawn = lambda some: some[int(rng.integers(len(some)))]  # noqa: E731

    def other_topic(sample: Sample) -> Sample:
        return parse(sample.request, drawn([o for o in long if o.request.topic != sample.request.topic]).reply)

    def other_page(sample: Sample) -> Sample:
        text = drawn(pool)
        return replace(parse(sample.request, text), text=text)

    def leaked(sample: Sample) -> Sample:
        item, sentences = drawn(bench), re.split(r"(?<=[.!?])\s", sample.reply)
        sentences.insert(len(sentences) // 2, f"{item['question']} {item['answer']}.")
        return parse(sample.request, " ".join(sentences))

    def leaked_item(sample: Sample) -> Sample:
        item = drawn([i for i in bench if i["kind"] == "multiple-choice"])
        reply = json.dumps({"question": item["question"], "options": item["choices"], "answer": item["answer"]})
        return parse(replace(sample.request, kind="multiple-choice"), reply)

    def half_copied(sample: Sample) -> Sample:
        seed = re.split(r"(?<=[.!?])\s", where.pages[sample.request.seed])
        own = re.split(r"(?<=[.!?])\s", sample.reply)
        return parse(sample.request, " ".join(part for pair in zip(own, seed, strict=False) for part in pair))

    def near_copy(sample: Sample) -> Sample:
        words = sample.reply.split(" ")
        for at in rng.choice(len(words), len(words) // 20, replace=False):
            words[at] = drawn(words)
        return parse(replace(sample.request, draw=1), " ".join(words))

    def torn(sample: Sample) -> Sample:
        return parse(sample.request, sample.reply[: int(len(sample.reply) * rng.uniform(0.3, 0.9))])

    kinds: list[tuple[str, str, Callable[[Sample], Sample], list[Sample], str]] = [
        ("another_topic", "off topic", other_topic, long, "a good passage on another of the five topics under this one's prompt"),
        ("another_page", "off topic", other_page, long, "a reference page on none of the five topics under a prompt"),
        ("leak", "leaked", leaked, long, "a benchmark item with its answer in the middle of a good passage"),
        ("leaked_task", "leaked", leaked_item, items, "a benchmark item as the task item"),
        ("half_seed", "copy of the seed", half_copied, long, "sentences of the seed and of the passage in turn"),
        ("torn", "schema", torn, items, "a task item cut off between 30 % and 90 % of its length"),
    ]
    found = []
    for name, reason, make, source, how in kinds:
        made = [make(sample) for sample in source]
        if name == "another_page":  # the pages themselves are in the corpus: that they are copies of it is not what is asked here
            hidden = {page for page, text in where.pages.items() if text in set(pool)}
            judged = reasons_of(made, without(where, hidden))
        else:
            judged = reasons_of(made, where)
        share = float(np.mean([why == reason for why in judged]))
        gone = float(np.mean([bool(why) for why in judged]))
        found.append(
            measure(f"synthesis.planted_{name}", share, how=f"{how}: share rejected as “{reason}” of {len(made)}; {gone:.1%} for any")
        )
    copies = [near_copy(sample) for sample in long]
    judged = reasons_of([*long, *copies], where)[len(long) :]
    found.append(measure("synthesis.planted_near_copy", float(np.mean([why == "near-duplicate" for why in judged])),
                         how=f"one word in twenty replaced: share of {len(copies)} rejected as “near-duplicate”"))  # fmt: skip
    return [*found, swapped(items, where)]


def without(where: Context, hidden: set[str]) -> Context:
    """The same world without some pages."""
    stays = [at for at, page in enumerate(where.pages) if page not in hidden]
    ids = list(where.pages)
    pages = {ids[at]: where.pages[ids[at]] for at in stays}
    return replace(where, pages=pages, vectors=np.asarray(where.vectors)[stays], placed=[where.placed[at] for at in stays])


def swapped(items: list[Sample], where: Context) -> dict[str, Any]:
    """Each item held against another seed of its topic: near in subject, yet not where its answer is."""
    seeds = {topic: sorted({s.request.seed for s in items if s.request.topic == topic}) for topic in RARE}
    moved = []
    for sample in items:
        mine = seeds[sample.request.topic]
        other = mine[(mine.index(sample.request.seed) + 1) % len(mine)]
        moved.append(replace(sample, request=replace(sample.request, seed=other)))
    share = float((looked_at(moved, where)["support"] < Thresholds().support).mean())
    return measure("synthesis.swapped_rejected", share, how=f"{len(moved)} good items held against another seed page of the same topic")


def gaps(ledger: Any, where: Context) -> list[dict[str, Any]]:
    """The recording replayed on the demo's own gaps."""
    made = synthesize(ledger, where, Replay(), tokens=BUDGET, count=lambda some: token_counts(some), shares=SHARES)
    topics = made.report.topics
    closed = int(((topics["after"] > topics["before"]) & topics["topic"].isin(RARE)).sum())
    worst = ", ".join(ledger.sort_values("gap_tokens", ascending=False)["topic"].head(5))
    told = "; ".join(f"{r.name} {r.before:.2%} to {r.after:.2%}" for r in topics.itertuples())
    return [
        measure("synthesis.gaps_closed", closed, target=5,
                how=f"the ledger's five widest gaps are {worst}; shares before and after, each sample placed by its text: {told}"),
        measure("synthesis.near_duplicates", near_duplicates(made.accepted, where), target=0.02, better="lower",
                how=f"share of {len(made.accepted)} accepted samples that `dedup.near` at 0.3, or `dedup.semantic` at the priors' "
                    "threshold, calls a copy of another or of a page"),
    ]  # fmt: skip


def near_duplicates(accepted: Any, where: Context) -> float:
    """The share of accepted samples that are copies of each other or of a page, asked of `dedup` and stricter than the filter."""
    from datasets import Dataset

    together = Dataset.from_dict({"id": [*where.pages, *accepted["id"]], "text": [*where.pages.values(), *accepted["text"]]})
    vectors = np.concatenate([np.asarray(where.vectors), where.embed(list(accepted["text"]))])
    ours, copies = set(accepted["id"]), set()
    for report in (dedup.near(together, threshold=0.3), dedup.semantic(together, vectors, threshold=where.priors.duplication.semantic)):
        for _, group in report.groups.groupby("group"):
            mine = [page for page in group["id"] if page in ours]
            copies |= set(mine if len(mine) < len(group) else mine[1:])  # of samples alike among themselves, one is no copy
    return len(copies) / len(accepted)


def served(folder: Path) -> dict[str, Any]:
    """A real server that is killed and started again twice, with slow and broken answers: what was paid twice, lost or doubled."""
    requests, kills = 48, (10, 30)
    server = Served(tiny_model(folder / "model"))
    server.start()
    killed: list[int] = []
    anything = Thresholds(slack=1e9, near=0.9, known=1.1, elsewhere=9.0, quality=-1.0, support=-2.0)

    def misbehave(prompt: str, times: int) -> str | None:
        if len(killed) < len(kills) and len(door.answered) >= kills[len(killed)]:
            killed.append(len(door.answered))
            server.kill()
            server.start()
        return {1: "half", 2: "html", 3: "slow", 4: "cut", 5: "500", 6: "429"}.get(zlib.crc32(prompt.encode()) % 12) if times == 0 else None

    try:
        with opened(f"http://127.0.0.1:{server.port}/v1", misbehave, slow=12) as door:
            cache = RequestCache("tiny", folder / "cache")
            backend = Endpoint(door.url, str(server.model), concurrency=8, timeout=10, retries=12, pause=0.5,
                               settings=Settings(most_tokens={"D2": 60, "D3": 60}), cache=cache)  # fmt: skip
            where, ledger = small_world()
            write: Callable[[], Any] = lambda: synthesize(  # noqa: E731
                ledger,
                where,
                backend,
                tokens=10**6,
                count=lambda some: token_counts(some),
                shares={"D2": 1.0},
                limits=anything,
                limit=requests,
            )
            made, paid = write(), dict(door.answered)
            again = write()
            cache.close()
    finally:
        server.kill()
    twice = sum(times - 1 for times in door.answered.values())
    lost = requests - len(made.accepted) - len(made.rejected) + (paid != dict(door.answered))
    doubled = len(made.accepted) - len(set(made.accepted["id"])) + (again.accepted["text"][:] != made.accepted["text"][:])
    tries = sum(door.asked.values())
    how = (
        f"`transformers serve` on loopback, {requests} requests, 8 at once, {door.most_at_once} seen in flight, killed and started again "
        f"{len(killed)} times, half of the first answers slow or broken ({tries} tries): answers that had arrived and were asked for "
        f"again ({twice}), samples lost ({lost}) or doubled ({doubled}), a second run included; {len(made.accepted)} samples accepted"
    )
    return measure("synthesis.faults", twice + lost + doubled, target=0, better="lower", how=how)


def small_world() -> tuple[Context, Any]:
    """A corpus of eight pages and a ledger of two topics: what is measured is the way to the server and back."""
    import pandas as pd

    def vectors_of(lines: Sequence[str]) -> np.ndarray:
        rows = np.array([np.random.default_rng(list(line.encode())).normal(size=16) for line in lines], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    pages = {f"p{n}": f"Page {n} tells of a game, of a stone, and of what people in town {n} make of both." for n in range(8)}
    where = Context(
        pages=pages, vectors=vectors_of(list(pages.values())), placed=["chess"] * 4 + ["geology"] * 4,
        benchmark=leakage.load_items([{"question": "Which piece jumps over the others on the board?", "answer": "the knight"}]),
        reference=coverage.from_taxonomy(texts.taxonomy(), model=vectors_of), prompts=context_prompts(), priors=priors.default(),
        embed=vectors_of,
    )  # fmt: skip
    rows = [(t, t.title(), f"About {t}.", 0.5, 0.1, 800, 10**6, near) for t, near in (("chess", ["p1", "p2"]), ("geology", ["p5", "p6"]))]
    return where, pd.DataFrame(rows, columns=["topic", "name", "description", "wanted", "have", "tokens", "gap_tokens", "nearest"])


def context_prompts() -> Any:
    from hare_lab.synthesis import read_prompts

    return read_prompts()


if __name__ == "__main__":
    main()
