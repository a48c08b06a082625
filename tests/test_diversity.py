"""Diversity: what theory says of each measure, and intervals that hold what they promise."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hare_lab import diversity
from hare_lab.diversity import effective_number, hill_curve, neighbour_distance, pairwise_distance, text_measures, vendi_score
from hare_lab.errors import InputError

SHARES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)
ORDERS = st.floats(0, 5)
VECTORS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.integers(1, 6)),
    elements=st.floats(-10, 10).filter(lambda x: abs(x) > 1e-3),
)


def similarities(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def pages_of_equal_length(count, words, seed=0):
    """Pages whose words repeat more on some than on others, so that the order of reading matters."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{w}" for w in rng.integers(0, rng.integers(15, 60), words)) for _ in range(count)]


# --- Hill numbers ----------------------------------------------------------------------------------------------------


@given(SHARES, ORDERS)
def test_effective_number_lies_between_one_and_the_number_of_topics(shares, order):
    assert 1 - 1e-9 <= effective_number(shares, order) <= len(shares) + 1e-6


@given(SHARES, ORDERS, st.floats(1e-3, 1e3), st.randoms())
def test_effective_number_hears_neither_scale_nor_order_nor_absent_topics(shares, order, scale, random):
    changed = [*(s * scale for s in shares), 0.0]
    random.shuffle(changed)
    assert effective_number(changed, order) == pytest.approx(effective_number(shares, order), rel=1e-6)


@given(SHARES, ORDERS, ORDERS)
def test_effective_number_falls_as_rare_topics_count_less(shares, one, other):
    low, high = sorted((one, other))
    assert effective_number(shares, high) <= effective_number(shares, low) * (1 + 1e-6)


@given(SHARES, ORDERS, st.integers(2, 4))
def test_copies_of_a_corpus_with_topics_of_their_own_multiply_its_diversity(shares, order, copies):
    assert effective_number(shares * copies, order) == pytest.approx(copies * effective_number(shares, order), rel=1e-6)


def test_equal_shares_count_fully():
    assert effective_number([3, 3, 3, 3]) == pytest.approx(4)


def test_known_values():
    assert effective_number([0.5, 0.25, 0.25], 1) == pytest.approx(2**1.5)
    assert effective_number([0.5, 0.25, 0.25], 2) == pytest.approx(1 / 0.375)
    assert effective_number([5, 0, 1], 0) == 2
    assert effective_number([]) == 0
    assert effective_number([1e300, 1e300, 1e-300], 400) == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize("shares", [[-1, 2], [math.nan], [math.inf, 1]])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(InputError, match="finite and non-negative"):
        effective_number(shares)


@pytest.mark.parametrize("order", [-1, math.nan, math.inf])
def test_an_order_that_is_none_is_refused(order):
    with pytest.raises(InputError, match="order"):
        effective_number([1, 2], order)


@pytest.mark.parametrize("order", [1, 2])
def test_the_bootstrap_interval_covers_the_diversity_of_the_source_for_93_of_100_seeds(order):
    source = 1 / np.arange(1, 31)
    source /= source.sum()
    found = []
    for seed in range(100):
        counts = np.random.default_rng(seed).multinomial(1_000, source)
        [(_, estimate)] = hill_curve(counts, orders=[order], seed=seed)
        found.append(estimate)
    assert sum(e.low <= effective_number(source, order) <= e.high for e in found) >= 93
    reach = np.mean([[e.value - e.low, e.high - e.value] for e in found], axis=0)
    assert reach.max() <= 3.2 * np.std([e.value for e in found])


# --- vectors ---------------------------------------------------------------------------------------------------------


@given(VECTORS)
def test_vendi_score_is_the_effective_number_of_the_eigenvalues_of_the_similarities(vectors):
    eigenvalues = np.clip(np.linalg.eigvalsh(similarities(vectors) / len(vectors)), 0, None)
    score = vendi_score(vectors).value
    assert score == pytest.approx(effective_number(eigenvalues), rel=1e-6)
    assert 1 - 1e-9 <= score <= min(vectors.shape) + 1e-6


@given(VECTORS, st.integers(2, 3))
def test_vendi_score_hears_neither_copies_of_the_corpus_nor_its_order(vectors, copies):
    assert vendi_score(np.tile(vectors, (copies, 1))[::-1]).value == pytest.approx(vendi_score(vectors).value, rel=1e-6)


def test_the_same_page_again_and_again_has_the_diversity_of_one():
    same = np.tile([0.6, 0.8, 0.0], (500, 1))
    assert vendi_score(same).value == pytest.approx(1)
    assert pairwise_distance(same).value == pytest.approx(0, abs=1e-9)
    assert neighbour_distance(same).value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("extra", [0, 7])  # as many rows as dimensions, and fewer: the two ways to the eigenvalues
def test_orthogonal_pages_count_fully(extra):
    pages = np.eye(20, 20 + extra)
    assert vendi_score(pages).value == pytest.approx(20)
    assert pairwise_distance(pages).value == pytest.approx(1)
    assert neighbour_distance(pages).value == pytest.approx(1)


@given(VECTORS)
def test_distances_are_those_of_all_pairs(vectors):
    likeness = similarities(vectors)
    others = likeness[~np.eye(len(vectors), dtype=bool)].reshape(len(vectors), -1)
    assert pairwise_distance(vectors).value == pytest.approx(1 - others.mean(), abs=1e-9)
    assert neighbour_distance(vectors).value == pytest.approx(1 - others.max(axis=1).mean(), abs=1e-5)


@given(VECTORS)
def test_two_copies_of_a_corpus_are_nearer_by_just_the_pairs_of_copies(vectors):
    count = len(vectors)
    doubled = np.tile(vectors, (2, 1))
    expected = pairwise_distance(vectors).value * (2 * count - 2) / (2 * count - 1)
    assert pairwise_distance(doubled).value == pytest.approx(expected, abs=1e-9)
    assert neighbour_distance(doubled).value == pytest.approx(0, abs=1e-5)


def test_blocks_change_nothing():
    vectors = np.random.default_rng(0).normal(size=(4_500, 8))
    likeness = similarities(vectors)
    np.fill_diagonal(likeness, -1)
    assert neighbour_distance(vectors).value == pytest.approx(1 - likeness.max(axis=1).mean(), abs=1e-6)


@pytest.mark.parametrize("sample", [40, 200])
def test_a_sampled_neighbour_distance_covers_the_exact_one_for_93_of_100_seeds(sample):
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(600, 16)) + 3 * rng.normal(size=(12, 16))[rng.integers(0, 12, 600)]
    vectors[:60] = vectors[60:120]  # a tenth has an exact copy, so that the distances are no bell curve
    exact = neighbour_distance(vectors).value
    likeness = similarities(vectors)
    np.fill_diagonal(likeness, -1)
    error = likeness.max(axis=1).std() * math.sqrt((1 - sample / 600) / sample)
    estimates = [neighbour_distance(vectors, sample=sample, seed=seed) for seed in range(100)]
    assert sum(e.low <= exact <= e.high for e in estimates) >= 93
    assert all(e.low < e.value < e.high for e in estimates)
    reach = np.mean([[e.value - e.low, e.high - e.value] for e in estimates], axis=0)
    assert reach.max() <= 2.6 * error


def test_a_sample_of_all_is_exact():
    vectors = np.random.default_rng(0).normal(size=(50, 4))
    assert neighbour_distance(vectors, sample=50) == neighbour_distance(vectors)
    assert neighbour_distance(vectors).low == neighbour_distance(vectors).high


@pytest.mark.parametrize("measure", [vendi_score, pairwise_distance, neighbour_distance])
@pytest.mark.parametrize(("broken", "word"), [([1.0, math.nan], "vector 1"), ([0.0, 0.0], "vector 1"), ([math.inf, 1.0], "vector 1")])
def test_a_vector_that_is_none_is_named(measure, broken, word):
    with pytest.raises(InputError, match=word), np.errstate(all="ignore"):
        measure(np.array([[1.0, 2.0], broken, [3.0, 1.0]]))


@pytest.mark.parametrize("measure", [vendi_score, pairwise_distance, neighbour_distance])
def test_no_vector_at_all_is_refused(measure):
    with pytest.raises(InputError, match="at least one page"):
        measure(np.empty((0, 4)))


def test_a_distance_needs_two_pages():
    with pytest.raises(InputError, match="two pages"):
        pairwise_distance(np.ones((1, 3)))


# --- text ------------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=8), st.randoms())
def test_text_measures_lie_in_their_bounds_and_hear_no_order(texts, random):
    found = text_measures(texts)
    shuffled = list(texts)
    random.shuffle(shuffled)
    again = text_measures(shuffled)
    for name in ("distinct_1", "distinct_2", "distinct_3"):
        assert 0 < found[name].value <= 1
        assert found[name] == again[name]  # all of it is read, so the number is exact
        assert found[name].low == found[name].high
    assert found["compression_ratio"].low <= found["compression_ratio"].value <= found["compression_ratio"].high


def test_distinct_n_counts_within_pages():
    found = text_measures(["a b a b", "a b a"])
    assert found["distinct_1"].value == pytest.approx(2 / 7)
    assert found["distinct_2"].value == pytest.approx(2 / 5)
    assert found["distinct_3"].value == pytest.approx(2 / 3)
    assert found["grams"] == 3


def test_words_keep_their_vowel_signs():
    found = text_measures(["लड़का लड़की का की"])
    assert (found["distinct_1"].value, found["grams"]) == (1, 2)


def test_saying_it_again_makes_text_less_distinct_and_more_compressible():
    fresh = pages_of_equal_length(40, 50)
    again = [fresh[0]] * 40
    one, other = text_measures(fresh), text_measures(again)
    assert other["distinct_3"].value < one["distinct_3"].value
    assert other["compression_ratio"].value > 2 * one["compression_ratio"].value


def test_a_larger_corpus_of_the_same_kind_is_as_distinct():
    small, large = pages_of_equal_length(300, 40), pages_of_equal_length(3_000, 40, seed=1)
    one, other = (text_measures(texts, grams=2_000, size=5_000) for texts in (small, large))
    assert one["grams"] == other["grams"] == 2_000
    for name in ("distinct_1", "distinct_2", "compression_ratio"):
        assert other[name].value == pytest.approx(one[name].value, rel=0.05)


def test_the_interval_of_the_readings_covers_the_exact_value_for_93_of_100_seeds():
    words = 32
    texts = pages_of_equal_length(400, words)
    grams = words - 2  # one page fills a reading, so the mean over all orders is the mean over pages
    by_page = {
        f"distinct_{n}": [len(set(zip(*(p[i:] for i in range(n)), strict=False)) if n > 1 else set(p[:grams])) / grams for p in pages]
        for n, pages in ((n, [t.split()[: grams + n - 1] for t in texts]) for n in (1, 2))
    }
    found = [text_measures(texts, grams=grams, size=1, seed=seed) for seed in range(100)]
    for name, values in by_page.items():
        estimates = [measured[name] for measured in found]
        assert sum(e.low <= np.mean(values) <= e.high for e in estimates) >= 93
        reach = np.mean([[e.value - e.low, e.high - e.value] for e in estimates], axis=0)
        assert reach.max() <= 2.8 * np.std(values) / math.sqrt(20)  # readings


def test_a_huge_page_is_read_no_further_than_a_reading_needs():
    found = text_measures(["word " * 4_000_000], grams=1_000, size=1_000)
    assert found["grams"] == 1_000


# --- the report ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    topic = rng.integers(-1, 5, 200)
    return [f"page {i} about topic {t}" for i, t in enumerate(topic)], rng.normal(size=(200, 8)) + 2 * topic[:, None], topic


def test_a_profile_holds_every_measure_and_its_interval(corpus):
    texts, vectors, topic = corpus
    found = diversity.profile(texts, vectors, topic)
    assert found.topics.value == 5
    assert found.unclustered == pytest.approx((topic == -1).mean())
    for name in ("topics", "effective_topics", "common_topics", "vendi", "pairwise_distance", "neighbour_distance", "distinct_2"):
        estimate = getattr(found, name)
        assert estimate.low <= estimate.value <= estimate.high
    assert found.to_dict()["vendi"]["value"] == found.vendi.value
    assert found == diversity.profile(texts, vectors, topic)


def test_names_and_missing_labels_are_understood(corpus):
    texts, _, topic = corpus
    names = [None if t == -1 else "unclustered" if t == 0 else f"topic {t}" for t in topic]
    assert diversity.profile(texts, labels=names).topics.value == 4


def test_a_profile_shows_itself(corpus):
    texts, vectors, topic = corpus
    found = diversity.profile(texts, vectors, topic)
    assert "Vendi score" in found._repr_html_() and "200 pages" in found._repr_html_()
    assert f"{(topic == -1).mean():.1%}" in found._repr_html_()
    assert ">5<" in found._repr_html_()  # the count of topics has no interval that could begin below it
    assert "5 topics" in found.figure().layout.title.text
    assert list(found.table().columns) == ["order", "effective_number", "low", "high"]


def test_a_dataset_and_a_data_frame_are_read_by_their_text(corpus):
    from datasets import Dataset

    texts, _, _ = corpus
    frame = pd.DataFrame({"text": texts}, index=range(7, 207))
    assert diversity.profile(Dataset.from_dict({"text": texts})) == diversity.profile(frame) == diversity.profile(texts)
    with pytest.raises(InputError, match="no column text"):
        diversity.profile(frame.rename(columns={"text": "body"}))


def test_a_slice_of_a_dataset_is_read_by_its_text(corpus):
    from datasets import Dataset

    texts, _, _ = corpus
    data = Dataset.from_dict({"text": texts, "title": texts})
    assert diversity.profile(data[:50]) == diversity.profile(texts[:50])
    with pytest.raises(InputError, match="no column text, only title"):
        diversity.profile(data.remove_columns("text")[:50])


@pytest.mark.parametrize("pages", ["abc", {"text": "abc"}])
def test_one_text_is_no_set_of_pages(pages):
    with pytest.raises(InputError, match="diversity: profile takes"):
        diversity.profile(pages)


def test_one_page_has_no_distance():
    found = diversity.profile(["one page"], np.ones((1, 3)), [0])
    assert found.vendi.value == pytest.approx(1) and found.effective_topics.value == 1
    assert found.pairwise_distance is None and found.neighbour_distance is None


def test_a_corpus_with_no_topic_has_none():
    found = diversity.profile(["a", "b"], labels=[-1, -1])
    assert found.topics.value == 0 and found.unclustered == 1
    assert found.figure() is not None


def test_no_page_and_lengths_that_differ_are_refused():
    with pytest.raises(InputError, match="no page"):
        diversity.profile([])
    with pytest.raises(InputError, match="2 pages but 3 vectors"):
        diversity.profile(["a", "b"], np.ones((3, 2)))
    with pytest.raises(InputError, match="2 pages but 1 labels"):
        diversity.profile(["a", "b"], labels=[1])
