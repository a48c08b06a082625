"""What should a stranger know of the set? A dataset card in the hub's format, and the way to the hub."""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from hare_lab.corpus.scrub import PERSONAL, scrub
from hare_lab.curation.report import CurationReport
from hare_lab.errors import InputError
from hare_lab.priors import Cleaning, Priors

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
SOURCES = 40  # rows of the table of sources; the rest is one row
UNKNOWN = "unknown"
CAUTION = (
    "Personal data is looked for by patterns alone (e-mail addresses, telephone, card and account numbers, IP addresses); names, and what "
    "people tell of themselves, are not. The benchmarks that the priors name were kept out as far as they overlap by the shares stated "
    "there; others were not looked at. Quality is a learned score; no fact was checked."
)


def dataset_card(
    pages: Dataset, report: CurationReport, priors: Priors, *, licences: Mapping[str, str] | None = None, funnel: pd.DataFrame | None = None
) -> str:
    """The card of a curated set: composition, funnel, priors, licences by source, hash; Markdown under the hub's YAML header.

    Parameters
    ----------
    pages : Dataset with `id`, `text` and `source`, the chosen pages
    licences : source to licence; a column `license` of the pages goes before it, and what neither names is "unknown"
    funnel : DataFrame with columns step, pages, removed
        From the raw corpus on; None begins with the pages that the choice was made among.
    """
    told = _licences(pages, licences or {})
    found = sorted({licence for _, licence, _ in told})
    languages = sorted({str(x) for x in pages["language"][:] if x}) if "language" in pages.column_names else list(priors.languages)
    name = f"Concise set under the priors “{priors.name}”"
    header = {
        "pretty_name": name, "language": languages or ["en"],
        "license": found[0] if len(found) == 1 and re.fullmatch(r"[a-z0-9.-]+", found[0]) and found[0] != UNKNOWN else "other",
        "task_categories": ["text-generation"], "size_categories": [next((name for most, name in SIZES if len(pages) < most), "n>10M")],
        "tags": ["hare-lab", "curated", "human-priors"],
    }  # fmt: skip
    if header["license"] == "other":
        header["license_name"] = "see-licences-by-source"
    topics = report.topics[(report.topics["pages"] > 0) | (report.topics["gap_tokens"] > 0)].sort_values("after", ascending=False)
    steps = report.funnel if funnel is None else funnel
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---",
        f"# {_cell(name)}",
        f"{report.pages:,} pages, {report.tokens:,} tokens ({_unit(priors)}), chosen from {report.pages_in:,} pages by the method "
        f"`{report.method}` of HARE Lab (seed {report.seed}) within a budget of {report.budget:,}. Mean quality {report.quality:.2f} "
        f"(before {report.quality_before:.2f}); effective topics {report.effective_topics:.1f} (before "
        f"{report.effective_topics_before:.1f}).",
        f"Hash of the texts (order does not matter): `{content_hash(pages)}`",
        "## Composition\n\n" + _table(
            ("topic", "asked for", "before", "after", "pages", "tokens", "tokens lacking"),
            [(t.name, f"{t.wanted:.1%}", f"{t.before:.1%}", f"{t.after:.1%}", f"{t.pages:,}", f"{t.tokens:,}", f"{t.gap_tokens:,}")
             for t in topics.itertuples()],
        ),
        "## Funnel\n\n" + _table(
            ("step", "removed", "left"), [(s.step, f"{s.removed:,}", f"{s.pages:,}") for s in steps.itertuples()]
        ),
        "## Sources and licences\n\nWhose text this is, and on what terms; “unknown” means that nobody said, not that it is free.\n\n"
        + _table(("source", "licence", "pages"), [(source, licence, f"{count:,}") for source, licence, count in _shown(told)]),
        f"## The priors\n\n```yaml\n{_fenced(yaml.safe_dump(priors.to_dict(), sort_keys=False, allow_unicode=True))}```",
        f"## What to know before use\n\n{CAUTION}",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def content_hash(pages: Dataset) -> str:
    """A sha256 of the set of texts, whatever their order."""
    texts = sorted(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in pages["text"])
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def personal_data(pages: Dataset) -> dict[str, list[str]]:
    """Kinds of personal data that the patterns of cleaning still find, each with the ids of the pages."""
    rules = Cleaning(personal_data="mask", links="keep", boilerplate="keep")
    found: dict[str, list[str]] = {}
    for page, text in zip(pages["id"], pages["text"], strict=True):
        _, counted = scrub(text, rules)
        for kind in PERSONAL:
            if counted[kind]:
                found.setdefault(kind, []).append(str(page))
    return found


def push_to_hub(pages: Dataset, card: str, repository: str, *, private: bool = True, api: Any = None) -> str:
    """Put a set and its card on the hub, after a last look for personal data. The only code of `curation` that reaches the network.

    Parameters
    ----------
    pages : Dataset with `id` and `text`
    card : as `dataset_card` writes it; goes last, so that a repository without one is not yet whole
    repository : owner/name
    private : whether only its owner sees it
    api : what to call in place of `huggingface_hub.HfApi()`, which takes its token from the environment

    Returns
    -------
    The address of the repository.

    Raises
    ------
    InputError
        If there is no page, the name is no repository's, personal data is found, or the hub can't be reached or refuses; nothing is
        sent before the checks are through.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(f'push_to_hub: "{repository}" is no repository; write owner/name')
    if len(pages) == 0:
        raise InputError("push_to_hub: the set holds no page; choose some first")
    if found := personal_data(pages):
        kinds = ", ".join(f"{kind} ({len(ids):,} pages, {ids[0]} the first)" for kind, ids in found.items())
        raise InputError(
            f'push_to_hub: nothing was sent, for the pages still hold personal data: {kinds}; clean them with "personal_data: mask"'
        )
    file = io.BytesIO()
    pages.to_parquet(file)
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    try:
        api.create_repo(repo_id=repository, repo_type="dataset", private=private, exist_ok=True)
        for name, content in (("data/train.parquet", file.getvalue()), ("README.md", card.encode("utf-8"))):
            api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repository, repo_type="dataset")
    except Exception as error:  # the hub's client raises two dozen kinds; each means that the set is not there
        what = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"push_to_hub: {repository} can't be written ({what}); check the network, the name and HF_TOKEN, and call it again"
        ) from error
    return f"https://huggingface.co/datasets/{repository}"


def _licences(pages: Dataset, licences: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """Source, licence, pages; the largest first."""
    sources = [str(source) for source in pages["source"][:]] if "source" in pages.column_names else [UNKNOWN] * len(pages)
    own = pages["license"][:] if "license" in pages.column_names else [None] * len(pages)
    counted = Counter((source, str(licence or licences.get(source, UNKNOWN))) for source, licence in zip(sources, own, strict=True))
    return [(source, licence, count) for (source, licence), count in sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))]


def _shown(told: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    rest = told[SOURCES:]
    return [*told[:SOURCES], *([(f"{len(rest):,} more sources", "see the column source", sum(n for *_, n in rest))] if rest else [])]


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)])


def _cell(value: Any) -> str:
    """Text of anybody in a cell of a Markdown table: one line, no markup."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(" ".join(str(value).split())[:80]))


def _fenced(text: str) -> str:
    return text.replace("```", "'''")


def _unit(priors: Priors) -> str:
    return f"counted by {_cell(priors.tokenizer)}" if priors.tokenizer else "bytes"
