"""Can a small model call the right function with the right arguments, and say nothing where nothing fits?

HARE-Tool in miniature: functions are described by JSON schemas (the seven of a telephone are bundled; SNIPS, BFCL and ToolAlpaca
can be read), each gets a token of its own (Octopus v2), a small model learns to write it with its arguments, and what it writes
is valid by construction. Against it stand retrieval of descriptions with a large model, with the same model untuned, with rules.

    caller, tuned = teach(model, tokenizer, bundled(), bundled_requests("train"), pages=pages)
    caller = caller.with_abstention(bundled_requests("validation"))
    scores, answers = evaluate(caller, bundled_requests("test"))

`registry` reads schemas and holds calls against them, `loading` reads requests, `values` says what an argument can be, `writing`
puts a request and its call into tokens, `variation` makes more of few, `meaning` and `wording` (with `choosing`) are the opinions
of sentence vectors and of counted words, `decoding` answers, `abstention` weighs silence, `calling` ties them together, `baselines`
is the opposition, `scores` the count. Method and measurements: docs/tool_calling.md.
"""

from hare_lab.tool_calling.abstention import Abstention, recall_at, risk_coverage
from hare_lab.tool_calling.baselines import Retrieved, ask, by_rules, by_wording, least_similarity, retrieve
from hare_lab.tool_calling.calling import Caller, Reply, evaluate, load, teach, untuned
from hare_lab.tool_calling.decoding import Outcome, decode
from hare_lab.tool_calling.loading import Request, bfcl, bundled_requests, check, draw, load_requests, snips, toolalpaca
from hare_lab.tool_calling.registry import Api, Call, Parameter, Registry, bundled, load_registry, read_registry
from hare_lab.tool_calling.scores import ToolScores, beside_paper, compare, score
from hare_lab.tool_calling.writing import Script, describe, shown

__all__ = [
    "Abstention", "Api", "Call", "Caller", "Outcome", "Parameter", "Registry", "Reply", "Request", "Retrieved", "Script",
    "ToolScores", "ask", "beside_paper", "bfcl", "bundled", "bundled_requests", "by_rules", "by_wording", "check", "compare", "decode",
    "describe", "draw", "evaluate", "least_similarity", "load", "load_registry", "load_requests", "read_registry", "recall_at", "retrieve",
    "risk_coverage", "score", "shown", "snips", "teach", "toolalpaca", "untuned",
]  # fmt: skip
