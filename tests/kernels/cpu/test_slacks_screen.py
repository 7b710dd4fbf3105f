"""Room for rounding where a sketch of the rows rules centres out."""

import numpy as np
import pytest

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.highdim.screen import Screen
from kmgpu.kernels.cpu.highdim.targets import targets_of
from tests.support.oracles import costs_in_order, labels_in_order


def far_origin(rng, d):
    """Rows and centres about 1, the origin of computations so far off that all are rounded."""
    x, centers = rng.standard_normal((1000, d)), rng.standard_normal((30, d))
    return x, centers, np.full(d, 2e4)


def equally_far(rng, d):
    """Rows about the origin, and centres as far from it as float32 can tell."""
    centers = rng.standard_normal((30, d))
    centers /= np.linalg.norm(centers, axis=1)[:, None]
    centers *= 1 + 1e-7 * rng.standard_normal((30, 1))
    return 1e-6 * rng.standard_normal((1000, d)), centers, np.zeros(d)


def clipped(rng, d):
    """Rows that the sketch writes as they would be near the others, beside their own centres."""
    x, centers = rng.standard_normal((4000, d)), rng.standard_normal((30, d))
    x[1::400] *= 20  # in none of its samples
    centers[:20] = np.repeat(x[1::400], 2, axis=0)
    centers[1:20:2] *= 1.05
    return x, centers, np.zeros(d)


@pytest.mark.parametrize("d", [40, 200])
@pytest.mark.parametrize("case", [far_origin, equally_far, clipped])
def test_labels_and_bounds_where_float32_rounds_too_much(case, d):
    rng = np.random.default_rng(d)
    x, centers, ref = case(rng, d)
    x, ref = x.astype(np.float32), ref.astype(np.float32)
    norms = np.linalg.norm((x - ref).astype(np.float64), axis=1)
    screen = Screen(x, ref, norms, Workers(1))
    upper, lower = np.full(len(x), 1e30, np.float32), np.zeros(len(x), np.float32)
    labels = np.full(len(x), -1, np.int32)
    before = np.zeros_like(centers)
    for share in (0.0, 1e-5, 0.3, 1e-3, 0.0):
        at = centers + share * rng.standard_normal(centers.shape)
        shifted = np.empty_like(at)
        targets = targets_of(at, ref, before, shifted)
        screen.assign(x, Workers(1), targets, upper, lower, labels)
        before = shifted
        away = np.sqrt(costs_in_order(x, at, "l2"))
        np.testing.assert_array_equal(labels, labels_in_order(x, at, "l2"))
        rows = np.arange(len(x))
        assert (upper >= away[rows, labels] * (1 - 1e-14)).all()
        away[rows, labels] = np.inf
        assert (lower <= away.min(axis=1) * (1 + 1e-14)).all()
