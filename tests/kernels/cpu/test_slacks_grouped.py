"""Room for rounding in the bounds of k-medians of many features."""

from fractions import Fraction

import numba
import numpy as np
import pytest

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowlevel.rows import Rows
from kmgpu.kernels.cpu.medians import rounding as rounded
from kmgpu.kernels.cpu.medians.grouped import CenterGroupBounds
from tests.support.near_ties import close_by
from tests.support.oracles import labels_in_order

UNIT = 2.0**-24  # what a float32 is rounded by, of its size


def group_bounds(x, n_clusters, algorithm):
    return CenterGroupBounds(Rows(x), n_clusters, Workers(1), 1 << 20, algorithm)


def assign(found, centers):
    found.assign(centers)
    return found.labels


@pytest.mark.parametrize("algorithm", ["dense", "elkan"])
@pytest.mark.parametrize("d", [40, 200])
@pytest.mark.parametrize("case", ["far rows", "far group", "underflow"])
def test_labels_where_float32_rounds_too_much(d, case, algorithm):
    """The second assignment is the one that follows bounds, if any does."""
    x, centers = close_by(np.random.default_rng(d), "l1", d, case)
    found = group_bounds(x, 2, algorithm)
    for start in (centers + 0.1 * (centers[::-1] - centers), centers):
        right = labels_in_order(x, start, "l1")
        np.testing.assert_array_equal(assign(found, start), right)


def zeros_among_ones(d):
    """40 rows of zeros, the origin of computations, and enough others for float32."""
    return np.concatenate([np.zeros((40, d)), np.ones((20, d))]).astype(np.float32)


def one_way(d, share):
    """One and d - 1 numbers of `share` unit roundoffs, each lost (or doubled) if added to it."""
    terms = np.full(d, share * UNIT)
    terms[0] = 1
    return terms


@pytest.mark.parametrize("algorithm", ["dense", "elkan"])
@pytest.mark.parametrize(("d", "piece"), [(40, 32), (200, 32), (2600, 64)])
def test_sums_that_round_one_way_change_no_label(d, piece, algorithm):
    """The first sum loses what comes after its one; the second, which is less, does not."""
    x = zeros_among_ones(d)
    # what the first piece (or, of more of them, every other one) cannot add to one
    first = one_way(d, 0.99)
    if d > 40 * piece:
        first = np.where(np.arange(d) % piece == 1, first, 0)
        first[0] = 1
    second = np.zeros(d)
    second[0], second[-1] = 1, 0.9 * (first.sum() - 1)
    found = group_bounds(x, 3, algorithm)
    far = np.full(d, 9.0)
    assert (assign(found, np.stack([far, second, second]))[:40] == 1).all()
    assert (assign(found, np.stack([far, first, second]))[:40] == 2).all()


@pytest.mark.parametrize("d", [40, 200])
@pytest.mark.parametrize("share", [0.99, 1.01])
def test_bounds_of_sums_that_round_one_way(d, share):
    x = zeros_among_ones(d)
    terms = one_way(d, share)
    for centers, own in (np.stack([terms, 9 + terms]), 0), (np.stack([0 * terms, terms]), 0):
        found = group_bounds(x, 2, "dense")
        assert (assign(found, centers)[:40] == own).all()
        true = [sum(map(Fraction, center)) for center in centers]
        assert all(Fraction(float(bound)) >= true[own] for bound in found.upper[:40])
        assert all(Fraction(float(bound)) <= true[1] for bound in found.lower[:40, 1])


@numba.njit
def _stored(values):
    below, above = np.empty_like(values), np.empty_like(values)
    for i in range(values.shape[0]):
        below[i] = rounded.below(values[i])
        above[i] = rounded.above(values[i])
    return below, above


def test_stored_bounds_are_rounded_outwards():
    rng = np.random.default_rng(0)
    values = rng.choice([-1, 1], 4000) * 10.0 ** rng.uniform(-46, 41, 4000)
    below, above = _stored(values)
    assert (below <= np.maximum(values, -rounded.MOST)).all()
    assert (above > values).all()
    assert np.isfinite(below).all()
    held = np.abs(values) < 1e38
    np.testing.assert_allclose(below[held], values[held], rtol=1e-6, atol=3e-38)
    np.testing.assert_allclose(above[held], values[held], rtol=1e-6, atol=3e-38)


@numba.njit
def _lowered(cost, rounding):
    return rounded.lowered(cost, 0.0, rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_distance_that_overflows_may_be_the_largest_number(dtype):
    rounding = rounded.rounding_of(Rows(np.ones((3, 40), dtype)))
    assert _lowered(dtype(np.inf), rounding) <= np.finfo(dtype).max


def test_lengths_and_drifts_are_rounded_up():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 40)).astype(np.float32)
    found = group_bounds(x, 4, "elkan")
    at, drift = rng.standard_normal((4, 40)), [Fraction(0)] * 4
    assign(found, at)
    for _ in range(10):
        before, at = at, at + rng.standard_normal((4, 40))
        c = found.placed(at)
        for j in range(4):
            assert Fraction(c.lengths[j]) >= sum(abs(Fraction(float(v))) for v in c.near[j])
            steps = zip(at[j], before[j], strict=True)
            drift[j] += sum(abs(Fraction(new) - Fraction(old)) for new, old in steps)
            assert Fraction(c.own_drift[j]) >= drift[j]
