"""What is known of a page before anything is learnt: its counts, its style and its vector, and the counts on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hare_lab.quality.chars import Batch, batches
from hare_lab.quality.features import ASPECTS, COUNTS, Terms, counts
from hare_lab.quality.style import style_counts

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LIMITS = -4.0, 2.5  # standard deviations, beyond which a count says no more: a fault weighs more than a merit


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of some pages before anything is learnt, one row a page."""

    counts: Mapping[str, Floats]
    style: csr_matrix
    vectors: NDArray[np.floating[Any]] | None

    def __len__(self) -> int:
        return int(self.style.shape[0])


def evidence(texts: Sequence[str], vectors: NDArray[np.floating[Any]] | None = None) -> Evidence:
    """What a scorer looks at, for pages that each have a word; `vectors` may be None, then none are asked."""
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(_seen, (part for _, part in batches(texts))))
    counted = {name: np.concatenate([part[0][name] for part in parts]) for name in COUNTS}
    style = vstack([part[1] for part in parts], format="csr")
    return Evidence(counted, style, None if vectors is None else np.asarray(vectors, np.float32))


def _seen(texts: list[str]) -> tuple[dict[str, Floats], csr_matrix]:
    batch = Batch(texts)
    terms = Terms(batch)
    return counts(batch, terms), style_counts(batch, terms)


@dataclass(frozen=True)
class Scale:
    """Counts and aspects on one scale: 0 is the middle between good pages and pool, 1 a standard deviation."""

    counts: dict[str, tuple[float, float]]
    aspects: dict[str, tuple[float, float]]

    def standard(self, counted: Mapping[str, Floats]) -> dict[str, Floats]:
        """Each count as standard deviations towards better, clipped."""
        signs = {name: sign for members in ASPECTS.values() for name, sign in members.items()}
        return {n: np.clip(signs[n] * (counted[n] - m) / s, *LIMITS) for n, (m, s) in self.counts.items()}

    def of(self, counted: Mapping[str, Floats]) -> Floats:
        """The aspects of each page, in the order of ASPECTS."""
        standard = self.standard(counted)
        means = {name: np.mean([standard[count] for count in members], axis=0) for name, members in ASPECTS.items()}
        return np.column_stack([np.clip((means[n] - m) / s, *LIMITS) for n, (m, s) in self.aspects.items()])


def scale(counted: Mapping[str, Floats], good: Bools) -> Scale:
    """The scale on which good pages and pool count equally, however many there are of each."""
    weights = np.where(good, 0.5 / max(good.sum(), 1), 0.5 / max((~good).sum(), 1))

    def middle(values: Floats) -> tuple[float, float]:
        mean = float(np.average(values, weights=weights))
        spread = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
        return mean, spread if spread > 1e-9 else 1.0

    first = Scale({name: middle(counted[name]) for name in COUNTS}, {})
    # Length has a scale of its own, for how long good pages are is a matter of where they were taken from: 2.7 times as many words
    # (a factor of e) are one step, everywhere.
    first.counts["words"] = float(counted["words"][~good].mean()), 1.0
    standard = first.standard(counted)
    means = {name: np.mean([standard[count] for count in members], axis=0) for name, members in ASPECTS.items()}
    return Scale(first.counts, {**{name: middle(values) for name, values in means.items()}, "length": (0.0, 1.0)})
