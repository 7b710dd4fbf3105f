"""The CUDA kernels of seeding: on NumPy arrays by way of HostModule, and on CuPy's own."""

import numpy as np
import pytest

from kmgpu import kernels, seeding
from kmgpu.kernels.cuda import module
from kmgpu.kernels.cuda import seeding as kernel
from kmgpu.losses import L1, L2
from tests import oracles

BOTH = pytest.mark.parametrize("loss", ["l1", "l2"])
LOSSES = {"l1": L1, "l2": L2}
WEIGHTS = {
    "none": lambda rng, n: None,
    "small integers": lambda rng, n: rng.integers(0, 3, n).astype(np.float64),
    "mostly zero": lambda rng, n: rng.random(n) * (np.arange(n) % 20 == 3),
    "reals": lambda rng, n: rng.exponential(size=n),
}


def first_beyond(mass, uniform, total):
    rows = np.searchsorted(np.cumsum(mass), uniform * total, side="right")
    return np.minimum(rows, np.flatnonzero(mass)[-1])


def expected_rows(x, loss, weight, uniforms):
    """Greedy weighted k-means++, word for word, in float64."""
    weight = np.ones(len(x)) if weight is None else weight
    chosen = [first_beyond(weight, uniforms[0, :1], weight.sum())[0]]
    closest = oracles.costs(x, x[chosen], loss)[:, 0]
    for uniform in uniforms[1:]:
        mass = weight * closest
        if mass.sum() == 0:
            chosen.append(first_beyond(weight, uniform[:1], weight.sum())[0])
            continue
        trials = first_beyond(mass, uniform, mass.sum())
        left = np.minimum(closest[:, None], oracles.costs(x, x[trials], loss))
        masses = weight @ left
        best = np.argmax(masses <= masses.min() + 1e-11 * mass.sum())
        chosen.append(trials[best])
        closest = left[:, best]
    return np.array(chosen)


def found_rows(gpu, loss, x, weight, uniforms):
    there = None if weight is None else gpu.asarray(weight)
    found = kernel.seeded_rows(loss, gpu.asarray(x), there, uniforms)
    assert found.dtype == gpu.xp.int64
    return gpu.to_numpy(found)


def problem(n, d, dtype, seed=0):
    x = 20 * oracles.blobs(n, d, 7, seed=seed)
    return np.abs(x).clip(0, 255).astype(dtype) if dtype == "uint8" else x.astype(dtype)


def draws(rounds, trials, seed=0):
    return np.random.default_rng(seed).random((rounds, trials))


KINDS = [("float32", weights) for weights in WEIGHTS]
KINDS += [(dtype, "small integers") for dtype in ("float16", "float64", "uint8")]
# rows on either side of a thread's, a block's and two blocks'; features of a lane and of a tile
SHAPES = [(1, 1), (2, 3), (1030, 2), (700, 16), (129, 17), (257, 40), (130, 128), (70, 300)]


@BOTH
@pytest.mark.parametrize(("dtype", "weights"), KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_brute_force(gpu, loss, dtype, weights, shape):
    x = problem(*shape, dtype)
    weight = WEIGHTS[weights](np.random.default_rng(1), shape[0])
    if weight is not None and not weight.any():
        weight[0] = 1
    uniforms = draws(min(12, shape[0]), 4)
    np.testing.assert_array_equal(
        found_rows(gpu, loss, x, weight, uniforms), expected_rows(x, loss, weight, uniforms)
    )


@BOTH
@pytest.mark.parametrize("d", [2, 40])
@pytest.mark.parametrize("trials", [1, 4, 5, 8, 9, 12, 13, 30])
def test_any_number_of_trials(gpu, loss, d, trials):
    x, uniforms = problem(300, d, "float32", seed=2), draws(9, trials, seed=trials)
    np.testing.assert_array_equal(
        found_rows(gpu, loss, x, None, uniforms), expected_rows(x, loss, None, uniforms)
    )
