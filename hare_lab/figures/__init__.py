"""What does the data look like?

Every figure of the project: a data frame in, a plotly `Figure` out, no reading, no state. The title says the finding, the
subtitle what is shown; a topic keeps its colour; text is escaped; the look is one, in three sizes (`screen`, `paper`,
`talk`).

    figure = figures.topic_map(points)
    page = figures.html(figure, "The demo corpus")
    picture = figures.image(figure, "png", theme="talk")
"""

from hare_lab.figures.corpus import cleaning_funnel, page_lengths, similarity_histogram
from hare_lab.figures.coverage import coverage_curve, coverage_treemap, subject_coverage, wanted_and_have
from hare_lab.figures.curation import before_after_map, composition, quality_diversity
from hare_lab.figures.evaluation import bits_by_topic, leaderboard, task_scores
from hare_lab.figures.experiment import ablation_curves, arm_differences, tokens_to_target
from hare_lab.figures.export import FORMATS, from_json, has_browser, html, image, themed
from hare_lab.figures.holes import holes_map
from hare_lab.figures.leakage import leak_counts, leak_deltas, leaks_on_map, repetition_funnel
from hare_lab.figures.levels import score_against_priors
from hare_lab.figures.look import THEMES, color_of, colors_of, escape
from hare_lab.figures.maps import topic_map
from hare_lab.figures.quality import quality_by_topic, quality_reasons, rule_failures
from hare_lab.figures.synthesis import coverage_before_after, synthesis_composition, synthesis_funnel, synthesis_pipeline
from hare_lab.figures.tools import call_confusion, calls_beside_paper, calls_by_requests, risk_coverage
from hare_lab.figures.topics import diversity_profile, topic_hierarchy, topic_sizes
from hare_lab.figures.training import learning_rate, loss_curve, training_costs
from hare_lab.figures.tuning import tuning_effect

__all__ = [
    "FORMATS", "THEMES", "ablation_curves", "arm_differences", "before_after_map", "bits_by_topic", "call_confusion",
    "calls_beside_paper", "calls_by_requests", "cleaning_funnel", "color_of", "colors_of", "composition", "coverage_before_after",
    "coverage_curve", "coverage_treemap", "diversity_profile", "escape", "from_json", "has_browser", "holes_map", "html", "image",
    "leaderboard", "leak_counts", "leak_deltas", "leaks_on_map", "learning_rate", "loss_curve", "page_lengths", "quality_by_topic",
    "quality_diversity", "quality_reasons", "repetition_funnel", "risk_coverage", "rule_failures", "score_against_priors",
    "similarity_histogram", "subject_coverage", "synthesis_composition", "synthesis_funnel", "synthesis_pipeline", "task_scores",
    "themed", "tokens_to_target", "topic_hierarchy", "topic_map", "topic_sizes", "training_costs", "tuning_effect", "wanted_and_have",
]  # fmt: skip
