"""How is a report kept, so that a later run shows the same table and figure? As JSON that names its class.

Only our own `Report` classes and the frozen dataclasses inside them are ever rebuilt; nothing else in the file is executed.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

OURS = "hare_lab."


def encode(value: Any) -> Any:
    """A report, or anything inside one, as JSON-able values that `decode` turns back; fields that begin with `_` are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value) if not f.name.startswith("_")}
        return {"__class__": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
    if isinstance(value, np.ndarray):
        return {"__array__": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "iterrows"):
        return {
            "__table__": {str(name): encode(column.tolist()) for name, column in value.items()},
            "columns": [str(c) for c in value.columns],
        }
    if isinstance(value, tuple):
        return {"__tuple__": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {"__items__": [[encode(key), encode(item)] for key, item in value.items()]}
    return value


def decode(value: Any) -> Any:
    """What `encode` made of a value, as it was.

    Raises
    ------
    ValueError
        If the file names a class that is not a dataclass of this package.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__class__" in value:
        return _class(value["__class__"])(**{name: decode(item) for name, item in value["fields"].items()})
    if "__array__" in value:
        return np.array(value["__array__"], dtype=value["dtype"])
    if "__table__" in value:
        import pandas as pd

        return pd.DataFrame({name: decode(value["__table__"][name]) for name in value["columns"]}, columns=value["columns"])
    if "__tuple__" in value:
        return tuple(decode(item) for item in value["__tuple__"])
    return {decode(key): decode(item) for key, item in value["__items__"]}


def _class(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if not module.startswith(OURS):
        raise ValueError(f"a stored report names {name}, which is not of this package")
    found = getattr(importlib.import_module(module), attribute, None)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(f"a stored report names {name}, which is no dataclass of this package")
    return found
