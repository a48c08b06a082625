"""What does it cost to write down a page that the model has never seen?

The negative log-likelihood of the page under the model, in bits, over its length in UTF-8 bytes. Unlike perplexity a token it is
comparable between models of different tokenizers, for all of them must account for the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.diversity.estimate import Estimate
from hare_lab.errors import InputError
from hare_lab.evaluation.language_model import LanguageModel, text_log_likelihoods
from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset
    from numpy.typing import NDArray

RESAMPLES = 2_000
CHUNK = 500  # pages tokenised at once


@dataclass(frozen=True)
class BitsPerByte(Report):
    """Bits per byte of one model on one set of pages.

    Attributes
    ----------
    macro : mean of the groups' bits per byte: every topic counts the same, however many pages it has
    micro : all bits over all bytes: every byte counts the same
    groups : DataFrame with group, pages, bytes, bits_per_byte, low, high (95 %, bootstrap over the pages; no number for a single page)
    lone : groups of a single page, of whose luck no interval knows: those of `macro` and `micro` leave it out
    unfaithful : pages that the tokenizer can't give back as they were (unknown letters, folded case); their bits are too few
    """

    title: ClassVar[str] = "Bits per byte (lower is better)"

    model: str
    pages: int
    bytes: int
    macro: Estimate
    micro: Estimate
    unfaithful: int
    lone: int
    groups: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """One row a group, with the model's name, as `figures.bits_by_topic` takes it."""
        return self.groups.assign(model=self.model)

    def figure(self, theme: str = "screen") -> go.Figure:
        from hare_lab import figures

        return figures.bits_by_topic(self.table(), theme=theme)

    def _repr_html_(self) -> str:
        rows: list[tuple[Any, ...]] = [("mean of the groups", self.pages, self.bytes, _said(self.macro))]
        rows.append(("all bytes alike", self.pages, self.bytes, _said(self.micro)))
        shown = zip(*(self.groups[c].tolist() for c in ("group", "pages", "bytes", "bits_per_byte", "low", "high")), strict=True)
        rows += [
            (group, pages, size, _said(Estimate(value, low, high)) if pages > 1 else f"{value:.3f}")
            for group, pages, size, value, low, high in shown
        ]
        warning = f"; its tokenizer cannot spell {self.unfaithful} of the pages" if self.unfaithful else ""
        return html_table(rows, ("group", "pages", "bytes", "bits per byte (95 % interval)"), f"{self.title}: {self.model}{warning}")


def page_bits(model: LanguageModel, pages: Dataset, *, stride: int | None = None) -> pd.DataFrame:
    """How many bits each page costs under the model.

    A page longer than the model's context is read in windows that overlap, and each token is scored once, in the window that shows the
    most of what stands before it.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    stride : tokens that a further window adds; default half the context. The whole context gives windows without overlap, which is what
        lm-evaluation-harness does; every token of a page then counts on less context, and the figure is a little higher.

    Returns
    -------
    DataFrame with a row a page: id, tokens, bytes (UTF-8), bits, faithful (whether the tokenizer gives the text back).

    Raises
    ------
    InputError
        If there is no page, a page has no text, or the stride is outside 1 .. context.
    """
    import pandas as pd

    texts, ids = list(pages["text"]), list(pages["id"])
    if not texts:
        raise InputError("bits per byte: no held-out page; hold out a larger share of the corpus")
    empty = next((i for i, text in zip(ids, texts, strict=True) if not text), None)
    if empty is not None:
        raise InputError(f'bits per byte: page "{empty}" has no text, so it has no bits a byte; leave it out')
    step = model.context // 2 if stride is None else stride
    if not 1 <= step <= model.context:
        raise InputError(f"bits per byte: the stride is {step}; it must lie between 1 and the model's context of {model.context} tokens")
    encoded = [ids for low in range(0, len(texts), CHUNK) for ids in model.encode(texts[low : low + CHUNK])]
    bits = text_log_likelihoods(model, encoded, stride=step, what="bits per byte") / -math.log(2)
    faithful = [_gives_back(model, tokens, text) for tokens, text in zip(encoded, texts, strict=True)]
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    return pd.DataFrame({"id": ids, "tokens": [len(t) for t in encoded], "bytes": sizes, "bits": bits, "faithful": faithful})


def _gives_back(model: LanguageModel, tokens: list[int], text: str) -> bool:
    back: str = model.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
    return back.strip() == text.strip()


def bits_per_byte(scored: pd.DataFrame, groups: Sequence[Any], *, model: str = "model", seed: int = 0) -> BitsPerByte:
    """Bits per byte by group and averaged over the groups, with intervals.

    The interval says how far another draw of pages from the same groups could lie: pages are resampled within each group. It says
    nothing of another training run; for that, `experiment` has seeds.

    Parameters
    ----------
    scored : what `page_bits` returned
    groups : the topic (or source, or label) of each page, in the same order
    model : its name
    seed : of the resampling

    Raises
    ------
    InputError
        If lengths differ or there is no page.
    """
    import pandas as pd

    names = _checked(scored, groups)
    bits, sizes = scored["bits"].to_numpy(float), scored["bytes"].to_numpy(float)
    order = sorted(set(names.tolist()))
    rows = [np.flatnonzero(names == name) for name in order]
    values = np.array([bits[r].sum() / sizes[r].sum() for r in rows])
    drawn = _resampled(bits, sizes, rows, np.random.default_rng(seed))
    lows, highs = np.quantile(drawn[0] / drawn[1], [0.025, 0.975], axis=1)
    macro, micro = (drawn[0] / drawn[1]).mean(axis=0), drawn[0].sum(axis=0) / drawn[1].sum(axis=0)
    counts = np.array([len(r) for r in rows])
    lows, highs = np.where(counts > 1, np.minimum(lows, values), np.nan), np.where(counts > 1, np.maximum(highs, values), np.nan)
    table = pd.DataFrame(
        {"group": order, "pages": counts, "bytes": [int(sizes[r].sum()) for r in rows], "bits_per_byte": values, "low": lows, "high": highs}
    )
    return BitsPerByte(
        model=model, pages=len(scored), bytes=int(sizes.sum()), macro=_estimate(float(values.mean()), macro),
        micro=_estimate(float(bits.sum() / sizes.sum()), micro), unfaithful=int((~scored["faithful"].to_numpy(bool)).sum()),
        lone=int((counts == 1).sum()), groups=table,
    )  # fmt: skip


def bits_difference(one: pd.DataFrame, two: pd.DataFrame, groups: Sequence[Any], *, seed: int = 0) -> Estimate:
    """Macro-averaged bits per byte of `one` minus that of `two`, on the same pages; below zero means that `one` predicts better.

    Pages are resampled for both models at once: that a page is hard for both then cancels, and a small difference shows.

    Raises
    ------
    InputError
        If the two were not scored on the same pages in the same order.
    """
    names = _checked(one, groups)
    if list(one["id"]) != list(two["id"]):
        raise InputError("bits per byte: the two models were scored on different pages; score both on the same held-out set")
    rows = [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]
    gaps = one["bits"].to_numpy(float) - two["bits"].to_numpy(float)
    sizes = one["bytes"].to_numpy(float)
    value = float(np.mean([gaps[r].sum() / sizes[r].sum() for r in rows]))
    drawn = _resampled(gaps, sizes, rows, np.random.default_rng(seed))
    return _estimate(value, (drawn[0] / drawn[1]).mean(axis=0))


def _checked(scored: pd.DataFrame, groups: Sequence[Any]) -> NDArray[np.str_]:
    if len(scored) == 0:
        raise InputError("bits per byte: no held-out page; hold out a larger share of the corpus")
    if len(scored) != len(groups):
        raise InputError(f"bits per byte: {len(scored):,} pages but {len(groups):,} groups; give one a page, in the same order")
    return np.array([str(g) for g in groups])


def _resampled(
    bits: NDArray[np.float64], sizes: NDArray[np.float64], rows: list[NDArray[Any]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sums of bits and of bytes, of shape (2, n_groups, RESAMPLES), each group's pages drawn anew."""
    sums = np.empty((2, len(rows), RESAMPLES))
    for g, members in enumerate(rows):
        n = len(members)
        both = np.stack([bits[members], sizes[members]])
        for low in range(0, RESAMPLES, step := max(1, 4_000_000 // n)):
            count = min(step, RESAMPLES - low)
            weights = rng.multinomial(n, np.full(n, 1 / n), size=count)
            sums[:, g, low : low + count] = both @ weights.T
        if n > 1:  # the bootstrap of few pages is too narrow by this factor (Davison and Hinkley 1997, section 2.7)
            wide, ratio = math.sqrt(n / (n - 1)), both[0].sum() / both[1].sum()
            sums[0, g] = sums[1, g] * (ratio + wide * (sums[0, g] / sums[1, g] - ratio))
    return sums


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    low, high = (float(q) for q in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value, min(low, value), max(high, value))


def _said(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
