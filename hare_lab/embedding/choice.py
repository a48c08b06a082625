"""Which way of running a model is the fastest on this machine and still gives its vectors?

Every candidate embeds the same passages (Python's own documentation, so the choice depends on no corpus). One whose vectors
agree with plain fp32 sentence-transformers may win, the fastest does. Each measurement is written to the cache under the
machine, the libraries' versions and the model, and never repeated while those stay.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hare_lab.embedding.backends import Candidate, encoder
from hare_lab.embedding.models import Model, Plan, device
from hare_lab.embedding.store import write_small
from hare_lab.errors import InputError
from hare_lab.machine import cores

log = logging.getLogger(__name__)

MEAN_COSINE, MIN_COSINE = 0.999, 0.995  # below either, a backend's vectors are not the model's
BACKENDS = ("torch", "openvino", "onnx", "sentence-transformers")
PRECISIONS = ("fp32", "bf16", "int8")
LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "openvino", "onnx", "onnxscript", "onnxruntime", "hare-lab")
PASSAGES = 32
REFERENCE = Candidate("sentence-transformers", "fp32")


@dataclass(frozen=True)
class Measured:
    """How one candidate did on the passages; `problem` says why it can't run, where it can't."""

    rate: float
    """Passages a second."""
    mean: float
    """Cosine to plain fp32, mean over the passages."""
    low: float
    """Cosine to plain fp32, least of the passages."""
    problem: str = ""

    @property
    def agrees(self) -> bool:
        return not self.problem and self.mean >= MEAN_COSINE and self.low >= MIN_COSINE


def choose(model: Model, plan: Plan, *, backend: str = "auto", precision: str = "auto") -> tuple[Candidate, Measured, tuple[str, ...]]:
    """The fastest candidate that agrees with fp32, its measurement, and what a person should know of the choice.

    A backend or precision that is asked for by name is used even where it does not agree; the notice then says so.

    Raises
    ------
    InputError
        If a name is unknown, or what is asked for can't run on this machine.
    """
    for kind, given, known in (("backend", backend, BACKENDS), ("precision", precision, PRECISIONS)):
        if given not in ("auto", *known):
            raise InputError(f'{kind} "{given}" is unknown; choose auto, {", ".join(known)}')
    field = [c for c in _candidates(plan, backend) if precision in ("auto", c.precision)]
    results = {candidate: _remembered(model, plan, candidate) for candidate in field}
    if backend == "auto" and precision in ("auto", "fp32") and not any(result.agrees for result in results.values()):
        reference = replace(REFERENCE, device=device())
        results[reference] = _remembered(model, plan, reference)
    able = {candidate: result for candidate, result in results.items() if not result.problem}
    good = {candidate: result for candidate, result in able.items() if result.agrees}
    if not able:
        only = "it runs only as sentence-transformers fp32" if plan.pooling is None else f"no backend does {precision} on this machine"
        why = "; ".join(f"{c}: {r.problem}" for c, r in results.items()) or only
        raise InputError(f'backend "{backend}" with precision "{precision}" can\'t run {model.name} here ({why}); choose auto')
    pool = good or able
    best = max(pool, key=lambda candidate: pool[candidate].rate)
    notices = [f"{c} can't run here: {r.problem}" for c, r in results.items() if r.problem]
    if good:
        notices += [f"{c} was ruled out: its {_agreement(r)}" for c, r in able.items() if c not in good]
    else:
        notices.append(f"{best} was asked for, and does not agree with fp32: its {_agreement(able[best])}")
    if backend == "auto" and plan.pooling and best.device == "cpu" and not _installed("openvino"):
        notices.append("openvino is not installed, and usually several times as fast on a CPU; pip install 'hare-lab[fast]'")
    return best, pool[best], tuple(notices)


def _agreement(measured: Measured) -> str:
    return f"cosine to fp32 is {measured.mean:.4f} on average, {measured.low:.4f} at least"


def passages() -> list[str]:
    """English prose of 5 to 250 words that is on every machine: what Python says of itself, cut by word count."""
    from pydoc_data.topics import topics

    words = " ".join(topics[name] for name in sorted(topics)).split()
    sizes = np.linspace(5, 250, PASSAGES).astype(int)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return [" ".join(words[start : start + size]) for start, size in zip(starts, sizes, strict=True)]


def _candidates(plan: Plan, backend: str) -> list[Candidate]:
    """What could run the model here. On a GPU only torch competes: a CPU backend would lose at the cost of a long race.

    Plain sentence-transformers is no candidate but the last resort: torch fp32 does the same sums with less padding.
    """
    where = device()
    if backend == "sentence-transformers":
        return [replace(REFERENCE, device=where)]
    if plan.pooling is None:
        return []
    if backend != "auto":
        precisions = {"onnx": PRECISIONS[:1], "torch": PRECISIONS[:2]}.get(backend, PRECISIONS)
        return [Candidate(backend, precision, where if backend == "torch" else "cpu") for precision in precisions]
    found = [Candidate("torch", "fp32", where)]
    if where == "cuda" or (where == "cpu" and _cpu_has_bf16()):
        found.append(Candidate("torch", "bf16", where))
    if where == "cpu" and _installed("openvino"):
        found.append(Candidate("openvino", "fp32"))
        found += [Candidate("openvino", "bf16")] if _cpu_has_bf16() else []
        found += [Candidate("openvino", "int8")] if _cpu_has_int8() else []
    elif where == "cpu" and _installed("onnxruntime") and _installed("onnxscript"):
        found.append(Candidate("onnx", "fp32"))  # slower than OpenVINO wherever both were measured, so only in its stead
    return found


def _remembered(model: Model, plan: Plan, candidate: Candidate) -> Measured:
    """The measurement from the cache, or made now and written there."""
    path = model.folder / f"measured-{_machine(candidate.device)}" / f"{str(candidate).replace(' ', '-')}.json"
    try:
        return Measured(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        log.info("embedding: measuring %s for %s, once for this machine", candidate, model.name)
        result = _measure(model, plan, candidate)
        write_small(path, json.dumps(asdict(result)).encode())
        return result


def _measure(model: Model, plan: Plan, candidate: Candidate) -> Measured:
    """Rate (of the best pass, after one to warm up) and agreement of a candidate on the passages."""
    texts = passages()
    try:
        encode = encoder(model, plan, candidate)
        encode(texts[:: PASSAGES // 8])
        times: list[float] = []
        while sum(times) < 1.0 and len(times) < 3:  # a slow candidate is timed once: a second pass would not make it win
            start = time.perf_counter()
            vectors, _cut = encode(texts)
            times.append(time.perf_counter() - start)
    except (ImportError, RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        return Measured(0.0, 0.0, 0.0, f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}")
    if candidate.backend == REFERENCE.backend:
        _references[model.identity] = _unit(vectors)
    cosines = (_unit(vectors) * _reference(model, plan)).sum(axis=1)
    if not np.isfinite(cosines).all():
        return Measured(len(texts) / min(times), 0.0, 0.0, "its vectors are not finite")
    return Measured(round(len(texts) / min(times), 2), round(float(cosines.mean()), 7), round(float(cosines.min()), 7))


_references: dict[str, NDArray[np.float32]] = {}


def _reference(model: Model, plan: Plan) -> NDArray[np.float32]:
    """Unit vectors of the passages by plain sentence-transformers in fp32, computed once a process."""
    if model.identity not in _references:
        _references[model.identity] = _unit(encoder(model, plan, REFERENCE)(passages())[0])
    return _references[model.identity]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


@functools.cache
def _machine(where: str) -> str:
    """A hash of what a measurement depends on: processor, cores, device, Python and the libraries that run models."""
    gpu = ""
    if where == "cuda":
        import torch

        gpu = torch.cuda.get_device_name()
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES if _installed_as(name)}
    facts = [platform.system(), platform.machine(), _processor(), cores(), where, gpu, platform.python_version(), versions]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def _processor() -> str:
    """The processor's name and the instruction sets that matter here."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    text = info.read_text()
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return " ".join([name, *(flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_vnni", "avx_vnni") if flag in text)])


def _cpu_has_bf16() -> bool:
    return "bf16" in _processor()


def _cpu_has_int8() -> bool:
    """Whether the CPU has instructions that multiply and add bytes (VNNI), which is what makes eight bits quick."""
    return "_vnni" in _processor()


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _installed_as(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
