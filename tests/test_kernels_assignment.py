"""Labels, costs and distances without an engine, against brute force in float64 NumPy."""

import numpy as np
import pytest

from kmgpu.algorithm.losses import L1, L2
from kmgpu.kernels.cpu.assignment import costs_at, distances, nearest

LAYOUTS = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}
BOTH = pytest.mark.parametrize("squared", [True, False], ids=["l2", "l1"])


def exact(x, centers, squared):
    out = np.zeros((len(x), len(centers)))
    with np.errstate(over="ignore"):
        for column, at in zip(x.T.astype(np.float64), centers.T, strict=True):
            out += (column[:, None] - at) ** 2 if squared else abs(column[:, None] - at)
    return out


def check(x, centers, squared, budget=None):
    costs = exact(x, centers, squared)
    labels = nearest(x, centers, L2 if squared else L1, budget)
    np.testing.assert_array_equal(labels, costs.argmin(axis=1))
    own = costs_at(x, centers, labels, L2 if squared else L1, budget)
    np.testing.assert_allclose(own, costs.min(axis=1), rtol=1e-12)
    with np.errstate(over="ignore"):
        found = distances(x, centers, L2 if squared else L1, budget)
        expected = (np.sqrt(costs) if squared else costs).astype(found.dtype)
    eps = np.finfo(found.dtype).eps
    np.testing.assert_allclose(found, expected, rtol=max(2 * eps, 1e-11), atol=1e-300)
    np.testing.assert_array_equal(found.argmin(axis=1), labels)


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int64", "bool"])
@pytest.mark.parametrize("d", [1, 3, 40, 200])
def test_every_dtype_and_layout(squared, dtype, d):
    rng = np.random.default_rng(d)
    plain = (rng.normal(1, 1, (300, d)) * 60).clip(0, 200).astype(dtype)
    centers = plain[rng.choice(300, 23)].astype(np.float64)  # ties, and equal ones
    for put in LAYOUTS.values():
        check(put(plain), centers, squared)


@BOTH
@pytest.mark.parametrize("d", [3, 40, 200])
def test_scales_that_differ_within_the_data(squared, d):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(600, d))
    x[:200] = 5 + 1e-4 * x[:200]
    x[200:300] += 1e8
    x[300:310] *= 1e30
    centers = np.concatenate([x[::25], x[:1] + 1e-9, np.full((1, d), 1e30), np.full((1, d), -1e21)])
    for dtype in ("float32", "float64"):
        check(x.astype(dtype), centers, squared)


@BOTH
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("d", [3, 40, 200])
def test_scales_beyond_float32(squared, d, scale):
    x = scale * np.random.default_rng(d).normal(size=(200, d))
    check(x, x[:13] * (1 + 1e-9), squared)


@pytest.mark.parametrize("d", [3, 40, 200])
def test_a_small_cluster_far_away_has_no_zero_distances(d):
    x = 1e6 + 2e-3 * np.random.default_rng(0).normal(size=(100, d))
    centers = np.stack([x.mean(axis=0), x[0] * 0])
    found = distances(x, centers, L2)
    np.testing.assert_allclose(found, np.sqrt(exact(x, centers, True)), rtol=1e-11)
    assert found.min() > 0


@BOTH
def test_blocks_and_budgets_change_no_label(squared):
    x = np.round(np.random.default_rng(0).normal(size=(2000, 40)), 1)
    centers = x[:30]
    for budget in (None, 1 << 16, 1 << 20):
        check(x, centers, squared, budget)
        check(x[7:9], centers, squared, budget)


@BOTH
def test_rounded_alike_the_label_comes_first(squared):
    """Distances that float32 cannot tell apart, the second centre the nearer in float64."""
    x = np.zeros((1, 40), np.float32)
    centers = np.ones((3, 40))
    centers[0, 0] += 1e-9
    check(x, centers, squared)
    assert nearest(x, centers, L2 if squared else L1) == [1]
