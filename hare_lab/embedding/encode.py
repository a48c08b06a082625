"""Pages in, unit vectors out, in order: what the store holds is read, the rest is embedded and stored block by block."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hare_lab.embedding import store as vector_store
from hare_lab.embedding.backends import Encoder, callable_encoder, encoder
from hare_lab.embedding.choice import choose
from hare_lab.embedding.models import Model, from_memory, open_model, plan_of
from hare_lab.errors import InputError
from hare_lab.report_base import Report

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)

SURROGATE = re.compile("[\ud800-\udfff]")
FIRST_BLOCK, LARGEST_BLOCK = 256, 4096  # texts that are embedded between two writes to the store
BLOCK_SECONDS = 10.0  # what a kill may cost, about: the blocks are sized by the rate so far


@dataclass(frozen=True)
class EmbeddingReport(Report):
    """How the vectors were made, how they agree with plain fp32, and what it cost."""

    title: ClassVar[str] = "Embedding"

    documents: int
    dimension: int
    model: str
    weights: str
    """sha256 of the weights; "" where there are none to hash."""
    backend: str
    precision: str
    device: str
    agreement_mean: float | None
    """Cosine to plain fp32 sentence-transformers on built-in passages; None where there is nothing to compare with."""
    agreement_min: float | None
    max_length: int | None
    """Tokens that the model reads of a page; None for a callable, which may read all."""
    long: str
    """What stands for a page longer than that: its head, or the mean of its windows."""
    long_pages: int | None
    """How many were longer; None where the model does not say."""
    from_store: int
    repeated: int
    """Pages whose text is that of an earlier page, and so is their vector."""
    embedded: int
    seconds: float
    documents_per_second: float | None
    """Of those that were embedded now; None where none was."""
    stored: bool
    notices: tuple[str, ...] = ()

    def _rows(self) -> list[tuple[str, Any]]:
        return [*super()._rows(), *(("note", notice) for notice in self.notices)]


@dataclass(frozen=True)
class Embedded:
    """Unit vectors of shape (n, dimension), float32, in the order of the pages; and how they came about."""

    vectors: NDArray[np.float32]
    report: EmbeddingReport

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


@dataclass(frozen=True)
class Imported:
    """Vectors that were made elsewhere, checked and of unit length. Made by `imported`."""

    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class _Source:
    """Where vectors come from: the facts for the report, the settings for the store's key, and the encoder once needed."""

    facts: Mapping[str, Any]
    settings: Mapping[str, Any] | None
    encoder: Callable[[], Encoder]


def embed(
    pages: Dataset | Sequence[str],
    *,
    model: Any = None,
    name: str | None = None,
    store: str | Path | bool | None = None,
    backend: str = "auto",
    precision: str = "auto",
    long: str = "head",
    max_length: int | None = None,
    batch_tokens: int | None = None,
) -> Embedded:
    """One unit vector for each page, in order.

    What is embedded is the title, a blank line and the text, where a page has a title and its text does not begin with it
    already; else the text alone.

    Parameters
    ----------
    pages : Dataset with `text` and perhaps `title`, or a sequence of strings
    model : None, path, hub id, SentenceTransformer, object with `encode`, callable, or `imported(vectors)`
        None is the bundled all-MiniLM-L6-v2, checked by hash. A callable takes a list of strings and returns an array.
    name : str
        What a callable's vectors are stored under. Without one they are not stored: nothing tells two callables apart.
    store : path, None or False
        None is the shared store in `cache_folder()`; False stores nothing.
    backend : "auto", "torch", "openvino", "onnx" or "sentence-transformers"
        "auto" is the fastest one here whose vectors agree with fp32, measured once and remembered.
    precision : "auto", "fp32" or "bf16"
    long : "head" or "windows"
        A page longer than `max_length` tokens is embedded by its beginning, or as the mean of the unit vectors of all its
        windows of that length, weighted by their tokens.
    max_length : int
        Tokens that the model reads of a text. Default: what the model states (256 for the bundled one).
    batch_tokens : int
        Tokens in a batch, padding included. Default: what was fast on the machines measured.

    Returns
    -------
    Embedded
        `vectors` float32 of shape (n, dimension). The same text gives the same vector alone, in a batch and after a kill:
        to the bit from the store, up to rounding when embedded anew (cosine at least 0.999 in bf16).

    Raises
    ------
    InputError
        If there is no page, a text is empty or no text (names the row), the model can't be had or gives no finite vectors,
        a setting is unknown, or the disk is full (what was stored so far stays).
    """
    start = time.perf_counter()
    texts = page_texts(pages)
    if long not in ("head", "windows"):
        raise InputError(f'long="{long}" is unknown; choose "head" or "windows"')
    if isinstance(model, Imported):
        return _as_imported(model, len(texts))
    source = _source(model, name, backend, precision, long, max_length, batch_tokens)
    folder = None
    if store is not False and source.settings is not None:
        root = Path(store) if isinstance(store, str | Path) else vector_store.cache_folder() / "vectors"
        folder = vector_store.open_store(root, str(source.facts["model"]), source.settings)

    keys = vector_store.text_keys(texts)
    first, place = _distinct(keys)
    distinct = [texts[i] for i in first]
    vectors, cut, new, seconds = _fill(distinct, first, keys[first], folder, source)
    report = EmbeddingReport(
        documents=len(texts), dimension=vectors.shape[1], long=long, from_store=len(distinct) - new, repeated=len(texts) - len(distinct),
        embedded=new, seconds=round(time.perf_counter() - start, 3), documents_per_second=round(new / seconds, 1) if new else None,
        long_pages=int(cut[place].sum()) if source.facts["counts_long"] else None, stored=folder is not None,
        **{key: value for key, value in source.facts.items() if key != "counts_long"},
    )  # fmt: skip
    for notice in report.notices:
        log.info("embedding: %s", notice)
    return Embedded(vectors if len(distinct) == len(texts) else vectors[place], report)


def imported(vectors: ArrayLike) -> Imported:
    """Vectors that were made elsewhere, to be passed as `model`: one row a page, brought to unit length.

    Raises
    ------
    InputError
        If they are not a table of finite numbers, or a row is zero.
    """
    try:
        rows = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"imported vectors must be a table of numbers ({error}); give an array of shape (pages, dimension)") from error
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise InputError(f"imported vectors have the shape {rows.shape}; give an array of shape (pages, dimension)")
    return Imported(_unit(rows, lambda row: f"imported vector {row}"))


def page_texts(pages: Dataset | Sequence[str]) -> list[str]:
    """What of each page is embedded: title, blank line, text; the text alone where it has no title or begins with it.

    Raises
    ------
    InputError
        If there is no page, no column "text", or a text that is empty, blank or not a string; names the row.
    """
    if isinstance(pages, str):
        raise InputError("embed takes a list of texts, not one string; put it in a list")
    columns = getattr(pages, "column_names", None)
    if columns is None:
        texts = list(pages)
        titles: Sequence[Any] = ()
    elif "text" not in columns:
        raise InputError(f'the pages have no column "text" (they have {", ".join(columns)}); load them with corpus.load')
    else:
        texts = list(pages["text"][:])  # type: ignore[call-overload]  # a Dataset here
        titles = list(pages["title"][:]) if "title" in columns else ()  # type: ignore[call-overload]
    if not texts:
        raise InputError("there is no page to embed; load a corpus that holds text")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text of row {row} holds {type(text).__name__}, not a string; clean the corpus first")
        if not text or text.isspace():
            raise InputError(f"text of row {row} is empty; clean the corpus first")
        if not text.isascii() and SURROGATE.search(text):
            raise InputError(f"text of row {row} is not valid Unicode (half of a surrogate pair); clean the corpus first")
    return [_headed(title, text) for title, text in zip(titles, texts, strict=True)] if titles else texts


def _headed(title: Any, text: str) -> str:
    title = title.strip() if isinstance(title, str) else ""
    return text if not title or text.lstrip().startswith(title) else f"{title}\n\n{text}"


def _fill(
    texts: list[str], numbers: NDArray[np.int64], keys: NDArray[np.uint64], folder: Path | None, source: _Source
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int, float]:
    """Vectors of distinct texts, whether each was cut, how many were embedded anew, and the seconds that took.

    `numbers` are the texts' rows among the pages, for errors to name.
    """
    vectors: NDArray[np.float32] | None = None
    cut = np.zeros(len(texts), dtype=bool)
    absent = np.ones(len(texts), dtype=bool)
    if folder is not None:
        found = vector_store.find(folder, keys)
        if len(found.rows):
            vectors = np.empty((len(texts), found.vectors.shape[1]), dtype=np.float32)
            vectors[found.rows], cut[found.rows], absent[found.rows] = found.vectors, found.cut, False
    todo = np.flatnonzero(absent)
    seconds = 0.0
    for rows, block, block_cut, spent in _blocks(texts, numbers, todo, source):
        if vectors is None:
            vectors = np.empty((len(texts), block.shape[1]), dtype=np.float32)
        if block.shape[1] != vectors.shape[1]:
            raise InputError(
                f"the model gives vectors of {block.shape[1]} numbers where it gave {vectors.shape[1]} before; "
                f"store another model under another name"
            )
        vectors[rows], cut[rows] = block, block_cut
        if folder is not None:
            vector_store.append(folder, keys[rows], block, block_cut)
        seconds += spent
    assert vectors is not None  # there is at least one text, and it was found or embedded
    return vectors, cut, len(todo), seconds


def _blocks(
    texts: list[str], numbers: NDArray[np.int64], todo: NDArray[np.int64], source: _Source
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_], float]]:
    """Embed `todo`, longest texts first, in blocks of about `BLOCK_SECONDS`: rows, unit vectors, cut or not, seconds."""
    from tqdm.auto import tqdm

    if not len(todo):
        return
    encode = source.encoder()
    order = todo[np.argsort([-len(texts[i]) for i in todo], kind="stable")]
    size, start = FIRST_BLOCK, 0
    with tqdm(total=len(order), desc="embedding", unit="page", delay=3) as bar:
        while start < len(order):
            rows = order[start : start + size]
            began = time.perf_counter()
            block, cut = encode([texts[i] for i in rows])
            block = _unit(block, lambda row, rows=rows: f"the model's vector of row {numbers[rows[row]]}")  # type: ignore[misc]
            spent = time.perf_counter() - began
            yield rows, block, cut, spent
            bar.update(len(rows))
            start += len(rows)
            size = int(np.clip(len(rows) / spent * BLOCK_SECONDS, 16, LARGEST_BLOCK))


def _distinct(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the first appearance of each key, in order, and for every row the place of its key among them."""
    seen: dict[tuple[int, int], int] = {}
    place = np.fromiter((seen.setdefault(key, len(seen)) for key in zip(*keys.T.tolist(), strict=True)), np.int64, len(keys))
    first = np.full(len(seen), len(keys), dtype=np.int64)
    np.minimum.at(first, place, np.arange(len(keys)))
    return first, place


def _unit(vectors: NDArray[np.float32], named: Callable[[int], str]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        what = "is zero, which has no direction" if lengths[bad[0]] == 0 else "holds a number that is not finite"
        raise InputError(f"{named(int(bad[0]))} {what}; mend the model or leave the page out")
    return np.asarray(vectors / lengths[:, None], dtype=np.float32)


def _source(
    model: Any, name: str | None, backend: str, precision: str, long: str, max_length: int | None, batch_tokens: int | None
) -> _Source:
    if model is None or isinstance(model, str | Path):
        return _pipeline(open_model(model), backend, precision, long, max_length, batch_tokens)
    if type(model).__name__ == "SentenceTransformer":
        return _pipeline(from_memory(model), backend, precision, long, max_length, batch_tokens)
    function = getattr(model, "encode", model)
    if not callable(function):
        raise InputError(f"model is a {type(model).__name__}; give a folder, a hub id, a function from texts to rows, or imported(vectors)")
    if long == "windows" or max_length is not None:
        raise InputError('long="windows" and max_length need a sentence-transformers model; a callable has no tokens to count')
    if (backend, precision) != ("auto", "auto"):
        raise InputError("backend and precision need a sentence-transformers model; a callable runs as it is")
    notices = () if name else ("a callable without a name: its vectors are not stored; pass name= to store them",)
    return _Source(
        _facts(name or str(getattr(function, "__name__", type(model).__name__)), backend="callable", notices=notices),
        {"callable": name, "normalised": True} if name else None,
        lambda: callable_encoder(function),
    )


def _pipeline(model: Model, backend: str, precision: str, long: str, max_length: int | None, batch_tokens: int | None) -> _Source:
    """A sentence-transformers model, run in the chosen way."""
    plan = plan_of(model)
    length = plan.max_length if max_length is None else max_length
    if not 8 <= length <= plan.longest:
        raise InputError(f"max_length={max_length} is out of range; {model.name} reads 8 to {plan.longest} tokens")
    if long == "windows" and plan.pooling is None:
        raise InputError(f'long="windows" needs a model of transformer and pooling alone; {model.name} is more: use long="head"')
    candidate, measured, notices = choose(model, plan, backend=backend, precision=precision)
    if long == "windows" and candidate.backend == "sentence-transformers":
        raise InputError('long="windows" is not offered by the backend "sentence-transformers"; choose another')
    settings = {
        "identity": model.identity, "backend": candidate.backend, "precision": candidate.precision, "device": candidate.device,
        "pooling": plan.pooling or "its own", "max_length": length, "long": long, "normalised": True,
    }  # fmt: skip
    facts = _facts(
        model.name, weights=model.weights, backend=candidate.backend, precision=candidate.precision, device=candidate.device,
        agreement_mean=measured.mean, agreement_min=measured.low, max_length=length, notices=notices,
        counts_long=candidate.backend != "sentence-transformers",
    )  # fmt: skip
    make = functools.partial(encoder, model, plan, candidate, max_length=length, long=long, batch_tokens=batch_tokens)
    return _Source(facts, settings, functools.partial(_kept, tuple(settings.items()), batch_tokens, make))


_ready: dict[Any, Encoder] = {}


def _kept(settings: Any, batch_tokens: int | None, make: Callable[[], Encoder]) -> Encoder:
    """The encoder, kept for the next call with the same settings: compiling a graph takes longer than embedding a page."""
    key = (settings, batch_tokens)
    if key not in _ready:
        _ready.clear()  # one at a time: each holds a copy of the weights
        _ready[key] = make()
    return _ready[key]


def _facts(model: str, **known: Any) -> dict[str, Any]:
    unknown: dict[str, Any] = {
        "weights": "", "precision": "its own", "device": "its own", "agreement_mean": None, "agreement_min": None,
        "max_length": None, "counts_long": False, "notices": (),
    }  # fmt: skip
    return {"model": model, **unknown, **known}


def _as_imported(model: Imported, count: int) -> Embedded:
    if len(model.vectors) != count:
        raise InputError(f"{len(model.vectors)} imported vectors for {count} pages; give one row a page, in order")
    facts = {key: value for key, value in _facts("imported", backend="imported").items() if key != "counts_long"}
    report = EmbeddingReport(
        documents=count, dimension=model.vectors.shape[1], long="its own", long_pages=None, from_store=0, repeated=0, embedded=0,
        seconds=0.0, documents_per_second=None, stored=False, **facts,
    )  # fmt: skip
    return Embedded(model.vectors, report)
