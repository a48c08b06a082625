"""Which pages fail the published rules of thumb, and by how much?

Large text sets are filtered by a few dozen rules: a page with too few words, too many bullet points, too many lines said
twice. Here are those of Gopher, C4 and FineWeb, each with the value it sees on each page, so that a person can turn a
threshold and see which pages fall. datatrove 0.10's filters are the reference for what each one counts, and for the thresholds, of
which some are not the papers' (see `RULES`); a word here is what stands between spaces (with its default tokens, ordinary technical
prose fails). Method: docs/quality.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hare_lab.errors import InputError
from hare_lab.quality.chars import Batch, Stretches, batches
from hare_lab.quality.hashes import Bools, hash_of
from hare_lab.quality.kinds import STOP
from hare_lab.quality.repetition import REPEATED, TOP, repeated_lines, repeated_ngrams, repeats
from hare_lab.report_base import Report, html_table, readable

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

Floats = NDArray[np.float64]
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_LINE_WORDS, _LONG_WORD, _SHORT_LINE = 3, 1000, 30
_WORKERS = 2


@dataclass(frozen=True)
class Rule:
    """One rule: a page fails if its value is below (`least`) or above (`most`) the threshold.

    Attributes
    ----------
    family : whose rule it is
    meaning : what the value is, in plain words
    """

    name: str
    family: str
    bound: Literal["least", "most"]
    threshold: float
    meaning: str

    def fails(self, values: Floats) -> Bools:
        """Which values fail."""
        failed: Bools = values < self.threshold if self.bound == "least" else values > self.threshold
        return failed


_REPETITION = {2: 0.20, 3: 0.18, 4: 0.16, 5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
# datatrove's defaults. C4's paper asks for 3 sentences and for lines of 5 words, not for 5 and 3; FineWeb's lets repeated lines hold a
# tenth of the characters, not a hundredth, and has no rule on line breaks.
RULES = (
    Rule("gopher_words", "Gopher quality", "least", 50, "words"),
    Rule("gopher_most_words", "Gopher quality", "most", 100_000, "words"),
    Rule("gopher_word_length", "Gopher quality", "least", 3, "mean letters of a word"),
    Rule("gopher_most_word_length", "Gopher quality", "most", 10, "mean letters of a word"),
    Rule("gopher_hashes", "Gopher quality", "most", 0.1, "# signs a word"),
    Rule("gopher_ellipses", "Gopher quality", "most", 0.1, "ellipses a word"),
    Rule("gopher_bullet_lines", "Gopher quality", "most", 0.9, "share of lines that begin with a bullet"),
    Rule("gopher_ellipsis_lines", "Gopher quality", "most", 0.3, "share of lines that end in an ellipsis"),
    Rule("gopher_alphabetic_words", "Gopher quality", "least", 0.8, "share of words with a letter in them"),
    Rule("gopher_stop_words", "Gopher quality", "least", 2, f"how many of {', '.join(STOP_WORDS)} occur"),
    Rule("gopher_repeated_lines", "Gopher repetition", "most", 0.3, "share of lines that repeat an earlier one"),
    Rule("gopher_repeated_paragraphs", "Gopher repetition", "most", 0.3, "share of paragraphs that repeat an earlier one"),
    Rule("gopher_repeated_line_chars", "Gopher repetition", "most", 0.2, "share of characters in repeated lines"),
    Rule("gopher_repeated_paragraph_chars", "Gopher repetition", "most", 0.2, "share of characters in repeated paragraphs"),
    *(Rule(f"gopher_top_{n}_gram", "Gopher repetition", "most", _REPETITION[n],
           f"share of characters in the most frequent run of {n} words") for n in TOP),
    *(Rule(f"gopher_repeated_{n}_grams", "Gopher repetition", "most", _REPETITION[n],
           f"share of characters in runs of {n} words that came before") for n in REPEATED),
    Rule("c4_sentences", "C4", "least", 5, "sentences in lines that are prose"),
    Rule("c4_lorem_ipsum", "C4", "most", 0, "lines with filler text"),
    Rule("c4_curly_brackets", "C4", "most", 0, "lines with a curly bracket, as program code has"),
    Rule("fineweb_line_punctuation", "FineWeb", "least", 0.12, "share of lines that end like a sentence"),
    Rule("fineweb_short_lines", "FineWeb", "most", 0.67, f"share of lines of at most {_SHORT_LINE} characters"),
    Rule("fineweb_repeated_chars", "FineWeb", "most", 0.01, "share of characters in repeated lines"),
    Rule("fineweb_line_breaks", "FineWeb", "most", 0.3, "line breaks a word"),
)  # fmt: skip


@dataclass(frozen=True)
class RuleReport(Report):
    """What the rules say of each page. `failed` and `values` can be judged anew under other thresholds, without reading a page.

    Attributes
    ----------
    rules : the rules, with the thresholds that were used
    values : DataFrame, one row a page: its id, then one column a rule
    """

    title: ClassVar[str] = "Published rules"

    rules: tuple[Rule, ...]
    values: pd.DataFrame

    def verdicts(self) -> pd.DataFrame:
        """One row a page, one column a rule: True where the page fails it."""
        import pandas as pd

        return pd.DataFrame({rule.name: rule.fails(self.values[rule.name].to_numpy()) for rule in self.rules}, index=self.values.index)

    def failed(self) -> list[str]:
        """For each page the names of the rules it fails, joined by ", "; "" where it passes them all."""
        verdicts = self.verdicts()
        names = np.array(verdicts.columns)
        return [", ".join(names[row]) for row in verdicts.to_numpy()]

    def passes(self) -> Bools:
        """Which pages fail no rule."""
        return np.asarray(~self.verdicts().to_numpy().any(axis=1), bool)

    def share_passed(self) -> Floats:
        """For each page the share of the rules that it passes."""
        passed: Floats = 1 - self.verdicts().to_numpy().mean(axis=1)
        return passed

    def with_thresholds(self, thresholds: Mapping[str, float]) -> RuleReport:
        """The same values under other thresholds."""
        return RuleReport(tuple(Rule(r.name, r.family, r.bound, thresholds.get(r.name, r.threshold), r.meaning)
                                for r in chosen(thresholds, self.rules)), self.values)  # fmt: skip

    def table(self) -> pd.DataFrame:
        """One row a rule: how many pages fail it, how many fail it alone, and its threshold."""
        import pandas as pd

        verdicts = self.verdicts().to_numpy()
        alone = verdicts & (verdicts.sum(axis=1) == 1)[:, None]
        return pd.DataFrame({
            "rule": [rule.name for rule in self.rules], "family": [rule.family for rule in self.rules],
            "meaning": [rule.meaning for rule in self.rules],
            "bound": [f"at {rule.bound}" for rule in self.rules], "threshold": [rule.threshold for rule in self.rules],
            "pages": verdicts.sum(axis=0), "alone": alone.sum(axis=0), "share": verdicts.mean(axis=0) if len(verdicts) else 0.0,
        })  # fmt: skip

    def figure(self, theme: str = "screen") -> Any:
        """How many pages each rule fails."""
        from hare_lab import figures

        return figures.rule_failures(self.table(), pages=len(self.values), theme=theme)

    def _repr_html_(self) -> str:
        table = self.table().sort_values("pages", ascending=False, kind="stable")
        rows = [
            (r.rule, f"{r.bound} {readable(float(str(r.threshold)))} {r.meaning}", r.pages, r.alone) for r in table.itertuples() if r.pages
        ]
        passed = int(self.passes().sum())
        caption = f"{self.title}: {passed:,} of {len(self.values):,} pages pass all {len(self.rules)}"
        return html_table(rows, ("rule", "a page must have", "pages that fail it", "and no other"), caption)


def chosen(thresholds: Mapping[str, float], known: Sequence[Rule] = RULES) -> tuple[Rule, ...]:
    """The rules, with thresholds of the user's where there are some.

    Raises
    ------
    InputError
        If a name is no rule's, or a threshold no number.
    """
    names = [rule.name for rule in known]
    for name, value in thresholds.items():
        if name not in names:
            raise InputError(f'priors: "quality.rules.{name}" is no rule; the rules are {", ".join(names)}')
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise InputError(f'priors: the threshold "quality.rules.{name}" is {value}; give a number')
    return tuple(Rule(r.name, r.family, r.bound, float(thresholds[r.name]), r.meaning) if r.name in thresholds else r for r in known)


def check_rules(pages: Dataset, thresholds: Mapping[str, float] | None = None) -> RuleReport:
    """Every rule on every page.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    thresholds : mapping of rule name to threshold
        Where they differ from datatrove's defaults (`Priors.quality.rules`); the names are those of `RULES`.

    Raises
    ------
    InputError
        If there is no page, a page has no words, or a threshold names no rule.
    """
    import pandas as pd

    rules = chosen(thresholds or {})
    texts, ids = list(pages["text"]), list(pages["id"])
    need_words(texts, ids)
    parts = list(batches(texts))
    with ThreadPoolExecutor(_WORKERS) as pool:
        found = list(pool.map(lambda part: rule_values(Batch(part[1])), parts))
    values = {rule.name: np.concatenate([part[rule.name] for part in found]) for rule in RULES}
    return RuleReport(rules, pd.DataFrame({"id": ids, **values}))


def need_words(texts: Sequence[str], ids: Sequence[str]) -> None:
    """Check that there are pages, and that each has a word.

    Raises
    ------
    InputError
        If not; names the page.
    """
    if not len(texts):
        raise InputError("quality: there is no page to judge; load or keep at least one")
    wordless = next((row for row, text in enumerate(texts) if not text or text.isspace()), None)
    if wordless is not None:
        raise InputError(f'quality: page "{ids[wordless]}" has no words; clean the corpus first, which sets such pages aside')


def rule_values(batch: Batch) -> dict[str, Floats]:
    """The value of each rule on each page of a batch."""
    return {**_gopher(batch), **repeated_lines(batch), **repeated_ngrams(batch), **_c4(batch), **_fineweb(batch)}


def _gopher(batch: Batch) -> dict[str, Floats]:
    """Rae et al. (2021), "Scaling language models: Gopher", appendix A.1.1."""
    words, page = batch.words, batch.words.page
    count = np.maximum(batch.totals(page), 1)
    real = words.where(batch.has_content)
    told = batch.totals(real.page)
    length = batch.totals(real.page, real.length) / np.maximum(told, 1)
    dots = Stretches(*_runs_of(batch, ord(".")))
    ellipses = batch.totals(dots.page, dots.length // 3) + batch.per_page(batch.codes == 0x2026)
    lines = batch.lines
    how_many = np.maximum(batch.totals(lines.page), 1)
    first, last = batch.edges(lines)
    bullets = (first >= 0) & np.isin(batch.codes[first], (0x2022, ord("-")))
    trailing = _ends_in_ellipsis(batch, lines.start, last) | ((last >= 0) & (batch.codes[last] == 0x2026))
    hashes = batch.word_hashes
    stops = sum(batch.totals(page[hashes == np.uint64(code)]) > 0 for code in _stop_hashes())
    lettered = batch.totals(page[(batch.word_kinds & 2) != 0])
    return {
        "gopher_words": told, "gopher_most_words": told, "gopher_word_length": length, "gopher_most_word_length": length,
        "gopher_hashes": batch.per_page(batch.codes == ord("#")) / count, "gopher_ellipses": ellipses / count,
        "gopher_bullet_lines": batch.totals(lines.page, bullets) / how_many,
        "gopher_ellipsis_lines": batch.totals(lines.page, trailing) / how_many,
        "gopher_alphabetic_words": lettered / count, "gopher_stop_words": np.asarray(stops, float),
    }  # fmt: skip


def _c4(batch: Batch) -> dict[str, Floats]:
    """Raffel et al. (2020), "Exploring the limits of transfer learning", section 2.2, line by line as datatrove has it."""
    lines = batch.lines
    low, high = batch.words_within(lines)
    first, last = batch.edges(lines)
    ends = np.isin(batch.codes[last], [ord(sign) for sign in ".?!\"'"]) & ~_ends_in_ellipsis(batch, lines.start, last)
    for row in np.flatnonzero((last >= 0) & (batch.codes[last] == ord("]"))):  # a citation mark at the end is no end
        line = "".join(map(chr, batch.codes[first[row] : last[row] + 1].tolist()))
        bare = _CITATION.sub("", line)
        ends[row] = bare.endswith((".", "?", "!", '"', "'")) and not bare.endswith("...")
    long_words = batch.running(batch.words.length > _LONG_WORD)
    prose = (last >= 0) & ends & (high - low >= _LINE_WORDS) & (long_words[high] == long_words[low])
    scripts, policies = _lines_with(batch, lines, ("javascript",)), _lines_with(batch, lines, POLICIES)
    filler, curly = _lines_with(batch, lines, ("lorem ipsum",)), _lines_with(batch, lines, ("{",))
    kept = prose & ~scripts & ~policies
    stops = batch.sentence_ends
    sentences = np.searchsorted(stops, lines.end) - np.searchsorted(stops, lines.start)
    unfinished = kept & ~batch.ends_sentence[np.maximum(high - 1, 0)] if len(batch.words) else kept
    return {
        "c4_sentences": batch.totals(lines.page[kept], sentences[kept]) + batch.totals(lines.page[unfinished]),
        "c4_lorem_ipsum": batch.totals(lines.page[prose & filler]),
        "c4_curly_brackets": batch.totals(lines.page[prose & curly & ~scripts]),
    }


def _fineweb(batch: Batch) -> dict[str, Floats]:
    """Penedo et al. (2024), "The FineWeb datasets", section 3.6."""
    first, _ = batch.edges(batch.rows)
    rows = batch.rows.where(first >= 0)
    count = np.maximum(batch.totals(rows.page), 1)
    stops = (batch.kinds[rows.end - 1] & STOP) != 0
    breaks = batch.per_page(batch.codes == 10)
    return {
        "fineweb_line_punctuation": batch.totals(rows.page, stops) / count,
        "fineweb_short_lines": batch.totals(rows.page, rows.length <= _SHORT_LINE) / count,
        "fineweb_repeated_chars": repeats(batch, rows)[1] / np.maximum(batch.length - breaks, 1),
        "fineweb_line_breaks": breaks / np.maximum(batch.totals(batch.words.page), 1),
    }


def _runs_of(batch: Batch, code: int) -> tuple[Any, Any, Any]:
    places = np.flatnonzero(batch.codes == code)
    new = np.diff(places, prepend=-2) > 1
    start = places[new]
    end = np.concatenate([places[np.flatnonzero(new)[1:] - 1] + 1, places[-1:] + 1]) if len(places) else places
    return start, end, batch.page_of(start)


def _ends_in_ellipsis(batch: Batch, start: NDArray[np.int64], last: NDArray[np.int64]) -> Bools:
    dots = [(batch.codes[np.maximum(last - back, 0)] == ord(".")) for back in range(3)]
    found: Bools = dots[0] & dots[1] & dots[2] & (last - 2 >= start)
    return found


def _lines_with(batch: Batch, lines: Stretches, phrases: Sequence[str]) -> Bools:
    found = np.zeros(len(lines), bool)
    for phrase in phrases:
        places = batch.find(phrase)
        rows = np.searchsorted(lines.start, places, side="right") - 1
        found[rows[places + len(phrase) <= lines.end[rows]]] = True
    return found


@cache
def _stop_hashes() -> tuple[int, ...]:
    return tuple(hash_of(word) for word in STOP_WORDS)
