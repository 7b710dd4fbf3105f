"""The CUDA kernels of the medians where clusters are cut into segments, which are made small."""

import numpy as np
import pytest

from kmgpu.algorithm.refit import group_rows
from kmgpu.kernels.cuda import refit
from tests.support.cuda import (
    DTYPES,
    KEPT,
    WEIGHTS,
    expected_centers,
    refitted,
    small_segments,
)

SIZES = {
    "one segment": [64],
    "a row more": [65],
    "two": [128],
    "two and a row": [129],
    "many": [1000],
    "each begins with a chunk": [64, 128, 192, 64, 65],
    "each ends with a chunk": [63, 65, 1, 127, 0, 128],
    "one goes on, one begins": [100, 100, 100, 65, 66, 67],
    "tiny, large and empty": [0, 1, 2, 300, 0, 0, 1, 63, 66, 5, 0],
    "single rows around": [1] * 40 + [200] + [1] * 90 + [65] + [1] * 40,
}


def rows_of(sizes, d, dtype, ties, seed=0):
    """Rows in random order and their labels; `ties`, the number of different values."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    if dtype == "uint8":
        return rng.integers(0, ties, (len(labels), d)).astype(dtype), labels
    values = rng.standard_normal(ties) * 10.0 ** rng.integers(-3, 4, ties)
    return rng.choice(values, (len(labels), d)).astype(dtype), labels


def both(gpu, x, labels, weight, n_clusters):
    """What the kernels find and what brute force does."""
    with small_segments():
        found = refitted(gpu, "l1", x, labels, weight, n_clusters)
    return found, expected_centers("l1", x, labels, weight, n_clusters)


@pytest.mark.parametrize("weights", ["none", "with zeros"])
@pytest.mark.parametrize("d", [1, 3, 33])
@pytest.mark.parametrize("case", SIZES)
def test_segments(gpu, case, d, weights):
    sizes = SIZES[case]
    x, labels = rows_of(sizes, d, "float32", ties=60)
    weight = WEIGHTS[weights](np.random.default_rng(1), len(x))
    np.testing.assert_array_equal(*both(gpu, x, labels, weight, len(sizes)))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ties", [2, 200])
def test_every_dtype_and_weight(gpu, dtype, weights, ties):
    sizes = [300, 3, 0, 131, 64]
    x, labels = rows_of(sizes, 5, dtype, ties)
    weight = WEIGHTS[weights](np.random.default_rng(1), len(x))
    np.testing.assert_array_equal(*both(gpu, x, labels, weight, len(sizes)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("weights", ["none", "integers"])
@pytest.mark.parametrize("size", [40, 200, 201])
def test_the_upper_median_wherever_the_two_keys_part(gpu, dtype, weights, size):
    """From the last digit to the sign; half of the rows lie on either side."""
    below = np.array([1, 1, 1, 1, 0.5, -1, -np.finfo(dtype).max, -0.0], dtype)
    above = np.nextafter(below, np.array(np.inf, dtype))
    above[2:] = [1.0625, 1.5, 2, 1, np.finfo(dtype).max, 0.0]
    x = np.where(np.arange(size)[:, None] % 2, below, above)
    weight = None if weights == "none" else np.full(size, 3.0)
    np.testing.assert_array_equal(*both(gpu, x, np.zeros(size, int), weight, 1))


def test_segments_as_they_are(gpu):
    assert refit.segment_rows(1000, 1) == 4096
    assert refit.segment_rows(1 << 26, 2) == 1 << 15
    sizes = [4096, 4097, 100]
    x, labels = rows_of(sizes, 2, "float32", ties=5000)
    found = refitted(gpu, "l1", x, labels, None, 3)
    np.testing.assert_array_equal(found, expected_centers("l1", x, labels, None, 3))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_order_of_blocks_changes_no_bit(gpu, weighted):
    x, labels = rows_of([600, 70, 5, 130], 7, "float32", ties=300)
    weight = np.random.default_rng(2).random(len(x)) if weighted else None
    with small_segments():
        found = [refitted(gpu, "l1", x, labels, weight, 4).tobytes() for _ in range(3)]
    assert len(set(found)) == 1


@pytest.mark.only("cupy")
def test_rows_of_any_stride(gpu):
    x, labels = rows_of([300, 7, 90], 6, "float32", ties=100)
    expected = expected_centers("l1", x, labels, None, 3)
    groups = group_rows(gpu.asarray(labels.astype(np.int32)), 3)
    previous = gpu.asarray(np.full((3, 6), KEPT))
    wide = np.repeat(x, 2, axis=1)
    for there in (
        gpu.asarray(x).T.copy().T,
        gpu.asarray(x[::-1, ::-1].copy())[::-1, ::-1],
        gpu.asarray(wide)[:, ::2],
    ):
        with small_segments():
            found = refit.medians(there, groups, None, previous, 0)
        np.testing.assert_array_equal(gpu.to_numpy(found), expected)


def test_more_rows_than_can_be_counted(gpu, monkeypatch):
    monkeypatch.setattr(refit, "MOST_COUNTED", 99)
    x, labels = rows_of([100], 1, "float32", ties=9)
    with pytest.raises(ValueError, match="100 rows, the kernel counts up to 99"):
        refitted(gpu, "l1", x, labels, None, 1)
