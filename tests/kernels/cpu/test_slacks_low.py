"""Room for rounding in the bounds of few features: no row keeps or gets a wrong label by it."""

import math
from fractions import Fraction

import numba
import numpy as np
import pytest

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowdim import bounds, nearest
from kmgpu.kernels.cpu.lowdim.bounds import RowBounds, follow
from kmgpu.kernels.cpu.lowlevel.rows import Rows, frozen
from tests.support.near_ties import close_by
from tests.support.oracles import labels_in_order

BOTH = pytest.mark.parametrize("loss", ["l2", "l1"])
WIDTHS = pytest.mark.parametrize("d", [3, 40, 200])


def row_bounds(x, n_clusters, loss):
    return RowBounds(Rows(x), n_clusters, loss == "l2", Workers(1))


def assign(found, centers):
    found.assign(centers)
    return found.labels


@BOTH
@WIDTHS
@pytest.mark.parametrize("case", ["far rows", "far group", "underflow"])
def test_labels_where_float32_rounds_too_much(loss, d, case):
    x, centers = close_by(np.random.default_rng(d), loss, d, case)
    found = row_bounds(x, 2, loss)
    assert found.data.dtype == np.float32
    right = labels_in_order(x, centers, loss)
    np.testing.assert_array_equal(assign(found, centers), right)


@BOTH
@WIDTHS
def test_rows_as_near_to_two_centres_as_float64_can_tell_are_never_settled(loss, d):
    """Costs of 1e6 differ by their rounding alone, and by another one once centres have moved."""
    rng = np.random.default_rng(d)
    x = 1e6 + 1e6 * np.abs(rng.standard_normal((3000, 1))) + rng.standard_normal((3000, d))
    before = 1e-3 * rng.standard_normal((2, d))
    before[1] = before[0][::-1]
    if loss == "l2":
        x = (x + x[:, ::-1]) / 2  # as far from both
    found = row_bounds(x, 2, loss)
    old = labels_in_order(x, before, loss)
    np.testing.assert_array_equal(assign(found, before), old)
    after = before + 2e-11 * rng.standard_normal((2, d))
    new = labels_in_order(x, after, loss)
    assert (new != old).sum() > 10
    np.testing.assert_array_equal(assign(found, after), new)


@numba.njit
def _rounded_down(values):
    return np.array([nearest.rounded_down(value) for value in values])


def test_stored_gaps_are_rounded_down():
    rng = np.random.default_rng(0)
    values = np.concatenate([10.0 ** rng.uniform(-60, 37, 4000), rng.uniform(1, 2, 100)])
    found = _rounded_down(values)
    assert found.dtype == np.float32
    assert (found.astype(np.float64) <= values).all()
    np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-37)


@BOTH
@pytest.mark.parametrize("size", [1.0, 1e-170])
def test_drifts_are_no_less_than_centres_have_moved(loss, size):
    """In fractions, also where squares underflow."""
    rng = np.random.default_rng(0)
    k, d, kind = 8, 3, np.float64
    at = size * rng.standard_normal((k, d))
    least = 1e-153  # as `RowBounds` says
    drift, expected = np.zeros(k + 1), [Fraction(0)] * k
    exact, c, loose = np.empty((k, d)), np.empty((k, d)), np.empty(k)
    ends = np.empty(k + 1), np.empty(k + 1, np.float32)

    def follow_to(at, first=False):
        origin, squared = frozen(np.zeros(d, kind)), loss == "l2"
        follow(at, first, origin, squared, least, exact, c, loose, drift, *ends)

    follow_to(at, first=True)
    drift[:] = 0
    for _ in range(40):
        before, at = at, at + size * rng.standard_normal((k, d))
        at[0] = before[0]
        follow_to(at)
        moved = [
            [abs(Fraction(a) - Fraction(b)) for a, b in zip(new, old, strict=True)]
            for new, old in zip(at, before, strict=True)
        ]
        lengths = [
            lower_root(sum(s * s for s in step)) if loss == "l2" else sum(step) for step in moved
        ]
        for j in range(k):
            expected[j] += lengths[j] + max(lengths[:j] + lengths[j + 1 :])
    assert all(Fraction(found) >= right for found, right in zip(drift[1:], expected, strict=True))
    np.testing.assert_allclose(
        drift[1:], [float(right) for right in expected], rtol=1e-12, atol=1e-150
    )


def lower_root(square):
    """Square root of a fraction, rounded down to a multiple of 2**-2200."""
    shift = 2200
    return Fraction(math.isqrt(int(square * 4**shift)), 2**shift)


@BOTH
def test_limits_that_rows_are_compared_with_are_rounded_up(monkeypatch, loss):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 3)).astype(np.float32)
    found, given = row_bounds(x, 20, loss), []
    monkeypatch.setattr(bounds, "nearest_rows", lambda *args: given.append(args[9:11]) or 0)
    for _ in range(5):
        assign(found, rng.standard_normal((20, 3)))
        drift, limit = given[-1]
        assert limit.dtype == np.float32
        assert (limit >= drift).all()
