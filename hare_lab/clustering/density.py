"""Where do pages lie dense? Clusters by UMAP and HDBSCAN, the way that most maps of text are made.

Communities of the neighbour graph agree better with what people call a topic and leave out half as much (docs/clustering.md), so
they are the default. Density asks another question, is known to every reader of such maps, and is offered beside them.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hare_lab.clustering.belonging import LEAST_STRENGTH, by_size
from hare_lab.clustering.layout import lay_out
from hare_lab.clustering.neighbours import unit

DIMENSIONS = 5  # of the space in which density is read: in 384 every place is empty


def dense(points: np.ndarray, graph: sparse.csr_matrix, least_size: int, copies: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest cluster and strength of each page, by density in UMAP's five dimensions.

    A page in a dense region has a strength of one half to 1, by how near it is to the region's core (HDBSCAN's probability *p*, as
    `(1 + p) / 2`). A page outside has none, and its nearest cluster is the one whose centre its vector is nearest to by cosine.

    Parameters
    ----------
    points : float32 (n, dim), rows of length 1
    graph : of their nearest neighbours
    least_size : fewest pages of a cluster
    copies : (n,) how many pages each stands for; the largest cluster is 0

    References
    ----------
    McInnes, Healy & Melville (2018), "UMAP", arXiv:1802.03426.
    Campello, Moulavi & Sander (2013), "Density-based clustering based on hierarchical density estimates", PAKDD.
    """
    from hdbscan import HDBSCAN

    space = lay_out(points, graph, seed, dimensions=DIMENSIONS, min_dist=0.0)
    with threadpool_limits(limits=1):
        found = HDBSCAN(min_cluster_size=max(2, least_size), core_dist_n_jobs=1).fit(space.astype(np.float64))
    labels, inside = found.labels_, found.labels_ >= 0
    if not inside.any():  # nothing stands out: the pages are one cluster
        return np.zeros(len(points), np.int32), np.ones(len(points))
    ones = np.ones(int(inside.sum()), np.float32)
    member = sparse.csr_matrix((ones, (labels[inside], np.flatnonzero(inside))), (labels.max() + 1, len(points)))
    with threadpool_limits(limits=1):
        nearest = np.where(inside, labels, (points @ unit(member @ points).T).argmax(axis=1))
    return by_size(nearest, copies), np.where(inside, LEAST_STRENGTH + (1 - LEAST_STRENGTH) * found.probabilities_, 0.0)
