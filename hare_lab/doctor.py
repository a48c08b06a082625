"""What does this machine have that the workbench can use? Versions, weights, network, browser, cores, bf16, disk."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hare_lab.machine import cores

NEEDED = (
    "torch",
    "transformers",
    "sentence-transformers",
    "datasets",
    "umap-learn",
    "hdbscan",
    "scikit-learn",
    "plotly",
    "jupyterlab",
    "papermill",
    "rensa",
)
OPTIONAL = {"openvino": "faster vectors (extra: fast)", "kaleido": "PNG, SVG and PDF figures (extra: pictures)"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")


@dataclass(frozen=True)
class Check:
    """One line of the examination; `needed` ones must be ok."""

    name: str
    ok: bool
    finding: str
    needed: bool = False


def examine() -> list[Check]:
    """Every check, in reading order. Nothing here takes longer than a few seconds or changes anything."""
    return [_python(), *_packages(), _weights(), *_compute(), _memory(), _disk(), _browser(), _network()]


def _python() -> Check:
    return Check("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}", needed=True)


def _packages() -> list[Check]:
    checks = []
    for name in (*NEEDED, *OPTIONAL):
        needed = name in NEEDED
        try:
            checks.append(Check(name, True, importlib.metadata.version(name), needed))
        except importlib.metadata.PackageNotFoundError:
            checks.append(
                Check(name, False, "not installed; run `make install`" if needed else f"not installed; it gives {OPTIONAL[name]}", needed)
            )
    return checks


def _weights() -> Check:
    from hare_lab import embedding
    from hare_lab.errors import InputError

    try:
        _, digest = embedding.bundled_weights()
    except InputError as error:
        return Check("weights", False, str(error), needed=True)
    return Check("weights", True, f"all-MiniLM-L6-v2, sha256 {digest[:16]} as published", needed=True)


def _compute() -> list[Check]:
    import torch

    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    native = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags]
    gpu = torch.cuda.is_available()
    return [
        Check("cores", True, f"{cores()}"),
        Check("bf16", bool(native) or gpu, f"native ({', '.join(native)})" if native else "on the GPU" if gpu else "emulated: slow"),
        Check("GPU", gpu, torch.cuda.get_device_name(0) if gpu else "none; everything runs without one"),
    ]


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Check("memory", total >= 6, f"{total:.0f} GiB; the laptop profile stays below 6")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Check("disk", free >= 2, f"{free:.0f} GiB free here", needed=True)


def _browser() -> Check:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), "")
    return Check("browser", bool(found), found or "none; figures are HTML only (install chromium for PNG, SVG and PDF)")


def _network() -> Check:
    from huggingface_hub.constants import ENDPOINT

    try:
        socket.create_connection((urlsplit(ENDPOINT).hostname, 443), timeout=2).close()
    except OSError:
        return Check("network", False, "the Hugging Face hub is out of reach; everything bundled works")
    return Check("network", True, "the Hugging Face hub answers")
