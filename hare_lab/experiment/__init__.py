"""Did the priors pay? Arms that differ in their pages alone, at equal tokens, with seeds, intervals and a plan written beforehand.

    plan = experiment.read_plan("plan.yaml")
    shared = experiment.from_run(plan, run)  # pages held out first, then the arms' choices
    result = experiment.conduct(shared, "my-experiment")  # resumable at any moment
    result.verdict

`analysis` is numbers only; `registry` lists every confirmatory run ever made. Method: docs/experiment.md.
"""

from hare_lab.experiment.analysis import (
    Difference,
    TokensToTarget,
    differences,
    holm,
    mean_interval,
    paired_difference,
    tokens_at,
    tokens_to_target,
)
from hare_lab.experiment.background import cancel, launch, status
from hare_lab.experiment.cells import leak_test
from hare_lab.experiment.conduct import Status, conduct, overview, progress, results
from hare_lab.experiment.plan import Arm, Plan, read_plan
from hare_lab.experiment.registry import confirmatory_runs
from hare_lab.experiment.report import Experiment, assemble
from hare_lab.experiment.setup import Material, from_run, leaked_texts, material
from hare_lab.experiment.workers import fitting

__all__ = [
    "Arm", "Difference", "Experiment", "Material", "Plan", "Status", "TokensToTarget", "assemble", "cancel", "conduct",
    "confirmatory_runs", "differences", "fitting", "from_run", "holm", "launch", "leak_test", "leaked_texts", "material", "mean_interval",
    "overview", "paired_difference", "progress", "read_plan", "results", "status", "tokens_at", "tokens_to_target",
]  # fmt: skip
