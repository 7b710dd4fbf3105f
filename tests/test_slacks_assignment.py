"""Room for rounding in distances that matrix products give."""

import numpy as np
import pytest

from kmgpu.algorithm.losses import L2
from kmgpu.kernels.cpu.assignment import FEW_NUMBERS, distances
from tests.near_ties import beside_bisector, costs_in_order

WIDTHS = pytest.mark.parametrize("d", [40, 200])


def measured(x, centers):
    assert x.size * len(centers) > FEW_NUMBERS, "so few are not multiplied"
    return distances(x, centers, L2)


@WIDTHS
def test_distances_that_products_would_lose_are_taken_from_differences(d):
    """Of rows close to their centres, in groups far apart."""
    rng = np.random.default_rng(d)
    centers = np.repeat([[0.0], [1e4], [-1e4], [3e4]], d, axis=1) + rng.standard_normal((4, d))
    x = centers[rng.integers(4, size=4000)] + 1e-3 * rng.standard_normal((4000, d))
    expected = np.sqrt(costs_in_order(x, centers, "l2"))
    np.testing.assert_allclose(measured(x, centers), expected, rtol=1e-11)


@WIDTHS
def test_the_least_of_distances_that_products_cannot_tell_apart_is_the_label(d):
    rng = np.random.default_rng(d)
    centers = rng.standard_normal((2, d))
    x = beside_bisector(rng, *centers, 8000, 1e-14, 1.0)
    costs = costs_in_order(x, centers, "l2")
    assert (np.abs(costs[:, 0] - costs[:, 1]) < 1e-12 * costs[:, 0]).mean() > 0.9
    np.testing.assert_array_equal(measured(x, centers).argmin(axis=1), costs.argmin(axis=1))
