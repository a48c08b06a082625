"""Who is near whom? Exact nearest neighbours by cosine, and the weighted graph that they make.

Exact search by blocks of matrix products is quicker than an approximate index up to some 60,000 pages, since that compiles
for longer than this computes, and it has no seed. Each block is one single-threaded product and blocks run side by side, so
the result is the same at any number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hare_lab.machine import cores

BLOCK = 1 << 24  # similarities held by one thread at a time (64 MB)
GROUP = 64  # columns whose maximum bounds the k-th largest similarity
WORKERS = 8  # blocks searched side by side at most
CROWDED = 8  # times k candidates that a row may have before ties are cut


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1 as float32; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)


def nearest(queries: np.ndarray, vectors: np.ndarray, k: int, *, same: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The `k` rows of `vectors` most similar to each query, nearest first.

    Parameters
    ----------
    queries, vectors : float32 arrays (m, dim) and (n, dim) with rows of length 1
    k : neighbours wanted, below n
    same : queries are the vectors themselves; a row is then no neighbour of its own

    Returns
    -------
    indices : int32 (m, k)
    similarities : float32 (m, k), cosines
    """
    columns = np.ascontiguousarray(vectors.T)
    rows = max(1, min(1024, BLOCK // len(vectors)))
    starts = range(0, len(queries), rows)
    indices = np.empty((len(queries), k), np.int32)
    similarities = np.empty((len(queries), k), np.float32)

    def search(start: int) -> None:
        block = slice(start, start + rows)
        own = np.arange(start, min(start + rows, len(queries))) if same else None
        indices[block], similarities[block] = _top(queries[block], columns, k, own)

    with threadpool_limits(limits=1), ThreadPoolExecutor(min(cores(), WORKERS)) as pool:
        list(pool.map(search, starts))
    return indices, similarities


def _top(queries: np.ndarray, columns: np.ndarray, k: int, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The k largest products of each query; `own` is the column of each query itself."""
    m, n = len(queries), columns.shape[1]
    width = max(1, min(GROUP, n // (4 * k)))
    groups = -(-n // width)
    similarity = np.full((m, groups * width), -2, np.float32)
    np.matmul(queries, columns, out=similarity[:, :n])
    if own is not None:
        similarity[np.arange(m), own] = -2
    highest = similarity.reshape(m, width, groups).max(axis=1)  # the k-th largest of these is at most the k-th largest of all
    bound = np.partition(highest, groups - k, axis=1)[:, groups - k]
    chosen = similarity >= bound[:, None]
    for tied in np.flatnonzero(chosen.sum(axis=1) > CROWDED * k):  # many ties, such as copies of one page: any k of them will do
        chosen[tied] = False
        chosen[tied, np.argpartition(similarity[tied], -k)[-k:]] = True
    row, column = np.nonzero(chosen)
    value = similarity[row, column]
    order = np.lexsort((column, -value, row))
    take = np.searchsorted(row, np.arange(m))[:, None] + np.arange(k)
    return column[order][take].astype(np.int32), value[order][take]


def closeness(similarities: np.ndarray) -> np.ndarray:
    """How strongly a page holds to each of its neighbours, 0 to 1, each page on its own scale.

    The nearest counts 1; the others fall off exponentially at a rate that makes the weights of a page sum to log2(k + 1), so
    that a page in a thin region reaches as far as one in a thick region.

    References
    ----------
    McInnes, Healy & Melville (2018), "UMAP", arXiv:1802.03426, section 3.1 and algorithm 3.
    """
    distance = np.maximum(1 - similarities, 0).astype(np.float64)
    beyond = distance - distance.min(axis=1, keepdims=True)
    target = np.log2(similarities.shape[1] + 1)
    low, high = np.full((len(beyond), 1), -12.0), np.full((len(beyond), 1), 5.0)  # powers of e between which the scale lies
    for _ in range(30):
        middle = (low + high) / 2
        above = np.exp(-beyond / np.exp(middle)).sum(axis=1, keepdims=True) > target
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    scale = np.maximum(np.exp(high), 1e-3 * distance.mean(axis=1, keepdims=True) + 1e-12)
    weights: np.ndarray = np.exp(-beyond / scale)
    return weights


def directed(indices: np.ndarray, weights: np.ndarray, n: int) -> sparse.csr_matrix:
    """Row i holds the weights of the neighbours of page i."""
    m, k = indices.shape
    return sparse.csr_matrix((weights.ravel(), indices.ravel(), np.arange(0, m * k + 1, k)), shape=(m, n))


def undirected(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """The union of both directions, a + b - ab (UMAP, section 3.1): an edge holds if either page holds to the other."""
    back = graph.T.tocsr()
    both = (graph + back - graph.multiply(back)).tocsr()
    both.sort_indices()
    return both


def graph_of(vectors: np.ndarray, k: int) -> sparse.csr_matrix:
    """The weighted graph of the k nearest neighbours of unit vectors."""
    indices, similarities = nearest(vectors, vectors, k, same=True)
    return undirected(directed(indices, closeness(similarities), len(vectors)))
