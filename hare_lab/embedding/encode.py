"""Pages in, unit vectors out, in order: what the store holds is read, the rest is embedded and stored block by block."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hare_lab.embedding import store as vector_store
from hare_lab.embedding.sources import Imported, Source, facts_of, open_source, unit_rows
from hare_lab.errors import InputError
from hare_lab.report_base import Report

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

log = logging.getLogger(__name__)

FIRST_BLOCK, LARGEST_BLOCK = 256, 4096  # texts that are embedded between two writes to the store
BLOCK_SECONDS = 10.0  # what a kill may cost, about: the blocks are sized by the rate so far
SURROGATE = re.compile("[\ud800-\udfff]")


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


def embed(
    pages: Dataset | Mapping[str, Sequence[str]] | pd.DataFrame | Sequence[str],
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
    pages : Dataset, slice of one or DataFrame with `text` and perhaps `title`, or a sequence of strings
    model : None, path, hub id, SentenceTransformer, object with `encode`, callable, or `imported(vectors)`
        None is the bundled all-MiniLM-L6-v2, checked by hash. A callable takes a list of strings and returns an array.
    name : str
        What a callable's vectors are stored under. Without one they are not stored: nothing tells two callables apart.
    store : path, None or False
        None is the shared store in `cache_folder()`; False stores nothing.
    backend : "auto", "torch", "openvino", "onnx" or "sentence-transformers"
        "auto" is the fastest one here whose vectors agree with fp32, measured once and remembered.
    precision : "auto", "fp32", "bf16" or "int8"
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
        to the bit from the store, up to rounding when embedded anew (cosine at least 0.999 in bf16 and int8).

    Raises
    ------
    InputError
        If there is no page or no column "text", a text is empty or no text (names the row), the model can't be had or gives no
        finite vectors, a setting is unknown, or the disk is full (what was stored so far stays).
    """
    start = time.perf_counter()
    texts = page_texts(pages)
    if long not in ("head", "windows"):
        raise InputError(f'long="{long}" is unknown; choose "head" or "windows"')
    if isinstance(model, Imported):
        return _as_imported(model, len(texts))
    source = open_source(model, name, backend, precision, long, max_length, batch_tokens)
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
        long_pages=int(cut[place].sum()) if source.counts_long else None, stored=folder is not None,
        **source.facts,
    )  # fmt: skip
    for notice in report.notices:
        log.info("embedding: %s", notice)
    return Embedded(vectors if len(distinct) == len(texts) else vectors[place], report)


def page_texts(pages: Dataset | Mapping[str, Sequence[str]] | pd.DataFrame | Sequence[str]) -> list[str]:
    """What of each page is embedded: title, blank line, text; the text alone where it has no title or begins with it.

    Raises
    ------
    InputError
        If there is no page, no column "text", or a text that is empty, blank or not a string; names the row.
    """
    if isinstance(pages, str):
        raise InputError("embed takes a list of texts, not one string; put it in a list")
    columns = _column_names(pages)
    if columns is None:
        texts = list(pages)
        titles: Sequence[Any] = ()
    elif "text" not in columns:
        raise InputError(f'the pages have no column "text" (they have {", ".join(map(str, columns))}); load them with corpus.load')
    elif isinstance(pages["text"], str):  # type: ignore[call-overload]  # it has columns here
        raise InputError("embed takes pages, not one of them; take it as a slice of length 1")
    else:
        texts = list(pages["text"][:])  # type: ignore[call-overload]
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


def _column_names(pages: Any) -> Sequence[Any] | None:
    """The columns of a Dataset, a slice of one (a dictionary) or a data frame; None for a sequence of texts."""
    if isinstance(pages, Mapping):
        return list(pages)
    names: Sequence[Any] | None = getattr(pages, "column_names", getattr(pages, "columns", None))
    return names


def _headed(title: Any, text: str) -> str:
    title = title.strip() if isinstance(title, str) else ""
    return text if not title or text.lstrip().startswith(title) else f"{title}\n\n{text}"


def _fill(
    texts: list[str], numbers: NDArray[np.int64], keys: NDArray[np.uint64], folder: Path | None, source: Source
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
    texts: list[str], numbers: NDArray[np.int64], todo: NDArray[np.int64], source: Source
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_], float]]:
    """Embed `todo`, longest texts first, in blocks of about `BLOCK_SECONDS`: rows, unit vectors, cut or not, seconds."""
    from hare_lab.bars import bar

    if not len(todo):
        return
    encode = source.encoder()
    order = todo[np.argsort([-len(texts[i]) for i in todo], kind="stable")]
    size, start = FIRST_BLOCK, 0
    with bar(told="embedding", unit="pages", total=len(order), leave=True) as shown:
        while start < len(order):
            rows = order[start : start + size]
            began = time.perf_counter()
            block, cut = encode([texts[i] for i in rows])
            block = unit_rows(block, lambda row, rows=rows: f"the model's vector of row {numbers[rows[row]]}")  # type: ignore[misc]
            spent = time.perf_counter() - began
            yield rows, block, cut, spent
            shown.update(len(rows))
            start += len(rows)
            size = int(np.clip(len(rows) / spent * BLOCK_SECONDS, 16, LARGEST_BLOCK))


def _distinct(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the first appearance of each key, in order, and for every row the place of its key among them."""
    seen: dict[tuple[int, int], int] = {}
    place = np.fromiter((seen.setdefault(key, len(seen)) for key in zip(*keys.T.tolist(), strict=True)), np.int64, len(keys))
    first = np.full(len(seen), len(keys), dtype=np.int64)
    np.minimum.at(first, place, np.arange(len(keys)))
    return first, place


def _as_imported(model: Imported, count: int) -> Embedded:
    if len(model.vectors) != count:
        raise InputError(f"{len(model.vectors)} imported vectors for {count} pages; give one row a page, in order")
    report = EmbeddingReport(
        documents=count, dimension=model.vectors.shape[1], long="its own", long_pages=None, from_store=0, repeated=0, embedded=0,
        seconds=0.0, documents_per_second=None, stored=False, **facts_of("imported", backend="imported"),
    )  # fmt: skip
    return Embedded(model.vectors, report)
