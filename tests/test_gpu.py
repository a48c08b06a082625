"""On a GPU: the same losses and gradients as on a CPU, compiled or not; no page sees another; a killed run goes on; a seed is a seed."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from hare_lab import evaluation, models, training
from hare_lab.errors import InputError
from hare_lab.machine import drawn_by
from hare_lab.training import kernels

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

CONTEXT = 64
WORDS = ["the", "bee", "finds", "a", "flower", "and", "tells", "the", "hive", "where", "it", "stands", "in", "the", "sun"]


@pytest.fixture(scope="module")
def pages():
    rng = np.random.default_rng(0)
    return Dataset.from_dict({"text": [" ".join(rng.choice(WORDS, rng.integers(2, 90))) for _ in range(80)]})


@pytest.fixture(scope="module")
def tokenizer(pages):
    return training.train_tokenizer(pages["text"], 300)


@pytest.fixture(scope="module")
def packed(pages, tokenizer):
    return training.pack(pages["text"], tokenizer, CONTEXT)


def loss_and_slopes(model, packed, device, precision, **how):
    """The loss of eight rows, and the gradients, as one vector."""
    model = model.to(device)
    rows = [torch.from_numpy(part).to(device) for part in packed.rows(np.arange(8))]
    model.zero_grad()
    with kernels.hastened(model, **how):
        loss = kernels.PagesLoss(model, precision)(*rows)
        loss.backward()
    return float(loss) / 8 / CONTEXT, torch.cat([p.grad.float().flatten().cpu() for p in model.parameters()])


@pytest.mark.parametrize("window", [None, 9])
def test_losses_and_gradients_are_those_of_a_cpu(tokenizer, packed, window):
    model = models.build("hare-5m", vocabulary=len(tokenizer), seed=0)
    model.config.sliding_window = window
    for layer in model.model.layers:
        layer.self_attn.sliding_window = window
    loss, slopes = loss_and_slopes(model, packed, "cpu", torch.float32)
    for how in ({"compiled": False}, {"compiled": True}):
        own, found = loss_and_slopes(model, packed, "cuda", torch.bfloat16, **how)
        assert abs(own - loss) < 0.01, how
        assert torch.nn.functional.cosine_similarity(found, slopes, dim=0) > 0.995, how
    exact, found = loss_and_slopes(model, packed, "cuda", torch.float32)
    assert abs(exact - loss) < 1e-4 and torch.nn.functional.cosine_similarity(found, slopes, dim=0) > 0.9999


def test_all_layers_share_one_compiled_graph(tokenizer, packed):
    from torch._dynamo.utils import counters

    model = models.build("hare-15m", vocabulary=len(tokenizer), seed=0)
    torch._dynamo.reset()
    counters.clear()
    loss_and_slopes(model, packed, "cuda", torch.bfloat16, compiled=True)
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]


def test_no_page_sees_another(tokenizer):
    model = models.build("hare-5m", vocabulary=len(tokenizer), seed=0).cuda()
    firsts = ("sun sun sun", "hive a a sun")
    rows = [training.pack([first, "the bee tells the hive"], tokenizer, 32).rows(np.array([0])) for first in firsts]
    with torch.no_grad(), kernels.hastened(model):
        states = [
            kernels.read(model, *(torch.from_numpy(p).cuda() for p in (r.tokens, r.pages, r.positions)), torch.bfloat16) for r in rows
        ]
    second = [state[0][torch.from_numpy(r.pages[0] == 1).cuda()] for state, r in zip(states, rows, strict=True)]
    torch.testing.assert_close(*second, atol=2e-2, rtol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_stopped_run_goes_on_to_the_same_losses(tokenizer, packed, tmp_path, compiled):
    how = training.Settings(context=CONTEXT, batch=4, micro=4, compiled=compiled, checkpoint_minutes=0)
    run = lambda **more: training.fit(  # noqa: E731
        models.build("hare-1m", vocabulary=len(tokenizer), seed=0), {"D1": packed}, 20 * 4 * CONTEXT, settings=how, heldout=packed, **more
    )
    whole = run()
    assert not run(folder=tmp_path, watch=lambda now: now.step == 9).finished
    rest = run(folder=tmp_path)
    assert whole.precision == "bf16" and whole.last_loss < whole.first_loss - 0.5
    np.testing.assert_allclose([row[2] for row in rest.curve], [row[2] for row in whole.curve], atol=2e-2)


def test_a_trained_model_speaks_is_saved_and_is_scored(pages, tmp_path):
    made = training.train(pages, "hare-1m", 20_000, vocabulary=300, settings=training.Settings(context=CONTEXT, batch=4))
    assert made.say("the bee", tokens=8, seed=3) == made.say("the bee", tokens=8, seed=3) != made.say("the bee", tokens=8, seed=4)
    made.save(tmp_path)
    judged = evaluation.load_model(tmp_path)
    assert judged.model.device.type == "cuda"
    held = pages.select(range(20)).add_column("id", [str(i) for i in range(20)])
    bits = evaluation.page_bits(judged, held)
    there = evaluation.wrap(made.model.cpu(), made.tokenizer, "cpu", context=CONTEXT)
    np.testing.assert_allclose(bits["bits"].sum(), evaluation.page_bits(there, held)["bits"].sum(), rtol=1e-3)


def test_the_callers_random_state_stays_as_it_was():
    torch.manual_seed(5)
    wanted = torch.rand(3, device="cuda")
    torch.manual_seed(5)
    with drawn_by(8):
        one = torch.rand(3, device="cuda")
    assert torch.equal(torch.rand(3, device="cuda"), wanted)
    with drawn_by(8):
        assert torch.equal(torch.rand(3, device="cuda"), one)


def test_a_model_too_large_for_the_gpu_is_refused_before_it_is_tried(tokenizer, packed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (2**20, 2**36))
    with pytest.raises(InputError, match=r"free on the GPU; take a smaller model"):
        training.fit(models.build("hare-1m", vocabulary=len(tokenizer)), {"D1": packed}, 1_000)
