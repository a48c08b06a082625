"""Does clustering find what was planted, leave out what belongs nowhere, and say the same twice?"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn.metrics import adjusted_mutual_info_score

from hare_lab.clustering import assign, cluster, communities, fit, neighbours
from hare_lab.clustering.belonging import plurality
from hare_lab.errors import InputError

DIMENSION = 48


def planted(n: int = 900, groups: int = 9, spread: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around `groups` random directions, and the group of each."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(groups, size=n)
    centres = rng.normal(size=(groups, DIMENSION))
    return neighbours.unit(centres[truth] + spread * rng.normal(size=(n, DIMENSION))), truth


@pytest.fixture(scope="module")
def blobs():
    vectors, truth = planted()
    return vectors, truth, cluster(vectors)


@pytest.fixture(scope="module")
def with_strays():
    """Planted groups, and one page in thirty that lies anywhere."""
    vectors, truth = planted()
    strays = neighbours.unit(np.random.default_rng(1).normal(size=(30, DIMENSION)))
    return np.vstack([vectors, strays]), truth, cluster(np.vstack([vectors, strays]))


def test_planted_groups_are_recovered(blobs):
    _, truth, found = blobs
    assert adjusted_mutual_info_score(truth, found.nearest_cluster) > 0.99
    assert found.report.n_clusters == 9


@pytest.mark.parametrize(("n", "groups", "spread"), [(200, 8, 0.6), (900, 2, 0.6), (900, 3, 0.6), (1000, 5, 0.8), (1000, 25, 1.0)])
def test_the_number_of_clusters_comes_from_the_data(n, groups, spread):
    vectors, truth = planted(n, groups, spread)
    found = cluster(vectors)
    assert found.report.n_clusters == groups
    assert adjusted_mutual_info_score(truth, found.nearest_cluster) > 0.99


def test_where_nothing_stands_out_there_is_one_cluster():
    found = cluster(np.random.default_rng(0).normal(size=(1000, DIMENSION)))
    assert found.report.n_clusters == 1 and found.report.stability < 1 / 3


def test_the_order_of_the_pages_does_not_matter_to_quality(blobs):
    vectors, truth, _ = blobs
    order = np.random.default_rng(2).permutation(len(truth))
    assert adjusted_mutual_info_score(truth[order], cluster(vectors[order]).nearest_cluster) > 0.99


def test_the_length_of_the_vectors_does_not_matter(blobs):
    vectors, _, found = blobs
    stretched = cluster(vectors * np.random.default_rng(3).uniform(0.5, 4, (len(vectors), 1)))
    assert adjusted_mutual_info_score(stretched.nearest_cluster, found.nearest_cluster) > 0.99


def test_strays_are_left_out_more_than_members_and_their_share_is_reported(with_strays):
    _, truth, found = with_strays
    loose = found.cluster == -1
    assert loose[len(truth) :].mean() > 0.5
    assert loose[: len(truth)].mean() < 0.01
    assert found.report.noise == pytest.approx(loose.mean())


def test_unclustered_pages_keep_a_nearest_cluster_and_the_others_have_the_same(with_strays):
    found = with_strays[2]
    inside = found.cluster >= 0
    assert found.nearest_cluster.min() >= 0
    assert (found.cluster[inside] == found.nearest_cluster[inside]).all()
    assert set(found.nearest_cluster) <= set(found.cluster[inside])


def test_strength_below_the_least_is_what_unclustered_means(with_strays):
    found = with_strays[2]
    assert ((found.strength >= found.report.least_strength) == (found.cluster >= 0)).all()
    assert found.strength.min() >= 0 and found.strength.max() <= 1 + 1e-6


def test_cluster_zero_is_the_largest(with_strays):
    found = with_strays[2]
    assert found.nearest_cluster.dtype == np.int32 and found.layout.dtype == np.float32
    counts = np.bincount(found.nearest_cluster)
    assert (np.diff(counts) <= 0).all()
    assert found.report.sizes == np.bincount(found.cluster[found.cluster >= 0]).tolist()


def test_the_map_keeps_neighbours_together(blobs):
    _, truth, found = blobs
    layout = found.layout.astype(np.float64)
    distance = ((layout[:, None] - layout[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (truth[distance.argmin(axis=1)] == truth).mean() > 0.98


@pytest.mark.parametrize("wanted", [2, 5, 9, 14])
def test_a_target_for_the_number_of_clusters_is_met_closely(with_strays, wanted):
    assert abs(cluster(with_strays[0], n_clusters=wanted).report.n_clusters - wanted) <= 1


@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.3])
def test_a_target_for_the_noise_is_met_closely(wanted):
    overlapping, _ = planted(1500, 30, 1.6)
    assert cluster(overlapping, noise=wanted).report.noise == pytest.approx(wanted, abs=0.02)


def test_no_cluster_is_smaller_than_asked(with_strays):
    assert min(cluster(with_strays[0], min_cluster_size=60).report.sizes) >= 60


def test_a_sample_with_the_rest_assigned_agrees_with_the_full_fit(blobs):
    vectors, _, full = blobs
    part = cluster(vectors, sample=400)
    assert part.report.sampled and part.report.fitted == 400
    assert adjusted_mutual_info_score(full.nearest_cluster, part.nearest_cluster) > 0.98
    assert np.isfinite(part.layout).all()


def test_vectors_on_disk_are_assigned_block_by_block(blobs, tmp_path, monkeypatch):
    vectors = blobs[0]
    np.save(tmp_path / "vectors.npy", vectors)
    at_once = cluster(vectors, sample=400)
    monkeypatch.setattr("hare_lab.clustering.belonging.BLOCK", 70)
    mapped = cluster(np.load(tmp_path / "vectors.npy", mmap_mode="r"), sample=400)
    assert (mapped.nearest_cluster == at_once.nearest_cluster).all()
    assert np.allclose(mapped.strength, at_once.strength, atol=1e-5)


def test_new_pages_go_where_their_neighbours_are(blobs):
    vectors, truth, _ = blobs
    found = cluster(vectors[:700])
    new = assign(vectors[700:], vectors[:700], found)
    assert adjusted_mutual_info_score(truth[700:], new.nearest_cluster) > 0.98
    middle = np.array([np.median(found.layout[found.nearest_cluster == k], axis=0) for k in range(found.report.n_clusters)])
    closest = ((new.layout[:, None] - middle[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (closest == new.nearest_cluster).mean() > 0.95


def test_a_new_page_that_is_near_nothing_stays_unclustered(blobs):
    vectors, _, found = blobs
    strays = neighbours.unit(np.random.default_rng(5).normal(size=(50, DIMENSION)))
    assert (assign(strays, vectors, found).cluster == -1).mean() > 0.8


def test_nothing_new_is_assigned_to_nothing(blobs):
    vectors, _, found = blobs
    assert assign(vectors[:1], vectors, found).cluster.shape == (1,)
    with pytest.raises(InputError, match="do not match"):
        assign(vectors[:1], vectors[:10], found)


def test_density_recovers_what_was_planted(blobs):
    vectors, truth, _ = blobs
    found = cluster(vectors, method="hdbscan")
    assert found.report.n_clusters == 9 and adjusted_mutual_info_score(truth, found.nearest_cluster) > 0.99


def test_density_keeps_its_noise_honest_and_says_the_same_twice():
    overlapping, truth = planted(1500, 30, 1.6)
    found, again = (cluster(overlapping, method="hdbscan") for _ in range(2))
    inside = found.cluster >= 0
    assert found.report.noise == pytest.approx((~inside).mean()) and 0.01 < found.report.noise < 0.6
    assert ((found.strength >= found.report.least_strength) == inside).all() and found.strength.max() <= 1
    assert (found.cluster[inside] == found.nearest_cluster[inside]).all() and found.nearest_cluster.min() == 0
    assert (np.diff(np.bincount(found.nearest_cluster)) <= 0).all()
    loose = adjusted_mutual_info_score(truth[~inside], found.nearest_cluster[~inside])
    assert 0.05 < loose < adjusted_mutual_info_score(truth[inside], found.nearest_cluster[inside])
    assert (again.cluster == found.cluster).all() and (again.strength == found.strength).all()


def test_density_takes_copies_a_sample_and_new_pages_as_communities_do(blobs):
    vectors, truth, _ = blobs
    part = cluster(np.vstack([vectors, np.repeat(vectors[:1], 50, axis=0)]), method="hdbscan", sample=500)
    assert part.report.sampled and adjusted_mutual_info_score(truth, part.nearest_cluster[: len(truth)]) > 0.97
    assert (part.nearest_cluster[len(truth) :] == part.nearest_cluster[0]).all()
    assert (assign(vectors[:5], vectors, cluster(vectors, method="hdbscan")).cluster >= 0).all()


def test_a_method_says_what_it_does_and_does_not_do(blobs):
    with pytest.raises(InputError, match='method "kmeans" is unknown; choose one of communities, hdbscan'):
        cluster(blobs[0], method="kmeans")
    for target in ({"n_clusters": 4}, {"noise": 0.1}):
        with pytest.raises(InputError, match=r"steer .hdbscan. by min_cluster_size"):
            cluster(blobs[0], method="hdbscan", **target)


@pytest.mark.parametrize("method", ["communities", "hdbscan"])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 25])
def test_few_pages_do_not_fail(n, method):
    found = cluster(np.random.default_rng(n).normal(size=(n, DIMENSION)), method=method)
    assert found.cluster.shape == (n,) and found.layout.shape == (n, 2)
    assert np.isfinite(found.layout).all() and found.nearest_cluster.min() >= 0


@pytest.mark.parametrize("method", ["communities", "hdbscan"])
def test_ten_thousand_identical_pages_are_one_cluster(method):
    found = cluster(np.ones((10_000, DIMENSION), np.float32), method=method)
    assert found.report.n_clusters == 1 and (found.cluster == 0).all()
    assert np.isfinite(found.layout).all()


def test_copies_go_where_their_original_goes(blobs):
    vectors, truth, _ = blobs
    found = cluster(np.vstack([vectors, np.repeat(vectors[:1], 3000, axis=0)]))
    assert (found.nearest_cluster[len(vectors) :] == found.nearest_cluster[0]).all()
    assert adjusted_mutual_info_score(truth, found.nearest_cluster[: len(truth)]) > 0.99


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        (np.array([[1.0, np.nan]]), "not finite"),
        (np.zeros((0, 4)), "at least one row"),
        (np.zeros(4), "one row a page"),
        (np.array([["a"]]), "numbers"),
    ],
)
def test_bad_vectors_are_named(vectors, says):
    with pytest.raises(InputError, match=says):
        cluster(vectors)


@pytest.mark.parametrize("setting", [{"noise": 1.0}, {"n_clusters": 0}, {"min_cluster_size": 0}, {"n_neighbors": 1}, {"sample": 1}])
def test_a_setting_out_of_range_is_named(blobs, setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        cluster(blobs[0], **setting)


def test_more_clusters_than_the_pages_can_fill_are_refused():
    vectors = planted(100, 4)[0]
    with pytest.raises(InputError, match="n_clusters=50 with min_cluster_size=5, the default, needs 250 pages and 100 are fitted"):
        cluster(vectors, n_clusters=50)
    with pytest.raises(InputError, match="min_cluster_size=30 needs 120 pages"):
        cluster(vectors, n_clusters=4, min_cluster_size=30)
    assert cluster(vectors[:3], n_clusters=1).report.n_clusters == 1


def test_copies_fill_a_cluster_too():
    rng = np.random.default_rng(0)
    distinct = np.repeat(rng.normal(size=(10, DIMENSION)), 4, axis=0) + 0.3 * rng.normal(size=(40, DIMENSION))
    assert cluster(np.repeat(distinct, 25, axis=0), n_clusters=10).report.n_clusters == 10  # of four different pages each, a hundred in all


def test_a_target_that_was_missed_is_said():
    vectors = np.random.default_rng(0).normal(size=(100, DIMENSION))
    report = cluster(vectors, n_clusters=20).report
    assert report.n_clusters < 20 and f"asked for 20, found {report.n_clusters}" in report._repr_html_()
    assert "asked for 4" not in cluster(planted(200, 4)[0], n_clusters=4).report._repr_html_()


def test_too_little_memory_is_said_before_it_is_taken(blobs):
    with pytest.raises(InputError, match="raise it to"):
        cluster(blobs[0], memory_gib=0.1)


def test_memory_that_is_short_makes_the_sample_smaller():
    assert fit._fit_size(10**7, 384, None, 3.0) <= fit.MAX_FIT
    assert fit.LEAST_FIT < fit._fit_size(10**7, 384, 40_000, fit.memory(20_000, 384)) <= 20_000


def test_the_same_seed_gives_the_same_result_at_any_number_of_threads():
    code = (
        "import hashlib; from hare_lab.clustering import cluster, neighbours; from tests.test_clustering import planted;"
        "neighbours.BLOCK = 1 << 17; c = cluster(planted(600, 20, 1.0)[0], seed=3);"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in (c.cluster, c.nearest_cluster, c.layout, c.strength))).hexdigest())"
    )
    limits = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | dict.fromkeys(limits, threads))
        for threads in ("1", "2")
    ]
    first, second = (process.communicate()[0] for process in running)
    assert first == second and len(first.strip()) == 64


def test_the_same_seed_gives_the_same_result_twice(blobs):
    vectors, _, found = blobs
    again = cluster(vectors)
    assert all((getattr(again, name) == getattr(found, name)).all() for name in ("cluster", "nearest_cluster", "layout", "strength"))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(5, 200), k=st.integers(1, 4), seed=st.integers(0, 99), ties=st.booleans())
def test_neighbours_are_the_exact_ones(n, k, seed, ties):
    rng = np.random.default_rng(seed)
    vectors = neighbours.unit(rng.integers(-1, 2, (n, 3)) + 0.1 if ties else rng.normal(size=(n, 8)))
    _, similarities = neighbours.nearest(vectors, vectors, k, same=True)
    every = vectors @ vectors.T
    np.fill_diagonal(every, -2)
    assert np.allclose(similarities, -np.sort(-every, axis=1)[:, :k], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (4, 6), elements=st.floats(-1, 1, width=32)))
def test_closeness_lies_in_0_to_1_and_the_nearest_counts_fully(similarities):
    weights = neighbours.closeness(-np.sort(-similarities, axis=1))
    assert (weights >= 0).all() and (weights <= 1).all() and np.allclose(weights[:, 0], 1)


def test_closeness_sums_to_the_logarithm_of_the_neighbours():
    similarities = -np.sort(-np.random.default_rng(0).uniform(0, 1, (50, 15)), axis=1)
    assert np.allclose(neighbours.closeness(similarities).sum(axis=1), np.log2(16), atol=1e-3)


def test_the_discriminant_space_separates_groups_that_noise_hides():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 200)
    vectors = np.hstack([np.eye(3)[truth] + 0.3 * rng.normal(size=(600, 3)), 3 * rng.normal(size=(600, 5))])
    space = communities.discriminant(neighbours.unit(vectors), truth)
    assert space.shape == (600, 2)
    same = neighbours.nearest(space, space, 1, same=True)[0][:, 0]
    before = neighbours.nearest(neighbours.unit(vectors), neighbours.unit(vectors), 1, same=True)[0][:, 0]
    assert (truth[same] == truth).mean() > (truth[before] == truth).mean() + 0.1


def test_merging_leaves_as_many_as_asked_and_joins_what_is_linked():
    graph = sparse.csr_matrix(np.kron(np.eye(2), np.ones((4, 4))))
    merged = communities.merged(graph, np.array([0, 0, 1, 1, 2, 2, 3, 3]), 2)
    assert merged.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_the_plurality_is_by_weight_not_by_heads():
    winner, share = plurality(np.array([[1, 2, 2]]), np.array([[3.0, 1.0, 1.0]]))
    assert winner.tolist() == [1] and share[0] == pytest.approx(0.6)


def test_the_report_shows_itself_and_is_plain_data(with_strays):
    report = with_strays[2].report
    assert "unclustered" in report._repr_html_() and report.to_dict()["rules"]["strength"]
    assert "rule:" not in report._repr_html_() and "Leiden" not in report._repr_html_()  # for the data, not for the page
    assert report.figure() is not None
