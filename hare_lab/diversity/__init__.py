"""How diverse is a set of pages?

Every measure here answers that question with one number a person can explain, and says how sure it is. Exact where that
costs about a second on 50,000 pages, sampled with a stated error beyond. Formulas, costs and traps: docs/diversity.md.

    profile = diversity.profile(pages, vectors, labels)
    profile.effective_topics        # Estimate(value=52.4, low=51.8, high=53.0)
    profile.figure()                # the whole curve of Hill numbers
"""

from hare_lab.diversity.estimate import Estimate
from hare_lab.diversity.report import DiversityProfile, profile
from hare_lab.diversity.shares import effective_number, hill_curve
from hare_lab.diversity.vectors import neighbour_distance, pairwise_distance, vendi_score
from hare_lab.diversity.words import text_measures

__all__ = [
    "DiversityProfile", "Estimate", "effective_number", "hill_curve", "neighbour_distance", "pairwise_distance", "profile",
    "text_measures", "vendi_score",
]  # fmt: skip
