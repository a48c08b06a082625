"""Where does each page lie on a map on which near pages are alike?

UMAP's layout of the graph of nearest neighbours that the clusters were found on, so that no neighbour is searched twice.
One thread and a seed: the same map every time.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

EPOCHS = 200
FEW = 8  # pages with so little to lay out that their two main directions are the map


def main_directions(vectors: np.ndarray, count: int = 2) -> np.ndarray:
    """The pages along the `count` directions in which they differ most, within -10 and 10; float32 (n, count)."""
    with threadpool_limits(limits=1):
        centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
        _, directions = np.linalg.eigh(centred.T @ centred)
        plane = centred @ directions[:, -count:][:, ::-1]
    plane = np.pad(plane, ((0, 0), (0, count - plane.shape[1])))
    plane *= 10 / max(float(np.abs(plane).max()), 1e-9)
    return plane.astype(np.float32)


def lay_out(vectors: np.ndarray, graph: sparse.csr_matrix, seed: int, *, dimensions: int = 2, min_dist: float = 0.1) -> np.ndarray:
    """Positions, float32 (n, dimensions), of the pages of a graph; the start is their main directions.

    `min_dist` is how close two pages may lie: some way apart for the eye, 0 where density is to be read.

    References
    ----------
    McInnes, Healy & Melville (2018), "UMAP", arXiv:1802.03426, section 3.2.
    """
    start = main_directions(vectors, dimensions)
    if len(vectors) <= FEW:
        return start
    from umap.umap_ import find_ab_params, simplicial_set_embedding

    a, b = find_ab_params(1.0, min_dist)
    start += np.random.default_rng(seed).normal(scale=1e-3, size=start.shape).astype(np.float32)
    with threadpool_limits(limits=1):
        positions, _ = simplicial_set_embedding(
            vectors, graph.tocoo(), dimensions, initial_alpha=1.0, a=a, b=b, gamma=1.0, negative_sample_rate=5, n_epochs=EPOCHS,
            init=start, random_state=np.random.RandomState(seed), metric="euclidean", metric_kwds={},
            densmap=False, densmap_kwds={}, output_dens=False, parallel=False,
        )  # fmt: skip
    return np.ascontiguousarray(positions, dtype=np.float32)
