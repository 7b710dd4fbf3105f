"""The rest of an iteration on CUDA: the counting sort, the losses beside a refit, the engine."""

from unittest import mock

import numpy as np
import pytest

from kmgpu import kernels
from kmgpu.algorithm.lloyd import half_steps
from kmgpu.algorithm.losses import LOSSES
from kmgpu.algorithm.steps import ReferenceSteps
from kmgpu.kernels.agreement import CANCELLED
from kmgpu.kernels.cuda import KERNELS, refit, sort
from tests.support import oracles
from tests.support.cuda import BOTH, DTYPES, WEIGHTS, small_segments

WEIGHTED = pytest.mark.parametrize("weights", ["none", "with zeros"])
# rows on either side of a warp's 32, of its run and of a block's; clusters of one block or more,
# and more than a thread of the last block takes
SIZES = [(1, 1), (31, 3), (129, 31), (1025, 32), (1200, 70), (5000, 5), (3000, 2100)]


def weights_of(gpu, weights, n):
    weight = WEIGHTS[weights](np.random.default_rng(1), n)
    weight = None if weight is None else np.asarray(weight, np.float64)
    return weight, None if weight is None else gpu.asarray(weight)


def sorted_rows(gpu, labels, previous, there, k):
    numbers = sort.Numbers.beside(gpu.asarray(labels), k)
    found = sort.grouped(
        *(gpu.asarray(each.astype(np.int32)) for each in (labels, previous)), there, k, numbers
    )
    told = gpu.to_numpy(numbers.values)[sort.CHANGED :]
    assert gpu.to_numpy(numbers.ticket).item() == 0
    return gpu.to_numpy(found.order), gpu.to_numpy(found.bounds), told


@WEIGHTED
@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("most_lines", [1 << 14, 16, 1])
def test_rows_are_grouped_in_their_order(gpu, weights, n, k, most_lines):
    """Most labels in a few clusters, the last of them empty."""
    rng = np.random.default_rng(0)
    labels = np.minimum(rng.integers(max(1, k - 1), size=n), rng.integers(k, size=n))
    previous = np.where(rng.random(n) < 0.3, rng.integers(k, size=n), labels)
    weight, there = weights_of(gpu, weights, n)
    with mock.patch.object(sort, "MOST_LINES", most_lines):
        order, bounds, told = sorted_rows(gpu, labels, previous, there, k)
    real = np.ones(n, bool) if weight is None else weight > 0
    sizes = np.bincount(labels[real], minlength=k)
    np.testing.assert_array_equal(bounds, np.concatenate([[0], np.cumsum(sizes)]))
    np.testing.assert_array_equal(told, [(real & (labels != previous)).sum(), *sizes])
    expected = np.flatnonzero(real)[np.argsort(labels[real], kind="stable")]
    np.testing.assert_array_equal(order[: real.sum()], expected)


def test_lines_take_eight_mebibytes_at_most():
    for n in (1, 10**6, 10**8, sort.MOST_ROWS):
        for k in (1, 64, 4096, 10**6):
            run, blocks = sort.lines_of(n, k)
            assert run % 32 == 0
            assert run * blocks * sort.WARPS >= n
            assert (blocks - 1) * sort.WARPS * run < n
            assert (blocks - 1) * sort.WARPS * (k + 1) <= sort.MOST_COUNTS


def test_more_rows_than_can_be_counted(gpu, monkeypatch):
    monkeypatch.setattr(sort, "MOST_ROWS", 99)
    with pytest.raises(ValueError, match="100 rows, the kernel counts up to 99"):
        sorted_rows(gpu, np.zeros(100), np.zeros(100), None, 1)


def problem(n, d, k, dtype, case):
    rng = np.random.default_rng(d)
    x = 20 * oracles.blobs(n, d, k, seed=3)
    if dtype == "uint8":
        x = np.abs(x) % 256
    elif case == "an outlier of 1e6 sigma":
        x[n // 3] = 2e4 if dtype == "float16" else 2e7
    elif case == "far from the origin":
        x += 1e3 if dtype == "float16" else 1e6
    x = x.astype(dtype)
    centers = x[rng.integers(n, size=k)].astype(np.float64) + 0.25
    if case == "an empty cluster":
        centers[k // 2] = 1e9
    return x, centers


CASES = ["blobs", "an outlier of 1e6 sigma", "far from the origin", "an empty cluster"]


@BOTH
@WEIGHTED
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("d", "k"), [(3, 5), (40, 7)])
def test_losses_beside_a_refit(gpu, loss, weights, dtype, case, d, k):
    x, centers = problem(500, d, k, dtype, case)
    weight, there = weights_of(gpu, weights, 500)
    steps = KERNELS["engine"](gpu.asarray(x), there, k, LOSSES[loss])
    value, changed = steps.assign(gpu.asarray(centers), True)
    label = oracles.labels_in_order(x, centers, loss)
    share = np.ones(500) if weight is None else weight
    np.testing.assert_array_equal(gpu.to_numpy(steps.labels), label)
    assert value == pytest.approx(share @ oracles.own_costs(x, centers, label, loss), rel=1e-12)
    assert changed == (share > 0).sum()
    sizes = np.bincount(label[share > 0], minlength=k)
    np.testing.assert_array_equal(steps.sizes, sizes)
    assert steps.sizes.dtype == np.int64
    after, value, shift = steps.refit()
    expected = oracles.centers(x.astype(np.float64), label, centers, loss, weight)
    np.testing.assert_allclose(gpu.to_numpy(after), expected, rtol=1e-13, atol=1e-10)
    assert value == pytest.approx(share @ oracles.own_costs(x, expected, label, loss), rel=1e-11)
    moved = expected - centers
    moved = (moved**2).sum() if loss == "l2" else np.abs(moved).sum()
    assert shift == pytest.approx(moved, rel=1e-10)


@WEIGHTED
def test_a_loss_that_has_cancelled_is_summed_again(gpu, weights):
    """The first centre is far away, so the loss falls by some 1e20."""
    x = oracles.blobs(300, 4, 1, seed=2)
    weight, there = weights_of(gpu, weights, 300)
    steps = KERNELS["engine"](gpu.asarray(x), there, 1, LOSSES["l2"])
    before, _ = steps.assign(gpu.asarray(np.full((1, 4), 1e10)), True)
    _, after, _ = steps.refit()
    assert after < 1e-15 * CANCELLED * before
    mean = np.average(x, axis=0, weights=weight)
    share = np.ones(300) if weight is None else weight
    assert after == pytest.approx(share @ ((x - mean) ** 2).sum(axis=1), rel=1e-10)


def records(steps, weight, centers, gpu):
    options = {"max_iter": 20, "tol": 0, "empty_cluster": "farthest"}
    loop = half_steps(steps, weight, centers, np.float64, **options)
    for step in loop:
        labels = None if step.labels is None else gpu.to_numpy(step.labels).copy()
        yield step, labels, gpu.to_numpy(step.centers)


@BOTH
@WEIGHTED
@pytest.mark.parametrize("d", [3, 40])
def test_the_loop_is_that_of_the_reference(gpu, loss, weights, d):
    """Half-step by half-step, with relocations at the first; restarted on the same engine."""
    x = oracles.blobs(400, d, 6, seed=5, spread=3).astype(np.float32)
    start = np.concatenate([x[:5].astype(np.float64), np.full((2, d), 1e4)])
    weight, there = weights_of(gpu, weights, 400)
    steps = KERNELS["engine"](gpu.asarray(x), there, 7, LOSSES[loss])
    with kernels.use("reference"):
        plain = ReferenceSteps(x, weight, 7, LOSSES[loss])
        expected = list(records(plain, weight, start, oracles_backend()))
    assert any(step.n_relocated == 2 for step, _, _ in expected)
    for _ in range(2):
        found = list(records(steps, there, gpu.asarray(start), gpu))
        assert [step.kind for step, _, _ in found] == [step.kind for step, _, _ in expected]
        for (a, label, at), (b, other, center) in zip(found[1:], expected[1:], strict=True):
            np.testing.assert_array_equal(label, other)
            np.testing.assert_allclose(at, center, rtol=1e-10, atol=1e-12)
            assert a.loss == pytest.approx(b.loss, rel=1e-10)
            assert (a.n_changed, a.n_relocated) == (b.n_changed, b.n_relocated)
            assert a.shift == pytest.approx(b.shift, rel=1e-8)


def oracles_backend():
    return mock.Mock(to_numpy=np.asarray)


@BOTH
@WEIGHTED
def test_the_same_bits_twice(gpu, loss, weights):
    """Blocks and threads run in another order each time; medians of segments, too."""
    x, centers = problem(900, 7, 4, "float32", "blobs")
    _, there = weights_of(gpu, weights, 900)
    found = set()
    for _ in range(3):
        steps = KERNELS["engine"](gpu.asarray(x), there, 4, LOSSES[loss])
        with small_segments():
            told = steps.assign(gpu.asarray(centers), True)
        after, *numbers = steps.refit()
        found.add((gpu.to_numpy(after).tobytes(), *told, *numbers))
    assert len(found) == 1


@BOTH
@WEIGHTED
@mock.patch.object(refit, "FEWEST_CHUNK_ROWS", 2)
@mock.patch.object(refit, "FINISHING_BLOCKS", 3)
def test_parts_of_many_blocks(gpu, loss, weights):
    """Chunks of two rows, and fewer blocks at the end than centres have numbers."""
    x, centers = problem(600, 9, 6, "float64", "blobs")
    weight, there = weights_of(gpu, weights, 600)
    steps = KERNELS["engine"](gpu.asarray(x), there, 6, LOSSES[loss])
    value, _ = steps.assign(gpu.asarray(centers), True)
    label = oracles.labels_in_order(x, centers, loss)
    share = np.ones(600) if weight is None else weight
    assert value == pytest.approx(share @ oracles.own_costs(x, centers, label, loss), rel=1e-12)
    after, value, _ = steps.refit()
    expected = oracles.centers(x, label, centers, loss, weight)
    np.testing.assert_allclose(gpu.to_numpy(after), expected, rtol=1e-13, atol=1e-12)
    assert value == pytest.approx(share @ oracles.own_costs(x, expected, label, loss), rel=1e-11)


@BOTH
@WEIGHTED
def test_the_costliest_rows(gpu, loss, weights):
    """The highest weighted costs first, of equals the lowest row; every row occurs twice."""
    x, centers = problem(300, 5, 4, "float32", "blobs")
    x = np.concatenate([x, x])
    weight, there = weights_of(gpu, weights, 300)
    share = np.tile(np.ones(300) if weight is None else weight, 2)
    there = None if weight is None else gpu.asarray(share)
    steps = KERNELS["engine"](gpu.asarray(x), there, 4, LOSSES[loss])
    steps.assign(gpu.asarray(centers), True)
    label = oracles.labels_in_order(x, centers, loss)
    worth = share * oracles.own_costs(x, centers, label, loss)
    rows, costs, labels = steps.costliest(7)
    expected = np.argsort(-worth, kind="stable")[:7]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(costs, worth[expected], rtol=1e-12)
    np.testing.assert_array_equal(labels, label[expected])
    assert all(isinstance(each, np.ndarray) for each in (rows, costs, labels))
