"""Which groups of pages hold together more than chance would have it?

A community has more weight inside than its pages' degrees explain (modularity; Leiden finds it). Three things make the
communities of a text graph better than one run gives: directions that separate a first, finer grouping are stretched and
the rest is dropped (a discriminant space), several first groupings have a say in it, and the final graph keeps only
what several runs in several such spaces agree on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hare_lab.clustering.neighbours import unit
from hare_lab.machine import cores

RESOLUTIONS = (0.25, 0.5, 1.0, 2.0, 4.0)  # the finest is what served half of the labels of a labelled corpus best (docs/clustering.md)
NEARLY = 0.88  # of the best agreement is still agreement: topics nest, and the coarsest split is always the most stable
HALVES = 4


def leiden(graph: sparse.csr_matrix, resolution: float, seed: int) -> np.ndarray:
    """Communities of an undirected weighted graph, as labels 0, 1, ... (n,).

    References
    ----------
    Traag, Waltman & van Eck (2019), "From Louvain to Leiden", Scientific Reports 9:5233.
    Reichardt & Bornholdt (2006), Phys. Rev. E 74:016110, for the resolution.
    """
    from graspologic_native import leiden_csr  # type: ignore[import-untyped]

    n = graph.shape[0]
    if graph.nnz == 0:  # the library panics
        return np.arange(n, dtype=np.int32)
    _, found = leiden_csr(
        graph.indptr.astype(np.int64), graph.indices.astype(np.int32), graph.data.astype(np.float64), n,
        resolution=resolution, iterations=2, seed=seed,
    )  # fmt: skip
    labels = np.array([found.get(page, -1 - page) for page in range(n)])  # a page with no edge is on its own
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)


def partitions(graph: sparse.csr_matrix, resolution: float, seed: int, runs: int) -> list[np.ndarray]:
    """Several runs of Leiden, each with a seed of its own."""
    seeds = np.random.default_rng(seed).integers(2**31, size=runs).tolist()
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda one: leiden(graph, resolution, one), seeds))


def thinned(graph: sparse.csr_matrix, seed: int) -> sparse.csr_matrix:
    """A random half of the edges of an undirected graph."""
    upper = sparse.triu(graph, 1).tocoo()
    kept = np.random.default_rng(seed).random(upper.nnz) < 0.5
    half = sparse.csr_matrix((upper.data[kept], (upper.row[kept], upper.col[kept])), shape=graph.shape)
    both = (half + half.T).tocsr()
    both.sort_indices()
    return both


def finest_stable(graph: sparse.csr_matrix, seed: int) -> tuple[float, float]:
    """The finest resolution whose communities hardly depend on which half of the edges is seen, and how well halves agree there.

    Communities that are really there are found again in another random half of the edges; those that are an accident of
    the graph are not. Agreement is adjusted mutual information (0 by chance, 1 identical), the mean over pairs of four halves;
    one single community is trivially stable and does not count. Topics nest, and of nested groups the coarsest agree best
    and say least; so the finest resolution is taken at which halves agree at least `NEARLY` as well as anywhere.

    References
    ----------
    Ben-Hur, Elisseeff & Guyon (2002), "A stability based method for discovering structure in clustered data", PSB 7:6-17.
    Vinh, Epps & Bailey (2010), "Information theoretic measures for clusterings comparison", JMLR 11:2837-2854.
    """
    from itertools import combinations

    from sklearn.metrics import adjusted_mutual_info_score

    halves = [thinned(graph, seed + number) for number in range(HALVES)]
    measured: dict[float, float] = {}
    with ThreadPoolExecutor(cores()) as pool:
        for resolution in RESOLUTIONS:
            found = list(pool.map(lambda half: leiden(half, resolution, seed), halves))  # noqa: B023
            pairs = pool.map(lambda pair: adjusted_mutual_info_score(*pair), combinations(found, 2))
            measured[resolution] = float(np.mean(list(pairs))) if all(labels.max() for labels in found) else 0.0
    finest = max(resolution for resolution, agreed in measured.items() if agreed >= NEARLY * max(measured.values()))
    return finest, measured[finest]


def discriminant(vectors: np.ndarray, labels: np.ndarray, shrinkage: float = 0.1) -> np.ndarray:
    """The vectors in the space that separates the labelled groups best, rows of length 1.

    Linear discriminant analysis: whiten the scatter within groups, shrunk towards a multiple of the identity, and keep the
    directions in which the groups' means differ. With labels that are themselves found in the data this is a step of
    self-training.

    Parameters
    ----------
    vectors : float32 (n, dim)
    labels : int (n,), 0 to g - 1
    shrinkage : share of the identity in the scatter within groups

    Returns
    -------
    float32 (n, min(g - 1, dim))

    References
    ----------
    Hastie, Tibshirani & Friedman (2009), The Elements of Statistical Learning, section 4.3.3.
    Ding & Li (2007), "Adaptive dimension reduction using discriminant analysis and k-means clustering", ICML.
    """
    sizes = np.bincount(labels)
    member = sparse.csr_matrix((np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))))
    with threadpool_limits(limits=1):
        means = (member @ vectors) / sizes[:, None]
        middle = vectors.mean(axis=0)
        around = vectors - means[labels]
        scatter = (around.T @ around).astype(np.float64) / len(vectors)
        floor = np.trace(scatter) / len(scatter)
        values, directions = np.linalg.eigh((1 - shrinkage) * scatter + shrinkage * floor * np.eye(len(scatter)))
        whiten = directions / np.sqrt(np.maximum(values, 1e-12))
        spread = (means - middle) @ whiten * np.sqrt(sizes / len(vectors))[:, None]
        axes = np.linalg.svd(spread, full_matrices=False)[2][: len(sizes) - 1]
        return unit((vectors - middle) @ (whiten @ axes.T).astype(np.float32))


def agreement(graph: sparse.csr_matrix, runs: list[np.ndarray]) -> sparse.csr_matrix:
    """The graph's edges, each weighted by the share of runs that put both its pages into one community.

    References
    ----------
    Lancichinetti & Fortunato (2012), "Consensus clustering in complex networks", Scientific Reports 2:336.
    """
    edges = graph.tocoo()
    together = np.mean([run[edges.row] == run[edges.col] for run in runs], axis=0)
    agreed = sparse.csr_matrix((together, (edges.row, edges.col)), shape=graph.shape)
    agreed.eliminate_zeros()
    agreed.sort_indices()
    return agreed


def consensuses(graph: sparse.csr_matrix, resolution: float, seed: int, runs: int, count: int) -> list[np.ndarray]:
    """`count` groupings, each what several runs of Leiden agree on: the communities of the graph weighted by their agreement."""
    seeds = [seed + 1000 * number for number in range(count)]
    found = partitions(graph, resolution, seed, runs * count)
    agreed = [agreement(graph, found[number * runs : (number + 1) * runs]) for number in range(count)]
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda one, its: leiden(one, resolution, its), agreed, seeds))


def resolution_for(graph: sparse.csr_matrix, count: int, seed: int) -> float:
    """About the lowest resolution that gives at least `count` communities."""
    low, high = 1e-3, 0.5
    while leiden(graph, high, seed).max() + 1 < count and high < 1e4:
        low, high = high, high * 2
    for _ in range(6):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if leiden(graph, middle, seed).max() + 1 < count else (low, middle)
    return high


def exactly(graph: sparse.csr_matrix, count: int, seed: int) -> np.ndarray:
    """`count` communities, or as many as there can be: those of the lowest resolution with enough, then merged.

    Merged is the smallest community into the one to which it holds most, again and again.
    """
    return merged(graph, leiden(graph, resolution_for(graph, count, seed), seed), count)


def merged(graph: sparse.csr_matrix, labels: np.ndarray, count: int) -> np.ndarray:
    """Labels with the smallest communities merged into their closest ones until `count` are left."""
    weight = between(graph, labels)
    sizes = np.bincount(labels).astype(float)
    into = np.arange(len(sizes))
    np.fill_diagonal(weight, 0)
    for _ in range(len(sizes) - count):
        small = int(np.argmin(np.where(sizes > 0, sizes, np.inf)))
        held = np.where(sizes > 0, weight[small] / np.maximum(sizes, 1), -1.0)
        held[small] = -2
        home = int(np.argmax(held))
        weight[home] += weight[small]
        weight[:, home] += weight[:, small]
        weight[home, home] = 0
        sizes[home] += sizes[small]
        sizes[small] = 0
        into[into == small] = home
    return np.unique(into[labels], return_inverse=True)[1].astype(np.int32)


def between(graph: sparse.csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Total weight between each pair of communities (g, g)."""
    member = sparse.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))))
    table: np.ndarray = (member @ graph @ member.T).toarray()
    return table
