"""Evaluation: bits that a hand can check, intervals that cover, splits without twins, and the harness's own answers."""

import gzip
import json
import math
import os
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hare_lab import evaluation, figures, texts
from hare_lab.errors import InputError
from hare_lab.evaluation.harness import right_pairs, write_task
from hare_lab.evaluation.language_model import log_likelihoods, windows_of, wrap
from hare_lab.evaluation.scores import wilson

CONTEXT = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of random weights with a byte-level tokenizer, as a Hugging Face folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator([page["text"] for page in texts.sample_pages()[:60]], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                      num_key_value_heads=2, max_position_embeddings=CONTEXT, initializer_range=0.3, bos_token_id=0, eos_token_id=1)
    )  # fmt: skip
    out = tmp_path_factory.mktemp("model") / "tiny"
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def model(folder):
    return evaluation.load_model(folder)


def pages(count=12, words=60):
    chosen = texts.sample_pages()[:count]
    return Dataset.from_dict({"id": [p["id"] for p in chosen], "text": [" ".join(p["text"].split()[:words]) for p in chosen]})


# --- bits per byte ----------------------------------------------------------------------------------------------------


def test_bits_of_a_short_text_are_the_sum_over_its_tokens_by_hand(model):
    text = "The owl sleeps"
    ids = [model.start, *model.encode([text])[0]]
    logits = model.model(torch.tensor([ids])).logits[0].detach().log_softmax(-1)
    by_hand = -sum(float(logits[i, token]) for i, token in enumerate(ids[1:])) / math.log(2)
    scored = evaluation.page_bits(model, Dataset.from_dict({"id": ["a"], "text": [text]}))
    assert scored["bits"][0] == pytest.approx(by_hand, rel=1e-5) and scored["bytes"][0] == len(text.encode())


def test_a_sign_that_a_page_spells_is_scored_as_its_letters(model):
    text = "The owl</s> sleeps<s>"
    assert not set(model.encode([text])[0]) & set(model.tokenizer.all_special_ids)
    scored = evaluation.page_bits(model, Dataset.from_dict({"id": ["a"], "text": [text]}))
    assert scored["bytes"][0] == len(text) and scored["faithful"][0]


@pytest.mark.parametrize(("told", "context"), [({}, 2048), ({"max_position_embeddings": 64}, 64), ({"train_context": 32}, 32)])
def test_a_model_that_names_no_length_is_read_as_far_as_its_tokenizer_goes(model, told, context):
    class Unlimited:
        """A model of BLOOM's or Mamba's kind: no position is its last."""

        config = SimpleNamespace(**told)
        get_input_embeddings, eval = model.model.get_input_embeddings, model.model.eval

    assert wrap(Unlimited(), model.tokenizer, "unlimited").context == context


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(2, 40), st.data())
def test_windows_score_every_token_once_with_at_least_the_context_promised(length, context, data):
    stride = data.draw(st.integers(1, context))
    tokens = list(range(length + 1))
    scored = []
    for window, skip in windows_of(tokens, context, stride):
        assert 2 <= len(window) <= context + 1 and skip >= 1
        assert window == list(range(window[0], window[0] + len(window)))
        assert window[0] == 0 or skip >= context + 1 - stride
        scored += window[skip:]
    assert scored == tokens[1:]


def test_batches_and_padding_change_no_score(model):
    rng = np.random.default_rng(0)
    sequences = [rng.integers(2, 300, size=n).tolist() for n in (5, 30, 2, 17, 1, 9)]
    together = log_likelihoods(model, sequences, [1, 3, 1, 1, 1, 4])
    alone = [log_likelihoods(model, [s], [k])[0] for s, k in zip(sequences, [1, 3, 1, 1, 1, 4], strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    assert together[4] == 0


def test_the_harness_gives_the_same_likelihood_where_windows_do_not_overlap(model):
    """Page by page, for pages longer than the context too: ours with the stride it uses against its `loglikelihood_rolling`."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    held = pages(6)
    engine = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=4, max_length=CONTEXT)
    asked = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=i) for i, text in enumerate(held["text"])]
    theirs = np.array(engine.loglikelihood_rolling(asked, disable_tqdm=True)) / -math.log(2)
    ours = evaluation.page_bits(model, held, stride=CONTEXT)
    assert (ours["tokens"] > CONTEXT).any()
    np.testing.assert_allclose(ours["bits"], theirs, rtol=1e-4)


def test_more_context_never_hides_a_token_and_bits_do_not_depend_on_the_tokenizer_s_count(model):
    scored = evaluation.page_bits(model, pages(8))
    report = evaluation.bits_per_byte(scored, ["a", "b"] * 4)
    assert report.micro.value == pytest.approx(scored["bits"].sum() / scored["bytes"].sum())
    assert report.unfaithful == 0 and report.bytes == scored["bytes"].sum()


def test_a_tokenizer_that_cannot_spell_a_page_is_found_out(model):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "known": 2, "words": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    blind = wrap(model.model, PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", unk_token="<unk>"), "blind")
    scored = evaluation.page_bits(blind, Dataset.from_dict({"id": ["a", "b"], "text": ["known words", "unheard of"]}))
    assert scored["faithful"].tolist() == [True, False]
    assert evaluation.bits_per_byte(scored, ["x", "x"]).unfaithful == 1
    assert "cannot spell 1" in evaluation.bits_per_byte(scored, ["x", "x"])._repr_html_()


def table(bits, sizes):
    return pd.DataFrame({"id": range(len(bits)), "tokens": 1, "bytes": sizes, "bits": bits, "faithful": True})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 1e4), st.integers(1, 5000), st.sampled_from("abc")), min_size=2, max_size=30), st.floats(0.1, 10))
def test_bits_per_byte_scale_with_bits_and_lie_in_their_interval(rows, factor):
    bits, sizes, groups = (list(c) for c in zip(*rows, strict=True))
    one = evaluation.bits_per_byte(table(bits, sizes), groups)
    scaled = evaluation.bits_per_byte(table([factor * b for b in bits], sizes), groups)
    assert scaled.macro.value == pytest.approx(factor * one.macro.value, rel=1e-6)
    for estimate in (one.macro, one.micro):
        assert estimate.low <= estimate.value <= estimate.high
    assert one.groups["pages"].sum() == len(rows)
    same = evaluation.bits_difference(table(bits, sizes), table(bits, sizes), groups)
    assert same.low == same.value == same.high == 0


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Pages of three topics with known bits per byte; 95 % intervals of the macro average from 15 pages of each."""
    rng = np.random.default_rng(1)
    truth, hits, trials = np.mean([1.0, 1.5, 2.5]), 0, 150
    for trial in range(trials):
        sizes = rng.integers(200, 3000, 45)
        rates = np.repeat([1.0, 1.5, 2.5], 15) + rng.normal(0, 0.3, 45)
        report = evaluation.bits_per_byte(table(sizes * rates, sizes), np.repeat(["a", "b", "c"], 15).tolist(), seed=trial)
        hits += report.macro.low <= truth <= report.macro.high
    assert 0.9 <= hits / trials <= 0.995


def test_a_group_of_one_page_has_no_interval_and_is_counted():
    report = evaluation.bits_per_byte(table([10, 20, 30, 20, 30, 25], [10] * 6), ["a", *"bbbbb"])
    assert report.lone == 1 and np.isnan(report.groups["low"][0]) and report.groups["low"][1] < 2.5 < report.groups["high"][1]
    drawn = report.figure()
    assert drawn.data[0].marker.symbol == ("circle-open", "circle") and "hollow" in drawn.layout.title.subtitle.text


def test_pairing_shows_a_difference_that_two_intervals_hide():
    rng = np.random.default_rng(0)
    sizes = rng.integers(500, 2000, 60)
    hard = rng.normal(2, 0.5, 60)
    one, two = table(sizes * hard, sizes), table(sizes * (hard + 0.03 + rng.normal(0, 0.01, 60)), sizes)
    groups = ["a", "b"] * 30
    gap = evaluation.bits_difference(one, two, groups)
    assert gap.high < 0 and gap.value == pytest.approx(-0.03, abs=0.01)
    assert evaluation.bits_per_byte(one, groups).macro.high > evaluation.bits_per_byte(two, groups).macro.low


def test_what_has_no_bits_is_named(model):
    with pytest.raises(InputError, match='page "b" has no text'):
        evaluation.page_bits(model, Dataset.from_dict({"id": ["a", "b"], "text": ["x", ""]}))
    with pytest.raises(InputError, match="no held-out page"):
        evaluation.page_bits(model, Dataset.from_dict({"id": [], "text": []}))
    with pytest.raises(InputError, match="stride is 97"):
        evaluation.page_bits(model, pages(1), stride=CONTEXT + 1)
    with pytest.raises(InputError, match="2 pages but 1 groups"):
        evaluation.bits_per_byte(table([1, 2], [1, 2]), ["a"])


# --- the split --------------------------------------------------------------------------------------------------------


def families(seed, count=40):
    """Pages in families of edited copies, and which family each belongs to."""
    rng = np.random.default_rng(seed)
    vocabulary = [f"w{n}" for n in range(3000)]
    found, family = [], []
    for number in range(count):
        words = rng.choice(vocabulary, 120).tolist()
        for copy in range(int(rng.integers(1, 4))):
            found.append(" ".join(words[copy * 2 :] + rng.choice(vocabulary, 3 * copy).tolist()))
            family.append(number)
    order = rng.permutation(len(found))
    return [found[i] for i in order], [family[i] for i in order]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_near_copy_stands_on_the_other_side_and_the_sides_partition_the_pages(seed):
    written, family = families(seed)
    labels = ["even" if f % 2 else "odd" for f in family]
    corpus = Dataset.from_dict({"id": [f"p{i}" for i in range(len(written))], "text": written, "family": family})
    train, held, report = evaluation.hold_out(corpus, share=0.25, labels=labels, seed=seed)
    assert not set(train["family"]) & set(held["family"])
    assert sorted([*train["id"], *held["id"]]) == sorted(corpus["id"])
    assert report.held_out == len(held) and 0.15 < report.share < 0.45 and report.copies_together > 0


def test_the_order_of_the_pages_changes_no_side_and_the_seed_does():
    written, _ = families(5)
    ids = [f"p{i}" for i in range(len(written))]
    one = evaluation.hold_out(Dataset.from_dict({"id": ids, "text": written}), seed=1)[1]
    two = evaluation.hold_out(Dataset.from_dict({"id": ids[::-1], "text": written[::-1]}), seed=1)[1]
    other = evaluation.hold_out(Dataset.from_dict({"id": ids, "text": written}), seed=2)[1]
    assert set(one["id"]) == set(two["id"]) != set(other["id"])


def test_every_label_is_held_out_by_its_share():
    rng = np.random.default_rng(0)
    written = [" ".join(rng.choice([f"w{n}" for n in range(5000)], 40)) for _ in range(300)]
    labels = ["big"] * 200 + ["mid"] * 80 + ["small"] * 20
    corpus = Dataset.from_dict({"id": [str(i) for i in range(300)], "text": written, "label": labels})
    held = evaluation.hold_out(corpus, share=0.1, labels=labels)[1]
    assert [list(held["label"]).count(name) for name in ("big", "mid", "small")] == [20, 8, 2]


@pytest.mark.parametrize(("share", "sentence"), [(0, "share is 0"), (1.0, "share is 1.0"), (0.001, "leaves no held-out page")])
def test_a_share_that_splits_nothing_is_named(share, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluation.hold_out(pages(10), share=share)


# --- tasks ------------------------------------------------------------------------------------------------------------


def wrote(tmp_path, *rows, name="mine.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


GOOD = {"question": "Two and two?", "choices": ["four", "five"], "answer": "four"}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({**GOOD, "answer": "six"}, r'line 2: "answer" is "six", but there are 2 choices; give one of them, or 0 to 1'),
        ({**GOOD, "answer": 2}, '"answer" is 2'),
        ({**GOOD, "answer": -1}, '"answer" is -1'),
        ({**GOOD, "answer": True}, '"answer" is true'),
        ({"text": "x", "choices": ["a", "b"]}, 'no "answer"'),
        ({**GOOD, "choices": ["four"]}, "at least two texts"),
        ({**GOOD, "choices": ["four", "four"]}, "are the same"),
        ({**GOOD, "choices": "four"}, "must be a list"),
        ({"choices": ["a", "b"], "answer": 0}, 'no "question"'),
        ({"sentence_good": "a", "sentence_bad": "a"}, "are the same"),
        ({"sentence_good": "a"}, "must both be text"),
        ({"sentence_good": "a", "sentence_bad": "b"}, "in files of their own"),
        ("{", "not valid JSON"),
        ("[1]", "not a JSON object"),
    ],
)
def test_a_broken_item_is_one_sentence_with_its_line(tmp_path, row, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        evaluation.read_task(wrote(tmp_path, GOOD, row))
    assert "line 2" in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_file_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no item"):
        evaluation.read_task(wrote(tmp_path, ""))
    with pytest.raises(InputError, match="no task file"):
        evaluation.read_task(tmp_path / "none.jsonl")
    (tmp_path / "x.jsonl.gz").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(InputError, match="can't be read as text"):
        evaluation.read_task(tmp_path / "x.jsonl.gz")


def test_items_are_read_in_every_shape_and_limited_fairly(tmp_path):
    rows = [{"sentence_good": f"good {i}", "sentence_bad": f"bad {i}", "UID": "rare" if i % 10 == 0 else "common"} for i in range(100)]
    (tmp_path / "blimp").mkdir()
    path = tmp_path / "blimp" / "data.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    task = evaluation.read_task(path, limit=10, seed=3)
    assert task.name == "blimp" and task.kind == "pair" and task.chance == 0.5
    assert [item.group for item in task.items].count("rare") == 5
    assert task == evaluation.read_task(path, limit=10, seed=3) != evaluation.read_task(path, limit=10, seed=4)
    for limit in (0, -1):
        with pytest.raises(InputError, match=f"limit is {limit}; give a number of items of at least 1"):
            evaluation.read_task(path, limit=limit)
    mixed = evaluation.read_task(wrote(tmp_path, GOOD, {"text": "x", "choices": ["a", "b", "c", "d"], "gold": 3}))
    assert [i.gold for i in mixed.items] == [0, 3] and mixed.chance == pytest.approx(3 / 8)


def test_the_bundled_tasks_hold_every_item_and_one_right_answer():
    choice, cloze = evaluation.bundled_tasks()
    truth = {row["id"]: row for row in texts.items()}
    assert len(choice.items) + len(cloze.items) == len(truth) and choice.chance == cloze.chance == 0.25
    assert all(item.choices[item.gold] == truth[item.id]["answer"] for item in choice.items)
    for item in cloze.items:
        row = truth[item.id]
        assert len(set(item.choices)) == 4 and item.choices[item.gold] == row["question"].replace("____", row["answer"])
    places = np.bincount([item.gold for item in cloze.items])
    assert len(places) == 4 and places.min() > 20  # the right answer has no favourite place


def test_minimal_pairs_get_the_harness_s_answers(model, tmp_path):
    """Item by item: the pairs that ours calls right are those that lm-evaluation-harness calls right."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    cloze = evaluation.bundled_tasks(limit=40)[1]
    ours = right_pairs(model, cloze)
    write_task(cloze, tmp_path)
    engine = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=8, max_length=CONTEXT)
    results = simple_evaluate(
        model=engine, tasks=[cloze.name], task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False), bootstrap_iters=0
    )
    theirs = [sample["acc"] for sample in sorted(results["samples"][cloze.name], key=lambda s: s["doc_id"])]
    assert 0 < sum(theirs) < 40 and ours.tolist() == theirs


def test_every_score_has_its_chance_and_its_error_and_leaves_no_trace(model, capsys):
    np.random.seed(7)
    torch.manual_seed(7)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    scores = evaluation.run_tasks(model, evaluation.bundled_tasks(limit=30))
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.random.get_rng_state(), before[1])
    assert capsys.readouterr() == ("", "")
    for score in scores.scores:
        assert score.items == 30 and score.chance == 0.25 and score.stderr > 0
        assert score.low <= score.value <= score.high
    assert scores["bundled-choice"].stderr == pytest.approx(math.sqrt(np.var(_right(scores["bundled-choice"]), ddof=1) / 30), rel=1e-6)


def _right(score):
    return [1] * round(score.value * score.items) + [0] * (score.items - round(score.value * score.items))


def test_an_untrained_model_is_not_surely_above_guessing(model):
    """The positive control is in tests of training: here, noise must look like noise."""
    cloze = evaluation.bundled_tasks()[1]
    shuffled = evaluation.Task("shuffled", "pair", tuple(_turned(item, row) for row, item in enumerate(cloze.items)))
    assert not evaluation.run_tasks(model, [shuffled])["shuffled"].low > 0.3


def _turned(item, row):
    return evaluation.Item(item.id, "", item.choices, row % 4)


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_s_interval_holds_the_share_and_stays_in_bounds(items, share):
    value = round(share * items) / items
    low, high = wilson(value, items)
    assert 0 <= low <= value <= high <= 1 and (items < 5 or high - low < 1)


def test_a_choice_that_the_model_cannot_read_at_once_is_named(model, tmp_path):
    task = evaluation.read_task(wrote(tmp_path, GOOD, {"id": "long", "text": "x", "choices": ["y", "z " * 200], "gold": 0}))
    with pytest.raises(InputError, match=r'a choice of item "long" has \d+ tokens, but tiny reads 96 at once'):
        evaluation.run_tasks(model, [task])


def test_a_task_of_the_hub_is_one_sentence_without_a_network(model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match='"mmlu" comes from the hub'):
        evaluation.run_tasks(model, ["mmlu"])
    with pytest.raises(InputError, match="two tasks are called"):
        evaluation.run_tasks(model, evaluation.bundled_tasks(limit=4) * 2)


OWL = [{"text": "The owl sits in the barn"}, {"text": "The bee finds a flower"}, {"text": "The moon is up"}]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The harness with three tasks of the hub's kind, read from files: two of one tag, with a perplexity first, and one of perplexities."""
    from lm_eval import tasks

    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(map(json.dumps, OWL)))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    files = {"data_files": {"test": str(rows)}, "cache_dir": str(tmp_path)}
    shared = {"dataset_path": "json", "dataset_kwargs": files, "test_split": "test"}
    last = {"output_type": "loglikelihood", "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
            "doc_to_target": "{{' '+text.split(' ')[-1]}}",
            "metric_list": [{"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
                            {"metric": "acc", "aggregation": "mean", "higher_is_better": True}]}  # fmt: skip
    whole = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text",
             "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}]}  # fmt: skip
    told = {"last_one": last | {"tag": "lasts"}, "last_two": last | {"tag": "lasts"}, "whole": whole}
    for name, words in told.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"task": name} | shared | words))
    group = {"group": "all_lasts", "task": ["last_one", "last_two"]}
    (tmp_path / "all_lasts.yaml").write_text(json.dumps(group))
    mean = {"group": "mean_lasts", "task": ["last_one", "last_two"], "aggregate_metric_list": [{"metric": "acc"}]}
    (tmp_path / "mean_lasts.yaml").write_text(json.dumps(mean))
    monkeypatch.setattr(tasks, "TaskManager", partial(tasks.TaskManager, include_path=str(tmp_path), include_defaults=False))


@pytest.mark.parametrize(
    ("asked", "scored"),
    [(["last_one"], {"last_one": 3}), (["lasts"], {"last_one": 3, "last_two": 3}),
     (["last_*", "last_one"], {"last_one": 3, "last_two": 3}), (["all_lasts"], {"last_one": 3, "last_two": 3}),
     (["mean_lasts"], {"mean_lasts": 6})],
)  # fmt: skip
def test_a_task_of_theirs_is_scored_by_its_share_and_a_tag_by_its_tasks(model, hub, asked, scored, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)  # no git checkout, of which git would complain
    scores = evaluation.run_tasks(model, asked)
    assert "fatal" not in capfd.readouterr().err
    assert {score.task: score.items for score in scores.scores} == scored
    assert {score.metric for score in scores.scores} == {"acc"} and scores.table()["value"].between(0, 1).all()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [("whole", 'task "whole" gives no share of right answers, only word_perplexity, bits_per_byte; leave it out'),
     ("*last*", "names a task twice, alone and in a group; .* of all_lasts, last_one"), ("none", "is called")],
)  # fmt: skip
def test_a_task_of_theirs_without_a_share_and_one_named_twice_are_one_sentence(model, hub, asked, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluation.run_tasks(model, [asked])


# --- models -----------------------------------------------------------------------------------------------------------


def test_what_is_no_model_is_one_sentence(folder, tmp_path, capsys):
    import shutil

    with pytest.raises(InputError, match="no model folder"):
        evaluation.load_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no config\.json"):
        evaluation.load_model(tmp_path)
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(InputError, match="damaged"):
        evaluation.load_model(damaged)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    for change, sentence in (
        ({"num_hidden_layers": config["num_hidden_layers"] + 1}, "lack"),
        ({"num_hidden_layers": config["num_hidden_layers"] - 1}, "knows nothing of"),
        ({"intermediate_size": 2 * config["intermediate_size"]}, "another shape"),
    ):
        (other / "config.json").write_text(json.dumps({**config, **change}))
        capsys.readouterr()
        with pytest.raises(InputError, match=f"{sentence}.*another model's"):
            evaluation.load_model(other)
        assert "Notes" not in capsys.readouterr().err  # the sentence stands alone, without transformers' table
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match="can't be loaded"):
        evaluation.load_model(pickled)


def test_samples_stand_side_by_side_and_follow_from_the_seed(model, folder):
    other = evaluation.load_model(folder, name="twin")
    prompts = ["The owl", "On a wet morning in the long grass " * 20]
    found = evaluation.side_by_side([model, other], prompts, tokens=8, seed=1)
    assert list(found.columns) == ["prompt", "tiny", "twin"] and found["tiny"].tolist() == found["twin"].tolist()
    assert found["tiny"].tolist() != evaluation.side_by_side([model], prompts, tokens=8, seed=2)["tiny"].tolist()
    with pytest.raises(InputError, match="share a name"):
        evaluation.side_by_side([model, model], prompts)


# --- tables and figures -----------------------------------------------------------------------------------------------


def board():
    full = [evaluation.Score.of(task, metric, 0.4, 100, 0.25) for task, (_, metric, _) in evaluation.PAPER.items()]
    part = [full[0], evaluation.Score.of("bundled-choice", "acc", 0.3, 100, 0.25)]
    return evaluation.leaderboard([evaluation.Scores("whole", tuple(full)), evaluation.Scores("<b>part", tuple(part))])


def test_the_paper_s_table_takes_the_reader_s_models_in_order():
    found = board()
    assert list(found["origin"]).count("paper") == 10 and found["model"].iloc[-1] == "guessing"
    assert found["average"].dropna().is_monotonic_decreasing
    whole = found[found["model"] == "whole"].iloc[0]
    assert whole["average"] == pytest.approx(40) and found[found["model"] == "<b>part"]["average"].isna().all()
    hare = found[found["model"] == "HARE"].iloc[0]
    assert hare["GSM8K"] == 8.04 and np.isnan(hare["bundled-choice"])
    assert found[found["model"] == "guessing"]["bundled-choice"].iloc[0] == 25


def many_bits(models=("plain", "curated"), groups=8):
    rng = np.random.default_rng(0)
    rows = [(m, f"topic <{g}>", 1.5 + 0.1 * g - 0.2 * k + rng.normal(0, 0.05)) for k, m in enumerate(models) for g in range(groups)]
    frame = pd.DataFrame(rows, columns=["model", "group", "bits_per_byte"])
    return frame.assign(low=frame["bits_per_byte"] - 0.05, high=frame["bits_per_byte"] + 0.05)


def test_figures_say_their_finding_and_escape_what_they_show():
    drawn = figures.bits_by_topic(many_bits())
    assert "“curated” predicts better than “plain” on 8 of 8 topics" in drawn.layout.title.text
    assert "&lt;" in drawn.layout.yaxis.ticktext[0]
    assert "left out" in figures.bits_by_topic(many_bits(groups=40)).layout.title.subtitle.text
    shown = figures.leaderboard(board())
    assert any("&lt;b&gt;part" in name for name in shown.layout.yaxis.ticktext)
    scores = board_scores()
    assert "One of two scores is surely above guessing" in figures.task_scores(scores.table()).layout.title.text
    for draw, empty in ((figures.bits_by_topic, many_bits()), (figures.task_scores, scores.table())):
        assert draw(empty.iloc[:0]).layout.title.text
        with pytest.raises(InputError, match="column"):
            draw(empty.drop(columns="low"))


def test_three_right_of_three_are_too_few_to_say():
    scores = evaluation.Scores("tiny", tuple(evaluation.Score.of(f"t{n}", "acc", 1.0, n, 0.25) for n in (3, 9, 10)))
    assert [score.above_chance for score in scores.scores] == [False, False, True]
    shown = scores._repr_html_()
    assert shown.count("too few to say") == 2 and "100.0% (43.9% to 100.0%)" in shown
    drawn = scores.figure()
    assert "One of three scores is surely above guessing" in drawn.layout.title.text and "hollow" in drawn.layout.title.subtitle.text
    assert list(drawn.data[-1].marker.symbol) == ["circle-open", "circle-open", "circle"]


def board_scores():
    return evaluation.Scores(
        "tiny", (evaluation.Score.of("easy", "acc", 0.8, 200, 0.25), evaluation.Score.of("hard", "acc", 0.26, 200, 0.25))
    )


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_scores_figures_and_a_report(folder, tmp_path):
    from typer.testing import CliRunner

    from hare_lab.cli import app

    held = tmp_path / "held.jsonl"
    held.write_text("\n".join(json.dumps({"text": t, "topic": "ab"[i % 2]}) for i, t in enumerate(pages(6)["text"])))
    out = tmp_path / "out"
    words = ["evaluate", str(folder), "--tasks", "bundled", "--pages", str(held), "--group", "topic", "--limit", "6", "--out", str(out)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0 and "guessing 25.0%" in done.output
    report = json.loads((out / "report.json").read_text())
    assert {s["task"] for s in report["scores"]} == {"bundled-choice", "bundled-cloze"}
    assert {g["group"] for g in report["bits_per_byte"]["groups"]} == {"a", "b"}
    for name in ("scores.html", "leaderboard.html", "bits_by_topic.html", "scores.parquet", "page_bits.parquet"):
        assert (out / name).exists()


def test_the_command_says_one_sentence_for_a_wrong_answer(folder, tmp_path):
    bad = wrote(tmp_path, {**GOOD, "answer": 7})
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-m", "hare_lab.cli", "evaluate", str(folder), "--tasks", str(bad), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and '"answer" is 7' in done.stderr
    assert not (tmp_path / "out").exists()


def test_tasks_may_stand_one_after_the_other_and_a_second_model_is_named(folder, tmp_path):
    from typer.testing import CliRunner

    from hare_lab.cli import app

    mine = wrote(tmp_path, GOOD)
    words = ["evaluate", str(folder), "--out", str(tmp_path / "out"), "--limit", "4", "--tasks", "bundled", str(mine)]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    tasks = {s["task"] for s in json.loads((tmp_path / "out" / "report.json").read_text())["scores"]}
    assert len(tasks) == 3 and "bundled-choice" in tasks
    with pytest.raises(InputError, match="one model at a time"):
        CliRunner().invoke(app, ["evaluate", str(folder), "second", "--out", str(tmp_path / "x")], catch_exceptions=False)
