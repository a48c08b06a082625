"""From a request to a call that is valid by construction, or to no call; never half a call.

A path through the grammar is: a function, then for every word of the request an argument that it belongs to or none, then the
arguments that are not copied, each a free choice to give or to leave out, then the end. An argument's words stand together, so a
free-text value is a run of the request's words; any other value is one that the schema allows and the request can mean; what is
required can't be left out. The model scores the paths, `beams` of them at a time, and only tokens that keep a path valid are
ever considered; a token that has no alternative costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.tool_calling.registry import Call
from hare_lab.tool_calling.values import is_span, options, too_long, written
from hare_lab.tool_calling.writing import END, NONE, OUT, PLACES, Prompt, Script

if TYPE_CHECKING:
    from torch import Tensor

BEAMS = 4
BATCH = 64  # requests at once


@dataclass(frozen=True)
class Outcome:
    """What a request was answered with.

    Attributes
    ----------
    call : the best valid call; kept beside `api` scores even where the answer is no call, so that a threshold can be moved
    apis : log-probabilities of each function's token and, last, of no call, among themselves; shape (n_apis + 1,)
    confidence : log-probability of the best call's decisions after the function's, a mean over them
    hidden : the model's last state before the call, shape (width,)
    tokens : that the model decided on; the request's words, which it reads again, are not among them
    note : why there is no call, where that is not the model's choice
    """

    call: Call | None
    apis: NDArray[np.float64]
    confidence: float
    hidden: NDArray[np.float32]
    tokens: int
    note: str = ""


@dataclass
class _Path:
    """One way through the grammar so far. `spans` are first and last word of each argument given; `node` stands in a tree of values."""

    score: float = 0.0
    decisions: int = 0
    tokens: list[int] = field(default_factory=list)
    api: int = -1
    word: int = 0  # the word of the second reading
    piece: int = 0  # how many of its tokens are read
    open: str = ""  # the argument of the word before
    spans: tuple[tuple[str, int, int], ...] = ()
    next: int = 0  # the first argument that may still be given after the reading
    name: str = ""
    given: tuple[tuple[str, Any], ...] = ()
    node: Any = None
    done: bool = False
    origin: int = 0  # the row of the batch that its last token was read in


class Grammar:
    """What may come next, for one request."""

    def __init__(self, script: Script, prompt: Prompt) -> None:
        self.script, self.prompt = script, prompt
        self._trees: dict[str, dict[int, Any] | None] = {}
        self.out, self.end = script.ids[OUT], script.ids[END]
        self.words = min(PLACES, len(prompt.pieces))

    def possible(self, api: int) -> bool:
        """Whether the request holds a value for every required argument."""
        needed = [p for p in self.script.registry.apis[api].parameters if p.required]
        return all(is_span(p) or self._tree(p) is not None for p in needed) and sum(map(is_span, needed)) <= self.words

    def moves(self, path: _Path) -> dict[int, _Path]:
        """The tokens that may follow, each with the path that it leads to (scores and tokens are the caller's)."""
        if path.word < self.words:
            pieces = self.prompt.pieces[path.word]
            if path.piece < len(pieces):
                return {pieces[path.piece]: replace(path, piece=path.piece + 1)}
            return self._marks(path)
        if not path.name:
            return self._names(path)
        found: dict[int, _Path] = {token: replace(path, node=child) for token, child in path.node.items() if token >= 0}
        if -1 in path.node:
            closed = replace(path, given=(*path.given, (path.name, path.node[-1])), name="", node=None)
            found.update(self._names(closed))
        return found

    def call(self, path: _Path) -> Call:
        """The call that a finished path states, its arguments in the function's order."""
        given = {name: self.prompt.span(first, last) for name, first, last in path.spans} | dict(path.given)
        return self.script.registry.ordered(Call(self.script.registry.names[path.api], given))

    def _marks(self, path: _Path) -> dict[int, _Path]:
        """The argument that a word belongs to: that of the word before, one not given yet, or none."""
        parameters = [p for p in self.script.registry.apis[path.api].parameters if is_span(p)]
        used = {name for name, _, _ in path.spans}
        needed = {p.name for p in parameters if p.required and p.name not in used}
        left = self.words - path.word - 1
        on = replace(path, word=path.word + 1, piece=0)
        found: dict[int, _Path] = {}
        if len(needed) <= left:
            found[self.out] = replace(on, open="")
            if path.open:
                name, first, _ = path.spans[-1]
                found[self.script.argument_tokens[name]] = replace(on, spans=(*path.spans[:-1], (name, first, path.word)))
        for parameter in parameters:
            if parameter.name not in used and len(needed - {parameter.name}) <= left:
                begun = (*path.spans, (parameter.name, path.word, path.word))
                found[self.script.argument_tokens[parameter.name]] = replace(on, open=parameter.name, spans=begun)
        return found

    def _names(self, path: _Path) -> dict[int, _Path]:
        """Give another argument that is not copied, or end."""
        found: dict[int, _Path] = {}
        parameters = self.script.registry.apis[path.api].parameters
        for place in range(path.next, len(parameters)):
            parameter = parameters[place]
            if is_span(parameter):
                continue
            if (tree := self._tree(parameter)) is not None:
                found[self.script.argument_tokens[parameter.name]] = replace(path, name=parameter.name, next=place + 1, node=tree)
            if parameter.required:
                return found
        found[self.end] = replace(path, done=True)
        return found

    def _tree(self, parameter: Any) -> dict[int, Any] | None:
        """The allowed values as a tree of tokens; -1 holds the value that ends there."""
        key = repr(parameter)  # its choices may be lists, which have no hash
        if key not in self._trees:
            tree: dict[int, Any] = {}
            for value in options(parameter, self.prompt.text):
                node = tree
                for token in self.script.value(written(value)):
                    node = node.setdefault(token, {})
                if node is not tree:
                    node.setdefault(-1, value)
            self._trees[key] = tree or None
        return self._trees[key]


def decode(
    model: Any, script: Script, texts: Sequence[str], *, chosen: Sequence[int] | None = None, beams: int = BEAMS, batch: int = BATCH
) -> list[Outcome]:  # fmt: skip
    """Answer requests.

    Parameters
    ----------
    model : causal language model in evaluation mode, tuned for the script's registry
    chosen : the function of each request by its place in the registry, where something else has chosen it
    beams : paths kept for each request; 1 always takes the likeliest next token
    batch : requests at once; like lengths together

    Returns
    -------
    list of Outcome, in order. A request that can't be read (empty, too long) has no call and a note.
    """
    found: list[Outcome | None] = [None] * len(texts)
    ready: list[tuple[int, Prompt]] = []
    for place, text in enumerate(texts):
        note = too_long(text) or ("" if text.strip() else "the request is empty; say what is wanted")
        if note or not (prompt := script.prompt(text)).pieces:
            found[place] = nothing(script, note or "the request holds no word")
        else:
            ready.append((place, prompt))
    ready.sort(key=lambda entry: len(entry[1].ids))
    for start in range(0, len(ready), batch):
        group = ready[start : start + batch]
        forced = None if chosen is None else [chosen[place] for place, _ in group]
        for (place, _), outcome in zip(group, _decode(model, script, [prompt for _, prompt in group], beams, forced), strict=True):
            found[place] = outcome
    return [outcome for outcome in found if outcome is not None]


def nothing(script: Script, note: str) -> Outcome:
    """No call, for a reason outside the model."""
    apis = np.full(len(script.registry) + 1, -50.0)
    apis[-1] = 0.0
    return Outcome(None, apis, 0.0, np.zeros(0, np.float32), 0, note)


def _decode(
    model: Any, script: Script, prompts: Sequence[Prompt], beams: int, chosen: Sequence[int] | None = None
) -> list[Outcome]:  # fmt: skip
    import torch

    device = next(iter(model.parameters())).device
    ids, mask = _padded([prompt.ids for prompt in prompts], script.tokenizer.pad_token_id or 0)
    with torch.inference_mode():
        seen = model(input_ids=ids.to(device), attention_mask=mask.to(device), position_ids=_positions(mask).to(device), use_cache=True,
                     output_hidden_states=True, logits_to_keep=1)  # fmt: skip
        last = seen.logits[:, -1].float()
        hidden = seen.hidden_states[-1][:, -1].float().cpu().numpy()
        grammars = [Grammar(script, prompt) for prompt in prompts]
        heads = torch.tensor([*script.api_tokens, script.ids[NONE]])
        apis = torch.log_softmax(last[:, heads].double(), -1).cpu().numpy()
        paths: list[list[_Path]] = []
        finished: list[list[_Path]] = [[] for _ in prompts]
        for row, grammar in enumerate(grammars):
            ranked = np.argsort(-apis[row, :-1], kind="stable").tolist() if chosen is None else [chosen[row]]
            api = next((api for api in ranked if grammar.possible(api)), None)
            paths.append([] if api is None else [_Path(tokens=[script.api_tokens[api]], api=api, origin=row)])
        past = seen.past_key_values
        while any(paths):
            flat = [(row, path) for row, own in enumerate(paths) for path in own]
            past, mask, logs = _step(model, past, mask, paths, device)
            paths = _grown(grammars, flat, logs, finished, beams, len(prompts))
    results = []
    for row in range(len(prompts)):
        if not finished[row]:
            results.append(
                replace(nothing(script, "the request holds no value for an argument that every function requires"), apis=apis[row])
            )
            continue
        best = max(finished[row], key=lambda path: path.score)
        results.append(Outcome(grammars[row].call(best), apis[row], best.score / max(1, best.decisions), hidden[row], best.decisions + 1))
    return results


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(-1) - 1).clamp_min(0)


def _step(model: Any, past: Any, mask: Tensor, paths: Sequence[Sequence[_Path]], device: Any) -> tuple[Any, Tensor, NDArray[np.float64]]:
    """Read the last token of every path; `past` is reordered so that row k is that of the k-th path."""
    import torch

    origins = [path.origin for own in paths for path in own]
    keep = torch.tensor(origins)
    if origins != list(range(mask.shape[0])):
        past.batch_select_indices(keep.to(device))
    mask = torch.cat([mask[keep], torch.ones(len(origins), 1, dtype=torch.long)], -1)
    tokens = torch.tensor([[path.tokens[-1]] for own in paths for path in own])
    seen = model(input_ids=tokens.to(device), attention_mask=mask.to(device), position_ids=_positions(mask)[:, -1:].to(device),
                 past_key_values=past, use_cache=True)  # fmt: skip
    logs = torch.log_softmax(seen.logits[:, -1].float(), -1).double().cpu().numpy()
    return seen.past_key_values, mask, logs


def _grown(
    grammars: Sequence[Grammar],
    flat: Sequence[tuple[int, _Path]],
    logs: NDArray[np.float64],
    finished: list[list[_Path]],
    beams: int,
    rows: int,
) -> list[list[_Path]]:
    """The best paths one token longer. A request is over when no open path can beat its best finished one."""
    candidates: list[list[_Path]] = [[] for _ in range(rows)]
    for place, (row, path) in enumerate(flat):
        moves = grammars[row].moves(path)
        choice = len(moves) > 1
        for token, after in moves.items():
            score = path.score + (float(logs[place, token]) if choice else 0.0)
            candidates[row].append(
                replace(after, score=score, decisions=path.decisions + choice, tokens=[*path.tokens, token], origin=place)
            )
    paths: list[list[_Path]] = []
    for row, own in enumerate(candidates):
        best = sorted(own, key=lambda path: -path.score)[:beams]
        finished[row] += [path for path in best if path.done]
        ceiling = max((path.score for path in finished[row]), default=-np.inf)
        paths.append([path for path in best if not path.done and path.score > ceiling])
    return paths


def states(model: Any, script: Script, texts: Sequence[str], *, batch: int = 4 * BATCH) -> NDArray[np.float32]:
    """The model's last state before it would write a call, unit rows of shape (n, width); zeros where a request can't be read."""
    import torch

    device = next(iter(model.parameters())).device
    found = np.zeros((len(texts), model.config.hidden_size), np.float32)
    ready = [(place, script.prompt(text).ids) for place, text in enumerate(texts) if text.strip() and not too_long(text)]
    ready.sort(key=lambda entry: len(entry[1]))
    for start in range(0, len(ready), batch):
        group = ready[start : start + batch]
        ids, mask = _padded([row for _, row in group], script.tokenizer.pad_token_id or 0)
        with torch.inference_mode():
            seen = model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=_positions(mask).to(device),
                output_hidden_states=True,
                logits_to_keep=1,
                use_cache=False,
            )
        last = seen.hidden_states[-1][:, -1].float().cpu().numpy()
        found[[place for place, _ in group]] = last / np.maximum(np.linalg.norm(last, axis=1, keepdims=True), 1e-9)
    return found


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows of tokens filled up on the left, so that what follows stands at the same place in each; and which tokens are real."""
    import torch

    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, longest - len(row) :] = torch.tensor(row)
        mask[place, longest - len(row) :] = 1
    return ids, mask
