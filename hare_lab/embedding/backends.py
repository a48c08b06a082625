"""The forward pass, several ways: sentence-transformers as it is, torch, OpenVINO, ONNX Runtime; fp32, bf16 or int8.

What makes ours fast: texts sorted by length, so that a batch holds almost no padding; batches of equal token count, small
enough for the cache; eight bits or bf16 where the CPU has them; and the graph compiled once. The same text gives the same vector
alone or in any batch, up to rounding (cosine at least 0.999 in bf16 and int8, 0.999999 in fp32).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import os
import shutil
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hare_lab.embedding.models import Model, Plan
from hare_lab.embedding.quantised import GROUP, quantise
from hare_lab.embedding.store import cache_error
from hare_lab.embedding.tokens import Batch, Forward, encode_sorted, open_tokenizer
from hare_lab.errors import InputError

BATCH_TOKENS = {"torch": 8_192, "openvino": 2_048, "onnx": 4_096}  # measured on CPUs; a GPU takes GPU_BATCH_TOKENS
GPU_BATCH_TOKENS = 131_072
CALL = 256  # texts that a callable is given at a time


class Encoder(Protocol):
    """Texts in; vectors of shape (n, dimension), not yet of unit length, and whether each text was cut, out."""

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]: ...


@dataclass(frozen=True)
class Candidate:
    """One way to run a model."""

    backend: str
    precision: str
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}" + (f" on {self.device}" if self.device != "cpu" else "")


def encoder(
    model: Model, plan: Plan, candidate: Candidate, *, max_length: int | None = None, long: str = "head", batch_tokens: int | None = None
) -> Encoder:
    """The model in the way that `candidate` names.

    Raises
    ------
    ImportError, RuntimeError
        If the backend is not installed, or can't take the model.
    """
    length = max_length or plan.max_length
    if candidate.backend == "sentence-transformers":
        return functools.partial(_encode_as_it_is, model, length)
    if candidate.backend == "torch":
        forward = _torch(model, plan, candidate)
    elif candidate.backend == "openvino":
        forward = _openvino(model, plan, candidate.precision)
    else:
        forward = _onnx(model, plan)
    budget = batch_tokens or (BATCH_TOKENS[candidate.backend] if candidate.device == "cpu" else GPU_BATCH_TOKENS)
    return functools.partial(encode_sorted, forward, open_tokenizer(plan, length), plan, length, budget, long)


def callable_encoder(function: Callable[[list[str]], Any]) -> Encoder:
    """Any function from a list of texts to rows of numbers, given `CALL` texts at a time.

    Raises (when called)
    --------------------
    InputError
        If it returns anything but one row of numbers a text.
    """

    def encode(texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        parts = [_rows(function(list(texts[i : i + CALL])), len(texts[i : i + CALL])) for i in range(0, len(texts), CALL)]
        if len(widths := {part.shape[1] for part in parts}) > 1:
            raise InputError(f"the model returned rows of {' and '.join(map(str, sorted(widths)))} numbers; they must all have one length")
        return np.concatenate(parts), np.zeros(len(texts), dtype=bool)

    return encode


def _rows(result: Any, count: int) -> NDArray[np.float32]:
    try:
        rows = np.asarray(result, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"the model returned {type(result).__name__} where rows of numbers were due ({error}); return an array") from error
    if rows.ndim != 2 or len(rows) != count or rows.shape[1] == 0:
        raise InputError(f"the model returned shape {rows.shape} for {count} texts; it must return one row of numbers a text")
    return rows


def _encode_as_it_is(model: Model, length: int, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """sentence-transformers' own `encode`, for pipelines of any kind. It does not say which texts it cut."""
    loaded = model.load()
    before = loaded.max_seq_length
    try:
        if before is not None and before != length:
            loaded.max_seq_length = length
        vectors = loaded.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
    finally:
        if before is not None and before != length:
            loaded.max_seq_length = before
    return np.asarray(vectors, dtype=np.float32), np.zeros(len(texts), dtype=bool)


# --- forward passes --------------------------------------------------------------------------------------------------


def _pooled(model: Model, plan: Plan) -> Any:
    """The transformer with its pooling as one module: (ids, mask) -> vectors."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self, transformer: torch.nn.Module) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.transformer(input_ids=input_ids, attention_mask=attention_mask)[0]
            if plan.pooling == "cls":
                return states[:, 0].float()
            weights = attention_mask.unsqueeze(-1).float()
            return (states.float() * weights).sum(1) / weights.sum(1).clamp(min=1e-9)

    return Pooled(model.load()[0].auto_model).eval()


def _torch(model: Model, plan: Plan, candidate: Candidate) -> Forward:
    import torch

    module = _pooled(model, plan)
    kind = {"bf16": torch.bfloat16, "fp32": torch.float32}[candidate.precision]
    there = next(module.parameters())
    if (there.dtype, there.device.type) != (kind, candidate.device):
        module = copy.deepcopy(module).to(candidate.device, kind)  # a copy: the model in memory may be the user's

    def forward(batches: Iterable[Batch]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for places, ids, mask in batches:
            with torch.inference_mode():
                vectors = module(torch.from_numpy(ids).to(candidate.device), torch.from_numpy(mask).to(candidate.device))
            yield places, vectors.float().cpu().numpy()

    return forward


def _openvino(model: Model, plan: Plan, precision: str) -> Forward:
    import openvino

    path = _exported(model, f"openvino-{openvino.__version__.split('-')[0]}", "model.xml", functools.partial(_export_openvino, model, plan))
    settings: dict[str, str] = {"PERFORMANCE_HINT": "THROUGHPUT"}
    core = openvino.Core()
    graph = core.read_model(str(path))
    if precision == "int8":  # the rest is then in bf16 where the CPU has it, fp32 elsewhere: OpenVINO's own choice
        quantise(graph)
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(GROUP)
    else:
        settings["INFERENCE_PRECISION_HINT"] = {"fp32": "f32"}.get(precision, precision)
    queue = openvino.AsyncInferQueue(core.compile_model(graph, "CPU", settings))

    def forward(batches: Iterable[Batch]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        done: deque[tuple[NDArray[np.int64], NDArray[np.float32]]] = deque()
        queue.set_callback(lambda request, places: done.append((places, request.get_output_tensor(0).data.copy())))
        for places, ids, mask in batches:
            queue.start_async({"input_ids": ids, "attention_mask": mask}, places)
            while done:
                yield done.popleft()
        queue.wait_all()
        yield from done

    return forward


def _onnx(model: Model, plan: Plan) -> Forward:
    import onnxruntime
    import torch

    path = _exported(model, f"onnx-{torch.__version__.split('+')[0]}", "model.onnx", functools.partial(_export_onnx, model, plan))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def forward(batches: Iterable[Batch]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for places, ids, mask in batches:
            yield places, session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

    return forward


def _exported(model: Model, kind: str, name: str, export: Callable[[Path], None]) -> Path:
    """The file `name` of the exported model, made in a folder aside that is renamed once it is whole."""
    folder = model.folder / kind
    if not (folder / name).exists():
        aside = folder.with_name(f".{kind}.{uuid.uuid4().hex[:12]}.part")
        try:
            aside.mkdir(parents=True)
            with _quiet():
                export(aside / name)
            aside.rename(folder)
        except OSError as error:
            if not (folder / name).exists():  # where it does, another process was first, and its export is as good
                raise cache_error(model.folder, error) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder / name


def _export_openvino(model: Model, plan: Plan, path: Path) -> None:
    import openvino

    ids, mask = _example()
    converted = openvino.convert_model(_pooled(model, plan), example_input={"input_ids": ids, "attention_mask": mask})
    openvino.save_model(converted, str(path), compress_to_fp16=False)


def _export_onnx(model: Model, plan: Plan, path: Path) -> None:
    import torch

    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    shapes = {0: rows, 1: tokens}
    torch.onnx.export(
        _pooled(model, plan), _example(), str(path), input_names=["input_ids", "attention_mask"], output_names=["vectors"],
        dynamic_shapes=(shapes, shapes), dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip


def _example() -> tuple[Any, Any]:
    """Ids and mask to trace with: two tensors (the same one twice would be taken for one input), some of the mask zero."""
    import torch

    ids, mask = torch.ones(2, 16, dtype=torch.int64), torch.ones(2, 16, dtype=torch.int64)
    mask[1, 10:] = 0
    return ids, mask


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters speak on standard output, by warnings and by logging; none of it helps a reader."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
