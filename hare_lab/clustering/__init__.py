"""Which pages belong together, which belong nowhere, and where does each lie on a map?

    clusters = cluster(vectors, seed=0)
    clusters.cluster          # int32 (n,), -1 = unclustered
    clusters.nearest_cluster  # int32 (n,), never -1
    clusters.layout           # float32 (n, 2)
    clusters.report           # how many, how large, what share is unclustered, how long it took

Clusters are communities of the graph of nearest neighbours, sharpened by the directions that tell first, finer
groupings apart, at the resolution at which random halves of the graph agree most. The map is drawn from the neighbours in
the vectors as they came, so its islands owe nothing to the clusters. `neighbours` finds neighbours, `communities` groups
them, `belonging` says how strongly a page belongs, `layout` draws, `fit` wires them together. What was tried, and how the
default was chosen: docs/clustering.md.
"""

from __future__ import annotations

from hare_lab.clustering.fit import Clusters, assign, cluster
from hare_lab.clustering.report import ClusterReport

__all__ = ["ClusterReport", "Clusters", "assign", "cluster"]
