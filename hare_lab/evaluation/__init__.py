"""How good is a model, how sure are we, and is it a score or a memory?

Two kinds of measure. **Bits per byte** on held-out pages: what it costs to write a page down with the model's predictions,
whatever its tokenizer; small models show a difference in it long before they answer a question. **Tasks**: questions with
choices and sentences side by side, run by lm-evaluation-harness. Every score carries its chance level and its standard error.

    model = evaluation.load_model("runs/demo/model")
    train, held, split = evaluation.hold_out(pages, share=0.1, labels=topics)
    report = evaluation.bits_per_byte(evaluation.page_bits(model, held), held_topics)
    scores = evaluation.run_tasks(model, evaluation.bundled_tasks())

Formulas, sources and what was checked against what: docs/evaluation.md.
"""

from hare_lab.evaluation.bits import BitsPerByte, bits_difference, bits_per_byte, page_bits
from hare_lab.evaluation.effect import tuning_effect
from hare_lab.evaluation.harness import PAPER, run_tasks
from hare_lab.evaluation.language_model import LanguageModel, load_model, wrap
from hare_lab.evaluation.leaderboard import leaderboard
from hare_lab.evaluation.samples import side_by_side
from hare_lab.evaluation.scores import Score, Scores
from hare_lab.evaluation.splits import Split, copy_families, hold_out
from hare_lab.evaluation.tasks import Item, Task, bundled_tasks, read_task

__all__ = [
    "PAPER", "BitsPerByte", "Item", "LanguageModel", "Score", "Scores", "Split", "Task", "bits_difference", "bits_per_byte",
    "bundled_tasks", "copy_families", "hold_out", "leaderboard", "load_model", "page_bits", "read_task", "run_tasks", "side_by_side",
    "tuning_effect", "wrap",
]  # fmt: skip
