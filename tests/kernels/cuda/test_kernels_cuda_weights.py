"""Weights of medians on CUDA: whole numbers of a power of two, each cluster's own."""

import numpy as np
import pytest

from kmgpu.algorithm.refit import group_rows
from kmgpu.kernels.cuda import refit
from tests.support.cuda import refitted, small_segments

WIDTHS = pytest.mark.parametrize("d", [1, 3, 40, 200])
ANY = [0.1, 1 / 3, 7e-5, 1e-300, 5e-324, 1e300, 3.0]


def problem(n, d, k, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(-20, 21, (n, d)) / 4).astype(dtype), rng.integers(k, size=n)


def middle(gpu, values, weight):
    """The median of one cluster of numbers."""
    x = np.array(values, dtype=np.float64)[:, None]
    return refitted(gpu, "l1", x, np.zeros(len(x), int), weight, 1).item()


@pytest.mark.parametrize("weight", ANY)
@WIDTHS
def test_equal_weights_are_none(gpu, weight, d):
    """To the bit, in clusters within a segment and in larger ones."""
    x, labels = problem(500, d, 4)
    with small_segments():
        found = refitted(gpu, "l1", x, labels, np.full(500, weight), 4)
        np.testing.assert_array_equal(found, refitted(gpu, "l1", x, labels, None, 4))


@pytest.mark.parametrize("weight", ANY)
@pytest.mark.parametrize("n", [1000, 1001, 9000])
def test_many_equal_weights_on_two_values(gpu, weight, n):
    """Sums in a row would err by more and more."""
    values = np.repeat([0.0, 100.0], [n // 2, n - n // 2])
    assert middle(gpu, values, np.full(n, weight)) == (50 if n % 2 == 0 else 100)


@pytest.mark.parametrize("factor", [1.0, 0.1, 1 / 7, 1e-250, 1e250])
@WIDTHS
def test_integer_weights_at_any_scale_are_repetition(gpu, factor, d):
    x, labels = problem(200, d, 4, seed=1)
    weight = np.random.default_rng(2).integers(1, 6, 200)
    repeated = refitted(gpu, "l1", x.repeat(weight, axis=0), labels.repeat(weight), None, 4)
    for segments in (refit.FEWEST_SEGMENT_ROWS, 32):
        with small_segments(segments):
            found = refitted(gpu, "l1", x, labels, factor * weight, 4)
        np.testing.assert_array_equal(found, repeated)


@pytest.mark.parametrize(
    ("values", "weight", "median"),
    [
        ([1, 2, 3], [0.1, 0.2, 0.3], 2.5),
        ([1, 2, 3], [0.3, 0.2, 0.1], 1.5),
        (range(6), [0.7, 0.1, 0.3, 0.3, 0.1, 0.7], 2.5),
        ([*[0] * 8000, 10], [2.1] * 8000 + [16800], 5),
        ([1, 2, 3], [2.0**49, 1, 2.0**49], 2),
        ([1, 2, 3], [2.0**49 + 1, 1, 2.0**49], 1.5),
        ([1, 2, 3], [1e300, 1, 1e-300], 1),
        ([1, np.nextafter(1, 2), 3], [1, 1e-30, 1], 0.5 + 0.5 * np.nextafter(1, 2)),
        ([1, 2, 3], [1, 1e-30, 1], 1.5),
    ],
)
def test_by_hand(gpu, values, weight, median):
    """A row of next to no weight is a row; the last two cases split the rest exactly."""
    assert middle(gpu, values, weight) == median


@pytest.mark.parametrize("ratio", [1e9, 1e18, 1e200])
@WIDTHS
def test_a_light_cluster_beside_a_heavy_one(gpu, ratio, d):
    """It is refitted as if it were alone."""
    x, labels = problem(300, d, 3, seed=3)
    weight = np.random.default_rng(4).random(300)
    alone = refitted(gpu, "l1", x, labels, weight, 3)
    scaled = weight * np.array([1, ratio, 1 / ratio])[labels]
    with small_segments():
        found = refitted(gpu, "l1", x, labels, scaled, 3)
    np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("n", [1, 31, 33, 200, 3000])
def test_units(gpu, n):
    """Each cluster's weights, times its own power of two, to the nearest unit."""
    rng = np.random.default_rng(n)
    x, labels = np.zeros((n, 2), np.float32), rng.permutation(np.arange(n) % 3)
    weight = 10.0 ** (rng.uniform(-6, 0, n) + 100 * labels) * (rng.random(n) < 0.9)
    weight[:3] = 1e-5
    groups = group_rows(
        *(gpu.asarray(labels.astype(np.int32)), 4),
        gpu.asarray(weight),
    )
    found = gpu.to_numpy(refit._units(gpu.asarray(x), groups, gpu.asarray(weight), 4))
    for j in range(3):
        of = (labels == j) & (weight > 0)
        if of.any():
            scale = 61 - (np.frexp(weight[of].sum())[1] - 1)
            expected = np.maximum(1, np.rint(np.ldexp(weight[of], scale)))
            np.testing.assert_array_equal(found[of], expected.astype(np.uint64))
            assert 2**61 <= found[of].sum(dtype=object) < 2**62


@pytest.mark.parametrize("segments", [32, 4096])
def test_against_whole_numbers(gpu, segments):
    """Random weights of 40 bits, over ever more rows: exact halves are found, near ones not."""
    rng = np.random.default_rng(5)
    sizes = [3, 4, 10, 33, 400]
    labels = np.repeat(np.arange(5), sizes)
    weight = rng.integers(1, 1 << 40, len(labels)) >> rng.integers(0, 39, len(labels))
    weight = np.maximum(weight, 1)
    x = rng.permutation(len(labels)).astype(np.float64)[:, None]
    expected = []
    for j in range(5):
        order = np.argsort(x[labels == j, 0])
        values = x[labels == j, 0][order]
        twice = 2 * np.cumsum(weight[labels == j][order])
        lower = np.searchsorted(twice, twice[-1] // 2)
        upper = np.searchsorted(twice, twice[-1] // 2, side="right")
        expected.append((values[lower] + values[upper]) / 2)
    with small_segments(segments):
        found = refitted(gpu, "l1", x, labels, weight, 5)
    np.testing.assert_array_equal(found[:, 0], expected)
