"""How do others choose? The published methods, as an order of the pages: whoever has a budget takes them from the front.

Each is written from its paper, or its authors' code where the paper leaves a step open; what neither states is marked
"our choice". docs/curation.md lists the sources.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

AT_ONCE = 20  # sketches of one product
BLOCK = 2048  # pages whose similarities are held at once
PASSES = 20  # of k-means
DEDUPLICATED = 0.75  # share of pages that D4 keeps of its first step
SKETCHES, TOGETHER, BUCKETS, WIDTH = 500, 3, 20_000, 0.7  # sketches, hashes of each, its counters, and the width of a hash


def random_order(vectors: np.ndarray, quality: np.ndarray, seed: int) -> np.ndarray:
    """Any page as soon as any other."""
    return np.random.default_rng(seed).permutation(len(quality))


def top_quality(vectors: np.ndarray, quality: np.ndarray, seed: int) -> np.ndarray:
    """The best pages by a learned score, whatever they are about.

    References
    ----------
    Penedo et al. (2024), "The FineWeb datasets", arXiv:2406.17557, section 4.
    """
    return np.lexsort((np.arange(len(quality)), -quality))


def semdedup(vectors: np.ndarray, quality: np.ndarray, seed: int) -> np.ndarray:
    """Pages that are least like one that lies farther from the middle of their cluster; a smaller budget is a stricter threshold.

    References
    ----------
    Abbas et al. (2023), "SemDeDup", arXiv:2303.09540, section 3, and the authors' code for who stays: the page farthest from the centroid.
    """
    likeness = _repetition(vectors, _clusters(vectors, seed))
    return np.lexsort((np.arange(len(likeness)), likeness))


def d4(vectors: np.ndarray, quality: np.ndarray, seed: int) -> np.ndarray:
    """SemDeDup down to three quarters, new clusters of what is left, then the pages farthest from the middle of theirs.

    References
    ----------
    Tirumala et al. (2023), "D4", arXiv:2308.12284, section 3.4 (R_dedup = 0.75).
    """
    first = semdedup(vectors, quality, seed)
    kept = np.sort(first[: round(DEDUPLICATED * len(first))])
    labels, centres = _clusters(vectors[kept], seed)
    central = np.einsum("ij,ij->i", vectors[kept], centres[labels])
    return np.concatenate([kept[np.lexsort((kept, central))], first[len(kept) :]])


def density(vectors: np.ndarray, quality: np.ndarray, seed: int) -> np.ndarray:
    """A draw in which a page is the likelier, the emptier its surroundings: inverse propensity sampling of a kernel density.

    The density is that of RACE: how many pages fall into the same bucket, on average over random projections (p-stable
    hashes); three hashes together make the kernel narrow enough to tell a copy from a page on the same subject.

    References
    ----------
    Sachdeva et al. (2024), "How to train data-efficient LLMs", arXiv:2402.09668, section 3.2; Coleman & Shrivastava (2020), "Sub-linear
    RACE sketches for approximate kernel density estimation on streaming data", WWW. Widths and numbers are our choice.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rng = np.random.default_rng(seed)
    counted = np.zeros(len(vectors))
    with threadpool_limits(limits=1):  # a product that rounds otherwise at the edge of a bucket would draw other pages
        for _ in range(0, SKETCHES, AT_ONCE):
            directions = rng.normal(size=(vectors.shape[1], AT_ONCE * TOGETHER)).astype(np.float32) / WIDTH
            places = np.floor(vectors @ directions + rng.random(AT_ONCE * TOGETHER).astype(np.float32)).astype(np.int64)
            mixed = places.reshape(len(vectors), AT_ONCE, TOGETHER) @ rng.integers(1, 1 << 31, TOGETHER) % BUCKETS
            for bucket in mixed.T:
                counted += np.bincount(bucket, minlength=BUCKETS)[bucket]
    chance = np.log(counted) - rng.gumbel(size=len(vectors))
    return np.argsort(chance, kind="stable")  # a draw without replacement, in proportion to 1 / density


def top_likeness(vectors: np.ndarray, likeness: np.ndarray, seed: int) -> np.ndarray:
    """The pages most like those that were named as good, by a classifier that tells these from the pool, whatever they are about.

    References
    ----------
    Li et al. (2024), "DataComp-LM", arXiv:2406.11794, section 4.4.
    """
    return top_quality(vectors, likeness, seed)


ORDERS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "random": random_order, "top-quality": top_quality, "top-likeness": top_likeness, "semdedup": semdedup, "d4": d4, "density": density,
}  # fmt: skip


def _clusters(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """k-means on the unit sphere with the square root of n clusters (our choice): labels, and centres of length 1."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    k = max(1, min(len(vectors), round(len(vectors) ** 0.5)))
    with threadpool_limits(limits=1):  # sums in one order, so that the clusters are the same at any number of threads
        found = KMeans(k, n_init=1, max_iter=PASSES, random_state=seed).fit(vectors)
    centres = found.cluster_centers_ / np.maximum(np.linalg.norm(found.cluster_centers_, axis=1, keepdims=True), 1e-12)
    return found.labels_, centres.astype(np.float32)


def _repetition(vectors: np.ndarray, clusters: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """For each page the greatest cosine to a page of its cluster that lies farther from the centroid; -1 for the farthest."""
    labels, centres = clusters
    likeness = np.full(len(labels), -1.0, np.float32)
    central = np.einsum("ij,ij->i", vectors, centres[labels])
    order = np.lexsort((np.arange(len(labels)), central, labels))
    for cluster in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        for low in range(0, len(cluster), BLOCK):
            rows = cluster[low : low + BLOCK]
            cosines = vectors[rows] @ vectors[cluster[: low + len(rows)]].T
            cosines[np.arange(len(cluster[: low + len(rows)]))[None, :] >= np.arange(low, low + len(rows))[:, None]] = -1
            likeness[rows] = cosines.max(axis=1)
    return likeness
