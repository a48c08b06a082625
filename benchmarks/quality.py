"""Does the scorer agree with people, the rules with datatrove, and how fast are both? About 10 minutes on 2 cores.

    HARE_LAB_REAL_DATA=FOLDER HARE_LAB_PEERS=FOLDER python benchmarks/quality.py

`HARE_LAB_PEERS` is a folder of virtual environments; datatrove is looked for in `datatrove/` (requirements-peers.txt).

**People.** 150 web pages with votes (dclm_human_quality_dev). The scorer is what `hare-lab score` runs with its defaults: the bundled
reference pages against these 150, style and meaning from all bundled pages. No vote was fitted to; when the votes were looked
at, and where a look had a say, is in docs/quality.md. Intervals: bootstrap over pages of each kind, 1,000 times. Within length:
the mean of the AUC in each fifth of the pages by number of words.

**Rules.** datatrove's filters and ours judge the same pages with the same words (what stands between spaces); its sentences are its own
(spaCy). A page's verdict is whether all four filters let it pass. Our rule for where a sentence ends was mended once by reading
25 pages of webcrawl_mix on which the two disagreed; `quality.rules_agreement_unseen` is on reddit posts, which were not looked at.

**Speed.** Ours on all pages of webcrawl_mix, texts in memory, against datatrove as it comes (its own words) on a drawn part of them, its
four filters in two processes; interleaved.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import measure, real_data, seconds, write_results

PAIRS, DRAWN, POSTS = 5, 400, 3_000
FILTERS = ("Gopher quality", "Gopher repetition", "C4", "FineWeb")


def main() -> None:
    match sys.argv[1:]:
        case ["datatrove", source, target, words]:
            datatrove(Path(source), Path(target), words)
        case []:
            write_results("quality", [*people(), *sample(), *readability(), *rules(), *speed()])
        case _:
            sys.exit(f"benchmark: {' '.join(sys.argv[1:])} is unknown")


# --- people -----------------------------------------------------------------------------------------------------------


def people() -> list[dict[str, Any]]:
    """Agreement with votes, beside what costs nothing: length, three counts, rules."""
    from hare_lab import corpus, embedding, priors, quality

    rows = real_data("dclm_human_quality_dev")
    pages = corpus.load([{"text": row["text"]} for row in rows]).pages
    good = np.array([row["label"] for row in rows]) == 1
    agreed = np.array([bool(row["unanimous"]) for row in rows])
    vectors = np.asarray(embedding.embed(pages).vectors)
    scores = quality.score(pages, vectors, priors.default(), seed=0)
    told = quality.evidence([row["text"] for row in rows]).counts
    length = np.log([len(row["text"].split()) for row in rows])
    ends = np.array([_finished(row["text"]) for row in rows])
    common = np.array([_stop_rate(row["text"]) for row in rows])
    passes = trove([row["text"] for row in rows], "own")[0]
    verdict = np.array([not any(row.values()) for row in passes], float)
    judges = {
        "": (np.asarray(scores.table["quality"]), "the scorer as `hare-lab score` has it, cross-fitted"),
        "_length": (length, "log number of words"),
        "_three_counts": (sum((x - x.mean()) / x.std() for x in (length, ends, common)),
                          "sum of standardised log length, share of lines that end in punctuation, and rate of 30 stop words"),
        "_rules": (scores.rules.share_passed(), "share of our rules passed"),
        "_datatrove": (verdict, "1 where datatrove's four filters, as they come, let the page pass, else 0"),
    }  # fmt: skip
    found = []
    for name, (values, how) in judges.items():
        targets = (0.86, 0.95, 0.70) if not name else (None, None, None)
        for kind, chosen, target in (("", slice(None), targets[0]), ("_unanimous", agreed, targets[1])):
            value, low, high = quality.auc_interval(good[chosen], values[chosen])
            pages_of = f"{len(good[chosen])} pages" + (" on which all raters agree" if kind else "")
            found.append(measure(f"quality.human_auc{kind}{name}", value, interval=(low, high), target=target, how=f"{how}; {pages_of}"))
        value, low, high = within(good, values, told["words"])
        how = f"{how}; mean over fifths of the pages by number of words"
        found.append(measure(f"quality.human_auc_within_length{name}", value, interval=(low, high), target=targets[2], how=how))
    return found


def within(good: np.ndarray, values: np.ndarray, length: np.ndarray, resamples: int = 1_000) -> tuple[float, float, float]:
    """Mean AUC within fifths of length, and its bootstrap interval; a fifth with votes of one kind only is left out."""
    from hare_lab.quality import auc

    fifth = np.argsort(np.argsort(length, kind="stable"), kind="stable") * 5 // len(length)
    parts = [np.flatnonzero(fifth == f) for f in range(5) if 0 < good[fifth == f].sum() < (fifth == f).sum()]
    rng = np.random.default_rng(0)

    def mean(draw: Callable[[np.ndarray], np.ndarray]) -> float:
        drawn = [np.concatenate([draw(part[good[part]]), draw(part[~good[part]])]) for part in parts]
        return float(np.mean([auc(good[rows], values[rows]) for rows in drawn]))

    low, high = np.quantile([mean(lambda rows: rng.choice(rows, len(rows))) for _ in range(resamples)], [0.025, 0.975])
    return mean(lambda rows: rows), float(low), float(high)


def _finished(text: str) -> float:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return sum(line.endswith((".", "!", "?", '"', "'", "”")) for line in lines) / max(len(lines), 1)


_COMMON = "the of and to a in that is was for it with as on be at by this had not are but from or have an they which you i we"
_STOPS = frozenset(_COMMON.split(" "))


def _stop_rate(text: str) -> float:
    words = text.lower().split()
    return sum(word.strip(".,;:!?\"'()") in _STOPS for word in words) / max(len(words), 1)


# --- the sample and readability ---------------------------------------------------------------------------------------


def sample() -> list[dict[str, Any]]:
    """The bundled pages, of which the truth is known: reference against junk, and the order of the tiers."""
    from datasets import Dataset

    from hare_lab import embedding, priors, quality, texts

    truth = [row for row in texts.sample_truth() if row["language"] == "en"]
    pages = Dataset.from_list([{"id": f"sample#{row['id']}", "text": row["text"], "title": row["title"]} for row in truth])
    topics = np.unique([row["topic"] for row in truth], return_inverse=True)[1]
    scores = quality.score(pages, np.asarray(embedding.embed(pages).vectors), priors.default(), groups=topics, seed=0)
    tier, values = np.array([row["tier"] for row in truth]), np.asarray(scores.table["quality"])
    both = np.isin(tier, ["reference", "junk"])
    value, low, high = quality.auc_interval(tier[both] == "reference", values[both])
    means = [float(values[tier == name].mean()) for name in texts.TIERS]
    how = "style and meaning are taught by these tiers, cross-fitted by topic: no page is scored by a model that saw one of its topic"
    order = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(texts.TIERS, means, strict=True))
    against = f"reference against junk, {int(both.sum())} pages; {how}"
    fair = np.isin(tier, ["reference", "ordinary"])
    beside = quality.auc_interval(tier[fair] == "reference", values[fair])
    nearer = f"reference against ordinary, {int(fair.sum())} pages, which teach the same side; as above"
    steps = f"smallest step down in mean score from tier to tier ({order}); above 0: the tiers stand in order"
    off = "mean distance of the likeness from the share of reference pages, ten bins, both kinds counting equally; cross-fitted"
    return [
        measure("quality.sample_auc", value, interval=(low, high), target=0.95, how=against),
        measure("quality.sample_auc_ordinary", beside[0], interval=beside[1:], how=nearer),
        measure("quality.sample_tier_gap", float(-np.diff(means).max()), target=0.0, how=steps),
        measure("quality.calibration_error", scores.report.calibration_error, better="lower", how=off),
    ]


def readability() -> list[dict[str, Any]]:
    """Whether the scorer likes easy or hard passages: all of them are well written, so that neither sign is right or wrong."""
    from scipy.stats import spearmanr

    from hare_lab import priors, quality
    from hare_lab.quality.examples import bundled_examples, reference

    rows = real_data("clear_readability")
    good = list(reference(priors.default())["text"])
    texts = [*good, *(row["text"] for row in rows)]
    examples, others = bundled_examples(texts, [""] * len(texts))
    known = quality.evidence([*texts, *others])
    fitted = quality.fit(known, np.arange(len(known)) < len(good), examples=examples, seed=0)
    found = fitted.quality[len(good) : len(texts)]
    ease = np.array([row["ease"] for row in rows])
    rng = np.random.default_rng(0)
    drawn = [spearmanr(found[r], ease[r]).statistic for r in (rng.integers(0, len(rows), len(rows)) for _ in range(200))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    how = f"rank correlation with ease of reading, {len(rows):,} passages, scorer without vectors; reported, no aim"
    return [measure("quality.clear_spearman", float(spearmanr(found, ease).statistic), interval=(float(low), float(high)), how=how)]


# --- rules ------------------------------------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    """Agreement with datatrove, page by page."""
    crawl = [row["text"] for row in real_data("webcrawl_mix")]
    posts = [row["text"] for row in real_data("reddit_selfposts") if row["text"].strip()]
    drawn = [posts[i] for i in np.random.default_rng(0).choice(len(posts), POSTS, replace=False)]
    found = []
    for name, texts in (("quality.rules_agreement", crawl), ("quality.rules_agreement_unseen", drawn)):
        report = _check(texts)
        verdicts = report.verdicts()
        theirs = trove(texts, "spaces")[0]
        ours = {f: verdicts[[r.name for r in report.rules if r.family == f]].to_numpy().any(axis=1) for f in FILTERS}
        same = {f: float(np.mean(ours[f] == np.array([row[f] for row in theirs]))) for f in FILTERS}
        whole = np.any(list(ours.values()), axis=0) == np.array([any(row.values()) for row in theirs])
        each = ", ".join(f"{f} {share:.4f}" for f, share in same.items())
        source = "pages of webcrawl_mix" if texts is crawl else "reddit posts"
        how = f"share of {len(texts):,} {source} with the same verdict of all four filters, same words; by filter: {each}"
        found.append(measure(name, float(whole.mean()), target=0.995, how=how))
    return found


def speed() -> list[dict[str, Any]]:
    """Pages a second: all rules, beside datatrove; and the scorer on vectors that are there."""
    from hare_lab import embedding, priors, quality
    from hare_lab.quality.examples import bundled_examples, reference

    rows = [row for row in real_data("webcrawl_mix") if row["source"] != "fineweb_concat"]
    texts = [row["text"] for row in rows]
    drawn = [texts[i] for i in np.random.default_rng(1).choice(len(texts), DRAWN, replace=False)]
    _check(texts[:200])
    ours, used, theirs = [], [], []
    for _ in range(PAIRS):
        before = time.process_time()
        ours.append(len(texts) / seconds(lambda: _check(texts)))
        used.append(len(texts) / (time.process_time() - before))
        theirs.append(DRAWN / trove(drawn, "own", processes=2)[1])
    from datasets import Dataset

    pages = Dataset.from_dict({"id": [str(i) for i in range(len(texts))], "text": texts})
    good = reference(priors.default())
    examples, others = bundled_examples([*good["text"], *texts], [""] * (len(good) + len(texts)))
    vectors = np.concatenate([np.asarray(embedding.embed(part).vectors) for part in (good, pages, others)])
    everything, is_good = [*good["text"], *texts, *others], np.arange(len(vectors)) < len(good)
    group = np.random.default_rng(0).integers(0, 40, len(vectors))
    work = lambda: quality.fit(quality.evidence(everything, vectors), is_good, group, examples=examples)  # noqa: E731
    scored = [len(texts) / seconds(work) for _ in range(PAIRS)]
    words = int(np.mean([len(text.split()) for text in texts]))
    rules_of = f"all rules, {len(texts):,} crawled pages of {words} words on average, two threads; {PAIRS} runs in turn with datatrove"
    by_processor = "the same runs by processor time instead of the clock: other work on the machine weighs less"
    peer = f"datatrove's four filters as they come, {DRAWN} of the pages, two processes, start-up not timed"
    learnt = f"features, learning, and cross-fitted scores of {len(texts):,} crawled pages, vectors being there; {PAIRS} runs"
    return [
        _rate("quality.rules_per_second", ours, rules_of, 2_000),
        _rate("quality.rules_per_processor_second", used, by_processor),
        _rate("quality.rules_per_second_datatrove", theirs, peer),
        _rate("quality.scorer_per_second", scored, learnt, 1_000),
    ]


def _rate(name: str, rates: Sequence[float], how: str, target: float | None = None) -> dict[str, Any]:
    return measure(name, float(np.median(rates)), interval=(min(rates), max(rates)), unit="pages/s", target=target, how=how)


def _check(texts: list[str]) -> Any:
    from datasets import Dataset

    from hare_lab.quality import check_rules

    return check_rules(Dataset.from_dict({"id": [str(i) for i in range(len(texts))], "text": texts}))


# --- datatrove, in its own environment -----------------------------------------------------------------------------------


def trove(texts: list[str], words: str, processes: int = 1) -> tuple[list[dict[str, bool]], float]:
    """datatrove's verdicts (True: the filter drops the page), and the seconds that its slowest process took for filtering."""
    python = Path(os.environ.get("HARE_LAB_PEERS", "")) / "datatrove" / "bin" / "python"
    if "HARE_LAB_PEERS" not in os.environ or not python.exists():
        sys.exit("benchmark: set HARE_LAB_PEERS to a folder with a virtual environment datatrove/ (benchmarks/requirements-peers.txt)")
    with tempfile.TemporaryDirectory() as name:
        folder, running = Path(name), []
        for part in range(processes):
            (folder / f"in{part}.json").write_text(json.dumps(texts[part::processes]), encoding="utf-8")
            work = [str(python), str(Path(__file__).resolve()), "datatrove", f"{folder}/in{part}.json", f"{folder}/out{part}.json", words]
            running.append(subprocess.Popen(work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        for process in running:
            if process.wait():
                sys.exit(f"benchmark: datatrove failed: {process.stderr.read()[-2000:] if process.stderr else ''}")
        told = [json.loads((folder / f"out{part}.json").read_text()) for part in range(processes)]
    verdicts: list[dict[str, bool]] = [{} for _ in texts]
    for part in range(processes):
        verdicts[part::processes] = told[part]["verdicts"]
    return verdicts, max(part["seconds"] for part in told)


def datatrove(source: Path, target: Path, words: str) -> None:
    """Runs in datatrove's own environment."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import c4_filters, fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter

    if words == "spaces":
        for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
            module.split_into_words = lambda text, language=None: text.split()
    filters = dict(zip(FILTERS, (gopher_quality_filter.GopherQualityFilter(), gopher_repetition_filter.GopherRepetitionFilter(),
                                 c4_filters.C4QualityFilter(), fineweb_quality_filter.FineWebQualityFilter()), strict=True))  # fmt: skip
    texts = json.loads(source.read_text(encoding="utf-8"))
    for each in filters.values():
        each.filter(Document(text=texts[0], id="warm"))
    start = time.perf_counter()
    verdicts = [{name: each.filter(Document(text=text, id="page")) is not True for name, each in filters.items()} for text in texts]
    target.write_text(json.dumps({"seconds": time.perf_counter() - start, "verdicts": verdicts}))


if __name__ == "__main__":
    main()
