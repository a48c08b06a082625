"""Which pages say again what another page says, and which of them stays?

Three kinds of copy, from cheap to dear: `exact` (the same words), `near` (the same words, a little edited: MinHash finds the
candidates, the exact Jaccard similarity decides) and `semantic` (the same content in other words, by page vectors).
Each returns `Duplicates`: the groups, the page that stays in each, and why. `drop` acts on it.

    copies = near(pages)
    pages, removed = drop(pages, copies)

All three keep by one rule, so the result does not depend on the order of the pages: the longest page stays (of equally long ones
that with the smallest id), and a page goes only if it is itself a copy of the page that stays. Method, measurements and
what was tried: docs/dedup.md.
"""

from hare_lab.dedup.exact_copies import exact
from hare_lab.dedup.near_copies import near
from hare_lab.dedup.report import Duplicates, Examples, drop
from hare_lab.dedup.semantic_copies import semantic

__all__ = ["Duplicates", "Examples", "drop", "exact", "near", "semantic"]
