"""From a gap ledger to accepted samples: share the budget, ask, read, filter, and ask again for what is still missing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.bars import bar
from hare_lab.errors import InputError
from hare_lab.synthesis.backends.base import Backend
from hare_lab.synthesis.filters import Context, Thresholds, judge, measure, twins
from hare_lab.synthesis.parsing import Sample, again, parse
from hare_lab.synthesis.plan import Request, allocate, requests
from hare_lab.synthesis.prompts import TASKS
from hare_lab.synthesis.report import SynthesisReport, covered_with, report_on

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

log = logging.getLogger(__name__)

ROUNDS = 4  # how often what is missing is asked for
MOST_SEEDS = 5  # pages a topic starts from
COLUMNS = (
    "id", "text", "title", "source", "task", "kind", "topic", "audience", "style", "seed", "model", "settings", "prompt_hash", "item",
    "mended", "tokens",
)  # fmt: skip


@dataclass(frozen=True)
class Synthesized:
    """What was accepted and what was not, with reasons, and the report. The two tables partition the replies."""

    accepted: Dataset
    rejected: Dataset
    report: SynthesisReport

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


@dataclass(frozen=True)
class _Stream:
    """The requests of one topic and task, and how many tokens they are to bring."""

    topic: str
    task: str
    tokens: int
    requests: Iterator[Request]


def synthesize(
    gaps: pd.DataFrame,
    context: Context,
    backend: Backend,
    *,
    tokens: int,
    count: Callable[[Sequence[str]], Any],
    worst: int = 5,
    shares: Mapping[str, float] | None = None,
    limit: int | None = None,
    limits: Thresholds | None = None,
    seed: int = 0,
) -> Synthesized:
    """Write what the corpus lacks.

    The ledger's emptiest topics share the budget (`allocate`); their nearest pages are the seeds. What comes back is read,
    measured and judged, and what is still missing is asked for again, at most `ROUNDS` times. Given the same replies the
    result is the same, in whatever order they came.

    Parameters
    ----------
    gaps : DataFrame, the gap ledger of `coverage`
    context : what replies are measured against; its pages hold the seeds
    backend : who writes
    tokens : the budget, in the ledger's tokens
    count : texts -> their numbers of tokens, as the ledger counts them
    worst : how many topics are worked on
    shares : weight of D2 and of D3; None takes the priors' mixture
    limit : at most so many requests; None sets no limit
    limits : thresholds; None takes them from the priors
    seed : of the order of requests and of the place of right answers

    Raises
    ------
    InputError
        If the budget is not above 0, the priors weigh a topic that the taxonomy lacks, no topic has a gap, a recording is too
        short for the budget, or the backend ends its work; what it has answered by then is kept.
    """
    _known_topics(context)
    plan, left_out = _plan(gaps, tokens, worst, context, backend)
    weights = _weights(shares or {task: getattr(context.priors.mixture, task) for task in TASKS})
    streams = _streams(plan, gaps, weights, context, backend, seed)
    rate = _tokens_a_word(context, count)
    samples: list[Sample] = []
    verdicts: list[tuple[str, str]] = []
    sizes: list[int] = []
    measured: pd.DataFrame | None = None
    for turn in range(ROUNDS):
        asked = _missing(streams, samples, verdicts, sizes, rate, first=turn == 0, backend=backend)
        asked = asked[: None if limit is None else max(0, limit - len(samples))]
        if not asked:
            break
        new = _answers(asked, backend, seed)
        table = measure(new, context)
        samples += new
        sizes += [int(n) for n in count([sample.text for sample in new])]
        measured = table if measured is None else _stacked(measured, table)
        verdicts = judge(samples, measured, twins(samples), limits or Thresholds.of(context.priors))
        log.info("synthesis, round %d: %d replies, %d accepted so far", turn + 1, len(new), sum(not reason for reason, _ in verdicts))
    accepted = [at for at, (reason, _) in enumerate(verdicts) if not reason]
    rejected = [at for at, (reason, _) in enumerate(verdicts) if reason]
    after = covered_with([samples[at] for at in accepted], [sizes[at] for at in accepted], context)
    report = report_on(plan, gaps, after, samples, verdicts, sizes, backend, tokens, left_out)
    kept, gone = (_table(samples, sizes, rows, backend, measured) for rows in (accepted, rejected))
    return Synthesized(kept, _with_reasons(gone, [verdicts[at] for at in rejected]), report)


def _known_topics(context: Context) -> None:
    unknown = next((topic for topic in context.priors.topics if topic not in {t.id for t in context.topics}), None)
    if unknown:
        name = context.priors.taxonomy
        raise InputError(
            f'synthesis: the priors weigh the topic "{unknown}", which the taxonomy {name} lacks; add it there or leave it out'
        )


def _weights(shares: Mapping[str, float]) -> dict[str, float]:
    total = sum(shares.get(task, 0) for task in TASKS)
    if total <= 0:
        raise InputError("synthesis: the mixture gives D2 and D3 the weight 0; give at least one a weight above it")
    return {task: shares.get(task, 0) / total for task in TASKS}


def _plan(
    gaps: pd.DataFrame, tokens: int, worst: int, context: Context, backend: Backend
) -> tuple[pd.DataFrame, list[str]]:  # fmt: skip
    """The budget shared over topics that can be written about, and the names of emptier ones that can't."""
    wanted = allocate(gaps, tokens, worst=worst)
    nearest = dict(zip(gaps["topic"], gaps["nearest"], strict=True))
    can = [topic for topic in gaps["topic"] if any(_seeds(topic, task, nearest[topic], context, backend) for task in TASKS)]
    left_out = [name for topic, name in zip(wanted["topic"], wanted["name"], strict=True) if topic not in can]
    if not left_out:
        return wanted, []
    rest = gaps[gaps["topic"].isin(can) & (gaps["gap_tokens"] > 0)]
    return (allocate(rest, tokens, worst=worst) if len(rest) else wanted[:0]), left_out


def _seeds(topic: str, task: str, nearest: Sequence[str], context: Context, backend: Backend) -> list[str]:
    """The pages that a topic's requests may start from: those nearest to it and fit, or those that a recording started from."""
    offers = backend.offers(topic, task)
    if offers is not None:
        return sorted({offer[3] for offer in offers if offer[3] in context.pages})
    return [page for page in nearest if page in context.pages and (context.fit is None or page in context.fit)][:MOST_SEEDS]


def _streams(
    plan: pd.DataFrame, gaps: pd.DataFrame, weights: Mapping[str, float], context: Context, backend: Backend, seed: int
) -> list[_Stream]:  # fmt: skip
    nearest = dict(zip(gaps["topic"], gaps["nearest"], strict=True))
    streams = []
    for topic, name, description, share in zip(plan["topic"], plan["name"], plan["description"], plan["tokens"].tolist(), strict=True):
        words = {"topic": topic, "name": name, "description": description}
        for task in TASKS:
            if tokens := int(share * weights[task]):
                seeds = {page: context.pages[page] for page in _seeds(topic, task, nearest[topic], context, backend)}
                asked = requests(words, task, context.prompts, seeds, seed=seed, offers=backend.offers(topic, task))
                streams.append(_Stream(topic, task, tokens, asked))
    return streams


def _tokens_a_word(context: Context, count: Callable[[Sequence[str]], Any]) -> float:
    """How many tokens a word of this corpus takes, from its first pages."""
    some = list(islice(context.pages.values(), 200))
    return float(np.sum(count(some)) / max(1, sum(len(text.split()) for text in some)))


def _missing(
    streams: Sequence[_Stream], samples: Sequence[Sample], verdicts: Sequence[tuple[str, str]], sizes: Sequence[int], rate: float,
    *, first: bool, backend: Backend,
) -> list[Request]:  # fmt: skip
    """The next requests of each stream: as many as its missing tokens need, going by the length that was asked for."""
    have: dict[tuple[str, str], int] = {}
    for sample, (reason, _), size in zip(samples, verdicts, sizes, strict=True):
        if not reason:
            have[sample.request.topic, sample.request.task] = have.get((sample.request.topic, sample.request.task), 0) + size
    asked: list[Request] = []
    for stream in streams:
        expected, missing = 0.0, stream.tokens - have.get((stream.topic, stream.task), 0)
        while expected < missing and (request := next(stream.requests, None)):
            asked.append(request)
            expected += rate * sum(request.words) / 2
        if first and expected < missing:
            raise InputError(
                f"synthesis: the {backend.model} is exhausted: it has about {expected:,.0f} tokens of {stream.task} for "
                f'"{stream.topic}", whose gap gets {missing:,}; ask for fewer --tokens, or give --endpoint or --model'
            )
    return asked


def _answers(asked: Sequence[Request], backend: Backend, seed: int) -> list[Sample]:
    """The replies, read, in the order of the requests; a live backend is asked once more for an item that can't be read."""
    replies = _all(asked, backend)
    samples = [parse(request, reply, seed=seed) for request, reply in zip(asked, replies, strict=True)]
    broken = [at for at, sample in enumerate(samples) if backend.live and sample.problem and sample.reply.strip()]
    if broken:
        second = _all([replace(asked[at], prompt=again(asked[at], samples[at].problem)) for at in broken], backend)
        for at, reply in zip(broken, second, strict=True):
            found = parse(asked[at], reply, seed=seed)
            samples[at] = replace(found, mended="asked again") if not found.problem else samples[at]
    return samples


def _all(asked: Sequence[Request], backend: Backend) -> list[str]:
    replies = [""] * len(asked)
    for place, reply in bar(backend.replies(asked), told="replies", unit="replies", total=len(asked)):
        replies[place] = reply
    return replies


def _stacked(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([one, other], ignore_index=True)


def _table(
    samples: Sequence[Sample], sizes: Sequence[int], rows: Sequence[int], backend: Backend, measured: pd.DataFrame | None
) -> Dataset:
    """Samples as pages, with where each came from and what the filters measured."""
    import pyarrow as pa
    from datasets import Dataset

    texts: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for at in rows:
        sample = samples[at]
        ask = sample.request
        values = (
            f"synthetic#{ask.id}", sample.text, "", f"synthetic/{backend.model}", ask.task, ask.kind, ask.topic, ask.audience, ask.style,
            ask.seed, backend.model, json.dumps(dict(backend.settings(ask)), sort_keys=True), ask.prompt_hash,
            json.dumps(dict(sample.item), ensure_ascii=False) if sample.item else "", sample.mended, sizes[at],
        )  # fmt: skip
        for name, value in zip(COLUMNS, values, strict=True):
            texts[name].append(value)
    columns = {name: pa.array(values, pa.int64() if name == "tokens" else pa.string()) for name, values in texts.items()}
    for name in ("copied", "leak", "alike", "known", "elsewhere", "quality", "support"):
        found = [] if measured is None else measured[name].to_numpy(float)[list(rows)].tolist()
        columns[name] = pa.array(found, pa.float64())
    return Dataset(pa.table(columns))


def _with_reasons(gone: Dataset, verdicts: Sequence[tuple[str, str]]) -> Dataset:
    import pyarrow as pa

    from hare_lab.corpus.pages import with_columns

    why = {"step": ["synthesis"] * len(verdicts), "reason": [r for r, _ in verdicts], "detail": [d for _, d in verdicts]}
    return with_columns(gone, {name: pa.array(values, pa.string()) for name, values in why.items()})
