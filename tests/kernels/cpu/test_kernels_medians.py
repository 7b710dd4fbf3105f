"""k-medians of many features: labels are those of float64 costs, whatever bounds say."""

import tracemalloc

import numpy as np
import pytest

from kmgpu import KMedians
from kmgpu.kernels.cpu.medians.engine import Medians
from tests.support.oracles import costs, labels_in_order, own_costs

ALGORITHMS = pytest.mark.parametrize("algorithm", ["auto", "dense", "elkan"])

KINDS = ["plain", "grid", "tight beside wide", "far from the reference", "outliers"]
KINDS += ["every magnitude", "1e44", "1e300", "1e-45", "1e-310"]


@pytest.fixture(autouse=True)
def center_groups(monkeypatch):
    """Bounds to groups of centres where they would not pay: test_kernels_low has the others."""
    name = "kmgpu.kernels.cpu.medians.engine.one_bound_pays"
    monkeypatch.setattr(name, lambda squared, n_clusters, n_features: n_features < 40)


def follow(X, C, leaps=(), **options):
    """Half-steps of which every label and loss is checked; `leaps` are centres put in between."""
    X.setflags(write=False)
    engine = Medians(X, None, len(C), **options)
    for centers in (None, None, None, *leaps, None, None):
        C = C if centers is None else centers
        loss, _ = engine.assign(C)
        np.testing.assert_array_equal(engine.labels, labels_in_order(X, C, "l1"))
        attained = own_costs(X, C, engine.labels, "l1")
        np.testing.assert_allclose(loss, attained.sum(), rtol=1e-9, atol=0)
        assert np.isfinite(engine.bounds.lower).all()
        C = engine.refit()[0]


def data(kind, d, n=400):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(n, d))
    rows = rng.choice([1, 30], (n, 1))
    return {
        "plain": X,
        "grid": np.round(X, 1),
        "tight beside wide": np.where(np.arange(n)[:, None] % 4, 8 * X, 4 + 1e-3 * X),
        "far from the reference": X + np.where(np.arange(n)[:, None] % 2, 1e7, 0),
        "1e44": 10 ** (44 + X / 2) * rows,
        "1e-45": 10 ** (-45 + X / 2) * rows,
        "1e-310": 10 ** (-310 + X / 2),
        "1e300": 10 ** (300 + X / 2),
        "outliers": np.where(np.arange(n)[:, None] < 2, 1e100, 1) * X,
        "every magnitude": X * 10 ** rng.uniform(-60, 60, (n, 1)),
        "opposite ends": np.c_[1.2e308 * (rng.integers(0, 2, n) * 2 - 1), X[:, 1:]],
    }[kind]


@pytest.mark.parametrize(
    ("algorithm", "d"), [("dense", 40), ("elkan", 40), ("elkan", 200), ("auto", 200)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_those_of_float64_costs(kind, d, algorithm):
    X = data(kind, d)
    k = 13
    # bounds of one group of centres, of each centre; of some groups
    budgets = {40: (24 * len(X), 1 << 24), 200: (44 * len(X),)}[d]
    for dtype in ("float64", "float32"):
        with np.errstate(over="ignore"):
            converted = X.astype(dtype)
        if np.isfinite(converted).all() and converted.any():
            start = converted[:k].astype(np.float64)
            for budget in budgets:
                follow(converted, start, algorithm=algorithm, memory_budget=budget)


@ALGORITHMS
def test_differences_that_overflow(algorithm):
    """Two groups of rows whose distance is no float64: labels are right while costs are finite."""
    X = data("opposite ends", 40)
    start = X[[int(np.argmax(X[:, 0])), int(np.argmin(X[:, 0]))]]
    engine = Medians(X, None, 2, algorithm=algorithm)
    for _ in range(3):
        engine.assign(start)
        np.testing.assert_array_equal(engine.labels, X[:, 0] < 0)
        start = engine.refit()[0]


@ALGORITHMS
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
def test_equal_centres_and_equal_costs_give_the_lowest(algorithm, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, size=(700, 40)).astype(dtype)
    C = X[:12].astype(np.float64)
    C = np.concatenate([C, C, C[:3]])
    follow(X, C, algorithm=algorithm)


@ALGORITHMS
def test_a_centre_that_float32_cannot_hold_comes_back(algorithm):
    X = data("plain", 40).astype(np.float32)
    C = X[:9].astype(np.float64)
    away, other = C.copy(), C.copy()
    away[3:] = 1e40
    other[:8] = -1e300
    follow(X, C, (away, C, other, C, away, C), algorithm=algorithm)


@ALGORITHMS
@pytest.mark.parametrize("step", [1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("scale", [1, 1e-44])
def test_centres_that_creep(algorithm, step, scale):
    """Movements below float32's resolution add up; costs of 1e-44 are few of its least numbers."""
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(600, 40)), 1) * scale
    X.setflags(write=False)
    C = X[:7].copy()
    engine = Medians(X, None, 7, algorithm=algorithm)
    for t in range(30):
        centers = C + step * scale * t * rng.normal(size=C.shape)
        engine.assign(centers)
        np.testing.assert_array_equal(engine.labels, labels_in_order(X, centers, "l1"))


@pytest.mark.parametrize("d", [40, 200])
def test_labels_are_what_predict_says_on_a_grid(d):
    X = np.round(np.random.default_rng(0).normal(size=(2000, d)), 1).astype(np.float32)
    model = KMedians(20, random_state=0).fit(X)
    found = labels_in_order(X, model.cluster_centers_, "l1")
    np.testing.assert_array_equal(model.labels_, found)


def test_a_loss_that_nearly_vanishes_is_summed_anew():
    X = np.random.default_rng(0).normal(size=(40, 40))
    weight = np.where(np.arange(40) == 39, 1e15, 1)
    engine = Medians(X, weight, 3)
    C = X[:3].copy()
    engine.assign(C)
    C[2] = X[39] + 1e-12
    engine._known = C.copy(), float(weight @ np.abs(X - C[engine.labels]).sum(axis=1))
    loss, _ = engine.assign(C)
    np.testing.assert_allclose(loss, weight @ costs(X, C, "l1").min(axis=1), rtol=1e-10)


def test_many_clusters_within_a_small_budget():
    """Counts of clusters for every range of rows (20,000 x 8 bytes each) would take the most."""
    X = np.random.default_rng(0).normal(size=(60_000, 2)).astype(np.float32)
    X.setflags(write=False)

    def fit(k):
        engine, C = Medians(X, None, k, memory_budget=1 << 20), X[:k].astype(np.float64)
        for _ in range(2):
            engine.assign(C)
            C = engine.refit()[0]

    fit(20)  # compiles
    tracemalloc.start()
    try:
        fit(20_000)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
