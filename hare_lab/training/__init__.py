"""How does a small model learn from a set of pages, in minutes, and what did it cost?

Pages become one stream of tokens (a byte-level BPE learnt from them), the stream becomes rows in which no page sees another,
and the rows train a model of the ladder: in one stage, or in the paper's two (D1 alone, then D1, D2 and D3 by the weights of
the priors). A run can be killed and goes on to the same losses; it can run in the background, be looked at, and be cancelled.

    trained = train(pages, "hare-5m", 2_000_000, out="my-model")
    trained.save("my-model")

The same loop tunes a model on examples whose answers alone are learnt: conversations through a chat template, or function calls.

    template = set_template(model, tokenizer)
    tuned = tune(model, tokenizer, chat_examples(conversations("talks.jsonl"), tokenizer), out="my-chat")

Methods: docs/training.md, docs/tuning.md.
"""

from hare_lab.training.background import Job, Status, job_name, launch
from hare_lab.training.chat import TEMPLATES, answers, chat_examples, chat_prompt, reply, set_template, stretches
from hare_lab.training.conversations import conversations, from_exercises
from hare_lab.training.examples import Example, pack_examples
from hare_lab.training.loop import fit
from hare_lab.training.mixture import FIRST_STAGE, Order, Stage, order, recipe, repeats
from hare_lab.training.new_tokens import add_tokens
from hare_lab.training.packing import IGNORE, Packed, Rows, pack, pack_whole
from hare_lab.training.perplexity import load_model, perplexity, score
from hare_lab.training.report import Progress, TrainingReport
from hare_lab.training.scoring import evaluate, page_losses, precision_here
from hare_lab.training.settings import Settings, batch_for, rate_at
from hare_lab.training.tokens import encode, load_tokenizer, train_tokenizer
from hare_lab.training.train import CHECKPOINTS, Trained, continuation, model_card, train
from hare_lab.training.tuning import Tuned, TuningReport, tune, tuning_settings

__all__ = [
    "CHECKPOINTS", "FIRST_STAGE", "IGNORE", "TEMPLATES", "Example", "Job", "Order", "Packed", "Progress", "Rows", "Settings", "Stage",
    "Status", "Trained", "TrainingReport", "Tuned", "TuningReport", "add_tokens", "answers", "batch_for", "chat_examples", "chat_prompt",
    "continuation", "conversations", "encode", "evaluate", "fit", "from_exercises", "job_name", "launch", "load_model",
    "load_tokenizer", "model_card", "order", "pack", "pack_examples", "pack_whole", "page_losses", "perplexity", "precision_here",
    "rate_at", "recipe", "repeats", "reply", "score", "set_template", "stretches", "train", "train_tokenizer", "tune", "tuning_settings",
]  # fmt: skip
