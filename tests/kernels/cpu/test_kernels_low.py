"""Engines against brute force in float64 NumPy."""

import numpy as np
import pytest

from kmgpu.kernels.cpu.lowdim.engine import LowDimMeans
from kmgpu.kernels.cpu.medians.engine import Medians


def pairwise(X, C, squared):
    X, C = X.astype(np.float64), np.asarray(C, dtype=np.float64)
    D = np.empty((len(X), len(C)))
    for j, c in enumerate(C):
        V = X - c
        D[:, j] = (V * V).sum(1) if squared else np.abs(V).sum(1)
    return D


def weighted_median(x, w):
    x, w = x[w > 0], w[w > 0]
    o = np.argsort(x, kind="stable")
    x, cum = x[o].astype(np.float64), np.cumsum(w[o])
    half = cum[-1] / 2
    a = int(np.argmax(cum >= half * (1 - 1e-12)))
    if abs(cum[a] - half) <= 1e-12 * cum[-1]:
        return 0.5 * (x[a] + x[a + 1])
    return x[a]


def center_of(X, w, squared):
    X = X.astype(np.float64)
    if squared:
        return (w[:, None] * X).sum(0) / w.sum()
    if (w == 1).all():
        return np.median(X, axis=0)
    return np.array([weighted_median(X[:, q], w) for q in range(X.shape[1])])


def check(engine, X, w, C, squared, before, tol):
    n, k = len(X), len(C)
    w_ = np.ones(n) if w is None else w
    loss, changed = engine.assign(C)
    z = engine.labels
    assert z.dtype == np.int32
    assert z.shape == (n,)
    assert z.min() >= 0
    assert z.max() < k
    D = pairwise(X, C, squared)
    best, own = D.min(1), D[np.arange(n), z]
    R = np.sqrt if squared else np.asarray
    scale = R(D).max()
    assert (R(own) <= R(best) + tol * scale).all()
    np.testing.assert_allclose(loss, (w_ * own).sum(), rtol=1e-6, atol=1e-9 * scale)
    assert changed == (((z != before) if before is not None else np.ones(n, bool)) & (w_ > 0)).sum()
    np.testing.assert_array_equal(engine.sizes, np.bincount(z[w_ > 0], minlength=k))
    np.testing.assert_allclose(engine.costs(), own, rtol=1e-6, atol=1e-9)
    new, loss = engine.refit()
    assert new.dtype == np.float64
    assert new.shape == C.shape
    for j in range(k):
        m = (z == j) & (w_ > 0)
        want = center_of(X[m], w_[m], squared) if m.any() else C[j]
        if squared:
            np.testing.assert_allclose(new[j], want, rtol=1e-9, atol=1e-9 * max(1, np.abs(X).max()))
        else:
            np.testing.assert_array_equal(new[j], want)
    own = pairwise(X, new, squared)[np.arange(n), z]
    np.testing.assert_allclose(loss, (w_ * own).sum(), rtol=1e-6, atol=1e-9 * scale)
    return new, z.copy()


def run(make, X, w, C, squared, rounds=8, tol=None, **kw):
    X.setflags(write=False)
    tol = tol or (1e-6 if X.dtype in (np.float32, np.float16) else 1e-13)
    e, before, C = make(X, w, len(C), **kw), None, np.asarray(C, dtype=np.float64)
    for t in range(rounds):
        C, before = check(e, X, w, C, squared, before, tol)
        if t == 3:  # as the loop does at its end
            C = C.astype(np.float32).astype(np.float64)
        if t == 5:  # centres from elsewhere
            C = C[::-1].copy()
    return e, C


ENGINES = [
    (LowDimMeans, True, 2),
    (LowDimMeans, True, 7),
    (Medians, False, 3),
    (Medians, False, 40),
]


def blobs(n, d, k, seed=0, dtype=np.float32, spread=1.0):
    rng = np.random.default_rng(seed)
    M = rng.normal(size=(k, d)) * 4
    X = (M[rng.integers(k, size=n)] + spread * rng.normal(size=(n, d))).astype(dtype)
    return X, X[rng.permutation(n)[:k]].astype(np.float64)


@pytest.mark.parametrize("weights", [None, "float", "int", "zero"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_half_steps(make, squared, d, dtype, weights):
    X, C = blobs(5000, d, 11, dtype=dtype)
    rng = np.random.default_rng(1)
    w = {
        None: None,
        "float": rng.random(len(X)),
        "int": rng.integers(1, 4, len(X)).astype(float),
        "zero": rng.integers(0, 2, len(X)).astype(float),
    }[weights]
    run(make, X, w, C, squared)


@pytest.mark.parametrize("algorithm", ["dense", "elkan"])
@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_bounds_are_kept_as_told(make, squared, d, algorithm):
    X, C = blobs(3000, d, 9)
    engine, C = run(make, X, None, C, squared, algorithm=algorithm)
    engine.assign(C)
    right = engine.labels.copy()
    engine.labels[:] = (right + 1) % len(C)  # what only a visit mends
    engine.assign(C)
    assert np.array_equal(engine.labels, right) == (algorithm == "dense")


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 6, 7, 8, 31, 33, 65, 130])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 13])
def test_shapes(d, k):
    X, C = blobs(700, d, k)
    run(Medians, X, None, C, False, 4)
    if d < 33:
        run(LowDimMeans, X, None, C, True, 4)


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
@pytest.mark.parametrize("n", [1, 2, 257])
def test_every_row_a_cluster(make, squared, d, n):
    X = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    run(make, X, None, X.copy(), squared, 3)


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_duplicates_and_ties(make, squared, d):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, size=(3000, d)).astype(np.float32)
    C = X[:12].astype(np.float64)
    C = np.concatenate([C, C, C[:3]])
    X[:, -1] = 1
    e = make(X, None, len(C))
    for t in range(5):
        e.assign(C)
        np.testing.assert_array_equal(e.labels, pairwise(X, C, squared).argmin(1), err_msg=str(t))
        C = np.round(e.refit()[0])
        C[5] = C[2]


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_far_from_origin(make, squared, d):
    X, _C = blobs(4000, d, 8)
    X = (X + np.float32(1e4)).astype(np.float32)
    run(make, X, None, X[:8], squared, 5, tol=1e-5 if d < 10 else 3e-6)


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, bool])
def test_other_dtypes(make, squared, d, dtype):
    X, _ = blobs(3000, d, 6)
    X = (np.abs(X) * 9).astype(dtype) if dtype is not bool else X > 0
    C = blobs(3000, d, 6)[1]
    run(make, X, None, np.abs(C) * 9, squared, 4)


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_bits_do_not_depend_on_threads(make, squared, d):
    X, C = blobs(9001, d, 20)
    w = np.random.default_rng(0).random(len(X))
    got = []
    for threads in (1, 2, 5):
        e = make(X, w, len(C), n_threads=threads)
        c, out = C, []
        for _ in range(6):
            out.append(e.assign(c))
            c, loss = e.refit()
            out += [c.tobytes(), loss, e.labels.tobytes()]
        got.append(out)
    assert got[0] == got[1] == got[2]


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_integer_weights_equal_repetition(make, squared, d):
    X, C = blobs(600, d, 5)
    w = np.random.default_rng(0).integers(0, 5, len(X))
    a, b = make(X, w.astype(float), 5), make(np.repeat(X, w, axis=0), None, 5)
    c = C
    for _ in range(5):
        np.testing.assert_allclose(a.assign(c)[0], b.assign(c)[0], rtol=1e-9)
        c1, c2 = a.refit()[0], b.refit()[0]
        if squared:
            np.testing.assert_allclose(c1, c2, rtol=1e-9, atol=1e-9)
        else:
            np.testing.assert_array_equal(c1, c2)
        c = c1


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_move(make, squared, d):
    X, C = blobs(3000, d, 6)
    C[3] = 1e3
    e = make(X, None, 6)
    e.assign(C)
    before = e.labels.copy()
    rows = np.array([5, 17])
    e.move(rows, np.array([3, 3]))
    c, loss = e.refit()
    np.testing.assert_allclose(c[3], X[rows].astype(np.float64).mean(0), rtol=1e-6)
    own = pairwise(X, c, squared)[np.arange(len(X)), e.labels]
    np.testing.assert_allclose(loss, own.sum(), rtol=1e-6)
    for _t in range(4):
        c, before = check(e, X, None, c, squared, before, 1e-6)


@pytest.mark.parametrize("budget", [0, 4 * 4000 * 3, 4 * 4000 * 7])
def test_memory_budget(budget):
    X, C = blobs(4000, 40, 23, spread=3.0)
    run(Medians, X, None, C, False, 8, memory_budget=budget)


@pytest.mark.parametrize(("make", "squared", "d"), ENGINES)
def test_long_run_does_not_drift(make, squared, d):
    X, C = blobs(4000, d, 9)
    rng = np.random.default_rng(3)
    e, before = make(X, None, 9), None
    for t in range(40):
        C = X[rng.permutation(len(X))[:9]].astype(np.float64) if t % 5 < 3 else C
        C, before = check(e, X, None, C, squared, before, 1e-6)


def test_discrete_medians_of_large_clusters():
    rng = np.random.default_rng(0)
    X = (rng.integers(0, 9, size=(40000, 3)) / 8).astype(np.float32)
    run(Medians, X, None, X[:4], False, 5)
    run(Medians, X, rng.random(len(X)), X[:4], False, 5)
