"""Which pages make the concise set that serves the priors best within a token budget?

    curated = curate(prepared, vectors, run.priors, taxonomy=taxonomy)
    curated.choices           # one row a page: kept or not, and one reason in words
    curated.pages(prepared)   # the chosen pages
    curated.report            # budget, funnel, composition, quality, what topics lack

`choose` wires a choice, `quotas` shares the budget among topics, `worth` ranks the pages of a topic by quality and novelty, `peers`
holds the published methods (the same call, another `method`), `compare` puts them on one plane, `card` describes a set for others,
`ledgers` lists its sources as the HARE paper's tables 3 to 5 do. Method and evidence: docs/curation.md.
"""

from hare_lab.curation.card import content_hash, dataset_card, personal_data, push_to_hub
from hare_lab.curation.choose import METHODS, curate
from hare_lab.curation.compare import compare
from hare_lab.curation.ledgers import ledgers
from hare_lab.curation.quotas import OTHER, topic_weights
from hare_lab.curation.report import Curated, CurationReport, gaps_left

__all__ = [
    "METHODS", "OTHER", "Curated", "CurationReport", "compare", "content_hash", "curate", "dataset_card", "gaps_left", "ledgers",
    "personal_data", "push_to_hub", "topic_weights",
]  # fmt: skip
