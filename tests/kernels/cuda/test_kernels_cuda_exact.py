"""Labels on CUDA are the argmin of float64 costs by differences, added feature after feature."""

import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.kernels.cuda import nearest
from tests.support.cuda import BOTH, DTYPES, first_ranking, found_labels
from tests.support.oracles import costs_in_order, labels_in_order

WIDTHS = pytest.mark.parametrize("d", [1, 3, 40, 200])
ESTIMATORS = {"l1": KMedians, "l2": KMeans}


def rows_of(dtype, n, d, seed=0):
    x = 40 * np.random.default_rng(seed).standard_normal((n, d))
    return np.abs(x).astype(dtype) if dtype == "uint8" else x.astype(dtype)


def nearly_tied(x, k, loss, rng):
    """Centres whose costs at the first row differ by a few roundings of float64, if at all.

    Each differs from that row by the same numbers in another order.
    """
    away = np.abs(rng.standard_normal(x.shape[1])) + 0.1
    return np.asarray(x[0], np.float64) + np.stack([rng.permutation(away) for _ in range(k)])


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
@WIDTHS
def test_nearly_tied_costs_are_ranked_as_a_plain_loop_ranks_them(gpu, loss, dtype, d):
    """Another order of additions, or a fused one, ends at another centre."""
    rng = np.random.default_rng(d)
    x = np.repeat(rows_of(dtype, 1, d), 3, axis=0)
    for k in (2, 7, 70):
        for _ in range(4):
            centers = nearly_tied(x, k, loss, rng)
            expected = labels_in_order(x, centers, loss)
            np.testing.assert_array_equal(found_labels(gpu, loss, x, centers), expected)


@BOTH
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("apart", [1e5, 1e7, 1e8])
@WIDTHS
def test_two_groups_far_apart(gpu, loss, dtype, apart, d):
    """No reference point is near both: the product about one cancels, in float64 too."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, d))
    x[150:] += apart
    x = x.astype(dtype)
    centers = np.concatenate([x[:6], x[-6:]]).astype(np.float64)
    centers += 0.01 * rng.standard_normal(centers.shape)
    found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))
    if (loss, dtype, apart, d) == ("l2", "float64", 1e8, 40):
        _, _, (raw, _, _) = first_ranking(gpu, loss, x, centers)
        assert (gpu.to_numpy(raw) != found).mean() > 0.1, (
            "the first ranking was enough: this says nothing"
        )


SCALES = {
    "tiny": 1e-44,
    "subnormal in float32": 1e-40,
    "huge": 1e44,
    "squares are subnormal in float32": 1e-22,
    "squares are subnormal": 1e-162,
    "squares underflow": 1e-170,
    "squares overflow": 1e170,
    "smallest": 1e-310,
    "largest": 1e307,
}


@BOTH
@pytest.mark.parametrize("scale", SCALES)
@WIDTHS
def test_magnitudes_of_float64(gpu, loss, scale, d):
    rng = np.random.default_rng(2)
    x = SCALES[scale] * rng.normal(size=(120, d)) * rng.choice([1, 4], (120, 1))
    centers = x[:7].copy()
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            found_labels(gpu, loss, x, centers), labels_in_order(x, centers, loss)
        )


FAR = {"1e30": 1e30, "1e21": 1e21, "1e38": 1e38, "beyond float32": 1e60, "1e300": 1e300}


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("d", [3, 40])
def test_far_centers_among_ordinary_rows(gpu, loss, dtype, far, d):
    """Two out of reach, on either side, where the origin of the ranking may lie."""
    x = rows_of(dtype, 150, d)
    for near in (1, 4):
        centers = np.concatenate([np.full((2, d), FAR[far]), x[:near].astype(float)])
        centers[1] *= -1
        with np.errstate(all="ignore"):
            found = found_labels(gpu, loss, x, centers)
        np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))


@BOTH
@pytest.mark.parametrize("scale", [1e17, 1e19, 1e25])
@WIDTHS
def test_large_rows_of_float32(gpu, loss, scale, d):
    rng = np.random.default_rng(3)
    x = (scale * rng.standard_normal((150, d))).astype(np.float32)
    centers = np.concatenate([np.full((1, d), 1e21), np.full((1, d), -1e21), x[:5]])
    with np.errstate(all="ignore"):
        found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("d", [3, 64, 200])
def test_tight_rows_among_wide_ones(gpu, loss, dtype, d):
    """No average over rows says what one row needs."""
    rng = np.random.default_rng(4)
    x = 300 * rng.standard_normal((360, d))
    x[::5] = 20 + 0.05 * rng.standard_normal((72, d))
    x = x.astype(dtype)
    centers = np.concatenate([x[::5][:12], x[1:20]]).astype(np.float64)
    found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))


@BOTH
@WIDTHS
def test_outliers(gpu, loss, d):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((200, d))
    x[:2] = [[1e100], [-1e100]]
    centers = np.concatenate([x[:6], x[:1] / 3])
    with np.errstate(all="ignore"):
        found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))


@BOTH
@WIDTHS
def test_open_rows_of_unlike_costs(gpu, loss, d):
    """Open rows are ranked some at a time: each by what its own costs leave in question."""
    rng = np.random.default_rng(d)
    near, far = rng.standard_normal((2, d)).astype(np.float32)
    far = far + np.float32(4096)
    step = np.zeros(d, np.float32)
    step[0] = 0.5
    centers = np.stack([far + 2048, near + step, near - step, far + 256 * step, far - 256 * step])
    x = np.stack([near, far])[rng.integers(2, size=37)]
    found = found_labels(gpu, loss, x, centers.astype(np.float64))
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))
    assert set(found) == {1, 3}


def worst_errors(x, centers, origin, loss, product):
    """What the first ranking's costs may err by: x, µ and every operation rounded one way."""
    unit, d = np.finfo(np.float32).eps / 2, x.shape[1]
    cost = costs_in_order(x, centers, loss)
    length = costs_in_order(x, origin[None, :], loss)
    if loss == "l1":
        return unit * (2 * length + (d + 2) * cost)
    if product:
        return unit * (d + 4) * (2 * np.sqrt(length) + np.sqrt(cost)) ** 2
    return unit * (4 * np.sqrt(length * cost) + (d + 4) * cost)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("far", [False, True])
def test_costs_that_err_as_much_as_they_can_change_no_label(gpu, loss, dtype, d, far):
    """Rows on either side of the middle between two centres, a few roundings away or many.

    The nearer centre's cost is raised and the other lowered, by all that rounding can do; it can do
    more where they lie far from the origin.
    """
    rng = np.random.default_rng(6)
    one, other = (30 if far else 0) + rng.standard_normal((2, d))
    away = np.finfo(np.float32).eps * 10.0 ** rng.uniform(0, 6, 1500) * rng.choice([-1, 1], 1500)
    x = ((one + other) / 2 + away[:, None] * (other - one)).astype(dtype)
    others = [np.zeros(d), np.ones(d), -np.ones(d)] if far else []
    centers = np.stack([one, other, *others])
    there, ready, _ = first_ranking(gpu, loss, x, centers)
    product = loss == "l2" and d > nearest.FUSED_FEATURES
    rounding = (
        nearest._product_rounding(ready.shifted) if product else nearest._direct_rounding(loss, d)
    )
    cost, every = costs_in_order(x, centers, loss), np.arange(len(x))
    error = worst_errors(x, centers, gpu.to_numpy(ready.origin), loss, product)
    right = cost.argmin(axis=1)
    computed = cost - error
    computed[every, right] += 2 * error[every, right]
    start = computed.argmin(axis=1).astype(np.int32)
    assert (start != right).sum() > 10, "no cost is near another: the test says nothing"
    two = np.sort(computed, axis=1)[:, :2].astype(np.float32)
    best, second = (gpu.asarray(np.ascontiguousarray(two[:, i])) for i in (0, 1))
    settled = nearest._settled(loss, there, ready, gpu.asarray(start), best, second, rounding)
    np.testing.assert_array_equal(gpu.to_numpy(settled), right)


def _outliers(rng, d):
    x = rng.standard_normal((150, d))
    x[:2] = [[1e100], [-1e100]]
    return x


def _groups(rng, d):
    return rng.standard_normal((150, d)) + np.where(np.arange(150) % 2, 1e8, 0)[:, None]


def _tight(rng, d):
    x = 300 * rng.standard_normal((150, d))
    x[::4] = 20 + 0.05 * rng.standard_normal((38, d))
    return x.astype(np.float32)


def _huge(rng, d):
    return 10 ** rng.normal(44, 0.5, (150, d)) * rng.choice([1, 30], (150, 1))


def _grid(rng, d):
    return (0.1 * rng.integers(0, 9, (150, d))).astype(np.float32)


FITTED = {
    "outliers": _outliers,
    "groups far apart": _groups,
    "tight rows among wide ones": _tight,
    "huge": _huge,
    "tiny": lambda rng, d: 1e-89 * _huge(rng, d),
    "a grid": _grid,
}


@BOTH
@pytest.mark.parametrize("case", FITTED)
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("far", [False, True])
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.only("cupy")
def test_fit_and_predict(gpu, loss, case, d, far):
    """Labels are those of the final centres, two of them out of reach or none; predict agrees."""
    x = FITTED[case](np.random.default_rng(7), d)
    init = x[:5].astype(np.float64)
    if far:
        init[-2:] = [[1e101], [-1e101]] if x.dtype == np.float64 else [[1e30], [-1e30]]
    model = ESTIMATORS[loss](5, init=init, empty_cluster="keep" if far else "farthest", max_iter=4)
    there = gpu.asarray(x)
    found = gpu.to_numpy(model.fit(there).labels_)
    centers = gpu.to_numpy(model.cluster_centers_)
    costs = costs_in_order(x, centers, loss)
    np.testing.assert_array_equal(found, costs.argmin(axis=1))
    np.testing.assert_array_equal(gpu.to_numpy(model.predict(there)), found)
    assert model.inertia_ == pytest.approx(costs.min(axis=1).sum(), rel=1e-5)
