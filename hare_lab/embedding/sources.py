"""Where vectors come from: a sentence-transformers model in its best way of running, a callable, or another program.

`open_source` reads what a person passed as `model` into one shape, so that `encode` need not know the kinds apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hare_lab.embedding.backends import Encoder, callable_encoder, encoder
from hare_lab.embedding.choice import choose
from hare_lab.embedding.models import Model, from_memory, open_model, plan_of
from hare_lab.errors import InputError


@dataclass(frozen=True)
class Imported:
    """Vectors that were made elsewhere, checked and of unit length. Made by `imported`."""

    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Where vectors come from: the facts for the report, the settings for the store's key, and the encoder once needed."""

    facts: Mapping[str, Any]
    settings: Mapping[str, Any] | None
    encoder: Callable[[], Encoder]
    counts_long: bool = False
    """Whether the encoder says which texts were longer than the model reads."""


def open_source(
    model: Any, name: str | None, backend: str, precision: str, long: str, max_length: int | None, batch_tokens: int | None
) -> Source:
    """What `embed` was given as its model, checked against the settings that go with it.

    Raises
    ------
    InputError
        If it is no model, or a setting does not go with it.
    """
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
    its_own = getattr(function, "__self__", None) is model  # a method is called encode whosever it is
    called = type(model).__name__ if its_own else str(getattr(function, "__name__", type(model).__name__))
    notices = () if name else ("a callable without a name: its vectors are not stored; pass name= to store them",)
    return Source(
        facts_of(name or called, backend="callable", notices=notices),
        {"callable": name, "normalised": True} if name else None,
        lambda: callable_encoder(function),
    )


def _pipeline(model: Model, backend: str, precision: str, long: str, max_length: int | None, batch_tokens: int | None) -> Source:
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
    facts = facts_of(
        model.name, weights=model.weights, backend=candidate.backend, precision=candidate.precision, device=candidate.device,
        agreement_mean=measured.mean, agreement_min=measured.low, max_length=length, notices=notices,
    )  # fmt: skip
    make = functools.partial(encoder, model, plan, candidate, max_length=length, long=long, batch_tokens=batch_tokens)
    kept = functools.partial(_kept, tuple(settings.items()), batch_tokens, make)
    return Source(facts, settings, kept, counts_long=candidate.backend != "sentence-transformers")


_ready: dict[Any, Encoder] = {}


def _kept(settings: Any, batch_tokens: int | None, make: Callable[[], Encoder]) -> Encoder:
    """The encoder, kept for the next call with the same settings: compiling a graph takes longer than embedding a page."""
    key = (settings, batch_tokens)
    if key not in _ready:
        _ready.clear()  # one at a time: each holds a copy of the weights
        _ready[key] = make()
    return _ready[key]


def facts_of(model: str, **known: Any) -> dict[str, Any]:
    """What the report says of a model: what is known, and the rest as unknown."""
    unknown: dict[str, Any] = {
        "weights": "", "precision": "its own", "device": "its own", "agreement_mean": None, "agreement_min": None,
        "max_length": None, "notices": (),
    }  # fmt: skip
    return {"model": model, **unknown, **known}


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
    return Imported(unit_rows(rows, lambda row: f"imported vector {row}"))


def unit_rows(vectors: NDArray[np.float32], named: Callable[[int], str]) -> NDArray[np.float32]:
    """Rows brought to unit length; one that can't be is an InputError that begins with `named(row)`."""
    lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        what = "is zero, which has no direction" if lengths[bad[0]] == 0 else "holds a number that is not finite"
        raise InputError(f"{named(int(bad[0]))} {what}; mend the model or leave the page out")
    return np.asarray(vectors / lengths[:, None], dtype=np.float32)
