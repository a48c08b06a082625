"""The training loop: rows in, a trained model and its curve out. It can be killed, cancelled and gone on with at any step."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hare_lab.errors import InputError
from hare_lab.models import flops_per_token, matmul_peak
from hare_lab.report_base import plain
from hare_lab.training import checkpoints, mixture
from hare_lab.training.limits import check_memory
from hare_lab.training.packing import IGNORE, Packed
from hare_lab.training.report import Progress, TrainingReport
from hare_lab.training.scoring import evaluate, precision_here
from hare_lab.training.settings import Settings, rate_at

if TYPE_CHECKING:
    from transformers import MistralForCausalLM

EVALUATIONS = 10  # looks at the held-out rows, evenly over the run, the last after the last step
# Compiling pays in runs of so many seconds, by an estimate: a share of the GPU's peak that layers reach uncompiled, or the time that
# the CPU takes to launch one layer forward and back.
PAYS, EAGER, LAUNCHES = 180.0, 0.3, 0.0025


def fit(
    model: MistralForCausalLM,
    parts: Mapping[str, Packed],
    tokens: int,
    *,
    name: str = "model",
    settings: Settings | None = None,
    stages: Sequence[mixture.Stage] | None = None,
    seed: int = 0,
    heldout: Packed | None = None,
    folder: Path | None = None,
    watch: Callable[[Progress], bool | None] | None = None,
) -> TrainingReport:
    """Train `model`, in place, on `tokens` tokens of `parts`.

    Parameters
    ----------
    model : new, or to go on with
    parts : rows by name: one part, or D1, D2, D3
    tokens : how many to read, rounded up to whole steps; more than there are repeats them, and the report says how often
    name : of the model, for the report
    stages : the recipe; default: all parts in proportion to their size
    seed : of the order of rows
    heldout : rows to look at now and then, never trained on
    folder : where checkpoints go; one of the same run that lies there is gone on with, to the same losses
    watch : told of each step; a true answer (of several processes, that of any) stops the run after it, with a checkpoint where there
        is a folder

    Returns
    -------
    TrainingReport

    Raises
    ------
    InputError
        If the budget is not above 0, memory or disk will not do, the folder holds another run, or the loss is no number any
        more: then the sentence says where, and the last checkpoint stays.
    """
    import torch
    from accelerate import Accelerator

    from hare_lab.training import kernels

    how = settings or Settings(context=next(iter(parts.values())).context)
    if tokens < 1:
        raise InputError(f"the budget is {tokens} tokens; give 1 or more")
    # told so, several processes on a machine without a GPU share the rows; else each would train all of them by itself
    accelerator = Accelerator(cpu=int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available())
    device = accelerator.device
    precision = precision_here(how.precision, device.type)
    check_memory(model, how, precision, device.type, folder)
    sizes = {part: len(rows) for part, rows in parts.items()}
    recipe = tuple(stages or (mixture.Stage("one", 1.0, sizes),))
    per_step = how.batch * how.context
    steps = math.ceil(tokens / per_step)
    order = mixture.order(sizes, recipe, steps * how.batch, seed=seed)
    job = _job(model, parts, how, recipe, steps, seed, precision)
    peak_rate = how.learning_rate or default_rate(model)

    module = accelerator.prepare_model(kernels.loss_of(model, torch.bfloat16 if precision == "bf16" else torch.float32))
    optimizer = _optimizer(model, how)
    found = checkpoints.find(folder, job) if folder else None
    curve: list[list[Any]] = []
    begin, spent = 0, 0.0
    if found:
        checkpoints.restore(found, model, optimizer)
        begin, curve, spent = found.step, found.curve, found.seconds
    work, peak = _work(model, how.context), matmul_peak(precision, device.type) * accelerator.num_processes
    seconds = max(work * per_step / (EAGER * peak), math.ceil(how.batch / how.micro) * model.config.num_hidden_layers * LAUNCHES) * steps
    compiled = device.type == "cuda" and seconds > PAYS if how.compiled is None else how.compiled
    looks = {math.ceil(steps * (k + 1) / EVALUATIONS) for k in range(EVALUATIONS)} if heldout else set()
    saved, stopped = time.perf_counter(), False
    model.train()
    with kernels.hastened(model, compiled=compiled):
        for step in range(begin, steps):
            started = time.perf_counter()
            rate = rate_at(step, steps, peak_rate, how.schedule, how.warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = slice(step * how.batch, (step + 1) * how.batch)
            loss = _step(module, _rows(parts, order, chosen, how), how, accelerator, optimizer)
            if not math.isfinite(loss):
                raise InputError(_not_a_number(step, per_step, rate, folder))
            took = time.perf_counter() - started
            spent += took
            look = evaluate(model, heldout, precision=precision, batch=how.micro) if heldout and step + 1 in looks else None
            curve.append([step + 1, (step + 1) * per_step, loss, rate, spent, int(order.stage[chosen.start]), look])
            if watch:
                recent = curve[-min(len(curve), 20) :]
                each = (recent[-1][4] - recent[0][4]) / (len(recent) - 1) if len(recent) > 1 else took
                speed = per_step / max(each, 1e-9)
                told = Progress(
                    step + 1, steps, (step + 1) * per_step, loss, rate, int(order.stage[chosen.start]), speed, speed * work / peak,
                    (steps - step - 1) * each,
                )  # fmt: skip
                stopped = bool(watch(told))
            if accelerator.num_processes > 1:  # who is asked to stop may be one of them, and none goes on alone
                stopped = bool(accelerator.reduce(torch.tensor(float(stopped), device=device), "sum"))
            due = stopped or step + 1 == steps or time.perf_counter() - saved > 60 * how.checkpoint_minutes
            if folder and due and accelerator.is_main_process:
                checkpoints.save(folder, step + 1, job, curve, spent, model, optimizer)
                saved = time.perf_counter()
            if stopped:
                break
    model.eval()
    done = len(curve)
    speed = done * per_step / spent if spent else 0.0
    edge = max(1, done // 20)
    losses = [row[2] for row in curve]
    read = mixture.repeats(order, sizes, done * how.batch)
    return TrainingReport(
        model=name, parameters=sum(p.numel() for p in model.parameters()), tokens=done * per_step, steps=done, finished=done == steps,
        seconds=spent, tokens_per_second=speed, utilisation=speed * work / peak, precision=precision,
        first_loss=float(np.mean(losses[:edge])), last_loss=float(np.mean(losses[-edge:])),
        heldout_loss=next((row[6] for row in reversed(curve) if row[6] is not None), None), repeats=read,
        notes=_notes(read, parts, begin if begin < steps else 0), data=job["data"], seed=seed, curve=tuple(tuple(row) for row in curve),
    )  # fmt: skip


def _step(module: Any, rows: Sequence[np.ndarray], how: Settings, accelerator: Any, optimizer: Any) -> float:
    """One optimizer step on a batch, in passes of `micro` rows; the mean loss of its tokens.

    Each pass is divided by the learnt tokens of the whole batch, so that neither the passes' size nor the number of devices
    changes the result.
    """
    import torch

    learnt = max(1, int((rows[1] != IGNORE).sum()))
    mine = [part[accelerator.process_index :: accelerator.num_processes] for part in rows]
    total = torch.zeros((), device=accelerator.device)
    starts = range(0, max(1, len(mine[0])), how.micro)
    for at in starts:
        batch = [torch.from_numpy(part[at : at + how.micro]).to(accelerator.device) for part in mine]
        with accelerator.no_sync(module) if at != starts[-1] else _nothing():
            loss = module(*batch)
            (loss * (accelerator.num_processes / learnt)).backward()
        total += loss.detach()
    value = float(accelerator.reduce(total, "sum")) / learnt
    if math.isfinite(value):
        torch.nn.utils.clip_grad_norm_(module.parameters(), how.clip)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return value


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def _rows(parts: Mapping[str, Packed], order: mixture.Order, chosen: slice, how: Settings) -> list[np.ndarray]:
    """The batch of these places in the order, its rows in that order whatever part they are of."""
    part, row = order.part[chosen], order.row[chosen]
    found = [np.empty((len(part), how.context), np.int64) for _ in range(4)]
    for index, name in enumerate(order.names):
        where = np.flatnonzero(part == index)
        if len(where):
            for whole, own in zip(found, parts[name].rows(row[where], across_pages=how.across_pages), strict=True):
                whole[where] = own
    return found


def _optimizer(model: Any, how: Settings) -> Any:
    """AdamW with decay on matrices only: norms and biases have one dimension."""
    import torch

    learnt = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learnt if p.ndim >= 2], "weight_decay": how.decay},
        {"params": [p for p in learnt if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=how.betas, eps=how.eps, fused=True)


def _work(model: Any, context: int) -> float:
    """Operations a token; of a model of another family only what its weights take."""
    from hare_lab.training import kernels

    return flops_per_token(model.config, context) if kernels.suits(model) else 6.0 * sum(p.numel() for p in model.parameters())


def default_rate(model: Any) -> float:
    """The peak learning rate of a model of this width that is trained from nothing."""
    from hare_lab.models import LADDER

    return replace(LADDER["hare-1.1b"], width=model.config.hidden_size).learning_rate


def _job(
    model: Any, parts: Mapping[str, Packed], how: Settings, stages: Sequence[Any], steps: int, seed: int, precision: str
) -> dict[str, Any]:
    """What makes two runs the same run."""
    digest = hashlib.blake2b(digest_size=16)
    for name, rows in sorted(parts.items()):
        for part in (
            name.encode(),
            rows.stream.tobytes(),
            rows.starts.tobytes(),
            *(() if rows.learnt is None else (rows.learnt.tobytes(),)),
        ):
            digest.update(part)
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    settings = {key: value for key, value in plain(how).items() if key not in ("checkpoint_minutes", "precision", "compiled")}
    weights = hashlib.blake2b(next(model.parameters()).detach().float().cpu().numpy().tobytes(), digest_size=8).hexdigest()
    kept = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    shape = {key: getattr(model.config, key, None) for key in sizes} | ({"kept as it is": kept} if kept else {})
    return {
        "model": shape, "data": digest.hexdigest(), "settings": settings,
        "stages": plain(stages), "steps": steps, "order seed": seed, "first weights": weights, "precision": precision,
    }  # fmt: skip


def _notes(read: Mapping[str, float], parts: Mapping[str, Packed], begin: int) -> tuple[str, ...]:
    told = [
        f"{name} holds {parts[name].tokens:,} tokens, fewer than its share of the budget; it was read {times:.2f} times"
        for name, times in read.items() if times > 1.005
    ]  # fmt: skip
    return (*told, *([f"went on from the checkpoint of step {begin}"] if begin else []))


def _not_a_number(step: int, per_step: int, rate: float, folder: Path | None) -> str:
    kept = sorted(folder.glob("step-*")) if folder else []
    where = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint had been written yet"
    return (
        f"the loss is no number any more at step {step + 1} (token {(step + 1) * per_step:,}, learning rate {rate:.2g}); {where}; "
        "lower the learning rate or look at the pages of that step"
    )
