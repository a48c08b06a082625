"""What does the corpus lack, and how is it written?

The gap ledger of `coverage` says which topics are thin. `synthesize` shares a budget of tokens over the emptiest, asks a
backend for textbook-like text (D2) and task items (D3) that start from pages of the corpus, reads and filters the replies, and
says why each rejected one went. `backends` are a server by URL, a model on this machine, or a recording.

    backend = Replay()
    made = synthesize(gaps, context, backend, tokens=100_000, count=count)
    made.report

`prompts` fills the templates of `data/prompts/`, `plan` shares the budget, `parsing` reads replies, `filters` measures and
judges them with `wording`, `answers`, `support` and `overlap`, `generate` wires it together. Method and measurements: docs/synthesis.md.
"""

from hare_lab.synthesis.backends import Backend, Endpoint, Local, Replay, RequestCache, Settings, at_hand
from hare_lab.synthesis.context import context
from hare_lab.synthesis.filters import REASONS, Context, Thresholds, judge, measure, twins
from hare_lab.synthesis.generate import Synthesized, synthesize
from hare_lab.synthesis.in_run import context_of, write_for_gaps
from hare_lab.synthesis.parsing import Sample, parse
from hare_lab.synthesis.plan import Request, allocate, requests
from hare_lab.synthesis.prompts import Prompts, Template, read_prompts, snippet
from hare_lab.synthesis.report import SynthesisReport, funnel, funnel_at

__all__ = [
    "REASONS", "Backend", "Context", "Endpoint", "Local", "Prompts", "Replay", "Request", "RequestCache", "Sample", "Settings",
    "SynthesisReport", "Synthesized", "Template", "Thresholds", "allocate", "at_hand", "context", "context_of", "funnel", "funnel_at",
    "judge", "measure", "parse", "read_prompts", "requests", "snippet", "synthesize", "twins", "write_for_gaps",
]  # fmt: skip
