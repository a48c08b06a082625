"""What does a person want a small model to read?

A prior is a belief about good training data, written down so that it can be turned and tested: which topics matter and how
much, what counts as quality, which benchmarks must stay unseen, which languages and lengths to keep, how large the set may
be, and how crawled and synthetic text are mixed. `Priors` is that statement. It lives in a small YAML file that reads aloud
(`data/priors/default.yaml`), and every other module measures a corpus against it or acts on it.
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from hare_lab.errors import InputError
from hare_lab.report_base import html_table, plain
from hare_lab.whole_files import write_text
from hare_lab.yaml_files import read_yaml

DATA = Path(__file__).resolve().parent.parent / "data"
HEAVIEST = 1e300  # weight of a topic or a part, so that the sum of any number of them is finite


@dataclass(frozen=True)
class Cleaning:
    """Which pages are text worth reading at all, and what is cut out of them."""

    min_words: int = 20
    max_words: int = 100_000
    personal_data: Literal["mask", "drop", "keep"] = "mask"
    links: Literal["cut", "keep"] = "cut"
    boilerplate: Literal["cut", "keep"] = "cut"
    language_confidence: float = 0.5


@dataclass(frozen=True)
class Duplication:
    """How alike two pages may be before one of them goes.

    `near` is the Jaccard similarity of the pages' five-word runs; `semantic` the mean of the cosine of their vectors and the
    share of telling words in common; the defaults are those of `dedup`. `novelty` is how much being new counts beside being good when
    the concise set is chosen: 0 is quality alone, 1 novelty alone. All lie between 0 and 1.
    """

    near: float = 0.45
    semantic: float = 0.84
    novelty: float = 0.5


@dataclass(frozen=True)
class Quality:
    """What counts as good text: a floor for the learned score, and thresholds of the rules of Gopher, C4 and FineWeb where they are to
    differ from datatrove's defaults (`quality.RULES`), which are not always the papers'.

    `good` names pages to learn from: a file, folder or glob, or `sample` for the bundled ones. `likeness` is how likely a page
    must be one of them rather than one of the corpus, were either as likely; 0 asks for nothing, and 1/3 for a kind that is at least half
    as frequent among the good pages as in the corpus.
    """

    floor: float = 0.3
    likeness: float = 0.0
    good: str = "sample"
    rules: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Leakage:
    """Which benchmarks must stay unseen, and how much overlap is too much (HARE paper, appendix A.4).

    `benchmarks` are files, folders, globs or `hf:owner/name`. A page goes when it holds more than `overlap` of a benchmark's item, or when
    more than `overlap` of its own n-grams stand in benchmarks; the n of crawled, synthetic (D2) and task (D3) text differ because their
    lengths do.
    """

    benchmarks: tuple[str, ...] = ("benchmark/items.jsonl",)
    crawl_n: int = 13
    synthetic_n: int = 10
    task_n: int = 8
    overlap: float = 0.5


@dataclass(frozen=True)
class Mixture:
    """Shares of the second training stage: open data (D1), synthetic text (D2), task data (D3). Any scale; shares count."""

    D1: float = 46.5
    D2: float = 13.63
    D3: float = 39.87


@dataclass(frozen=True)
class Priors:
    """A human's statement about training data; frozen, so that a run can be traced to the one that made it.

    Attributes
    ----------
    name : str
        What to call this statement in figures and manifests.
    taxonomy : str
        YAML file of topics in plain words; a relative path is looked up beside the priors file, then in the bundled data.
    topics : mapping of topic id to weight
        How much each topic matters, on any scale; topics left out take their weight from the taxonomy.
    languages : tuple of ISO 639-1 codes
        Languages to keep; empty keeps all.
    tokens : int
        The budget: how large the concise set may be.
    tokenizer : str
        What tokens are counted with: a tokenizer's folder or hub id; empty counts UTF-8 bytes.
    """

    name: str = "default"
    taxonomy: str = "taxonomy/everyday.yaml"
    topics: Mapping[str, float] = field(default_factory=dict)
    languages: tuple[str, ...] = ("en",)
    tokens: int = 500_000
    tokenizer: str = ""
    cleaning: Cleaning = field(default_factory=Cleaning)
    duplication: Duplication = field(default_factory=Duplication)
    quality: Quality = field(default_factory=Quality)
    leakage: Leakage = field(default_factory=Leakage)
    mixture: Mixture = field(default_factory=Mixture)

    def __post_init__(self) -> None:
        _check(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as YAML holds them."""
        values: dict[str, Any] = plain(self)
        values["quality"]["rules"] = dict(self.quality.rules)  # a threshold may be infinite, which JSON can't say
        return values

    def save(self, path: str | Path) -> Path:
        """Write the statement as YAML; `load` reads back an equal one.

        Raises
        ------
        InputError
            If it can't be written.
        """
        return write_text(Path(path), yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def turned(
        self,
        *,
        topics: Mapping[str, float] | None = None,
        floor: float | None = None,
        likeness: float | None = None,
        novelty: float | None = None,
        tokens: int | None = None,
    ) -> Priors:
        """The same statement with some of it changed: weights of topics, the floors of quality, the weight of novelty, the budget.

        Raises
        ------
        InputError
            If a value is out of range.
        """
        return dataclasses.replace(
            self,
            topics={**self.topics, **(topics or {})},
            tokens=self.tokens if tokens is None else tokens,
            quality=dataclasses.replace(
                self.quality,
                floor=self.quality.floor if floor is None else floor,
                likeness=self.quality.likeness if likeness is None else likeness,
            ),
            duplication=self.duplication if novelty is None else dataclasses.replace(self.duplication, novelty=novelty),
        )

    def find(self, name: str) -> Path:
        """The file, folder or glob that a name in the priors means; a relative one stands in the bundled data, for `load` has settled the
        others.

        Raises
        ------
        InputError
            If it is not there.
        """
        place = _found(DATA, name)
        if place:
            return place
        where = "is not there" if Path(name).is_absolute() else f"is neither beside the priors file nor in {DATA}"
        raise InputError(f'priors: file "{name}" {where}; give its path in the priors file')

    def _repr_html_(self) -> str:
        rows = [(key, _line(value)) for key, value in self.to_dict().items()]
        return html_table(rows, caption=f"Priors: {self.name}")


def default() -> Priors:
    """The bundled statement, `data/priors/default.yaml`."""
    return load(DATA / "priors" / "default.yaml")


def load(path: str | Path) -> Priors:
    """Read a priors file. Names of files that lie beside it become whole paths, so that they are found wherever the priors go.

    Raises
    ------
    InputError
        If the file is missing, is not YAML, has an unknown key, a wrong type or a value out of range; the sentence names
        the file and the line.
    """
    priors: Priors = read_yaml(path, Priors, "priors", example="data/priors/default.yaml")
    folder = Path(path).resolve().parent

    def settled(name: str) -> str:
        return name if not name or name.startswith("hf:") else str(_found(folder, name) or name)

    good = priors.quality.good
    return dataclasses.replace(
        priors,
        taxonomy=settled(priors.taxonomy),
        quality=dataclasses.replace(priors.quality, good=good if good == "sample" else settled(good)),
        leakage=dataclasses.replace(priors.leakage, benchmarks=tuple(map(settled, priors.leakage.benchmarks))),
    )


def _found(folder: Path, name: str) -> Path | None:
    """The file, folder or glob that a name means in a folder, or by itself where it is absolute; None where there is nothing."""
    if (folder / name).exists():
        return folder / name
    pattern = Path(glob.escape(str(folder))) / name
    return pattern if glob.glob(str(pattern), recursive=True) else None  # noqa: PTH207 (takes absolute patterns)


def _check(priors: Priors) -> None:
    """Ranges that a type can't hold. Each message quotes the key, so that the reader can find its line."""
    parts = ("topics", priors.topics), ("mixture", vars(priors.mixture))
    for key, weight in ((f"{part}.{name}", weight) for part, weights in parts for name, weight in weights.items()):
        if not 0 <= weight <= HEAVIEST:
            raise InputError(f'weight "{key}" is {weight}; a weight is a number of zero or more, {HEAVIEST:g} at most')
    if priors.topics and not any(priors.topics.values()):
        raise InputError('"topics" gives every topic the weight 0; give at least one a weight above it')
    if priors.tokens <= 0:
        raise InputError(f'"tokens" is {priors.tokens}; the budget must be above 0')
    shares = {**{f"duplication.{k}": v for k, v in vars(priors.duplication).items()}, "quality.floor": priors.quality.floor,
              "quality.likeness": priors.quality.likeness,
              "leakage.overlap": priors.leakage.overlap, "cleaning.language_confidence": priors.cleaning.language_confidence}  # fmt: skip
    for key, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f'"{key}" is {share}; it must lie between 0 and 1')
    if not any(vars(priors.mixture).values()):
        raise InputError('"mixture" gives every part the weight 0; give at least one a weight above it')
    if not 0 <= priors.cleaning.min_words <= priors.cleaning.max_words:
        raise InputError(
            f'"cleaning.min_words" ({priors.cleaning.min_words}) must lie between 0 and max_words ({priors.cleaning.max_words})'
        )
    for key in ("crawl_n", "synthetic_n", "task_n"):
        if getattr(priors.leakage, key) < 1:
            raise InputError(f'"leakage.{key}" is {getattr(priors.leakage, key)}; an n-gram has at least 1 word')


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_line(v)}" for k, v in value.items()) or "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
