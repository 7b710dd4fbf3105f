"""The scale of the tolerance."""

import numpy as np
import pytest

from kmgpu import kernels
from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.spread import scaled_tolerance
from kmgpu.kernels.cpu import spread as compiled
from kmgpu.kernels.cuda import spread as cuda_spread
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)


def mean_spread(x, loss, weight):
    """scikit-learn's mean variance; for L1 the mean absolute deviation from the mean."""
    x = x.astype(np.float64)
    apart = np.abs(x - np.average(x, axis=0, weights=weight))
    return np.average(apart**2 if loss is L2 else apart, axis=0, weights=weight).mean()


@BOTH
@pytest.mark.parametrize("mode", ["reference", "auto"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_scaled_tolerance(backend, loss, mode, weighted, offset):
    x = oracles.blobs(700, 3, seed=1) + offset
    weight = np.random.default_rng(0).random(len(x)) if weighted else None
    there = None if weight is None else backend.asarray(weight)
    expected = 0.25 * mean_spread(x, loss, weight)
    with kernels.use(mode):
        for budget in (None, 1 << 10):
            found = scaled_tolerance(backend.asarray(x), there, loss, 0.25, budget)
            assert found == pytest.approx(expected, rel=1e-9)
        assert scaled_tolerance(backend.asarray(x), there, loss, 0.0, None) == 0


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 2, 40])
def test_the_kernel_whatever_the_threads(loss, dtype, d):
    x = oracles.blobs(70_000, d, seed=2).astype(dtype)
    x[0] = 1e4  # where offsets begin is far from the mean
    weight = np.random.default_rng(1).integers(0, 3, len(x)).astype(np.float64)
    for w in (None, weight):
        one, two = (compiled.spread(x, loss, w, n_threads=t) for t in (1, 3))
        assert one == two == pytest.approx(mean_spread(x, loss, w), rel=1e-9)


@BOTH
@pytest.mark.parametrize("dtype", ["int16", "float16"])
def test_what_the_kernel_does_not_read(loss, dtype):
    x = (10 * oracles.blobs(700, 3, seed=3)).astype(dtype)
    found = scaled_tolerance(x, None, loss, 1.0, None)
    assert found == pytest.approx(mean_spread(x, loss, None), rel=1e-9)


@BOTH
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("d", [1, 3, 40])
def test_on_a_gpu(gpu, loss, dtype, d):
    """Far from the origin, and twice the same bits."""
    x = np.round(10 * oracles.blobs(1500, d, seed=4) + 120).clip(0, 255)
    x[0] = 0  # where offsets begin is far from the mean
    x = (x + (1e6 if dtype in ("float32", "float64") else 0)).astype(dtype)
    weight = np.random.default_rng(1).integers(0, 3, len(x)).astype(np.float64)
    for w in (None, weight):
        there = None if w is None else gpu.asarray(w)
        one = cuda_spread.spread(loss.name, gpu.asarray(x), there)
        assert one == pytest.approx(mean_spread(x, loss, w), rel=1e-12)
        assert cuda_spread.spread(loss.name, gpu.asarray(x), there) == one


@pytest.mark.usefixtures("cupy")
def test_on_a_gpu_nothing_but_the_result_comes_to_the_host(backend, counted):
    x = backend.asarray(oracles.blobs(3000, 5, seed=4).astype("float32"))[::-2, ::2]
    expected = mean_spread(x.get(), L2, None)
    assert scaled_tolerance(x, None, L2, 1.0, None) == pytest.approx(expected, rel=1e-12)
    with counted() as cost:
        scaled_tolerance(x, None, L2, 1.0, 1 << 10)
    assert cost.device_to_host_copies == 1
    assert cost.launches <= 9, cost.launches
