"""How good are the calls? Function, exact call, arguments, no call; each with its interval, by function, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hare_lab import texts
from hare_lab.evaluation.scores import wilson
from hare_lab.report_base import Report
from hare_lab.tool_calling.loading import Request
from hare_lab.tool_calling.registry import Call

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

NO_CALL = "no call"
PAPER = {  # the functions of the paper's table 8 by the names of ours
    "call number": "call_number", "call contact": "call_contact", "browser search": "browser_search", "camera": "open_camera",
    "weather": "get_weather", "email": "send_email", "meaningless instruction": NO_CALL,
}  # fmt: skip


@dataclass(frozen=True)
class ToolScores(Report):
    """How a set of requests was answered.

    Attributes
    ----------
    method : who answered
    requests : how many
    api_accuracy : share of requests with the right function, no call counting as one
    exact_call : share of requests with the right function and exactly the right arguments
    argument_f1 : harmonic mean of precision and recall of (function, argument, value) triples over requests that need a call; an
        argument of a wrong function counts as wrong
    nocall_precision, nocall_recall : of answers without a call; None where there is nothing to divide by
    seconds, tokens : a request, means; None where they were not measured
    by_api : one row a function and `no call`: api, requests, right_api, exact (shares), low, high (Wilson's 95 % of exact),
        right_api_low, right_api_high
    confusion : one row a pair: asked, answered, requests
    failures : one row a wrong answer: id, request, asked, answered, kind
    """

    title: ClassVar[str] = "Tool calls"

    method: str
    requests: int
    api_accuracy: float
    exact_call: float
    argument_f1: float
    nocall_precision: float | None
    nocall_recall: float | None
    seconds: float | None
    tokens: float | None
    by_api: pd.DataFrame
    confusion: pd.DataFrame
    failures: pd.DataFrame

    def _rows(self) -> list[tuple[str, Any]]:
        rows: list[tuple[str, Any]] = [
            ("method", self.method),
            ("requests", self.requests),
            ("right function", _share(self.api_accuracy, self.requests)),
            ("exact call", _share(self.exact_call, self.requests)),
            ("F1 of arguments", f"{self.argument_f1:.1%}"),
        ]
        if self.nocall_recall is not None:
            precision = "–" if self.nocall_precision is None else f"{self.nocall_precision:.1%}"
            rows.append(("no call", f"precision {precision}, recall {self.nocall_recall:.1%}"))
        if self.seconds is not None:
            rows.append(("cost of a request", f"{1000 * self.seconds:.1f} ms, {self.tokens or 0:.1f} tokens written"))
        return rows

    def row(self) -> dict[str, Any]:
        """One line of a table that compares methods."""
        return {
            "method": self.method, "right function": self.api_accuracy, "exact call": self.exact_call, "argument F1": self.argument_f1,
            "no-call precision": self.nocall_precision, "no-call recall": self.nocall_recall,
            "ms a request": None if self.seconds is None else 1000 * self.seconds, "tokens written": self.tokens,
        }  # fmt: skip

    def figure(self, theme: str = "screen") -> go.Figure:
        """What was asked against what was answered."""
        from hare_lab import figures

        return figures.call_confusion(self.confusion, theme=theme)


def same(one: Call | None, other: Call | None) -> bool:
    """Whether two answers are the same call: function, arguments and values, letter by letter; 5 and 5.0 are one number, True is none."""
    if one is None or other is None:
        return one is other
    return one.name == other.name and _triples(one) == _triples(other)


def score(
    requests: Sequence[Request], answers: Sequence[Call | None], *, method: str = "tuned", seconds: float | None = None,
    tokens: float | None = None,
) -> ToolScores:  # fmt: skip
    """Hold answers against the calls that requests ask for.

    Parameters
    ----------
    answers : one a request, None for no call
    seconds, tokens : in all, for all requests
    """
    import pandas as pd

    right = [request.api == (answer.name if answer else "") for request, answer in zip(requests, answers, strict=True)]
    exact = [same(request.call, answer) for request, answer in zip(requests, answers, strict=True)]
    frame = pd.DataFrame(
        {
            "asked": [request.api or NO_CALL for request in requests],
            "answered": [answer.name if answer else NO_CALL for answer in answers],
            "right": right,
            "exact": exact,
        }
    )
    needed = [(r.call, a) for r, a in zip(requests, answers, strict=True) if r.call]
    hits = sum(len(_triples(call) & _triples(answer)) for call, answer in needed)
    offered = sum(len(_triples(call)) + len(_triples(answer)) for call, answer in needed)
    none_asked, none_given = frame["asked"] == NO_CALL, frame["answered"] == NO_CALL
    both = int((none_asked & none_given).sum())
    count = max(1, len(requests))
    return ToolScores(
        method=method, requests=len(requests), api_accuracy=float(frame["right"].mean()), exact_call=float(frame["exact"].mean()),
        argument_f1=2 * hits / offered if offered else 1.0,
        nocall_precision=both / int(none_given.sum()) if none_given.any() else None,
        nocall_recall=both / int(none_asked.sum()) if none_asked.any() else None,
        seconds=None if seconds is None else seconds / count, tokens=None if tokens is None else tokens / count,
        by_api=_by_api(frame), confusion=frame.groupby(["asked", "answered"]).size().rename("requests").reset_index(),
        failures=_failures(requests, answers, exact),
    )  # fmt: skip


def compare(scores: Sequence[ToolScores]) -> pd.DataFrame:
    """One row a method, best exact call first."""
    import pandas as pd

    return pd.DataFrame([one.row() for one in scores]).sort_values("exact call", ascending=False, kind="stable").reset_index(drop=True)


def beside_paper(scores: ToolScores, other: ToolScores | None = None) -> pd.DataFrame:
    """Table 8 of the paper with the reader's own rows under it: percent of right calls by function.

    The paper's functions go by the names of ours, and ours stand in its order. The paper states no intervals; Wilson's are put beside
    its figures for its 50 requests each. Columns: api, origin (`paper` or `yours`), requests, tuned, tuned_low, tuned_high, retrieval,
    retrieval_low, retrieval_high.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for row in texts.paper_table("table8_tools"):
        tuned, retrieval, count = (float(row[key]) for key in ("hare_tool_percent", "llama3_8b_rag_percent", "test_samples"))
        rows.append(
            {
                "api": PAPER.get(row["api"], row["api"]),
                "origin": "paper",
                "requests": int(count),
                **_three("tuned", tuned / 100, int(count)),
                **_three("retrieval", retrieval / 100, int(count)),
            }
        )
    against = {} if other is None else other.by_api.set_index("api")["exact"].to_dict()
    papers = {row["api"]: at for at, row in enumerate(rows)}
    places = scores.by_api["api"].map(lambda name: papers.get(name, len(papers))).to_numpy(int)
    for _, row_ in scores.by_api.iloc[places.argsort(kind="stable")].iterrows():
        own = _three("tuned", row_["exact"], int(row_["requests"]))
        retrieval_ = _three("retrieval", against[row_["api"]], int(row_["requests"])) if row_["api"] in against else {}
        rows.append({"api": row_["api"], "origin": "yours", "requests": int(row_["requests"]), **own, **retrieval_})
    return pd.DataFrame(rows)


def _three(name: str, share: float, count: int) -> dict[str, float]:
    low, high = wilson(share, count)
    return {name: 100 * share, f"{name}_low": 100 * low, f"{name}_high": 100 * high}


def _triples(call: Call | None) -> set[tuple[str, str, str]]:
    return {(call.name, name, json.dumps(_numbers(value), sort_keys=True)) for name, value in call.arguments.items()} if call else set()


def _numbers(value: Any) -> Any:
    """A value with its whole numbers as integers, at any depth: 5.0 is 5, and no integer is too long to be told from the next."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    return [_numbers(inner) for inner in value] if isinstance(value, list | tuple) else value


def _by_api(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for api, own in frame.groupby("asked"):
        exact, right = float(own["exact"].mean()), float(own["right"].mean())
        low, high = wilson(exact, len(own))
        right_low, right_high = wilson(right, len(own))
        rows.append({
            "api": api, "requests": len(own), "right_api": right, "right_api_low": right_low, "right_api_high": right_high, "exact": exact,
            "low": low, "high": high,
        })  # fmt: skip
    columns = ["api", "requests", "right_api", "right_api_low", "right_api_high", "exact", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _failures(requests: Sequence[Request], answers: Sequence[Call | None], exact: Sequence[bool]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {"id": request.id, "request": request.text, "asked": str(request.call or NO_CALL), "answered": str(answer or NO_CALL),
         "kind": fault(request.call, answer)}
        for request, answer, good in zip(requests, answers, exact, strict=True) if not good
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["id", "request", "asked", "answered", "kind"])


def fault(asked: Call | None, answered: Call | None) -> str:
    """What kind of mistake an answer is, in a few words."""
    if same(asked, answered):
        return ""
    if asked is None or answered is None:
        return "a call where none was asked for" if asked is None else "no call where one was asked for"
    if asked.name != answered.name:
        return "another function"
    missing, extra = set(asked.arguments) - set(answered.arguments), set(answered.arguments) - set(asked.arguments)
    if missing and extra:
        return "another argument"
    return "an argument left out" if missing else "an argument too many" if extra else "another value"


def _share(value: float, count: int) -> str:
    low, high = wilson(value, count)
    return f"{value:.1%} ({low:.1%} to {high:.1%})"
