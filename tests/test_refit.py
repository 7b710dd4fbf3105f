"""Weighted means and weighted coordinatewise medians."""

import numpy as np
import pytest

from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.refit import group_rows
from kmgpu.backend.arrays import compute_dtype
from tests import oracles

LOSSES = pytest.mark.parametrize("loss", [L2, L1], ids=["means", "medians"])
N_CLUSTERS = 5
KEPT = -7.25


def refit(backend, loss, x, labels, weight=None, n_clusters=N_CLUSTERS, budget=1 << 20):
    """The centres found, and those of brute force."""
    to = backend.asarray
    on_device = None if weight is None else to(np.asarray(weight, np.float64))
    groups = group_rows(to(labels.astype(np.int32)), n_clusters, on_device)
    previous = np.full((n_clusters, x.shape[1]), KEPT)
    found = loss.refit(to(x), groups, on_device, to(previous), budget)
    assert found.dtype == backend.xp.float64
    return backend.to_numpy(found), oracles.centers(x, labels, previous, loss.name, weight)


def problem(n=120, d=3, seed=0, n_clusters=N_CLUSTERS):
    rng = np.random.default_rng(seed)
    return rng.integers(-20, 20, size=(n, d)), rng.integers(n_clusters, size=n)


@LOSSES
@pytest.mark.parametrize("weights", [None, "integer", "dyadic", "with zeros"])
def test_against_brute_force(backend, loss, weights):
    x, labels = problem()
    rng = np.random.default_rng(1)
    weight = {
        None: None,
        "integer": rng.integers(1, 6, size=120),
        "dyadic": rng.integers(1, 64, size=120) / 16,
        "with zeros": rng.integers(0, 3, size=120),
    }[weights]
    found, expected = refit(backend, loss, x + 0.25, labels, weight)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-13)


@LOSSES
@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint8", "int64", "bool"])
def test_every_dtype(backend, loss, dtype):
    if dtype == "float16" and backend.name == "strict":
        pytest.skip("the standard has no float16")
    x, labels = problem()
    x = x.astype(dtype)
    found, expected = refit(backend, loss, x, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-13)
    assert compute_dtype(backend.asarray(x)) in (backend.xp.float32, backend.xp.float64)


@LOSSES
@pytest.mark.parametrize("budget", [1, 300, 1 << 20])
@pytest.mark.parametrize("n_clusters", [1, 2, 100])
def test_clusters_larger_and_smaller_than_a_block(backend, loss, budget, n_clusters):
    x, labels = problem(n=110, d=2, n_clusters=n_clusters)
    weight = np.random.default_rng(2).integers(0, 4, size=110)
    found, expected = refit(backend, loss, x, labels, weight, n_clusters, budget)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


@LOSSES
@pytest.mark.parametrize("empty", [[0], [4], [0, 1, 4]])
def test_a_cluster_without_weight_keeps_its_centre(backend, loss, empty):
    x, labels = problem()
    weight = np.where(np.isin(labels, empty[1:]), 0, 2)  # some empty of rows, some of weight
    labels = np.where(labels == empty[0], 2 if empty[0] != 2 else 3, labels)
    found, expected = refit(backend, loss, x, labels, weight)
    np.testing.assert_array_equal(found[empty], KEPT)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-13)


def test_means_at_an_offset_lose_nothing(backend):
    x, labels = problem()
    exact, _ = refit(backend, L2, x, labels)
    shifted, _ = refit(backend, L2, x + 2.0**40, labels)
    np.testing.assert_allclose(shifted - 2.0**40, exact, atol=2.0**-11)


def test_the_mean_of_identical_rows_is_that_row(backend):
    x = np.full((97, 2), 0.1)
    weight = np.random.default_rng(0).random(97)
    found, _ = refit(backend, L2, x, np.zeros(97, int), weight, n_clusters=1)
    np.testing.assert_array_equal(found, [[0.1, 0.1]])


@pytest.mark.parametrize(
    ("values", "weight", "median"),
    [
        ([1, 2, 3, 100], None, 2.5),
        ([1, 2, 100], None, 2),
        ([5], None, 5),
        ([1, 9], None, 5),
        ([1, 2, 3], [1, 1, 2], 2.5),
        ([1, 2, 3], [3, 1, 1], 1),
        ([1, 2, 3], [1, 0, 1], 2),
        ([0, 10, 20], [0.5, 0.25, 0.25], 5),
        ([4, 4, 4, 9], None, 4),
        ([-0.0, 0.0], None, 0),
        ([1e300, -1e300], None, 0),
        ([1.7e308, 1.7e308], None, 1.7e308),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1 / 3])
def test_medians_by_hand(backend, values, weight, median, scale):
    """The midpoint of the minimising interval, also where it is the weights that split evenly."""
    x = np.array(values, dtype=np.float64)[::-1, None]
    scaled = None if weight is None else scale * np.array(weight, dtype=np.float64)[::-1]
    found, _ = refit(backend, L1, x, np.zeros(len(x), int), scaled, n_clusters=1)
    assert found.item() == median


@pytest.mark.parametrize("weight", [0.1, 0.7, 1 / 3])
def test_split_weights_are_found_despite_rounding(backend, weight):
    """Such weights sum inexactly, up or down; half of an even count must still be seen as half."""
    sizes = 2 * np.arange(1, 41)
    labels = np.repeat(np.arange(40), sizes)
    x = np.concatenate([np.random.default_rng(n).permutation(n) for n in sizes])[:, None]
    found, _ = refit(backend, L1, x, labels, np.full(len(x), weight), n_clusters=40)
    np.testing.assert_array_equal(found[:, 0], (sizes - 1) / 2)


def test_groups(backend):
    labels = np.array([2, 0, 2, 4, 0, 2], dtype=np.int32)
    groups = group_rows(backend.asarray(labels), 5)
    np.testing.assert_array_equal(backend.to_numpy(groups.order), [1, 4, 0, 2, 5, 3])
    np.testing.assert_array_equal(backend.to_numpy(groups.bounds), [0, 2, 2, 5, 5, 6])
    np.testing.assert_array_equal(backend.to_numpy(groups.sizes), [2, 0, 3, 0, 1])
    weight = backend.asarray(np.array([1.0, 0, 1, 0, 2, 1]))
    weighted = group_rows(backend.asarray(labels), 5, weight)
    np.testing.assert_array_equal(backend.to_numpy(weighted.sizes), [1, 0, 3, 0, 0])
    np.testing.assert_array_equal(backend.to_numpy(weighted.order)[:4], [4, 0, 2, 5])


@pytest.mark.parametrize("n_clusters", [32_766, 32_767, 40_000])
def test_more_clusters_than_16_bits_count(n_clusters):
    labels = np.array([n_clusters - 1, 0, n_clusters - 1], dtype=np.int32)
    sizes = group_rows(labels, n_clusters, np.array([1.0, 1.0, 0.0])).sizes
    assert sizes.shape == (n_clusters,)
    assert (sizes[0], sizes[-1], sizes.sum()) == (1, 1, 2)


@pytest.mark.parametrize("numbers", [1, 50, 10_000])
def test_runs_cover_every_group_in_order_within_their_numbers(numbers):
    labels = np.sort(np.random.default_rng(0).integers(0, 90, size=50)).astype(np.int32)
    groups = group_rows(labels, 100)
    runs = list(groups.spans(numbers, 3))
    assert [i for *_, start, stop in runs for i in range(start, stop)] == list(range(50))
    assert {j for first, last, *_ in runs for j in range(first, last)} == set(range(100))
    for first, last, start, stop in runs:
        assert (stop - start) * (3 + 2 * (last - first)) <= numbers or stop - start == 1
        assert ((labels[start:stop] >= first) & (labels[start:stop] < last)).all()
