"""The rankings by differences: rows in registers, tiles of costs, and halves before them."""

import os
import re
from functools import partial
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from kmgpu.kernels.cuda import differences, nearest, screen
from kmgpu.kernels.cuda.centers import prepared
from tests.support import oracles
from tests.support.cuda import BOTH, DTYPES, LAYOUTS, found_labels
from tests.support.kernels_on_host import kernels_on_host
from tests.support.oracles import labels_in_order

# on either side of what a thread keeps, and of the features of a tile
WIDTHS = pytest.mark.parametrize("d", [1, 2, 3, 8, 12, 16, 17, 40, 128, 200])
SCREENED = pytest.mark.parametrize("d", [17, 40, 128, 200])
# rows and clusters on either side of the tiles' edges
SIZES = [(1, 2), (129, 33), (257, 64), (66, 130)]
MANY = 100  # clusters; so many are screened


def problem(n, d, k, dtype="float32", seed=0):
    """Rows, and centres near some of them, two of which are one."""
    rng = np.random.default_rng(seed)
    x = np.abs(20 * rng.standard_normal((n, d))).astype(dtype)
    centers = x[rng.integers(n, size=k)] + 5 * rng.standard_normal((k, d))
    centers[k // 2] = centers[0]
    return x, centers


def ready_for(gpu, x, centers):
    there = gpu.asarray(x)
    return there, prepared("l1", there, gpu.asarray(centers))


def screened(gpu, x, centers):
    """Labels of the screen, and which rows halves alone decide."""
    there, ready = ready_for(gpu, x, centers)
    label, best, second = map(gpu.to_numpy, nearest._screened(there, ready))
    return label, (best == 0) & (second == np.inf)


@BOTH
@WIDTHS
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_labels(gpu, loss, d, n, k):
    x, centers = problem(n, d, k)
    found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [5, 13, 40])
def test_labels_of_every_dtype(gpu, loss, dtype, d):
    x, centers = problem(131, d, MANY, dtype)
    found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))


@BOTH
@WIDTHS
def test_costs(gpu, loss, d):
    """Of the best centre and of the runner-up; they err by the rounding of float32."""
    x, centers = problem(130, d, 70)
    there = gpu.asarray(x)
    ready = prepared(loss, there, gpu.asarray(centers))
    _, best, second = map(gpu.to_numpy, nearest._tiled(loss, there, ready))
    two = np.sort(oracles.costs(x, centers, loss), axis=1)[:, :2]
    atol = (d + 8) * 2.0**-23 * two.max()
    np.testing.assert_allclose(best, two[:, 0], rtol=1e-5, atol=atol)
    np.testing.assert_allclose(second, two[:, 1], rtol=1e-5, atol=atol)


@BOTH
@pytest.mark.parametrize("d", [2, 8, 16, 40])
@pytest.mark.parametrize("of", ["transposed", "every other"])
@pytest.mark.only("numpy")
def test_strides(gpu, monkeypatch, loss, d, of):
    """HostModule takes arrays in C order alone: the kernel gets one and strides."""
    x, centers = problem(70, d, MANY)
    whole = x.T.copy() if of == "transposed" else x.repeat(2, axis=0).repeat(3, axis=1)
    view = whole.T if of == "transposed" else whole[::2, ::3]
    strides = (np.int64(stride // 4) for stride in view.strides)
    arguments = whole, *strides
    monkeypatch.setattr(differences, "matrix", lambda _: arguments)
    monkeypatch.setattr(screen, "matrix", lambda _: arguments)
    ready = prepared(loss, view, centers)
    rank = partial(nearest._tiled, loss) if loss == "l2" or d <= 16 else nearest._screened
    label, _, _ = rank(view, ready)
    np.testing.assert_array_equal(label, labels_in_order(x, centers, loss))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [8, 40])
@pytest.mark.only("cupy")
def test_any_strides(gpu, layout, d):
    x, centers = problem(70, d, MANY)
    found = nearest.nearest("l1", LAYOUTS[layout](gpu.asarray(x)), gpu.asarray(centers))
    np.testing.assert_array_equal(gpu.to_numpy(found), labels_in_order(x, centers, "l1"))


@SCREENED
def test_halves_decide_most_rows(gpu, d):
    """And what they decide is right."""
    x = oracles.blobs(260, d, 30, seed=3).astype(np.float32)
    label, decided = screened(gpu, x, x[:MANY].astype(float))
    right = oracles.labels(x, x[:MANY].astype(float), "l1")
    assert 0.8 < decided.mean() < 1, "all or none: the list is not tried"
    np.testing.assert_array_equal(label, right)


@SCREENED
def test_open_rows_are_ranked_in_float32(gpu, d):
    """All centres lie as far apart as halves do not tell, and float32 does."""
    rng = np.random.default_rng(4)
    x = 100 + rng.standard_normal((150, d)).astype(np.float32)
    centers = x[0] + 0.01 * rng.standard_normal((MANY, d))
    label, decided = screened(gpu, x, centers)
    assert decided.mean() < 0.5
    np.testing.assert_array_equal(label, labels_in_order(x, centers, "l1"))


def in_pairs(rng, d, apart):
    """Pairs of centres, and rows from the middle of a pair towards one, a little or more."""
    points = apart * rng.standard_normal((MANY // 2, d))
    away = rng.standard_normal((MANY // 2, d))
    pair = rng.integers(MANY // 2, size=400)
    side = 10 ** rng.uniform(-7, -1, 400) * rng.choice([-1, 1], 400)
    x = points[pair] + side[:, None] * away[pair]
    centers = np.stack([points + away, points - away], axis=1).reshape(MANY, d)
    return x.astype(np.float32), centers


@pytest.mark.parametrize(("d", "apart"), [*product([17, 40], [3, 300, 1e4]), (128, 3), (200, 1e4)])
def test_near_ties(gpu, d, apart):
    """Far from the origin halves lose more of a row and of a centre than their sums round."""
    x, centers = in_pairs(np.random.default_rng(5), d, apart)
    _, decided = screened(gpu, x, centers)
    assert decided.mean() < 0.95
    found = found_labels(gpu, "l1", x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, "l1"))


def worst_of_halves():
    """A row whose sums of halves err by almost all that they can, upwards for the nearest centre.

    With ticks of 2^-13: a gap of 1 and 7 ticks, and one of 7 ticks beside it, are 1 together where
    both operations round down; 1 and a tick, and a tick, are 1 and 16 ticks where both round up.
    The last features make the costs nearly the same.
    """
    tick = 2.0**-13
    x = np.where((np.arange(40) % 4 < 2) & (np.arange(40) < 36), 1.0, 0)
    centers = np.zeros((MANY, 40))
    centers[:, 39] = 100 + np.arange(MANY)  # out of the way
    centers[10, :36], centers[11, :36] = -7 * tick, -tick
    centers[11, 36] = 18 * 11 * tick
    centers[10:12, 39] = 0
    return np.repeat(x[None, :], 70, axis=0).astype(np.float32), centers


@pytest.mark.parametrize("of", ["row", "centre"])
def test_halves_that_lose_all_on_one_side(gpu, of):
    """Numbers lie 0.4 above halves, between a centre below and one above, which is nearer."""
    lost = 0.4 if of == "row" else 0
    x = np.full((70, 40), 1500 + lost, np.float32)
    centers = np.zeros((MANY, 40))
    centers[10] = 1508 + lost - 0.4
    centers[11] = np.where(np.arange(40) < 9, 1492, 1493) + lost - 0.4
    label, decided = screened(gpu, x, centers)
    assert not decided.any()
    np.testing.assert_array_equal(label, labels_in_order(x, centers, "l1"))
    assert (label == 10).all()


def test_a_row_whose_sums_of_halves_overflow(gpu):
    """They do so at most centres; what tensor cores add for the nearest, beside these, is NaN."""
    x, centers = np.zeros((70, 40), np.float32), np.zeros((MANY, 40))
    x[:, [0, 2]] = 34016
    centers[0, [0, 2]] = 4000
    centers[16:32, [0, 2]] = 3500 - 100 * np.arange(16)[:, None]
    label, decided = screened(gpu, x, centers)
    assert not decided.any()
    np.testing.assert_array_equal(label, np.zeros(70))


def check_that_errors_of_halves_change_no_label(gpu):
    """Where each sum errs by up to twice what rounding to the nearest does."""
    with mock.patch.object(screen, "HALF_UNIT", 2 * screen.HALF_UNIT):
        label, decided = screened(gpu, *worst_of_halves())
        assert (label == 11).all(), "a label is wrong"
        assert not decided.any(), "none is near enough to another: the test says nothing"
        for d in (17, 40):
            x, centers = in_pairs(np.random.default_rng(6), d, 3)
            expected = labels_in_order(x, centers, "l1")
            np.testing.assert_array_equal(found_labels(gpu, "l1", x, centers), expected)


@pytest.mark.only("numpy")
def test_halves_that_err_as_much_as_they_can_change_no_label(gpu, host_module):
    flags = *os.environ.get("GPULESS_HOST_FLAGS", "").split(), "-DHALF_ERRS=0", "-DMMA_ERRS=0"
    with kernels_on_host(partial(host_module, extra=flags)):
        check_that_errors_of_halves_change_no_label(gpu)


CASES = {
    "offset": lambda x, c: (x + 1e4, c + 1e4),
    "outliers": lambda x, c: (np.where(np.arange(len(x))[:, None] % 7, x, 1e6 * x), c),
    "a far centre": lambda x, c: (x, np.where(np.arange(len(c))[:, None] == 3, 1e6, c)),
    "a centre out of reach": lambda x, c: (x, np.where(np.arange(len(c))[:, None] == 3, 1e60, c)),
    "huge rows": lambda x, c: (np.where(np.arange(len(x))[:, None] % 9, x, 3e38), c),
    "duplicates": lambda x, c: (x, np.repeat(c[:10], 10, axis=0)),
    "one place": lambda x, c: (x, np.repeat(c[:1], MANY, axis=0)),
    "8-bit ties": lambda x, c: (np.round(x) % 4, np.round(c) % 4),
    "tiny": lambda x, c: (1e-30 * x, 1e-30 * c),
    "subnormal": lambda x, c: (1e-41 * x, 1e-41 * c),
    "large": lambda x, c: (1e30 * x, 1e30 * c),
    "constant": lambda x, c: (0 * x + 7, c),
}


@BOTH
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("d", [3, 12, 40])
def test_labels_far_from_ordinary(gpu, loss, case, d):
    x, centers = CASES[case](*problem(150, d, MANY))
    x = x.astype(np.float32)
    with np.errstate(all="ignore"):
        found = found_labels(gpu, loss, x, centers)
        np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("k", [4, MANY])
def test_the_nearest_centre_is_beyond_float32(gpu, d, k):
    """Its cost overflows, the others' do not: no row may pass it over."""
    x, centers = np.zeros((5, d), np.float32), np.zeros((k, d))
    x[:, 0] = 3.3e38
    centers[-2:, 0] = 1.5e38, 3.5e38
    np.testing.assert_array_equal(found_labels(gpu, "l1", x, centers), [k - 1] * 5)


def test_where_halves_are_screened(gpu):
    x = gpu.asarray(np.zeros((3, 40), np.float32))
    assert screen.serves(x, MANY)
    assert not screen.serves(x, screen.FEWEST_CLUSTERS - 1)
    assert not screen.serves(x[:, :16], MANY)


def test_the_proof_holds_for_the_most_features():
    """See screen.cu: 2^-7 of what halves lose of a centre pays for the rounding of it."""
    rounding = float(screen._rounding(screen.MOST_FEATURES))
    assert (1 + 2.0**-7) * (1 - rounding) >= 1 + rounding
    assert 1 / (1 - rounding) <= 1.005


def test_the_proof_counts_with_what_the_kernels_are_tested_for():
    source = (Path(screen.__file__).parent / "mma.cu").read_text()
    unit = re.search(r"constexpr float MMA_UNIT = ([0-9.e+-]+)f;", source)
    assert unit is not None
    assert float(unit[1]) == screen.MMA_UNIT
