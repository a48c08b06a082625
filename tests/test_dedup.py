"""Copies: what is planted is found, nothing goes without its own keeper, and the order of the pages changes nothing."""

import json

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hare_lab import dedup
from hare_lab.dedup import words as words_module
from hare_lab.dedup.near_copies import MISS, SIGNATURE, rows_a_band
from hare_lab.dedup.report import snippets
from hare_lab.errors import InputError

VOCABULARY = [f"w{number}" for number in range(4_000)]


def pages(texts, ids=None):
    names = ids or [f"p{row:05}" for row in range(len(texts))]
    return Dataset.from_dict(
        {"id": names, "text": list(texts), "title": [""] * len(texts), "source": ["test"] * len(texts), "mine": range(len(texts))}
    )


def prose(rng, count):
    return " ".join(rng.choice(VOCABULARY, count))


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ids(dataset):
    return set(dataset["id"])


few_words = st.lists(st.sampled_from(["ant", "bee", "cat", "dog"]), max_size=9).map(" ".join)
texts_of_few_words = st.lists(few_words, min_size=1, max_size=12)


# --- exact ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copy", ["THE heron stood, still!", "the  heron\n\nstood still", "ｔｈｅ heron — stood… still", "The ﻿heron stood still."]
)
def test_case_spacing_punctuation_and_width_do_not_make_a_difference(copy):
    assert dedup.exact(pages(["The heron stood still", copy, "the heron stood"])).n_removed == 1


def test_words_are_told_apart_by_their_vowel_signs_and_joiners():
    assert dedup.exact(pages(["लड़का आया था।", "लड़की आयी थी।", "লড়কি", "লড়কা"])).n_removed == 0
    assert words_module.words("ශ්‍රී می‌خواهم 1️⃣ cafe\u0301\u200c!") == ["ශ්‍රී", "می‌خواهم", "1", "café"]


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_words_are_the_words_of_any_text(text):
    assert words_module.words(text) == words_module._WORD.findall(text.casefold())


def test_the_longest_page_stays_and_of_equally_long_ones_that_with_the_smallest_id():
    found = dedup.exact(pages(["a b", "a, b!", "a b", "c d", "c d"], ids=["1", "2", "3", "5", "4"]))
    assert set(found.groups[found.groups["kept"]]["id"]) == {"2", "4"}


def test_texts_without_a_word_are_compared_sign_by_sign():
    assert dedup.exact(pages(["!!", "??", "!!", "", ""])).n_removed == 2


# --- near ----------------------------------------------------------------------------------------------------------


def test_planted_near_copies_are_found_and_distinct_pages_are_not():
    rng = np.random.default_rng(3)
    texts = [prose(rng, 200) for _ in range(300)]
    copies = []
    for text in texts[:60]:
        edited = text.split()
        for place in rng.choice(len(edited), 6, replace=False):
            edited[place] = "other"
        copies.append(" ".join(edited) + " and a line at the end that is longer")
    found = dedup.near(pages([*texts, *copies]))
    pairs = set(zip(found.groups["row"], found.groups["kept_id"], strict=True))
    assert found.n_removed == 60
    assert {(row, f"p{300 + row:05}") for row in range(60)} <= pairs


def test_similarity_is_the_exact_jaccard_of_the_shingles():
    one, other = "a b c d e f g h i j", "a b c d e f g h i x"
    found = dedup.near(pages([one, other]), threshold=0.4)
    assert found.groups["similarity"].tolist() == [1.0, pytest.approx(5 / 7)]


def test_a_chain_of_edits_does_not_take_a_page_that_is_unlike_the_one_that_stays():
    rng = np.random.default_rng(0)
    run = prose(rng, 400).split()
    chain = [" ".join([*run[start : start + 200], "x" * (9 - start // 40)]) for start in (0, 40, 80, 120)]
    found = dedup.near(pages(chain), threshold=0.6)
    gone = found.groups[~found.groups["kept"]]
    assert (gone["similarity"] >= 0.6).all()
    assert found.n_groups == 2


def test_texts_shorter_than_a_shingle_match_only_their_like():
    found = dedup.near(pages(["one two", "one two three", "One, two!", "", "", "…"]))
    assert found.groups[~found.groups["kept"]]["id"].tolist() == ["p00000"]


def test_text_without_spaces_is_compared_sign_by_sign():
    assert words_module.words("北京 ABC") == ["北", "京", "abc"]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_bands_miss_few_pairs_at_the_threshold(threshold):
    rows = rows_a_band(threshold)
    miss = (1 - threshold**rows) ** (SIGNATURE // rows)
    assert miss <= MISS or rows == 1


# --- semantic ------------------------------------------------------------------------------------------------------


def told_again(rng, groups, again=2, dimension=64):
    """Pages in groups: their telling words in another order with other small words between, vectors close to one another."""
    texts, centres = [], unit(rng.normal(size=(groups, dimension)))
    for _ in range(groups):
        telling = [f"{''.join(rng.choice(list('abcdefgh'), 5))}{number}" for number in range(30)]
        for copy in range(again):
            small = ["mnop"[copy] + letter for letter in "abcdefghijklmnopqrstuvwxyzäöüé"]
            texts.append(" ".join(word for pair in zip(rng.permutation(telling), small, strict=True) for word in pair) + " x" * copy)
    vectors = unit(np.repeat(centres, again, axis=0) + 0.04 * rng.normal(size=(groups * again, dimension)))
    return texts, vectors


def test_pages_told_again_are_found_and_near_finds_none_of_them():
    texts, vectors = told_again(np.random.default_rng(1), 40, again=3)
    found = dedup.semantic(pages(texts), vectors)
    assert (found.n_groups, found.n_removed) == (40, 80)
    assert [row // 3 for row in found.groups["row"]] == found.groups["group"].tolist()
    assert dedup.near(pages(texts)).n_removed == 0


def test_the_same_subject_is_not_enough_without_shared_words():
    texts, vectors = told_again(np.random.default_rng(1), 20, again=1)
    assert dedup.semantic(pages(texts), np.tile(vectors[:1], (20, 1))).n_removed == 0


def test_the_same_words_are_not_enough_about_another_thing():
    _, vectors = told_again(np.random.default_rng(1), 20, again=1)
    assert dedup.semantic(pages(["some telling words standing together"] * 20), vectors).n_removed == 0


def test_neighbourhoods_find_what_comparing_every_pair_finds(monkeypatch):
    texts, vectors = told_again(np.random.default_rng(2), 1_500)
    every = dedup.semantic(pages(texts), vectors)
    monkeypatch.setattr("hare_lab.dedup.semantic_copies.EXACT", 1_000)
    monkeypatch.setattr("hare_lab.dedup.semantic_copies.HOMES", 2)
    some = dedup.semantic(pages(texts), vectors)
    assert every.n_removed == 1_500
    assert set(some.groups["row"]) <= set(every.groups["row"]) and some.n_removed > 1_300


def test_vectors_that_are_not_unit_length_are_named_with_their_row():
    with pytest.raises(InputError, match="row 1 has the length 2"):
        dedup.semantic(pages(["a", "b"]), np.array([[1.0, 0.0], [0.0, 2.0]]))


@settings(max_examples=25, deadline=None)
@given(texts=texts_of_few_words, seed=st.integers(0, 1_000))
def test_semantic_copies_depend_on_no_order_and_leave_nothing_to_find(texts, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(1, 3)) + 0.5 * rng.normal(size=(len(texts), 3)))
    before, order = pages(texts), rng.permutation(len(texts))
    found = dedup.semantic(before, vectors, threshold=0.8)
    kept, removed = dedup.drop(before, found)
    other, _ = dedup.drop(before.select(order), dedup.semantic(before.select(order), vectors[order], threshold=0.8))
    assert ids(kept) == ids(other)
    assert sorted([*kept["mine"], *removed["mine"]]) == list(range(len(texts)))
    assert dedup.semantic(kept, vectors[found.kept_rows(len(texts))], threshold=0.8).n_removed == 0


# --- all three -----------------------------------------------------------------------------------------------------


def find(kind, dataset, vectors=None):
    if kind == "semantic":
        return dedup.semantic(dataset, vectors)
    return {"exact": dedup.exact, "near": dedup.near}[kind](dataset)


@pytest.mark.parametrize("kind", ["exact", "near"])
@settings(max_examples=25, deadline=None)
@given(texts=texts_of_few_words, seed=st.integers(0, 1_000))
def test_the_order_of_the_pages_does_not_change_what_stays(kind, texts, seed):
    found = pages(texts)
    order = np.random.default_rng(seed).permutation(len(texts))
    kept, _ = dedup.drop(found, find(kind, found))
    other, _ = dedup.drop(found.select(order), find(kind, found.select(order)))
    assert ids(kept) == ids(other)


@pytest.mark.parametrize("kind", ["exact", "near"])
@settings(max_examples=25, deadline=None)
@given(texts=texts_of_few_words)
def test_pages_and_removed_partition_the_input_and_nothing_is_left_to_find(kind, texts):
    before = pages(texts)
    kept, removed = dedup.drop(before, find(kind, before))
    assert sorted([*kept["mine"], *removed["mine"]]) == list(range(len(texts)))
    assert list(kept["mine"]) == sorted(kept["mine"])
    assert find(kind, kept).n_removed == 0


@pytest.mark.parametrize("kind", ["exact", "near", "semantic"])
def test_ten_thousand_identical_pages_are_one_group(kind):
    same = pages(["the same words over and over again in every page"] * 10_000)
    found = find(kind, same, np.tile(unit(np.ones((1, 8))), (10_000, 1)))
    assert (found.n_groups, found.n_removed) == (1, 9_999)
    assert found.groups["kept_id"].unique().tolist() == ["p00000"]
    assert found.seconds < 10


@pytest.mark.parametrize("kind", ["exact", "near", "semantic"])
def test_one_page_is_no_copy(kind):
    found = find(kind, pages(["alone"]), np.ones((1, 1)))
    assert (found.n_removed, found.kept_rows(1).tolist()) == (0, [0])
    assert len(found.examples().table) == 0


@pytest.mark.parametrize("kind", ["exact", "near", "semantic"])
def test_an_empty_corpus_is_named(kind):
    with pytest.raises(InputError, match="empty; load at least one page"):
        find(kind, pages([]), np.ones((0, 3)))


@pytest.mark.parametrize("vectors", [np.ones((2, 3)), np.ones(3), np.full((3, 2), np.nan)])
def test_vectors_that_do_not_fit_the_pages_are_named(vectors):
    with pytest.raises(InputError, match="vectors"):
        dedup.semantic(pages(["a", "b", "c"]), vectors)


@pytest.mark.parametrize("threshold", [0, -1, 1.2, float("nan")])
def test_a_threshold_that_is_no_similarity_is_named(threshold):
    with pytest.raises(InputError, match="threshold"):
        dedup.near(pages(["a"]), threshold=threshold)


def test_text_that_is_no_text_is_named_with_its_row():
    with pytest.raises(InputError, match="row 1"):
        dedup.exact(pages(["a", None]))
    with pytest.raises(InputError, match='no column "text"'):
        dedup.exact(Dataset.from_dict({"id": ["a"]}))


def test_copies_of_other_pages_are_not_dropped():
    with pytest.raises(InputError, match="pass the same pages"):
        dedup.drop(pages(["a"]), dedup.exact(pages(["a", "a"])))


def test_removed_names_the_page_that_stays_and_keeps_the_users_columns():
    kept, removed = dedup.drop(*(lambda p: (p, dedup.exact(p)))(pages(["a b", "A B!"])))
    assert kept["mine"][:] == [1] and removed["mine"][:] == [0]
    assert removed[0]["step"] == "dedup-exact" and removed[0]["reason"] == "exact copy" and '"p00001" stays' in removed[0]["detail"]


def test_hostile_text_and_ids_are_escaped():
    evil = "<script>alert(1)</script>"
    found = dedup.near(pages([f"{evil} one two three four five six", f"{evil} one two three four five six seven"], ids=[evil, evil + "2"]))
    shown = found.examples()._repr_html_() + found._repr_html_()
    assert found.n_removed == 1 and "<script" not in shown and "&lt;script" in shown


def test_the_report_is_json():
    record = json.loads(json.dumps(dedup.exact(pages(["a", "a"])).to_dict()))
    assert record["n_removed"] == 1 and len(record["groups"]) == 2


def test_snippets_begin_before_the_first_difference():
    one = " ".join(VOCABULARY[:100])
    stays, goes = snippets(one, one.replace("w50 ", "other "))
    assert "w50" in stays and "other" in goes and stays.startswith("… w44") and stays.endswith(" …")
