"""Brute-force float64 oracles for the high-dimensional L2 engine."""

import itertools
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from kmgpu.kernels.cpu.highdim.engine import HighDimensionalL2
from kmgpu.kernels.cpu.highdim.passes import Passes
from kmgpu.kernels.cpu.highdim.policy import Policy
from tests.support import oracles


@pytest.fixture(autouse=True, params=["screens", "stores", "both"])
def ways(monkeypatch, request):
    """Let small test data be screened, or have bounds stored, or now this, now that."""
    monkeypatch.setattr("kmgpu.kernels.cpu.highdim.policy.LEAST_DENSE", 0.0)
    product, screens = (0.0 if request.param == "screens" else np.inf), request.param != "stores"
    monkeypatch.setattr("kmgpu.kernels.cpu.highdim.policy.byte_product", lambda: product)
    if request.param == "screens":
        monkeypatch.setattr(Policy, "stores", lambda self: self._algorithm == "elkan")
    monkeypatch.setattr(Policy, "screens", lambda self: screens and self._algorithm == "auto")


def means(X, w, labels, previous):
    X = X.astype(np.float64)
    out = np.array(previous, np.float64)
    for j in range(len(out)):
        if w[labels == j].sum() > 0:
            out[j] = np.average(X[labels == j], axis=0, weights=w[labels == j])
    return out


def check_assign(engine, X, w, centers, before):
    loss, changed = engine.assign(centers)
    np.testing.assert_array_equal(engine.labels, oracles.labels_in_order(X, centers, "l2"))
    attained = oracles.own_costs(X, centers, engine.labels, "l2")
    np.testing.assert_allclose(loss, w @ attained, rtol=1e-6, atol=1e-12)
    assert changed == np.count_nonzero((engine.labels != before) & (w > 0))
    assert np.array_equal(engine.sizes, np.bincount(engine.labels[w > 0], minlength=len(centers)))
    return attained


def run(X, weight, init, iterations=14, **options):
    """Run Lloyd, checking each half-step; return everything it produced."""
    w = np.ones(len(X)) if weight is None else weight
    engine = HighDimensionalL2(X, weight, len(init), **options)
    centers = np.asarray(init, np.float64)
    spread = 4 * np.sqrt(
        np.square(X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)).sum(axis=1).max()
    )
    trace = []
    before = np.full(len(X), -1)
    for _ in range(iterations):
        attained = check_assign(engine, X, w, centers, before)
        np.testing.assert_allclose(engine.costs(), attained, rtol=1e-5, atol=1e-9 * spread**2)
        before = engine.labels.copy()
        expected = means(X, w, before, centers)
        centers, loss = engine.refit()
        np.testing.assert_allclose(centers, expected, rtol=1e-9, atol=1e-9 * (spread + 1e-30))
        own = oracles.own_costs(X, centers, before, "l2")
        np.testing.assert_allclose(loss, w @ own, rtol=1e-6, atol=1e-12)
        trace.append((before, centers, loss))
    return trace


def blobs(n, d, groups, seed=0, dtype=np.float32, offset=0.0, std=1.0):
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(groups, d)) * 2
    return (middles[rng.integers(groups, size=n)] + std * rng.normal(size=(n, d)) + offset).astype(
        dtype
    )


def spectral(n, d, seed=0, dtype=np.float32):
    """Rows whose variance decays along rotated axes, as that of embeddings does."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return ((rng.normal(size=(n, d)) / np.arange(1, d + 1) ** 0.7) @ rotation).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d", "k"), [(700, 3, 5), (1500, 40, 100), (400, 200, 17)])
def test_every_half_step_agrees_with_brute_force(n, d, k, weighted, dtype):
    X = blobs(n, d, 30, dtype=dtype)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, n) * rng.random(n) if weighted else None
    run(X, weight, X[rng.permutation(n)[:k]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_clusters_agree_with_brute_force(dtype):
    X = spectral(1500, 96, dtype=dtype)
    run(X, None, X[:150], iterations=10)


@pytest.mark.parametrize("offset", [1e4, -3e3])
def test_far_from_the_origin(offset):
    X = blobs(1200, 48, 20, offset=offset)
    run(X, None, X[:30])


@pytest.mark.parametrize("scale", [1e-12, 1e25])
def test_extreme_scales(scale):
    X = (blobs(600, 32, 10).astype(np.float64) * scale).astype(np.float32)
    run(X, None, X[:12], iterations=6)


@pytest.mark.parametrize(
    ("n", "d", "k"), [(1, 1, 1), (5, 1, 5), (40, 30, 40), (300, 3, 1), (50, 26, 2)]
)
def test_small_shapes(n, d, k):
    X = blobs(n, d, 3)
    run(X, None, X[:k], iterations=4)


def test_constant_rows_and_features():
    run(np.full((100, 30), 7.25, np.float32), None, np.full((4, 30), 7.25), iterations=3)
    X = blobs(300, 40, 6)
    X[:, ::2] = 3.0
    run(X, None, X[:9])


def test_ties_and_duplicate_centers_take_the_lowest_index():
    rng = np.random.default_rng(3)
    X = rng.integers(0, 3, (800, 25)).astype(np.float32)
    centers = rng.integers(0, 3, (37, 25)).astype(np.float64)
    centers[20:30] = centers[5:15]
    engine = HighDimensionalL2(X, None, 37)
    for shift in range(6):
        engine.assign(centers)
        assert np.array_equal(engine.labels, oracles.labels_in_order(X, centers, "l2"))
        centers[shift] = X[rng.integers(800)]


def test_arbitrary_centers_between_iterations():
    X = blobs(900, 40, 12)
    rng = np.random.default_rng(5)
    engine = HighDimensionalL2(X, None, 25)
    centers = X[:25].astype(np.float64)
    before = np.full(900, -1)
    for step in range(12):
        check_assign(engine, X, np.ones(900), centers, before)
        before = engine.labels.copy()
        centers, _ = engine.refit()
        if step % 3 == 1:
            centers[rng.integers(25)] = X[rng.integers(900)]
        if step == 8:
            centers = centers.astype(np.float32).astype(np.float64)
        if step == 10:
            centers = centers + 50.0


@pytest.mark.parametrize("algorithm", ["auto", "dense", "elkan"])
def test_labels_that_are_known_are_not_searched_for(monkeypatch, algorithm):
    """At the start and, with bounds of an earlier run at hand, at a restart."""
    X = blobs(700, 48, 9, seed=5)
    engine = HighDimensionalL2(X, None, 20, algorithm=algorithm)
    w = np.ones(len(X))
    before = np.full(len(X), -1)
    for first in (0, 300):
        centers = X[first : first + 20].astype(np.float64)
        known = oracles.labels_in_order(X, centers, "l2").astype(np.int32)
        with monkeypatch.context() as patch:
            for way in ("_dense", "_prune"):
                patch.setattr(Passes, way, None)
            loss, changed = engine.assign(centers, known)
        assert loss == pytest.approx(oracles.total(X, centers, "l2"), rel=1e-6)
        assert changed == np.count_nonzero(known != before)
        np.testing.assert_array_equal(engine.labels, known)
        for _ in range(6):
            before = engine.labels.copy()
            centers, _ = engine.refit()
            expected = means(X, w, before, centers)
            np.testing.assert_allclose(centers, expected, rtol=1e-9, atol=1e-9)
            check_assign(engine, X, w, centers, before)
        before = engine.labels.copy()


@pytest.mark.parametrize("pattern", [[False], [True, False], [False, False, True]])
def test_samples_that_tell_against_screening(monkeypatch, pattern):
    """The rows that a sample has labelled are labelled again, by whatever comes instead."""
    answers = itertools.cycle(pattern)
    monkeypatch.setattr(Policy, "sampled", lambda *_: next(answers))
    X = blobs(2500, 40, 9, seed=3)
    run(X, None, X[:30], iterations=8)


def test_screening_pauses_ever_longer_where_it_does_not_pay(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("kmgpu.kernels.cpu.highdim.policy.byte_product", lambda: 0.0)
    policy = Policy(500, 100, "auto")
    pauses = []
    for _ in range(3):
        assert policy.screens()
        assert policy.sampled(1.0)
        assert not policy.sampled(400.0)
        passes = 0
        while not policy.screens():
            policy.computed()
            passes += 1
        pauses.append(passes)
    assert pauses == [4, 16, 64]
    assert not Policy(500, 100, "dense").screens()
    assert not Policy(3, 40, "auto").screens()


@pytest.mark.parametrize(
    ("n_clusters", "n_features", "stores"),
    [(512, 128, False), (256, 384, False), (256, 768, True), (1000, 384, True)],
)
@pytest.mark.parametrize("instructions", [(), ("avx512f", "avx512vnni")])
def test_bounds_are_stored_where_a_dense_pass_is_dear(
    monkeypatch, n_clusters, n_features, stores, instructions
):
    """Elsewhere a screened pass costs less than reading bounds, whatever the processor."""
    monkeypatch.undo()
    known = dict.fromkeys(("avx2", *instructions), True)
    monkeypatch.setattr("kmgpu.kernels.cpu.highdim.policy._features", lambda: known)
    policy = Policy(n_clusters, n_features, "auto")
    assert policy.screens()
    policy.screened(0.5)
    for _ in range(3):
        assert not policy.stores()
    assert policy.stores() == stores


def test_move_is_seen_by_refit_and_by_the_next_assign():
    X = blobs(500, 30, 8)
    engine = HighDimensionalL2(X, None, 12)
    centers = X[:12].astype(np.float64)
    for _ in range(4):
        engine.assign(centers)
        centers, _ = engine.refit()
    before = engine.labels.copy()
    engine.move(np.array([3, 99, 450]), np.array([0, 5, 5]))
    assert list(engine.labels[[3, 99, 450]]) == [0, 5, 5]
    assert np.array_equal(engine.sizes, np.bincount(engine.labels, minlength=12))
    moved, _ = engine.refit()
    expected = means(X, np.ones(500), engine.labels, centers)
    np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-9)
    check_assign(engine, X, np.ones(500), moved, before)


def test_zero_weight_rows_change_nothing():
    X = blobs(600, 32, 9)
    weight = np.ones(600)
    weight[::3] = 0.0
    kept = run(X[weight > 0], None, X[:10])
    whole = run(X, weight, X[:10])
    for (labels_a, centers_a, loss_a), (labels_b, centers_b, loss_b) in zip(
        kept, whole, strict=True
    ):
        assert np.array_equal(labels_a, labels_b[weight > 0])
        np.testing.assert_allclose(centers_a, centers_b, rtol=1e-12)
        assert loss_a == pytest.approx(loss_b, rel=1e-9)


def test_bits_do_not_depend_on_threads():
    X = spectral(9000, 220)
    traces = [run(X, None, X[:60], iterations=5, n_threads=t) for t in (1, 2, 5)]
    for other in traces[1:]:
        for (labels, centers, loss), (labels_b, centers_b, loss_b) in zip(
            traces[0], other, strict=True
        ):
            assert np.array_equal(labels, labels_b)
            assert np.array_equal(centers, centers_b)
            assert loss == loss_b


def test_without_room_for_bounds_labels_are_the_same():
    X = blobs(800, 40, 12)
    for (labels, _, _), (labels_b, _, _) in zip(
        run(X, None, X[:20]), run(X, None, X[:20], memory_budget=0), strict=True
    ):
        assert np.array_equal(labels, labels_b)


@pytest.mark.parametrize("k", [70, 150])
def test_groups_of_centres_share_bounds_where_memory_is_short(k):
    X = blobs(900, 40, 60)
    room = {"memory_budget": 900 * (40 + 9 + 2 * 64), "algorithm": "elkan"}
    whole = run(X, None, X[:k])
    shared = run(X, None, X[:k], **room)
    for (labels, _, _), (labels_b, _, _) in zip(whole, shared, strict=True):
        assert np.array_equal(labels, labels_b)
    engine = HighDimensionalL2(X, None, k, **room)
    engine.assign(X[:k].astype(np.float64))
    assert engine.passes.stored_bounds.n_center_groups == 64


@pytest.mark.parametrize("algorithm", ["dense", "elkan"])
def test_bounds_are_kept_as_told(algorithm):
    X = blobs(900, 40, 12)
    run(X, None, X[:20], iterations=6, algorithm=algorithm)
    engine = HighDimensionalL2(X, None, 20, algorithm=algorithm)
    for _ in range(3):
        engine.assign(X[:20].astype(np.float64))
        assert (engine.passes.stored_bounds is not None) == (algorithm == "elkan")


def test_noise_that_does_not_prune():
    X = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    run(X, None, X[:64], iterations=20)


def test_read_only_input_is_left_alone_and_engines_overlap():
    X = blobs(2000, 50, 20)
    copy = X.copy()
    X.flags.writeable = False
    limits = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    errors = []

    def work():
        try:
            run(X, None, X[:25], iterations=4)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert np.array_equal(X, copy)
    assert limits == [
        pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
    ]


def test_near_zero_loss_is_summed_directly():
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(10, 30)) * 1e3
    X = (middles[rng.integers(10, size=500)] + 1e-4 * rng.normal(size=(500, 30))).astype(np.float64)
    run(X, None, middles, iterations=3)


def test_small_problems_run_without_bounds(monkeypatch):
    monkeypatch.undo()
    X = blobs(600, 32, 9)
    engine = HighDimensionalL2(X, None, 10)
    for _ in range(3):
        engine.assign(X[:10].astype(np.float64))
        assert engine.passes.stored_bounds is None
    run(X, None, X[:10], iterations=5)


@pytest.mark.parametrize("far", [1e8, 1e20, 1e120])
def test_bounds_of_equal_rows_survive_a_centre_that_leaps(far):
    X = np.zeros((300, 40))
    centers = np.zeros((70, 40))
    engine = HighDimensionalL2(X, None, 70, algorithm="elkan")
    engine.assign(centers)
    centers[3] = far
    engine.assign(centers)
    assert not engine.labels.any()
    centers[:] = far
    centers[5] = 1.0
    engine.assign(centers)
    assert (engine.labels == 5).all()


def check_bounds(engine, X, centers):
    """Bounds, if any, against distances in float64."""
    away = np.sqrt(oracles.costs(X, centers, "l2"))
    at = np.arange(len(X)), engine.labels
    own = away[at]
    away[at] = np.inf
    if engine.passes.row_bounds is not None:
        upper, lower = engine.passes.row_bounds
        assert (upper >= own * (1 - 1e-12)).all()
        assert (lower <= away.min(axis=1) * (1 + 1e-12)).all()
    if engine.passes.stored_bounds is None:
        return
    record = engine.passes.stored_bounds
    left = record.levels.astype(int) - record.paths[record.kinds]
    bounds = np.maximum(left, 0) * record.strides[record.kinds].astype(np.float64)[:, None]
    for j, distances in enumerate(away.T):
        assert (bounds[:, j % record.n_center_groups] <= distances * (1 + 1e-12)).all()


@pytest.mark.parametrize("algorithm", ["auto", "elkan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [70, 128, 200])
def test_no_bound_is_ever_wrong(k, dtype, algorithm):
    X = blobs(400, 40, 12, dtype=dtype)
    X[:100] *= np.float32(2) ** np.arange(-20, 30, 0.5, dtype=np.float32)[:, None]
    rng = np.random.default_rng(k)
    budget = len(X) * (120 + 2 * 128)
    engine = HighDimensionalL2(X, None, k, memory_budget=budget, algorithm=algorithm)
    centers = X[rng.integers(0, 400, k)].astype(np.float64)  # some of them equal
    for step in range(12):
        engine.assign(centers)
        check_bounds(engine, X, centers)
        at, centers = centers, engine.refit()[0]
        if step % 4 == 1:
            engine.move([5, 17], [1, 0])
            check_bounds(engine, X, at)
            centers = engine.refit()[0]
        if step % 4 == 2:
            centers += rng.normal(size=centers.shape) * 10.0 ** rng.integers(-4, 1)
        if step % 4 == 3:
            centers[rng.integers(k)] *= 1e3
