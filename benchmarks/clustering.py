"""Does the default clustering find what people would call a topic, what does it leave out, and how long does it take?

    HARE_LAB_REAL_DATA=FOLDER HARE_LAB_PEERS=FOLDER python benchmarks/clustering.py [MINUTES]

After so many minutes, where they are given, no further pair is timed, but one cold and three warm ones (a seed each) at least.

About 50 minutes on 2 cores, and 5 more where the store lacks the vectors. 30,000 reddit posts (title and text, drawn by seed)
against their 162 labels. The default was tuned on the posts of half of the labels; agreement (adjusted mutual information)
is reported on all posts of the other half, the unclustered by their nearest cluster.

Peers, on the same vectors: BERTopic with its defaults and a seed, before and after its own reassignment of outliers, and
UMAP + k-means that is told the true number of labels. Times are of whole fresh processes from vectors on disk to named
clusters and a drawn map, imports included, with an empty numba cache (cold) and a filled one (warm), in interleaved pairs.
BERTopic runs as its documentation advises for vectors that one has, in `HARE_LAB_PEERS/bertopic` (requirements-peers.txt);
where it is timed, without a seed, as it comes: with one, UMAP uses a single thread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

POSTS, SEED, PAIRS, SEEDS = 30_000, 0, 5, 3
Times = list[tuple[float, float]]


# --- the work that is timed, each in a process of its own ----------------------------------------------------------


def ours(folder: Path, seed: int) -> None:
    """Vectors on disk to named clusters and a drawn map."""
    import pandas as pd
    from datasets import Dataset

    from hare_lab import clustering, figures, topics

    vectors, texts = np.load(folder / "vectors.npy"), json.loads((folder / "texts.json").read_text())
    clusters = clustering.cluster(vectors, seed=seed)
    pages = Dataset.from_dict({"id": [str(row) for row in range(len(texts))], "text": texts})
    table = topics.describe(pages, clusters, vectors, seed=seed).table
    names = dict(zip(table["cluster"], table["name"], strict=True))
    points = pd.DataFrame(
        {
            "x": clusters.layout[:, 0], "y": clusters.layout[:, 1], "title": "", "source": "reddit",
            "snippet": [text[:160] for text in texts], "topic": [names.get(number, "unclustered") for number in clusters.cluster],
        }
    )  # fmt: skip
    (folder / "ours.html").write_text(figures.html(figures.topic_map(points)), encoding="utf-8")
    np.save(folder / f"ours-{seed}.npy", np.stack([clusters.cluster, clusters.nearest_cluster]))
    (folder / f"ours-{seed}.json").write_text(json.dumps(clusters.report.to_dict()))


def bertopic(folder: Path, _: int) -> None:
    """The same by BERTopic; needs nothing of ours."""
    from bertopic import BERTopic
    from umap import UMAP

    vectors, texts = np.load(folder / "vectors.npy"), json.loads((folder / "texts.json").read_text())
    model = BERTopic()
    model.fit_transform(texts, vectors)
    plane = UMAP(n_neighbors=10, n_components=2, min_dist=0.0, metric="cosine").fit_transform(vectors)
    model.visualize_documents(texts, reduced_embeddings=plane).write_html(folder / "bertopic.html")


def scored(folder: Path, seed: int) -> None:
    """BERTopic's topics with a seed, as they are and with the outliers reassigned by embeddings as its documentation shows; not timed."""
    from bertopic import BERTopic
    from umap import UMAP

    vectors, texts = np.load(folder / "vectors.npy"), json.loads((folder / "texts.json").read_text())
    space = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed)
    model = BERTopic(umap_model=space)
    found, _ = model.fit_transform(texts, vectors)
    np.save(folder / f"bertopic-{seed}.npy", np.array(found))
    np.save(folder / f"reassigned-{seed}.npy", np.array(model.reduce_outliers(texts, found, strategy="embeddings", embeddings=vectors)))
    np.save(folder / f"space-{seed}.npy", space.embedding_)


WORK = {"ours": ours, "bertopic": bertopic, "scored": scored}


# --- measuring -----------------------------------------------------------------------------------------------------


def main() -> None:
    from _common import write_results

    python = Path(os.environ.get("HARE_LAB_PEERS", "")) / "bertopic" / "bin" / "python"
    if "HARE_LAB_PEERS" not in os.environ or not python.exists():
        sys.exit("benchmark: set HARE_LAB_PEERS to a folder with a virtual environment bertopic/ (benchmarks/requirements-peers.txt)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels, reported = prepare(folder)
        times, peak = timed(folder, python, float(sys.argv[1]) if len(sys.argv) == 2 else float("inf"))
        for seed in range(SEEDS):
            fresh(python, "scored", folder, seed, folder / "numba-bertopic-0")
        measures = [*quality(folder, labels, reported), *speed(times, peak)]
    print(write_results("clustering", measures).with_suffix(".md").read_text(encoding="utf-8"))


def prepare(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write the texts and vectors that both sides read; returns the label of each post, and whether it is reported on."""
    from _common import real_data
    from datasets import Dataset

    from hare_lab.embedding import embed, page_texts

    rows = real_data("reddit_selfposts")
    names = np.unique([row["label"] for row in rows])
    rng = np.random.default_rng(SEED)
    tuned = rng.permutation(names)[: len(names) // 2]
    posts = [rows[row] for row in np.sort(rng.choice(len(rows), POSTS, replace=False))]
    pages = Dataset.from_dict({name: [post[name] for post in posts] for name in ("title", "text")})
    np.save(folder / "vectors.npy", np.asarray(embed(pages).vectors))
    (folder / "texts.json").write_text(json.dumps(page_texts(pages)))
    labels = np.array([post["label"] for post in posts])
    return labels, ~np.isin(labels, tuned)


def timed(folder: Path, python: Path, minutes: float) -> tuple[dict[str, Times], float]:
    """Seconds (ours, BERTopic) of each pair, cold and warm, and the most memory that ours took.

    The first cold pair fills the caches that the warm pairs find.
    """
    times: dict[str, Times] = {"cold": [], "warm": []}
    peaks, start = [], time.monotonic()
    for pair in range(PAIRS):
        for kind, pairs in times.items():
            if pair >= (1 if kind == "cold" else SEEDS) and time.monotonic() - start > 60 * minutes:
                continue
            caches = [folder / f"numba-{side}-{pair if kind == 'cold' else 0}" for side in WORK]
            mine, peak = fresh(Path(sys.executable), "ours", folder, pair % SEEDS, caches[0])
            theirs, _ = fresh(python, "bertopic", folder, pair % SEEDS, caches[1])
            pairs.append((mine, theirs))
            peaks.append(peak)
            print(f"{kind}: ours {mine:.0f} s, BERTopic {theirs:.0f} s, our peak {peak:.2f} GiB", flush=True)
    return times, max(peaks)


def fresh(python: Path, work: str, folder: Path, seed: int, numba: Path) -> tuple[float, float]:
    """Wall-clock seconds and peak memory in GiB of a piece of work in a new process with its own numba cache."""
    numba.mkdir(exist_ok=True)
    errors = folder / "errors.txt"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(numba), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if work != "ours":
        env.pop("PYTHONPATH", None)  # the peer needs nothing of ours, and with this folder on it numba finds the wrong `coverage`
    start = time.perf_counter()
    with errors.open("w") as log:
        child = subprocess.Popen(
            [str(python), "-P", str(Path(__file__).resolve()), work, str(folder), str(seed)],  # -P: coverage.py here is not numba's
            env=env, stderr=log,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"benchmark: {work} failed: {errors.read_text()[-2000:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def quality(folder: Path, labels: np.ndarray, reported: np.ndarray) -> list[dict[str, Any]]:
    """Agreement with the labels that were not looked at, ours and the peers'; medians over the seeds."""
    from _common import measure
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_mutual_info_score

    agreement = lambda found: float(adjusted_mutual_info_score(labels[reported], found[reported]))  # noqa: E731
    true = len(np.unique(labels))
    runs = [np.load(folder / f"ours-{seed}.npy") for seed in range(SEEDS)]
    told = [KMeans(true, n_init=10, random_state=s).fit_predict(np.load(folder / f"space-{s}.npy")) for s in range(SEEDS)]
    peers = [np.load(folder / f"bertopic-{seed}.npy") for seed in range(SEEDS)]
    stability = json.loads((folder / "ours-0.json").read_text())["stability"]
    ami = [agreement(run[1]) for run in runs]
    ami_peer, ami_told = [agreement(peer) for peer in peers], [agreement(one) for one in told]
    ami_again = [agreement(np.load(folder / f"reassigned-{seed}.npy")) for seed in range(SEEDS)]
    over_peer, over_again, over_told = ([a - b for a, b in zip(ami, other, strict=True)] for other in (ami_peer, ami_again, ami_told))
    left = float((peers[0] < 0).mean())
    noise = [float((run[0] < 0).mean()) for run in runs]
    clusters = [int(run[1].max()) + 1 for run in runs]
    where = f"{int(reported.sum()):,} of {POSTS:,} reddit posts, those whose labels were not looked at"
    seeds = f"median of seeds 0 to {SEEDS - 1}"
    return [
        measure("clustering.ami_all", statistics.median(ami), target=0.60, interval=_span(ami),
                how=f"`nearest_cluster` of all posts clustered together, scored on {where}; {seeds}"),
        measure("clustering.ami_over_bertopic", statistics.median(over_peer), target=0.03, interval=_span(over_peer),
                how=f"above BERTopic's defaults, {left:.0%} of posts left out as one group, the same posts and vectors; {seeds}"),
        measure("clustering.ami_over_bertopic_reassigned", statistics.median(over_again), target=0.03, interval=_span(over_again),
                how=f"above BERTopic with its outliers reassigned by embeddings; {seeds}"),
        measure("clustering.ami_over_kmeans", statistics.median(over_told), target=0.03, interval=_span(over_told),
                how=f"above UMAP to 5 dimensions + k-means told the true {true}; {seeds}"),
        measure("clustering.ami_bertopic", statistics.median(ami_peer), interval=_span(ami_peer),
                how=f"BERTopic's defaults; {left:.0%} are left out and count as one group"),
        measure("clustering.ami_bertopic_reassigned", statistics.median(ami_again), interval=_span(ami_again),
                how="BERTopic's defaults, outliers reassigned by embeddings"),
        measure("clustering.ami_kmeans", statistics.median(ami_told), interval=_span(ami_told), how=f"UMAP + k-means told the true {true}"),
        measure("clustering.ami_every_label", float(adjusted_mutual_info_score(labels, runs[0][1])),
                how=f"all {POSTS:,} posts and {true} labels, half of which were looked at; seed 0"),
        measure("clustering.noise", statistics.median(noise), target=0.20, better="lower", interval=_span(noise),
                how=f"share of all {POSTS:,} posts left unclustered by the same runs"),
        measure("clustering.clusters", int(statistics.median(clusters)), interval=_span(clusters),
                how=f"found, told nothing; {true} labels"),
        measure("clustering.stability", stability, how="agreement of the communities of random halves of the graph; seed 0"),
    ]  # fmt: skip


def speed(times: dict[str, Times], peak: float) -> list[dict[str, Any]]:
    """How long ours takes as a share of BERTopic, and what memory."""
    from _common import measure

    ratios = {kind: [mine / theirs for mine, theirs in pairs] for kind, pairs in times.items()}
    runs = sum(map(len, times.values()))
    worst = max(ratios, key=lambda kind: statistics.median(ratios[kind]))
    what = "ours / BERTopic, whole fresh processes from vectors to named clusters and a drawn map, medians of interleaved pairs"
    rows = [
        measure("clustering.time_ratio", statistics.median(ratios[worst]), target=1.2, better="lower", interval=_span(ratios[worst]),
                how=f"{what}; the worse of cold and warm ({worst})")
    ]  # fmt: skip
    for kind, pairs in times.items():
        mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        how = f"{kind} numba cache: ours {mine:.0f} s, BERTopic as it comes, unseeded, {theirs:.0f} s; interleaved pairs: {len(pairs)}"
        rows.append(
            measure(f"clustering.time_ratio_{kind}", statistics.median(ratios[kind]), target=1.2, better="lower",
                    interval=_span(ratios[kind]), how=how)
        )  # fmt: skip
    memory = f"largest resident memory of {runs} processes of ours, texts and figure included"
    return [*rows, measure("clustering.peak_gib", peak, unit="GiB", target=3.0, better="lower", how=memory)]


def _span(values: list[Any]) -> tuple[Any, Any]:
    return min(values), max(values)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] in WORK:
        WORK[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
