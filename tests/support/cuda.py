"""What the tests of CUDA kernels share: their parameters, and calls that take the `gpu` fixture."""

from unittest import mock

import numpy as np
import pytest

from kmgpu.algorithm.refit import group_rows
from kmgpu.kernels.cuda import nearest, refit
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", ["l1", "l2"])
FLOATS = ["float16", "float32", "float64"]
DTYPES = [*FLOATS, "uint8", "int64"]
KERNEL = {"l1": refit.medians, "l2": refit.means}
KEPT = -7.25
SEGMENT = 64
WEIGHTS = {
    "none": lambda rng, n: None,
    "integers": lambda rng, n: rng.integers(1, 6, n),
    "with zeros": lambda rng, n: rng.integers(0, 3, n),
    "reals": lambda rng, n: rng.random(n),
}
LAYOUTS = {
    "columns": lambda x: x.T.copy().T,
    "every other": lambda x: x.repeat(2, axis=0).repeat(3, axis=1)[::2, ::3],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}


def found_labels(gpu, loss, x, centers, budget=None):
    found = nearest.nearest(loss, gpu.asarray(x), gpu.asarray(centers), budget)
    assert found.dtype == gpu.xp.int32
    return gpu.to_numpy(found)


def first_ranking(gpu, loss, x, centers):
    """What the first kernel leaves: labels, best costs, runners-up; and what it worked on."""
    there = gpu.asarray(x)
    ready = nearest._prepared(loss, there, gpu.asarray(centers))
    make = nearest._tiled if loss == "l1" or x.shape[1] <= nearest.FUSED_FEATURES else None
    outcome = make(loss, there, ready) if make else nearest._scored(there, ready)
    return there, ready, outcome


def refitted(gpu, loss, x, labels, weight, n_clusters, function=None):
    to = gpu.asarray
    there = None if weight is None else to(np.asarray(weight, np.float64))
    groups = group_rows(to(labels.astype(np.int32)), n_clusters, there)
    previous = to(np.full((n_clusters, x.shape[1]), KEPT))
    found = (function or KERNEL[loss])(to(x), groups, there, previous, 1 << 20)
    assert found.dtype == gpu.xp.float64
    return gpu.to_numpy(found)


def expected_centers(loss, x, labels, weight, n_clusters):
    previous = np.full((n_clusters, x.shape[1]), KEPT)
    return oracles.centers(x, labels, previous, loss, weight)


def small_segments(rows=SEGMENT):
    return mock.patch.object(refit, "FEWEST_SEGMENT_ROWS", rows)
