"""Can these vectors be clustered with these settings? One sentence where they can't."""

from __future__ import annotations

import numpy as np

from hare_lab.errors import InputError

METHODS = ("communities", "hdbscan")


def checked(
    vectors: np.ndarray,
    method: str,
    n_clusters: int | None,
    noise: float | None,
    min_cluster_size: int | None,
    n_neighbors: int | None,
    sample: int | None,
) -> np.ndarray:
    """The vectors, once they and the settings of `cluster` were looked at."""
    if method not in METHODS:
        raise InputError(f'clustering: method "{method}" is unknown; choose one of {", ".join(METHODS)}')
    if method == "hdbscan" and (n_clusters is not None or noise is not None):
        raise InputError('clustering: n_clusters and noise are targets of the method "communities"; steer "hdbscan" by min_cluster_size')
    for name, value, least in (
        ("n_clusters", n_clusters, 1), ("min_cluster_size", min_cluster_size, 1), ("n_neighbors", n_neighbors, 2), ("sample", sample, 2),
    ):  # fmt: skip
        if value is not None and value < least:
            raise InputError(f"clustering: {name} is {value}; give {least} or more")
    if noise is not None and not 0 <= noise < 1:
        raise InputError(f"clustering: noise is {noise}; give a share from 0 to below 1")
    return finite(vectors)


def finite(vectors: np.ndarray) -> np.ndarray:
    """The vectors as they are, once each row was looked at; a memory map stays one."""
    array = np.asarray(vectors)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputError(f"clustering: vectors are {array.dtype} of shape {array.shape}; give numbers, one row a page, at least one row")
    bad = [start + np.flatnonzero(~np.isfinite(array[start : start + 10_000]).all(axis=1)) for start in range(0, len(array), 10_000)]
    if count := sum(map(len, bad)):
        first = int(next(rows[0] for rows in bad if len(rows)))
        raise InputError(f"clustering: row {first} of the vectors holds a number that is not finite ({count:,} rows do); embed them again")
    return array
