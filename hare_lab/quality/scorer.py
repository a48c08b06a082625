"""A taught scorer: how good a page is beside a pool, and which of its opinions say so. `fitting` teaches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError
from hare_lab.quality.evidence import LIMITS, Evidence, Floats, Scale, evidence
from hare_lab.quality.features import ASPECTS, COUNTS
from hare_lab.quality.learning import Space, heard
from hare_lab.quality.rules import need_words
from hare_lab.report_base import Report, html_table

OPINIONS = (*ASPECTS, "style", "meaning")


@dataclass(frozen=True)
class Explanation(Report):
    """Why a page scored as it did: each opinion and what it added, and the counts that stand out.

    `opinions` has columns opinion, says (standard deviations from the middle of good pages and pool) and adds (that, times its weight).
    `counts` has columns count, aspect, value and says: how far it is towards better (above 0) or worse.
    """

    title: ClassVar[str] = "Why this score"

    quality: float
    opinions: Any
    counts: Any

    def figure(self, theme: str = "screen") -> Any:
        """What speaks for the page, and what against."""
        from hare_lab import figures

        return figures.quality_reasons(self.opinions, quality=self.quality, theme=theme)

    def _repr_html_(self) -> str:
        rows = [(r.opinion, f"{r.adds:+.2f}", f"{r.says:+.1f}") for r in self.opinions.itertuples()]
        told = self.counts.reindex(self.counts["says"].abs().sort_values(ascending=False).index).head(5)
        notable = "; ".join(f"{r.meaning}: {'better' if r.says > 0 else 'worse'} than usual" for r in told.itertuples())
        return html_table([*rows, ("what stands out", notable, "")], ("opinion", "adds", "standard deviations"),
                          f"Quality {self.quality:.2f}")  # fmt: skip


@dataclass(frozen=True)
class Scorer(Report):
    """A trained scorer: pages in, quality in 0..1 out. It can be kept with a run, as any report.

    The score is calibrated against the pool: 0.7 says that the page is better than 70 % of it. Beside it stands the
    likeness: the probability that a page is one of the good pages rather than one of the pool, if either were as likely. Both hear
    the same opinions. For the score they count as fixed beforehand, within bounds; for the likeness as the examples have it, even
    upside down: where the good pages are short, a short page is like them, and no better for it.

    Attributes
    ----------
    weights : what a standard deviation of each of OPINIONS counts; one step in length (2.7 times as many words) counts 1
    likely : what a standard deviation of each of OPINIONS adds to the log-odds of being a good page, and last the log-odds of a page
        in the middle of all
    pool : sums of the weighted opinions of the pages of the pool, each by a model that did not see it, in order
    """

    title: ClassVar[str] = "What an opinion counts"

    scale: Scale
    ratio: Floats
    direction: Floats | None
    space: Space | None
    learnt_scale: tuple[Floats, Floats]
    weights: Floats
    likely: Floats
    pool: Floats

    def score(self, texts: Sequence[str], vectors: NDArray[np.floating[Any]] | None = None) -> Floats:
        """The quality of texts, each with a word; a scorer that was taught without vectors asks for none, and where one that was gets none,
        meaning says nothing.

        Raises
        ------
        InputError
            If a text has no words, or the vectors are not one a text, of the width that the scorer was taught with.
        """
        need_words(texts, [f"{row}" for row in range(len(texts))])
        return self.quality(self.opinions(texts, vectors))

    def opinions(self, texts: Sequence[str], vectors: NDArray[np.floating[Any]] | None = None) -> Floats:
        """What each opinion says of each page, in standard deviations; shape (n_pages, 8), in the order of OPINIONS."""
        return self._opinions(evidence(texts, vectors if self.space is not None else None))

    def quality(self, opinions: Floats) -> Floats:
        """The share of the pool that is below, smooth beyond its ends so that no two pages tie."""
        return standing(opinions @ self.weights, self.pool)

    def likeness(self, opinions: Floats) -> Floats:
        """The probability of being a good page, were good pages and pool equally likely."""
        return likeness(opinions, self.likely)

    def explain(self, text: str, vector: NDArray[np.floating[Any]] | None = None) -> Explanation:
        """Which opinions and counts speak for a page, and which against it."""
        import pandas as pd

        need_words([text], ["given"])
        known = evidence([text], None if vector is None or self.space is None else np.atleast_2d(vector))
        says = self._opinions(known)[0]
        standard = self.scale.standard(known.counts)
        opinions = pd.DataFrame({"opinion": OPINIONS, "says": says, "adds": says * self.weights})
        told = [
            {"count": n, "aspect": a, "meaning": COUNTS[n], "value": float(known.counts[n][0]), "says": float(standard[n][0])}
            for a, members in ASPECTS.items() for n in members
        ]  # fmt: skip
        return Explanation(float(self.quality(says[None])[0]), opinions, pd.DataFrame(told))

    def _repr_html_(self) -> str:
        about = {name: ", ".join(COUNTS[count] for count in members) for name, members in ASPECTS.items()}
        about |= {"style": "runs of common words, endings and punctuation", "meaning": "the vector, less what its topic has in common"}
        rows = [(name, f"{weight:.2f}", about[name]) for name, weight in zip(OPINIONS, self.weights, strict=True)]
        caption = f"{self.title}: one standard deviation of it; of length, 2.7 times as many words"
        return html_table(rows, ("opinion", "counts", "what it looks at"), caption)

    def _opinions(self, known: Evidence) -> Floats:
        if known.vectors is not None and self.space is not None:
            asked = len(known), self.space.groups.shape[1]
            if known.vectors.shape != asked:
                raise InputError(f"quality: the vectors have the shape {known.vectors.shape}, not {asked}; embed each text with the model "
                                 "that the scorer was taught with")  # fmt: skip
        residual = None if known.vectors is None or self.space is None else self.space.of(known.vectors)
        centre, spread = self.learnt_scale
        learnt = np.clip((heard(known.style, residual, self.ratio, self.direction) - centre) / spread, *LIMITS)
        if residual is None:
            learnt[:, 1] = 0.0
        return np.column_stack([self.scale.of(known.counts), learnt])


def standing(values: Floats, pool: Floats) -> Floats:
    """The share of a pool that lies below each value: by rank within it, fading out beyond its ends. Equals have none of each other below
    them, or a bad page would be the better the more copies it has.

    Parameters
    ----------
    pool : sorted array

    Returns
    -------
    array of numbers between 0 and 1, in the order of `values` where that is strict.
    """
    values, pool = np.round(values, 9), np.round(pool, 9)  # equal pages differ in the last digit, by how a product is cut into blocks
    distinct, below = np.unique(pool, return_index=True)
    rank = np.interp(values, distinct, below + 0.5) / len(pool)
    edge = 0.5 / len(pool)
    under, over = np.minimum(values - pool[0], 0), np.minimum(pool[-1] - values, 0)
    return np.asarray(np.where(under < 0, edge * np.exp(under), np.where(over < 0, 1 - edge * np.exp(over), rank)))


def likeness(opinions: Floats, likely: Floats) -> Floats:
    """The probability of being a good page; `likely` has what each opinion adds to its log-odds, and where they start."""
    return np.asarray(1 / (1 + np.exp(-(opinions @ likely[:-1] + likely[-1]))))
