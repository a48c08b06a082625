"""From vectors to clusters, strength and map: checks, memory, the steps in a row, and new pages by their neighbours."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from hare_lab.clustering import communities, neighbours
from hare_lab.clustering.belonging import LEAST_STRENGTH, Found, company, extended, settled, voted
from hare_lab.clustering.checks import checked, finite
from hare_lab.clustering.density import dense
from hare_lab.clustering.layout import lay_out, main_directions
from hare_lab.clustering.report import ClusterReport
from hare_lab.errors import InputError

FINER = 2.5  # times the resolution of the clusters: that of the first groupings, which only shape the space
SPACES = 4  # spaces in which the graph is sharpened, each from groupings of its own
GROUPINGS = 2  # first groupings that have a say in a space
FIRST_RUNS = 5  # runs whose agreement makes each of them
DIRECTIONS = 32  # fewest in which neighbours still mean something: with 17 to 32, small planted sets fell into too many clusters
LEAST_STABILITY = 1 / 3  # what halves of the graph of random points reach is below 0.3
AIMS = 4  # times that a number of clusters is aimed for
RUNS = 10  # runs whose agreement makes the final graph, in each space
MAX_FIT = 50_000  # exact neighbours cost the square of this: about 20 s twice on two cores
LEAST_FIT = 1_000
COPY = 512  # vectors that agree to 1/512 in each place are one page many times

COMMUNITIES = {
    "number of clusters": (
        "the finest resolution at which the communities of random halves of the graph agree nearly as well as at any, "
        "unless a number was asked for"
    ),
    "cluster": "communities (Leiden) of the graph of nearest neighbours in the space that separates a first, finer grouping best",
    "strength": "share of a page's nearest neighbours in the vectors, weighted by closeness, that are in its community; "
    "less for a page that is over 1.5 times as far from its neighbours as they are from theirs",
    "unclustered": "strength below the least strength, which is one half unless a share was asked for",
    "nearest_cluster": "the cluster of the page's community; where that is none, the one that its neighbours hold to most",
    "layout": "UMAP of the neighbours in the vectors as they came; no axis has a unit",
}
DENSITY = {
    "number of clusters": "what HDBSCAN finds with the least size of a cluster",
    "cluster": "dense regions (HDBSCAN) of UMAP's layout of the neighbours in five dimensions",
    "strength": "one half and more by how near a page is to the core of its region; 0 outside any",
    "unclustered": "outside every dense region",
    "nearest_cluster": "the cluster of the page's region; outside any, the one whose centre its vector is nearest to",
    "layout": COMMUNITIES["layout"],
}
RULES = {"communities": COMMUNITIES, "hdbscan": DENSITY}


@dataclass(frozen=True)
class Clusters:
    """Pages in clusters and on a map, in the order of the vectors.

    `cluster` int32 (n,), -1 = unclustered; `nearest_cluster` int32 (n,), never -1; `layout` float32 (n, 2); `strength`
    float32 (n,), 0 to 1: how much of a page's neighbourhood is in its nearest cluster. Cluster 0 is the largest.
    """

    cluster: np.ndarray
    nearest_cluster: np.ndarray
    layout: np.ndarray
    strength: np.ndarray
    report: ClusterReport


def cluster(
    vectors: np.ndarray,
    *,
    method: str = "communities",
    seed: int = 0,
    n_clusters: int | None = None,
    noise: float | None = None,
    min_cluster_size: int | None = None,
    n_neighbors: int | None = None,
    sample: int | None = None,
    memory_gib: float = 3.0,
) -> Clusters:
    """Group pages by meaning, say which belong nowhere, and draw them.

    The number of clusters comes from the data: it is how many communities stand out at the finest resolution at which
    random halves of the graph of neighbours agree nearly as well as at any; where they hardly agree, it is one. The same vectors and
    seed give the same clusters and map on one machine, at any number of threads.

    Parameters
    ----------
    vectors : float array (n, dim)
        One a page; lengths don't matter.
    method : "communities" of the neighbour graph, or "hdbscan", density in UMAP's five dimensions
    n_clusters : how many clusters to aim for; None leaves it to the data
        Fewer are found where groups stay below `min_cluster_size`, which the report says.
    noise : share of pages to leave unclustered, 0 to below 1, met as far as pages differ in strength; None leaves it to the rule
    min_cluster_size : fewest pages of a cluster; None is one page in 2,000, at least 5
    n_neighbors : neighbours that make the graph; None is the cube root of the pages that are fitted, at least 5
    sample : fit on so many pages drawn by seed, and assign the rest; None is all, up to 50,000 or what memory allows
    memory_gib : memory that the fit may take, estimated first

    Raises
    ------
    InputError
        If the vectors are not finite numbers in two dimensions, a setting is out of range, `n_clusters` of `min_cluster_size`
        take more pages than there are, or not even a sample of 1,000 pages would fit in `memory_gib`.
    """
    vectors = checked(vectors, method, n_clusters, noise, min_cluster_size, n_neighbors, sample)
    n, dimension = vectors.shape
    size = _fit_size(n, dimension, sample, memory_gib)
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:size])
    least_size = min_cluster_size or max(5, size // 2000)
    if n_clusters is not None and n_clusters > 1 and n_clusters * least_size > size:
        default = "" if min_cluster_size else ", the default,"
        raise InputError(
            f"clustering: n_clusters={n_clusters} with min_cluster_size={least_size}{default} needs {n_clusters * least_size:,} pages and "
            f"{size:,} are fitted; ask for fewer, or lower min_cluster_size"
        )
    k = n_neighbors or max(5, round(size ** (1 / 3)))
    seconds: dict[str, float] = {}
    fitted = _fit(neighbours.unit(vectors[chosen]), method, seed, n_clusters, noise, least_size, k, seconds)
    if size == n:
        found = fitted
    else:
        with _timed(seconds, "assign"):
            found = extended(vectors, chosen, fitted)
    settings = {
        "method": method, "seed": seed, "n_clusters": n_clusters, "noise": noise, "min_cluster_size": least_size, "n_neighbors": k,
        "sample": sample,
    }  # fmt: skip
    return _reported(found, size, seconds, settings, memory(size, dimension))


def assign(vectors_new: np.ndarray, vectors: np.ndarray, clusters: Clusters) -> Clusters:
    """Give new pages their cluster and position by their neighbours among pages already clustered.

    The 15 nearest pages vote, each by its closeness; strength is the winner's share of the vote, less for a remote page as in
    `cluster`, and the position is the weighted mean of the winner's voters.

    Parameters
    ----------
    vectors_new : float array (m, dim)
    vectors : float array (n, dim), those that `clusters` came from, in the same order

    Raises
    ------
    InputError
        If the vectors are not finite, or their shapes do not match each other and the clusters.
    """
    new, old = finite(vectors_new), finite(vectors)
    if len(old) != len(clusters.cluster) or new.shape[1] != old.shape[1]:
        raise InputError(f"assign: vectors {old.shape}, new vectors {new.shape} and {len(clusters.cluster)} clustered pages do not match")
    seconds: dict[str, float] = {}
    with _timed(seconds, "assign"):
        found = voted(
            new,
            np.arange(len(new)),
            neighbours.unit(old),
            Found(clusters.nearest_cluster, clusters.strength, clusters.layout, clusters.report.least_strength),
        )
    return _reported(found, len(old), seconds, clusters.report.settings, clusters.report.memory_estimated, clusters.report.n_clusters)


def memory(n: int, dimension: int) -> float:
    """GiB that a fit on n pages takes: vectors and their copies, blocks of similarities, the edges of the graphs."""
    vectors = 6 * 4 * n * (dimension + 1)
    blocks = 2 * neighbours.WORKERS * 4 * max(neighbours.BLOCK, n)
    edges = 160 * n ** (4 / 3)
    return float(vectors + blocks + edges) / 2**30 + 0.4  # 0.4: the libraries themselves


def _fit_size(n: int, dimension: int, sample: int | None, memory_gib: float) -> int:
    size = min(n, sample or MAX_FIT)
    while size > LEAST_FIT and memory(size, dimension) > memory_gib:
        size = max(LEAST_FIT, int(size * 0.9))
    if (needed := memory(size, dimension)) > memory_gib:
        raise InputError(
            f"clustering {size:,} pages needs about {needed:.1f} GiB and memory_gib is {memory_gib:g}; raise it to {needed:.1f}"
        )
    return size


def _fit(
    vectors: np.ndarray,
    method: str,
    seed: int,
    n_clusters: int | None,
    noise: float | None,
    least_size: int,
    k: int,
    seconds: dict[str, float],
) -> Found:
    """Cluster the distinct pages; a copy goes where its original goes."""
    distinct, original = _distinct(vectors)
    points = neighbours.unit(vectors[distinct] - vectors[distinct].mean(axis=0))
    k = min(k, len(distinct) - 1)
    if len(distinct) < 2 * least_size:
        return _one_cluster(points, original)
    copies = np.bincount(original).astype(float)
    with _timed(seconds, "neighbours"):
        indices, similarities = neighbours.nearest(points, points, k, same=True)
        weights = neighbours.closeness(similarities)
        graph = neighbours.undirected(neighbours.directed(indices, weights, len(points)))
    with _timed(seconds, "clusters"):
        if method == "hdbscan":
            nearest, strength = dense(points, graph, least_size, copies, seed)
            least, resolution, stability = LEAST_STRENGTH, None, None
        else:
            distance = 1 - similarities.mean(axis=1)
            near = company(distance, distance[indices].mean(axis=1))
            settle = partial(settled, indices, weights, near, copies=copies, noise=noise, least_size=least_size)
            agreed, resolution, stability = _graph_of_groups(points, graph, k, n_clusters, seed)
            if agreed is None:
                nearest, strength, least = settle(labels=np.zeros(len(points), np.int32))
            elif n_clusters is None:
                nearest, strength, least = settle(labels=communities.leiden(agreed, resolution, seed))
            else:
                nearest, strength, least = _aimed(agreed, n_clusters, settle, seed)
    with _timed(seconds, "layout"):
        layout = lay_out(points, graph, seed)
    return Found(nearest[original], strength[original], layout[original], least, resolution, stability)


def _graph_of_groups(
    points: np.ndarray, graph: sparse.csr_matrix, k: int, n_clusters: int | None, seed: int
) -> tuple[sparse.csr_matrix | None, float, float | None]:
    """The graph whose communities are the clusters, None where nothing stands out; the resolution and stability that gave their number."""
    if n_clusters is not None:
        resolution = communities.resolution_for(graph, n_clusters, seed)
        return _agreed(points, graph, k, resolution, seed), resolution, None
    resolution, stability = communities.finest_stable(graph, seed)
    agreed = None if stability < LEAST_STABILITY else _agreed(points, graph, k, resolution, seed)
    return agreed, resolution, stability


Settled = tuple[np.ndarray, np.ndarray, float]


def _aimed(agreed: sparse.csr_matrix, wanted: int, settle: Callable[..., Settled], seed: int) -> Settled:
    """As many clusters as were wanted, or nearly: where some are too small to stay, so many more are asked for."""
    asked, found = wanted, []
    for _ in range(AIMS):
        found.append(settle(labels=communities.exactly(agreed, asked, seed)))
        lacking = wanted - 1 - int(found[-1][0].max())
        if lacking <= 0:
            break
        asked += lacking
    return min(found, key=lambda one: abs(wanted - 1 - int(one[0].max())))


def _agreed(points: np.ndarray, graph: sparse.csr_matrix, k: int, resolution: float, seed: int) -> sparse.csr_matrix:
    """The graph that the clusters are found on: neighbours in discriminant spaces, weighted by the agreement of runs, summed."""
    first = communities.consensuses(graph, FINER * resolution, seed, FIRST_RUNS, SPACES * GROUPINGS)
    if min(labels.max() for labels in first) < DIRECTIONS:
        return communities.agreement(graph, communities.partitions(graph, resolution, seed + 1, RUNS))
    agreed = sparse.csr_matrix(graph.shape)
    for space in range(SPACES):
        told = first[space * GROUPINGS : (space + 1) * GROUPINGS]
        sharpened = neighbours.graph_of(neighbours.unit(np.hstack([communities.discriminant(points, labels) for labels in told])), k)
        agreed += communities.agreement(sharpened, communities.partitions(sharpened, resolution, seed + 1 + space, RUNS))
    return agreed


def _one_cluster(points: np.ndarray, original: np.ndarray) -> Found:
    """Too few distinct pages to tell apart."""
    same = np.zeros(len(original), np.int32)
    return Found(same, np.ones(len(original)), main_directions(points)[original], LEAST_STRENGTH)


def _distinct(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that stand for all, and which of them each row is a copy of."""
    coarse = np.ascontiguousarray(np.round(vectors * COPY).astype(np.int16))
    keys = coarse.view(np.dtype((np.void, coarse.dtype.itemsize * coarse.shape[1]))).ravel()
    _, first, original = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)  # keep the order in which the pages came
    renumbered: np.ndarray = np.argsort(order)[original]
    return first[order], renumbered


def _reported(
    found: Found, fitted: int, seconds: dict[str, float], settings: dict[str, Any], estimated: float, n_clusters: int | None = None
) -> Clusters:
    nearest = found.nearest.astype(np.int32)
    labels = np.where(found.strength >= found.least, nearest, np.int32(-1))
    count = n_clusters or int(nearest.max()) + 1
    report = ClusterReport(
        pages=len(labels),
        n_clusters=count,
        noise=float((labels < 0).mean()) if len(labels) else 0.0,
        sizes=np.bincount(labels[labels >= 0], minlength=count).tolist(),
        fitted=fitted,
        sampled=fitted < len(labels),
        least_strength=found.least,
        seconds=seconds,
        memory_estimated=estimated,
        memory_peak=_peak(),
        settings=settings,
        rules=RULES[settings["method"]],
        resolution=found.resolution,
        stability=found.stability,
    )
    return Clusters(labels, nearest, found.layout.astype(np.float32), found.strength.astype(np.float32), report)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def _peak() -> float:
    """GiB that this process has held at most."""
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(held) / (2**30 if sys.platform == "darwin" else 2**20)
