"""From a request to a call that is valid by construction, or to no call; never half a call.

The model scores paths through the `grammar`, `beams` of them at a time, and only tokens that keep a path valid are ever considered; a
token that has no alternative costs nothing, and is read together with those up to the next choice.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.tool_calling.grammar import VOICE, Grammar, Path
from hare_lab.tool_calling.registry import Call
from hare_lab.tool_calling.values import too_long
from hare_lab.tool_calling.wording import Heard, Oddness, Wording
from hare_lab.tool_calling.writing import NONE, Prompt, Script

if TYPE_CHECKING:
    from torch import Tensor

BEAMS = 4
BATCH = 64  # requests at once
ROOM = 2_048  # tokens of the requests read at once: more lie too far apart in memory, which long requests pay for twice over
CHUNK = 64  # tokens read at a time
MARGIN = 5.0  # nats that a path may lie behind the best and still be followed


@dataclass(frozen=True)
class Outcome:
    """What a request was answered with.

    Attributes
    ----------
    call : the best valid call; kept beside `api` scores even where the answer is no call, so that a threshold can be moved
    apis : log-probabilities of each function's token and, last, of no call, among themselves; shape (n_apis + 1,)
    meaning, wording : two more opinions, in the same shape; zeros where there is none
    confidence : log-probability of the best call's decisions after the function's, a mean over them
    hidden : the model's last state before the call, shape (width,)
    tokens : that the model decided on; the request's words, which it reads again, are not among them
    oddness : how strange its words are for each function; None: nobody listened
    vector : the request's sentence vector, where the caller looked at it
    note : why there is no call, where that is not the model's choice
    """

    call: Call | None
    apis: NDArray[np.float64]
    meaning: NDArray[np.float64]
    wording: NDArray[np.float64]
    confidence: float
    hidden: NDArray[np.float32]
    tokens: int
    oddness: Oddness | None = None
    vector: NDArray[np.float32] | None = None
    note: str = ""

    @property
    def agreed(self) -> NDArray[np.float64]:
        """Log-probabilities of all opinions together, shape (n_apis + 1,)."""
        from scipy.special import log_softmax

        return np.asarray(log_softmax(self.apis + self.meaning + self.wording))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Probability of each function if one is called at all, by all opinions, shape (n_apis,)."""
        from scipy.special import softmax

        return np.asarray(softmax((self.apis + self.meaning + self.wording)[:-1]))


def decode(
    model: Any, script: Script, texts: Sequence[str], *, meaning: NDArray[np.float64] | None = None, wording: Wording | None = None,
    voice: float = VOICE, chosen: Sequence[int] | None = None, beams: int = BEAMS, batch: int = BATCH,
) -> list[Outcome]:  # fmt: skip
    """Answer requests.

    Parameters
    ----------
    model : causal language model in evaluation mode, tuned for the script's registry
    meaning : a second opinion on the function, log-probabilities of shape (n, n_apis + 1); it has the same voice as the model's
    wording, voice : a third one, on the function and on its arguments; there it counts so many times as much as the model's
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
    for group in grouped(ready, batch):
        forced = None if chosen is None else [chosen[place] for place, _ in group]
        other = np.zeros((len(group), len(script.registry) + 1)) if meaning is None else meaning[[place for place, _ in group]]
        prompts = [prompt for _, prompt in group]
        heard = None if wording is None else [wording(prompt.text) for prompt in prompts]
        for (place, _), outcome in zip(group, _decode(model, script, prompts, beams, other, heard, voice, forced), strict=True):
            found[place] = outcome
    return [outcome for outcome in found if outcome is not None]


def grouped(ready: Sequence[tuple[int, Prompt]], batch: int) -> Iterator[list[tuple[int, Prompt]]]:
    """Requests to be read together, like lengths side by side, at most `batch` of them and `ROOM` tokens."""
    group: list[tuple[int, Prompt]] = []
    for entry in sorted(ready, key=lambda entry: len(entry[1].ids)):
        if group and (len(group) == batch or (len(group) + 1) * len(entry[1].ids) > ROOM):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def nothing(script: Script, note: str) -> Outcome:
    """No call, for a reason outside the model."""
    apis = np.full(len(script.registry) + 1, -50.0)
    apis[-1] = 0.0
    return Outcome(None, apis, np.zeros_like(apis), np.zeros_like(apis), 0.0, np.zeros(0, np.float32), 0, note=note)


def _decode(
    model: Any, script: Script, prompts: Sequence[Prompt], beams: int, meaning: NDArray[np.float64],
    heard: Sequence[Heard] | None = None, voice: float = VOICE, chosen: Sequence[int] | None = None,
) -> list[Outcome]:  # fmt: skip
    import torch

    device = next(iter(model.parameters())).device
    ids, mask = _padded([prompt.ids for prompt in prompts], script.tokenizer.pad_token_id or 0)
    with torch.inference_mode():
        seen = model(input_ids=ids.to(device), attention_mask=mask.to(device), position_ids=_positions(mask).to(device), use_cache=True,
                     output_hidden_states=True, logits_to_keep=1)  # fmt: skip
        last = seen.logits[:, -1].float()
        hidden = seen.hidden_states[-1][:, -1].float().cpu().numpy()
        grammars = [Grammar(script, prompt, heard[row] if heard else None, voice) for row, prompt in enumerate(prompts)]
        wording = np.stack([one.apis for one in heard]) if heard else np.zeros_like(meaning)
        heads = torch.tensor([*script.api_tokens, script.ids[NONE]])
        apis = torch.log_softmax(last[:, heads].double(), -1).cpu().numpy()
        paths: list[list[Path]] = []
        finished: list[list[Path]] = [[] for _ in prompts]
        for row, grammar in enumerate(grammars):
            ranked = np.argsort(-(apis + meaning + wording)[row, :-1], kind="stable").tolist() if chosen is None else [chosen[row]]
            api = next((api for api in ranked if grammar.possible(api)), None)
            begun = [] if api is None else [grammar.onward(Path(unread=(script.api_tokens[api],), api=api, origin=row))]
            finished[row] = [path for path in begun if path.done]
            paths.append([path for path in begun if not path.done])
        past = seen.past_key_values
        while any(paths):
            flat = [(row, path) for row, own in enumerate(paths) for path in own]
            past, mask, logs = _step(model, past, mask, paths, device)
            paths = _grown(grammars, flat, logs, finished, beams, len(prompts))
    results = []
    for row in range(len(prompts)):
        if not finished[row]:
            none = nothing(script, "the request holds no value for an argument that every function requires")
            results.append(replace(none, apis=apis[row], meaning=meaning[row], wording=wording[row]))
            continue
        best = max(finished[row], key=lambda path: path.score)
        sure = best.score / max(1, best.decisions)
        call, odd = grammars[row].call(best), heard[row].oddness if heard else None
        results.append(Outcome(call, apis[row], meaning[row], wording[row], sure, hidden[row], best.decisions + 1, odd))
    return results


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(-1) - 1).clamp_min(0)


def _step(model: Any, past: Any, mask: Tensor, paths: Sequence[Sequence[Path]], device: Any) -> tuple[Any, Tensor, NDArray[np.float32]]:
    """Read what every path has not read yet; `past` is reordered so that row k is that of the k-th path."""
    import torch

    origins = [path.origin for own in paths for path in own]
    keep = torch.tensor(origins)
    if origins != list(range(mask.shape[0])):
        past.batch_select_indices(keep.to(device))
    tokens, real = _padded([path.unread for own in paths for path in own], 0)
    mask = torch.cat([mask[keep], real], -1)
    places, before = _positions(mask), mask.shape[1] - tokens.shape[1]
    for start in range(0, tokens.shape[1], CHUNK):
        end = min(start + CHUNK, tokens.shape[1])
        seen = model(input_ids=tokens[:, start:end].to(device), attention_mask=mask[:, : before + end].to(device), past_key_values=past,
                     position_ids=places[:, before + start : before + end].to(device), use_cache=True, logits_to_keep=1)  # fmt: skip
        past = seen.past_key_values
    logs = torch.log_softmax(seen.logits[:, -1].float(), -1).cpu().numpy()
    return past, mask, logs


def _grown(
    grammars: Sequence[Grammar],
    flat: Sequence[tuple[int, Path]],
    logs: NDArray[np.float32],
    finished: list[list[Path]],
    beams: int,
    rows: int,
) -> list[list[Path]]:
    """The best paths one choice longer, but none `MARGIN` behind. A request is over when no open path can beat its best finished one."""
    candidates: list[list[tuple[float, int, int, dict[str, Any]]]] = [[] for _ in range(rows)]
    for place, (row, path) in enumerate(flat):
        moves = grammars[row].moves(path)
        scores = path.score + logs[place, list(moves)].astype(float) + grammars[row].opinion(path, moves.values())
        candidates[row] += [(score, place, *move) for score, move in zip(scores.tolist(), moves.items(), strict=True)]
    paths: list[list[Path]] = []
    for row, own in enumerate(candidates):
        best = []
        for score, place, token, change in heapq.nlargest(beams, own, key=lambda candidate: candidate[0]):
            path = flat[place][1]
            told: dict[str, Any] = {"score": score, "decisions": path.decisions + 1, "unread": (token,), "origin": place}
            best.append(grammars[row].onward(replace(path, **change, **told)))
        finished[row] += [path for path in best if path.done]
        least = max([path.score for path in finished[row]] + [path.score - MARGIN for path in best], default=0.0)
        paths.append([path for path in best if not path.done and path.score > least])
    return paths


def states(model: Any, script: Script, texts: Sequence[str], *, batch: int = 4 * BATCH) -> NDArray[np.float32]:
    """The model's last state before it would write a call, unit rows of shape (n, width); zeros where a request can't be read."""
    import torch

    device = next(iter(model.parameters())).device
    found = np.zeros((len(texts), model.config.hidden_size), np.float32)
    ready = [(place, script.prompt(text)) for place, text in enumerate(texts) if text.strip() and not too_long(text)]
    for group in grouped(ready, batch):
        ids, mask = _padded([prompt.ids for _, prompt in group], script.tokenizer.pad_token_id or 0)
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
