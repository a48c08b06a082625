"""What every benchmark shares: the real sets, the machine, medians of pairs, and the results it writes."""

from __future__ import annotations

import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from _pages import RESULTS, ROOT, headlines, show, summary, table

# numba looks for the package `coverage` and would find `coverage.py` of this folder; None says that there is none
sys.modules.setdefault("coverage", None)  # type: ignore[arg-type]

VERSIONS = (
    "torch",
    "transformers",
    "sentence-transformers",
    "datasets",
    "umap-learn",
    "hdbscan",
    "scikit-learn",
    "numpy",
    "numba",
    "openvino",
    "rensa",
)


def real_data(name: str) -> list[dict[str, Any]]:
    """The rows of one real set; exits with a sentence where `HARE_LAB_REAL_DATA` does not lead to it."""
    folder = os.environ.get("HARE_LAB_REAL_DATA")
    path = Path(folder or "") / name / "data.jsonl.gz"
    if not folder or not path.exists():
        sys.exit(f"benchmark: set HARE_LAB_REAL_DATA to the folder that holds {name}/data.jsonl.gz (now: {folder or 'unset'})")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def machine() -> str:
    """CPU, cores and memory: all that a reader needs to judge a time by."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text()
        cpu = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), cpu)
        extras = [flag for flag in ("avx512_bf16", "avx512_vnni", "amx_bf16") if flag in text]
        cpu += f" ({', '.join(extras)})" if extras else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB"


def versions(names: tuple[str, ...] = VERSIONS) -> dict[str, str]:
    """Installed versions of the packages that matter, Python first."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that was measured, marked where the working tree's code differs from it."""
    git = lambda *words: subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()  # noqa: E731
    dirty = git("status", "--porcelain", "--", "hare_lab", "benchmarks/*.py")
    return git("rev-parse", "--short", "HEAD") + ("+changes" if dirty else "")


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def held_by(told: str) -> float:
    """GiB that all processes with this word in their environment hold together: proportional set sizes, so that what two share counts once.

    By the environment and not by parents, so that jobs in sessions of their own are seen too. Linux alone.
    """
    kib = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if told.encode() in (process / "environ").read_bytes().split(b"\0"):
                lines = (process / "smaps_rollup").read_text().splitlines()
                kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:  # it has just ended, or is not ours to look at
            continue
    return kib / 2**20


def pairs(ours: Callable[[], Any], peer: Callable[[], Any], count: int = 5) -> Iterator[tuple[float, float]]:
    """Interleaved times (ours, peer), so that a drift of the machine's speed falls on both."""
    for _ in range(count):
        yield seconds(ours), seconds(peer)


def ratio(times: list[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
    """Median of peer/ours, and its lowest and highest pair: above 1 means that ours is faster."""
    ratios = [peer / ours for ours, peer in times]
    return statistics.median(ratios), (min(ratios), max(ratios))


def interval(hits: Sequence[bool] | np.ndarray) -> tuple[float, float]:
    """The 95 % Wilson interval of a share of hits."""
    from hare_lab.evaluation.scores import wilson  # not above: a peer's environment, which reads this file too, has no such package

    return wilson(float(np.mean(hits)), len(hits))


def measure(
    id: str,
    value: float,
    *,
    how: str,
    unit: str = "",
    target: float | None = None,
    better: str = "higher",
    interval: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """One row of a benchmark's table; `holds` is the comparison with the target, None where there is no target."""
    holds = None if target is None else bool(value >= target if better == "higher" else value <= target)
    return {
        "id": id, "value": value, "interval": list(interval) if interval else None, "unit": unit,
        "target": target, "better": better, "holds": holds, "how": how,
    }  # fmt: skip


def write_results(name: str, measures: list[dict[str, Any]]) -> Path:
    """Write `results/NAME.json` and the same as a Markdown table; the README and the docs show that table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = {
        "benchmark": name, "date": date.today().isoformat(), "commit": commit(),
        "machine": machine(), "versions": versions(), "measures": measures,
    }  # fmt: skip
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(table(record), encoding="utf-8")
    show(name, table(record))
    show("summary", summary())
    show("headlines", headlines())
    return path


def earlier(name: str, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Rows that stand in the results already and are not taken again, each with the stamp of the run that it is of."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    stamp = {key: record[key] for key in ("date", "commit", "machine")}
    return [{"measured": stamp, **row} for row in record["measures"] if wanted(row["id"])]
