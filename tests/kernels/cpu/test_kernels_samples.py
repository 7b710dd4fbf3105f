"""Samples of rows that kernels look at: right, and small however wide the rows are."""

import tracemalloc

import numpy as np
import pytest

from kmgpu.kernels.cpu.lowlevel.rows import SAMPLED, Rows, sampled_features
from kmgpu.kernels.cpu.seeding.sketch import _ranges

SHAPES = [(1, 1), (1, 700), (5, 3), (700, 40), (2047, 300), (5000, 600)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_feature_of_the_same_rows_once(n, d, dtype):
    x = np.arange(n * d, dtype=np.float64).reshape(n, d)
    found = np.full((len(x[:: max(1, n // 512)]), d), np.nan)
    for features, sample in sampled_features(x, 512, dtype):
        assert sample.dtype == dtype
        assert sample.nbytes <= SAMPLED
        assert not np.shares_memory(sample, x)
        assert np.isnan(found[:, features]).all()
        found[:, features] = sample
    np.testing.assert_array_equal(found, x[:: max(1, n // 512)])


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("most", [63, 127])
def test_ranges_of_a_sketch(n, d, most):
    """The step of each feature has the least expected loss of five."""
    x = np.random.default_rng(0).standard_t(3, size=(n, d)).astype(np.float32) + 5
    x[:, 0] = 7
    middle, scale = _ranges(x, most)
    sample = x[:: max(1, n // 1024)].astype(np.float64)
    np.testing.assert_allclose(middle, sample.mean(axis=0), rtol=1e-12)
    away = np.abs(sample - sample.mean(axis=0))
    edges = np.array([1.0, 0.7, 0.5, 0.35, 0.25])[:, None] * away.max(axis=0)
    losses = [
        edge**2 / (12 * most**2) + (np.maximum(away - edge, 0) ** 2).mean(axis=0) for edge in edges
    ]
    best = edges[np.argmin(losses, axis=0), np.arange(d)]
    expected = np.where(best > 0, best / most, best.max() / most**2 or 1.0)
    np.testing.assert_allclose(scale, expected, rtol=1e-12)


def peak(function, *args):
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_they_are_small_however_wide_the_rows_are():
    x = np.random.default_rng(0).random((1000, 8000), dtype=np.float32)
    assert peak(_ranges, x, 63) < 8 * SAMPLED
    assert peak(Rows, x) < 8 * SAMPLED


def test_the_reference_of_rows_is_their_upper_median():
    x = np.random.default_rng(0).random((1000, 3000), dtype=np.float32)
    expected = np.sort(x, axis=0)[500]
    np.testing.assert_array_equal(Rows(x).reference, expected)
