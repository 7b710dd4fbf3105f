"""Greedy seeding picks the rows of a plain float64 reference, whatever the data and threads."""

from __future__ import annotations

from math import log

import llvmlite.binding
import numba
import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.algorithm.losses import LOSSES as by_name
from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowlevel import byte_scores as byte_code
from kmgpu.kernels.cpu.lowlevel.byte_scores import POINTS, SHIFT, TILE, byte_scores
from kmgpu.kernels.cpu.lowlevel.chunks import CHUNK_ROWS, ChunkWorkers
from kmgpu.kernels.cpu.seeding.greedy import greedy_seed
from kmgpu.kernels.cpu.seeding.low import low_gains
from kmgpu.kernels.cpu.seeding.sketch import Sketch, row_limit


def _distance(X, p, loss):
    apart = X.astype(np.float64) - p.astype(np.float64)
    return np.abs(apart).sum(axis=1) if loss == "l1" else (apart**2).sum(axis=1)


def _first_beyond(terms, u, total):
    rows = np.searchsorted(np.cumsum(terms), np.asarray(u) * total, side="right")
    return np.minimum(rows, np.flatnonzero(terms)[-1])


def reference(X, n_clusters, loss, sample_weight, rng):
    """The specification, word for word."""
    w = np.ones(len(X)) if sample_weight is None else sample_weight.astype(np.float64)
    n_trials = 2 + int(log(n_clusters))
    chosen = [int(_first_beyond(w, rng.random(), w.sum()))]
    closest = _distance(X, X[chosen[0]], loss)
    pot = (w * closest).sum()
    for _ in range(1, n_clusters):
        u = rng.random(n_trials)
        if pot == 0:
            chosen.append(int(_first_beyond(w, u[0], w.sum())))
            continue
        rows = _first_beyond(w * closest, u, pot)
        found = [np.minimum(closest, _distance(X, X[t], loss)) for t in rows]
        pots = [(w * f).sum() for f in found]
        best = int(np.argmax(pots <= np.min(pots) + 1e-11 * pot))  # the first that ties
        chosen.append(int(rows[best]))
        closest, pot = found[best], pots[best]
    return np.array(chosen)


def _blobs(seed, n, d, spread=1.0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(7, d)) * 3
    return centers[rng.integers(7, size=n)] + spread * rng.normal(size=(n, d))


def _weights(kind, n):
    rng = np.random.default_rng(n)
    if kind == "none":
        return None
    if kind == "small integers":
        return rng.integers(0, 3, n).astype(np.float64)
    if kind == "mostly zero":
        return rng.random(n) * (rng.random(n) < 0.05)
    return rng.exponential(size=n)


def _nearest(X, centers, loss, labels):
    """Labels are the nearest centres, of equal ones the first."""
    assert labels.dtype == np.int32
    costs = np.stack([_distance(X, center, loss) for center in centers], axis=1)
    own = np.take_along_axis(costs, labels[:, None].astype(np.int64), axis=1)
    assert (own <= costs.min(axis=1, keepdims=True) * (1 + 1e-12)).all()
    _, place, copy = np.unique(centers, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(labels, place[copy.ravel()][labels])


def _agree(X, k, loss, weight, seeds=4, **options):
    for seed in range(seeds):
        a, b = np.random.default_rng(seed), np.random.default_rng(seed)
        expected = reference(X, k, loss, weight, a)
        got, labels = greedy_seed(X, k, by_name[loss], weight, b, **options)
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, expected)
        if labels is not None:
            _nearest(X, X[got], loss, labels)
        assert a.random() == b.random(), "as many draws as the reference makes"


LOSSES = pytest.mark.parametrize("loss", ["l2", "l1"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
FEATURES = pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 24, 25, 40, 200])


@LOSSES
@DTYPES
@FEATURES
def test_same_rows_as_the_reference(loss, dtype, d):
    _agree(_blobs(d, 1500, d).astype(dtype), 20, loss, None)


@LOSSES
@DTYPES
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("kind", ["small integers", "mostly zero", "exponential"])
def test_weights(loss, dtype, d, kind):
    X = _blobs(1, 1100, d).astype(dtype)
    _agree(X, 12, loss, _weights(kind, len(X)))


@LOSSES
@DTYPES
@pytest.mark.parametrize("d", [1, 2, 40])
@pytest.mark.parametrize("kind", ["none", "small integers"])
def test_integer_grids_tie_massively(loss, dtype, d, kind):
    X = np.random.default_rng(d).integers(0, 3, (1300, d)).astype(dtype)
    _agree(X, 25, loss, _weights(kind, len(X)), seeds=8)


@LOSSES
def test_labels_of_ties_are_the_first_seeds(loss):
    X = np.random.default_rng(3).integers(0, 2, (600, 40)).astype(np.float64)
    rows, labels = greedy_seed(X, 30, by_name[loss], None, np.random.default_rng(0))
    costs = np.stack([_distance(X, X[row], loss) for row in rows], axis=1)
    np.testing.assert_array_equal(labels, costs.argmin(axis=1))


@LOSSES
@DTYPES
@pytest.mark.parametrize("d", [2, 40])
def test_duplicates_and_fewer_distinct_rows_than_clusters(loss, dtype, d):
    # as many of each would be ties that rounding decides: two left to choose from cost each other
    X = np.repeat(_blobs(2, 6, d), [105, 115, 125, 135, 145, 155], axis=0).astype(dtype)
    np.random.default_rng(0).shuffle(X)
    _agree(X, 15, loss, None)
    _agree(X, 15, loss, _weights("mostly zero", len(X)))
    _agree(np.ones_like(X), 3, loss, None)


@LOSSES
@pytest.mark.parametrize("d", [2, 40])
def test_far_from_the_origin(loss, d):
    _agree((_blobs(3, 2000, d) + 1e4).astype(np.float32), 30, loss, None)
    _agree(_blobs(3, 2000, d) + 1e9, 30, loss, None)


@LOSSES
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("n", [1, 2, 7, 256, 257])
def test_one_cluster_and_as_many_clusters_as_rows(loss, d, n):
    X = _blobs(4, n, d).astype(np.float32)
    _agree(X, 1, loss, None)
    _agree(X, n, loss, None, seeds=2)
    _agree(X, n, loss, _weights("exponential", n), seeds=2)


@LOSSES
@pytest.mark.parametrize("d", [3, 40])
def test_outliers_scales_and_constant_features(loss, d):
    X = _blobs(5, 1500, d)
    X[:, 0] = 3.0
    X[:, 1] *= 1e6
    X[7] *= 1e5
    X[8, -1] = 1e9
    X[9] = X[8]
    for scale in (1.0, 1e-12, 1e12):
        _agree((X * scale).astype(np.float32), 20, loss, None, seeds=2)
        _agree(X * scale, 20, loss, None, seeds=2)
    _agree(X * 1e-120, 20, loss, None, seeds=2)
    _agree(X * 1e120, 20, loss, None, seeds=2)


@LOSSES
@pytest.mark.parametrize("d", [3, 40])
def test_features_far_rarer_than_their_sample(loss, d):
    X = np.zeros((9000, d))
    X[np.arange(1, 9000, 45), np.arange(200) % d] = np.arange(200) + 1.0
    _agree(X, 40, loss, None, seeds=2)


@LOSSES
@pytest.mark.parametrize("d", [3, 60])
def test_threads_and_memory_change_nothing(loss, d):
    X = _blobs(6, 30_000, d).astype(np.float32)
    w = _weights("exponential", len(X))
    expected, labels = greedy_seed(X, 30, by_name[loss], w, np.random.default_rng(0), n_threads=1)
    assert (labels is None) == (d == 3)
    options_tried = [{"n_threads": t} for t in (None, 2, 5)]
    options_tried += [{"memory_budget": b} for b in (0, 1 << 21)]
    for options in options_tried:
        got, _ = greedy_seed(X, 30, by_name[loss], w, np.random.default_rng(0), **options)
        np.testing.assert_array_equal(got, expected)


@LOSSES
@pytest.mark.parametrize("d", [3, 60])
def test_input_is_left_alone_in_any_layout(loss, d):
    X = _blobs(7, 700, d)
    before = X.copy()
    expected, _ = greedy_seed(X, 9, by_name[loss], None, np.random.default_rng(0))
    X.flags.writeable = False
    for view in (X, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
        got, _ = greedy_seed(view, 9, by_name[loss], None, np.random.default_rng(0))
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(X, before)


@LOSSES
def test_more_clusters_than_a_block_has_rows(loss):
    _agree(_blobs(8, 3000, 30).astype(np.float32), 400, loss, None, seeds=1)
    _agree(_blobs(8, 3000, 2).astype(np.float32), 400, loss, None, seeds=1)


@numba.njit
def _row_limit(closest, length, error, unit, squared):
    return row_limit(closest, length, error, unit, squared)


def _survive(X, points, closest, loss):
    """(n, t) bool: what the sketch does not exclude, with scores from NumPy; and its own scores."""
    sketch = Sketch.of(X, loss == "l2", ChunkWorkers(Workers(1), len(X)))
    factors, starts, units, offsets = sketch.factors(points)
    n_chunks, n_tiles, n_feature_groups, line = sketch.codes.shape
    codes = sketch.codes.reshape(n_chunks, n_tiles, n_feature_groups, TILE, line // TILE)
    codes = codes.transpose(0, 1, 3, 2, 4).reshape(n_chunks * CHUNK_ROWS, -1).astype(np.int64)
    if loss == "l1":
        f = factors.view(np.int16).astype(np.int64)
        scores = np.stack([np.abs(128 * codes - row) @ sketch.quanta.astype(np.int64) for row in f])
    else:
        f = factors.astype(np.int64)
        scores = f @ (codes.T - SHIFT)
    compiled = np.empty((len(f), CHUNK_ROWS), np.int32)
    for b in range(n_chunks):
        byte_scores(sketch.codes[b], factors, starts, sketch.quanta, loss == "l2", compiled)
        np.testing.assert_array_equal(compiled, scores[:, b * CHUNK_ROWS : (b + 1) * CHUNK_ROWS])
    limit = np.empty(closest.shape, np.float32)
    for t in range(len(points)):
        for i in range(len(X)):
            of_row = (sketch.length[i], sketch.error[i], sketch.unit, loss == "l2")
            limit[i, t] = _row_limit(closest[i, t], *of_row)
    scores = scores[: len(points), : len(X)].T.astype(np.float32) * units
    return ~(scores >= limit + offsets)


WAYS = {"avx512vnni": (16, byte_code._products_vnni), "avx2": (8, byte_code._products_avx2)}
WAYS |= {"": (8, byte_code._products_anywhere)}


@pytest.mark.parametrize("needs", WAYS)
def test_every_way_to_score(monkeypatch, needs):
    """Whichever this processor would take; with the largest numbers, too."""
    if needs and not llvmlite.binding.get_host_cpu_features().get(needs, False):
        pytest.skip(f"this processor has no {needs}")
    monkeypatch.setattr(byte_code, "_way", lambda *_: WAYS[needs])
    tiles = byte_code._tile_function(True, fetches=True)

    @numba.njit
    def computed(codes, factors, start, out):
        c, f = np.uintp(codes.ctypes.data), np.uintp(factors.ctypes.data)
        s, o = np.uintp(start.ctypes.data), np.uintp(out.ctypes.data)
        tiles(c, f, f, s, np.uintp(codes.shape[1]), o, np.uintp(CHUNK_ROWS))

    rng = np.random.default_rng(0)
    values, f = rng.integers(0, 128, (2 * TILE, 52)), rng.integers(-127, 128, (POINTS, 52))
    values[3], f[1], f[2] = 127, 127, -127
    start = rng.integers(-(10**6), 10**6, POINTS).astype(np.int32)
    codes = values.reshape(2, TILE, 13, 4).transpose(0, 2, 1, 3).reshape(2, 13, 4 * TILE)
    out = np.zeros((POINTS, CHUNK_ROWS), np.int32)
    computed(np.ascontiguousarray(codes, np.int8), f.astype(np.int8), start, out)
    np.testing.assert_array_equal(out[:, : 2 * TILE], f @ values.T + start[:, None])
    assert not out[:, 2 * TILE :].any()


def _sketch_cases(d):
    X = _blobs(9, 700, d)
    yield X
    yield X.astype(np.float32) + np.float32(1e4)
    yield X * np.exp(3 * np.random.default_rng(0).normal(size=d))
    yield X * np.exp(3 * np.random.default_rng(0).normal(size=(len(X), 1)))
    yield (X > 3).astype(np.float64)
    yield np.sign(X) * np.abs(X) ** 9


@LOSSES
@pytest.mark.parametrize("d", [25, 128, 3001])
def test_the_sketch_excludes_no_row_that_is_nearer_and_most_others(loss, d):
    for X in _sketch_cases(d):
        points = np.concatenate([X[:5], X[:6] * 0.7, X[-3:] * 50]).astype(np.float64)
        exact = np.stack([_distance(X, p, loss) for p in points], axis=1)
        assert (_survive(X, points, exact * (1 + 1e-12), loss) | (exact == 0)).all()
    X = _blobs(9, 700, d)
    exact = np.stack([_distance(X, p, loss) for p in X[:8]], axis=1)
    # L2: seven bits a code, and points are rounded as well
    margin = 0.9 if loss == "l1" else 0.8
    assert _survive(X, X[:8], margin * exact, loss).mean() < 0.1


@LOSSES
@DTYPES
@pytest.mark.parametrize("d", [2, 17])
@pytest.mark.parametrize("n_trials", range(1, 13))
def test_gains_of_any_number_of_trials(loss, dtype, d, n_trials):
    """With few features: of four trials at a time, and of what is left."""
    X = _blobs(12, 600, d).astype(dtype)
    weight = np.random.default_rng(1).integers(1, 4, len(X)).astype(np.float64)
    n_chunks = -(-len(X) // CHUNK_ROWS)
    closest, points = np.full(n_chunks * CHUNK_ROWS, np.nan), X[:n_trials].astype(np.float64)
    closest[: len(X)] = _distance(X, X[50], loss)
    gains, wins = np.empty((n_chunks, n_trials)), np.zeros(n_chunks * CHUNK_ROWS, np.uint32)
    low_gains(
        *(0, n_chunks, X, np.empty(0, dtype), points, np.array([1.0, 0.0])),
        *(True if loss == "l1" else None, closest, weight, gains, wins),
    )
    left = closest[: len(X), None] - np.stack([_distance(X, p, loss) for p in points], axis=1)
    np.testing.assert_allclose(gains.sum(axis=0), weight @ np.maximum(left, 0), rtol=1e-10)
    won = (wins[: len(X), None] >> np.arange(n_trials)) & 1
    clear = np.abs(left) > 1e-9
    np.testing.assert_array_equal(won[clear], (left > 0)[clear])


@pytest.mark.parametrize(("estimator", "loss"), [(KMeans, "l2"), (KMedians, "l1")])
@pytest.mark.parametrize("d", [3, 40])
def test_a_fit_from_seeds_is_the_fit_from_these_centers(estimator, loss, d):
    """Whether or not it takes the labels from seeding."""
    X = _blobs(11, 4000, d, spread=3.0).astype(np.float32)
    X[17] = X[4]
    w = _weights("small integers", len(X))
    rows, _ = greedy_seed(X, 30, by_name[loss], w, np.random.default_rng(3))
    found = estimator(30, random_state=3).fit(X, sample_weight=w)
    expected = estimator(30, init=X[rows]).fit(X, sample_weight=w)
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    np.testing.assert_array_equal(found.cluster_centers_, expected.cluster_centers_)
    assert found.history_ == expected.history_


@LOSSES
def test_values_at_the_ends_of_float32(loss):
    X = _blobs(10, 900, 3).astype(np.float32)
    w = _weights("exponential", len(X))
    for scale in (1e-38, 1e-30, 1e-20, 1e17, 1e19, 1e37):
        _agree(X * np.float32(scale), 12, loss, None, seeds=2)
        _agree(X * np.float32(scale), 12, loss, w**60, seeds=2)
