"""Has a model read the exam? The test of the paper's appendix B.

A model that has read a benchmark completes its items word for word, and stumbles over a paraphrased copy that asks the same. From
five evenly spaced places in each text the model writes five tokens, greedily; the share of places where all five are the
text's own is the 5-gram accuracy. Its fall from the benchmark to the copy is the delta. A delta near zero says little: the model
may be clean, or have read both copies. So show beside it what a model that did read it scores (`control`).

A small model that has read an exam a few times can't yet recite it, but is less surprised by it. So bits per byte are read in the same
pass; their fall from the copy to the benchmark says something only beside a clean model's, since a paraphrase may be harder in itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.choices import with_choices
from hare_lab.diversity.estimate import Estimate
from hare_lab.errors import InputError
from hare_lab.leakage.items import Items, load_items
from hare_lab.pretrained import open_pretrained
from hare_lab.report_base import Report

if TYPE_CHECKING:
    import pandas as pd

N = 5  # tokens that must all be right, and K = 5 places: Xu et al. (2024), "Benchmarking benchmark leakage"; HARE, appendix B
STARTS = 5
RESAMPLES = 2_000
BATCH_TOKENS = 8_192  # read at once; fewer where the vocabulary is large, for the model scores all of it after each token:
SCORES = 1 << 26  # no more than so many at once (256 MiB in fp32, of which the loss makes copies), so that a laptop holds them
LONGEST = 1_024  # tokens of a text that are read, where the model allows more


@dataclass(frozen=True)
class ModelTest(Report):
    """How well a model completes a benchmark and a paraphrased copy of it, in points (0 to 100).

    Attributes
    ----------
    accuracy, twin_accuracy : 5-gram accuracy on the benchmark D and on its copy D'
    delta : accuracy(D) - accuracy(D')
    normalised : delta / accuracy(D); no number where accuracy(D) is 0
    items : pairs that were long enough; skipped : those that were not
    bits_delta : bits per byte on D' less those on D; to be compared with that of a clean model
    per_item, per_twin : the accuracy on each pair, 0 to 1
    kept : which of the pairs given these are, counted from 0
    pairs : a digest of their texts, by which `difference` knows the same pairs again
    """

    title: ClassVar[str] = "Has the model read it?"

    model: str
    benchmark: str
    items: int
    skipped: int
    accuracy: Estimate
    twin_accuracy: Estimate
    delta: Estimate
    normalised: Estimate | None
    n: int
    starts: int
    bits_delta: Estimate
    per_item: np.ndarray = field(repr=False)
    per_twin: np.ndarray = field(repr=False)
    kept: np.ndarray = field(repr=False)
    pairs: str = field(repr=False)

    def row(self) -> pd.DataFrame:
        """One row for `figures.leak_deltas`: model, benchmark, delta, low, high (points)."""
        import pandas as pd

        values = {
            "model": self.model,
            "benchmark": self.benchmark,
            "delta": self.delta.value,
            "low": self.delta.low,
            "high": self.delta.high,
        }
        return pd.DataFrame([values])

    def _rows(self) -> list[tuple[str, Any]]:
        share = str(self.normalised) if self.normalised else "–"
        return [
            ("model", self.model), ("benchmark", self.benchmark), ("pairs of items", self.items), ("too short", self.skipped),
            (f"{self.n}-gram accuracy on it, %", str(self.accuracy)), ("on the paraphrased copy, %", str(self.twin_accuracy)),
            ("delta, points (95 % interval)", str(self.delta)), ("delta as a share of the accuracy", share),
            ("more bits per byte on the copy", str(self.bits_delta)),
        ]  # fmt: skip


def twins(rows: Sequence[dict[str, Any]] | None = None) -> tuple[Items, Items]:
    """The benchmark and its paraphrased copy, item by item.

    Parameters
    ----------
    rows : rows with question, choices, answer, twin_question and twin_choices; default: the bundled benchmark

    Raises
    ------
    InputError
        If a row has no twin.
    """
    from hare_lab import texts

    found = texts.items() if rows is None else list(rows)
    for number, row in enumerate(found):
        if not row.get("twin_question"):
            raise InputError(f'row {number} of the benchmark has no "twin_question"; the test needs a paraphrase of each item')
    copy = [{**row, "question": row["twin_question"], "choices": row.get("twin_choices") or []} for row in found]
    return load_items(found), load_items(copy)


def exam_texts(items: Items) -> list[str]:
    """Each item as a model would meet it in a text: question, choices, answer, one a line; a blank holds its answer."""
    return [
        with_choices(question, [*(f"- {choice}" for choice in choices), f"Answer: {answer}"]) if choices else items.told(row)
        for row, (question, choices, answer) in enumerate(zip(items.questions, items.choices, items.answers, strict=True))
    ]


def model_test(
    model: Any, items: Items | Sequence[str], copy: Items | Sequence[str], *, tokenizer: Any = None, n: int = N, starts: int = STARTS,
    name: str = "", benchmark: str = "", seed: int = 0,
) -> ModelTest:  # fmt: skip
    """The n-gram accuracy test on a benchmark and its paraphrased copy.

    Parameters
    ----------
    model : folder or hub id of a causal language model, or a loaded one (then with its `tokenizer`)
    items, copy : the benchmark D and its paraphrase D', pair by pair: `Items` or texts, of which the first 1,024 tokens are read
    tokenizer : of the model; default: the one in its folder
    n, starts : tokens that must be right, and places in each text
    name, benchmark : what to call them in tables and figures
    seed : of the resampling

    Returns
    -------
    ModelTest
        Intervals are the middle 95 % of 2,000 resamples of the pairs.

    Raises
    ------
    InputError
        If the model can't be loaded, has no tokenizer or another model's, the two copies differ in number, no pair is long enough, or `n`
        or `starts` is below 1.

    References
    ----------
    Xu et al. (2024), "Benchmarking Benchmark Leakage in Large Language Models", arXiv 2404.18824; HARE paper, appendix B.
    """
    own, other = (exam_texts(side) if isinstance(side, Items) else list(side) for side in (items, copy))
    if len(own) != len(other):
        raise InputError(f"leakage test: {len(own):,} items and {len(other):,} paraphrases; give each item its own")
    _check_places(n, starts)  # before a model is loaded for it
    called = name or (str(model) if isinstance(model, str | Path) else type(model).__name__)
    if isinstance(model, str | Path):
        model, its_own = open_model(model)
        tokenizer = its_own if tokenizer is None else tokenizer
    both, bits = read_along(model, tokenizer, [*own, *other], n=n, starts=starts)
    one, two = both[: len(own)], both[len(own) :]
    surprise = bits[len(own) :] - bits[: len(own)]
    whole = ~np.isnan(one) & ~np.isnan(two)
    if not whole.any():
        raise InputError(f"leakage test: no pair has {n + 3} tokens on both sides; give longer items")
    one, two, surprise = one[whole], two[whole], surprise[whole]
    draws = np.random.default_rng(seed).integers(len(one), size=(RESAMPLES, len(one)))
    drawn, drawn_twin = 100 * one[draws].mean(axis=1), 100 * two[draws].mean(axis=1)
    positive = drawn > 0
    share = 100 * float(one.mean())
    normalised = None
    if share > 0:
        normalised = _estimate(1 - float(two.mean() / one.mean()), 1 - drawn_twin[positive] / drawn[positive])
    return ModelTest(
        model=called, benchmark=benchmark or (items.benchmarks[0] if isinstance(items, Items) else "texts"), items=len(one),
        skipped=int((~whole).sum()), accuracy=_estimate(share, drawn), twin_accuracy=_estimate(100 * float(two.mean()), drawn_twin),
        delta=_estimate(100 * float(one.mean() - two.mean()), drawn - drawn_twin), normalised=normalised, n=n, starts=starts,
        bits_delta=_estimate(float(surprise.mean()), surprise[draws].mean(axis=1)), per_item=one, per_twin=two, kept=np.flatnonzero(whole),
        pairs=_digest((own[at], other[at]) for at in np.flatnonzero(whole)),
    )  # fmt: skip


def difference(leaked: ModelTest, clean: ModelTest, *, seed: int = 0) -> Estimate:
    """How much larger the delta of one model is than that of another on the same pairs, in points, with its 95 % interval.

    Raises
    ------
    InputError
        If the two were tested on different pairs (a tokenizer may make a text too short that another leaves long enough), or asked for
        different `n` or `starts`.
    """
    if (leaked.n, leaked.starts) != (clean.n, clean.starts):
        raise InputError(
            f"leakage test: one model was asked for {leaked.n} tokens at {leaked.starts} places, the other for {clean.n} at "
            f"{clean.starts}; ask both the same"
        )
    if leaked.pairs != clean.pairs:
        raise InputError(
            f"leakage test: one model was tested on {leaked.items:,} pairs, the other on {clean.items:,}, and they are not the same; give "
            "both the same pairs, and only such as are long enough for both (`kept` of each names them)"
        )
    gap = 100 * ((leaked.per_item - leaked.per_twin) - (clean.per_item - clean.per_twin))
    draws = np.random.default_rng(seed).integers(len(gap), size=(RESAMPLES, len(gap)))
    return _estimate(float(gap.mean()), gap[draws].mean(axis=1))


def ngram_accuracy(model: Any, tokenizer: Any, texts: Sequence[str], *, n: int = N, starts: int = STARTS) -> np.ndarray:
    """For each text the share of its places at which the next `n` tokens are all what the model would write greedily: `read_along`'s."""
    return read_along(model, tokenizer, texts, n=n, starts=starts)[0]


def read_along(model: Any, tokenizer: Any, texts: Sequence[str], *, n: int = N, starts: int = STARTS) -> tuple[np.ndarray, np.ndarray]:
    """What a model would have written of each text, and how much the text surprises it.

    One pass over a text answers for all its places: as long as every token so far is the text's own, what the model reads is the
    text itself, so writing and reading along agree up to the first mistake, and after it the place is lost anyway.

    Parameters
    ----------
    model, tokenizer : a causal language model and its tokenizer, loaded
    texts : in any number; of each the first 1,024 tokens are read, or what the model allows
    n : tokens that must all be right
    starts : K places, evenly spaced from token 2 to the last that leaves n

    Returns
    -------
    two arrays of shape (n_texts,), not a number for a text of fewer than n + 3 tokens
        The share of its places at which the next `n` tokens are all what the model would write greedily, 0 to 1; and bits per byte of
        the text after its first token.

    Raises
    ------
    InputError
        If `n` or `starts` is below 1, there is no tokenizer, or it knows tokens that the model does not.
    """
    import torch
    from torch.nn.functional import cross_entropy

    _check_places(n, starts)
    if tokenizer is None:
        raise InputError("leakage test: a loaded model needs its tokenizer; pass tokenizer=, or give the model's folder or hub id")
    longest = min(LONGEST, int(getattr(model.config, "max_position_embeddings", LONGEST) or LONGEST))
    rows = [list(ids)[:longest] for ids in tokenizer(list(texts), verbose=False)["input_ids"]] if len(texts) else []
    vocabulary = model.get_input_embeddings().num_embeddings
    if (highest := max((max(ids) for ids in rows if ids), default=0)) >= vocabulary:
        raise InputError(f"leakage test: the tokenizer gives token {highest:,}, but the model knows {vocabulary:,}; give the model's own")
    at_once = max(1, min(BATCH_TOKENS, SCORES // vocabulary))
    shares, bits = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    order = sorted((at for at, ids in enumerate(rows) if len(ids) >= n + 3), key=lambda at: len(rows[at]))
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        while order:
            size = max(1, at_once // len(rows[order[-1]]))
            batch, order = order[-size:], order[:-size]
            width = max(len(rows[at]) for at in batch)
            ids = torch.zeros((len(batch), width), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for line, at in enumerate(batch):  # padded on the right, where causal attention never looks
                ids[line, : len(rows[at])] = torch.tensor(rows[at])
                mask[line, : len(rows[at])] = 1
            logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            written = logits.argmax(dim=-1).cpu()
            lost = np.concatenate(
                [  # all at once, but for a text that is longer than a batch
                    cross_entropy(scores.transpose(1, 2).float(), targets.to(device), reduction="none").cpu().numpy()
                    for scores, targets in zip(logits[:, :-1].split(at_once, 1), ids[:, 1:].split(at_once, 1), strict=True)
                ],
                axis=1,
            )
            right = (written[:, :-1] == ids[:, 1:]).numpy()  # right[:, t]: token t + 1 is what the model would write there
            for line, at in enumerate(batch):
                places = np.linspace(2, len(rows[at]) - n, starts).astype(int)
                shares[at] = np.mean([right[line, place - 1 : place - 1 + n].all() for place in places])
                told = texts[at] if len(rows[at]) < longest else tokenizer.decode(rows[at])
                bits[at] = lost[line, : len(rows[at]) - 1].sum() / np.log(2) / max(1, len(told.encode("utf-8", "surrogatepass")))
    model.train(was_training)
    return shares, bits


def open_model(model: str | Path) -> tuple[Any, Any]:
    """A causal language model and its tokenizer, from a folder or the hub; on the GPU where there is one.

    Raises
    ------
    InputError
        If it is neither, holds no causal language model, or its weights are damaged or another model's.
    """
    import torch
    from transformers import AutoModelForCausalLM

    loaded, tokenizer = open_pretrained(model, AutoModelForCausalLM, "a causal language model")
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def _check_places(n: int, starts: int) -> None:
    if n < 1 or starts < 1:  # of nothing at all everything is right
        raise InputError(f"leakage test: {n} tokens at {starts} places prove nothing; give at least one of each")


def _digest(pairs: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps(pair).encode())
    return digest.hexdigest()[:16]


def _estimate(value: float, drawn: np.ndarray) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (value, value)
    return Estimate(value, float(min(low, value)), float(max(high, value)))
