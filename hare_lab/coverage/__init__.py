"""What is in a corpus, set against what a person wants in it?

The reference says what is wanted: a taxonomy in plain words, a benchmark, or another corpus. Each page is placed in one of its
topics by what the descriptions say (no labels are needed) or in `other`, and the ledger says for each topic how much there
is, how much was asked for, and how many tokens are missing. Formulas, and how the placing was chosen: docs/coverage.md.

    reference = from_taxonomy(texts.taxonomy(), priors.topics)
    covered = cover(pages, vectors, reference)
    covered.gaps  # one row a topic, the widest gap first
    covered.report  # divergence, effective topics, coverage at a radius, each with its interval
"""

from hare_lab.coverage.ledger import Covered, cover, on_map
from hare_lab.coverage.measures import divergence
from hare_lab.coverage.placing import Placement, place
from hare_lab.coverage.reference import Reference, from_pages, from_taxonomy, load_reference
from hare_lab.coverage.report import CoverageReport
from hare_lab.texts import OTHER

__all__ = [
    "OTHER", "CoverageReport", "Covered", "Placement", "Reference", "cover", "divergence", "from_pages", "from_taxonomy",
    "load_reference", "on_map", "place",
]  # fmt: skip
