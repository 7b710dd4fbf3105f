"""The fused search of few features against brute force in float64 NumPy."""

import numpy as np
import pytest

from kmgpu.algorithm.losses import LOSSES
from kmgpu.kernels.cpu.lowdim.nearest import FARTHEST, SCANNED, nearest_rows, padded
from kmgpu.kernels.cpu.lowlevel.rows import frozen


def distances(X, C, squared):
    apart = X.astype(np.float64)[:, None] - C.astype(np.float64)
    return np.sqrt((apart**2).sum(-1)) if squared else np.abs(apart).sum(-1)


@pytest.mark.parametrize("squared", [True, False], ids=["l2", "l1"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "k"), [(1, 2), (2, 8), (3, 64), (4, 3), (7, 5), (16, 1), (32, 33)])
def test_rows_that_gaps_do_not_settle_get_the_nearest_centre(squared, dtype, d, k):
    rng = np.random.default_rng(d)
    n = 2 * SCANNED + 77  # what a chunk leaves over goes with the next
    X, C = rng.standard_normal((n, d)).astype(dtype), rng.standard_normal((k, d)).astype(dtype)
    reference = rng.standard_normal(d).astype(dtype)
    c = np.full((padded(k), d), np.finfo(dtype).max / 4, dtype)
    c[:k] = C - reference
    loose = np.where(np.arange(padded(k)) < k, 0.0, np.inf)
    centers = np.full((padded(k), d), np.inf)
    centers[:k] = c[:k].astype(np.float64) + reference
    drift = np.concatenate([[np.inf], rng.random(k)])
    limit = np.nextafter(drift.astype(np.float32), np.float32(np.inf))
    old_labels = rng.integers(-1, k, n).astype(np.int32)
    settled = (rng.random(n) < 0.6) & (old_labels >= 0)
    old_gaps = np.where(settled, 2, rng.random(n) * drift[old_labels + 1]).astype(np.float32)
    old_gaps[old_labels < 0] = 3
    labels, gaps = old_labels.copy(), old_gaps.copy()
    rows, old = np.empty(n, np.int32), np.empty(n, np.int32)
    gamma = dtype((d + 4) * np.finfo(dtype).eps)
    changed = nearest_rows(
        frozen(X), frozen(reference), frozen(c), None if squared else True, None, gamma, dtype(0),
        frozen(loose), frozen(centers), frozen(drift), frozen(limit), labels, gaps, rows, old,
    )  # fmt: skip

    D = np.sort(distances(X - reference, C - reference, squared), axis=1)
    own = distances(X - reference, C - reference, squared)[np.arange(n), labels]
    gap = D[:, 1] - D[:, 0] if k > 1 else np.full(n, FARTHEST)
    error = 8 * float(gamma) * D[:, min(1, k - 1)]
    assert (own <= D[:, 0] + error)[~settled].all()
    np.testing.assert_array_equal(labels[settled], old_labels[settled])
    np.testing.assert_array_equal(gaps[settled], old_gaps[settled])
    moved = np.flatnonzero(labels != old_labels)
    np.testing.assert_array_equal(np.sort(rows[:changed]), moved)
    np.testing.assert_array_equal(old[:changed], old_labels[rows[:changed]])
    kept = gaps[~settled] - drift[labels[~settled] + 1]
    error = (error + 1e-6 * drift[labels + 1])[~settled] + 1e-6
    assert (kept <= gap[~settled] + 1e-6).all()
    assert (kept >= (gap * (1 - 1e-6))[~settled] - error).all()


@pytest.mark.parametrize("loss", ["l2", "l1"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "k"), [(1, 2), (3, 40), (40, 5), (200, 7)])
def test_open_rows_are_ranked_by_the_costs_that_decide(loss, dtype, d, k):
    """An error so large leaves every row open; on a grid of 0.1 sums in another order differ."""
    rng = np.random.default_rng(d)
    n = SCANNED + 77
    X = (rng.integers(0, 4, (n, d)) / 10).astype(dtype)
    centers = np.full((padded(k), d), np.inf)
    centers[:k] = rng.integers(0, 4, (k, d)) / 10
    centers[k - 1] = centers[0]
    labels, gaps = np.full(n, -1, np.int32), np.zeros(n, np.float32)
    rows, old = np.empty(n, np.int32), np.empty(n, np.int32)
    drift = np.arange(k + 1.0)
    limit = np.concatenate([[np.inf], drift[1:]]).astype(np.float32)
    changed = nearest_rows(
        frozen(X), frozen(np.zeros(d, dtype)), frozen(centers.astype(dtype)),
        None if loss == "l2" else True, None, dtype(1e3), dtype(0), frozen(np.zeros(padded(k))),
        frozen(centers), frozen(drift), frozen(limit), labels, gaps, rows, old,
    )  # fmt: skip
    costs = LOSSES[loss].pairwise(X.astype(np.float64), centers[:k])
    np.testing.assert_array_equal(labels, costs.argmin(axis=1))
    assert changed == n
    apart = np.sort(np.sqrt(costs) if loss == "l2" else costs, axis=1)
    gap, kept = apart[:, 1] - apart[:, 0], gaps - drift[labels + 1]
    assert (kept <= gap).all()
    assert (kept >= gap - 1e-5).all()
