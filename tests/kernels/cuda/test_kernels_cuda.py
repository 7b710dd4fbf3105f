"""The CUDA kernels of the assignment: on NumPy arrays by way of HostModule, and on CuPy's own."""

from functools import partial

import numpy as np
import pytest

from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.refit import group_rows
from kmgpu.kernels.cuda import module, nearest, refit
from tests.support import oracles
from tests.support.cuda import BOTH, DTYPES, FLOATS, LAYOUTS, first_ranking, found_labels
from tests.support.kernels_on_host import kernels_on_host

LOSSES = {"l1": L1, "l2": L2}
# rows, features and clusters on either side of the tiles' edges, and of FUSED_FEATURES
SHAPES = [(1, 1, 1), (2, 3, 2), (129, 1, 33), (257, 33, 9), (131, 17, 130), (40, 70, 70)]


def problem(n, d, k, dtype, seed=0):
    """Rows and centres, two of which are one."""
    rng = np.random.default_rng(seed)
    x = 10 * rng.standard_normal((n, d))
    x = np.abs(x).astype(dtype) if dtype == "uint8" else x.astype(dtype)
    centers = 10 * rng.standard_normal((k, d))
    centers[k // 2] = centers[0]
    return x, centers


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_labels_are_those_of_float64(gpu, loss, dtype, shape):
    x, centers = problem(*shape, dtype)
    np.testing.assert_array_equal(
        found_labels(gpu, loss, x, centers), oracles.labels(x, centers, loss)
    )


@BOTH
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("d", "k"), [(2, 5), (3, 140), (40, 5), (33, 140)])
def test_ties_go_to_the_lowest_index(gpu, loss, dtype, d, k):
    """Rows and centres on a lattice, where every cost is exact and most rows are ties."""
    rng = np.random.default_rng(1)
    x = rng.integers(-1, 2, (150, d)).astype(dtype)
    centers = rng.integers(-1, 2, (k, d)).astype(np.float64)
    centers[k - 1] = centers[1]
    x[:20] = centers[1]
    cost = oracles.costs(x, centers, loss)
    assert ((cost == cost.min(axis=1)[:, None]).sum(axis=1) > 1).mean() > 0.1
    np.testing.assert_array_equal(found_labels(gpu, loss, x, centers), cost.argmin(axis=1))


@BOTH
@pytest.mark.parametrize("d", [4, 40])
@pytest.mark.parametrize("offset", [0, 1e4, -1e6])
@pytest.mark.parametrize("gap", [0, 1e4])
def test_float32_far_from_the_origin_or_in_groups_far_apart(gpu, loss, d, offset, gap):
    """Contract 5, for every row: also where no reference point is near all rows."""
    x = oracles.blobs(300, d, 3, seed=5)
    x[150:] += gap
    x = (x + offset).astype(np.float32)
    centers = np.concatenate([x[:5], x[-5:]]).astype(np.float64) + 0.01
    cost = oracles.costs(x, centers, loss)
    found = found_labels(gpu, loss, x, centers)
    attained = cost[np.arange(300), found]
    np.testing.assert_array_less(attained, cost.min(axis=1) * (1 + 1e-12) + 1e-300)
    if gap and d == 40 and loss == "l2":
        _, _, (raw, _, _) = first_ranking(gpu, loss, x, centers)
        assert (gpu.to_numpy(raw) != found).any(), "float32 was enough: the test says nothing"


@BOTH
@pytest.mark.parametrize("scale", [1e-30, 1e25, 3e37])
@pytest.mark.parametrize("d", [3, 40])
def test_costs_beyond_float32(gpu, loss, scale, d):
    """No NaN and no infinity decides a label."""
    x = (scale * np.clip(oracles.blobs(60, d, seed=7), -9, 9)).astype(np.float32)
    centers = x[:6].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, oracles.labels(x, centers, loss))


def test_a_cost_that_overflows_is_not_passed_over(gpu):
    """The nearest centre's product overflows; of the others, one is clearly best."""
    along = np.array([0, 1e10, -1e10, 2e10, 0.9e19, 1.9e19]) / np.sqrt(40)
    centers = along[:, None] * np.ones(40)
    x = np.full((5, 40), 1.7e19 / np.sqrt(40), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(found_labels(gpu, "l2", x, centers), [5] * 5)


@BOTH
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_best_and_runner_up(gpu, loss, dtype, shape):
    """Each errs by at most twice what plain calls in the same precision err by."""
    x, centers = problem(*shape, dtype, seed=2)
    _, ready, (labels, best, second) = first_ranking(gpu, loss, x, centers)
    cost = oracles.costs(x, centers, loss)
    computed = np.float32
    origin = gpu.to_numpy(ready.origin)
    there = (x - origin).astype(computed), (centers - origin).astype(computed)
    plain = LOSSES[loss].scorer(there[1])(there[0]).astype(np.float64)
    if loss == "l2":
        plain += (there[0].astype(np.float64) ** 2).sum(axis=1)[:, None]
    allowed = 2 * np.abs(plain - cost).max() + 4 * np.finfo(computed).eps * cost.max()
    two = np.sort(cost, axis=1)[:, :2]
    np.testing.assert_allclose(gpu.to_numpy(best), two[:, 0], rtol=0, atol=allowed)
    np.testing.assert_allclose(gpu.to_numpy(second), two[:, 1], rtol=0, atol=allowed)
    attained = cost[np.arange(len(x)), gpu.to_numpy(labels)]
    np.testing.assert_allclose(attained, two[:, 0], rtol=0, atol=2 * allowed)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (6, 33), (64, 2), (200, 9)])
def test_the_origin_is_a_median_of_centres(gpu, loss, dtype, k, d):
    """Of 64 of them where there are more; the rest follows from it."""
    centers = np.random.default_rng(0).integers(-9, 9, (k, d)) / 3 + 1e3
    centers[-1] = 1e9
    x = gpu.asarray(np.zeros((2, d), dtype))
    ready = nearest._prepared(loss, x, gpu.asarray(centers))
    some = np.sort(centers[[i * k // min(k, 64) for i in range(min(k, 64))]], axis=0)
    origin = gpu.to_numpy(ready.origin)
    np.testing.assert_array_equal(origin, some[(len(some) - 1) // 2].astype(dtype))
    away = centers - origin
    np.testing.assert_array_equal(gpu.to_numpy(ready.shifted), away.astype(np.float32).T)
    np.testing.assert_array_equal(gpu.to_numpy(ready.turned), centers.T)
    length = np.abs(away).sum(axis=1) if loss == "l1" else np.sqrt((away**2).sum(axis=1))
    np.testing.assert_allclose(gpu.to_numpy(ready.extents), length, rtol=1e-14)
    if loss == "l2":
        rtol = 8 * np.finfo(np.float32).eps
        np.testing.assert_allclose(gpu.to_numpy(ready.norms), length**2, rtol=rtol)


@BOTH
def test_one_cluster_has_no_runner_up(gpu, loss):
    _, _, (labels, _, second) = first_ranking(gpu, loss, *problem(5, 2, 1, "float32"))
    assert (gpu.to_numpy(labels) == 0).all()
    assert (gpu.to_numpy(second) == np.inf).all()


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
def test_settle_ranks_open_rows_alone(gpu, loss, dtype):
    """A label that the first ranking decides is taken as it is, even if wrong."""
    x, centers = problem(70, 5, 40, dtype, seed=3)
    there, ready, (_, best, _) = first_ranking(gpu, loss, x, centers)
    right = oracles.labels(x, centers, loss)
    wrong = (right + 1) % 40
    open_rows = np.arange(70) % 3 == 0
    decided = np.where(open_rows, gpu.to_numpy(best), np.inf).astype(best.dtype)
    start = gpu.asarray(wrong.astype(np.int32))
    rounding = nearest._direct_rounding(loss, 5)
    settled = nearest._settled(loss, there, ready, start, best, gpu.asarray(decided), rounding)
    expected = np.where(open_rows, right, wrong)
    np.testing.assert_array_equal(gpu.to_numpy(settled), expected)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_most_rows_are_decided_at_once(gpu, loss, dtype):
    """Where clusters lie apart, the bounds are narrow enough to leave nothing open."""
    x = oracles.blobs(200, 40, 5, seed=4).astype(dtype)
    there, ready, (labels, best, second) = first_ranking(gpu, loss, x, x[:5].astype(float))
    wrong = (gpu.to_numpy(labels) + 1) % 5
    rounding = (
        nearest._direct_rounding(loss, 40)
        if loss == "l1"
        else nearest._product_rounding(ready.shifted)
    )
    start = gpu.asarray(wrong.astype(np.int32))
    settled = nearest._settled(loss, there, ready, start, best, second, rounding)
    assert (gpu.to_numpy(settled) == wrong).mean() > 0.95


def test_tensor_cores_widen_the_bounds(monkeypatch):
    shifted = np.zeros((40, 3), np.float32)
    plain = nearest._product_rounding(shifted)
    monkeypatch.setattr(nearest, "_takes_tensor_cores", lambda x: True)
    assert all(a > 50 * b for a, b in zip(nearest._product_rounding(shifted), plain, strict=True))


@BOTH
@pytest.mark.parametrize("budget", [1, 5000])
def test_blocks_of_a_budget(gpu, loss, budget):
    x, centers = problem(100, 34, 12, "float32")
    found = found_labels(gpu, loss, x, centers, budget)
    np.testing.assert_array_equal(found, oracles.labels(x, centers, loss))


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (300, 3, 4), (45, 16, 3), (45, 17, 3), (70, 65, 5)])
def test_costs_at_labels(gpu, loss, dtype, shape):
    x, centers = problem(*shape, dtype)
    labels = (np.arange(shape[0]) % shape[2]).astype(np.int32)
    there = [gpu.asarray(array) for array in (x, centers, labels)]
    cost = gpu.to_numpy(nearest.costs_at(loss, *there))
    expected = oracles.costs(x, centers, loss)[np.arange(shape[0]), labels]
    np.testing.assert_allclose(cost, expected, rtol=1e-14)


def test_half_floats_are_decoded_exactly(gpu):
    """Every finite one, subnormals and both zeros among them."""
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)[:, None]
    x = x[np.isfinite(x[:, 0])]
    labels = np.zeros(len(x), np.int32)
    there = [gpu.asarray(array) for array in (x, np.zeros((1, 1)), labels)]
    np.testing.assert_array_equal(
        gpu.to_numpy(nearest.costs_at("l1", *there)), np.abs(x[:, 0].astype(float))
    )


def test_subnormal_float32_is_read_exactly_on_a_gpu_that_flushes_it(host_module):
    x = np.array([[1], [3], [2**22], [-5], [-(2**23) + 1]]) * 2.0**-149
    labels = np.zeros(5, np.int32)
    with kernels_on_host(partial(host_module, extra=("-DCOH_FLUSH",))):
        cost = nearest.costs_at("l1", x.astype(np.float32), np.zeros((1, 1)), labels)
        middle = refit.medians(
            x.astype(np.float32), group_rows(labels, 1), None, np.zeros((1, 1)), 0
        )
    np.testing.assert_array_equal(cost, np.abs(x[:, 0]))
    np.testing.assert_array_equal(middle, [[2.0**-149]])


@BOTH
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [5, 40])
@pytest.mark.only("cupy")
def test_any_strides(gpu, loss, layout, d):
    x, centers = problem(70, d, 9, "float32")
    there = LAYOUTS[layout](gpu.asarray(x))
    found = nearest.nearest(loss, there, gpu.asarray(centers))
    np.testing.assert_array_equal(gpu.to_numpy(found), oracles.labels(x, centers, loss))
    cost = nearest.costs_at(loss, there, gpu.asarray(centers), found)
    expected = oracles.costs(x, centers, loss).min(axis=1)
    np.testing.assert_allclose(gpu.to_numpy(cost), expected, rtol=1e-14)


@pytest.mark.only("numpy")
def test_row_offsets_have_64_bits(gpu):
    """Three rows, 2**30 bytes apart, in memory of which nothing else is ever touched."""
    x = np.zeros(2**31 + 1, np.uint8)
    x[2**30], x[2**31] = 5, 7
    name, _ = nearest.costs_name("l1", "uint8", 1)
    cost, labels = np.empty(3), np.zeros(3, np.int32)
    rows = x, np.int64(2**30), np.int64(1)
    arguments = (*rows, np.ones((1, 1)), labels, np.int64(3), np.int32(1), cost)
    module.launch("nearest", name, 1, (256,), arguments)
    np.testing.assert_array_equal(cost, [1, 4, 6])


def test_arguments_are_checked_before_a_launch(gpu):
    x, centers = (gpu.asarray(array) for array in problem(10, 3, 4, "float32"))
    labels = gpu.asarray(np.zeros(10, np.int32))
    with pytest.raises(TypeError, match=r"centers\.dtype=float32.*float64; convert"):
        nearest.nearest("l1", x, gpu.xp.astype(centers, gpu.xp.float32))
    with pytest.raises(ValueError, match=r"centers\.shape=\(4, 2\).*needs \(4, 3\)"):
        nearest.nearest("l1", x, centers[:, :2])
    with pytest.raises(ValueError, match=r"centers\.strides=.*C order"):
        nearest.costs_at("l1", x, gpu.asarray(np.zeros((3, 4))).T, labels)
    with pytest.raises(ValueError, match=r"labels\.shape"):
        nearest.costs_at("l1", x, centers, labels[:9])
    with pytest.raises(TypeError, match="complex64: the kernels read float16"):
        nearest.nearest("l1", gpu.xp.astype(x, gpu.xp.complex64), centers)
    with pytest.raises(ValueError, match="a GPU takes 2147483647"):
        module.launch("nearest", "f", 2**31, (32,), (x,))
