"""Room for rounding in k-means of many features: scores, stored bounds, what follows them."""

from fractions import Fraction

import numba
import numpy as np
import pytest

from kmgpu import L2, KMeans
from kmgpu.kernels.cpu.highdim import dense, pruning, sums
from kmgpu.kernels.cpu.highdim.engine import HighDimensionalL2
from kmgpu.kernels.cpu.highdim.stored import StoredBounds
from kmgpu.kernels.cpu.highdim.targets import targets_of
from kmgpu.kernels.cpu.lowlevel.rows import frozen
from tests.support.near_ties import close_by
from tests.support.oracles import costs_in_order, labels_in_order

WIDTHS = pytest.mark.parametrize("d", [3, 40, 200])


def targets_at(centers, kind, before=None):
    ref, before = (
        np.zeros(centers.shape[1], kind),
        np.zeros_like(centers) if before is None else before,
    )
    return targets_of(centers, ref, before, np.empty_like(centers))


def unit_vector(rng, d):
    v = rng.standard_normal(d)
    return v / np.linalg.norm(v)


def two_as_far(rng, x, kind):
    """Two points as far from x as each other.

    "alike": of length 1. "opposite": x is amid them. "on a line": so is the origin.
    """
    first = 4 * x if kind == "on a line" else unit_vector(rng, len(x))
    if kind != "alike":
        return first, 2 * x - first
    along = x / np.linalg.norm(x)
    return first, 2 * (along @ first) * along - first


@WIDTHS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("kind", ["alike", "opposite", "on a line"])
def test_scores_that_err_as_much_as_they_may_change_no_label(d, dtype, size, kind):
    """The nearer centre's score is raised, the other lowered.

    Each by 0.9 of ``slack (|x| + |c|)²``, as rounding takes the rest here.
    """
    rng = np.random.default_rng(d)
    slack = (d + 16) * float(np.finfo(dtype).eps) / 2
    swapped = 0
    for _ in range(40):
        x = (size * unit_vector(rng, d)).astype(dtype)
        first, second = two_as_far(rng, x.astype(np.float64), kind)
        away = np.linalg.norm(x - second)
        longest = size + max(np.linalg.norm(first), np.linalg.norm(second))
        second += (second - x) / away**2 * slack * longest**2 * rng.uniform(-0.5, 0.5)
        centers = np.stack([first, second])
        targets = targets_at(centers, dtype)
        costs = costs_in_order(x[None], centers, "l2")[0]
        right = costs.argmin()
        error = 0.9 * slack * (size + np.linalg.norm(centers, axis=1)) ** 2
        computed = costs - error
        computed[right] += 2 * error[right]
        swapped += computed.argmin() != right
        norms = np.linalg.norm(x.astype(np.float64), keepdims=True)
        scores = (computed - norms**2 - targets.squares).astype(dtype)[None]
        labels = np.empty(1, np.int32)
        dense.nearest_rows(x[None], scores, targets, norms, labels)
        assert labels[0] == right
    assert swapped > 20


def equally_far(rng, d, k=4):
    """Rows about the origin, and centres as far from it as float32 can tell."""
    x = 1e-6 * rng.standard_normal((3000, d))
    centers = rng.standard_normal((k, d))
    centers /= np.linalg.norm(centers, axis=1)[:, None]
    return x.astype(np.float32), centers * (1 + 1e-7 * rng.standard_normal((k, 1)))


def case_of(case, d):
    rng = np.random.default_rng(d)
    return equally_far(rng, d) if case == "equally far" else close_by(rng, "l2", d, case)


def check_bounds(engine, x, centers):
    """Of float64, up to its rounding; where squares do not underflow."""
    away = np.sqrt(costs_in_order(x, centers, "l2"))
    rows = np.arange(len(x))
    own = away[rows, engine.labels]
    most, least = engine.passes.row_bounds
    assert (most >= own * (1 - 1e-14)).all()
    away[rows, engine.labels] = np.inf
    assert (least <= away.min(axis=1) * (1 + 1e-14)).all()
    record = engine.passes.stored_bounds
    left = record.levels.astype(int) - record.paths[record.kinds]
    lower = np.maximum(left, 0) * record.strides[record.kinds].astype(np.float64)[:, None]
    assert (lower[:, : len(centers)] <= away * (1 + 1e-14)).all()


@WIDTHS
@pytest.mark.parametrize("algorithm", ["dense", "elkan"])
@pytest.mark.parametrize("case", ["far rows", "far group", "underflow", "equally far"])
def test_labels_and_bounds_where_float32_rounds_too_much(case, algorithm, d):
    """From the second assignment on, "elkan" follows bounds, if any."""
    x, centers = case_of(case, d)
    rng = np.random.default_rng(d)
    engine = HighDimensionalL2(x, None, len(centers), algorithm=algorithm, n_threads=1)
    assert engine.passes.origin.dtype == np.float32
    nudge = np.abs(centers[0] - centers[1]).max()
    for share in (1e-1, 1.0, 1e-3, 1e-7, 0.0):
        at = centers + share * nudge * rng.standard_normal(centers.shape)
        if share == 1.0:
            at = centers[::-1].copy()
        engine.assign(at)
        assert engine.passes.origin.dtype == np.float32
        right = labels_in_order(x, at, "l2")
        np.testing.assert_array_equal(engine.labels, right)
        if algorithm == "elkan":
            check_bounds(engine, x, at)


@pytest.mark.parametrize("share", [0.1, 1e-3])
def test_bounds_of_rows_that_their_own_distance_settles(share):
    """The third centre roams so far that no row is settled before its bounds are read."""
    rng = np.random.default_rng(0)
    x = (1e-6 * rng.standard_normal((50, 40))).astype(np.float32)
    ways = np.stack([unit_vector(rng, 40) for _ in range(3)])
    least, most = [1, 1 + 3 * share, 3], [1 + share, 1 + 4 * share, 3.1]
    for _ in range(8):
        engine = HighDimensionalL2(x, None, 3, algorithm="elkan", n_threads=1)
        for _ in range(8):
            centers = rng.uniform(least, most)[:, None] * ways
            engine.assign(centers)
            assert not engine.labels.any()
            check_bounds(engine, x, centers)


@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_rows_that_are_measured_anew(seed):
    """So many, far from the origin, that some distances lie just below a step.

    One centre comes near, the others stay; half of the rows go to it.
    """
    rng = np.random.default_rng(seed)
    x = 4 * rng.standard_normal((40_000, 3))
    x[20_001:] += 1e4
    engine = HighDimensionalL2(x.astype(np.float32), None, 4, algorithm="elkan", n_threads=1)
    assert not engine.passes.origin.any()
    centers = 1e4 + 4 * rng.standard_normal((4, 3))
    for last in (1.01e4, 1e4):
        centers[3] = last
        engine.assign(centers)
        check_bounds(engine, x.astype(np.float32), centers)


@numba.njit
def _aged(upper, lower, targets, furthest):
    for i in range(upper.shape[0]):
        upper[i], lower[i] = pruning.aged(
            upper[i], lower[i], targets.moved[0], furthest, targets.roundoff, upper.dtype.type
        )


def test_bounds_age_outwards():
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((3, 40))
    targets = targets_at(centers, np.float32, centers + 0.01 * rng.standard_normal((3, 40)))
    upper, lower = rng.uniform(0, 9, (2, 500)).astype(np.float32)
    before = upper.astype(np.float64), lower.astype(np.float64)
    moved = np.float64(targets.moved[0])
    _aged(upper, lower, targets, targets.moved[0])
    assert (upper >= before[0] + moved).all()
    assert ((lower <= before[1] - moved) | (lower < 0)).all()
    np.testing.assert_allclose(upper, before[0] + moved, rtol=1e-5)
    np.testing.assert_allclose(lower, before[1] - moved, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_movement_is_rounded_up(dtype):
    rng = np.random.default_rng(0)
    before, after = rng.standard_normal((2, 500, 40))
    moved = targets_at(after, dtype, before).moved
    for j in range(500):
        steps = zip(after[j], before[j], strict=True)
        square = sum((Fraction(new) - Fraction(old)) ** 2 for new, old in steps)
        assert Fraction(float(moved[j])) ** 2 >= square


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_paths_are_rounded_up_and_down(dtype):
    rng = np.random.default_rng(0)
    upper, lower = np.empty((2, 30), dtype)
    stored = StoredBounds(8, 8, upper, lower)
    stored.restart(np.full(30, 5.0), np.ones(8))
    stride = float(stored.record.strides[0])
    path = [Fraction(0)] * 8
    for moved in (np.arange(8) * stride, np.full(8, 1e-20), *rng.uniform(0, 2 * stride, (9, 8))):
        stored.travel(moved)
        path = [sum_ + Fraction(step) for sum_, step in zip(path, moved, strict=True)]
        for j in range(1, 8):
            steps = int(stored.record.paths[0, j])
            assert steps * Fraction(stride) >= path[j] > (steps - 2) * Fraction(stride)
            assert Fraction(float(stored.record.path_down[j])) <= path[j]


@numba.njit
def _squares(X, ref, centers, out):
    for i in range(X.shape[0]):
        for j in range(centers.shape[0]):
            out[i, j] = pruning.row_square(X, ref, i, centers[j])


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1.5e7), (np.float64, 4e15)])
@pytest.mark.parametrize("d", [33, 200])
def test_an_origin_is_taken_off_before_the_centre(dtype, offset, d):
    """Added to the centre instead, it would round the centre away."""
    rng = np.random.default_rng(d)
    X = (rng.integers(-3, 4, (40, d)) + offset).astype(dtype)
    ref, centers = np.full(d, offset, dtype), rng.standard_normal((6, d)).astype(dtype)
    squares = np.empty((40, 6), dtype)
    _squares(frozen(X), frozen(ref), frozen(centers), squares)
    apart = (X.astype(np.float64) - offset)[:, None] - centers
    np.testing.assert_allclose(squares, (apart**2).sum(-1), rtol=100 * np.finfo(dtype).eps)
    costs = np.empty(40)
    labels = rng.integers(0, 6, 40).astype(np.int32)
    sums.costs_about(X, ref, centers.astype(np.float64), labels, 0, 40, costs)
    np.testing.assert_allclose(costs, (apart**2).sum(-1)[np.arange(40), labels], rtol=1e-13)


def test_integers_far_from_zero_have_the_nearest_centres():
    X = np.random.default_rng(0).integers(-3, 4, (3000, 33)).astype(np.int32) + 15_000_000
    for n_iter in (1, 300):
        model = KMeans(300, random_state=0, max_iter=n_iter).fit(X)
        costs = L2.pairwise(X.astype(np.float64), model.cluster_centers_)
        np.testing.assert_array_equal(model.labels_, costs.argmin(axis=1))
