"""The nearest centre of every row."""

import dataclasses

import numpy as np
import pytest

from kmgpu import KMeans, KMedians, kernels
from kmgpu.algorithm.assignment import costs_at, distances, nearest, weighted_sum
from kmgpu.algorithm.losses import L1, L2
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
SMALLEST = 1 << 8  # bytes: a row or two to a block


def found_labels(backend, x, centers, loss, budget=None):
    found = nearest(backend.asarray(x), backend.asarray(np.asarray(centers, float)), loss, budget)
    assert found.dtype == backend.xp.int32
    return backend.to_numpy(found)


@BOTH
@pytest.mark.parametrize("budget", [None, SMALLEST, 4096])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int64"])
@pytest.mark.never(backend="strict", dtype="float16")
def test_labels_against_brute_force(backend, loss, dtype, budget):
    x = (12 * oracles.blobs(60, 5, seed=2)).clip(0, 255).astype(dtype)
    centers = np.random.default_rng(0).uniform(0, 60, size=(7, 5))
    labels = found_labels(backend, x, centers, loss, budget)
    oracles.assert_nearest(labels, x, centers, loss.name, 1e-5)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [1e4, -1e6])
def test_far_from_the_origin(backend, loss, dtype, offset):
    x = (oracles.blobs(200, 4, seed=3) + offset).astype(dtype)
    centers = x[:9].astype(np.float64) + 0.01
    labels = found_labels(backend, x, centers, loss)
    oracles.assert_nearest(labels, x, centers, loss.name, 1e-5)


@BOTH
def test_one_far_centre_costs_the_others_nothing(backend, loss):
    x = oracles.blobs(200, 4, seed=4).astype(np.float32)
    centers = np.concatenate([x[:5], np.full((1, 4), 1e7)])
    oracles.assert_nearest(
        found_labels(backend, x, centers, loss)[5:], x[5:], centers, loss.name, 1e-5
    )


@BOTH
@pytest.mark.parametrize("gap", [1e2, 1e4])
@pytest.mark.parametrize("budget", [None, 4096])
def test_float32_groups_far_apart(backend, loss, gap, budget):
    """No reference point is near both groups, each of several close centres."""
    x = oracles.blobs(120, 3, 1, seed=5)
    x[60:] += gap
    x = x.astype(np.float32)
    centers = np.concatenate([x[:4], x[-4:]])
    labels = found_labels(backend, x, centers, loss, budget)
    oracles.assert_nearest(labels, x, centers, loss.name, 1e-5)


@BOTH
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_float32_is_ranked_in_float32_wherever_the_data_lie(backend, loss, shift):
    """One reference point among the centres is enough for an offset: no need of float64."""
    dtypes = []

    def scorer(centers):
        dtypes.append(centers.dtype)
        return loss.scorer(centers)

    spied = dataclasses.replace(loss, scorer=scorer)
    x = (oracles.blobs(60, 3) + shift).astype(np.float32)
    with kernels.use("reference"):
        found_labels(backend, x, x[:4], spied)
    assert dtypes == [backend.xp.float32]


@BOTH
def test_float32_costs_beyond_float32(backend, loss):
    x = (1e25 * oracles.blobs(50, 3)).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        labels = found_labels(backend, x, x[:4], loss)
    oracles.assert_nearest(labels, x, x[:4], loss.name, 1e-5)


@BOTH
@pytest.mark.parametrize("budget", [None, SMALLEST])
def test_ties_go_to_the_lowest_index(backend, loss, budget):
    centers = [[4.0, 0], [0, 0], [4, 0], [0, 0], [2, 2]]
    x = np.array([[0.0, 0], [4, 0], [2, 0], [2, -1], [9, 0], [-9, 0]])
    labels = found_labels(backend, x, centers, loss, budget)
    if loss is L2:
        np.testing.assert_array_equal(labels, [1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(labels, oracles.labels(x, np.array(centers), loss.name))


@BOTH
@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (5, 1, 3), (1, 4, 2), (300, 2, 1)])
def test_smallest_shapes(backend, loss, n, d, k):
    rng = np.random.default_rng(0)
    x, centers = rng.standard_normal((n, d)), rng.standard_normal((k, d))
    labels = found_labels(backend, x, centers, loss, SMALLEST)
    np.testing.assert_array_equal(labels, oracles.labels(x, centers, loss.name))


@BOTH
@pytest.mark.parametrize("budget", [None, SMALLEST])
def test_costs_and_distances(backend, loss, budget):
    x = (oracles.blobs(50, 3) + 1e4).astype(np.float32)
    centers = x[:4].astype(np.float64) + 0.5
    labels = np.arange(50, dtype=np.int32) % 4
    expected = oracles.costs(x, centers, loss.name)
    there = backend.asarray(x), backend.asarray(centers)
    costs = costs_at(*there, backend.asarray(labels), loss, budget)
    assert costs.dtype == backend.xp.float64
    np.testing.assert_allclose(backend.to_numpy(costs), expected[np.arange(50), labels], rtol=1e-12)
    measured = distances(*there, loss, budget)
    assert measured.dtype == backend.xp.float32
    root = np.sqrt(expected) if loss is L2 else expected
    np.testing.assert_allclose(backend.to_numpy(measured), root, rtol=1e-6)


def test_weighted_sum_is_exact_in_float64(backend):
    values = backend.asarray(np.array([1e16, 1.0, -1e16]))
    weight = backend.asarray(np.array([1.0, 2.0, 1.0]))
    assert float(weighted_sum(values, None)) in (0.0, 1.0)
    assert float(weighted_sum(values, weight)) == 2.0
    tenth = np.float32(0.1)
    many = backend.asarray(np.full(4097, tenth))
    assert float(weighted_sum(many, None)) == pytest.approx(4097 * float(tenth), rel=1e-12)


@pytest.mark.slow
def test_more_than_2_to_31_row_centre_pairs():
    """Positions beyond 32 bits: the last rows are as right as the first."""
    k = 1025
    n = 2**31 // k + 4096
    quarters = np.arange(n) % (4 * (k + 2)) - 4  # so small that float32 holds every score
    x = (quarters / 4).astype(np.float32)[:, None]
    labels = nearest(x, np.arange(k, dtype=np.float64)[:, None], L2)
    np.testing.assert_array_equal(labels, np.clip((quarters + 1) // 4, 0, k - 1))


@pytest.mark.parametrize("d", [3, 64])
@pytest.mark.parametrize("estimator", [KMeans, KMedians])
def test_distances_that_the_dtype_does_not_hold(backend, estimator, d):
    x = (np.random.default_rng(0).uniform(-1, 1, (100, d)) * 3e38).astype(np.float32)
    model = estimator(3, random_state=0).fit(backend.asarray(x))
    with pytest.raises(ValueError, match=r"overflow in .*float32.*pass X as float64"):
        model.transform(backend.asarray(x))
    found = backend.to_numpy(model.transform(backend.asarray(x.astype(np.float64))))
    np.testing.assert_array_equal(found.argmin(axis=1), backend.to_numpy(model.labels_))
