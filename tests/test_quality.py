"""Quality: rules count what they say, the scorer knows good from bad without having seen the page, and bad input is one sentence."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hare_lab import priors, quality, texts
from hare_lab.errors import InputError
from hare_lab.quality import features, repetition
from hare_lab.quality.chars import Batch, batches
from hare_lab.quality.examples import bundled_examples, reference
from hare_lab.quality.fitting import BOUNDS, WRITING, Examples
from hare_lab.quality.hashes import hash_of, shared
from hare_lab.quality.learning import Learnt
from hare_lab.quality.scorer import OPINIONS, standing
from hare_lab.quality.scores import score_source

ROOT = Path(__file__).parent.parent
PROSE = (
    "The heron stood in the shallow water and waited. It had been there since dawn, and nobody who walked along the bank had seen it "
    "move. When the fish came at last, the bird bent its neck so slowly that the water did not stir.\n\nA kingfisher would have dived "
    "long before. Patience is a way of hunting, although it looks like doing nothing, and that is why we rarely notice it."
)
MENU = (
    "Home | Shop | Contact\nBuy now! Cheap watches!!! 50% OFF\nLogin / Register\nBuy now! Cheap watches!!! 50% OFF\n$19.99 Add to cart\n"
    * 3
)
TEXT = st.text(st.sampled_from(list('ab .\n!…"-•#é世\r\u2028]{[1')), min_size=1, max_size=120).filter(lambda text: not text.isspace())


def pages(found, ids=None):
    names = ids or [f"p{row}" for row in range(len(found))]
    return Dataset.from_dict({"id": names, "text": list(found), "title": [""] * len(found)})


def values(text):
    return quality.check_rules(pages([text])).values.iloc[0]


def vectors(count, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


# --- letters, words, lines --------------------------------------------------------------------------------------------


@given(st.lists(TEXT, min_size=1, max_size=5))
@settings(deadline=None)
def test_words_and_lines_are_those_of_python(found):
    batch = Batch(found)
    joined = "\n".join([*found, ""])
    for stretches, expected in (
        (batch.words, [text.split() for text in found]),
        (batch.lines, [text.splitlines() for text in found]),
        (batch.rows, [text.split("\n") for text in found]),
    ):
        cut = [[joined[a:b] for a, b, p in zip(stretches.start, stretches.end, stretches.page, strict=True) if p == page]
               for page in range(len(found))]  # fmt: skip
        assert [[line.rstrip("\r") for line in page] for page in cut] == [[line.rstrip("\r") for line in page] for page in expected]


@given(st.lists(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=30))
@settings(deadline=None)
def test_equal_words_have_equal_hashes_and_others_do_not(words):
    hashes = Batch([" ".join(words)]).word_hashes
    assert len(set(hashes.tolist())) == len(set(words))
    assert int(hashes[0]) == hash_of(words[0])


def naive_repeated(words, n):
    """Characters in n-grams said before, as datatrove walks them: our own words for the same rule."""
    seen, total, place = set(), 0, 0
    while place + n <= len(words):
        gram = "".join(words[place : place + n])
        if gram in seen:
            total, place = total + len(gram), place + n
        else:
            seen.add(gram)
            place += 1
    return total


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 5))
def test_what_may_occur_often_holds_all_that_does_and_little_else(drawn, times):
    hashes = np.array([hash_of(f"word{number}") for number in drawn], np.uint64)
    assert shared(hashes, times).tolist() == [row for row, number in enumerate(drawn) if drawn.count(number) >= times]


def test_many_small_pages_are_taken_a_few_hundred_at_a_time_and_counted_as_if_alone():
    found = [f"Page {number % 7} is small. It is." for number in range(600)]
    assert [len(part) for _, part in batches(found)] == [256, 256, 88]
    many, one = quality.evidence(found), quality.evidence(found[:7])
    assert all(many.counts[name].tolist() == np.resize(one.counts[name], 600).tolist() for name in one.counts)
    assert (many.style.toarray() == np.resize(one.style.toarray(), (600, one.style.shape[1]))).all()


@given(st.lists(st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=1, max_size=40), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_repeated_runs_are_those_of_a_walk_through_each_page(found):
    joined = [" ".join(words) for words in found]
    measured = repetition.repeated_ngrams(Batch(joined))
    for page, words in enumerate(found):
        for n in repetition.REPEATED:
            assert measured[f"gopher_repeated_{n}_grams"][page] * len(joined[page]) == pytest.approx(naive_repeated(words, n))
        for n in repetition.TOP:
            grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
            best = max((len(gram) * grams.count(gram) for gram in grams if grams.count(gram) == max(map(grams.count, grams))), default=0)
            first = next((gram for gram in grams if grams.count(gram) == max(map(grams.count, grams))), "")
            assert measured[f"gopher_top_{n}_gram"][page] * len(joined[page]) == pytest.approx(
                len(first) * grams.count(first) if first else 0
            )
            assert best >= 0


# --- rules ------------------------------------------------------------------------------------------------------------


@given(st.lists(TEXT, min_size=2, max_size=6))
@settings(max_examples=15, deadline=None)
def test_a_page_is_judged_the_same_alone_and_among_others(found):
    together = quality.check_rules(pages(found)).values.drop(columns="id")
    alone = pd.concat([quality.check_rules(pages([text])).values.drop(columns="id") for text in found], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_each_rule_counts_what_it_says():
    told = values("one two three\n- four… five\n• six...\n\nabc 123 (!!) #tag and and the of")
    assert told["gopher_words"] == 13 and told["gopher_hashes"] == pytest.approx(1 / 16)
    assert told["gopher_bullet_lines"] == pytest.approx(2 / 5) and told["gopher_ellipsis_lines"] == pytest.approx(1 / 5)
    assert told["gopher_stop_words"] == 3 and told["gopher_ellipses"] == pytest.approx(2 / 16)
    assert values("A line that is said.\nAnother one here.\nA line that is said.\n")["gopher_repeated_lines"] == pytest.approx(1 / 4)
    assert values("Dr. Smith met Mr. J. Brown in the U.S. embassy. It rained.Then they left! Was it late? Yes it was.")["c4_sentences"] == 5
    assert values("A first line here.\nno stop here\nPlease turn on JavaScript now.\nRead our privacy policy here.\nTwo {x} words.")[
        ["c4_sentences", "c4_curly_brackets"]
    ].tolist() == [2, 1]
    assert values("He was born here.[1] And he died.[citation needed]")["c4_sentences"] >= 1
    assert values("Lorem ipsum dolor sit amet.\nreal words stand here.")["c4_lorem_ipsum"] == 1


def test_prose_passes_every_rule_and_a_menu_fails_many():
    report = quality.check_rules(pages([PROSE, MENU]))
    assert report.failed()[0] == "" and len(report.failed()[1].split(", ")) >= 5
    assert report.passes().tolist() == [True, False] and report.share_passed()[0] == 1
    assert report.table().set_index("rule").loc["fineweb_repeated_chars", "pages"] == 1
    assert "1 of 2 pages pass" in report._repr_html_()


def test_a_threshold_of_ones_own_changes_the_verdict_and_nothing_else():
    report = quality.check_rules(pages([PROSE]), {"gopher_words": 1000})
    assert report.failed() == ["gopher_words"]
    assert report.with_thresholds({"gopher_words": 10}).failed() == [""]


@pytest.mark.parametrize(
    ("thresholds", "sentence"),
    [({"gopher_wordz": 3}, "quality.rules.gopher_wordz"), ({"gopher_words": float("nan")}, "give a number")],
)
def test_an_unknown_rule_or_a_threshold_that_is_no_number_is_named(thresholds, sentence):
    with pytest.raises(InputError, match=sentence):
        quality.check_rules(pages([PROSE]), thresholds)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_a_page_with_no_words_is_named(text):
    with pytest.raises(InputError, match='page "b" has no words'):
        quality.check_rules(pages([PROSE, text], ["a", "b"]))


def test_signs_alone_are_judged_and_not_refused():
    assert "gopher_words" in quality.check_rules(pages(["!!! --- ???"])).failed()[0]


# --- the scorer -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled():
    """The English bundled pages, with their tiers and topics (truth: for scoring only), and the cross-fitted scorer."""
    rows = [row for row in texts.sample_truth() if row["language"] == "en"]
    known = quality.evidence([row["text"] for row in rows])
    tier = np.array([row["tier"] for row in rows])
    topic = np.unique([row["topic"] for row in rows], return_inverse=True)[1]
    return rows, tier, quality.fit(known, tier == "reference", topic)


def test_reference_pages_score_above_junk_and_the_tiers_stand_in_order(bundled):
    _, tier, fitted = bundled
    both = np.isin(tier, ["reference", "junk"])
    assert quality.auc(tier[both] == "reference", fitted.quality[both]) >= 0.95
    means = [fitted.quality[tier == name].mean() for name in texts.TIERS]
    assert means == sorted(means, reverse=True)


def test_quality_is_the_standing_in_the_pool_and_likeness_is_calibrated(bundled):
    _, tier, fitted = bundled
    pool = np.sort(fitted.quality[tier != "reference"])
    np.testing.assert_allclose(pool, (np.arange(len(pool)) + 0.5) / len(pool), atol=0.01)
    assert fitted.calibration_error < 0.06
    assert quality.auc(tier == "reference", fitted.likeness) > quality.auc(tier == "reference", fitted.quality) > 0.85


def test_likeness_follows_the_examples_where_quality_does_not():
    """Short good pages among longer ones of other kinds: they are told apart, though a long page is no worse for its length."""
    rng = np.random.default_rng(3)
    asked = [f"I asked my friend {n} about it, and I don't know what she meant. Can you help me?" for n in rng.integers(0, 10**6, 120)]
    told = [f"{PROSE} {PROSE} It was said by {n}." for n in rng.integers(0, 10**6, 120)]
    scores = quality.score(
        pages(asked[:60] + told), vectors(180), priors.default(), good=pages(asked[60:]), good_vectors=vectors(60, 1)
    ).table.to_pandas()
    like = np.arange(180) < 60
    assert quality.auc(like, scores["likeness"]) > 0.97
    assert quality.auc(like, scores["quality"]) < 0.5
    assert scores["likeness"][like].median() > 1 / 3 > scores["likeness"][~like].median()


def test_no_opinion_is_turned_upside_down_and_length_is_not_learnt(bundled):
    weights = dict(zip(OPINIONS, bundled[2].scorer.weights, strict=True))
    assert weights["length"] == 1 and all(weight >= 0 for weight in weights.values())
    sure = [weights[name] for name in WRITING if BOUNDS[name][0] > 0]
    assert max(sure) <= 3.001 * min(sure)


def test_spoiling_a_page_lowers_its_score(bundled):
    """The same words, cut into a menu, stuffed with a keyword, or cut short: each reads worse in nine of ten pages."""
    rows, tier, fitted = bundled
    good = [row["text"] for row, name in zip(rows, tier, strict=True) if name == "reference"][:60]
    before = fitted.scorer.score(good)
    for spoil in (
        lambda text: "\n".join(" ".join(text.split()[i : i + 3]).title() for i in range(0, len(text.split()), 3)),
        lambda text: " cheap watches ".join(text.split(" ")[:80]),
        lambda text: " ".join(text.split()[:25]) + "... Read more",
    ):
        assert (fitted.scorer.score([spoil(text) for text in good]) < before).mean() > 0.9


@pytest.fixture(scope="module")
def turned_over():
    """60 good and 60 bad pages in six groups, their labels, the labels with the first page's turned over, and the groups."""
    rng = np.random.default_rng(0)
    found = [PROSE + f" It was {n}." for n in rng.integers(0, 10**6, 60)] + [MENU + f"\n{n}" for n in rng.integers(0, 10**6, 60)]
    good = np.arange(120) < 60
    turned = good.copy()
    turned[0] = False
    return quality.evidence(found, vectors(120)), (good, turned), np.tile(np.arange(6), 20)


def test_a_page_is_scored_by_a_model_that_saw_neither_it_nor_its_group(turned_over):
    """Turning the label of one page over must not change what its own group is scored by, but for the scale that all share."""
    known, labels, group = turned_over
    one, other = (quality.fit(known, good, group, folds=6) for good in labels)
    assert quality.fitting.folds_of(group, labels[0], 6, 0).max() == 5
    moved, own = abs(one.likeness - other.likeness), group == group[0]
    assert moved[own].max() < 1e-3 < 1e-2 < moved[~own].max()


def test_no_opinion_on_a_page_has_heard_its_own_group(turned_over):
    known, labels, group = turned_over
    one, other = (Learnt(known, good.astype(int), group, 6, known.vectors).crossfit(group) for good in labels)
    moved, own = abs(one - other), group == group[0]
    assert moved[own].max() < 1e-12 < 1e-6 < moved[~own].min()


def test_bundled_examples_are_known_by_id_or_text_and_those_that_lack_follow():
    rows = [row for row in texts.sample_truth() if row["language"] == "en"]
    junk = next(row for row in rows if row["tier"] == "junk")
    fair = next(row for row in rows if row["tier"] == "ordinary")
    examples, others = bundled_examples([PROSE, "as it was cleaned", fair["text"]], ["p0", f"sample#{junk['id']}", "p2"])
    assert examples.kind[:3].tolist() == [-1, 0, 1] and not examples.aside[:3].any()
    assert len(others) == len(rows) - 2 == examples.aside.sum() and not {junk["text"], fair["text"]} & set(others)
    tier = {row["text"]: row["tier"] for row in rows}
    assert examples.kind[3:].tolist() == [tier[text] in ("reference", "ordinary") for text in others]


def test_examples_teach_style_and_count_for_nothing_else():
    """Good and pool differ in nothing but length; what teaches style is set aside, where turning it over turns style alone over."""
    rng = np.random.default_rng(5)
    found = [f"{PROSE} {n}" for n in rng.integers(0, 10**6, 40)] + [f"{PROSE} {PROSE} {n}" for n in rng.integers(0, 10**6, 40)]
    taught = [f"{PROSE} {n}" for n in rng.integers(0, 10**6, 30)] + [f"{MENU}{n}" for n in rng.integers(0, 10**6, 30)]
    known, good = quality.evidence(found + taught), np.arange(140) < 40
    group, aside = np.arange(140) % 10, np.arange(140) >= 80
    kind = np.where(aside, np.arange(140) < 110, -1)
    usual, turned = (quality.fit(known, good, group, examples=Examples(way, group, aside)) for way in (kind, np.where(aside, 1 - kind, -1)))
    style = OPINIONS.index("style")
    says = [fitted.scorer.opinions([PROSE, MENU]) for fitted in (usual, turned)]
    assert says[0][0, style] > says[0][1, style] and says[1][0, style] < says[1][1, style]
    np.testing.assert_array_equal(np.delete(says[0], style, axis=1), np.delete(says[1], style, axis=1))
    assert len(usual.scorer.pool) == 40 and usual.good == 40


@given(st.integers(0, 9), st.integers(1, 12))
@settings(max_examples=30)
def test_folds_leave_out_whole_groups_and_always_leave_both_kinds(seed, groups):
    rng = np.random.default_rng(seed)
    group, good = rng.integers(0, groups, 100), rng.random(100) < 0.3
    fold = quality.fitting.folds_of(group, good, 5, seed)
    for left in range(fold.max() + 1):
        for other in range(fold.max() + 1):
            assert len(set(good[(fold != left) & (fold != other)])) == 2
    if len(set(fold[group == group[0]])) == 1:
        assert all(len(set(fold[group == name])) == 1 for name in set(group))


def test_reasons_add_up_and_name_what_is_wrong(bundled):
    scorer = bundled[2].scorer
    told = scorer.explain(MENU)
    assert told.opinions["adds"].sum() == pytest.approx(float(scorer.opinions([MENU])[0] @ scorer.weights))
    assert told.quality == pytest.approx(float(scorer.score([MENU])[0])) and told.quality < 0.2
    assert told.opinions.set_index("opinion").loc["prose", "adds"] < 0
    assert "stands out" in told._repr_html_() and told.figure().data


def test_a_scorer_is_retrained_from_ones_own_examples():
    """What is good is the user's to say: with menus as the good pages, a menu outscores prose in style."""
    rng = np.random.default_rng(1)
    prose = pages([f"{PROSE} {n}" for n in rng.integers(0, 10**6, 30)])
    menus = pages([f"{MENU}{n}" for n in rng.integers(0, 10**6, 30)])
    assert quality.train(prose, menus).scorer.score([PROSE, MENU]).tolist()[0] > 0.9
    style = OPINIONS.index("style")
    for good, bad in ((prose, menus), (menus, prose)):
        scorer = quality.train(good, bad, good_vectors=vectors(30), bad_vectors=vectors(30, 1)).scorer
        says = [scorer.explain(dataset["text"][0], vectors(1)[0]).opinions["says"][style] for dataset in (good, bad)]
        assert says[0] > says[1]


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=30, unique=True), st.lists(st.floats(-30, 30), min_size=2, max_size=9))
def test_standing_in_a_pool_keeps_the_order_and_stays_between_0_and_1(pool, found):
    ordered = np.sort(found)
    stood = standing(ordered, np.sort(pool))
    assert (np.diff(stood) >= 0).all() and stood.min() >= 0 and stood.max() <= 1


def test_copies_of_a_bad_page_are_no_better_for_being_many():
    pool = np.array([0.0] * 300 + [1.0] * 99 + [2.0])
    assert standing(np.array([0.0, 1.0, 2.0]), pool).tolist() == [0.5 / 400, 300.5 / 400, 399.5 / 400]


def test_copies_are_scored_alike_where_pages_are_dealt_one_by_one():
    rng = np.random.default_rng(2)
    found = [f"{PROSE} {n}" for n in rng.integers(0, 10**6, 30)] + [f"{MENU}\n" + "More of it. " * n for n in range(10) for _ in range(4)]
    scored = quality.fit(quality.evidence(found), np.arange(70) < 30, np.zeros(70, int)).quality[30:].reshape(10, 4)
    np.testing.assert_array_equal(scored, scored[:, :1].repeat(4, axis=1))


@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [(30, 0, "no bad pages"), (0, 30, "no good pages"), (19, 30, "at least 20 good pages, and there are 19")],
)
def test_a_scorer_needs_both_classes_and_enough_of_each(good, bad, sentence):
    with pytest.raises(InputError, match=sentence):
        quality.train(pages([PROSE] * good), pages([MENU] * bad))


def test_a_page_on_both_sides_or_vectors_that_do_not_fit_are_one_sentence():
    prose, menus = pages([f"{PROSE} {n}" for n in range(30)]), pages([f"{MENU}{n}" for n in range(30)])
    with pytest.raises(InputError, match="30 of the good examples are among the bad ones too"):
        quality.train(prose, prose)
    with pytest.raises(InputError, match="30 bad pages but 29 vectors"):
        quality.train(prose, menus, good_vectors=vectors(30), bad_vectors=vectors(29))
    scorer = quality.train(prose, menus, good_vectors=vectors(30), bad_vectors=vectors(30, 1)).scorer
    with pytest.raises(InputError, match=r"shape \(2, 3\), not \(2, 16\)"):
        scorer.score([PROSE, MENU], np.zeros((2, 3), np.float32))


# --- a whole corpus ---------------------------------------------------------------------------------------------------


def few(name, rows, folder):
    path = folder / name
    path.write_text("\n".join(json.dumps({"text": text}) for text in rows), encoding="utf-8")
    return str(path)


def test_the_good_pages_are_the_bundled_ones_or_a_path(tmp_path):
    good = reference(priors.default())
    truth = {f"sample#{row['id']}" for row in texts.sample_truth() if row["tier"] == "reference"}
    assert len(good) > 400 and set(good["id"]) <= truth
    statement = priors.Priors(quality=priors.Quality(good=few("good.jsonl", [PROSE] * 19, tmp_path)))
    with pytest.raises(InputError, match="are 19, and a scorer learns from 20 or more"):
        reference(statement)


def test_the_fingerprint_of_the_good_pages_changes_with_a_page_and_not_with_the_time_of_the_file(tmp_path):
    def told():
        return quality.reference_fingerprint(priors.Priors(quality=priors.Quality(good=str(tmp_path / "good.jsonl"))))

    path = Path(few("good.jsonl", [PROSE] * 20, tmp_path))
    first = told()
    os.utime(path, (0, 0))
    assert told() == first and re.fullmatch("[0-9a-f]{16}", first)
    few("good.jsonl", [PROSE] * 19 + [PROSE.replace("heron", "stork")], tmp_path)  # as many bytes
    assert told() != first
    assert quality.reference_fingerprint(priors.default()) not in (first, told())


def test_good_pages_are_known_by_their_text_for_the_rows_of_two_files_have_the_same_names():
    found = [f"{(PROSE, MENU)[n % 2]} {n}" for n in range(60)]
    good = [f"{PROSE} Another {n}" for n in range(30)]
    scored = [
        quality.score(pages(found), vectors(60), priors.default(), good=pages(good, names), good_vectors=vectors(30, 1))
        for names in ([f"p{n}" for n in range(30)], [f"g{n}" for n in range(30)])  # the first 30 pages are called so too
    ]
    assert scored[0].table["quality"][:] == scored[1].table["quality"][:]
    assert scored[0].report.good_from == "your good examples"


def test_scores_stand_in_the_order_of_the_pages_and_hold_every_rule():
    rng = np.random.default_rng(0)
    found = [f"{(PROSE, MENU)[n % 2]} {rng.integers(10**6)}" for n in range(60)]
    good = pages([f"{PROSE} {n}" for n in range(30)], [f"g{n}" for n in range(30)])
    scores = quality.score(pages(found), vectors(60), priors.default(), good=good, good_vectors=vectors(30, 1))
    table = scores.table.to_pandas()
    assert list(table.columns[:4]) == ["id", "quality", "rules_failed", "likeness"]
    assert list(table.columns[4:]) == [rule.name for rule in quality.RULES]
    assert table["id"].tolist() == [f"p{n}" for n in range(60)] and table["quality"].between(0, 1).all()
    assert table["quality"][::2].min() > table["quality"][1::2].max()
    assert scores.report.below_floor == (table["quality"] < 0.3).sum() and "30" in scores.report._repr_html_()


def test_lengths_that_differ_are_named():
    with pytest.raises(InputError, match="2 pages but 3 vectors"):
        quality.score(pages([PROSE, MENU]), vectors(3), priors.default())


# --- consistency, disagreement, agreement -----------------------------------------------------------------------------


def test_consistency_tells_spread_within_topics_from_spread_between_them():
    rng = np.random.default_rng(0)
    topic = np.repeat(["a", "b", "c"], 200)
    centre = np.repeat([0.2, 0.5, 0.8], 200)
    found = quality.consistency(centre + rng.normal(0, 0.05, 600), topic)
    assert found.within.low < 0.05 < found.within.high and found.within.value < 0.06
    assert found.between.value == pytest.approx(np.std([0.2, 0.5, 0.8]), abs=0.01)
    assert found.between_share.value > 0.9 and found.topics["topic"].tolist() == ["c", "b", "a"]
    even = quality.consistency(np.full(10, 0.5), ["x"] * 5 + ["y"] * 5)
    assert even.spread.value == even.within.value == even.between_share.value == 0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_consistency_does_not_hear_the_order_of_pages(scores, seed):
    topic = np.arange(len(scores)) % 3
    order = np.random.default_rng(seed).permutation(len(scores))
    one, other = quality.consistency(scores, topic), quality.consistency(np.array(scores)[order], topic[order])
    assert one.within.value == pytest.approx(other.within.value)
    assert one.between.value == pytest.approx(other.between.value, abs=1e-6)  # a root of what is left of two sums


@pytest.mark.parametrize("apart", [0, 0.5])  # the standard deviation of the topics' true means, of a page's around them: 1
@pytest.mark.parametrize(("topics", "each"), [(40, 10), (12, 4)])
def test_the_intervals_of_consistency_hold_the_truth_nearly_as_often_as_they_say(topics, each, apart):
    generator, names = np.random.default_rng(0), np.repeat(np.arange(topics), each)
    centre = apart * np.sqrt(3) * np.linspace(-1, 1, topics) * np.sqrt((topics - 1) / (topics + 1))
    truth = {"within": 1, "between": apart, "between_share": apart**2 / (apart**2 + 1)}
    found = [quality.consistency(centre[names] + generator.normal(size=names.size), names, seed=seed) for seed in range(60)]
    for measure, value in truth.items():
        intervals = [getattr(one, measure) for one in found]
        assert np.mean([one.low - 1e-9 <= value <= one.high + 1e-9 for one in intervals]) >= 0.87, measure
        assert np.mean([one.value for one in intervals]) == pytest.approx(value, abs=0.04 if apart else 0.2), (
            measure
        )  # at 0 all errors are upward


def test_the_share_between_topics_is_omega_squared_and_nothing_where_topics_differ_by_chance_alone():
    generator, names = np.random.default_rng(0), np.repeat(np.arange(40), 10)
    shares = [quality.consistency(generator.normal(size=400), names, seed=seed).between_share for seed in range(20)]
    assert np.mean([share.value for share in shares]) < 0.03 and all(share.low == 0 for share in shares)
    found = quality.consistency([1, 2, 3, 5, 6, 10], list("aabbcc"))  # sums of squares: between 43, within 10.5 with 3 degrees of freedom
    assert found.within.value == pytest.approx(np.sqrt(3.5)) and found.between.value == pytest.approx(np.sqrt((43 - 2 * 3.5) / 6))
    assert found.between_share.value == pytest.approx((43 - 2 * 3.5) / (53.5 + 3.5))


@pytest.mark.parametrize(("scores", "sentence"), [([0.5], "takes two pages or more"), ([0.5, np.nan], "the score of row 1 is nan")])
def test_what_has_no_consistency_is_one_sentence(scores, sentence):
    with pytest.raises(InputError, match=sentence):
        quality.consistency(scores, ["bread"] * len(scores))


def test_a_topic_may_be_any_value_and_equal_scores_have_no_spread():
    found = quality.consistency([0.1, 0.5, 0.3, 0.7, 0.2], ["a", None, "a", 3, ("b", 1)])
    assert found.topics["topic"].tolist() == ["3", "None", "('b', 1)", "a"] and found.topics["pages"].tolist() == [1, 1, 1, 2]
    even = quality.consistency([0.1] * 6, ["x"] * 3 + [None] * 3)
    assert even.spread.high == even.within.high == even.between.high == even.between_share.high == 0


def test_the_pages_to_read_are_those_on_which_opinions_differ_most():
    found = pages([f"page {n}" for n in range(10)])
    rules, scorer, perplexity = np.arange(10.0), np.arange(10.0), np.arange(10.0)
    scorer[3], scorer[9], perplexity[5] = 9, 3, -1
    listed = quality.disagreements(found, {"rules": rules, "scorer": scorer, "perplexity": perplexity}, count=3)
    assert set(listed["id"]) == {"p3", "p9", "p5"} and listed["apart"].is_monotonic_decreasing
    with pytest.raises(InputError, match='opinion "scorer" has 9 values for 10 pages'):
        quality.disagreements(found, {"rules": rules, "scorer": scorer[:9]})


def test_kappa_and_auc_are_those_of_the_textbook():
    ids = list("abcdef")
    grades = dict(zip(ids, [True, True, True, False, False, False], strict=True))
    found = quality.agreement(grades, ids, {"same": [6, 5, 4, 3, 2, 1], "one apart": [6, 5, 3, 4, 2, 1], "against": [1, 2, 3, 4, 5, 6]})
    table = found.table.set_index("judge")
    assert table["kappa"].tolist() == pytest.approx([1, 1 / 3, -1]) and table["auc"].tolist() == pytest.approx([1, 8 / 9, 0])
    for bad, sentence in (({"z": True}, "not among the pages"), ({"a": True, "b": True}, "one graded bad")):
        with pytest.raises(InputError, match=sentence):
            quality.agreement(bad, ids, {"x": np.arange(6)})


def test_the_interval_of_an_auc_misses_the_truth_as_often_as_it_says_and_on_either_side():
    truth = 0.7602  # two normals a deviation apart: the normal distribution at the root of a half
    good, generator = np.arange(90) < 40, np.random.default_rng(0)
    found = [quality.auc_interval(good, generator.normal(good), resamples=80, seed=seed)[1:] for seed in range(100)]
    low, high = np.transpose(found)
    assert 0.01 <= np.mean(truth < low) <= 0.07 and 0.01 <= np.mean(high < truth) <= 0.07


def test_kappa_does_not_hear_in_which_order_pages_were_graded():
    grades, judges = {"a": True, "c": True, "b": False, "d": False}, {"of one mind": [1, 1, 1, 1], "in two minds": [2, 1, 1, 0]}
    told = [quality.agreement({page: grades[page] for page in order}, list("abcd"), judges).table for order in ("acbd", "bdac", "dcba")]
    assert told[0].equals(told[1]) and told[0].equals(told[2])
    assert told[0]["kappa"].tolist() == pytest.approx([0, 0.5])  # of a draw among equals: 0.5 is the mean of 1 and 0


def test_a_page_without_an_opinion_is_not_ranked_and_not_graded():
    rules, perplexity = np.arange(6.0), np.array([0.0, np.nan, 5.0, 3.0, 4.0, np.inf])
    listed = quality.disagreements(pages([f"page {n}" for n in range(6)]), {"rules": rules, "perplexity": perplexity}, count=6)
    assert set(listed["id"]) == {"p0", "p2", "p3", "p4", "p5"} and listed["id"][0] == "p2" and np.isfinite(listed["apart"]).all()
    with pytest.raises(InputError, match='judge "perplexity" has no opinion on page "1", which is graded'):
        quality.agreement({"0": True, "1": False}, list("012345"), {"perplexity": perplexity})


# --- a classifier from a folder ---------------------------------------------------------------------------------------


def save_tokenizer(folder, **special):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "the", "heron", "buy", "now"])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", **special).save_pretrained(folder)


def test_a_sequence_classifier_plugs_in_from_a_folder(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    save_tokenizer(tmp_path, pad_token="[PAD]")
    sizes = {"vocab_size": 6, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    for labels in (1, 2):
        BertForSequenceClassification(BertConfig(**sizes, num_labels=labels, max_position_embeddings=64)).save_pretrained(tmp_path)
        grade = quality.load_classifier(str(tmp_path))
        found = [PROSE * 5, MENU, "the heron"]
        scores = grade(found)
        assert scores.shape == (3,) and (scores >= 0).all() and (scores <= 1).all()
        np.testing.assert_allclose(grade(found[::-1])[::-1], scores, atol=1e-5)  # length of the batch does not matter
    BertModel(BertConfig(**sizes, max_position_embeddings=64)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"the weights lack 2 tensors that a sequence classifier needs \(classifier.bias first\)"):
        quality.load_classifier(str(tmp_path))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(InputError, match="the weights are damaged"):
        quality.load_classifier(str(tmp_path))
    with pytest.raises(InputError, match="can't be loaded"):
        quality.load_classifier(str(tmp_path / "nowhere"))


def test_a_classifier_made_of_a_model_that_writes_pads_with_its_end_token_or_is_told_at_once_that_it_can_not(tmp_path):
    from transformers import GPT2Config, GPT2ForSequenceClassification

    sizes = {"vocab_size": 6, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 1, "bos_token_id": 0, "eos_token_id": 0}
    GPT2ForSequenceClassification(GPT2Config(**sizes, num_labels=2)).save_pretrained(tmp_path)
    found = [PROSE * 5, "the heron buy", "now"]
    for special in ({"eos_token": "[PAD]"}, {"pad_token": "[PAD]"}):  # the second one's config.json does not know it
        save_tokenizer(tmp_path, **special)
        grade = quality.load_classifier(str(tmp_path))
        np.testing.assert_allclose(grade(found), [grade([text])[0] for text in found], atol=1e-5)
    save_tokenizer(tmp_path)
    with pytest.raises(InputError, match="its tokenizer has no token to pad with; name one as pad_token"):
        quality.load_classifier(str(tmp_path))


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_say_their_finding_and_escape_names():
    from hare_lab import figures

    table = quality.check_rules(pages([PROSE, MENU])).table()
    shown = figures.rule_failures(table, pages=2)
    assert "drops the most pages" in shown.layout.title.text
    scored = pd.DataFrame({"topic": ["<b>good</b>"] * 30 + ["poor"] * 30 + ["unclustered"] * 5,
                           "quality": [*np.linspace(0.6, 1, 30), *np.linspace(0, 0.4, 30), *[0.9] * 5]})  # fmt: skip
    ridges = figures.quality_by_topic(scored, floor=0.3)
    assert "good" in ridges.layout.title.text and "<b>good" not in ridges.layout.yaxis.ticktext[0]
    assert len(ridges.layout.yaxis.ticktext) == 2
    for empty in (figures.quality_by_topic(scored[:0]), figures.rule_failures(table.assign(pages=0), pages=2)):
        assert empty.layout.title.text
    with pytest.raises(InputError, match="column quality is missing"):
        figures.quality_by_topic(scored[["topic"]])


# --- the command line -------------------------------------------------------------------------------------------------


def command(*words, **kwargs):
    return subprocess.run([sys.executable, "-m", "hare_lab.cli", *words], capture_output=True, text=True, cwd=ROOT, **kwargs)


def test_score_writes_every_page_with_its_verdicts_and_what_it_set_aside(tmp_path):
    rows = [f"{(PROSE, MENU)[n % 2]} {n}" for n in range(50)]
    corpus = few("pages.jsonl", [*rows, "  "], tmp_path)
    good = few("good.jsonl", [f"{PROSE} Page {n}." for n in range(25)], tmp_path)
    bad = few("bad.jsonl", [f"{MENU} {n}" for n in range(25)], tmp_path)
    out = tmp_path / "scores.parquet"
    done = command("score", corpus, "--out", str(out), "--good", good, "--bad", bad)
    assert done.returncode == 0, done.stderr
    table, report = pd.read_parquet(out), json.loads((tmp_path / "scores.parquet.report.json").read_text())
    assert len(table) == 50 and {"id", "text", "quality", "rules_failed", "gopher_words", "failed_gopher_words"} <= set(table.columns)
    assert table["quality"][::2].min() > table["quality"][1::2].max()
    assert [row["reason"] for row in report["set_aside"]] == ["empty"] and report["quality"]["pages"] == 50


def test_good_examples_are_a_corpus_like_any_other_and_a_column_of_the_users_stays(tmp_path):
    rows = pages([f"{(PROSE, MENU)[n % 2]} {n}" for n in range(50)])
    body = rows.rename_column("text", "body").add_column("quality", ["my own"] * 50)
    for part in range(2):
        pages([f"{PROSE} Page {part} {n}." for n in range(15)]).rename_column("text", "body").to_json(tmp_path / f"good-{part}.jsonl")
    _, scored, scores = score_source(body, priors.default(), good=str(tmp_path / "good-*.jsonl"), column="body")
    assert scores.report.good == 30 and scores.report.good_from.endswith("good-*.jsonl")
    assert set(scored["own_quality"]) == {"my own"} and min(scored["quality"][::2]) > max(scored["quality"][1::2])


@pytest.mark.parametrize(
    ("rows", "words", "sentence"),
    [
        (["  ", ""], [], "no usable text in 2 rows"),
        ([PROSE] * 3, ["--good", "{one}"], "are 1, and a scorer learns from 20 or more"),
        ([PROSE] * 3, ["--good", "{many}", "--bad", "{one}"], 'one.jsonl" are 1, and a scorer learns from 20 or more'),
        ([PROSE] * 3, ["--column", "body"], 'line 1: no column "body"'),
        ([PROSE] * 3, ["--out", "scores.csv"], "has no .parquet at its end"),
        ([PROSE] * 3, ["--good", "nowhere.jsonl"], "no file or folder nowhere.jsonl"),
        ([PROSE] * 3, ["--bad", "{one}"], "give good ones too"),
        ([PROSE] * 3, ["--priors", "{priors}"], "quality.rules.no_such_rule"),
    ],
)
def test_what_score_can_not_use_is_one_sentence_and_exit_2(tmp_path, rows, words, sentence):
    statement = tmp_path / "priors.yaml"
    statement.write_text("quality: {rules: {no_such_rule: 3}}\n")
    places = {"one": few("one.jsonl", [PROSE], tmp_path), "many": few("many.jsonl", [PROSE] * 20, tmp_path), "priors": str(statement)}
    out = tmp_path / "scores.parquet"
    done = command("score", few("pages.jsonl", rows, tmp_path), "--out", str(out), *(word.format(**places) for word in words))
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    assert not out.exists() and not list(tmp_path.glob(".*part"))


# --- real pages -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif("HARE_LAB_REAL_DATA" not in os.environ, reason="HARE_LAB_REAL_DATA is unset")
def test_real_news_reads_better_than_the_same_news_in_pieces():
    with gzip.open(Path(os.environ["HARE_LAB_REAL_DATA"]) / "onestop_english" / "data.jsonl.gz", "rt", encoding="utf-8") as lines:
        news = [json.loads(line)["text"] for line in lines][:90]
    good = list(reference(priors.default())["text"])
    known = quality.evidence([*good, *news])
    scorer = quality.fit(known, np.arange(len(known)) < len(good)).scorer
    before = scorer.score(news)
    assert (scorer.score(["\n".join(text.split(" ")) for text in news]) < before).mean() > 0.95
    assert (scorer.score(["\n".join(re.findall(r"\S+ \S+ \S+", text.title())) for text in news]) < before).mean() > 0.95
    assert set(features.COUNTS) == set(known.counts)
