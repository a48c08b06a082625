"""Coverage: planted topics are found by their descriptions, planted gaps head the ledger, and intervals hold what they promise."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import hare_lab
from hare_lab import corpus, coverage, embedding, figures, notebook, texts
from hare_lab.cli.coverage import _for_spreadsheets
from hare_lab.cli.coverage import coverage as coverage_command
from hare_lab.clustering.neighbours import unit
from hare_lab.coverage import measures, placing
from hare_lab.coverage import reference as references
from hare_lab.coverage.placing import topic_scores
from hare_lab.coverage.reference import _pages_or_items
from hare_lab.errors import InputError
from hare_lab.figures.coverage import OVER, UNDER
from hare_lab.run.reports import decode, encode
from hare_lab.texts import Topic

ROOT = Path(__file__).parent.parent
RARE = ["astronomy", "beekeeping", "chess", "geology", "oceanography"]
WEIGHTS = arrays.arrays(np.float64, st.integers(2, 8), elements=st.floats(0.001, 100))


@pytest.fixture(scope="module")
def sample():
    """The bundled pages without junk and copies: pages, vectors, and the topic that each was written for."""
    rows = [row for row in texts.sample_truth() if row["tier"] != "junk" and not row["duplicate_of"]]
    kept = [row for row in rows if row["topic"] in RARE] + [row for row in rows if row["topic"] not in RARE][::3]
    pages = corpus.load([{key: row[key] for key in ("id", "text", "title")} for row in kept]).pages
    return pages, embedding.embed(pages).vectors, np.array([row["topic"] for row in kept])


@pytest.fixture(scope="module")
def everyday():
    return coverage.from_taxonomy(texts.taxonomy())


@pytest.fixture(scope="module")
def covered(sample, everyday):
    pages, vectors, _ = sample
    return coverage.cover(pages, vectors, everyday)


# --- placing ----------------------------------------------------------------------------------------------------------


def test_descriptions_alone_place_most_pages_where_they_were_meant(sample, covered):
    _, _, truth = sample
    assert np.mean(np.array(covered.placed["topic"][:]) == truth) >= 0.78


def test_pages_of_topics_that_the_reference_lacks_are_other(sample):
    pages, vectors, truth = sample
    left_out = ["cooking", "football", "medicine", "law"]
    short = coverage.from_taxonomy([topic for topic in texts.taxonomy() if topic.id not in left_out])
    placed = np.array(coverage.cover(pages, vectors, short).placed["topic"][:])
    outside = np.isin(truth, left_out)
    assert np.mean(placed[outside] == "other") >= 0.6 and np.mean(placed[~outside] == "other") <= 0.15


def test_the_order_of_pages_changes_nothing(sample, everyday):
    _, vectors, _ = sample
    order = np.random.default_rng(1).permutation(len(vectors))
    straight, turned = (coverage.place(rows, everyday).topic for rows in (vectors, vectors[order]))
    assert np.mean(straight[order] == turned) > 0.99  # ties among neighbours may fall otherwise


@pytest.mark.parametrize(("given", "relative"), [(None, -1), (0.2, 0)])
def test_a_near_relative_is_other_unless_the_reference_of_pages_brought_its_own_floor(monkeypatch, given, relative):
    """Topics of two groups of pages each; the second group of the first topic fits it half as well."""
    draw = np.random.default_rng(0)
    group = np.repeat([0, 1, 2, 3], 40)
    vectors = unit(np.eye(16)[group] + 0.08 * draw.normal(size=(160, 16)))
    scores = np.array([[0.8, 0.1], [0.4, 0.1], [0.1, 0.8], [0.1, 0.75]])[group] + 0.02 * draw.normal(size=(160, 2))
    monkeypatch.setattr(placing, "topic_scores", lambda *_: scores.astype("f4"))
    floor = 0.21 if given is None else given
    monkeypatch.setattr(placing, "_strangers", lambda *_: (np.empty((160, 0), "f4"), floor, 0.085))
    topics = tuple(Topic(name, name, name, 1.0, "") for name in "ab")
    reference = coverage.Reference(
        topics, np.eye(2, 16, dtype="f4"), np.arange(2), ("", ""), "pages", floors=None if given is None else np.full(2, given)
    )
    np.testing.assert_array_equal(coverage.place(vectors, reference).topic, np.array([0, relative, 1, 1])[group])


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_few_pages_and_copies_are_placed(sample, everyday, count):
    _, vectors, _ = sample
    for rows in (vectors[:count], vectors[:1].repeat(count, axis=0)):
        topic = coverage.place(rows, everyday).topic
        assert topic.shape == (count,) and ((topic >= -1) & (topic < len(everyday.topics))).all()


SIGNS = [{"id": f"s{n}", "text": "!" * (n + 3)} for n in range(30)]
BREAD = [{"id": f"p{n}", "text": f"Bread needs flour and yeast, loaf {n}."} for n in range(3)]


def test_pages_without_a_word_are_other_and_change_nothing_for_the_rest(everyday):
    pages = corpus.load([*SIGNS, {"id": "figures", "text": "12 + 30 = 42"}, *BREAD]).pages
    vectors = embedding.embed(pages).vectors
    found = coverage.cover(pages, vectors, everyday)
    assert found.placed["topic"][:] == ["other"] * 31 + ["cooking"] * 3
    alone = coverage.cover(pages.select(range(31, 34)), vectors[31:], everyday)
    assert found.report.covered.value == alone.report.covered.value
    bread = [table.gaps.set_index("topic").loc["cooking", "nearest"] for table in (found, alone)]
    assert bread[0] == bread[1] and len(bread[0]) == 3
    assert found.report.wordless == 31 and "without a word, in no topic: 31." in found.report.summary()
    assert "without a word" in found.report._repr_html_() and "without a word" not in alone.report._repr_html_()


def test_a_title_of_words_or_a_letter_of_any_script_is_a_word(everyday):
    pages = Dataset.from_dict({"id": list("abcd"), "text": ["...", "...", "語", "!"], "title": ["Baking bread", None, "", "1"]})
    report = coverage.cover(pages, np.eye(4, everyday.points.shape[1], dtype="f4"), everyday).report
    assert report.wordless == 2


def test_a_corpus_without_a_word_is_refused(everyday):
    pages = corpus.load(SIGNS).pages
    with pytest.raises(InputError, match="no page holds a word, only signs and figures"):
        coverage.cover(pages, embedding.embed(pages).vectors, everyday)


def test_a_score_is_the_mean_of_the_three_points_that_lie_nearest():
    generator = np.random.default_rng(0)
    points, pages = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (generator.normal(size=(7, 5)), generator.normal(size=(9, 5)))
    )
    found = [Topic(name, name, name, 0.5, "") for name in "ab"]
    reference = coverage.Reference(tuple(found), points.astype("f4"), np.array([0] * 5 + [1] * 2), ("",) * 7, "taxonomy")
    likeness = pages @ points.T
    expected = [[np.sort(row[:5])[-3:].mean(), row[5:].mean()] for row in likeness]
    np.testing.assert_allclose(topic_scores(pages.astype("f4"), reference), expected, atol=1e-6)


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_the_ledger_accounts_for_every_page_and_token(sample, covered):
    pages, _, _ = sample
    gaps = covered.gaps
    assert gaps["pages"].sum() == len(pages) and gaps["tokens"].sum() == corpus.token_counts(pages["text"]).sum()
    assert gaps["have"].sum() == pytest.approx(1) and gaps["wanted"].sum() == pytest.approx(1)
    np.testing.assert_allclose(gaps["gap_tokens"], (gaps["wanted"] - gaps["have"]) * gaps["tokens"].sum(), atol=1)
    assert (gaps["low"] <= gaps["have"]).all() and (gaps["have"] <= gaps["high"]).all()
    assert gaps["gap_tokens"].is_monotonic_decreasing and set(gaps["topic"]) == {"other", *(topic.id for topic in texts.taxonomy())}
    counts = dict(zip(*np.unique(covered.placed["topic"][:], return_counts=True), strict=True))
    assert all(counts.get(topic, 0) == n for topic, n in zip(gaps["topic"], gaps["pages"], strict=True))


def test_a_topic_whose_pages_are_removed_is_the_widest_gap(sample, everyday):
    pages, vectors, truth = sample
    for gone in ("cooking", "weather", "law"):
        kept = np.flatnonzero((truth != gone) & ~np.isin(truth, RARE))
        gaps = coverage.cover(pages.select(kept), vectors[kept], everyday).gaps
        assert gone in list(gaps["topic"][: len(RARE) + 1])


def test_the_nearest_pages_of_a_topic_are_about_it(sample, covered):
    pages, _, truth = sample
    topic_of = dict(zip(pages["id"], truth, strict=True))
    gaps = covered.gaps[covered.gaps["topic"] != "other"]
    right = [topic_of[page] == topic for topic, nearest in zip(gaps["topic"], gaps["nearest"], strict=True) for page in nearest[:1]]
    assert np.mean(right) >= 0.85 and all(len(nearest) == 5 for nearest in gaps["nearest"])


def test_weights_of_the_priors_change_what_is_wanted_and_nothing_else(sample, covered):
    pages, vectors, _ = sample
    weighted = coverage.cover(pages, vectors, coverage.from_taxonomy(texts.taxonomy(), {"chess": 35.0, "law": 0.0})).gaps.set_index("topic")
    assert weighted.loc["chess", "wanted"] == pytest.approx(35 / 69) and weighted.loc["law", "wanted"] == 0
    assert weighted.index[0] == "chess"
    assert weighted["have"].to_dict() == covered.gaps.set_index("topic")["have"].to_dict()


def test_a_weight_of_other_is_for_the_choice_and_no_mistake_here():
    plain, weighted = (coverage.from_taxonomy(texts.taxonomy(), weights) for weights in (None, {"other": 0.5}))
    assert weighted.topics == plain.topics


def test_the_column_of_the_corpus_is_that_of_the_reference_too_where_it_has_one(tmp_path):
    model = lambda found: np.eye(8, dtype=np.float32)[[len(text) % 8 for text in found]]  # noqa: E731
    for name in ("body", "text"):
        (tmp_path / name).with_suffix(".jsonl").write_text(
            "".join(json.dumps({name: "x" * n, "topic": f"t{n % 4}"}) + "\n" for n in range(1, 41))
        )
    found = [coverage.load_reference(tmp_path / f"{name}.jsonl", column="body", model=model).topics for name in ("body", "text")]
    assert found[0] == found[1]


def test_a_reference_remembers_what_embedded_it(tmp_path):
    model = lambda found: np.eye(8, dtype=np.float32)[[len(text) % 8 for text in found]]  # noqa: E731
    (tmp_path / "r.jsonl").write_text("".join(json.dumps({"text": "x" * n, "topic": f"t{n % 4}"}) + "\n" for n in range(1, 41)))
    assert coverage.load_reference(tmp_path / "r.jsonl", model=model).model is model


def test_density_counts_the_pages_near_a_topic_and_falls_with_them(sample, everyday, covered):
    pages, vectors, truth = sample
    gaps = covered.gaps.set_index("topic")
    likeness = vectors @ everyday.points.T
    for number, topic in enumerate(everyday.topics[:5]):
        near = (likeness[:, everyday.owner == number] >= covered.report.radius).any(axis=1).mean()
        assert gaps.loc[topic.id, "density"] == pytest.approx(1000 * near)
    assert gaps.loc["other", "density"] == pytest.approx(1000 * (likeness < covered.report.radius).all(axis=1).mean())
    for gone in ("cooking", "law"):
        kept = np.flatnonzero((truth != gone) & (np.array(covered.placed["topic"][:]) != gone))
        left = coverage.cover(pages.select(kept), vectors[kept], everyday).gaps.set_index("topic")
        assert left.loc[gone, "density"] < gaps.loc[gone, "density"] / 4


# --- measures ---------------------------------------------------------------------------------------------------------


@given(WEIGHTS)
def test_divergence_is_none_from_itself_and_whole_from_what_shares_nothing(weights):
    assert measures.divergence(weights, 3 * weights) == pytest.approx(0, abs=1e-9)
    apart = np.concatenate([weights, np.zeros(3)]), np.concatenate([np.zeros(len(weights)), np.ones(3)])
    assert measures.divergence(*apart) == pytest.approx(1)


@given(st.data())
def test_divergence_is_symmetric_and_lies_between_nothing_and_one_bit(data):
    one = data.draw(WEIGHTS)
    other = data.draw(arrays.arrays(np.float64, len(one), elements=st.floats(0.001, 100)))
    there, back = measures.divergence(one, other), measures.divergence(other, one)
    assert 0 <= there <= 1 and there == pytest.approx(back)


def test_divergence_agrees_with_scipy():
    from scipy.spatial.distance import jensenshannon

    one, other = np.random.default_rng(0).random((2, 9))
    assert measures.divergence(one, other) == pytest.approx(jensenshannon(one, other, base=2) ** 2)


def test_share_intervals_hold_the_share_of_the_source():
    truth, missed = np.array([0.02, 0.08, 0.3, 0.6]), []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        topic = generator.choice(4, p=truth, size=600)
        tokens = generator.lognormal(0, 0.5, size=600)
        shares, _ = measures.redraw(topic, tokens, 4, seed)
        low, high = measures.share_intervals(shares, np.bincount(topic, minlength=4), 600)
        missed.append([truth < low, high < truth])
    below, above = np.mean(missed, axis=(0, 2))
    assert 0.005 <= below <= 0.05 and 0.005 <= above <= 0.05


def test_a_topic_without_a_page_may_yet_have_three_in_n():
    shares, _ = measures.redraw(np.zeros(300, int), np.ones(300), 2, 0)
    low, high = measures.share_intervals(shares, np.array([300, 0]), 300)
    assert low[1] == 0 and high[1] == pytest.approx(0.01)
    assert low[0] == high[0] == 1


def test_the_interval_of_a_mean_misses_it_as_often_as_it_says_and_on_either_side():
    missed = []
    for seed in range(400):
        generator = np.random.default_rng(seed)
        values = generator.normal(size=50)
        found = measures.estimate(values.mean(), values[generator.integers(50, size=(300, 50))].mean(axis=1), -np.inf)
        missed.append([found.low > 0, found.high < 0])
    below, above = np.mean(missed, axis=0)
    assert 0.01 <= below <= 0.05 and 0.01 <= above <= 0.05


def test_the_interval_of_a_divergence_reaches_down_to_that_of_the_source_and_no_further_than_it_must():
    source, wanted = np.repeat([0.06, 0.04], 10), np.full(20, 0.05)  # so few pages look further off than their source is
    found = []
    for seed in range(100):
        topic = np.random.default_rng(seed).choice(20, p=source, size=200)
        drawn = measures.divergence(measures.redraw(topic, np.ones(200), 20, seed)[0], wanted)
        found.append(measures.estimate(float(measures.divergence(np.bincount(topic, minlength=20), wanted)), drawn, 0, 1))
    assert sum(e.low <= measures.divergence(source, wanted) <= e.high for e in found) >= 93
    reach = np.mean([[e.value - e.low, e.high - e.value] for e in found], axis=0)
    assert reach.max() <= 3.6 * np.std([e.value for e in found])


def test_coverage_falls_as_the_radius_tightens(covered):
    curve = covered.report.table()
    assert (
        curve["covered"].is_monotonic_decreasing and (curve["low"] <= curve["covered"]).all() and (curve["covered"] <= curve["high"]).all()
    )


# --- pages as a reference ---------------------------------------------------------------------------------------------


def test_a_corpus_against_itself_lacks_little(sample):
    pages, vectors, truth = sample
    import pyarrow as pa

    labelled = corpus.pages.with_columns(pages, {"topic": pa.array(truth.tolist())})
    found = coverage.cover(pages, vectors, coverage.from_pages(labelled, vectors))
    assert found.report.divergence.value < 0.05 and found.report.other.value < 0.1
    assert np.mean(np.array(found.placed["topic"][:]) == truth) > 0.8


def test_pages_that_a_reference_has_not_seen_belong_to_its_topics(sample):
    pages, vectors, truth = sample
    order = np.random.default_rng(0).permutation(len(pages))
    seen, unseen = np.array_split(order, 2)
    half = pages.select(seen).add_column("topic", truth[seen].tolist())
    topic = coverage.place(vectors[unseen], coverage.from_pages(half, vectors[seen])).topic
    assert np.mean(topic == -1) <= 0.1


def test_pages_of_the_topics_that_a_benchmark_asks_about_are_not_other(sample):
    _, vectors, truth = sample
    reference = coverage.load_reference(ROOT / "data" / "benchmark" / "items.jsonl")
    ids = np.array([*(topic.id for topic in reference.topics), "other"])
    placed = ids[coverage.place(vectors, reference).topic]
    assert np.mean(placed == "other") <= 0.15 and np.mean(placed == truth) >= 0.6


def test_a_topic_told_with_one_voice_reaches_less_far_than_one_of_many(monkeypatch):
    """Two topics of pages that lie close together and far apart; new pages lie a little off the first and as far within the second."""
    draw = np.random.default_rng(0)
    around = lambda axis, spread, n: unit(np.eye(32)[axis] + spread * draw.normal(size=(n, 32)))  # noqa: E731
    vectors = np.concatenate([around(0, 0.05, 60), around(1, 0.25, 60)]).astype("f4")
    pages = Dataset.from_dict({"text": ["x"] * 120, "topic": ["tight"] * 60 + ["wide"] * 60})
    reference = coverage.from_pages(pages, vectors)
    assert reference.floors[0] > reference.floors[1] + 0.1
    monkeypatch.setattr(placing, "_strangers", lambda rows, _: (np.empty((len(rows), 0), "f4"), 0.2, 0.085))
    off = np.concatenate([around(0, 0.12, 40), around(1, 0.12, 40)]).astype("f4")
    topic = coverage.place(off, reference).topic
    assert np.mean(topic[:40] == -1) > 0.9 and (topic[40:] == 1).all()


def test_a_lone_page_tells_no_reach_and_its_topic_has_that_of_all():
    pages = Dataset.from_dict({"text": ["x"] * 41, "topic": ["a"] * 40 + ["b"]})
    vectors = unit(np.eye(8)[[0] * 40 + [1]] + 0.2 * np.random.default_rng(0).normal(size=(41, 8)))
    floors = coverage.from_pages(pages, vectors).floors
    assert floors[0] == pytest.approx(floors[1]) == pytest.approx(np.quantile(references._held_out(vectors[:40], 0), references.OUT))


def test_a_floor_of_pages_too_few_to_tell_is_that_of_unrelated_descriptions(sample, everyday):
    _, vectors, _ = sample
    few = replace(everyday, kind="pages", floors=np.full(len(everyday.topics), 0.01))
    assert coverage.place(vectors[:9], few).floor == coverage.place(vectors[:9], everyday).floor


def test_a_benchmark_of_questions_is_a_reference(tmp_path):
    reference = coverage.load_reference(ROOT / "data" / "benchmark" / "items.jsonl")
    assert {topic.id for topic in reference.topics} <= {topic.id for topic in texts.taxonomy()}
    assert sum(topic.weight for topic in reference.topics) == pytest.approx(1) and ((reference.floors > 0) & (reference.floors < 1)).all()


def test_the_choices_of_a_benchmark_are_read_in_every_shape(tmp_path):
    both = ["a bee", "a wasp"]
    for name, choices in {"list": both, "hub": {"text": both, "label": ["A", "B"]}, "letters": dict(zip("AB", both, strict=True))}.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps({"question": f"Which buzzes {n}?", "choices": choices}) for n in range(3)))
        assert _pages_or_items(path, None, 0)["text"][0] == "Which buzzes 0?\na bee\na wasp"


def by_length(found):
    """A model that tells texts apart by their length alone."""
    return np.eye(8, dtype=np.float32)[[len(text) % 8 for text in found]]


def items(path, key, n=40, **columns):
    """A benchmark with its questions under `key`."""
    path.write_text("".join(json.dumps({key: "x" * (row + 1), **{k: v(row) for k, v in columns.items()}}) + "\n" for row in range(n)))
    return path


@pytest.mark.parametrize(("key", "column"), [("ctx", None), ("goal", None), ("prompt", None), ("text", None), ("stem", "stem"), ("q", "q")])
def test_items_are_read_with_their_choices_whatever_their_question_is_called(tmp_path, key, column):
    path = items(tmp_path / "items.jsonl", key, endings=lambda row: ["a bee", "a wasp"])
    assert _pages_or_items(path, column, 0)["text"][0] == "x\na bee\na wasp"


def test_the_key_to_the_answers_is_no_topic(tmp_path, monkeypatch):
    answers = {"choices": lambda row: ["a", "b", "c", "d"], "label": lambda row: row % 4}
    keyed = items(tmp_path / "keyed.jsonl", "question", **answers, category=lambda row: f"t{row % 2}")
    found = coverage.load_reference(keyed, model=by_length)
    assert [topic.id for topic in found.topics] == ["t0", "t1"] and found.named_by == 'its column "category"'
    monkeypatch.setattr(references, "_clusters", lambda pages, *_: [f"c{row % 2}" for row in range(len(pages))])
    found = coverage.load_reference(items(tmp_path / "bare.jsonl", "question", **answers), model=by_length)
    assert [topic.id for topic in found.topics] == ["c0", "c1"] and found.named_by == "clusters of its pages"


def test_the_report_names_the_column_that_the_topics_come_from():
    pages, vectors, reference = labelled(["a", "b"] * 15)
    report = coverage.cover(pages.add_column("id", [str(row) for row in range(30)]), vectors, reference).report
    assert 'Topics of the reference by its column "label".' in report.summary() and "its column &quot;label&quot;" in report._repr_html_()
    assert report.to_dict()["named_by"] == 'its column "label"'


def test_a_reference_of_one_cluster_is_refused(monkeypatch):
    monkeypatch.setattr(references, "_clusters", lambda pages, *_: ["all"] * len(pages))
    with pytest.raises(InputError, match="30 pages of the reference are one cluster"):
        labelled(["a"] * 30)


def test_what_is_wanted_is_counted_in_the_tokens_that_are_asked_for(tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr(corpus, "token_counts", lambda found, tokenizer="": counted.append(tokenizer) or np.ones(len(found), int))
    path = items(tmp_path / "items.jsonl", "text", topic=lambda row: f"t{row % 2}")
    coverage.load_reference(path, model=by_length)
    coverage.load_reference(path, model=by_length, tokenizer="some")
    assert counted == ["", "some"]


def labelled(labels, by=None):
    """A reference of 16-letter pages with these labels, in two groups of vectors."""
    pages = Dataset.from_dict({"text": ["sixteen letters."] * len(labels), "label": labels})
    vectors = np.eye(8, dtype=np.float32)[[row % 2 for row in range(len(labels))]]
    return pages, vectors, coverage.from_pages(pages, vectors, by=by)


def test_what_the_pages_of_a_reference_call_other_is_wanted_like_the_rest():
    pages, vectors, reference = labelled(["music", "other"] * 40)
    assert {topic.id: topic.weight for topic in reference.topics} == {"music": 0.5, "other of the reference": 0.5}
    gaps = coverage.cover(pages.add_column("id", [str(n) for n in range(80)]), vectors, reference).gaps.set_index("topic")
    assert gaps["wanted"].to_dict() == {"music": 0.5, "other of the reference": 0.5, "other": 0}


@pytest.mark.parametrize("missing", [None, "", " "])
def test_pages_without_a_label_are_no_topic_and_counted(missing):
    _, _, reference = labelled(["a", "b"] * 15 + [missing] * 10)
    assert [(topic.id, topic.weight) for topic in reference.topics] == [("a", 0.5), ("b", 0.5)]
    assert reference.unlabelled == 10 and set(reference.owner.tolist()) == {0, 1}


def test_missing_numbers_are_no_topic():
    _, _, reference = labelled([1.0, 2.0] * 15 + [float("nan")] * 10)
    assert [topic.id for topic in reference.topics] == ["1.0", "2.0"] and reference.unlabelled == 10


def test_the_report_says_how_many_pages_of_the_reference_were_left_out():
    pages, vectors, reference = labelled(["a", "b"] * 15 + [None] * 10)
    own = pages.add_column("id", [str(row) for row in range(len(pages))])
    report = coverage.cover(own, vectors, reference).report
    assert report.unlabelled == 10 and "without a label, left out: 10." in report.summary()
    assert "without a label, left out</td>" in report._repr_html_()
    _, _, whole = labelled(["a", "b"] * 15)
    assert "without a label" not in (report := coverage.cover(own, vectors, whole).report).summary() + report._repr_html_()


def test_too_few_labels_are_named():
    with pytest.raises(InputError, match='8 pages of the reference say something in "label"; shares need at least 20'):
        labelled(["a", "b"] * 4 + [None] * 30, by="label")


# --- bad input --------------------------------------------------------------------------------------------------------


def test_bad_references_are_named(tmp_path, sample):
    pages, vectors, _ = sample
    topics = texts.taxonomy()
    cases = [
        (lambda: coverage.from_taxonomy([]), "holds no topic"),
        (lambda: coverage.from_taxonomy([topics[0], topics[0]]), f'"{topics[0].id}" twice'),
        (lambda: coverage.from_taxonomy([topics[0], Topic("other", "Other", "the rest", 1.0, "")]), 'the topic "other", which is what'),
        (lambda: coverage.from_taxonomy(topics, {"astrology": 1}), '"astrology", which the taxonomy lacks'),
        (lambda: coverage.from_taxonomy(topics, {topic.id: 0 for topic in topics}), "weight 0"),
        (lambda: coverage.from_pages(pages.select(range(19)), vectors[:19]), "has 19 pages"),
        (lambda: coverage.from_pages(pages, vectors, by="theme"), 'no column "theme"'),
        (lambda: coverage.from_pages(pages, vectors, by="text"), "topics? in"),
    ]
    for work, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            work()


def test_bad_pages_and_vectors_are_named(sample, everyday):
    pages, vectors, _ = sample
    broken = np.array(vectors)
    broken[3, 0] = np.nan
    cases = [
        (lambda: coverage.cover(pages, vectors[:-1], everyday), "one vector a page"),
        (lambda: coverage.cover(pages.select([]), vectors[:0], everyday), "at least one page"),
        (lambda: coverage.cover(pages, broken, everyday), "vector 3 holds NaN"),
        (lambda: coverage.cover(pages, vectors[:, :100], everyday), "same model"),
        (lambda: coverage.cover(pages, vectors, everyday, radius=1.5), "radius is 1.5"),
        (lambda: measures.divergence([0, 0], [1, 1]), "not all zero"),
    ]
    for work, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            work()


def command(*words, folder):
    return subprocess.run(
        [sys.executable, "-m", "hare_lab.cli", "coverage", *map(str, words)], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.yaml", "topics: []", "holds no topic"),
        ("twice.yaml", "topics:\n- {id: a, description: b}\n- {id: a, description: c}", 'topic "a" stands twice'),
        ("rest.yaml", "topics:\n- {id: a, description: b}\n- {id: other, description: c}", 'has the id "other", which is what pages of no'),
        ("day.yaml", "topics:\n- {id: a, description: 2024-02-30}", "not valid YAML"),
        ("silent.jsonl", '{"question": ""}\n{"question": " "}', 'no item with "question"'),
        ("few.jsonl", '{"text": "A page about bread and how to bake it."}', "has 1 page;"),
    ],
)
def test_a_bad_reference_is_one_sentence_and_exit_2(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    (tmp_path / "pages.jsonl").write_text(json.dumps({"text": "Bread needs flour, water, salt and time."}))
    done = command("pages.jsonl", "--reference", name, "--out", "out", folder=tmp_path)
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_writes_the_ledger_and_says_where(tmp_path, sample):
    pages, _, _ = sample
    rows = [*pages.select(range(60)).to_list(), {"id": "gone", "text": " "}]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = command("pages.jsonl", "--reference", ROOT / "data" / "taxonomy" / "everyday.yaml", "--out", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["reason"] for row in json.loads((tmp_path / "out" / "report.json").read_text())["set_aside"]] == ["empty"]
    assert len(Dataset.from_parquet(str(tmp_path / "out" / "placed.parquet"))) == 60
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["pages"] == 60 and report["topics"] == 36 and "60 pages against 36 topics" in done.stdout
    assert "plotly" in (tmp_path / "out" / "coverage_bars.html").read_text()[:200_000].lower()


def tiny(folder, *, topics=2):
    """A corpus, and a taxonomy of one topic or two, in a folder."""
    said = {"bread": "Baking bread with flour and yeast.", "stars": "Stars, planets and telescopes."}
    lines = [f"- {{id: {name}, description: '{text}'}}" for name, text in [*said.items()][:topics]]
    (folder / "topics.yaml").write_text("\n".join(["topics:", *lines]))
    (folder / "pages.jsonl").write_text(
        "".join(json.dumps({"id": f"p{n}", "text": f"Bread needs flour and yeast, loaf {n}."}) + "\n" for n in range(3))
    )


def test_weights_that_are_for_another_taxonomy_are_said_to_be_unused(tmp_path):
    tiny(tmp_path)
    (tmp_path / "own.yaml").write_text("taxonomy: topics.yaml\ntopics: {bread: 3}\n")
    (tmp_path / "other.yaml").write_text("topics: {chess: 3}\n")
    words = ("pages.jsonl", "--reference", "topics.yaml", "--out", "out", "--priors")
    own, other = (command(*words, name, folder=tmp_path) for name in ("own.yaml", "other.yaml"))
    assert own.returncode == other.returncode == 0, own.stderr + other.stderr
    assert "not used" not in own.stdout and "weights in other.yaml were not used: they are for" in other.stdout
    assert "the reference is topics.yaml." in other.stdout


def test_the_corpus_is_read_before_the_reference_is_embedded(tmp_path, monkeypatch):
    tiny(tmp_path)
    monkeypatch.setattr(coverage, "load_reference", lambda *_, **__: pytest.fail("the reference was loaded first"))
    with pytest.raises(InputError, match=r"none\.jsonl"):
        coverage_command(str(tmp_path / "none.jsonl"), str(tmp_path / "topics.yaml"), tmp_path / "out")


def test_a_ledger_for_spreadsheets_holds_no_formula_and_no_list():
    link = '=HYPERLINK("http://x")'
    gaps = pd.DataFrame({"topic": [link, "b"], "name": ["+1", "b"], "description": ["@x", "b"], "parent": ["", "-"], "have": [-1.0, 0.5],
                         "nearest": [["p1", "p2"], []]})  # fmt: skip
    cells = _for_spreadsheets(gaps)
    assert cells["topic"].tolist() == [f"'{link}", "b"] and cells["nearest"].tolist() == ["p1; p2", ""]
    assert [cells["name"][0], cells["description"][0], cells["parent"][1], cells["have"][0]] == ["'+1", "'@x", "'-", -1.0]


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def points(covered):
    """A map of the sample at places drawn by seed, as notebook 02 would make it."""
    x, y = np.random.default_rng(0).normal(size=(2, len(covered.placed)))
    ids = covered.placed["id"][:]
    return pd.DataFrame({"id": ids, "x": x, "y": y, "title": ids, "snippet": "some text", "source": "sample"})


def drawers(points):
    return {
        "bars": (figures.wanted_and_have, ["wanted"]), "treemap": (figures.coverage_treemap, ["wanted"]),
        "subjects": (figures.subject_coverage, ["pages"]),
        "holes": (lambda gaps, theme: figures.holes_map(points, gaps.assign(x=0.5, y=np.arange(len(gaps))), theme=theme), ["wanted"]),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["bars", "treemap", "subjects", "holes"])
def test_figures_say_a_finding_take_one_row_or_none_and_escape(name, covered, points):
    draw, needed = drawers(points)[name]
    gaps = covered.gaps
    hostile = gaps.assign(name=[f"<script>{topic}$x$" for topic in gaps["name"]], parent="<script>$x$")
    for table in (gaps, gaps.head(1), gaps.head(0), hostile):
        for theme in ("screen", "talk"):
            figure = draw(table, theme=theme)
            assert len(figure.layout.meta["title"]) > 10 and "<script>" not in figure.to_json().replace("\\u003c", "<").replace(
                json.dumps(figure.layout.meta["title"])[1:-1], ""
            )
    with pytest.raises(InputError, match=needed[0]):
        draw(gaps.drop(columns=needed), theme="screen")
    with pytest.raises(InputError, match="finite numbers"):
        draw(gaps.assign(**{needed[0]: np.nan}), theme="screen")


def test_bars_are_coloured_by_what_lacks(covered):
    gaps = covered.gaps
    bars = figures.wanted_and_have(gaps).data[0]
    topics = gaps[gaps["topic"] != "other"].assign(gap=lambda frame: frame["wanted"] - frame["have"])
    shown = topics.sort_values("gap", ascending=False, kind="stable").iloc[[*range(18), *range(-6, 0)]]  # the widest gaps and the fullest
    colours = [UNDER if have < wanted else OVER for have, wanted in zip(shown["have"], shown["wanted"], strict=True)]
    assert list(bars.marker.color) == colours and set(colours) == {UNDER, OVER}


@pytest.mark.parametrize("draw", [figures.coverage_treemap, figures.subject_coverage])
def test_a_ledger_read_from_its_own_file_gives_the_same_figure(draw, covered, tmp_path):
    gaps = covered.gaps.assign(parent=["", *covered.gaps["parent"][1:]])
    for ledger in (gaps, gaps.assign(parent="")):
        ledger.to_csv(tmp_path / "gaps.csv", index=False)
        read = pd.read_csv(tmp_path / "gaps.csv").assign(wanted=ledger["wanted"], have=ledger["have"])  # parents alone are at stake
        nothing = ledger.assign(parent=[parent or None for parent in ledger["parent"]])
        assert draw(read).to_json() == draw(nothing).to_json() == draw(ledger).to_json()


@pytest.mark.parametrize(("pages", "says"), [(10, "None of two subjects has"), (9, "Two of two subjects have")])
def test_subjects_with_few_pages_are_counted(pages, says):
    gaps = pd.DataFrame({"topic": ["a", "b"], "name": ["a", "b"], "parent": "", "pages": pages})
    assert figures.subject_coverage(gaps).layout.meta["title"] == f"{says} fewer than ten pages"


def test_the_report_draws_what_is_wanted_and_had_and_a_run_keeps_it(covered):
    drawn = figures.wanted_and_have(covered.gaps).to_json()
    assert covered.report.figure().to_json() == drawn
    assert decode(json.loads(json.dumps(encode(covered.report)))).figure().to_json() == drawn


def test_one_is_said_of_one_topic_and_one_page(sample):
    pages, vectors, _ = sample
    found = coverage.cover(pages.select([0]), vectors[:1], coverage.from_taxonomy([Topic("a", "Nothing", "of this kind", 1.0, "")]))
    assert (
        found.report.summary().startswith("1 page against 1 topic: ")
        and "of 1 topic (the reference) by 1 page" in found.report._repr_html_()
    )
    gaps = found.gaps.assign(have=0.0, low=0.0)
    assert figures.wanted_and_have(gaps).layout.meta["title"] == "One of one topic has less than half of what was wanted"


# --- the notebook's cells ---------------------------------------------------------------------------------------------


def cell(words, **names):
    """What a cell of notebook 04 leaves when it is run alone with these names."""
    cells = json.loads((ROOT / "notebooks" / "04_coverage.ipynb").read_text(encoding="utf-8"))["cells"]
    source = next("".join(found["source"]) for found in cells if words in "".join(found["source"]) and found["cell_type"] == "code")
    exec(source, names)
    return names


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_a_taxonomy_of_one_topic_can_be_weighed_anew(monkeypatch, weight):
    gaps = pd.DataFrame(
        {"topic": ["a", "other"], "name": ["A", "Other"], "wanted": [1.0, 0.0], "have": [0.4, 0.6], "low": 0.1, "high": 0.9}
    )
    monkeypatch.setattr(notebook, "control", lambda *_, **__: None)
    figure = cell("def reweigh", hare=hare_lab, gaps=gaps)["reweigh"]("a", weight)
    assert list(figure.data[1].x) == [float(weight > 0)]


def test_a_topic_with_no_page_to_show_is_said_to_have_none():
    gaps = pd.DataFrame({"topic": ["beekeeping", "b"], "nearest": [np.array([], object), np.array(["p"], object)]})
    cell('gaps.set_index("topic")["nearest"]', hare=hare_lab, gaps=gaps, mapped=Dataset.from_dict({"id": ["p"], "text": ["bees"]}))


def test_the_subjects_that_compete_for_other_count_in_what_is_stored():
    cells = json.loads((ROOT / "notebooks" / "04_coverage.ipynb").read_text(encoding="utf-8"))["cells"]
    makes = [source for found in cells if "coverage.cover(" in (source := "".join(found["source"]))]
    assert len(makes) == 2 and all('"outside": outside' in source and '"tokenizer": run.priors.tokenizer' in source for source in makes)
    assert "text_hash" in makes[0] and placing.SUBJECTS.name in makes[0]


def test_tiles_add_up_to_what_is_in_topics(covered):
    tiles = figures.coverage_treemap(covered.gaps).data[0]
    held = covered.gaps[covered.gaps["topic"] != "other"]["have"].sum()
    leaves = [value for id, value in zip(tiles.ids, tiles.values, strict=True) if id.startswith("t")]
    assert sum(leaves) == pytest.approx(held) and tiles.values[0] == pytest.approx(held)


def test_a_tile_with_room_for_one_line_says_its_name():
    gaps = pd.DataFrame({"topic": ["a", "b"], "name": ["Astronomy", "Oceanography"], "parent": "", "wanted": 0.5, "have": [0.99, 0.01]})
    assert figures.coverage_treemap(gaps).data[0].texttemplate[1:] == ("Astronomy<br>99\u00a0%", "Oceano…")


def test_a_hole_lies_amid_the_pages_that_are_nearest_to_its_topic(covered, points):
    pages = Dataset.from_pandas(points[["id", "x", "y"]])
    holes = coverage.on_map(covered.gaps, pages)
    place = points.set_index("id")
    first = covered.gaps["nearest"][0]
    assert holes["x"][0] == pytest.approx(np.median(place.loc[list(first), "x"]))
    rings = figures.holes_map(points, holes).data[1]
    assert list(rings.marker.size) == sorted(rings.marker.size, reverse=True) and len(rings.x) == 10
    with pytest.raises(InputError, match="which is not among these pages"):
        coverage.on_map(covered.gaps, pages.select(range(5)))
    with pytest.raises(InputError, match="no column x, y"):
        coverage.on_map(covered.gaps, pages.select_columns(["id"]))


def test_the_curve_reads_off_the_radius(covered):
    curve = covered.report.table()
    at = float(np.interp(0.5, curve["radius"], curve["covered"]))
    assert f"{at:.0%}".replace("%", "\u00a0%") in figures.coverage_curve(curve, radius=0.5).layout.meta["title"]
