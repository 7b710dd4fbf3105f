"""The float64 costs that decide labels: the same bits from kernels and from the Array API."""

import subprocess
import sys

import numba
import numpy as np
import pytest

from kmgpu.algorithm.losses import LOSSES
from kmgpu.kernels.cpu.lowlevel.exact import exact_among, exact_costs, exact_nearest


@numba.njit
def _all(X, centers, squared, costs):
    for i in range(len(X)):
        exact_costs(X[i], centers, squared, costs[i])


@numba.njit
def _nearest(X, centers, squared, found):
    costs = np.empty(len(centers))
    some = np.arange(0, len(centers), 2)[::-1].astype(np.int32)
    for i in range(len(X)):
        row = found[i]
        row[0], row[1], row[2] = exact_nearest(X[i], centers, squared, costs)
        row[3], row[4] = exact_among(X[i], centers, squared, some, len(some))


@pytest.mark.parametrize("loss", ["l2", "l1"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("d", [1, 3, 40, 200])
def test_kernels_and_the_reference_round_alike(loss, dtype, d):
    rng = np.random.default_rng(d)
    X = (rng.normal(1e3, 40, (50, d)) % 256).astype(dtype)
    centers = rng.normal(128, 50, (9, d))
    costs, found = np.empty((50, 9)), np.empty((50, 5))
    _all(X, centers, loss == "l2", costs)
    _nearest(X, centers, loss == "l2", found)
    np.testing.assert_array_equal(LOSSES[loss].pairwise(X.astype(np.float64), centers), costs)
    np.testing.assert_array_equal(found[:, 0], costs.argmin(axis=1))
    np.testing.assert_array_equal(found[:, 1:3], np.sort(costs, axis=1)[:, :2])
    np.testing.assert_array_equal(found[:, 3], 2 * costs[:, ::2].argmin(axis=1))
    np.testing.assert_array_equal(found[:, 4], costs[:, ::2].min(axis=1))


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_equal_centres_give_the_lowest(loss):
    centers = np.ones((7, 40))
    found = np.empty((3, 5))
    _nearest(np.zeros((3, 40)), centers, loss == "l2", found)
    np.testing.assert_array_equal(found, [[0, 40, 40, 0, 40]] * 3)


@numba.njit(fastmath=True)
def _hasty(X, centers, costs):
    some = np.arange(1).astype(np.int32)
    for i in range(len(X)):
        some[0] = 0
        costs[i] = exact_among(X[i], centers, True, some, 1)[1]


def test_no_caller_makes_them_hasty(request):
    """In a process of its own, as the first caller is what counts."""
    code = (
        f"import numpy as np; from {__name__} import _hasty\n"
        "X = np.round(np.random.default_rng(0).normal(size=(500, 40)), 1); costs = np.empty(500)\n"
        "_hasty(X, X[7:8], costs)\n"
        "expected = np.zeros(500)\n"
        "for q in range(40): expected += (X[:, q] - X[7, q]) ** 2\n"
        "assert (costs == expected).all()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=request.config.rootpath)
