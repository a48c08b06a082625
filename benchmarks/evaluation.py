"""Does a small model of ours know grammar better than counting does, and do we score as the harness does? About an hour on 2 cores.

    HARE_LAB_REAL_DATA=FOLDER python benchmarks/evaluation.py [MODEL_DIR]

MODEL_DIR is the best small model at hand; without one, hare-5m is trained here on lm_text (`--tokens` of it; the model is kept in the
cache folder, and training that was stopped goes on). All pairs of BLiMP and Zorro are asked; the trigram beside it counts the same text.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from _common import measure, real_data, write_results
from datasets import Dataset

from hare_lab import embedding, evaluation, training
from hare_lab.dedup.words import words
from hare_lab.evaluation.harness import right_pairs, write_task
from hare_lab.evaluation.language_model import LanguageModel
from hare_lab.evaluation.scores import wilson

TRIGRAM = {"blimp": 0.539, "zorro": 0.604}  # shared with the sets; ours of the same text is measured beside it
AGREEMENT = 300  # pairs asked of both
PEERS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?")
    parser.add_argument("--tokens", type=int, default=8_000_000)
    parser.add_argument("--limit", type=int)
    asked = parser.parse_args()
    text = [row["text"] for row in real_data("lm_text")]
    with tempfile.TemporaryDirectory() as folder:
        model = evaluation.load_model(asked.model) if asked.model else trained(text, asked.tokens)
        rows = pairs(model, text, asked.limit, bool(asked.model), asked.tokens)
        write_results("evaluation", [*rows, *agreement(model, Path(folder)), *rolling(model, text)])


def trained(text: list[str], tokens: int) -> LanguageModel:
    """hare-5m on running text, lower case beside what it was, because Zorro is lower case (our choice, made before looking)."""
    folder = embedding.cache_folder() / "benchmarks" / "evaluation" / f"hare-5m-{tokens}"
    if not (folder / "config.json").exists():
        both = [*text, *(page.lower() for page in text)]
        training.train(Dataset.from_dict({"text": both}), "hare-5m", tokens, out=folder, settings=training.Settings(), seed=0).save(folder)
    return evaluation.load_model(folder, name="hare-5m")


def pairs(model: LanguageModel, text: list[str], limit: int | None, given: bool, tokens: int) -> list[dict[str, Any]]:
    """Every minimal pair of both sets, and what a trigram that counted lm_text makes of them."""
    rows = []
    counted = Trigram(text)
    trained_on = "a given model" if given else f"hare-5m, {tokens:,} tokens of lm_text, each page also in lower case"
    for name, known in TRIGRAM.items():
        found = real_data(name)[:limit]
        items = tuple(evaluation.Item(str(at), "", (r["sentence_good"], r["sentence_bad"]), 0, r["UID"]) for at, r in enumerate(found))
        task = evaluation.Task(name, "pair", items)
        began = time.perf_counter()
        right = right_pairs(model, task)
        took = time.perf_counter() - began
        own = np.mean([counted.score(good) > counted.score(bad) for good, bad in (item.choices for item in items)])
        share = float(right.mean())
        how = f"{trained_on}; {len(items):,} pairs, sum of log-probabilities; interval: Wilson; {len(items) / took:,.0f} pairs a second"
        rows.append(measure(f"evaluation.{name}", share, target=known, interval=wilson(share, len(items)), how=how))
        rows.append(measure(f"evaluation.{name}_trigram", float(own), how="trigram counts of lm_text, interpolated; the same pairs"))
    return rows


def agreement(model: LanguageModel, folder: Path) -> list[dict[str, Any]]:
    """The same answers as lm-evaluation-harness, item by item, and how much sooner."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    found = real_data("blimp")
    chosen = np.random.default_rng(0).permutation(len(found))[:AGREEMENT]
    items = tuple(evaluation.Item(str(i), "", (found[i]["sentence_good"], found[i]["sentence_bad"]), 0) for i in chosen.tolist())
    task = evaluation.Task("agreement", "pair", items)
    write_task(task, folder)
    engine = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=64, max_length=model.context)
    manager = TaskManager(include_path=str(folder), include_defaults=False)

    def theirs() -> list[float]:
        results = simple_evaluate(model=engine, tasks=["agreement"], task_manager=manager, bootstrap_iters=0)
        return [s["acc"] for s in sorted(results["samples"]["agreement"], key=lambda s: s["doc_id"])]

    same = float(np.mean(right_pairs(model, task) == np.array(theirs())))
    times = []
    for _ in range(PEERS):
        began = time.perf_counter()
        right_pairs(model, task)
        middle = time.perf_counter()
        theirs()
        times.append((time.perf_counter() - middle) / (middle - began))
    how = f"{AGREEMENT} pairs of BLiMP, lm-evaluation-harness with batches of 64"
    span = (min(times), max(times))
    return [
        measure("evaluation.agreement", same, target=0.99, how=f"share of equal verdicts, {how}"),
        measure(
            "evaluation.pairs_speedup", float(np.median(times)), interval=span, unit="x", how=f"{how}; median of {PEERS} interleaved pairs"
        ),
    ]


def rolling(model: LanguageModel, text: list[str]) -> list[dict[str, Any]]:
    """Bits per byte against the harness's own `loglikelihood_rolling`, page by page."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    pages = [page[:4_000] for page in text[:: max(1, len(text) // 40)]][:40]
    held = Dataset.from_dict({"id": [str(i) for i in range(len(pages))], "text": pages})
    engine = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=8, max_length=model.context)
    asked = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(page,), idx=i) for i, page in enumerate(pages)]
    theirs = np.array(engine.loglikelihood_rolling(asked, disable_tqdm=True)) / -math.log(2)
    ours = evaluation.page_bits(model, held, stride=model.context)["bits"].to_numpy()
    off = float(np.abs(ours / theirs - 1).max())
    how = "greatest relative difference of a page's bits to the harness's, windows without overlap, 40 pages of lm_text"
    return [measure("evaluation.bits_difference", off, target=1e-3, better="lower", how=how)]


class Trigram:
    """Counts of words one, two and three long, mixed with fixed weights; unknown words share one count."""

    def __init__(self, text: list[str]) -> None:
        self.counts: list[Counter[tuple[str, ...]]] = [Counter(), Counter(), Counter()]
        for page in text:
            row = ["<s>", "<s>", *words(page)]
            for n in range(3):
                self.counts[n].update(tuple(row[i - n : i + 1]) for i in range(2, len(row)))
        self.total = sum(self.counts[0].values())

    def score(self, sentence: str) -> float:
        row = ["<s>", "<s>", *words(sentence)]
        one, two, three = self.counts
        found = 0.0
        for i in range(2, len(row)):
            a, b, c = row[i - 2], row[i - 1], row[i]
            p = 0.1 * (one[(c,)] + 1) / (self.total + len(one))
            p += 0.3 * two[(b, c)] / max(1, one[(b,)]) + 0.6 * three[(a, b, c)] / max(1, two[(a, b)])
            found += math.log(min(p, 1.0))
        return found


if __name__ == "__main__":
    main()
