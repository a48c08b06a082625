"""How fast are vectors made, are they the model's, and what does a second run cost? Some 20 minutes on 2 cores.

    HARE_LAB_REAL_DATA=FOLDER python benchmarks/embedding.py

Ours against plain `SentenceTransformer.encode` with its defaults, both with the bundled all-MiniLM-L6-v2 in memory and
warm, on the same real posts. The race that chooses the backend, once for a machine, is run before and not timed.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _common import measure, pairs, ratio, real_data, seconds, write_results
from sentence_transformers import SentenceTransformer

from hare_lab.embedding import bundled_weights, embed

POSTS, OTHERS, LARGE, LOOKED_UP = 2_000, 500, 10_000, 100_000
OTHER_WAYS = {"onnx_fp32": ("onnx", "fp32"), "openvino_fp32": ("openvino", "fp32"), "openvino_bf16": ("openvino", "bf16"),
              "torch_bf16": ("torch", "bf16")}  # fmt: skip


def main() -> None:
    posts = [f"{row['title']}\n\n{row['text']}" for row in real_data("reddit_selfposts")]
    order = np.random.default_rng(0).permutation(len(posts))
    texts = [posts[i] for i in order]
    plain = SentenceTransformer(str(bundled_weights()[0]), device="cpu")
    write_results("embedding", [*speed(texts[:POSTS], plain), *others(texts[:OTHERS], plain), *reuse(texts), lookup(texts)])


def speed(texts: list[str], plain: SentenceTransformer) -> list[dict[str, Any]]:
    """Documents a second against the plain way, and whether the vectors are the same."""
    expected = _plain(texts, plain)
    _ours(texts[:64])
    times = list(pairs(lambda: _ours(texts), lambda: _plain(texts, plain)))
    with _empty_store() as store:
        result = embed(texts, store=store)
    report = result.report
    cosines = (result.vectors * expected).sum(axis=1)
    value, span = ratio(times)
    way = f"{report.backend} {report.precision}, the way that `embed` found fastest on this machine"
    same = f"cosine to plain fp32, {len(texts):,} reddit posts, {way}"
    rate = lambda side: statistics.median(len(texts) / pair[side] for pair in times)  # noqa: E731
    return [
        measure("embedding.speedup", value, interval=span, unit="x", target=3.5,
                how=f"`embed` with an empty store ({way}) against `SentenceTransformer.encode`, {len(texts):,} reddit posts, "
                    f"median of {len(times)} interleaved pairs"),
        measure("embedding.cosine_mean", float(cosines.mean()), target=0.999, how=same),
        measure("embedding.cosine_min", float(cosines.min()), target=0.995, how=same),
        measure("embedding.rate", rate(0), unit="documents/s", how=f"`embed`, {way}"),
        measure("embedding.rate_plain", rate(1), unit="documents/s", how="`SentenceTransformer.encode`, batch 32, fp32"),
    ]  # fmt: skip


def others(texts: list[str], plain: SentenceTransformer) -> list[dict[str, Any]]:
    """The other ways of running the model, each asked for by name: speed against the plain way, and agreement."""
    expected = _plain(texts, plain)
    rows = []
    for name, (backend, precision) in OTHER_WAYS.items():
        run = lambda backend=backend, precision=precision: embed(texts, store=False, backend=backend, precision=precision)  # noqa: E731
        cosines = (run().vectors * expected).sum(axis=1)
        value, span = ratio(list(pairs(run, lambda: _plain(texts, plain), count=3)))
        how = f"`embed(backend={backend!r}, precision={precision!r})` against `SentenceTransformer.encode`, {len(texts)} posts, 3 pairs"
        rows.append(measure(f"embedding.speedup_{name}", value, interval=span, unit="x", how=how))
        rows.append(measure(f"embedding.cosine_min_{name}", float(cosines.min()), how="cosine to plain fp32, the same posts"))
    return rows


def reuse(texts: list[str]) -> list[dict[str, Any]]:
    """What a second run costs in which one page in a hundred is new: hashing, looking up, reading, embedding the new."""
    new = LARGE // 100
    with _empty_store() as store:
        first = seconds(lambda: embed(texts[:LARGE], store=store))
        shares = []
        for turn in range(5):
            start = LARGE + turn * new
            pages = texts[: LARGE - new] + texts[start : start + new]
            shares.append(seconds(lambda pages=pages: embed(pages, store=store)) / first)
    value, span = statistics.median(shares), (min(shares), max(shares))
    how = f"{LARGE:,} posts, {new} of them new, as a share of the first run ({first:.0f} s); median of 5 sets of new posts, model in memory"
    return [measure("embedding.reuse", value, interval=span, target=0.02, better="lower", how=how)]


def lookup(texts: list[str]) -> dict[str, Any]:
    """Seconds to find texts that are all in the store."""
    pages = [f"{text}\n{i}" for i in range(-(-LOOKED_UP // len(texts))) for text in texts][:LOOKED_UP]
    with _empty_store() as store:
        embed(pages, model=_stub, name="stub", store=store)
        times = [seconds(lambda: embed(pages, model=_stub, name="stub", store=store)) for _ in range(3)]
    how = f"{len(pages):,} texts, all in the store, vectors of 384 numbers; median of 3"
    return measure("embedding.lookup", statistics.median(times), interval=(min(times), max(times)), unit="s", better="lower", how=how)


def _ours(texts: list[str]) -> None:
    with _empty_store() as store:
        embed(texts, store=store)


def _plain(texts: list[str], plain: SentenceTransformer) -> np.ndarray:
    return np.asarray(plain.encode(texts, normalize_embeddings=True, show_progress_bar=False))


def _stub(texts: list[str]) -> np.ndarray:
    """A model that costs nothing, so that only the store is timed."""
    seeds = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) for text in texts]
    return np.outer(np.array(seeds) % 1000 + 1, np.ones(384)) + np.arange(384)


@contextmanager
def _empty_store() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
