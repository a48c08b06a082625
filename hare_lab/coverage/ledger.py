"""The gap ledger: for each topic of the reference, how much there is, how much was wanted, and what lies nearest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hare_lab.clustering.neighbours import unit
from hare_lab.corpus import token_counts
from hare_lab.corpus.pages import with_columns
from hare_lab.coverage import measures
from hare_lab.coverage.placing import Placement, place
from hare_lab.coverage.reference import Reference
from hare_lab.coverage.report import SHARES, CoverageReport
from hare_lab.diversity import Estimate, effective_number
from hare_lab.errors import InputError
from hare_lab.texts import OTHER

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

COLUMNS = (
    "topic", "name", "description", "parent", "wanted", "have", "low", "high", "pages", "tokens", "gap_tokens", "density", "covered",
    "nearest",
)  # fmt: skip
SHOWN = 5
LETTER = re.compile(r"[^\W\d_]")
RADII = tuple(float(radius) for radius in np.linspace(0.2, 0.8, 31).round(2))
RADIUS = 0.4  # cosine from which a page is near to a phrase: by eye on the demo, and a slider in notebook 04


@dataclass(frozen=True)
class Covered:
    """What `cover` returns: three values that a run keeps as `placed`, `gaps` and `coverage`.

    Attributes
    ----------
    placed : Dataset with id, topic (of the reference, or `other`) and topic_similarity, in the order of the pages
    gaps : DataFrame, the gap ledger: one row a topic and one for `other`, the widest gap first
        wanted, have, low, high are shares of the tokens; gap_tokens is what is missing at the corpus' present size
        (negative: too much); density is pages per 1,000 that are near to what is said of the topic, be they placed there or not
        (for `other`: near to nothing that is said of any); covered the share of what is said of it that some page is near to;
        nearest the ids of the pages that fit it best.
    report : CoverageReport
    """

    placed: Dataset
    gaps: pd.DataFrame
    report: CoverageReport


def cover(
    pages: Dataset,
    vectors: NDArray[np.float32],
    reference: Reference,
    *,
    name: str = "the reference",
    tokenizer: str = "",
    radius: float = RADIUS,
    seed: int = 0,
) -> Covered:
    """A corpus against a reference.

    Parameters
    ----------
    pages : Dataset with id and text
    vectors : float32 array (n_pages, dim), in the order of the pages
    reference : see `from_taxonomy`, `from_pages` and `load_reference`
    name : what to call the reference in the report
    tokenizer : as `corpus.token_counts` takes it; empty counts bytes
    radius : cosine similarity, 0 to 1, from which a page is near to a point of the reference
    seed : of the redraws that the intervals come from

    Raises
    ------
    InputError
        If there is no page, there is not one vector a page, or the radius is none; and as `place` does.
    """
    if len(pages) == 0 or len(pages) != len(vectors):
        raise InputError(f"coverage: {len(pages):,} pages and {len(vectors):,} vectors; give one vector a page, and at least one page")
    if not 0 < radius < 1:
        raise InputError(f"coverage: the radius is {radius}; give a cosine similarity between 0 and 1")
    rows = unit(np.asarray(vectors, dtype=np.float32))
    worded = _worded(pages)
    placement = place(rows, reference, worded)
    rows[~worded] = 0  # near to nothing
    tokens = token_counts(pages["text"], tokenizer).astype(float)
    ids = list(pages["id"])
    near = measures.near_points(rows, reference.points)
    topic = np.where(placement.topic < 0, len(reference.topics), placement.topic)
    shares, counts = measures.redraw(topic, tokens, len(reference.topics) + 1, seed)
    crowd = measures.crowding(rows, reference.points, reference.owner, radius)
    gaps = _ledger(ids, placement, worded, topic, tokens, reference, shares, near[1] >= radius, crowd)
    report = _report(name, gaps, reference, placement, worded, shares, counts, near, radius)
    return Covered(_placed(pages, placement, reference), gaps, report)


def _worded(pages: Dataset) -> NDArray[np.bool_]:
    """Which pages hold a word, in their text or title: a letter of any script."""
    titles = pages["title"][:] if "title" in pages.column_names else [None] * len(pages)
    return np.array(
        [bool(LETTER.search(text) or LETTER.search(str(title or ""))) for text, title in zip(pages["text"], titles, strict=True)]
    )


def _placed(pages: Dataset, placement: Placement, reference: Reference) -> Dataset:
    import pyarrow as pa

    names = [*(topic.id for topic in reference.topics), OTHER]  # -1 is the last
    topic = pa.array([names[at] for at in placement.topic.tolist()], pa.string())
    return with_columns(pages.select_columns(["id"]), {"topic": topic, "topic_similarity": pa.array(placement.similarity)})


def _ledger(
    ids: list[str],
    placement: Placement,
    worded: NDArray[np.bool_],
    topic: NDArray[np.int64],
    tokens: NDArray[np.float64],
    reference: Reference,
    shares: NDArray[np.float64],
    near: NDArray[np.bool_],
    crowd: NDArray[np.int64],
) -> pd.DataFrame:
    import pandas as pd

    n = len(reference.topics)
    pages = np.bincount(topic, minlength=n + 1)
    held = np.bincount(topic, weights=tokens, minlength=n + 1)
    total = max(float(tokens.sum()), 1.0)
    low, high = measures.share_intervals(shares, pages, len(ids))
    wanted = np.append(reference.wanted, 0.0)
    said = np.bincount(reference.owner, weights=near[:, 0], minlength=n) / np.bincount(reference.owner, minlength=n)
    candidates = np.flatnonzero(worded)
    best = candidates[np.argsort(-placement.scores[candidates], axis=0, kind="stable")[:SHOWN].T]
    farthest = np.argsort(placement.scores.max(axis=1), kind="stable")
    loose = farthest[topic[farthest] == n][:SHOWN]
    found = pd.DataFrame({
        "topic": [*(t.id for t in reference.topics), OTHER],
        "name": [*(t.name for t in reference.topics), "Other"],
        "description": [*(t.description for t in reference.topics), "Pages outside every topic of the reference."],
        "parent": [*(t.parent for t in reference.topics), ""],
        "wanted": wanted, "have": held / total, "low": low, "high": high,
        "pages": pages, "tokens": held.astype(np.int64), "gap_tokens": np.rint(wanted * total - held).astype(np.int64),
        "density": 1000 * crowd / len(ids), "covered": np.append(said, np.nan),
        "nearest": [*([ids[row] for row in rows] for rows in best.tolist()), [ids[row] for row in loose.tolist()]],
    })[list(COLUMNS)]  # fmt: skip
    return found.sort_values("gap_tokens", ascending=False, kind="stable", ignore_index=True)


def _report(
    name: str,
    gaps: pd.DataFrame,
    reference: Reference,
    placement: Placement,
    worded: NDArray[np.bool_],
    shares: NDArray[np.float64],
    counts: list[NDArray[np.uint8]],
    near: tuple[NDArray[np.int64], NDArray[np.float32]],
    radius: float,
) -> CoverageReport:
    wanted = np.append(reference.wanted, 0.0)
    order = gaps.set_index("topic")["have"]
    have = order.loc[[*(topic.id for topic in reference.topics), OTHER]].to_numpy()
    curve = [(r, _covered(reference, counts, near, r)) for r in RADII]
    other = gaps[gaps["topic"] == OTHER].iloc[0]
    topics = gaps[gaps["topic"] != OTHER]
    shown = gaps[list(SHARES)].itertuples(index=False, name=None)
    return CoverageReport(
        reference=name, pages=int(gaps["pages"].sum()), tokens=int(gaps["tokens"].sum()), topics=len(topics),
        empty_topics=int((topics["pages"] == 0).sum()),
        divergence=measures.estimate(float(measures.divergence(have, wanted)), measures.divergence(shares, wanted), 0, 1),
        effective_topics=measures.estimate(
            effective_number(have[:-1]), np.array([effective_number(draw) for draw in shares[:, :-1]]), 0, len(topics)
        ),
        wanted_effective_topics=effective_number(wanted[:-1]), covered=_covered(reference, counts, near, radius), radius=radius,
        other=Estimate(float(other["have"]), float(other["low"]), float(other["high"])),
        missing_tokens=int(topics["gap_tokens"].clip(lower=0).sum()), floor=placement.floor,
        curve=tuple((r, e.value, e.low, e.high) for r, e in curve), unlabelled=reference.unlabelled,
        named_by=reference.named_by, shares=tuple(shown), wordless=int((~worded).sum()),
    )  # fmt: skip


def _covered(
    reference: Reference, counts: list[NDArray[np.uint8]], near: tuple[NDArray[np.int64], NDArray[np.float32]], radius: float
) -> Estimate:
    """The weighted share of the reference's points with a page at `radius` or nearer, and how far redraws of the pages move it."""
    rows, similarities = near
    within = similarities >= radius
    weights = measures.point_weights(reference.owner, reference.wanted)
    drawn: Any = [float(weights @ ((often[rows] > 0) & within).any(axis=1)) for often in counts]
    return measures.estimate(float(weights @ within[:, 0]), np.array(drawn), 0, 1)


def on_map(gaps: pd.DataFrame, pages: Dataset) -> pd.DataFrame:
    """Where each topic lies on the map, be it empty or not: the middle of the pages that fit it best.

    Parameters
    ----------
    gaps : the gap ledger
    pages : Dataset with id, x and y, which the ledger was made from

    Returns
    -------
    DataFrame with the columns topic, name, wanted, have, gap_tokens, x, y

    Raises
    ------
    InputError
        If the ledger names a page that is not there, or the pages have no place on a map.
    """
    lacks = [column for column in ("id", "x", "y") if column not in pages.column_names]
    if lacks:
        raise InputError(f"coverage: the pages have no column {', '.join(lacks)}; pass those that were mapped")
    place = dict(zip(pages["id"], zip(pages["x"], pages["y"], strict=True), strict=True))
    stranger = next((page for ids in gaps["nearest"] for page in ids if page not in place), None)
    if stranger is not None:
        raise InputError(f'coverage: the ledger names the page "{stranger}", which is not among these pages; pass those it was made from')
    middles = np.array([np.median([place[page] for page in ids], axis=0) if len(ids) else (np.nan, np.nan) for ids in gaps["nearest"]])
    found = gaps[["topic", "name", "wanted", "have", "gap_tokens"]].assign(x=middles[:, 0], y=middles[:, 1])
    return found.dropna(subset=["x", "y"]).reset_index(drop=True)
