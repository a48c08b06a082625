"""What does a person want a small model to read?

A prior is a belief about good training data, written down so that it can be turned and tested: which topics matter and how
much, what counts as quality, which benchmarks must stay unseen, which languages and lengths to keep, how large the set may
be, and how crawled and synthetic text are mixed. `Priors` is that statement. It lives in a small YAML file that reads aloud
(`data/priors/default.yaml`), and every other module measures a corpus against it or acts on it.
"""

from __future__ import annotations

import copyreg
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from hare_lab.errors import InputError
from hare_lab.report_base import html_table, plain

DATA = Path(__file__).resolve().parent.parent / "data"


def _read_only(values: Mapping[str, Any]) -> types.MappingProxyType[str, Any]:
    return types.MappingProxyType(dict(values))


# a statement goes to other processes, and Python can't send the read-only mappings inside it by itself
copyreg.pickle(types.MappingProxyType, lambda held: (_read_only, (dict(held),)))


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
    """What counts as good text: a floor for the learned score and the thresholds of the published rules.

    `good` names pages to learn from: a path, or `sample` for the bundled reference pages. `likeness` is how likely a page must be one of
    them rather than one of the corpus, were either as likely; 0 asks for nothing, and 1/3 for a kind that is at least half as frequent
    among the good pages as in the corpus.
    """

    floor: float = 0.3
    likeness: float = 0.0
    good: str = "sample"
    rules: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Leakage:
    """Which benchmarks must stay unseen, and how much overlap is too much (HARE paper, appendix A.4).

    A page goes when it holds more than `overlap` of a benchmark's item, or when more than `overlap` of its own n-grams stand in
    benchmarks; the n of crawled, synthetic (D2) and task (D3) text differ because their lengths do.
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
        """Plain values, as YAML and JSON hold them."""
        values: dict[str, Any] = plain(self)
        return values

    def save(self, path: str | Path) -> Path:
        """Write the statement as YAML (aside, then renamed); `load` reads back an equal one."""
        target = Path(path)
        aside = target.with_name(target.name + ".part")
        aside.write_text(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")
        aside.replace(target)
        return target

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
        """The file that a name in the priors means; a relative one stands in the bundled data, for `load` has settled the others.

        Raises
        ------
        InputError
            If it is not there.
        """
        place = DATA / name  # an absolute name stays as it is
        if place.exists():
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
    priors: Priors = read_yaml(path, Priors, "priors")
    folder = Path(path).resolve().parent

    def settled(name: str) -> str:
        return str(folder / name) if name and not name.startswith("hf:") and (folder / name).is_file() else name

    return dataclasses.replace(
        priors,
        taxonomy=settled(priors.taxonomy),
        quality=dataclasses.replace(priors.quality, good=settled(priors.quality.good)),
        leakage=dataclasses.replace(priors.leakage, benchmarks=tuple(map(settled, priors.leakage.benchmarks))),
    )


def read_yaml(path: str | Path, kind: type, name: str) -> Any:
    """A YAML file as the frozen dataclass `kind`, each key checked against its field; an empty file takes the defaults.

    Raises
    ------
    InputError
        As `load` does; the sentence names the file and the line.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{name}: no file {source}; give a YAML file{' such as data/priors/default.yaml' if kind is Priors else ''}")
    try:
        node = yaml.compose(source.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}{where}: not valid YAML ({str(error).splitlines()[0]}); mend it there") from error
    if node is None:
        node = yaml.MappingNode("tag:yaml.org,2002:map", [], yaml.Mark(str(source), 0, 0, 0, "", 0))
    return _Reader(source).section(node, kind, name)


class _Reader:
    """Turns YAML nodes into the dataclasses above, and remembers lines, so that each mistake is named where it stands."""

    def __init__(self, source: Path) -> None:
        self.source = source

    def wrong(self, node: yaml.Node, problem: str) -> InputError:
        return InputError(f"{self.source} line {node.start_mark.line + 1}: {problem}")

    def section(self, node: yaml.Node, kind: type, name: str) -> Any:
        """A mapping node as an instance of the dataclass `kind`."""
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, f'"{name}" must hold keys with values, not {_say(node)}')
        known = typing.get_type_hints(kind)
        values: dict[str, Any] = {}
        lines: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key not in known:
                raise self.wrong(key_node, f'unknown key "{key}" in {name}; it may hold: {", ".join(known)}')
            if key in values:
                raise self.wrong(key_node, f'key "{key}" stands twice in {name}; keep one')
            values[key], lines[key] = self.value(value_node, known[key], key), value_node
        lacking = [
            f.name for f in dataclasses.fields(kind) if f.name not in values and f.default is f.default_factory is dataclasses.MISSING
        ]
        if lacking:
            raise self.wrong(node, f'{name} lacks "{lacking[0]}"; give it a value')
        try:
            return kind(**values)
        except InputError as error:  # a range that only the finished section can judge: say which line it came from
            culprit = next((lines[key] for key in lines if f'"{key}' in str(error)), node)
            raise self.wrong(self.inner(culprit, str(error)), str(error)) from None

    def inner(self, node: yaml.Node, message: str) -> yaml.Node:
        """The line of the entry that the message names inside a mapping, or the mapping's own."""
        if isinstance(node, yaml.MappingNode):
            return next((value for key, value in node.value if f'.{key.value}"' in message), node)
        return node

    def value(self, node: yaml.Node, kind: Any, key: str) -> Any:
        """A node as the type that the field declares."""
        origin = typing.get_origin(kind)
        if dataclasses.is_dataclass(kind):
            return self.section(node, typing.cast(type, kind), key)
        if origin is tuple:
            if not isinstance(node, yaml.SequenceNode):
                raise self.wrong(node, f'"{key}" must be a list such as [a, b], not {_say(node)}')
            return tuple(self.value(item, typing.get_args(kind)[0], key) for item in node.value)
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            if not isinstance(node, yaml.MappingNode):
                raise self.wrong(node, f'"{key}" must hold names with numbers, not {_say(node)}')
            return _read_only({str(k.value): self.value(v, typing.get_args(kind)[1], f"{key}.{k.value}") for k, v in node.value})
        found = yaml.SafeLoader("").construct_object(node, deep=True) if isinstance(node, yaml.ScalarNode) else None
        if origin is Literal:
            choices = typing.get_args(kind)
            if found not in choices:
                raise self.wrong(node, f'"{key}" must be one of {", ".join(map(str, choices))}, not {_say(node)}')
            return found
        if kind is float and isinstance(found, int) and not isinstance(found, bool):
            found = float(found)
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            what = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[kind]
            raise self.wrong(node, f'"{key}" must be {what}, not {_say(node)}')
        return found


def _say(node: yaml.Node) -> str:
    return f'"{node.value}"' if isinstance(node, yaml.ScalarNode) else "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _check(priors: Priors) -> None:
    """Ranges that a type can't hold. Each message quotes the key, so that the reader can find its line."""
    for topic, weight in priors.topics.items():
        if not math.isfinite(weight) or weight < 0:
            raise InputError(f'weight "topics.{topic}" is {weight}; a weight must be zero or more')
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
    mixture = vars(priors.mixture)
    for key, weight in mixture.items():
        if not math.isfinite(weight) or weight < 0:
            raise InputError(f'weight "mixture.{key}" is {weight}; a weight must be zero or more')
    if not any(mixture.values()):
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
