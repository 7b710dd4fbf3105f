"""The CUDA kernels of the refits: on NumPy arrays by way of HostModule, and on CuPy's own."""

import numpy as np
import pytest

from kmgpu import kernels
from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.refit import group_rows
from kmgpu.kernels.cuda import module, refit
from tests.support.cuda import BOTH, DTYPES, KEPT, KERNEL, WEIGHTS, expected_centers, refitted

REFERENCE = {"l1": L1.refit, "l2": L2.refit}


def problem(n, d, k, dtype, seed=0):
    """Rows with many equal values; the last cluster is empty where there are several."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 40, (n, d)) - (0 if dtype == "uint8" else 20)
    return (x / (1 if dtype == "uint8" else 4)).astype(dtype), rng.integers(max(1, k - 1), size=n)


KINDS = [("float32", weights) for weights in WEIGHTS]
KINDS += [(dtype, "with zeros") for dtype in DTYPES if dtype != "float32"]


@BOTH
@pytest.mark.parametrize(("dtype", "weights"), KINDS)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 3, 2), (31, 1, 40), (200, 33, 5), (130, 6, 1), (257, 16, 7)], ids=str
)
def test_against_brute_force(gpu, loss, weights, dtype, shape):
    x, labels = problem(*shape, dtype)
    weight = WEIGHTS[weights](np.random.default_rng(1), shape[0])
    found = refitted(gpu, loss, x, labels, weight, shape[2])
    expected = expected_centers(loss, x, labels, weight, shape[2])
    if loss == "l1":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-13)


@BOTH
@pytest.mark.parametrize("weighted", [False, True])
def test_no_worse_than_twice_the_reference(gpu, loss, weighted):
    rng = np.random.default_rng(2)
    x, labels = rng.standard_normal((700, 5)).astype(np.float32), rng.integers(3, size=700)
    weight = rng.random(700) if weighted else None
    expected = expected_centers(loss, x, labels, weight, 4)
    found = refitted(gpu, loss, x, labels, weight, 4)
    with kernels.use("reference"):
        plain = refitted(gpu, loss, x, labels, weight, 4, REFERENCE[loss])
    allowed = 2 * np.abs(plain - expected).max() + 1e-15
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)


@BOTH
@pytest.mark.parametrize("n_clusters", [1, 2, 300])
def test_clusters_larger_and_smaller_than_a_chunk(gpu, loss, n_clusters):
    """Chunks of 32 rows: clusters that fill many, share one, or begin and end with one."""
    rng = np.random.default_rng(3)
    x, labels = rng.standard_normal((1111, 2)), rng.integers(n_clusters, size=1111)
    labels[:64] = 0
    found = refitted(gpu, loss, x, labels, None, n_clusters)
    for j in np.unique(labels):
        center = np.median if loss == "l1" else np.mean
        np.testing.assert_allclose(found[j], center(x[labels == j], axis=0), rtol=1e-12, atol=1e-14)


def test_means_at_an_offset_lose_nothing(gpu):
    x, labels = problem(300, 3, 4, "float64")
    exact = refitted(gpu, "l2", x, labels, None, 4)
    shifted = refitted(gpu, "l2", x + 2.0**40, labels, None, 4)
    np.testing.assert_allclose(shifted[:3] - 2.0**40, exact[:3], atol=2.0**-12)


def test_the_mean_of_identical_rows_is_that_row(gpu):
    x, weight = np.full((97, 2), 0.1), np.random.default_rng(0).random(97)
    found = refitted(gpu, "l2", x, np.zeros(97, int), weight, 1)
    np.testing.assert_array_equal(found, [[0.1, 0.1]])


@BOTH
def test_integer_weights_are_repetition(gpu, loss):
    x, labels = problem(90, 4, 5, "float32", seed=6)
    weight = np.random.default_rng(1).integers(0, 5, 90)
    found = refitted(gpu, loss, x, labels, weight, 5)
    repeated = refitted(gpu, loss, x.repeat(weight, axis=0), labels.repeat(weight), None, 5)
    if loss == "l1":
        np.testing.assert_array_equal(found, repeated)
    else:
        np.testing.assert_allclose(found, repeated, rtol=1e-14, atol=1e-14)


@BOTH
@pytest.mark.parametrize("weighted", [False, True])
def test_the_order_of_blocks_and_threads_changes_no_bit(gpu, loss, weighted):
    """They run in another order each time."""
    rng = np.random.default_rng(4)
    x, labels = rng.standard_normal((900, 7)).astype(np.float32), rng.integers(4, size=900)
    weight = rng.random(900) if weighted else None
    found = [refitted(gpu, loss, x, labels, weight, 4).tobytes() for _ in range(3)]
    assert len(set(found)) == 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_medians_of_every_sign_and_size(gpu, dtype):
    """Keys order all numbers: both zeros, subnormals, the largest; odd and even counts."""
    ends = np.finfo(dtype)
    values = [ends.max, -ends.max, ends.tiny, -ends.tiny, ends.smallest_subnormal, 0.0, -0.0]
    values = np.array([*values, 1, -1, 3, -3, 0.5], dtype=dtype)
    rng = np.random.default_rng(5)
    sizes = np.arange(1, 30)
    x = rng.choice(values, sizes.sum())[:, None]
    labels = np.repeat(np.arange(29), sizes)
    found = refitted(gpu, "l1", x, labels, None, 29)[:, 0]
    expected = expected_centers("l1", x, labels, None, 29)[:, 0]
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("values", "weight", "median"),
    [
        ([1, 2, 3, 100], None, 2.5),
        ([1, 9], None, 5),
        ([1, 2, 3], [1, 1, 2], 2.5),
        ([1, 2, 3], [3, 1, 1], 1),
        ([1, 2, 3], [1, 0, 1], 2),
        ([0, 10, 20], [0.5, 0.25, 0.25], 5),
        ([4, 4, 4, 9], None, 4),
        ([1.7e308, 1.7e308], None, 1.7e308),
        ([1, 2, 3], [1e-300, 1, 1e300], 3),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1 / 3])
def test_medians_by_hand(gpu, values, weight, median, scale):
    x = np.array(values, dtype=np.float64)[::-1, None]
    scaled = None if weight is None else scale * np.array(weight, dtype=np.float64)[::-1]
    assert refitted(gpu, "l1", x, np.zeros(len(x), int), scaled, 1).item() == median


@pytest.mark.parametrize("weight", [0.1, 0.7, 1 / 3])
def test_split_weights_are_found_despite_rounding(gpu, weight):
    sizes = 2 * np.arange(1, 41)
    labels = np.repeat(np.arange(40), sizes)
    x = np.concatenate([np.random.default_rng(n).permutation(n) for n in sizes])[:, None]
    found = refitted(gpu, "l1", x.astype(float), labels, np.full(len(x), weight), 40)
    np.testing.assert_array_equal(found[:, 0], (sizes - 1) / 2)


@BOTH
@pytest.mark.only("cupy")
def test_any_strides(gpu, loss):
    x, labels = problem(100, 6, 4, "float32")
    expected = refitted(gpu, loss, x, labels, None, 4)
    groups = group_rows(gpu.asarray(labels.astype(np.int32)), 4)
    for there in (gpu.asarray(x).T.copy().T, gpu.asarray(x[:, ::-1].copy())[:, ::-1]):
        found = KERNEL[loss](there, groups, None, gpu.asarray(np.full((4, 6), KEPT)), 0)
        np.testing.assert_array_equal(gpu.to_numpy(found), expected)


@pytest.mark.only("numpy")
def test_row_offsets_have_64_bits(gpu):
    """Three rows, 2**30 bytes apart, in memory of which nothing else is ever touched."""
    x = np.zeros(2**31 + 1, np.uint8)
    x[2**30], x[2**31] = 5, 7
    groups = np.arange(3), np.array([0, 3])
    centers = np.empty((1, 1))
    arguments = (x, np.int64(2**30), np.int64(1), *groups, centers, centers)
    numbers = np.int32(3), np.int32(1), np.int32(1), np.int32(1)
    name = refit.medians_names("uint8", False)[0]
    module.launch("medians", name, 1, (256,), (*arguments, *numbers, centers))
    assert centers.item() == 5


def test_arguments_are_checked_before_a_launch(gpu):
    x, labels = problem(20, 3, 4, "float32")
    there = gpu.asarray(x)
    groups = group_rows(gpu.asarray(labels.astype(np.int32)), 4)
    previous = gpu.asarray(np.zeros((4, 3)))
    for function in KERNEL.values():
        with pytest.raises(ValueError, match=r"groups\.bounds\.shape=\(5,\).*\(4,\)"):
            function(there, groups, None, previous[:3, :], 0)
        with pytest.raises(TypeError, match=r"sample_weight\.dtype=float32"):
            function(there, groups, gpu.asarray(np.ones(20, np.float32)), previous, 0)
        with pytest.raises(ValueError, match=r"sample_weight\.shape=\(19,\)"):
            function(there, groups, gpu.asarray(np.ones(19)), previous, 0)
        with pytest.raises(TypeError, match=r"X\.dtype=complex64: the kernels read float16"):
            function(gpu.asarray(x.astype(np.complex64)), groups, None, previous, 0)
