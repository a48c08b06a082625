"""The ladder: the paper's model to the digit, the others in its proportions, and costs that can be checked by counting."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hare_lab import models
from hare_lab.errors import InputError
from hare_lab.figures.training import time_of

NAMED = {"hare-1m": 1e6, "hare-5m": 5e6, "hare-15m": 15e6, "hare-50m": 50e6, "hare-125m": 125e6, "hare-250m": 250e6, "hare-1.1b": 1.1e9}


def test_the_largest_is_the_papers_model():
    """arXiv 2406.11410: 22 layers, 2048, 32 heads over 8, FFN 5632, vocabulary 32,000, context 2048, untied, theta 10,000."""
    found = models.config("hare-1.1b").to_dict()
    paper = {
        "model_type": "mistral", "num_hidden_layers": 22, "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 5632, "vocab_size": 32_000, "sliding_window": 4096, "max_position_embeddings": 32_768,
        "tie_word_embeddings": False, "hidden_act": "silu", "rms_norm_eps": 1e-5, "initializer_range": 0.02,
    }  # fmt: skip
    assert {key: found[key] for key in paper} == paper
    assert found["rope_parameters"]["rope_theta"] == 10_000
    assert models.shape("hare-1.1b").context == 2048 and models.shape("hare-1.1b").learning_rate == 3e-4


def test_its_parameters_are_counted_without_allocating_them():
    assert models.parameters("hare-1.1b") == 1_123_117_056


@pytest.mark.parametrize(("name", "named"), NAMED.items())
def test_each_size_holds_about_what_its_name_says(name, named):
    assert models.parameters(name) == pytest.approx(named, rel=0.3 if name == "hare-1m" else 0.05)
    size = models.shape(name)
    assert size.width == size.heads * 64 and size.ffn == size.width * 11 // 4 and size.heads % size.kv_heads == 0


def test_the_ladder_is_in_order_and_larger_models_learn_in_smaller_steps():
    sizes = list(models.LADDER)
    assert sizes == list(NAMED)
    rates = [models.shape(name).learning_rate for name in sizes]
    assert rates == sorted(rates, reverse=True)


def test_the_count_is_that_of_the_built_model():
    assert sum(p.numel() for p in models.build("hare-1m", vocabulary=500).parameters()) == models.parameters("hare-1m", vocabulary=500)


def test_weights_follow_from_the_seed_alone_and_the_callers_draws_are_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one, same, other = (models.build("hare-1m", vocabulary=300, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(torch.rand(3), expected)
    weights = [model.model.layers[0].self_attn.q_proj.weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_operations_a_token_are_those_that_torch_counts():
    context = 64
    model = models.build("hare-1m", vocabulary=300)
    tokens = torch.zeros(1, context, dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with counter:
        model(input_ids=tokens).logits.sum().backward()
    config = model.config
    heads = config.num_attention_heads * config.head_dim
    # torch counts attention whole, in the forward pass twice and in the backward pass five times a product; ours is causal, six in all
    attention = sum(count for op, count in counter.get_flop_counts()["Global"].items() if "attention" in str(op)) / context
    products = counter.get_total_flops() / context - attention
    ours = models.flops_per_token(config, context)
    assert ours - 6 * config.num_hidden_layers * heads * context == pytest.approx(products)


def test_a_card_scales_as_the_work_does():
    one = models.card("hare-5m", peak=1e11, share=0.5)
    assert one.tokens == 20 * one.parameters and one.flops == pytest.approx(one.flops_per_token * one.tokens)
    assert one.hours_here == pytest.approx(one.flops / 0.5e11 / 3600)
    twice = models.card("hare-5m", tokens=2 * one.tokens, peak=2e11, share=0.5)
    assert twice.hours_here == pytest.approx(one.hours_here) and twice.hours_gpu == pytest.approx(2 * one.hours_gpu)
    assert "training tokens" in one._repr_html_()


def test_the_table_of_cards_has_every_size():
    table = models.cards(peak=1e11)
    assert list(table["name"]) == list(models.LADDER) and table["hours_here"].is_monotonic_increasing


def test_the_peak_is_measured_in_the_precision_asked_for():
    assert models.matmul_peak("fp32") > 1e8 and models.matmul_peak("bf16") > 1e8


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.5 / 3600, "0 seconds"),
        (90 / 3600, "1.5 minutes"),
        (1, "1 hour"),
        (3, "3 hours"),
        (48, "2 days"),
        (108, "4.5 days"),
        (24 * 365.25 * 122.8, "123 years"),
        (24 * 365.25 * 4000, "4,000 years"),
    ],
)
def test_durations_read_as_a_person_says_them(hours, words):
    assert models.card.__module__ and __import__("hare_lab.models.card", fromlist=["duration"]).duration(hours) == words
    assert time_of(hours) == words  # the figure beside the card


def test_an_unknown_size_and_an_impossible_share_are_named():
    with pytest.raises(InputError, match=r'"hare-2m" is unknown; choose one of hare-1m'):
        models.build("hare-2m")
    with pytest.raises(InputError, match="share is 2"):
        models.card("hare-1m", share=2)
