"""What would make a stored result stale? The source of the modules that made it and the versions of their libraries."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
# Looks and error texts change no result, so a change there must not send a run back to its start.
NO_RESULT = frozenset({"figures", "report_base", "errors", "report", "cli", "run", "bars", "__init__"})


@functools.cache
def provenance(modules: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """The source hash of each module of ours that `modules` run, and the version of each library that these import."""
    sources: dict[str, str] = {}
    libraries: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in sources or module in NO_RESULT:
            continue
        files = _files(module)
        sources[module] = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]
        for file in files:
            ours, others = _imports(file)
            waiting.extend(ours)
            libraries |= others
    owners = importlib.metadata.packages_distributions()
    named = {dist for library in libraries for dist in owners.get(library, ())}
    return dict(sorted(sources.items())), {dist: version(dist) for dist in sorted(named)}


def _files(module: str) -> list[Path]:
    """The source files of a module of ours, be it a file or a folder."""
    file, folder = PACKAGE / f"{module}.py", PACKAGE / module
    found = [file] if file.exists() else sorted(folder.rglob("*.py"))
    if not found:
        raise ValueError(f"hare_lab has no module {module!r}")
    return found


def _imports(file: Path) -> tuple[set[str], set[str]]:
    """Which modules of ours and which other top-level packages a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"hare_lab.{a.name}" for a in node.names} if node.module == "hare_lab" else {node.module}
    ours = {name.split(".")[1] for name in names if name.startswith("hare_lab.")}
    others = {name.split(".")[0] for name in names} - {"hare_lab"} - set(sys.stdlib_module_names)
    return ours, others


def version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
