"""Training: every token is learnt once, no page sees another, a killed run goes on to the same losses, and bad input is a sentence."""

import dataclasses
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from hare_lab import figures, machine, models, training
from hare_lab.errors import InputError
from hare_lab.training import background, kernels, limits, mixture
from hare_lab.training.packing import IGNORE

TINY = training.Settings(context=32, batch=4, micro=4, precision="fp32", checkpoint_minutes=0)
WORDS = ["the", "bee", "finds", "a", "flower", "and", "tells", "the", "hive", "where", "it", "stands", "in", "the", "sun"]


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads wait for each other where a machine is busy; the figures are the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pages_of(count, seed=0, low=5, high=60):
    rng = np.random.default_rng(seed)
    return Dataset.from_dict({"text": [" ".join(rng.choice(WORDS, rng.integers(low, high))) for _ in range(count)]})


@pytest.fixture(scope="module")
def pages():
    return pages_of(60)


@pytest.fixture(scope="module")
def tokenizer(pages):
    return training.train_tokenizer(pages["text"], 300)


@pytest.fixture(scope="module")
def packed(pages, tokenizer):
    return training.pack(pages["text"], tokenizer, 32)


def new(tokenizer, seed=0):
    return models.build("hare-1m", vocabulary=len(tokenizer), seed=seed)


def losses(report):
    return [row[2] for row in report.curve]


# --- tokens ----------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_comes_back_from_its_tokens(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_tokenizer_follows_from_its_texts_and_is_as_large_as_asked(pages, tokenizer):
    again = training.train_tokenizer(pages["text"], 300)
    assert again.get_vocab() == tokenizer.get_vocab() and len(tokenizer) <= 300


def test_digits_are_read_one_by_one():
    known = training.train_tokenizer(["2026 2026 2026 2026"] * 50, 400)
    assert known.tokenize("2026") == ["2", "0", "2", "6"]


class Mistrals:
    """A tokenizer that refuses to be told how to read signs, as mistral-common's does."""

    bos_token_id, eos_token_id = 1, 2

    def __call__(self, texts, **how):
        if how.pop("split_special_tokens", False):
            raise ValueError("`MistralCommonBackend` does not support `split_special_tokens`.")
        return {"input_ids": [[9] * len(text) for text in texts]}


def test_a_sign_that_a_page_spells_is_read_as_its_letters(tokenizer):
    page = "the </s> bee <s><pad> sun"
    stream, starts = training.encode([page, "a bee"], tokenizer)
    inside = stream[starts[0] + 1 : starts[1] - 1]
    assert tokenizer.decode(inside) == page and not set(inside.tolist()) & set(tokenizer.all_special_ids)
    assert training.encode(["abc"], Mistrals())[0].tolist() == [1, 9, 9, 9, 2]


def test_a_tokenizer_of_nothing_and_one_too_small_are_named(pages):
    with pytest.raises(InputError, match="no text to learn a tokenizer from"):
        training.train_tokenizer(["", "  "], 300)
    with pytest.raises(InputError, match="vocabulary of 100 is too small"):
        training.train_tokenizer(pages["text"], 100)
    with pytest.raises(InputError, match='tokenizer "nowhere" can\'t be loaded'):
        training.load_tokenizer("nowhere")


# --- packing ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["", " ", "a", "the bee", "the bee finds a flower " * 7]), min_size=1, max_size=12), st.integers(2, 40))
def test_every_token_is_read_once_and_each_but_a_pages_first_is_learnt_once(tokenizer, texts, context):
    if not any(text.strip() for text in texts):
        with pytest.raises(InputError, match="no page holds any text"):
            training.pack(texts, tokenizer, context)
        return
    rows = training.pack(texts, tokenizer, context)
    batch = rows.rows(np.arange(len(rows)))
    assert (batch.tokens.ravel()[: rows.tokens] == rows.stream).all()
    pages = [rows.stream[a:b] for a, b in zip(rows.starts[:-1], rows.starts[1:], strict=True) if b > a]
    assert [token for page in pages for token in page[1:]] == batch.targets[batch.targets != IGNORE].tolist()
    assert all(page[0] == tokenizer.bos_token_id and page[-1] == tokenizer.eos_token_id for page in pages)


def test_positions_count_within_a_page_and_start_anew_in_a_row(tokenizer):
    rows = training.pack(["a", "the bee finds a flower " * 9], tokenizer, 16)
    batch = rows.rows(np.arange(len(rows)))
    assert batch.positions[0, :4].tolist() == [0, 1, 2, 0] and batch.positions[1].tolist() == list(range(16))
    across = rows.rows(np.arange(len(rows)), across_pages=True)
    assert (across.pages == 0).all() and (across.positions == np.arange(16)).all()
    assert (across.targets != IGNORE).sum() == rows.tokens - 1


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_no_page_sees_another(tokenizer, precision):
    model = new(tokenizer)
    one, two = (
        training.pack([first, "the bee tells the hive"], tokenizer, 32).rows(np.array([0])) for first in ("sun sun sun", "hive a a sun")
    )
    with torch.no_grad(), kernels.hastened(model):
        seen = [
            kernels.read(model, *(torch.from_numpy(part) for part in (rows.tokens, rows.pages, rows.positions)), precision)
            for rows in (one, two)
        ]
    second = [state[0][torch.from_numpy(rows.pages[0] == 1)] for state, rows in zip(seen, (one, two), strict=True)]
    torch.testing.assert_close(*second, atol=1e-5 if precision == torch.float32 else 2e-2, rtol=0)
    mixed = [training.pack([f, "the bee tells the hive"], tokenizer, 32).rows(np.array([0]), across_pages=True) for f in ("sun sun", "a a")]
    with torch.no_grad(), kernels.hastened(model):
        first, other = (
            kernels.read(model, *(torch.from_numpy(getattr(m, n)) for n in ("tokens", "pages", "positions")), precision) for m in mixed
        )
    assert (first[0, 8:14] - other[0, 8:14]).abs().max() > 0.01


def test_the_loss_of_a_page_is_its_own_whatever_stands_beside_it(tokenizer, pages):
    model = new(tokenizer)
    texts = [*pages["text"][:12], "", "the bee finds a flower " * 20]
    together = training.score(model, tokenizer, texts, context=32, precision="fp32")
    for index in (0, 5, 11, 13):
        alone = training.score(model, tokenizer, [texts[index]], context=32, precision="fp32")
        assert together[0][index] == pytest.approx(alone[0][0], rel=1e-5) and together[1][index] == pytest.approx(alone[1][0], rel=1e-5)
    assert math.isnan(together[0][12])


# --- the recipe ------------------------------------------------------------------------------------------------------

WEIGHTS = st.dictionaries(st.sampled_from(["D1", "D2", "D3"]), st.floats(0.01, 100), min_size=1)


@given(WEIGHTS, st.integers(1, 400), st.integers(1, 30), st.integers(0, 5))
def test_shares_hold_all_along_the_way_and_rows_are_read_through_before_any_is_read_again(weights, rows, size, seed):
    sizes = {name: size + i for i, name in enumerate(weights)}
    order = training.order(sizes, [mixture.Stage("one", 1.0, weights)], rows, seed=seed)
    total = sum(weights.values())
    for index, name in enumerate(order.names):
        behind = np.abs(np.cumsum(order.part == index) - weights[name] / total * np.arange(1, rows + 1))
        assert behind.max() <= 2
        own = order.row[order.part == index]
        for start in range(0, len(own), sizes[name]):
            reading = own[start : start + sizes[name]]
            assert len(set(reading.tolist())) == len(reading)


def test_the_two_stages_are_the_papers():
    stages = training.recipe(("D1", "D2", "D3"), {"D1": 46.5, "D2": 13.63, "D3": 39.87})
    order = training.order({"D1": 10, "D2": 10, "D3": 10}, stages, 600, seed=0)
    assert (order.part[:52] == 0).all() and (order.stage[:52] == 0).all() and (order.stage[52:] == 1).all()
    shares = np.bincount(order.part[52:]) / 548
    np.testing.assert_allclose(shares, [0.465, 0.1363, 0.3987], atol=0.002)
    assert training.repeats(order, {"D1": 10, "D2": 10, "D3": 10})["D3"] == pytest.approx(0.3987 * 54.8, abs=0.2)


def test_a_recipe_that_cant_be_is_named():
    with pytest.raises(InputError, match="reads D1 alone, but the parts are D2, D3"):
        training.recipe(("D2", "D3"), {"D2": 1, "D3": 1})
    with pytest.raises(InputError, match="D9 has no weight"):
        training.recipe(("D1", "D9"), {"D1": 1})
    with pytest.raises(InputError, match="no weight"):
        training.recipe(("D1", "D2"), {"D1": 0, "D2": 0})


@given(st.integers(1, 300), st.sampled_from(["cosine", "constant"]), st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_from_it(steps, schedule, warmup):
    rates = [training.rate_at(step, steps, 1.0, schedule, warmup) for step in range(steps)]
    assert all(0 < rate <= 1 + 1e-9 for rate in rates)
    top = int(np.argmax(rates))
    assert np.all(np.diff(rates[: top + 1]) >= -1e-12) and np.all(np.diff(rates[top:]) <= 1e-12)


@pytest.mark.parametrize("context", [64, 256])
def test_a_step_leaves_a_thousand_of_them_where_the_budget_does(context):
    for rows in (2, 5, 512):
        assert training.batch_for(1_000 * rows * context, context) == rows
        assert training.batch_for(1_000 * rows * context - 1, context) == max(2, rows - 1)
    assert training.batch_for(1, context) == 2 and training.batch_for(10**12, context) == 512


def test_a_cosine_ends_at_a_tenth_and_a_constant_rate_falls_in_the_last_fifth():
    assert training.rate_at(999, 1000, 1.0, "cosine") == pytest.approx(0.1, abs=1e-4)
    flat = [training.rate_at(step, 1000, 1.0, "constant") for step in range(1000)]
    assert flat[50] == flat[799] == 1.0 and flat[-1] == pytest.approx(1 / 200)


# --- the arithmetic --------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2400), st.integers(2, 40), st.floats(0, 0.9), st.integers(0, 99))
def test_the_chunked_losses_and_their_gradients_are_cross_entropys(rows, vocabulary, ignored, seed):
    draw = torch.Generator().manual_seed(seed)
    hidden, table = (torch.randn(n, 8, generator=draw).requires_grad_() for n in (rows, vocabulary))
    targets = torch.randint(0, vocabulary, (rows,), generator=draw)
    targets[torch.rand(rows, generator=draw) < ignored] = IGNORE
    ours, plain = kernels.ChunkedLoss.apply(hidden, table, targets, True), F.cross_entropy(hidden @ table.t(), targets, reduction="sum")
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-3)
    for mine, theirs in zip(torch.autograd.grad(3 * ours, (hidden, table)), torch.autograd.grad(3 * plain, (hidden, table)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        each, plain = kernels.token_losses(hidden, table, targets), F.cross_entropy(hidden @ table.t(), targets, reduction="none")
    torch.testing.assert_close(each, plain, rtol=1e-4, atol=1e-4)


def test_attention_by_products_is_scaled_dot_product_attention():
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 9, 4, generator=draw, dtype=torch.float64, requires_grad=True) for heads in (6, 2, 2))
    bias = torch.zeros(2, 1, 9, 9, dtype=torch.float64).masked_fill(~torch.ones(9, 9, dtype=torch.bool).tril(), float("-inf"))
    ours = kernels.ProductAttention.apply(q, k, v, bias, 0.5)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=0.5, enable_gqa=True))
    assert torch.autograd.gradcheck(lambda *x: kernels.ProductAttention.apply(*x, bias, 0.5), (q, k, v))


def test_the_hastened_model_is_transformers_model(tokenizer, packed):
    """Same loss and same gradients as transformers' own forward with the same positions, and its own again afterwards."""
    model = new(tokenizer)
    rows = packed.rows(np.arange(4))
    tokens, targets, page, positions = map(torch.from_numpy, rows)
    plain = model(input_ids=tokens, position_ids=positions, labels=targets, shift_labels=targets, use_cache=False)
    expected = torch.autograd.grad(plain.loss, model.parameters())
    with kernels.hastened(model):
        ours = kernels.PagesLoss(model, torch.float32)(tokens, targets, page, positions) / (targets != IGNORE).sum()
        found = torch.autograd.grad(ours, model.parameters())
    torch.testing.assert_close(ours, plain.loss)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
    after = model(input_ids=tokens, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(after, plain.logits)
    assert model.config._attn_implementation == "sdpa"


def test_a_page_beyond_the_window_is_forgotten(tokenizer):
    pages = torch.zeros(1, 6, dtype=torch.long)
    assert kernels.page_mask(pages, 8) is None
    mask = kernels.page_mask(pages, 3)
    assert mask[0, 0].sum(1).tolist() == [1, 2, 3, 3, 3, 3]


@given(st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=4))
def test_bounds_say_of_pages_what_the_mask_says(rows):
    """A GPU is told where pages begin; tokens between two bounds, and only they, may see one another."""
    pages = torch.tensor(rows).sort(1).values
    bounds = kernels.page_bounds(pages)
    of = torch.bucketize(torch.arange(pages.numel()), bounds.long(), right=True)
    told = [(of[None] == of[:, None])[at : at + 7, at : at + 7].tril() for at in range(0, pages.numel(), 7)]
    mask = kernels.page_mask(pages, None)
    assert torch.equal(torch.stack(told), torch.ones_like(torch.stack(told)).tril() if mask is None else mask[:, 0])
    assert bounds[0] == 0 and bounds[-1] == pages.numel() and bounds.dtype == torch.int32


def test_compiled_layers_are_each_in_one_piece_skipped_by_evaluations_and_taken_out_again(tokenizer, packed, monkeypatch):
    read, stances = [], []
    monkeypatch.setattr(torch, "compile", lambda forward: lambda *args, **more: read.append(1) or forward(*args, **more))
    monkeypatch.setattr(torch.compiler, "set_stance", lambda stance: stances.append(stance) or nullcontext())
    how = training.Settings(context=32, batch=4, micro=4, precision="fp32", compiled=True)
    run = lambda settings: training.fit(new(tokenizer), {"D1": packed}, 256, settings=settings, heldout=packed)  # noqa: E731
    found, plain = run(how), run(TINY)
    assert losses(found) == losses(plain) and found.heldout_loss == plain.heldout_loss
    assert len(read) >= 2 * 4 and stances == ["force_eager"] * 2  # two steps of four layers; each step is followed by a look
    model = new(tokenizer)
    with kernels.hastened(model, compiled=True):
        assert kernels._are_compiled(model)
    assert not kernels._are_compiled(model)


def test_norms_and_biases_do_not_decay(tokenizer):
    from hare_lab.training.loop import _optimizer

    model = new(tokenizer)
    groups = _optimizer(model, TINY).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in decayed) == ("norm" not in name), name


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_model_learns_and_the_report_adds_up(tokenizer, packed):
    told = []
    report = training.fit(new(tokenizer), {"D1": packed}, 40 * 128, settings=TINY, heldout=packed, watch=lambda p: told.append(p))
    assert report.first_loss == pytest.approx(math.log(len(tokenizer)), rel=0.1) and report.last_loss < 0.6 * report.first_loss
    assert report.steps == 40 and report.tokens == 40 * 128 and report.finished
    assert report.heldout_loss == pytest.approx(report.last_loss, rel=0.25)
    assert report.tokens_per_second == pytest.approx(report.tokens / report.seconds) and 0 < report.utilisation < 1
    assert [p.step for p in told] == list(range(1, 41)) and told[-1].seconds_left == 0
    held = report.table().dropna(subset=["heldout"])
    assert len(held) == 10 and held["step"].iloc[-1] == 40
    curve = report.table()["loss"]
    assert report.first_loss == pytest.approx(curve[:2].mean()) and report.last_loss == pytest.approx(curve[-2:].mean())
    said = f"{report.first_loss:.3f} over the first twentieth of the steps, {report.last_loss:.3f} over the last"
    assert said in report._repr_html_() and "nats a token" in report._repr_html_()


def test_passes_do_not_change_the_result(tokenizer, packed):
    whole, parts = (
        training.fit(new(tokenizer), {"D1": packed}, 5 * 128, settings=training.Settings(**{**vars(TINY), "micro": micro}))
        for micro in (4, 1)
    )
    np.testing.assert_allclose(losses(whole), losses(parts), rtol=1e-4)


def test_bf16_learns_what_fp32_learns(tokenizer, packed):
    exact, short = (
        training.fit(new(tokenizer), {"D1": packed}, 30 * 128, settings=training.Settings(**{**vars(TINY), "precision": precision}))
        for precision in ("fp32", "bf16")
    )
    assert abs(np.mean(losses(exact)[15:]) - np.mean(losses(short)[15:])) < 0.02


def test_the_same_seed_gives_the_same_losses_and_another_gives_others(tokenizer, packed):
    one, same, other = (training.fit(new(tokenizer), {"D1": packed}, 4 * 128, settings=TINY, seed=seed) for seed in (3, 3, 4))
    assert losses(one) == losses(same) != losses(other)


def test_a_budget_beyond_the_data_is_counted_and_said(tokenizer, packed):
    few = training.Packed(packed.stream[: packed.starts[4]], packed.starts[:5], 32)
    report = training.fit(new(tokenizer), {"D1": few}, 10 * 128, settings=TINY)
    assert report.repeats["D1"] == pytest.approx(40 / len(few))
    assert re.search(r"D1 holds \d+ tokens, fewer than its share of the budget; it was read \d+\.\d\d times", report.notes[0])


KILLED = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_training import TINY, new, pages_of
from hare_lab import training
pages = pages_of(60)
tokenizer = training.train_tokenizer(pages["text"], 300)
rows = training.pack(pages["text"], tokenizer, 32)
print("ready", flush=True)
training.fit(new(tokenizer), {{"D1": rows}}, 25 * 128, settings=TINY, folder=Path(sys.argv[1]), watch=lambda p: print(p.step, flush=True))
"""


def test_a_run_killed_in_its_middle_goes_on_to_the_very_same_losses(tmp_path, tokenizer, packed):
    words = [sys.executable, "-c", KILLED.format(tests=str(Path(__file__).parent)), str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for line in process.stdout:
        if line.strip() == "9":
            process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 8 <= int(next(tmp_path.glob("step-*")).name[5:]) < 25
    resumed = training.fit(new(tokenizer), {"D1": packed}, 25 * 128, settings=TINY, folder=tmp_path)
    whole = training.fit(new(tokenizer), {"D1": packed}, 25 * 128, settings=TINY)
    assert losses(resumed) == losses(whole)
    assert any("went on from the checkpoint of step" in note for note in resumed.notes)
    assert len(list(tmp_path.glob("step-*"))) == 1 and not list(tmp_path.glob(".*part"))


def test_a_stopped_run_keeps_its_place_and_a_finished_one_is_not_done_again(tmp_path, tokenizer, packed):
    stopped = training.fit(new(tokenizer), {"D1": packed}, 8 * 128, settings=TINY, folder=tmp_path, watch=lambda p: p.step == 3)
    assert stopped.steps == 3 and not stopped.finished
    finished = training.fit(new(tokenizer), {"D1": packed}, 8 * 128, settings=TINY, folder=tmp_path)
    steps = []
    again = training.fit(new(tokenizer), {"D1": packed}, 8 * 128, settings=TINY, folder=tmp_path, watch=lambda p: steps.append(p))
    assert not steps and losses(again) == losses(finished) and again.finished


def test_a_checkpoint_of_another_run_is_named_by_what_differs(tmp_path, tokenizer, packed):
    training.fit(new(tokenizer), {"D1": packed}, 128, settings=TINY, folder=tmp_path)
    with pytest.raises(InputError, match=r"checkpoint of another run, by its model: .* there, .* here;"):
        training.fit(models.build("hare-5m", vocabulary=len(tokenizer)), {"D1": packed}, 128, settings=TINY, folder=tmp_path)
    other = training.Packed(packed.stream[::-1].copy(), packed.starts, 32)
    with pytest.raises(InputError, match="by its data: "):
        training.fit(new(tokenizer), {"D1": other}, 128, settings=TINY, folder=tmp_path)
    next(tmp_path.glob("step-*/state.json")).write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        training.fit(new(tokenizer), {"D1": packed}, 128, settings=TINY, folder=tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, tokenizer, packed):
    model = new(tokenizer)

    def spoil(progress):
        if progress.step == 4:
            with torch.no_grad():
                model.model.norm.weight.fill_(math.nan)

    calm = training.Settings(**{**vars(TINY), "checkpoint_minutes": 1e9})
    training.fit(new(tokenizer), {"D1": packed}, 20 * 128, settings=calm, folder=tmp_path, watch=lambda p: p.step == 2)
    with pytest.raises(InputError, match=r"no number any more at step 5 \(token 640, learning rate .*step-00000002"):
        training.fit(model, {"D1": packed}, 20 * 128, settings=calm, folder=tmp_path, watch=spoil)
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-00000002"]


def test_too_little_memory_or_disk_is_said_before_the_first_step(tmp_path, monkeypatch, tokenizer, packed):
    monkeypatch.setattr(limits, "available_memory", lambda: 1_000_000)
    with pytest.raises(InputError, match=r"takes about 17\.4 MiB of memory and 1\.0 MiB are free"):
        training.fit(new(tokenizer), {"D1": packed}, 128, settings=TINY)
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="checkpoints of this model take about"):
        training.fit(new(tokenizer), {"D1": packed}, 128, settings=TINY, folder=tmp_path / "not" / "there")


@pytest.mark.parametrize(
    ("place", "error"),
    [("os.fsync", OSError(28, "No space left on device")),
     ("safetensors.torch.save_file", SafetensorError("I/O error: No space left on device (os error 28)"))],
)  # fmt: skip
def test_a_checkpoint_that_cant_be_written_leaves_the_one_before(tmp_path, monkeypatch, tokenizer, packed, place, error):
    training.fit(new(tokenizer), {"D1": packed}, 4 * 128, settings=TINY, folder=tmp_path, watch=lambda p: p.step == 2)

    def full(*_):
        raise error

    monkeypatch.setattr(place, full)
    with pytest.raises(InputError, match=r"step 3 can't be written .*No space left.* the checkpoint before it is kept"):
        training.fit(new(tokenizer), {"D1": packed}, 4 * 128, settings=TINY, folder=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000002"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"batch": 0}, "batch is 0"),
     ({"learning_rate": -1.0}, "learning rate is -1"), ({"schedule": "linear"}, 'schedule "linear" is unknown'),
     ({"precision": "int8"}, 'precision "int8" is unknown'), ({"warmup": 2.0}, "warmup is 2")],
)  # fmt: skip
def test_a_setting_that_cant_be_is_named(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        training.Settings(**wrong)


def test_no_budget_no_pages_and_no_text_are_named(tokenizer, packed):
    with pytest.raises(InputError, match="budget is 0 tokens"):
        training.fit(new(tokenizer), {"D1": packed}, 0, settings=TINY)
    with pytest.raises(InputError, match="no pages were given"):
        training.train({}, "hare-1m", 100)
    with pytest.raises(InputError, match='D1 has no column "text", only body'):
        training.train(Dataset.from_dict({"body": ["a"]}), "hare-1m", 100)
    with pytest.raises(InputError, match="no text to learn a tokenizer from"):
        training.train(Dataset.from_dict({"text": [" ", ""]}), "hare-1m", 100)
    with pytest.raises(InputError, match='D1 has no column "text"'):
        training.launch(Dataset.from_dict({"body": ["a"]}), "hare-1m", 100, "unused")


# --- the whole, and the command --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    torch.set_num_threads(1)
    parts = {"D1": pages_of(40), "D2": pages_of(6, seed=1), "D3": pages_of(6, seed=2)}
    result = training.train(parts, "hare-1m", 30 * 128, vocabulary=300, settings=TINY, heldout=pages_of(5, seed=3), seed=1)
    return result, result.save(tmp_path_factory.mktemp("model"))


def test_two_stages_are_read_and_repeats_are_said(trained):
    report = trained[0].report
    assert set(report.repeats) == {"D1", "D2", "D3"} and report.repeats["D3"] > report.repeats["D2"] > 1
    assert {row[5] for row in report.curve} == {0, 1}
    assert any(note.startswith("D3 holds") for note in report.notes)


def test_the_folder_is_a_standard_model(trained):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result, folder = trained
    assert (folder / "model.safetensors").exists() and not list(folder.glob("*.bin"))
    model, known = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    given = known("the bee finds", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(model(given).logits, result.model(given).logits)
    card = (folder / "README.md").read_text()
    assert result.report.data in card and '"mixture"' in card and "read" in card
    assert json.loads((folder / "config.json").read_text())["model_type"] == "mistral"


def test_a_model_goes_on_from_a_prompt_the_same_way_for_the_same_seed(trained):
    one, same, other = (trained[0].say("the bee", tokens=12, seed=seed) for seed in (0, 0, 5))
    assert one == same != other and one.startswith("the bee")
    assert trained[0].say("the </s> bee", tokens=1).startswith("the </s> bee")


def test_perplexity_tells_known_text_from_noise_and_keeps_the_pages(trained):
    noise = "zq xv wj kq zx qj vw jx qz kx"
    rows = Dataset.from_dict({"id": ["a", "b", "c"], "text": ["the bee finds a flower and tells the hive", noise, ""]})
    scored = training.perplexity(trained[1], rows)
    assert scored["id"] == rows["id"] and scored["perplexity"][0] < scored["perplexity"][1] / 5
    assert scored["bits_per_byte"][0] < scored["bits_per_byte"][1] and math.isnan(scored["perplexity"][2])
    again = training.perplexity(trained[1], scored)
    assert again.column_names == scored.column_names
    with pytest.raises(InputError, match="nowhere"):
        training.perplexity("nowhere", rows)


def test_a_model_kept_in_bf16_is_read_in_fp32(trained, tmp_path, tokenizer):
    model, known = training.load_model(trained[1])
    model.bfloat16().save_pretrained(tmp_path)
    known.save_pretrained(tmp_path)
    rows = Dataset.from_dict({"text": ["the bee finds a flower"]})
    again, whole = (training.perplexity(folder, rows, precision="fp32")["bits_per_byte"][0] for folder in (tmp_path, trained[1]))
    assert again == pytest.approx(whole, rel=0.01)


def test_a_job_runs_in_the_background_is_watched_and_cancelled_and_goes_on(tmp_path, pages, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    slow = training.Settings(**{**vars(TINY), "checkpoint_minutes": 1e9})
    start = {"vocabulary": 300, "settings": slow, "seed": 2}
    job = training.launch(pages, "hare-1m", 400 * 128, tmp_path, **start)
    assert training.launch(pages, "hare-1m", 400 * 128, tmp_path, **start) == job
    with pytest.raises(InputError, match="another training job runs in"):
        training.launch(pages, "hare-1m", 300 * 128, tmp_path, **start)
    stop = time.monotonic() + 600
    while job.status().state != "running" and time.monotonic() < stop:
        time.sleep(0.1)
    seen = job.status()
    assert seen.state == "running" and seen.steps == 400 and seen.tokens_per_second > 0 and not seen.over
    job.cancel()
    cancelled = job.wait(600)
    assert cancelled.state == "cancelled" and 0 < cancelled.step < 400 and not (tmp_path / "model.safetensors").exists()
    assert list((tmp_path / training.CHECKPOINTS).glob("step-*"))
    curve = job.curve()
    assert list(curve["step"])[-1] == cancelled.step and np.isfinite(curve["loss"]).all()
    figures.loss_curve(curve)


def test_a_finished_job_leaves_the_model_and_report_that_training_here_gives(tmp_path, pages, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = training.launch(pages, "hare-1m", 6 * 128, tmp_path, vocabulary=300, settings=TINY, heldout=pages_of(5, seed=3), seed=2)
    assert job.wait(600).state == "done"
    here = training.train(pages, "hare-1m", 6 * 128, vocabulary=300, settings=TINY, heldout=pages_of(5, seed=3), seed=2)
    assert losses(job.report()) == losses(here.report) and job.report().heldout_loss == here.report.heldout_loss
    json.loads((tmp_path / "report.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    again = training.launch(pages, "hare-1m", 6 * 128, tmp_path, vocabulary=300, settings=TINY, heldout=pages_of(5, seed=3), seed=2)
    assert again.wait(600).state == "done" and again.status().step == 6 and list(again.curve()["loss"]) == losses(here.report)
    model, _ = training.load_model(tmp_path)
    torch.testing.assert_close(model.lm_head.weight, here.model.lm_head.weight)


def test_two_trainings_never_share_a_folder(tmp_path, pages):
    words = (tmp_path / "pages.jsonl", "--model", "hare-1m", "--tokens", 128, "--out", tmp_path / "m")
    pages.to_json(tmp_path / "pages.jsonl")
    with machine.alone(tmp_path / "m"):
        for start in (
            lambda: here(*words),
            lambda: training.launch(pages, "hare-1m", 128, tmp_path / "m"),
            lambda: background.work(tmp_path / "m"),
        ):
            with pytest.raises(InputError, match="another training runs in"):
                start()
    assert [file.name for file in (tmp_path / "m").iterdir()] == [machine.LOCK]
    with machine.alone(tmp_path / "m"):  # who held it has let go
        pass
    with pytest.raises(InputError, match=r"pages\.jsonl.* can't be written \("), machine.alone(tmp_path / "pages.jsonl" / "m"):
        pass


def test_a_job_heeds_a_cancel_before_its_first_step_and_knows_its_curve_when_it_goes_on(tmp_path, pages, monkeypatch):
    told = training.Progress(3, 9, 384, 5.0, 0.001, 0, 100.0, 0.1, 1.0)
    with background.Watcher(tmp_path) as before:
        before(told)
        before.write("cancelled")
    (tmp_path / background.CANCEL).touch()
    monkeypatch.setattr(background.subprocess, "Popen", lambda *_, **__: SimpleNamespace(pid=os.getpid()))
    job = training.launch(pages, "hare-1m", 9 * 128, tmp_path)
    assert not (tmp_path / background.CANCEL).exists()  # an earlier one says nothing of this job
    job.cancel()
    with background.Watcher(tmp_path) as watcher:
        assert job.curve()["step"].tolist() == [3] == [row[0] for row in watcher.curve]
        assert watcher(dataclasses.replace(told, step=4, tokens=512))
    assert [row[0] for row in watcher.curve] == [3, 4]


def test_a_jobs_name_tells_jobs_apart():
    names = {training.job_name("hare-1m", n, training.Settings(batch=b), data) for n in (1, 2) for b in (1, 2) for data in ("a", "b")}
    assert len(names) == 8 and training.job_name("hare-1m", 1, training.Settings(batch=1), "a") in names


def test_a_job_is_followed_until_it_is_over_and_its_failure_is_said(tmp_path, monkeypatch):
    from hare_lab import notebook
    from hare_lab.training.background import Watcher

    shown = []

    class Handle:
        def update(self, value, raw=False):
            shown.append(value)

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    watcher = Watcher(tmp_path)
    watcher.write("running")
    monkeypatch.setattr("time.sleep", lambda _: watcher.write("done"))
    with machine.alone(tmp_path):
        notebook.follow(training.Job(tmp_path))
    assert len(shown) == 6 and "done" in shown[3].data
    watcher.write("failed", "no page holds any text")
    with pytest.raises(InputError, match="no page holds any text"):
        notebook.follow(training.Job(tmp_path))
    with pytest.raises(InputError, match=r"is failed \(no page holds any text\), not done"):
        training.Job(tmp_path).report()


def test_a_job_whose_process_was_killed_is_lost_and_one_that_failed_says_why(tmp_path, pages, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = training.launch(pages, "hare-1m", 4000 * 128, tmp_path / "a", vocabulary=300, settings=TINY)
    os.kill(job.status().pid, signal.SIGKILL)
    assert job.wait(600).state == "lost"
    failed = training.launch(Dataset.from_dict({"text": [""]}), "hare-1m", 128, tmp_path / "b", settings=TINY).wait(600)
    assert failed.state == "failed" and "no text to learn a tokenizer from" in failed.message
    with pytest.raises(InputError, match="holds no training job"):
        training.Job(tmp_path / "c").status()


def test_a_killed_job_is_lost_though_its_number_is_anothers_now_or_a_zombies(tmp_path):
    background.Watcher(tmp_path).write("running")  # by this process, which does not hold the folder: a number given anew
    found = training.Job(tmp_path).status()
    assert found.state == "lost" and "no checkpoint" in found.message
    with machine.alone(tmp_path):
        assert training.Job(tmp_path).status().state == "running"
    background.Watcher(tmp_path).write("starting")
    assert training.Job(tmp_path).status().state == "starting"
    # A parent that never asks how its child ended, where nobody else does either, whatever the tests themselves inherited.
    forks = "import os, signal, time; signal.signal(signal.SIGCHLD, signal.SIG_DFL); pid = os.fork(); pid or os._exit(0); "
    parent = subprocess.Popen([sys.executable, "-c", forks + "print(pid, flush=True); time.sleep(600)"], stdout=subprocess.PIPE, text=True)
    child, stop = int(parent.stdout.readline()), time.monotonic() + 60
    while machine.alive(child) and time.monotonic() < stop:
        time.sleep(0.05)
    os.kill(child, 0)  # it is there still, as a zombie
    assert not machine.alive(child) and machine.alive(parent.pid)
    parent.kill()
    parent.communicate()


def test_files_kept_at_hand_are_memory_that_may_be_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "GROUP", tmp_path)
    whole = machine.available_memory()
    for name, told in (("max", "1000000"), ("current", "900000"), ("stat", "anon 400000\nfile 500000\ninactive_file 300000\n")):
        (tmp_path / f"memory.{name}").write_text(told)
    assert machine.available_memory() == 400_000 < whole


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "hare_lab.cli", "train", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def here(*words):
    """The command in this process: its errors as they are."""
    from hare_lab.cli import app

    app(["train", *map(str, words)], standalone_mode=False)


def test_the_command_trains_and_says_how_far_it_is(tmp_path, pages, capsys):
    pages.to_json(tmp_path / "pages.jsonl")
    sizes = ["--model", "hare-1m", "--vocabulary", 300, "--context", 32, "--batch", 4, "--tokens", 1000, "--precision", "fp32"]
    done = command(tmp_path / "pages.jsonl", *sizes, "--out", tmp_path / "m")
    assert done.returncode == 0, done.stderr
    assert "hare-1m: 1,024 tokens" in done.stdout and {"model.safetensors", "report.json", "README.md"} <= {
        p.name for p in (tmp_path / "m").iterdir()
    }
    here("--status", "--out", tmp_path / "m")
    assert capsys.readouterr().out.startswith("done: step 8 of 8, 1,024 tokens, loss")
    here(tmp_path / "pages.jsonl", *sizes, "--out", tmp_path / "m")
    assert capsys.readouterr().out.startswith("hare-1m was trained already, on 1,024 tokens")
    with pytest.raises(InputError, match="holds a checkpoint of another run"):
        here(tmp_path / "pages.jsonl", *sizes, "--out", tmp_path / "m", "--seed", 9)
    assert training.Job(tmp_path / "m").status().state == "failed"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_ctrl_c_stops_after_the_present_step_and_the_same_command_goes_on(tmp_path, pages, monkeypatch, capsys):
    from hare_lab import cli
    from hare_lab.training import background

    def pressed(self, progress):
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)

    pages.to_json(tmp_path / "pages.jsonl")
    words = ["--model", "hare-1m", "--vocabulary", 300, "--context", 32, "--batch", 4, "--tokens", 1000, "--precision", "fp32"]
    words = [tmp_path / "pages.jsonl", *words, "--out", tmp_path / "m"]
    monkeypatch.setattr(sys, "argv", ["hare-lab", "train", *map(str, words)])
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr(background.Watcher, "__call__", pressed)
        cli.main()
    assert ended.value.code == 130 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capsys.readouterr().err.endswith(
        f"hare-lab: stopped at step 3; the same command goes on from the checkpoint in {tmp_path / 'm' / 'checkpoint'}\n"
    )
    here(*words)
    assert "went on from the checkpoint of step 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["demo"], "--out is missing"),
        (["--out", "{tmp}/x"], "no data; give pages"),
        (["demo", "--out", "{tmp}/x", "--model", "gpt"], 'model "gpt" is unknown'),
        (["demo", "--out", "{tmp}/x", "--tokens", "0"], "--tokens is 0"),
        (["{tmp}/empty.jsonl", "--out", "{tmp}/x", "--model", "hare-1m"], "empty.jsonl"),
        (["--status", "--out", "{tmp}"], "holds no training job"),
        (["demo", "--d2", "-", "--out", "{tmp}/x"], "--d2 - can't be"),
        (["demo", "--out", "{tmp}/x", "--schedule", "linear"], 'schedule "linear" is unknown'),
    ],
)
def test_a_bad_command_is_one_sentence(tmp_path, words, sentence):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match=re.escape(sentence)):
        here(*(word.format(tmp=tmp_path) for word in words))


def test_the_command_line_says_it_and_exits_with_2(tmp_path):
    done = command("demo", "--out", tmp_path / "x", "--model", "gpt")
    assert done.returncode == 2 and done.stderr.startswith('hare-lab: model "gpt" is unknown') and done.stderr.count("\n") == 1


# --- figures ---------------------------------------------------------------------------------------------------------


def test_the_curves_title_says_how_far_the_loss_fell(trained):
    report = trained[0].report
    figure = report.figure()
    assert figure.layout.title.text.startswith("<b>Held out, the loss fell from ") and {"held out"} <= {t.name for t in figure.data}
    two = report.table().assign(run="<b>one</b>")
    both = figures.loss_curve(__import__("pandas").concat([two, two.assign(run="two", loss=two["loss"] - 1)]))
    assert "“two” ends lowest" in both.layout.title.text and "<b>one" not in both.to_json()
    assert figures.loss_curve(two.iloc[:0]).layout.title.text.startswith("<b>No step")
    with pytest.raises(InputError, match="column loss is missing"):
        figures.loss_curve(two.drop(columns="loss"))


def test_the_costs_title_compares_the_smallest_and_the_largest():
    figure = figures.training_costs(models.cards(peak=1e11, share=0.4))
    assert re.search(r"On this machine hare-1m takes 1\.5 hours, hare-1.1b 123 years", figure.layout.title.text)
    assert len(figure.data) == len(models.LADDER) + 2


def test_the_rate_is_drawn_for_each_schedule():
    import pandas as pd

    rates = pd.DataFrame(
        [(s + 1, training.rate_at(s, 50, 1e-3, k), k) for k in ("cosine", "constant") for s in range(50)],
        columns=["step", "rate", "schedule"],
    )
    figure = figures.learning_rate(rates)
    assert [trace.name for trace in figure.data] == ["cosine", "constant"] and "peaks at 0.001 in step" in figure.layout.title.text


def test_two_processes_share_the_rows_and_end_where_one_does(tmp_path):
    """Losses agree as far as sums in another order do, which is not to the last digit: equal ones would mean two runs side by side."""
    rows = [{"text": f"The owl of barn {n} sat still, looked at the moon and did not say a word about it."} for n in range(80)]
    (tmp_path / "pages.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["-m", "hare_lab.cli", "train", str(tmp_path / "pages.jsonl"), "--model", "hare-1m", "--tokens", "4096", "--batch", "4"]
    words += ["--vocabulary", "300", "--context", "64", "--precision", "fp32"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    curves = []
    for name, head in (("one", []), ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])):
        done = subprocess.run([sys.executable, *head, *words, "--out", str(tmp_path / name)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Results in") == 1
        curves.append([row[2] for row in json.loads((tmp_path / name / "report.json").read_text())["curve"]])
    assert curves[0] == pytest.approx(curves[1], abs=1e-3) and curves[0] != curves[1]


STOPPED = """
import sys, torch
from datasets import Dataset
from hare_lab import models, training
rank = int(sys.argv[1])
texts = ["The owl of the barn sat still and looked at the moon." for _ in range(20)]
tokenizer = training.train_tokenizer(texts, 300)
model = models.build("hare-1m", vocabulary=len(tokenizer), seed=0)
how = training.Settings(context=32, batch=4, micro=4, precision="fp32")
watch = lambda now: rank == 0 and now.step == 2
print(training.fit(model, {"D1": training.pack(texts, tokenizer, 32)}, 10 * 128, settings=how, watch=watch).steps)
"""


def test_a_stop_that_one_process_sees_stops_all():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STOPPED, str(rank)], env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        assert [process.communicate(timeout=300)[0].strip() for process in processes] == ["2", "2"]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
