"""A tuned model that answers requests with calls: how it is made from a language model, asked, saved and loaded again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab import training
from hare_lab.errors import InputError
from hare_lab.tool_calling import abstention, decoding, scores, variation, wording
from hare_lab.tool_calling.abstention import Abstention, Known
from hare_lab.tool_calling.decoding import Outcome
from hare_lab.tool_calling.grammar import VOICE
from hare_lab.tool_calling.loading import Request, check, texts_of
from hare_lab.tool_calling.meaning import Meaning, fit
from hare_lab.tool_calling.registry import Call, Registry, read_registry
from hare_lab.tool_calling.values import is_unsaid
from hare_lab.tool_calling.wording import Wording
from hare_lab.tool_calling.writing import PLACES, Script, describe

if TYPE_CHECKING:
    import pandas as pd

FILE, KNOWN, WORDING = "tools.json", "tools.npz", "wording.json"
LEAST = 12_000  # examples: few requests are read more often, until so many have been learnt from
BATCH = 4  # rows of 256 tokens a step: about twenty requests; small steps teach a small model more in the same minutes
VOICES = (1.0, 2.0, 4.0)  # tried on validation requests
RATE = 2e-3  # peak learning rate of a model of a million parameters; by 1/width beyond


@dataclass(frozen=True)
class Reply:
    """What a request is answered with.

    Attributes
    ----------
    call : None for no call
    confidence : how sure the answer is, 0 to 1: one less the probability of the other answer (a call, or none)
    best : the likeliest valid call, also where the answer is none
    candidates : functions with their probabilities, likeliest first; "no call" among them
    note : why nothing is called, where the model was not asked
    """

    text: str
    call: Call | None
    confidence: float
    best: Call | None
    candidates: tuple[tuple[str, float], ...]
    note: str = ""

    def _repr_html_(self) -> str:
        from hare_lab.report_base import html_table

        rows = [
            ("request", self.text[:300]),
            ("call", str(self.call) if self.call else self.note or "no call"),
            ("confidence", f"{self.confidence:.0%}"),
        ]
        return html_table([*rows, *((f"candidate {n}", f"{name}: {share:.1%}") for n, (name, share) in enumerate(self.candidates[:4], 1))])


@dataclass(frozen=True)
class Caller:
    """A model tuned for a registry.

    Attributes
    ----------
    abstain : None until it was fitted on validation requests; until then the opinions on "no call" decide
    voice : how many times the wording's say in arguments counts beside the model's; chosen with `abstain`
    """

    model: Any
    script: Script
    known: Known
    abstain: Abstention | None = None
    voice: float = VOICE
    beams: int = decoding.BEAMS
    embedder: Any = None

    @property
    def registry(self) -> Registry:
        return self.script.registry

    def outcomes(self, texts: Sequence[str]) -> list[Outcome]:
        return self._answered(texts, vectors_of(texts, self.embedder)) if len(texts) else []

    def _answered(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> list[Outcome]:
        own = self.known.vectors.shape[1]
        if vectors.shape[1] != own:
            raise InputError(
                f"the caller was tuned with vectors {own} numbers wide, the embedder's are {vectors.shape[1]}; give the same embedder"
            )
        found = decoding.decode(
            self.model, self.script, texts, meaning=self.known.meaning(vectors), wording=self.known.wording, voice=self.voice,
            beams=self.beams,
        )  # fmt: skip
        return [replace(outcome, vector=vector) for outcome, vector in zip(found, vectors, strict=True)]

    def doubts(self, outcomes: Sequence[Outcome]) -> NDArray[np.float64]:
        """Probability that a request needs no call, shape (n,)."""
        if self.abstain is None:
            return np.array([float(np.exp(outcome.agreed[-1])) for outcome in outcomes])
        return self.abstain(abstention.signals(outcomes, self.known))

    def __call__(self, texts: Sequence[str]) -> list[Reply]:
        """Answer requests, in order. Each call is valid under its schema; what can't be read gets no call and a note."""
        outcomes = self.outcomes(texts)
        return self.replies(texts, outcomes, self.doubts(outcomes))

    def replies(self, texts: Sequence[str], outcomes: Sequence[Outcome], doubts: NDArray[np.float64]) -> list[Reply]:
        """Answers from outcomes and the probability of no call; the threshold is the abstention's, one half without one."""
        limit = 0.5 if self.abstain is None else self.abstain.threshold
        found = []
        for text, outcome, doubt in zip(texts, outcomes, doubts, strict=True):
            silent = outcome.call is None or doubt >= limit
            shares = [*outcome.shares * (1 - doubt), doubt]
            named = sorted(zip([*self.registry.names, scores.NO_CALL], map(float, shares), strict=True), key=lambda pair: -pair[1])
            sure = 1.0 if outcome.note else float(doubt if silent else 1 - doubt)
            found.append(Reply(text, None if silent else outcome.call, sure, outcome.call, tuple(named), outcome.note))
        return found

    def with_abstention(self, validation: Sequence[Request], *, precision: float | None = None) -> Caller:
        """The same caller, fitted on validation requests: the wording's voice that makes the most calls exactly right, the weights of the
        signals that nothing should be called, and the threshold (`precision` as in `abstention.fit`).
        """
        asked = texts_of(validation)
        vectors = vectors_of(asked, self.embedder)
        heard = {voice: replace(self, voice=voice)._answered(asked, vectors) for voice in VOICES}
        calls = [row for row, request in enumerate(validation) if request.call]
        voice = max(VOICES, key=lambda one: sum(scores.same(validation[row].call, heard[one][row].call) for row in calls))
        found = abstention.signals(heard[voice], self.known)
        rule = abstention.fit(found, [request.call is None for request in validation], precision=precision)
        return replace(self, abstain=rule, voice=voice)

    def save(self, folder: str | Path) -> Path:
        """Add what the caller is, beside its model, to a folder: `tools.json`, `tools.npz` and `wording.json`."""
        target = Path(folder)
        told = {
            "apis": [_schema(api) for api in self.registry.apis], "lower": self.script.lower,
            "beams": self.beams, "voice": self.voice, "places": PLACES, "abstention": asdict(self.abstain) if self.abstain else None,
        }  # fmt: skip
        (target / FILE).write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
        rows = self.known
        np.savez(target / KNOWN, hidden=rows.hidden, vectors=rows.vectors, apis=rows.apis, weights=rows.meaning.weights,
                 offsets=rows.meaning.offsets)  # fmt: skip
        (target / WORDING).write_text(json.dumps(rows.wording.to_dict()), encoding="utf-8")
        return target


def load(folder: str | Path, *, embedder: Any = None) -> Caller:
    """A caller from the folder that `hare-lab tune --tools` made.

    Raises
    ------
    InputError
        If the folder holds no model tuned for tools.
    """
    from hare_lab import evaluation

    place = Path(folder)
    lacking = [name for name in (FILE, KNOWN, WORDING) if not (place / name).is_file()]
    if lacking:
        raise InputError(
            f"{folder} holds no {lacking[0]}: no model tuned for tools, or not all of one; make one with "
            f"`hare-lab tune MODEL --tools --out {folder}`"
        )
    told = json.loads((place / FILE).read_text(encoding="utf-8"))
    loaded = evaluation.load_model(place)
    script = Script(read_registry(told["apis"], str(place / FILE)), loaded.tokenizer, told["lower"])
    with np.load(place / KNOWN, allow_pickle=False) as kept:
        arrays = dict(kept)
    signs = len((told.get("abstention") or {}).get("weights", abstention.SIGNALS))
    if "weights" not in arrays or "voice" not in told or signs != len(abstention.SIGNALS):
        raise InputError(f"{place} was made by an older version; tune the model again with `hare-lab tune MODEL --tools`")
    saved: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in (told["abstention"] or {}).items()}
    rule = Abstention(**saved) if saved else None
    worded = Wording.from_dict(json.loads((place / WORDING).read_text(encoding="utf-8")), script.registry)
    known = Known(arrays["hidden"], arrays["vectors"], arrays["apis"], Meaning(arrays["weights"], arrays["offsets"]), worded)
    return Caller(loaded.model, script, known, rule, told["voice"], told["beams"], embedder)


def teach(
    model: Any,
    tokenizer: Any,
    registry: Registry,
    requests: Sequence[Request],
    *,
    pages: Sequence[str] = (),
    epochs: int = 12,
    least: int = LEAST,
    misses: float = 0.1,
    learning_rate: float | None = None,
    settings: training.Settings | None = None,
    method: training.tuning.Method = "full",
    embedder: Any = None,
    seed: int = 0,
    name: str = "",
    out: str | Path | None = None,
    watch: Callable[[training.Progress], bool | None] | None = None,
) -> tuple[Caller, training.Tuned]:
    """Tune a language model, in place, to answer requests with calls of a registry.

    Every reading of the requests has other values in them (`variation.vary`), and some requests that look like calls and are none.

    Parameters
    ----------
    model, tokenizer : any causal language model; tokens for functions, arguments and places are added to both
    requests : with their calls; those without one teach when not to call
    pages : running text, of which invented names and nonsense are made, and which shows how usual words are
    epochs, least : readings of the requests; more where they are few, until so many examples have been read
    misses : near misses in each reading, as a share of the requests
    learning_rate : peak; default: what suits the width, for a model of minutes
    embedder : as `embedding.embed` takes it; for the distance in meaning
    name : of the model, for the report; default: as it calls itself

    Raises
    ------
    InputError
        As `training.tune`; and if a request's call is not valid under the registry, names the row, or a function can't be called
        without a list or an object, which no request spells out.
    """
    good = check(requests, registry)
    _callable(registry)
    tokens = describe(registry)
    training.add_tokens(model, tokenizer, list(tokens), tokens)
    script = Script(registry, tokenizer)
    runs = variation.runs(pages, 20_000, seed)
    turns = readings(len(good), epochs, least)
    examples = [example for turn in range(turns) for example in reading(script, good, runs, misses, seed + turn)]
    how = settings or training.Settings(context=min(256, training.tuning.context_of(model, tokenizer)), batch=BATCH, micro=BATCH)
    rate = learning_rate or RATE * 128 / max(128, model.config.hidden_size)
    tuned = training.tune(
        model, tokenizer, examples, epochs=1, learning_rate=rate, settings=how, method=method, seed=seed, name=name, out=out, watch=watch
    )
    return known_to(tuned.model, script, good, pages, embedder), tuned


def readings(requests: int, epochs: int, least: int = LEAST) -> int:
    """How often so many requests are read: `epochs` times, or more, until `least` examples have been learnt from."""
    return max(epochs, -(-least // max(1, requests)))


def _callable(registry: Registry) -> None:
    unsaid = next(((api, p) for api in registry.apis for p in api.parameters if p.required and is_unsaid(p)), None)
    if unsaid:
        api, parameter = unsaid
        raise InputError(
            f'the function "{api.name}" requires "{parameter.name}", of the kind {parameter.kind}, which no request spells out; '
            "make it optional, or leave the function out"
        )


def untuned(model: Any, tokenizer: Any, registry: Registry, texts: Sequence[str], chosen: Sequence[int]) -> list[Call | None]:
    """What a model makes of requests that was never taught the registry: functions chosen for it, arguments under the grammar.

    Its tokens for arguments begin at the mean of their descriptions, which is all that it knows of them. The model is changed.
    """
    tokens = describe(registry)
    training.add_tokens(model, tokenizer, list(tokens), tokens)
    return [outcome.call for outcome in decoding.decode(model.eval(), Script(registry, tokenizer), texts, chosen=chosen, beams=1)]


def reading(script: Script, requests: Sequence[Request], runs: Sequence[str], misses: float, seed: int) -> list[training.Example]:
    """One reading of the requests as examples: other values, and near misses among them."""
    registry = script.registry
    varied = variation.vary(requests, registry, runs, seed=seed)
    varied += variation.near_misses(requests, runs, round(misses * len(requests)), seed=seed)
    found = []
    for request in varied:
        try:
            found.append(training.Example(*script.example(request)))
        except InputError:  # too long to be read: never asked either
            continue
    return found


def known_to(
    model: Any, script: Script, requests: Sequence[Request], pages: Sequence[str] = (), embedder: Any = None, most: int = 5_000
) -> Caller:
    """A caller that remembers its training requests: how far a new one lies from them, and which ones it is like."""
    places = {"": -1} | {name: place for place, name in enumerate(script.registry.names)}
    some = requests if len(requests) <= most else [requests[int(i)] for i in np.random.default_rng(0).permutation(len(requests))[:most]]
    apis = np.array([places[request.api] for request in some], np.int64)
    vectors = vectors_of(texts_of(some), embedder)
    opinion, worded = fit(vectors, apis, len(script.registry)), wording.learn(requests, script.registry, pages)
    known = Known(decoding.states(model, script, texts_of(some)), vectors, apis, opinion, worded)
    return Caller(model, script, known, embedder=embedder)


def evaluate(caller: Caller, requests: Sequence[Request], *, method: str = "tuned") -> tuple[scores.ToolScores, pd.DataFrame]:
    """Answer requests and hold the answers against what they ask for.

    Returns
    -------
    ToolScores
    DataFrame, one row a request: id, request, asked, answered, best, doubt (probability of no call), right (best is exactly right)
    """
    import pandas as pd

    texts = texts_of(requests)
    started = time.perf_counter()
    outcomes = caller.outcomes(texts)
    doubts = caller.doubts(outcomes)
    replies = caller.replies(texts, outcomes, doubts)
    seconds = time.perf_counter() - started
    answers = [reply.call for reply in replies]
    found = scores.score(requests, answers, method=method, seconds=seconds, tokens=sum(outcome.tokens for outcome in outcomes))
    table = pd.DataFrame({
        "id": [r.id for r in requests], "request": texts, "asked": [str(r.call or scores.NO_CALL) for r in requests],
        "answered": [str(a or scores.NO_CALL) for a in answers], "best": [str(o.call or scores.NO_CALL) for o in outcomes], "doubt": doubts,
        "right": [scores.same(r.call, o.call) for r, o in zip(requests, outcomes, strict=True)],
    })  # fmt: skip
    return found, table


def vectors_of(texts: Sequence[str], embedder: Any = None) -> NDArray[np.float32]:
    """Sentence vectors of requests; a blank one has the vector of a full stop."""
    from hare_lab import embedding

    clean = [text.encode("utf-8", "replace").decode()[:2_000].strip() or "." for text in texts]
    return embedding.embed(clean, model=embedder).vectors if clean else np.zeros((0, 1), np.float32)


def _schema(api: Any) -> dict[str, Any]:
    properties = {}
    for p in api.parameters:
        entry: dict[str, Any] = {
            "type": p.kind,
            "description": p.description,
            "enum": list(p.enum),
            "pattern": p.pattern,
            "minimum": p.low,
            "maximum": p.high,
        }
        properties[p.name] = {key: value for key, value in entry.items() if value not in ("", None, [])}
    required = [p.name for p in api.parameters if p.required]
    return {
        "name": api.name,
        "description": api.description,
        "parameters": {"type": "object", "properties": properties, "required": required},
    }
