"""What the README and the docs show of the results: the tables of measures, the list of targets, and the headlines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
SIGN = {"higher": "≥", "lower": "≤"}

# One row a step: ours, and what does that step alone (or costs nothing). `{id:.3f}` is the value that was measured, written so.
HEADLINES = (
    (
        "Text to vectors, documents a second",
        "{embedding.rate:.0f}",
        "SentenceTransformer {embedding.rate_plain:.0f}",
    ),
    (
        "Of 1,000 copies planted in 20,000 posts: share found, and time",
        "{dedup.recall:.3f} in {dedup.seconds:.1f} s",
        "datatrove's MinHash {dedup.recall_datatrove:.3f} in {dedup.seconds_datatrove:.1f} s",
    ),
    (
        "Clusters against the subjects of 30,000 posts (adjusted mutual information)",
        "{clustering.ami_all:.3f}, in {clustering.time_ratio:.2f} times BERTopic's time",
        "BERTopic {clustering.ami_bertopic:.3f}, with its outliers reassigned {clustering.ami_bertopic_reassigned:.3f}; "
        "UMAP and k-means, told the true number, {clustering.ami_kmeans:.3f}",
    ),
    (
        "Quality against people's votes on web pages (AUC)",
        "{quality.human_auc:.3f}",
        "length {quality.human_auc_length:.3f}, three plain counts {quality.human_auc_three_counts:.3f}, "
        "datatrove's filters {quality.human_auc_datatrove:.3f}",
    ),
    (
        "The published rules of quality, pages a second",
        "{quality.rules_per_second:,.0f}",
        "datatrove {quality.rules_per_second_datatrove:.0f}",
    ),
    (
        "Shares of topics from descriptions alone, mean error: bundled pages; forums",
        "{coverage.share_mae_sample:.2f}; {coverage.share_mae_forums:.2f} points",
        "nearest description {coverage.share_mae_sample_plain:.2f}; {coverage.share_mae_forums_plain:.2f} points",
    ),
    (
        "Leaked exam questions found: word for word; edited; told in other words",
        "{leakage.recall_verbatim:.2f}; {leakage.recall_edited:.2f}; {leakage.recall_reworded:.2f}",
        "",
    ),
    (
        "Training hare-5m, tokens a second: fp32; bf16",
        "{training.rate_fp32:,.0f}; {training.rate_bf16:,.0f}",
        "Hugging Face's Trainer {training.rate_trainer_fp32:,.0f}; {training.rate_trainer_bf16:,.0f}",
    ),
    (
        "What hare-5m knows of grammar: BLiMP; Zorro",
        "{evaluation.blimp:.3f}; {evaluation.zorro:.3f}",
        "trigram counts of the same text {evaluation.blimp_trigram:.3f}; {evaluation.zorro_trigram:.3f}",
    ),
    (
        "Requests that hare-1m turns into the right call, every argument included",
        "{tools.exact_call:.2f}",
        "counts of words {tools.exact_call_wording:.2f}, rules {tools.exact_call_rules:.2f}",
    ),
    (
        "**Did the priors pay?** Bits per byte of clean posts that no choice saw, after 2 million tokens",
        "**{experiment.bpb_priors:.3f}**",
        "random pages {experiment.bpb_random:.3f}; likeness alone, the nearest single factor, {experiment.bpb_likeness_only:.3f}",
    ),
    (
        "Tokens that random pages need for the loss that ours has after 1.5 million",
        "{experiment.tokens_to_target:.2f} times as many",
        "",
    ),
)


def show(name: str, text: str) -> None:
    """Put a table wherever a page of text asks for it: between `<!-- table: NAME -->` and `<!-- end -->`."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        before = page.read_text(encoding="utf-8") if page.exists() else ""
        after = re.sub(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", lambda m: m[1] + text + m[2], before, flags=re.DOTALL)
        if after != before:
            page.write_text(after, encoding="utf-8")


def headlines() -> str:
    """Each step beside the tool that does only that step, in one line; every number is a row of the results."""
    values = {m["id"]: m["value"] for record in _records().values() for m in record["measures"]}
    filled = lambda text: re.sub(r"\{([a-z_0-9.]+):([^}]*)\}", lambda m: format(values[m[1]], m[2]), text)  # noqa: E731
    lines = ["| step | HARE Lab | beside it |", "|---|---|---|"]
    lines += [f"| {step} | {filled(ours)} | {filled(beside)} |" for step, ours, beside in HEADLINES]
    return "\n".join([*lines, ""])


def summary() -> str:
    """One row a benchmark: how many of its targets hold, which don't and by how much, and when that was measured."""
    lines = ["| benchmark | targets that hold | that don't | measured |", "|---|---|---|---|"]
    for name, record in _records().items():
        aimed = [m for m in record["measures"] if m["target"] is not None]
        short = [f"`{m['id']}` {_number(m['value'])} (asked: {SIGN[m['better']]} {_number(m['target'])})" for m in aimed if not m["holds"]]
        held = f"{len(aimed) - len(short)} of {len(aimed)}"
        lines.append(f"| [{name}](benchmarks/results/{name}.md) | {held} | {'; '.join(short)} | {record['date']} |")
    return "\n".join([*lines, ""])


def table(record: dict[str, Any]) -> str:
    """A record of results as the Markdown table that people read."""
    mark = {True: "yes", False: "**no**", None: ""}
    lines = ["| measure | value | interval | target | holds | how |", "|---|---|---|---|---|---|"]
    for m in record["measures"]:
        span = f"{_number(m['interval'][0])} … {_number(m['interval'][1])}" if m["interval"] else ""
        goal = f"{SIGN[m['better']]} {_number(m['target'])}" if m["target"] is not None else ""
        lines.append(f"| `{m['id']}` | {_number(m['value'])} {m['unit']} | {span} | {goal} | {mark[m['holds']]} | {m['how']} |")
    foot = f"Measured {record['date']} at commit {record['commit']} on {record['machine']}, Python {record['versions']['python']}."
    apart: dict[str, list[str]] = {}
    for m in record["measures"]:
        if stamp := m.get("measured"):
            where = "" if stamp["machine"] == record["machine"] else f" on {stamp['machine']}"
            apart.setdefault(f"{stamp['date']} at commit {stamp['commit']}{where}", []).append(f"`{m['id']}`")
    foot += "".join(f" Of other runs: {', '.join(ids)}, {stamp}." for stamp, ids in apart.items())
    return "\n".join([*lines, "", foot, ""])


def _records() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
