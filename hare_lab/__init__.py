"""HARE Lab: see, measure and test the human priors in the data of a small language model.

Modules are loaded when first used, so `import hare_lab` costs next to nothing:

    import hare_lab as hare
    run = hare.run.open_run("demo", profile="small")
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from types import ModuleType

__version__ = "0.1.0"

MODULES = (
    "priors", "run", "figures", "corpus", "dedup", "embedding", "clustering", "topics", "diversity", "quality", "coverage", "leakage",
    "curation", "synthesis", "models", "training", "evaluation", "experiment", "tool_calling", "texts", "mapping", "preparing",
    "notebook", "cli",
)  # fmt: skip

# numba looks for the package `coverage`, takes a mere folder of that name where it is run for it, and dies; None says that there is none
if (_found := PathFinder.find_spec("coverage")) and _found.origin is None:
    sys.modules.setdefault("coverage", None)  # type: ignore[arg-type]

__all__ = ["MODULES", "__version__"]


def __getattr__(name: str) -> ModuleType:
    if name in MODULES:
        return importlib.import_module(f"hare_lab.{name}")
    raise AttributeError(f"module 'hare_lab' has no attribute {name!r}; its modules are {', '.join(MODULES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *MODULES])
