"""Is training fast, is it the same training, and how small should a step be? About 30 minutes on 2 cores.

    HARE_LAB_REAL_DATA=FOLDER python benchmarks/training.py [SEEDS [STEPS]]
    python benchmarks/training.py speed     without the short runs in small steps
    python benchmarks/training.py gpu       the larger models of the ladder on one GPU, in bf16; about 3 minutes, on the bundled pages

Ours against the Hugging Face Trainer, like for like: hare-5m with a vocabulary of 8,192 from the same first weights, the same
rows of 256 tokens in the same order, 16 a step, each page seeing itself alone in both, the same AdamW settings and rates, the
same precision. One pair a seed, one after the other; a run's time is the median of its steps without the first three, which
warm up. Both on one thread, in seconds of its processor time, so that whatever else the machine does is not counted.

On a GPU the time is the clock's; operations are counted as each page needs them, which sees itself alone, and divided by those of the
best bf16 matrix product measured there.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from _common import ROOT, earlier, measure, ratio, real_data, write_results
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from hare_lab import models, training
from hare_lab.models.card import GPU_PEAK
from hare_lab.training.limits import memory_needed

MODEL, VOCABULARY, CONTEXT, BATCH = "hare-5m", 8_192, 256, 16
SEEDS, STEPS, WARM = 5, 60, 3
POSTS = 3_000
SHORT, ROWS, HELD_OUT = 300_000, (2, 4, 8, 16), 200  # the short budget, the sizes of a step that are tried on it, pages held out
CLOCK = time.process_time
ON_GPU = {"hare-250m": (16, 64), "hare-1.1b": (8, 64)}  # rows a pass, rows a step
GPU_CONTEXT, GPU_STEPS = 2_048, 9
TRAINER = "transformers.Trainer (adamw_torch_fused, its default; position ids keep the pages apart)"


def main(seeds: int = SEEDS, steps: int = STEPS, *, speed_only: bool = False) -> None:
    torch.set_num_threads(1)
    posts = real_data("reddit_selfposts")
    chosen = np.random.default_rng(0).permutation(len(posts))[:POSTS]
    texts = [f"{posts[i]['title']}\n\n{posts[i]['text']}" for i in chosen]
    tokenizer = training.train_tokenizer(texts, VOCABULARY)
    packed = training.pack(texts, tokenizer, CONTEXT)
    measures = []
    for precision in ("fp32", "bf16"):
        measures += compare(packed, precision, seeds, steps)
    there = earlier("training", lambda row: "_gpu" in row or (speed_only and "_rows_" in row))
    write_results("training", [*measures, *([] if speed_only else small_steps(texts, tokenizer)), *there])


def gpu() -> None:
    """The larger models; the rows of the CPU stay as they are."""
    there = earlier("training", lambda row: "_gpu" not in row)
    pages = [json.loads(line)["text"] for line in (ROOT / "data" / "sample" / "pages.jsonl").open(encoding="utf-8")]
    packed = training.pack(pages, training.train_tokenizer(pages, 32_000), GPU_CONTEXT)
    seen = 2 * float(np.mean(packed.rows(np.arange(len(packed))).positions + 1))  # what a context has where it is one page
    peak = models.matmul_peak("bf16", "cuda")
    card = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    rows = [measure("training.peak_gpu", peak / 1e12, unit="TFLOP/s", how=f"best bf16 product of random 8,192-square matrices, {card}")]
    for name, (micro, batch) in ON_GPU.items():
        model = models.build(name, vocabulary=32_000, seed=0)
        work, tag = models.flops_per_token(model.config, seen), name.removeprefix("hare-").replace(".", "_")  # type: ignore[arg-type]
        rates = {}
        for compiled in (False, True):
            torch.cuda.reset_peak_memory_stats()
            settings = training.Settings(context=GPU_CONTEXT, batch=batch, micro=micro, precision="bf16", compiled=compiled)
            stamps: list[float] = []
            tokens = GPU_STEPS * batch * GPU_CONTEXT
            training.fit(model, {"D1": packed}, tokens, settings=settings, watch=lambda _, to=stamps: to.append(time.perf_counter()))
            rates[compiled] = batch * GPU_CONTEXT / _median(stamps)
        rate = rates[True]
        how = f"{name}, vocabulary 32,000, {batch} rows of {GPU_CONTEXT:,} tokens a step, {micro} a pass, bf16, layers compiled, {card}"
        share = f"of the peak above ({rate * work / GPU_PEAK:.2f} of the data sheet's {GPU_PEAK / 1e12:.0f} TFLOP/s)"
        memory = torch.cuda.max_memory_allocated() / 2**30
        size = models.shape(name)
        guess = memory_needed(sum(p.numel() for p in model.parameters()), size.layers, size.width, settings, "bf16") / 2**30
        rows += [
            measure(f"training.mfu_gpu_{tag}", rate * work / peak, target=0.45, how=f"{share}; median step of {GPU_STEPS}; {how}"),
            measure(f"training.rate_gpu_{tag}", rate, unit="tokens/s", how=f"the same; {rates[False]:,.0f} where layers are not compiled"),
            measure(f"training.memory_gpu_{tag}", memory, unit="GiB", better="lower", how=f"most in use; the estimate says {guess:.1f}"),
        ]
        del model
        torch.cuda.empty_cache()
    write_results("training", [*there, *rows])


def compare(packed: training.Packed, precision: str, seeds: int, steps: int) -> list[dict[str, Any]]:
    """Both trainers from the same weights on the same rows, one pair a seed."""
    times, gaps, speeds, shares = [], [], [], []
    for seed in range(seeds):
        own = ours(packed, precision, seed, steps)
        peer = trainer(packed, precision, seed, steps)
        times.append((own["step"], peer["step"]))
        gaps.append(abs(np.mean(own["losses"][steps // 2 :]) - np.mean(peer["losses"][steps // 2 :])))
        speeds.append((BATCH * CONTEXT / own["step"], BATCH * CONTEXT / peer["step"]))
        models.matmul_peak.cache_clear()  # the machine's speed drifts, and with it its peak
        work = models.flops_per_token(models.config(MODEL, vocabulary=VOCABULARY), CONTEXT)
        shares.append(speeds[-1][0] * work / models.matmul_peak("bf16" if precision == "bf16" else "fp32", "cpu", CLOCK))
    value, span = ratio(times)
    how = f"{MODEL}, vocabulary {VOCABULARY:,}, {BATCH} rows of {CONTEXT} tokens a step, {precision}, {steps} steps, one thread"
    suffix = "" if precision == "bf16" else "_fp32"
    return [
        measure(f"training.speedup_{precision}", value, interval=span, unit="x", target=1.1,
                how=f"`training.fit` against {TRAINER}: {how}; median step of {seeds} interleaved pairs, one a seed"),
        measure(f"training.loss_gap_{precision}", float(max(gaps)), interval=(float(min(gaps)), float(max(gaps))), unit="nats", target=0.02,
                better="lower", how=f"largest difference of the mean loss over the last half, {seeds} seeds; the same runs"),
        measure(f"training.mfu{suffix}", statistics.median(shares), interval=(min(shares), max(shares)), target=None,
                how=f"operations a second of training over the best {models.speed.MATRIX:,}-square {precision} product measured beside it"),
        measure(f"training.rate_{precision}", statistics.median(s[0] for s in speeds), unit="tokens/s", how=f"ours: {how}"),
        measure(f"training.rate_trainer_{precision}", statistics.median(s[1] for s in speeds), unit="tokens/s", how=f"the Trainer: {how}"),
    ]  # fmt: skip


def small_steps(texts: list[str], tokenizer: Any) -> list[dict[str, Any]]:
    """One short budget in steps of few rows and of many: what is left to learn on pages that none of them reads."""
    packed = training.pack(texts[HELD_OUT:], tokenizer, CONTEXT)
    held, _ = training.pack_whole(texts[:HELD_OUT], tokenizer, CONTEXT)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts[:HELD_OUT])
    rows = []
    for batch in ROWS:
        model = models.build(MODEL, vocabulary=VOCABULARY, seed=0)
        report = training.fit(model, {"D1": packed}, SHORT, settings=training.Settings(context=CONTEXT, batch=batch), seed=0)
        losses, _ = training.page_losses(model, held)
        how = f"{MODEL}, {SHORT:,} tokens in {report.steps} steps of {batch} rows of {CONTEXT}, cosine, one seed; {HELD_OUT} posts held out"
        bits = float(losses.sum() / np.log(2) / size)
        rows.append(measure(f"training.bits_per_byte_rows_{batch}", bits, unit="bits/byte", better="lower", how=how))
    return rows


def ours(packed: training.Packed, precision: str, seed: int, steps: int) -> dict[str, Any]:
    """Median seconds of a step, and the losses."""
    model = models.build(MODEL, vocabulary=VOCABULARY, seed=seed)
    settings = training.Settings(context=CONTEXT, batch=BATCH, micro=BATCH, precision=precision)  # type: ignore[arg-type]
    stamps: list[float] = []
    report = training.fit(
        model, {"D1": packed}, steps * BATCH * CONTEXT, settings=settings, seed=seed, watch=lambda _: stamps.append(CLOCK())
    )
    return {"step": _median(stamps), "losses": [row[2] for row in report.curve]}


def trainer(packed: training.Packed, precision: str, seed: int, steps: int) -> dict[str, Any]:
    """The same by the Hugging Face Trainer."""
    model = models.build(MODEL, vocabulary=VOCABULARY, seed=seed)
    order = training.order({"D1": len(packed)}, training.recipe(("D1",), {}), steps * BATCH, seed=seed)
    rows = packed.rows(order.row)
    columns = {"input_ids": rows.tokens, "position_ids": rows.positions, "labels": rows.targets, "shift_labels": rows.targets}
    tensors = {name: torch.from_numpy(column) for name, column in columns.items()}
    data = [{name: column[i] for name, column in tensors.items()} for i in range(len(order))]
    peak = models.shape(MODEL).learning_rate
    arguments = TrainingArguments(
        output_dir="unused", per_device_train_batch_size=BATCH, max_steps=steps, learning_rate=peak, weight_decay=0.1, adam_beta1=0.9,
        adam_beta2=0.95, adam_epsilon=1e-8, max_grad_norm=1.0, bf16=precision == "bf16", use_cpu=True, logging_steps=1, report_to=[],
        save_strategy="no", disable_tqdm=True, remove_unused_columns=False, train_sampling_strategy="sequential", seed=seed,
    )  # fmt: skip
    clock = _Clock()
    run = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[clock])
    run.create_optimizer()
    run.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(run.optimizer, lambda step: training.rate_at(step, steps, 1.0))
    run.pop_callback(PrinterCallback)
    run.train()
    losses = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    return {"step": _median(clock.stamps), "losses": losses}


class _Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.stamps.append(CLOCK())


def _median(stamps: list[float]) -> float:
    return statistics.median(np.diff(stamps)[WARM - 1 :].tolist())


if __name__ == "__main__":
    if sys.argv[1:] == ["gpu"]:
        gpu()
    elif sys.argv[1:] == ["speed"]:
        main(speed_only=True)
    else:
        main(*map(int, sys.argv[1:]))
