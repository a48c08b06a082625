"""The demo corpus: a crawl in miniature that needs no network.

Two parts. The bundled sample (`data/sample/pages.jsonl`, written for this project, every page of it) and real text that is
on the machine anyway: docstrings of the standard library and of packages that the lock pins, and those packages' own
READMEs, drawn by seed to fill the size. The second part is all about software, as a crawl is skewed towards what its
writers love: the human prior is what balances it.

Nothing is imported to get a docstring: the source files are parsed. The pool is remembered in the cache folder, keyed by
the packages' versions.
"""

from __future__ import annotations

import ast
import gc
import gzip
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import logging
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hare_lab import texts
from hare_lab.corpus.pages import text_hash
from hare_lab.whole_files import written

log = logging.getLogger(__name__)

# Packages with prose in their docstrings that every supported platform installs from the lock.
ALLOWLIST = (
    "numpy", "scipy", "pandas", "scikit-learn", "sympy", "networkx", "datasets", "sentence-transformers", "umap-learn",
    "jinja2", "jupyter-server", "ipython", "pygments", "beautifulsoup4", "nbconvert", "traitlets", "tornado", "setuptools", "torch",
)  # fmt: skip
APART = ("scipy", "torch")  # about half of all source text: a second process parses it meanwhile
SHORTEST = 40  # words; a docstring below it is a label, not a page
DEFAULT_SIZE = 10_000


def demo_rows(size: int | None, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of the demo: the bundled sample whole, then machine text drawn by seed until there are `size`.

    The order is shuffled by seed too, so that the first pages of a run are like the rest. A machine with less text gives
    fewer pages.
    """
    sample = [("sample row " + str(i), page) for i, page in enumerate(texts.sample_pages())]
    pool = machine_text()
    rng = np.random.default_rng(seed)
    wanted = min(len(pool), max(0, (size or DEFAULT_SIZE) - len(sample)))
    drawn = rng.permutation(len(pool))[:wanted].tolist()
    rows = sample + [("machine row " + str(i), pool[i]) for i in drawn]
    order = rng.permutation(len(rows))
    yield from (rows[i] for i in order)


def machine_text() -> list[dict[str, Any]]:
    """Every docstring and README of the allowlist and the standard library, exact copies dropped, in a fixed order."""
    versions = _versions()
    cached = _cache() / f"machine-text-{_key(versions)}.jsonl.gz"
    if cached.exists():
        with gzip.open(cached, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    read = _read_side_by_side(list(versions))
    pages = {text_hash(page["text"]): page for name in versions for page in read[name]}
    pool = sorted(pages.values(), key=lambda page: str(page["id"]))
    _remember(cached, pool)
    return pool


def demo_fingerprint() -> str:
    """What the demo is made of: the bundled pages' bytes and the versions whose text is drawn from."""
    pages = b"".join(text_hash(page["text"]).encode() for page in texts.sample_pages())
    return hashlib.sha256(pages + _key(_versions()).encode()).hexdigest()[:16]


def demo_licences(sources: Iterable[str]) -> dict[str, str]:
    """The licence of each source of the demo, as the package that holds the text states it; a source that none states is left out."""
    found = {"sample": "CC-BY-4.0", "docs/python": "PSF-2.0"}
    for source in set(sources) - set(found):
        kind, _, name = source.partition("/")
        try:
            about = importlib.metadata.metadata(name) if kind in ("docs", "readme") and name else None
        except importlib.metadata.PackageNotFoundError:
            about = None
        if about is None:
            continue
        stated = [text for field in ("License-Expression", "License") for text in about.get_all(field, []) if 0 < len(text) < 100]
        classified = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License ::")]
        if stated or classified:
            found[source] = stated[0] if stated else ", ".join(classified)
    return {source: licence for source, licence in found.items() if source in set(sources)}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ALLOWLIST:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            log.info("demo: %s is not installed; its text is left out", name)
    return found


def _key(versions: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps([versions, SHORTEST]).encode()).hexdigest()[:16]


def _cache() -> Path:
    return Path(os.environ.get("HARE_LAB_CACHE") or Path.home() / ".cache" / "hare-lab")


def _remember(path: Path, pool: list[dict[str, Any]]) -> None:
    """Keep the pool; a cache that can't be written costs only time."""
    text = "".join(json.dumps(page, ensure_ascii=False) + "\n" for page in pool)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as file:
            file.write(gzip.compress(text.encode("utf-8"), compresslevel=3, mtime=0))
    except OSError as error:
        log.warning("demo: the pool can't be remembered in %s (%s); it will be read again next time", path.parent, error)


def _read_side_by_side(names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The pages of each package; those of `APART` are read by a process of their own, or here where that comes to nothing."""
    apart = [name for name in names if name in APART]
    words = [sys.executable, "-P", "-c", "import sys; from hare_lab.corpus import demo; demo.tell(sys.argv[1:])", *apart]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        helper = subprocess.Popen(words, stdout=told, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            read = {name: _pages(name) for name in names if name not in apart}
            done = helper.wait() == 0
            told.seek(0)
            read |= json.load(told) if done else {name: _pages(name) for name in apart}
        finally:
            helper.kill()
            helper.wait()
    return read


def tell(names: list[str]) -> None:
    """Write the pages of some packages to standard output: what the second process of `machine_text` does."""
    json.dump({name: _pages(name) for name in names}, sys.stdout)


def _pages(name: str) -> list[dict[str, Any]]:
    """The pages of one package, read without collecting garbage: syntax trees hold none, and looking costs half a parsing."""
    before = gc.isenabled()
    gc.disable()
    try:
        return list(_package(name))
    finally:
        if before:
            gc.enable()


def _package(name: str) -> Iterator[dict[str, Any]]:
    if name == "python":
        root = Path(sysconfig.get_path("stdlib"))
        files = [
            f for f in root.rglob("*.py") if not {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(f.relative_to(root).parts)
        ]
        yield from _docstrings(root, files, name)
        return
    distribution = importlib.metadata.distribution(name)
    root = Path(str(distribution.locate_file("")))
    readme = _body(distribution).strip()
    if len(readme.split()) >= SHORTEST:
        yield {"id": f"{name}/README", "text": readme, "title": f"{name}: README", "source": f"readme/{name}"}
    listed = [Path(str(f)) for f in distribution.files or [] if f.suffix == ".py"]
    files = [root / f for f in listed if not {"tests", "test", "_vendor", "vendor"} & set(f.parts) and ".." not in f.parts]
    yield from _docstrings(root, files, name)


def _body(distribution: importlib.metadata.Distribution) -> str:
    """The long description, which most wheels keep behind the headers of their METADATA file."""
    return (distribution.read_text("METADATA") or "").partition("\n\n")[2]


def _docstrings(root: Path, files: list[Path], name: str) -> Iterator[dict[str, Any]]:
    for file in sorted(files):
        try:
            source = file.read_text(encoding="utf-8")
            if not _promising(source):
                continue
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError, OSError, ValueError, RecursionError):
            continue  # templates and files for other Pythons
        module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for place, node in _documented(tree, module):
            text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
            if len(text.split()) >= SHORTEST:
                yield {"id": place, "text": text, "title": place, "source": f"docs/{name}"}


def _promising(source: str) -> bool:
    """Whether a string in triple quotes is long enough for a page; looking costs a fiftieth of parsing."""
    return any(len(part.split()) >= SHORTEST for quotes in ('"""', "'''") for part in source.split(quotes)[1::2])


def _documented(node: ast.AST, place: str) -> Iterator[tuple[str, Any]]:
    """Modules, classes and functions, with their dotted names."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield place, node
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _documented(child, f"{place}.{child.name}")
