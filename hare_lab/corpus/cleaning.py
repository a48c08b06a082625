"""Which pages are text at all, and what is cut out of them.

In this order: broken Unicode is mended, boilerplate lines and links are cut, personal data is masked, then a page goes if
what is left is too short, too long, or in a language that the priors don't ask for. Each page that goes has its reason;
each cut is counted. Method and sources: docs/cleaning.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from hare_lab.bars import bar
from hare_lab.corpus import scrub
from hare_lab.corpus.language import detect
from hare_lab.corpus.pages import removed_table, text_hash, with_columns
from hare_lab.errors import InputError
from hare_lab.priors import Priors
from hare_lab.report_base import Report

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from datasets import Dataset


@dataclass(frozen=True)
class CleaningReport(Report):
    """What cleaning did: pages in and out, each reason with its count, each kind of cut with its count."""

    title: ClassVar[str] = "Cleaned"

    pages_in: int
    pages_out: int
    removed: dict[str, int]
    cuts: dict[str, int]
    words_in: int
    words_out: int

    def _rows(self) -> list[tuple[str, Any]]:
        gone = [(f"removed: {reason}", n) for reason, n in self.removed.items()]
        cut = [(f"cut or masked: {kind}", n) for kind, n in self.cuts.items()]
        return [
            ("pages in", self.pages_in),
            *gone,
            ("pages out", self.pages_out),
            *cut,
            ("words in", self.words_in),
            ("words out", self.words_out),
        ]

    def funnel(self) -> pd.DataFrame:
        """Columns step, pages, removed: how many pages are left after each reason was applied."""
        import pandas as pd

        rows, left = [{"step": "loaded", "pages": self.pages_in, "removed": 0}], self.pages_in
        for reason, count in self.removed.items():
            left -= count
            rows.append({"step": reason, "pages": left, "removed": count})
        return pd.DataFrame(rows)

    def figure(self) -> go.Figure:
        """The cleaning funnel."""
        from hare_lab import figures

        return figures.cleaning_funnel(self.funnel())


@dataclass(frozen=True)
class Cleaned:
    """`pages` and `removed` partition the pages that came in."""

    pages: Dataset
    removed: Dataset
    report: CleaningReport

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def clean(pages: Dataset, priors: Priors) -> Cleaned:
    """Mend and scrub the text of pages, and take out those that the priors don't ask for.

    Parameters
    ----------
    pages : Dataset with `text`, and `source` where lines that many of a source's pages share are to go
    priors : Priors
        `cleaning` (lengths in words, what to do with personal data, links and boilerplate) and `languages`.

    Returns
    -------
    Cleaned
        `pages` keeps every column; `text` is the cleaned one, and `language`, `language_confidence`, `words` and
        `text_hash` are added. `removed` keeps the original text, with `step` "clean", `reason` and `detail`.

    Raises
    ------
    InputError
        If there is no page, no column `text`, or a text is null.
    """
    if not hasattr(pages, "column_names") or "text" not in pages.column_names:
        has = f"a Dataset of {', '.join(pages.column_names)}" if hasattr(pages, "column_names") else f"a {type(pages).__name__}"
        raise InputError(f'clean: this is {has}, not one with a column "text"; use corpus.load')
    if len(pages) == 0:
        raise InputError("clean: the corpus is empty; load at least one page")
    sources = pages["source"] if "source" in pages.column_names else [""] * len(pages)
    texts: list[str] = []
    broken: list[bool] = []
    words_in = words_out = 0
    for text in _written(pages):
        mended, was_broken = scrub.mend(text)
        texts.append(mended)
        broken.append(was_broken)
        words_in += len(text.split())
    repeated = scrub.repeated_lines(texts, sources) if priors.cleaning.boilerplate == "cut" else {}
    cuts: Counter[str] = Counter()
    kept: list[int] = []
    gone: list[tuple[int, str, str]] = []
    found: list[tuple[str, float]] = []
    for number, source in enumerate(bar(sources, told="clean", unit="pages", total=len(pages), delay=2)):
        cleaned, counted = scrub.scrub(texts[number], priors.cleaning, repeated.get(source, frozenset()))
        language, confidence = detect(cleaned)
        reason, detail = _verdict(cleaned, counted, language, confidence, priors)
        texts[number] = cleaned  # in the place of the text that it was, so that only one of them stands in memory
        if reason:
            gone.append((number, reason, detail))
            continue
        cuts.update(counted)
        cuts["broken characters"] += broken[number]
        words_out += len(cleaned.split())
        kept.append(number)
        found.append((language, confidence))
    removed = removed_table(pages, [g[0] for g in gone], "clean", [g[1] for g in gone], [g[2] for g in gone])
    clean_pages = _with_columns(pages.select(kept), [texts[number] for number in kept], found)
    reasons = dict(Counter(g[1] for g in gone).most_common())
    report = CleaningReport(len(pages), len(kept), reasons, dict((+cuts).most_common()), words_in, words_out)
    return Cleaned(clean_pages, removed, report)


def _written(pages: Dataset) -> Iterator[str]:
    """The texts as they came, one at a time."""
    for row, text in enumerate(pages["text"]):
        if not isinstance(text, str):
            raise InputError(f'clean: column "text" of row {row} holds {type(text).__name__}, not text; use corpus.load')
        yield text


def _verdict(text: str, counted: Counter[str], language: str, confidence: float, priors: Priors) -> tuple[str, str]:
    """Why the page goes ("" if it stays), in a word and in a sentence."""
    rules, words = priors.cleaning, len(text.split())
    personal = [kind for kind in scrub.PERSONAL if counted[kind]]
    if rules.personal_data == "drop" and personal:
        return "personal data", f"holds {', '.join(personal)}"
    if words < rules.min_words:
        return "too short", f"{words} words are left, {rules.min_words} are asked for"
    if words > rules.max_words:
        return "too long", f"{words:,} words, at most {rules.max_words:,} are asked for"
    if priors.languages and language not in priors.languages and confidence >= rules.language_confidence:
        return "other language", f"{language} (confidence {confidence:.2f})"
    return "", ""


def _with_columns(pages: Dataset, texts: list[str], found: list[tuple[str, float]]) -> Dataset:
    """The pages with their cleaned text and what cleaning learnt of them."""
    columns = {
        "text": pa.array(texts, pa.string()),
        "language": pa.array([code for code, _ in found], pa.string()),
        "language_confidence": pa.array([confidence for _, confidence in found], pa.float32()),
        "words": pa.array([len(text.split()) for text in texts], pa.int64()),
        "text_hash": pa.array([text_hash(text) for text in texts], pa.string()),
    }
    return with_columns(pages, columns)
