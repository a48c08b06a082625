"""What is each cluster about, in words a person can read, and how do clusters nest?

    topics = describe(pages, clusters, vectors)
    topics.table   # one row a cluster: name, terms, size, share, representatives, parent
    topics.report  # how many, how they were named, what is unclustered

`terms` finds the words that tell a cluster from the others, `names` makes names of them or asks a language model for one,
`describe` puts the table together. Formulas and sources: docs/clustering.md.
"""

from __future__ import annotations

from hare_lab.topics.describe import Topics, TopicsReport, describe
from hare_lab.topics.names import Namer, llm_namer

__all__ = ["Namer", "Topics", "TopicsReport", "describe", "llm_namer"]
