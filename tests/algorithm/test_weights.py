"""Weights: medians by exact integers, means where heavy weights have left, sums that overflow."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from kmgpu import KMeans, KMedians
from kmgpu.algorithm import steps
from kmgpu.kernels.agreement import middle_ranks, unit_factors
from tests.support import oracles

WIDTHS = pytest.mark.parametrize("d", [1, 3, 40, 200])
BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])


def medians(backend, x, weight, n_clusters=1):
    """Medians of clusters so far apart that rows j, j + n_clusters, ... are cluster j."""
    x = np.asarray(x)
    groups = np.arange(len(x)) % n_clusters
    init = np.array([x[groups == j][0] for j in range(n_clusters)], np.float64)
    model = KMedians(n_clusters, init=init, tol=0)
    weight = None if weight is None else np.asarray(weight)
    model.fit(backend.asarray(x), sample_weight=weight)
    np.testing.assert_array_equal(backend.to_numpy(model.labels_), groups)
    return backend.to_numpy(model.cluster_centers_)


def exact_median(values, weight):
    """By fractions: midway in the interval of least weighted deviation."""
    values, weight = np.asarray(values, np.float64), [Fraction(w) for w in weight]
    order = np.argsort(values, kind="stable")
    half, reached = sum(weight) / 2, Fraction(0)
    for position, row in enumerate(order):
        reached += weight[row]
        if reached > half:
            return values[row]
        if reached == half:
            return 0.5 * values[row] + 0.5 * values[order[position + 1]]
    raise AssertionError


@pytest.mark.parametrize("weight", [0.1, 5e-324, 1e300])
@WIDTHS
def test_equal_weights_mean_no_weights(backend, d, weight):
    rng = np.random.default_rng(d)
    x = rng.integers(0, 40, size=(300, d)) + 1000.0 * (np.arange(300) % 2)[:, None]
    expected = np.array([np.median(x[j::2], axis=0) for j in range(2)])
    np.testing.assert_array_equal(medians(backend, x, None, 2), expected)
    np.testing.assert_array_equal(medians(backend, x, np.full(300, weight), 2), expected)
    equal_within = weight * (1.0 + np.arange(300) % 2)
    np.testing.assert_array_equal(medians(backend, x, equal_within, 2), expected)


@pytest.mark.parametrize(("weight", "absent"), [(0.1, False), (3e200, True)])
@pytest.mark.parametrize("d", [3, 40, 200])
@BOTH
def test_equal_weights_are_the_fit_without_to_the_last_bit(backend, estimator, d, weight, absent):
    rng = np.random.default_rng(d)
    x = backend.asarray(rng.normal(size=(400, d)) + 3 * rng.integers(0, 4, (400, 1)))
    ones = np.where(rng.random(400) < 0.3 * absent, 0.0, 1.0)
    model = estimator(5, random_state=0).fit(x, sample_weight=ones if absent else None)
    weighted = estimator(5, random_state=0).fit(x, sample_weight=weight * ones)
    for name in ("cluster_centers_", "labels_"):
        expected, found = (backend.to_numpy(getattr(m, name)) for m in (model, weighted))
        np.testing.assert_array_equal(found, expected)
    assert weighted.inertia_ == weight * model.inertia_
    assert [step.loss for step in weighted.history_] == [
        weight * step.loss for step in model.history_
    ]
    given = weight * ones
    assert weighted.score(x, sample_weight=given) == weight * model.score(
        x, sample_weight=ones if absent else None
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "uint8"])
@pytest.mark.parametrize("unit", [1, 0.1, 1 / 3, 1e-300, 2.0**70])
@pytest.mark.never(backend="strict", dtype="float16")
def test_integer_weights_are_repetition_whatever_their_unit(backend, dtype, unit):
    rng = np.random.default_rng(0)
    for d in (1, 3, 40):
        x = rng.integers(0, 60, size=(80, d)).astype(dtype)
        repeated = rng.integers(0, 4, size=80)
        expected = np.median(np.repeat(x, repeated, axis=0).astype(np.float64), axis=0)
        np.testing.assert_array_equal(medians(backend, x, unit * repeated)[0], expected)


def test_sparse_rows_of_equal_weight():
    x = sp.csr_matrix(np.r_[np.zeros(500), np.full(500, 100.0)][:, None])
    model = KMedians(1).fit(x, sample_weight=np.full(1000, 0.1))
    assert model.cluster_centers_.item() == 50


@WIDTHS
@pytest.mark.parametrize("light", [1e-9, 1e-300])
def test_a_light_cluster_beside_a_heavy_one(backend, d, light):
    x = np.array([0, 100, 0, 101, 0, 190.0])[:, None] * np.ones(d)
    found = medians(backend, x, [1e9, light] * 3, 2)
    np.testing.assert_array_equal(found, np.array([[0.0], [101.0]]) * np.ones(d))


@pytest.mark.parametrize("seed", range(8))
def test_exact_ties_and_near_ones(backend, seed):
    """Sums of these weights lose digits in float64; a tie is one all the same, and no other is."""
    rng = np.random.default_rng(seed)
    half = 2.0 ** rng.integers(0, 30, size=12)
    half[0] += 1 - half.sum() % 2
    values = rng.permutation(24).astype(float)
    low, high = np.sort(values)[:12], np.sort(values)[12:]
    tied = np.r_[half, rng.permutation(half)]
    for weight in (tied, tied + (np.arange(24) == 3), tied + (np.arange(24) == 20)):
        x = np.r_[low, high]
        expected = exact_median(x, weight)
        assert medians(backend, x[:, None], weight).item() == expected
        assert medians(backend, -x[:, None], weight).item() == -expected


def test_weights_far_apart_in_one_cluster(backend):
    x = np.array([[0.0], [1], [2], [3], [4]])
    for heavy in (1e12, 1e18, 1e100, 1e300):
        for row in range(5):
            weight = np.where(np.arange(5) == row, heavy, 1)
            assert medians(backend, x, weight).item() == row


@pytest.mark.parametrize("n", [60_000_001, 200_000_001])
def test_a_unit_weight_counts_above_6e7_rows(n):
    (half,), (rest,) = unit_factors(np.array([0.1 * n]))
    unit = int(np.rint(0.1 * half * rest))
    for rows, tied in ((n, False), (n + 1, True)):
        low, high = middle_ranks(np.int64(unit * rows), np.int64(rows))
        middle = (rows + 1) // 2
        assert unit * (middle - 1) < low <= unit * middle
        assert (unit * middle >= high) != tied


@pytest.mark.parametrize("total", [5e-324, 1e-310, 1.0, 3e17, 1.7e308])
def test_units_of_a_cluster_add_up_to_62_bits(total):
    half, rest = unit_factors(np.array([total]))
    assert 2**61 <= Fraction(total) * Fraction(half[0]) * Fraction(rest[0]) < 2**62


@BOTH
@WIDTHS
@pytest.mark.parametrize("heavy", [1e12, 1e15, 1e18, 1e290])
def test_a_heavy_row_that_leaves_takes_its_weight_along(backend, estimator, d, heavy):
    """Half of the centres begin far away; the heavy rows go where relocation sends them."""
    x = np.random.default_rng(1).normal(size=(40, d))
    init = x[:20].copy()
    init[10:] += 1e3
    weight = np.ones(40)
    weight[20:30] = heavy
    model = estimator(20, init=init, tol=0).fit(backend.asarray(x), sample_weight=weight)
    centers, labels = map(backend.to_numpy, (model.cluster_centers_, model.labels_))
    loss = "l2" if estimator is KMeans else "l1"
    expected = oracles.centers(x, labels, centers, loss, weight)
    np.testing.assert_allclose(centers, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(labels, oracles.labels(x, centers, loss))
    value = (weight * oracles.costs(x, centers, loss)[np.arange(40), labels]).sum()
    np.testing.assert_allclose(model.inertia_, value, rtol=1e-10)


@BOTH
@pytest.mark.parametrize("d", [3, 40])
def test_weighted_costs_that_overflow_name_the_weights(backend, estimator, d):
    x = 1e10 * np.random.default_rng(0).normal(size=(40, d))
    model = estimator(3, init=x[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(ValueError, match=r"sample_weight has values too large, up to 1e\+300"):
            model.fit(backend.asarray(x), sample_weight=np.full(40, 1e300))


@pytest.mark.parametrize("d", [3, 40, 200])
@pytest.mark.parametrize("far", [1e8, 1e12])
def test_a_row_that_left_for_far_away_leaves_no_rounding_behind(d, far):
    """The outlier is the costliest row, which fills the empty cluster."""
    x = np.random.default_rng(d).normal(size=(400, d))
    x[0] += far
    init = np.concatenate([x[60:63], np.full((1, d), -100 * far)])
    model = KMeans(4, init=init, tol=0).fit(x)
    assert model.n_relocated_ == 1
    for j in range(4):
        mean = x[model.labels_ == j].mean(axis=0)
        np.testing.assert_allclose(model.cluster_centers_[j], mean, rtol=1e-14, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [3, 32, 40, 200])
@pytest.mark.parametrize("far", [1e12, 1e15, 1e18])
def test_a_group_near_zero_beside_most_rows_far_away(far, d, dtype):
    """Sums are taken about the far rows, and some of these are in its cluster at first."""
    near = np.random.default_rng(0).normal(size=(20, d)).astype(dtype)
    others = [np.full((3, d), 0.9 * far, dtype), np.full((30, d), 1.6 * far, dtype)]
    init = np.concatenate([np.zeros((1, d)), np.full((1, d), 2 * far)])
    model = KMeans(2, init=init, tol=0).fit(np.concatenate([near, *others]))
    mean = near.astype(np.float64).mean(axis=0)
    rtol = 1e-5 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(model.cluster_centers_[0], mean, rtol=0, atol=rtol)


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_of_weights_bring_a_number_a_cluster_to_the_host(backend, monkeypatch, weighted):
    """One cluster has no row, one has none of positive weight."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 3, 4], 3000).astype(np.int32)
    weight = rng.random(3000) * (labels != 3)
    expected = [
        (weight[labels == j] if weighted else np.ones(3000)[labels == j]).sum() for j in range(5)
    ]
    sizes, to_host = [], steps.to_host
    monkeypatch.setattr(
        steps, "to_host", lambda x: sizes.append(int(np.prod(x.shape))) or to_host(x)
    )
    given = backend.asarray(weight) if weighted else None
    found = steps.weight_sums(backend.asarray(labels), given, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert found.dtype == np.float64
    assert max(sizes, default=0) <= 6
    again = steps.weight_sums(backend.asarray(labels), given, 5)
    np.testing.assert_array_equal(again, found)
