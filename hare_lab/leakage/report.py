"""What was found to overlap with which benchmark, shown so that a person can judge it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hare_lab.dedup.words import words
from hare_lab.leakage.sequences import FUNCTION_WORDS
from hare_lab.priors import Leakage
from hare_lab.report_base import Report, html_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset

HOW = ("ngram", "edited", "reworded")
REPEATED = "repeated"  # how a page goes that holds no item, but more of whose own n-grams than allowed stand in items
COLUMNS = ("id", "benchmark", "item", "how", "score", "overlap", "certain", "words", "start", "end", "found", "text", "choices")
_BOX = "white-space:pre-wrap;border-left:3px solid #8886;padding:.2em 1em;max-width:80ch"
_MARK = '<mark style="background:#56b4e955;color:inherit">'
MOST = 1_500  # characters of each side that are shown, about where they agree


@dataclass(frozen=True)
class Leaks(Report):
    """Which pages hold which benchmark items, how, and how much of them.

    Attributes
    ----------
    hits : DataFrame with the columns id, benchmark, item, how, score, overlap, certain, words, start, end, found, text,
        choices
        One row a page and item. `how` is "ngram", "edited" or "reworded", `score` what its threshold asks of; `overlap` the
        share of the item that the page holds (0 to 1), `words` how many of its words; `certain` is False where a reworded
        item may be no more than the same fact; `found` is what stands in the page from character `start` to `end`, `text` the
        item's question and answer, `choices` its choices, one a line.
    ids, leak, repeated : one entry a page: its id, the larger of its greatest certain overlap and `repeated`, and the share of its own
        n-grams that stand in any item, 0 to 1
    n : words of an n-gram
    overlap : the `leak` above which a page goes
    leaked : pages that go
    short_items : items of fewer than n words, which are looked for as a whole
    unseen_items : items too short to be looked for as a run of words at all
    """

    title: ClassVar[str] = "Leakage"

    hits: pd.DataFrame
    ids: tuple[str, ...] = field(repr=False)
    leak: np.ndarray = field(repr=False)
    repeated: np.ndarray = field(repr=False)
    n: int
    overlap: float
    pages_in: int
    items_in: int
    short_items: int
    unseen_items: int
    paraphrases: bool
    leaked: int
    seconds: float

    def pages(self) -> Dataset:
        """One row a page: `id`, `leak` and `repeated` as above, `leaked` (whether `leak` is above the priors' bound)."""
        import pyarrow as pa
        from datasets import Dataset

        columns = {"id": list(self.ids), "leak": self.leak.astype(np.float32), "leaked": self.leak > self.overlap,
                   "repeated": self.repeated.astype(np.float32)}  # fmt: skip
        return Dataset(pa.table({name: pa.array(values) for name, values in columns.items()}))

    def table(self) -> pd.DataFrame:
        """The hits, each with the `leak` of its page and whether that page goes (`leaked`)."""
        pages = self.pages().to_pandas()[["id", "leak", "leaked"]]
        return self.hits.merge(pages, on="id", how="left", validate="many_to_one")

    def summary(self) -> str:
        """One line for a terminal."""
        held, part = _strong(self.hits, self.overlap)["id"].nunique(), self.hits["id"].nunique()
        repeats = f"{self.leaked - held:,} repeat items in more than {self.overlap:.0%} of their own {self.n}-grams"
        return (
            f"{self.leaked:,} of {self.pages_in:,} pages go: {held:,} hold more than {self.overlap:.0%} of an item, {repeats}; "
            f"{part:,} hold a part of one"
        )

    def parts(self) -> tuple[pd.DataFrame, Dataset]:
        """The hits and the pages: what a run keeps."""
        return self.hits, self.pages()

    def counts(self) -> pd.DataFrame:
        """Pages and items for each benchmark and way; only hits for which a page goes."""
        return counts(self.hits, self.overlap, self.pages())

    def figure(self) -> go.Figure:
        """How many pages leak from each benchmark, and how."""
        from hare_lab import figures

        return figures.leak_counts(self.counts(), pages=self.pages_in)

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain values; the hits themselves are a table of their own."""
        from hare_lab.report_base import plain

        kept = {name: value for name, value in vars(self).items() if name not in ("hits", "ids", "leak", "repeated")}
        result: dict[str, Any] = {**plain(kept), "hits": len(self.hits), "by": plain(self.counts())}
        return result

    def _rows(self) -> list[tuple[str, Any]]:
        strong = _strong(self.hits, self.overlap)
        by = strong.drop_duplicates(["id", "how"])["how"].value_counts()
        how = [(f"pages that hold an item: {name}", int(by.get(name, 0))) for name in HOW if name != "reworded" or self.paraphrases]
        return [
            ("pages", self.pages_in), ("items", self.items_in), ("words of an n-gram", self.n), ("overlap allowed", self.overlap), *how,
            ("other pages, more of whose own n-grams stand in items", self.leaked - strong["id"].nunique()),
            ("pages that go", self.leaked), ("items shorter than an n-gram", self.short_items),
            ("items too short for any run", self.unseen_items), ("seconds", round(self.seconds, 1)),
        ]  # fmt: skip


@dataclass(frozen=True)
class Sides(Report):
    """Hits with the page's words beside the item's, what both say marked. `table`: some rows of `Leaks.hits`."""

    title: ClassVar[str] = "What the page says, and what the item says"

    table: pd.DataFrame

    def _repr_html_(self) -> str:
        parts = []
        for hit in self.table.to_dict(orient="records"):
            page, item = marked(*in_view(str(hit["found"]), _said(hit)))
            head = f"{hit['id']} holds {hit['overlap']:.0%} of {hit['benchmark']} / {hit['item']} ({hit['how']})"
            parts.append(
                f'<p style="margin:.8em 0 .2em"><b>{html.escape(head)}</b></p><div style="{_BOX}">{page}</div>'
                f'<div style="{_BOX};margin-top:.3em;opacity:.85">{item}</div>'
            )
        return "".join(parts) or html_table([("no such hit", "")])


def side_by_side(hits: pd.DataFrame, count: int = 3, how: str = "") -> Sides:
    """Some hits to judge, the weakest first: there a threshold has to prove itself.

    Parameters
    ----------
    hits : the table of `Leaks.hits`
    count : how many
    how : only those of this way; default: of any
    """
    chosen = hits[hits["how"] == how] if how else hits
    return Sides(chosen.sort_values(["overlap", "id", "item"]).head(count))


def _said(hit: Mapping[Any, Any]) -> str:
    """Question and answer of a hit's item, and its choices where half of the telling words that only they have stand in the page."""
    found, text, choices = (set(words(str(hit[name]))) for name in ("found", "text", "choices"))
    own = choices - text - FUNCTION_WORDS
    return f"{hit['text']}\n{hit['choices']}" if own and 2 * len(own & found) >= len(own) else str(hit["text"])


def in_view(page: str, item: str) -> tuple[str, str]:
    """At most `MOST` characters of each text, the same place of both: that of their longest run of words in common.

    A side that fits is shown whole, and the other from where it would begin; where neither fits, the run stands in the middle of both.
    """
    if max(len(page), len(item)) <= MOST:
        return page, item
    words = [list(re.finditer(r"\w+", text)) for text in (page, item)]
    said = [[word[0].casefold() for word in side] for side in words]
    run = SequenceMatcher(None, said[0], said[1]).find_longest_match()  # leaves out words that stand everywhere, so that it is quick
    at = [side[first].start() if side else 0 for side, first in zip(words, (run.a, run.b), strict=True)]
    whole = [place for place, text in zip(at, (page, item), strict=True) if len(text) <= MOST]
    before = whole[0] if whole else min(*at, MOST // 2)
    return _cut(page, at[0] - before), _cut(item, at[1] - before)


def _cut(text: str, start: int) -> str:
    """`MOST` characters of a text from about `start`, an ellipsis for what is left out."""
    start = max(0, min(start, len(text) - MOST))
    end = start + MOST
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def marked(page: str, item: str) -> tuple[str, str]:
    """Both texts as HTML, letter by letter, the words that both say in the same order marked."""
    parts = [re.findall(r"\w+|\W+", text) for text in (page, item)]
    words = [[(at, part.casefold()) for at, part in enumerate(side) if part[0].isalnum()] for side in parts]
    same: tuple[set[int], set[int]] = (set(), set())
    matcher = SequenceMatcher(None, [word for _, word in words[0]], [word for _, word in words[1]], autojunk=False)
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            same[0].add(words[0][block.a + step][0])
            same[1].add(words[1][block.b + step][0])
    page_html, item_html = (
        "".join(f"{_MARK}{html.escape(part)}</mark>" if at in chosen else html.escape(part) for at, part in enumerate(side))
        for side, chosen in zip(parts, same, strict=True)
    )
    return page_html, item_html


def paper_deltas() -> pd.DataFrame:
    """Table 2 of the HARE paper as `figures.leak_deltas` draws it: columns model, benchmark, delta (points)."""
    import pandas as pd

    from hare_lab.texts import paper_table

    rows = [
        (row["model"], benchmark.replace("_", " "), float(delta))
        for row in paper_table("table2_leakage")
        for benchmark, delta in row.items()
        if benchmark != "model" and delta
    ]
    return pd.DataFrame(rows, columns=["model", "benchmark", "delta"])


def counts(hits: pd.DataFrame, overlap: float, pages: Dataset | None = None) -> pd.DataFrame:
    """For each benchmark and way, how many pages go and how many items they hold: columns benchmark, how, pages, items.

    Parameters
    ----------
    hits : the table of `Leaks.hits`
    overlap : the share of an item above which a page goes
    pages : what `Leaks.pages` returns
        With it those count too, as "repeated", that go for their own n-grams alone, under the items in which these stand.
    """
    import pandas as pd

    strong = _strong(hits, overlap)
    if pages is not None:
        alone = {id for id, leaked in zip(pages["id"], pages["leaked"], strict=True) if leaked} - set(strong["id"])
        own = hits[hits["certain"].astype(bool) & hits["id"].isin(alone)]
        strong = pd.concat([strong, own.assign(how=REPEATED)])
    return strong.groupby(["benchmark", "how"], as_index=False).agg(pages=("id", "nunique"), items=("item", "nunique"))


def ways(hits: pd.DataFrame, pages: Dataset, overlap: float = Leakage.overlap) -> list[str]:
    """For each page the way of its greatest overlap, "repeated" where it goes for its own n-grams alone, "" where it has not leaked.

    Parameters
    ----------
    hits : the table of `Leaks.hits`
    pages : what `Leaks.pages` returns
    overlap : the share of an item above which a page goes
    """
    most = _strong(hits, overlap).sort_values("overlap", ascending=False, kind="stable").drop_duplicates("id")
    how = dict(zip(most["id"], most["how"], strict=True))
    return [how.get(id, REPEATED) if leaked else "" for id, leaked in zip(pages["id"], pages["leaked"], strict=True)]


def _strong(hits: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """The hits for which a page goes."""
    return hits[hits["certain"].astype(bool) & (hits["overlap"] > overlap)]


def planted_found(hits: pd.DataFrame, pages: Dataset, truth: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Of the items planted in the bundled pages that are still there, how many were found: columns planted, there, found, of
    them certain. The last row counts the pages in which nothing was planted.

    Parameters
    ----------
    hits : the table of `Leaks.hits`
    pages : those that were searched; the bundled ones have ids such as "sample#page-0001"
    truth : rows of `texts.sample_truth`; none on a corpus whose truth is unknown
    """
    import pandas as pd

    from hare_lab.texts import LEAK_KINDS

    there = {str(id).rpartition("#")[2] for id in pages["id"]}
    found = {
        (str(id).rpartition("#")[2], item): certain for id, item, certain in zip(hits["id"], hits["item"], hits["certain"], strict=True)
    }
    planted = [(leak["kind"], (row["id"], leak["item"])) for row in truth if row["id"] in there for leak in row["leaks"]]
    rows = []
    for kind in sorted({kind for kind, _ in planted}, key=LEAK_KINDS.index):
        mine = [pair for planted_kind, pair in planted if planted_kind == kind]
        hit = [pair for pair in mine if pair in found]
        rows.append((kind, len(mine), len(hit), sum(bool(found[pair]) for pair in hit)))
    natural = {row["id"] for row in truth if not row["leaks"]} & there
    if planted:
        alarms = {page for page, _ in found} & natural
        sure = {page for (page, _), certain in found.items() if certain} & natural
        rows.append(("nothing", len(natural), len(alarms), len(sure)))
    return pd.DataFrame(rows, columns=["planted", "there", "found", "of them certain"])
