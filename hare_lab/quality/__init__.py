"""How good is each page, who says so, and is the corpus even?

Three judges: the published rules of thumb (`check_rules`), a scorer that learns from what the priors call good (`score`,
or `train` on one's own examples), and whatever else is at hand (`load_classifier`, a perplexity). `consistency` says how
even quality is within topics and across them; `disagreements` lists the pages to read.

    scores = score(pages, vectors, priors, groups=pages["nearest_cluster"])
    scores.table["quality"]

Method, sources and what was tried: docs/quality.md.
"""

from hare_lab.quality.classifier import load_classifier
from hare_lab.quality.consistency import Agreement, Consistency, agreement, auc, auc_interval, consistency, disagreements, to_grade
from hare_lab.quality.evidence import evidence
from hare_lab.quality.examples import reference, reference_fingerprint
from hare_lab.quality.fitting import FEWEST, Fitted, fit, train
from hare_lab.quality.rules import RULES, Rule, RuleReport, check_rules
from hare_lab.quality.scorer import Explanation, Scorer
from hare_lab.quality.scores import QualityReport, Scores, score

__all__ = [
    "FEWEST", "RULES", "Agreement", "Consistency", "Explanation", "Fitted", "QualityReport", "Rule", "RuleReport", "Scorer", "Scores",
    "agreement", "auc", "auc_interval", "check_rules", "consistency", "disagreements", "evidence", "fit", "load_classifier",
    "reference", "reference_fingerprint", "score", "to_grade", "train",
]  # fmt: skip
