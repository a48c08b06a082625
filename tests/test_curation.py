"""Curation: the budget holds, the priors are followed as far as the pages allow, and every page is told why it is in or out."""

import json
import math
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hare_lab import curation, figures
from hare_lab.corpus import demo_licences
from hare_lab.curation import worth as worth_module
from hare_lab.curation.peers import ORDERS
from hare_lab.curation.quotas import fill, water_fill
from hare_lab.curation.worth import LEAST, worth_in_turn
from hare_lab.errors import InputError
from hare_lab.leakage import load_items
from hare_lab.priors import DATA, Duplication, Mixture, Priors, Quality
from hare_lab.run.reports import decode, encode
from hare_lab.texts import Topic, sample_truth

TOPICS = [Topic(name, name.title(), f"About {name}.", 1.0, "") for name in ("bread", "chess", "birds", "law")]


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def corpus(rng, count=1_200, dimension=32, shares=(0.6, 0.2, 0.1, 0.05, 0.05)):
    """Pages with the columns that curation looks at, skewed as a crawl is, and their vectors."""
    topic = rng.choice([*(t.id for t in TOPICS), "other"], count, p=shares)
    pages = Dataset.from_dict(
        {
            "id": [f"p{row:04}" for row in range(count)], "text": [f"text {row}" for row in range(count)], "title": [""] * count,
            "source": ["docs/a" if row % 3 else "<b>crawl</b>|x" for row in range(count)], "topic": topic, "quality": rng.random(count),
            "likeness": rng.random(count), "leaked": rng.random(count) < 0.05, "tokens": rng.integers(50, 400, count),
        }
    )  # fmt: skip
    return pages, unit(rng.normal(size=(count, dimension)))


@pytest.fixture(scope="module")
def prepared():
    return corpus(np.random.default_rng(7))


def curate(prepared, method="priors", budget=20_000, priors=None, **kwargs):
    return curation.curate(*prepared, priors or Priors(), taxonomy=TOPICS, budget=budget, method=method, **kwargs)


# --- quotas ----------------------------------------------------------------------------------------------------------


topics_of_a_pool = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1_000)), min_size=1, max_size=12)


@given(topics_of_a_pool, st.integers(1, 5_000))
def test_quotas_spend_the_budget_and_depart_from_the_weights_only_where_a_topic_is_used_up(topics, budget):
    weights, available = (np.array(column, float) for column in zip(*topics, strict=True))
    quotas = water_fill(weights, available, budget)
    assert quotas.sum() == pytest.approx(min(budget, available[weights > 0].sum()), abs=1e-6)
    assert (quotas <= available + 1e-9).all() and not quotas[weights == 0].any()
    free = (weights > 1e-6) & (quotas < available - 1e-6)
    if free.any():
        level = (quotas[free] / weights[free]).max()
        assert np.allclose(quotas[free] / weights[free], level)
        full = (weights > 1e-6) & ~free
        assert (available[full] / weights[full] <= level * (1 + 1e-9) + 1e-6).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.floats(0, 1), st.integers(1, 90)), min_size=1, max_size=60), st.integers(1, 2_000))
def test_filling_never_exceeds_the_budget_and_leaves_no_room_that_a_page_would_fit(rows, budget):
    group, worth, tokens = (np.array(column) for column in zip(*rows, strict=True))
    available = np.bincount(group[group >= 0], tokens[group >= 0], 4)
    taken = fill(group, worth, tokens, water_fill(np.ones(4), available, budget), budget)
    left = budget - tokens[taken].sum()
    assert left >= 0 and not taken[group < 0].any()
    assert not (~taken & (group >= 0) & (tokens <= left)).any()


def test_a_topic_takes_its_worthiest_pages_first():
    worth = np.array([0.1, 0.9, 0.5, 0.7])
    assert fill(np.zeros(4, int), worth, np.full(4, 10), np.array([20.0]), 20).tolist() == [False, True, False, True]


# --- worth -----------------------------------------------------------------------------------------------------------


def by_hand(vectors, quality, novelty):
    cosines, like, worth = np.clip(vectors @ vectors.T, 0, 1), np.zeros(len(vectors)), np.full(len(vectors), -1.0)
    for _ in range(len(vectors)):
        value = np.clip(quality, LEAST, 1) ** (1 - novelty) * np.maximum(1 - like, LEAST) ** novelty
        pick = int(np.where(worth < 0, value, -1).argmax())
        worth[pick], like = value[pick], np.maximum(like, cosines[pick])
    return worth


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(0, 0.9))
def test_worth_is_that_of_choosing_again_and_again_by_hand(seed, count, novelty):
    rng = np.random.default_rng(seed)
    vectors, quality = unit(rng.normal(size=(count, 5))), rng.random(count)
    found = worth_in_turn(vectors, np.zeros(count, int), quality, novelty)
    np.testing.assert_allclose(found.worth, by_hand(vectors, quality, novelty), atol=2e-3)


def test_a_copy_of_a_chosen_page_is_worth_next_to_nothing_and_names_it():
    vectors = unit(np.random.default_rng(0).normal(size=(40, 16)))
    doubled = np.concatenate([vectors, vectors])
    quality = np.concatenate([np.full(40, 0.8), np.full(40, 0.7)])
    found = worth_in_turn(doubled, np.zeros(80, int), quality, 0.5)
    assert found.worth[40:].max() < 0.05 < found.worth[:40].min()
    assert found.nearest[40:].tolist() == list(range(40)) and found.likeness[40:].min() > 0.999


def test_cells_keep_copies_together_and_their_number_does_not_change_what_a_copy_is_worth(monkeypatch):
    monkeypatch.setattr(worth_module, "CELL", 32)
    vectors = unit(np.random.default_rng(1).normal(size=(600, 16)))
    doubled = np.repeat(vectors, 2, axis=0)
    found = worth_in_turn(doubled, np.zeros(1_200, int), np.full(1_200, 0.9), 0.5)
    assert np.sort(found.worth)[:600].max() < 0.05 < np.sort(found.worth)[600:].min()


def test_a_longer_page_must_be_worth_more():
    vectors, quality = unit(np.eye(3)), np.array([0.8, 0.8, 0.81])
    order = np.argsort(-worth_in_turn(vectors, np.zeros(3, int), quality, 0.5, np.array([1_000, 100, 1_000])).worth)
    assert order.tolist() == [1, 2, 0]


@pytest.mark.parametrize("threads", [1, 3])
def test_worth_is_the_same_at_any_number_of_threads(monkeypatch, threads):
    rng = np.random.default_rng(5)
    vectors, group, quality = unit(rng.normal(size=(3_000, 24))), rng.integers(-1, 3, 3_000), rng.random(3_000)
    before = worth_in_turn(vectors, group, quality, 0.4)
    monkeypatch.setattr(worth_module, "cores", lambda: threads)
    assert (worth_in_turn(vectors, group, quality, 0.4).worth == before.worth).all()
    assert not before.worth[group < 0].any()


def test_identical_pages_by_the_thousand_are_one_page_and_take_no_time():
    start = time.perf_counter()
    found = worth_in_turn(np.tile(unit(np.ones((1, 8))), (20_000, 1)), np.zeros(20_000, int), np.full(20_000, 0.9), 1.0)
    assert (found.worth > 0.5).sum() <= 2 * 20_000 / worth_module.CELL + 1
    assert time.perf_counter() - start < 20


# --- the choice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", curation.METHODS)
def test_every_method_keeps_to_the_budget_keeps_no_leak_and_gives_every_page_one_reason(prepared, method):
    found = curate(prepared, method)
    choices = found.choices
    assert 0.995 * 20_000 <= choices["tokens"][choices["kept"]].sum() == found.report.tokens <= 20_000
    assert not (choices["kept"] & np.array(prepared[0]["leaked"])).any()
    assert choices["reason"].str.len().min() > 10 and (choices["kept"] == (choices["cause"] == "kept")).all()
    assert list(choices["id"]) == list(prepared[0]["id"])
    assert found.report.funnel["pages"].iloc[-1] == found.report.pages == choices["kept"].sum()
    assert found.report.funnel["removed"].sum() == (~choices["kept"]).sum()


@pytest.mark.parametrize("method", curation.METHODS)
def test_a_choice_is_the_same_each_time(prepared, method):
    assert curate(prepared, method, seed=3).choices.equals(curate(prepared, method, seed=3).choices)


def test_pages_unlike_the_good_ones_stay_out_where_the_priors_ask_for_likeness_and_in_no_other_method(prepared):
    pages, vectors = prepared
    asking = Priors().turned(likeness=0.4)
    found, unasked = curate(prepared, priors=asking), curate(prepared)
    unlike = np.array(pages["likeness"]) < 0.4
    assert not found.choices["kept"][unlike].any() and unasked.choices["kept"][unlike].any()
    told = found.choices[found.choices["cause"] == "unlike the good pages"]
    assert unlike[told.index].all() and (told["quality"] >= 0.3).all()
    row = told.index[0]
    assert told["reason"][row] == f"likeness {pages['likeness'][row]:.2f} to the good pages is below 0.40"
    assert curate(prepared, "quality-only", priors=asking).choices.equals(curate(prepared, "quality-only").choices)
    with pytest.raises(InputError, match=r'no column "likeness"; pass likeness=\.\.\., which quality\.score makes'):
        curate((pages.remove_columns("likeness"), vectors), priors=asking)
    with pytest.raises(InputError, match=r"the likeness of row 0 is 2\.0"):
        curate(prepared, "top-likeness", likeness=[2.0] * len(pages))
    best = np.array(pages["likeness"])[curate(prepared, "top-likeness").choices["kept"]]
    assert best.min() > 0.7


@pytest.mark.parametrize("method", ["random", "cluster-balanced", "density"])
def test_methods_that_draw_draw_by_seed(prepared, method):
    assert not np.array_equal(curate(prepared, method, seed=1).rows, curate(prepared, method, seed=2).rows)


@pytest.mark.parametrize(
    "weights",
    [{}, {"bread": 3, "chess": 1, "birds": 1, "law": 1}, {"bread": 0, "birds": 2, "law": 1, "other": 1}],
    ids=["even", "bread", "few"],
)
def test_the_composition_is_that_of_the_priors_within_two_points(prepared, weights):
    topics = curate(prepared, budget=12_000, priors=Priors(topics=weights)).report.topics
    assert (topics["after"] - topics["wanted"]).abs().max() <= 0.02
    assert not topics["gap_tokens"].any()


def test_a_topic_with_too_few_pages_gives_all_it_has_and_its_shortfall_is_named(prepared):
    found = curate(prepared, budget=60_000, priors=Priors(topics={"law": 10}))
    law = found.report.topics.set_index("topic").loc["law"]
    fit = found.choices[(found.choices["topic"] == "law") & ~found.choices["cause"].isin(["leaked", "below the floor"])]
    assert fit["kept"].all() and law["tokens"] == law["available_tokens"] == fit["tokens"].sum()
    assert law["gap_tokens"] == pytest.approx(10 / 13 * 60_000 - law["tokens"], abs=1)
    assert found.report.tokens >= 0.995 * 60_000  # what it could not fill went to the others
    assert "Law" in found.report._repr_html_()
    ledger = curation.gaps_left(pd.DataFrame({"topic": ["law", "bread", "unheard of"]}), found.report)
    assert ledger["gaps_left"].tolist() == [law["gap_tokens"], 0, 0]


def test_a_budget_above_all_fit_pages_takes_them_all(prepared):
    pages, _ = prepared
    found = curate(prepared, budget=sum(pages["tokens"]))
    fit = ~found.choices["cause"].isin(["leaked", "below the floor", "topic not wanted"])
    assert (found.choices["kept"] == fit).all() and found.report.gap_tokens > 0


def test_a_better_page_is_kept_before_a_worse_one_that_is_as_new(prepared):
    found = curate(prepared, priors=Priors(duplication=Duplication(novelty=0)), tokens=[200] * 1_200)
    for _, topic in found.choices[~found.choices["cause"].isin(["leaked", "topic not wanted", "no room"])].groupby("topic"):
        kept = topic["kept"]
        if kept.any() and not kept.all():
            assert topic["quality"][kept].nlargest(int(0.8 * kept.sum())).min() >= topic["quality"][~kept].max()


def test_near_copies_do_not_enter_twice_where_there_is_something_else():
    rng = np.random.default_rng(2)
    pages, vectors = corpus(rng, 600)
    vectors = unit(np.repeat(vectors[:100], 6, axis=0) + 0.02 * rng.normal(size=(600, 32)))
    arguments = {"topic": np.zeros(600, int), "leaked": np.zeros(600, bool), "tokens": np.full(600, 100), "budget": 4_000}
    found = curation.curate(pages, vectors, Priors(quality=Quality(floor=0)), **arguments)
    assert len(set(found.rows // 6)) == len(found.rows) == 40
    quality_only = curation.curate(pages, vectors, Priors(), method="quality-only", **arguments)
    assert len(set(quality_only.rows // 6)) < 40  # without novelty they do
    repeated = found.choices[found.choices["cause"] == "repeats a page"]
    told = repeated["reason"].str.extract(r"like (p\d+), which is kept")[0]
    assert len(repeated) > 50 and found.choices.set_index("id").loc[told, "kept"].all()


def test_quality_becomes_more_even_within_topics(prepared):
    report = curate(prepared).report
    assert report.spread < 0.7 * report.spread_before and report.quality > report.quality_before + 0.2


def test_groups_without_a_taxonomy_are_wanted_equally():
    pages, vectors = corpus(np.random.default_rng(3), shares=(0.5, 0.2, 0.1, 0.1, 0.1))
    topics = curation.curate(pages, vectors, Priors(topics={"unheard of": 3}), budget=12_000).report.topics
    assert (topics["wanted"] == 0.2).all() and (topics["after"] - 0.2).abs().max() < 0.02


def test_a_group_of_junk_that_nobody_named_gets_no_share_where_there_is_plenty_but_a_named_topic_does():
    rng = np.random.default_rng(9)
    pages, vectors = corpus(rng, shares=(0.25, 0.25, 0.25, 0.25, 0))
    topic = np.array(pages["topic"])
    quality = np.where(topic == "law", 0.35, rng.uniform(0.4, 1, len(topic)))
    given = {"topic": topic, "quality": quality, "leaked": np.zeros(len(topic), bool), "budget": 12_000}
    named = curation.curate(pages, vectors, Priors(), taxonomy=TOPICS, **given).report.topics.set_index("topic")
    groups = curation.curate(pages, vectors, Priors(), **given).report.topics.set_index("topic")
    assert named.loc["law", "after"] == pytest.approx(0.25, abs=0.02) and groups.loc["law", "pages"] == 0


def test_the_chosen_pages_keep_their_columns_and_carry_their_reason(prepared):
    found = curate(prepared)
    pages = found.pages(prepared[0])
    assert pages["id"][:] == [prepared[0]["id"][row] for row in found.rows] and all(pages["reason"])
    assert {"source", "quality", "topic"} <= set(pages.column_names)
    with pytest.raises(InputError, match="pass the same pages"):
        found.pages(pages)


def test_the_report_is_json_and_survives_being_stored(prepared):
    report = curate(prepared).report
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["method"] == "priors"
    assert decode(json.loads(json.dumps(encode(report)))).topics.equals(report.topics)


# --- the published methods -------------------------------------------------------------------------------------------


def test_every_order_holds_each_page_once():
    rng = np.random.default_rng(0)
    for name, order in ORDERS.items():
        for count in (1, 2, 50):
            assert sorted(order(unit(rng.normal(size=(count, 6))), rng.random(count), 0).tolist()) == list(range(count)), name


def test_top_quality_is_the_order_of_the_scores():
    assert ORDERS["top-quality"](np.ones((4, 1)), np.array([0.2, 0.9, 0.9, 0.1]), 0).tolist() == [1, 2, 0, 3]


def test_semdedup_takes_one_of_each_copy_before_any_second_and_d4_loses_none_to_what_it_prefers():
    rng = np.random.default_rng(4)
    vectors = unit(np.repeat(rng.normal(size=(50, 24)), 4, axis=0) + 0.001 * rng.normal(size=(200, 24)))
    semdedup, d4 = (ORDERS[method](vectors, np.ones(200), 0) for method in ("semdedup", "d4"))
    assert len(set(semdedup[:45] // 4)) == 45
    assert len(set(d4[:150] // 4)) == 50 and set(d4[:150]) == set(semdedup[:150])  # without its first step, 38 of the 50


def test_d4_prefers_pages_far_from_the_middle_of_their_cluster():
    rng = np.random.default_rng(6)
    spread = np.linspace(0.05, 1.5, 400)
    vectors = unit(np.array([1.0] + [0.0] * 15) + spread[:, None] * rng.normal(size=(400, 16)) / 4)
    order = ORDERS["d4"](vectors, np.ones(400), 0)
    assert spread[order[:100]].mean() > spread[order[200:300]].mean()


def test_density_sampling_takes_from_empty_places_more_often_than_from_crowded_ones():
    rng = np.random.default_rng(8)
    crowd = unit(np.array([1.0] + [0.0] * 15) + 0.05 * rng.normal(size=(900, 16)))
    vectors = np.concatenate([crowd, unit(rng.normal(size=(100, 16)))])
    taken = np.concatenate([ORDERS["density"](vectors, np.ones(1_000), seed)[:100] for seed in range(5)])
    assert (taken >= 900).mean() > 0.5  # a tenth by chance


def test_the_plane_of_methods_holds_what_each_would_choose(prepared):
    plane = curation.compare(*prepared, Priors(), [5_000, 20_000], methods=("priors", "semdedup", "random"), taxonomy=TOPICS)
    for method in ("priors", "semdedup", "random"):
        alone = curate(prepared, method, budget=5_000).report
        row = plane[(plane["method"] == method) & (plane["budget"] == 5_000)].iloc[0]
        assert (row["pages"], row["tokens"]) == (alone.pages, alone.tokens) and row["quality"] == pytest.approx(alone.quality)
    assert plane.groupby("budget")["diversity"].mean().is_monotonic_increasing


# --- for others ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chosen(prepared):
    found = curate(prepared)
    return found.pages(prepared[0]), found.report


def test_the_card_is_in_the_hubs_format_and_says_what_a_stranger_must_know(chosen):
    card = curation.dataset_card(*chosen, Priors(), licences={"docs/a": "mit"})
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["license"] == "other" and header["language"] == ["en"] and header["size_categories"] == ["n<1K"]
    assert "| docs/a | mit |" in card and "unknown" in card and curation.content_hash(chosen[0]) in card
    for part in ("## Composition", "## Funnel", "## Sources and licences", "## The priors", "novelty: 0.5"):
        assert part in card
    assert "<b>" not in card and "crawl&lt;/b&gt;\\|x" in card
    free = curation.dataset_card(*chosen, Priors(), licences=dict.fromkeys(chosen[0]["source"], "mit"))
    assert yaml.safe_load(free.split("---\n")[1])["license"] == "mit"


def test_the_hash_is_of_the_texts_in_whatever_order(chosen):
    pages, _ = chosen
    assert curation.content_hash(pages.shuffle(seed=1)) == curation.content_hash(pages) != curation.content_hash(pages.select(range(3)))


class Hub:
    """Stands in for the hub's client and remembers what it was asked."""

    def __init__(self, refuses=None):
        self.calls, self.refuses = [], refuses

    def create_repo(self, **asked):
        self.calls.append(("create", asked))
        if self.refuses:
            raise self.refuses

    def upload_file(self, **asked):
        self.calls.append((asked["path_in_repo"], asked))


def test_a_set_goes_to_the_hub_private_and_its_card_last(chosen):
    hub = Hub()
    assert curation.push_to_hub(chosen[0], "a card", "me/set", api=hub).endswith("/me/set")
    assert [name for name, _ in hub.calls] == ["create", "data/train.parquet", "README.md"]
    assert hub.calls[0][1]["private"] and hub.calls[2][1]["path_or_fileobj"] == b"a card"
    assert hub.calls[1][1]["path_or_fileobj"][:4] == b"PAR1"


def test_personal_data_stops_a_push_before_anything_is_sent():
    hub, pages = Hub(), Dataset.from_dict({"id": ["a", "b"], "text": ["nothing here", "write to jo.doe@example.org today"]})
    with pytest.raises(InputError, match=r"nothing was sent.*e-mail address \(1 pages, b the first\)"):
        curation.push_to_hub(pages, "card", "me/set", api=hub)
    assert hub.calls == []


def test_a_hub_that_refuses_is_one_sentence(chosen):
    with pytest.raises(InputError, match=r"401 Unauthorized.*HF_TOKEN") as caught:
        curation.push_to_hub(chosen[0], "card", "me/set", api=Hub(refuses=OSError("401 Unauthorized\nand a page of more")))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="write owner/name"):
        curation.push_to_hub(chosen[0], "card", "set", api=Hub())


def test_the_ledgers_repeat_the_papers_arithmetic():
    """Table 5: 8 billion tokens at 23.5 % of 548 billion are read about 16 times; table 4: 28 billion at 7.7 % about 1.5 times."""
    table = pd.DataFrame({"source": ["Restruct"], "tokens": [8_000_000_000]})
    own = pd.DataFrame({"source": ["own"], "tokens": [28_000_000_000]})
    rows = curation.ledgers({"D3": table, "D2": own}, Mixture(D1=100 - 23.5 - 7.7, D2=7.7, D3=23.5), 548_000_000_000).set_index("source")
    assert rows.loc["Restruct", "epochs"] == pytest.approx(16.1, abs=0.05) and rows.loc["own", "epochs"] == pytest.approx(1.5, abs=0.01)
    assert math.isnan(rows[rows["part"] == "D1"]["epochs"].iloc[0])


def test_a_parts_weight_is_shared_by_tokens_and_the_weights_sum_to_a_hundred():
    table = pd.DataFrame({"source": ["a", "b", "a"], "tokens": [10, 30, 20]})
    rows = curation.ledgers({"D1": table}, Mixture(), 600)
    assert rows["weight_percent"].sum() == pytest.approx(100)
    first = rows[rows["part"] == "D1"]
    assert first["source"].tolist() == ["a", "b"] and first["texts"].tolist() == [2, 1]
    assert (first["weight_percent"] / first["tokens"]).nunique() == 1 and first["epochs"].iloc[0] == pytest.approx(0.465 * 10)


# --- the command and the joining ---------------------------------------------------------------------------------------


@pytest.fixture
def corpus_at_hand(prepared, monkeypatch):
    """Lets the command find our pages prepared, so that it has only to choose and to write."""
    from hare_lab import preparing

    pages, vectors = prepared
    report = curate(prepared).report
    removed = pages.select([0, 1, 2]).add_column("step", ["load"] * 3).add_column("reason", ["empty"] * 3)
    ready = preparing.Prepared(pages, removed, vectors, TOPICS, {"quality": report})
    monkeypatch.setattr(preparing, "prepare_corpus", lambda *_, **__: ready)


def test_the_command_writes_the_set_what_became_of_each_page_a_card_and_a_report(corpus_at_hand, tmp_path, tmp_path_factory, capsys):
    from hare_lab import cli

    mine = Priors().save(tmp_path_factory.mktemp("priors") / "mine.yaml")
    cli.curate("pages.jsonl", tmp_path / "set.parquet", priors=mine, tokens=20_000)
    chosen, choices = (pd.read_parquet(tmp_path / f"set.parquet{end}") for end in ("", ".choices.parquet"))
    assert list(chosen["id"]) == list(choices["id"][choices["kept"]]) and len(choices) == 1_200
    report = json.loads((tmp_path / "set.parquet.report.json").read_text())
    assert report["tokens"] == chosen["tokens"].sum() and "quality" in report["steps"]
    assert "## Composition" in (tmp_path / "set.parquet.card.md").read_text()
    assert len(pd.read_parquet(tmp_path / "set.parquet.removed.parquet")) == 3
    assert len(list(tmp_path.iterdir())) == 5 and "pages chosen" in capsys.readouterr().out


def test_the_command_leaves_a_leak_and_a_copy_out_of_real_pages_and_knows_good_from_junk(tmp_path):
    truth = [page for page in sample_truth() if page["language"] == "en" and not page["leaks"] and not page["duplicate_of"]]
    pages = [page for tier in ("reference", "junk") for page in [page for page in truth if page["tier"] == tier][:30]]
    leaking, copied, tier = pages[0]["id"], pages[1]["id"], {page["id"]: page["tier"] for page in pages}
    rows = [{"id": page["id"], "text": page["text"]} for page in pages]
    item = load_items(DATA / "benchmark" / "items.jsonl").told(2)
    rows[0]["text"] = rows[0]["text"].replace("\n\n", f"\n\n{item}\n\n", 1)
    rows.append({"id": "copy", "text": rows[1]["text"]})
    (tmp_path / "pages.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["curate", str(tmp_path / "pages.jsonl"), "--out", str(tmp_path / "set.parquet"), "--tokens", "15000"]
    done = subprocess.run([sys.executable, "-m", "hare_lab.cli", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chosen, choices, removed = (pd.read_parquet(tmp_path / f"set.parquet{end}") for end in ("", ".choices.parquet", ".removed.parquet"))
    choices.index = choices["id"].str.removeprefix("pages.jsonl#")
    assert choices["cause"][leaking] == "leaked" and (choices["cause"] == "leaked").sum() <= 3
    (copy,) = removed["id"][removed["reason"] == "exact copy"].str.removeprefix("pages.jsonl#")
    assert copy in (copied, "copy") and len(choices) + len(removed) == 61 and 0 < chosen["tokens"].sum() <= 15_000
    quality = choices["quality"].groupby(choices.index.map(tier)).median()
    assert quality["reference"] > quality["junk"] + 0.2
    report = json.loads((tmp_path / "set.parquet.report.json").read_text())
    assert report["steps"]["quality"]["mean"] == pytest.approx(choices["quality"].mean())


def test_a_budget_above_the_corpus_is_named_and_nothing_is_written(corpus_at_hand, tmp_path):
    from hare_lab import cli

    with pytest.raises(InputError, match="give at most that many"):
        cli.curate("pages.jsonl", tmp_path / "set.parquet", tokens=10**9)
    assert list(tmp_path.iterdir()) == []


def test_a_budget_above_the_corpus_is_named_before_anything_is_embedded(monkeypatch):
    from hare_lab import corpus, embedding, mapping

    monkeypatch.setattr(embedding, "embed", lambda *_, **__: pytest.fail("it was embedded"))
    loaded = corpus.load([f"Page {number} tells of the weather on the coast, and of what the boats brought in." * 9 for number in range(3)])
    with pytest.raises(InputError, match="give at most that many"):
        mapping.distinct_pages(loaded, Priors(), budget=100_000)


def test_where_no_budget_is_given_and_the_priors_ask_for_more_than_there_is_all_there_is_is_the_budget(corpus_at_hand, tmp_path, capsys):
    from hare_lab import cli

    (tmp_path / "mine.yaml").write_text("topics: {law: 2}")
    cli.curate("pages.jsonl", tmp_path / "set.parquet", tmp_path / "mine.yaml")
    report = json.loads((tmp_path / "set.parquet.report.json").read_text())
    assert report["budget"] == report["available"] < Priors().tokens
    assert f"The priors ask for {Priors().tokens:,} tokens; all pages together have {report['budget']:,}." in capsys.readouterr().out


def test_an_engine_that_is_not_there_is_named_before_anything_is_read(tmp_path):
    from hare_lab import cli

    with pytest.raises(InputError, match="ray is not part of this version; --engine local"):
        cli.curate("nowhere.jsonl", tmp_path / "set.parquet", engine="ray")


def known_of(pages):
    ids = pages["id"][:]
    return {
        "scores": Dataset.from_dict(
            {"id": ids, "quality": pages["quality"][:], "likeness": pages["likeness"][:], "rules_failed": [""] * len(ids)}
        ),
        "placed": Dataset.from_dict({"id": ids, "topic": pages["topic"][:], "topic_similarity": [0.5] * len(ids)}),
        "leakage": Dataset.from_dict({"id": ids, "leak": [0.0] * len(ids), "leaked": pages["leaked"][:]}),
    }


def test_what_is_known_of_each_page_is_joined_in_order_and_other_pages_are_refused(prepared):
    from hare_lab.preparing import prepare

    bare = prepared[0].select_columns(["id", "text", "title", "source"])
    joined = prepare(bare, **known_of(prepared[0]))
    assert joined["topic"][:] == prepared[0]["topic"][:] and joined["leaked"][:] == prepared[0]["leaked"][:]
    assert joined["tokens"][:] == [len(text) for text in bare["text"]]
    theirs = prepare(bare.add_column("topic", ["my own"] * len(bare)), **known_of(prepared[0]))
    assert theirs["topic"][:] == joined["topic"][:] and set(theirs["own_topic"]) == {"my own"}
    with pytest.raises(InputError, match='"placed" is about other pages'):
        prepare(bare, **{**known_of(prepared[0]), "placed": known_of(prepared[0].shuffle(seed=1))["placed"]})


def test_the_whole_funnel_goes_from_what_was_read_to_what_was_chosen(prepared):
    from hare_lab.preparing import whole_funnel

    report = curate(prepared).report
    removed = Dataset.from_dict({"step": ["clean", "clean", "dedup"], "reason": ["too short", "too short", "exact copy"]})
    funnel = whole_funnel(Dataset.from_dict({"id": list(map(str, range(1_210)))}), removed, report.funnel)
    assert funnel["pages"].iloc[0] == 1_213 and funnel["pages"].iloc[-1] == report.pages
    assert (funnel["pages"].diff().iloc[1:] == -funnel["removed"].iloc[1:]).all()
    assert funnel.set_index("step").loc["semantic copy", "removed"] == 10


def test_a_prior_is_turned_without_touching_the_one_it_came_from(tmp_path):
    from hare_lab import priors

    before = Priors(topics={"bread": 2.0})
    after = before.turned(topics={"chess": 3}, floor=0.7, novelty=0.1, tokens=5)
    assert (after.topics, after.quality.floor, after.duplication.novelty, after.tokens) == ({"bread": 2.0, "chess": 3}, 0.7, 0.1, 5)
    assert before == Priors(topics={"bread": 2.0}) and priors.load(after.save(tmp_path / "mine.yaml")).to_dict() == after.to_dict()
    with pytest.raises(InputError, match="between 0 and 1"):
        before.turned(novelty=2)


def test_the_demos_licences_are_those_that_its_packages_state():
    found = demo_licences(["sample", "docs/numpy", "docs/no-such-package", "mine"])
    assert found["sample"] == "CC-BY-4.0" and "BSD" in found["docs/numpy"] and set(found) == {"sample", "docs/numpy"}


# --- the count model of the benchmarks ---------------------------------------------------------------------------------


@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 99))
def test_the_chances_that_counts_give_the_next_token_add_up_to_one(vocabulary, order, seed):
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    from _ngrams import token_bits

    rng = np.random.default_rng(seed)
    read, before = rng.integers(0, vocabulary, 80), rng.integers(0, vocabulary, 5)
    asked = [np.append(before, token) for token in range(vocabulary)]
    assert sum(2 ** -token_bits(read, row, vocabulary, order=order)[-1] for row in asked) == pytest.approx(1)
    read, other = rng.integers(0, 9, (2, 80))  # of few signs one after another, any text may be foretold better than the one that was read
    assert token_bits(read, read, 9, order=4).mean() < token_bits(other, read, 9, order=4).mean()


# --- the crawl-like pool of the benchmarks ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool():
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    from crawl_pool import crawl_pool

    words = [f"w{number}" for number in range(500)]
    rng = np.random.default_rng(0)
    posts = [
        {
            "id": f"{label}-{row}",
            "label": f"l{label:02}",
            "title": "",
            "text": "\n\n".join(" ".join(rng.choice(words, 40)) for _ in range(3)),
        }
        for label in range(30)
        for row in range(120)
    ]
    web = [{"id": f"web-{row}", "source": "c4", "text": " ".join(rng.choice(words, 60))} for row in range(900)]
    return crawl_pool(posts, web, seed=3, pages=2_000), crawl_pool(posts, web, seed=3, pages=2_000)


def test_the_pool_is_skewed_repeats_itself_and_holds_junk_as_it_says(pool):
    rows = pd.DataFrame(pool[0].rows)
    shares = rows["kind"].value_counts() / 2_000
    assert shares["copy"] == pytest.approx(0.3, abs=0.02) and shares["junk"] == 0.12 and shares["web"] == 0.28
    sizes = rows[rows["kind"].isin(["original", "copy"])]["label"].value_counts().to_numpy()
    assert sizes[:8] * np.arange(1, 9) == pytest.approx(sizes[0], rel=0.15)  # 1 / rank
    assert rows["id"].is_unique and set(rows["copy_of"]) - {""} <= set(rows[rows["kind"] == "original"]["id"])
    assert 100 < rows["copy_of"].nunique() - 1 <= 330


def test_what_is_held_out_is_balanced_and_in_no_copy_of_the_pool(pool):
    held = pd.DataFrame(pool[0].held)
    assert set(held["label"].value_counts()) == {10} and not set(held["id"]) & set(pd.DataFrame(pool[0].rows)["id"])


def test_the_pool_follows_from_its_seed(pool):
    assert pool[0] == pool[1]


# --- figures ---------------------------------------------------------------------------------------------------------


def test_the_composition_says_the_largest_change_and_escapes_names():
    table = pd.DataFrame({"name": ["<b>code</b>", "bread"], "before": [0.9, 0.1], "after": [0.5, 0.5], "wanted": [0.5, 0.5]})
    figure = figures.composition(table)
    assert "falls from 90" in figure.layout.title.text and "<b>code" not in figure.layout.title.text
    assert "2 of 2 topics within 2 points" in figure.layout.title.subtitle.text
    assert "<b>code" not in json.dumps(figure.to_plotly_json()["layout"]["yaxis"]["ticktext"])


def test_pages_of_no_topic_are_neither_counted_nor_the_headline():
    table = pd.DataFrame(
        {"name": ["bread", "tea", "other"], "before": [0.1, 0.2, 0.7], "after": [0.55, 0.45, 0.0], "wanted": [0.5, 0.5, 0.0]}
    )
    figure = figures.composition(table)
    assert "“bread” rises from 10" in figure.layout.title.text and list(figure.layout.yaxis.ticktext) == ["other", "tea", "bread"]
    assert "0 of 2 topics within 2 points of the priors; “other”: pages of no topic" in figure.layout.title.subtitle.text
    points = pd.DataFrame({"x": [0.0, 1, 2], "y": 0.0, "kept": [True, False, False], "topic": ["bread", "tea", "other"]})
    assert "from 1 of 2 topics" in figures.before_after_map(points).layout.title.text


def test_the_map_after_holds_the_chosen_pages_where_they_were():
    points = pd.DataFrame({"x": [0.0, 1, 2], "y": [0.0, 1, 2], "kept": [True, False, True], "topic": ["a", "a", "b"]})
    before, left_out, after = figures.before_after_map(points).data
    assert list(before.x) == [0, 1, 2] and list(after.x) == [0, 2] and list(left_out.x) == [1]
    assert after.marker.color[1] == before.marker.color[2]


def test_the_plane_names_a_method_that_is_ahead_of_the_priors():
    plane = pd.DataFrame({"method": ["priors", "d4"], "budget": [10, 10], "quality": [0.5, 0.6], "diversity": [5.0, 4.0]})
    assert "No other method" in figures.quality_diversity(plane).layout.title.text
    assert "“d4” is at least" in figures.quality_diversity(plane.assign(diversity=[5.0, 5.0])).layout.title.text


@pytest.mark.parametrize("draw", [figures.composition, figures.before_after_map, figures.quality_diversity])
def test_a_table_without_its_columns_is_named(draw):
    with pytest.raises(InputError, match="is missing"):
        draw(pd.DataFrame({"z": [1]}))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"budget": 0}, "the budget is 0 tokens; give at least 1"),
        ({"budget": 10**9}, "the budget is 1,000,000,000 tokens but all pages together have"),
        ({"method": "best"}, 'method "best" is unknown; choose one of priors'),
        ({"priors": Priors(topics={"astrology": 2})}, 'the priors weigh the topic "astrology", which the taxonomy does not have'),
        ({"topic": ["war"] * 1_200}, 'the topic "war" of row 0 is not in the taxonomy'),
        ({"quality": [0.5] * 3}, "1,200 pages but 3 entries of quality"),
        ({"quality": [2.0] * 1_200}, "the quality of row 0 is 2.0"),
        ({"quality": [float("nan")] * 1_200}, "the quality of row 0 is nan"),
        ({"quality": ["good"] * 1_200}, "quality holds what is no number"),
        ({"tokens": [-1] * 1_200}, "row 0 has -1 tokens"),
        ({"tokens": [float("nan")] * 1_200}, "tokens holds what is no number"),
        ({"leaked": [False, np.nan] * 600}, "leaked of row 1 is nan; give True or False for each page"),
        ({"leaked": ["False"] * 1_200}, "leaked of row 0 is 'False'"),
    ],
)
def test_bad_input_is_one_sentence(prepared, change, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        curate(prepared, **change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("vectors", [np.ones((3, 4)), np.ones(1_200), np.zeros((1_200, 4)), np.full((1_200, 4), np.nan)])
def test_vectors_that_do_not_fit_the_pages_are_named(prepared, vectors):
    with pytest.raises(InputError, match="vector"):
        curate((prepared[0], vectors))


def test_a_missing_column_and_an_empty_corpus_are_named(prepared):
    pages, vectors = prepared
    with pytest.raises(InputError, match=r'no column "quality"; pass quality=\.\.\., which quality\.score makes'):
        curation.curate(pages.remove_columns("quality"), vectors, Priors(), budget=100)
    with pytest.raises(InputError, match="there is no page"):
        curation.curate(pages.select([]), vectors[:0], Priors(), budget=100)
    assert curation.curate(pages.remove_columns(["leaked", "tokens"]), vectors, Priors(), budget=900).report.available > 900


@pytest.mark.parametrize("method", curation.METHODS)
def test_a_corpus_whose_pages_have_all_leaked_leaves_an_empty_set(prepared, method):
    assert curate(prepared, method, leaked=[True] * 1_200).report.pages == 0


def test_priors_that_want_nothing_are_named():
    with pytest.raises(InputError, match="no topic has a weight above 0"):
        curation.topic_weights(Priors(), [Topic("a", "A", "about a", 0.0, "")])


@pytest.mark.parametrize(
    ("sets", "tokens", "sentence"),
    [({}, 0, "reads nothing"), ({"D9": None}, 5, "part D9 is unknown"), ({"D1": pd.DataFrame({"a": [1]})}, 5, "needs the columns")],
)
def test_ledgers_name_what_is_wrong(sets, tokens, sentence):
    with pytest.raises(InputError, match=sentence):
        curation.ledgers(sets, Mixture(), tokens)
