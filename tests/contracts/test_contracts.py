"""The numbered contracts of the design, one test or more each, on every backend they concern."""

import multiprocessing
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from inspect import signature
from itertools import pairwise

import numpy as np
import pytest
from joblib import Parallel, delayed
from threadpoolctl import threadpool_info

from kmgpu import KMeans, KMedians, kernels, lloyd, set_num_threads
from kmgpu.backend.threads import Workers
from tests.support import oracles

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
NAME = {KMeans: "l2", KMedians: "l1"}
X = oracles.blobs(200, 3, 5, seed=20, spread=2)
# few features, many, and more than engines of many take at a time; clusters overlap in all
WIDTHS = (3, 40, 200)
WIDE = {d: oracles.blobs(200, d, 5, seed=20, spread=2 * (d / 3) ** 0.5) for d in WIDTHS}
WITHOUT_KERNELS = ("strict", "torch")


def each_way(test):
    """Run a test for every number of features `d`, with kernels forced and forbidden.

    Where a backend has none, its many features are 40: they are told apart by nothing but time.
    """

    @wraps(test)
    def run(backend, **arguments):
        modes = ("fused", "reference") if backend.name == "numpy" else ("auto",)
        for d in WIDTHS[:2] if backend.name in WITHOUT_KERNELS else WIDTHS:
            for mode in modes:
                with kernels.use(mode):
                    test(backend=backend, d=d, **arguments)

    given = signature(test)
    shown = [one for one in given.parameters.values() if one.name != "d"]
    run.__signature__ = given.replace(parameters=shown)
    return run


def result(model):
    return model.cluster_centers_.tobytes(), model.labels_.tobytes(), model.inertia_, model.n_iter_


def fitted(seed=0, n=5000):
    return result(KMeans(20, random_state=seed).fit(oracles.blobs(n, 16, 30, seed=1)))


# ways to end, each with a dtype or more: which one ends a fit does not depend on the dtype
ENDS = {
    "labels": ({"tol": 0, "max_iter": 20}, ["float32", "float64", "uint8"]),
    "tol": ({"tol": 1.0}, ["float32"]),
    "max_iter": ({"max_iter": 1}, ["float64"]),
    "winner": ({"max_iter": 2, "n_init": 3, "init": "random"}, ["uint8"]),
    "relocated": ({"init": "relocated", "max_iter": 1}, ["float32", "uint8"]),
}


@BOTH
@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        pytest.param(options, dtype, id=f"{name}-{dtype}")
        for name, (options, dtypes) in ENDS.items()
        for dtype in dtypes
    ],
)
@each_way
def test_contract_01_centers_labels_inertia_and_predict_agree(
    backend, estimator, options, dtype, d
):
    x = (WIDE[d] * 9 + 120).clip(0, 255).astype(dtype)
    if options.get("init") == "relocated":
        options = options | {"init": np.concatenate([x[:4], np.full((2, d), 1e3)])}
    there = backend.asarray(x)
    model = estimator(6, random_state=0, **options).fit(there)
    labels, centers = backend.to_numpy(model.labels_), backend.to_numpy(model.cluster_centers_)
    np.testing.assert_array_equal(backend.to_numpy(model.predict(there)), labels)
    oracles.assert_nearest(labels, x, centers, NAME[estimator], 1e-5)
    attained = oracles.costs(x, centers, NAME[estimator])[np.arange(200), labels].sum()
    assert model.inertia_ == pytest.approx(attained, rel=1e-12)


def never_rises(history):
    return all(b.loss <= a.loss * (1 + 1e-6) for a, b in pairwise(history))


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_way
def test_contract_02_nor_where_groups_lie_far_apart(backend, estimator, dtype, d):
    x = np.concatenate([WIDE[d][:40], WIDE[d][:40] + 1e4]).astype(dtype)
    model = estimator(8, init=np.concatenate([x[:4], x[-4:]]), tol=0).fit(backend.asarray(x))
    assert model.converged_
    assert never_rises(model.history_)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@each_way
def test_contract_02_no_half_step_raises_the_loss(backend, estimator, dtype, weighted, d):
    weight = np.random.default_rng(0).random(200) if weighted else None
    start = np.concatenate([WIDE[d][:6], np.full((2, d), 50.0)])
    x = backend.asarray(WIDE[d].astype(dtype))
    model = estimator(8, init=start, tol=0, max_iter=4).fit(x, None, weight)
    assert len(model.history_) > 4
    assert model.n_relocated_ > 0
    assert never_rises(model.history_)


@each_way
def test_contract_03_ties_and_even_medians(backend, d):
    """Lowest index; midpoints; integer weights are repetition, to the bit for medians."""

    def wide(values):
        return np.repeat(np.array(values, np.float64)[:, None], d, axis=1)

    x, start = wide([0, 2, 4, 10, 13, 17]), wide([0, 10])
    for loss in ("l2", "l1"):
        first = list(lloyd(backend.asarray(x), wide([3, 1, 3]), loss))[1]
        np.testing.assert_array_equal(backend.to_numpy(first.labels), [1, 0, 0, 0, 0, 0])
    model = KMedians(2, init=start).fit(backend.asarray(x))
    np.testing.assert_array_equal(backend.to_numpy(model.cluster_centers_), wide([2, 13]))
    weight = np.array([1, 1, 2, 3, 2, 1])
    for estimator in (KMeans, KMedians):
        once = estimator(2, init=start, tol=0).fit(backend.asarray(x), None, weight)
        often = estimator(2, init=start, tol=0)
        often.fit(backend.asarray(np.repeat(x, weight, axis=0)))
        centers = [backend.to_numpy(model.cluster_centers_) for model in (once, often)]
        np.testing.assert_allclose(*centers, rtol=0 if estimator is KMedians else 1e-15)
    np.testing.assert_array_equal(centers[0], wide([3, 11.5]))


@pytest.mark.parametrize("loss", ["l2", "l1"])
@pytest.mark.parametrize("copies", [1, 7])
@each_way
def test_contract_03_duplicates_share_a_label_and_cost_in_proportion(backend, loss, copies, d):
    x = oracles.blobs(30, d, seed=30)
    *_, last = lloyd(backend.asarray(np.tile(x, (copies, 1))), x[:4], loss)
    labels = backend.to_numpy(last.labels).reshape(copies, -1)
    np.testing.assert_array_equal(labels, labels[:1].repeat(copies, axis=0))
    assert last.loss == pytest.approx(copies * oracles.lloyd(x, x[:4], loss)[2])


@BOTH
@each_way
def test_contract_04_empty_clusters(backend, estimator, d):
    x = WIDE[d]
    start = np.concatenate([x[:2], [[1e3] * d, [-1e3] * d]])
    model = estimator(4, init=start, max_iter=1).fit(backend.asarray(x))
    assert model.n_relocated_ == 2
    steps = list(lloyd(backend.asarray(x), start, NAME[estimator], max_iter=1))
    cost = oracles.costs(x, start, NAME[estimator]).min(axis=1)
    taken = np.isin(backend.to_numpy(steps[2].labels), [2, 3])
    np.testing.assert_array_equal(np.flatnonzero(taken), np.sort(np.argsort(cost)[-2:]))
    duplicated = backend.asarray(np.repeat(x[:2], 4, axis=0))
    with pytest.warns(match=r"distinct clusters \(2\)"):
        model = estimator(3, random_state=0).fit(duplicated)
    assert (model.inertia_, model.n_relocated_) == (0, 0)


@BOTH
@pytest.mark.parametrize("offset", [0, 1e4, -1e4])
@each_way
def test_contract_05_float32_far_from_the_origin(backend, estimator, offset, d):
    """The same path as float64 takes on the same numbers, to the last label."""
    x = (oracles.blobs(400, d, 6, seed=21, spread=1) + offset).astype(np.float32)
    start = x[:6].astype(np.float64)
    there = backend.asarray(x), backend.asarray(start)
    for step in lloyd(*there, NAME[estimator], max_iter=5):
        if step.kind == "assign" and step.stop is None:
            at = backend.to_numpy(step.centers)
            oracles.assert_nearest(backend.to_numpy(step.labels), x, at, NAME[estimator], 1e-6)
    centers, labels, loss = oracles.lloyd(x, start, NAME[estimator], max_iter=5)
    np.testing.assert_array_equal(backend.to_numpy(step.labels), labels)
    np.testing.assert_allclose(backend.to_numpy(step.centers), centers, rtol=1e-7)
    brute = oracles.total(x, backend.to_numpy(step.centers), NAME[estimator])
    assert step.loss == pytest.approx(brute, rel=1e-12)
    assert step.loss == pytest.approx(loss, rel=1e-5)


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "uint8", "int8", "int16", "int64", "bool"])
@each_way
@pytest.mark.never(backend="strict", dtype="float16")
def test_contract_05_every_dtype_gets_the_labels_of_float64(backend, estimator, dtype, d):
    pixels = np.random.default_rng(3).integers(-120, 120, size=(300, d))
    x = (pixels > 0 if dtype == "bool" else pixels + 120 * (dtype == "uint8")).astype(dtype)
    rtol = 1e-6 if dtype == "float16" else 1e-12
    start = np.random.default_rng(4).uniform(x.min(), x.max(), size=(4, d))
    for step in lloyd(backend.asarray(x), backend.asarray(start), NAME[estimator], max_iter=2):
        if step.kind == "assign":
            labels, at = backend.to_numpy(step.labels), backend.to_numpy(step.centers)
            oracles.assert_nearest(labels, x, at, NAME[estimator], rtol)
            assert step.loss == pytest.approx(oracles.total(x, at, NAME[estimator]), rel=1e-6)


@BOTH
@each_way
def test_contract_05_zero_weight_is_absence(backend, estimator, d):
    weight = np.random.default_rng(1).integers(0, 3, size=200).astype(float)
    x, start = WIDE[d], WIDE[d][:5] + 0.1
    options = {"init": start, "tol": 0, "max_iter": 3}
    all_rows = estimator(5, **options).fit(backend.asarray(x), sample_weight=weight)
    present = estimator(5, **options)
    present.fit(backend.asarray(x[weight > 0]), sample_weight=weight[weight > 0])
    assert all_rows.inertia_ == pytest.approx(present.inertia_, rel=1e-14)
    assert all_rows.n_iter_ == present.n_iter_
    np.testing.assert_allclose(
        backend.to_numpy(all_rows.cluster_centers_),
        backend.to_numpy(present.cluster_centers_),
        rtol=1e-14,
        atol=1e-14,
    )


@BOTH
@each_way
def test_contract_06_the_same_bits_every_time(backend, estimator, d):
    x = backend.asarray(WIDE[d].astype(np.float32))
    first, second = (estimator(9, random_state=7, n_init=2, max_iter=2).fit(x) for _ in range(2))
    for name in ("cluster_centers_", "labels_"):
        bits = [backend.to_numpy(getattr(model, name)).tobytes() for model in (first, second)]
        assert bits[0] == bits[1]
    assert first.history_ == second.history_


@BOTH
@pytest.mark.parametrize("d", WIDTHS)
@pytest.mark.parametrize("mode", ["fused", "reference"])
def test_contract_06_the_number_of_threads_changes_no_bit(estimator, d, mode):
    x = oracles.blobs(4000 if d < 200 else 800, d, 30, seed=1).astype(np.float32)
    bits = []
    try:
        for n_threads in (1, 2, 3):
            set_num_threads(n_threads)
            assert Workers().n_threads == n_threads, "the number reaches the kernels' threads"
            with kernels.use(mode):
                bits.append(result(estimator(30, random_state=0, max_iter=3).fit(x)))
    finally:
        set_num_threads(None)
    assert bits[0] == bits[1] == bits[2]


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_way
def test_contract_06_a_seed_picks_the_same_rows_on_every_backend(backend, estimator, dtype, d):
    x = WIDE[d].astype(dtype)
    ours = estimator(6, random_state=5, max_iter=5).fit(backend.asarray(x))
    with kernels.use("auto"):
        host = estimator(6, random_state=5, max_iter=5).fit(x)
    assert ours.history_[0].loss == pytest.approx(host.history_[0].loss, rel=1e-12)
    assert ours.inertia_ == pytest.approx(host.inertia_, rel=1e-9)
    np.testing.assert_array_equal(backend.to_numpy(ours.labels_), host.labels_)


@BOTH
def test_contract_10_errors_name_argument_value_and_remedy(backend, estimator):
    message = "n_samples=200 should be >= n_clusters=201"
    with pytest.raises(ValueError, match=re.escape(message)):
        estimator(201).fit(backend.asarray(X))
    bad = X.copy()
    bad[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN: first at row 4, column 2. Drop such"):
        estimator(2).fit(backend.asarray(bad))


def test_contract_11_global_state_is_untouched():
    np.random.random()  # noqa: NPY002 (a state that no seed sets)
    state, limits = np.random.get_state(), threadpool_info()  # noqa: NPY002
    for estimator in (KMeans, KMedians):
        estimator(3).fit(X)
        estimator(3, random_state=0, init="random").fit(X)
    after = np.random.get_state()  # noqa: NPY002
    assert after[2:] == state[2:]
    np.testing.assert_array_equal(after[1], state[1])
    after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert {pool["filepath"]: pool["num_threads"] for pool in limits}.items() <= after.items()


@pytest.mark.slow
def test_contract_11_threads_and_joblib():
    seeds = [0, 1, 2, 3]
    expected = [fitted(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fitted, seeds)) == expected
    assert Parallel(n_jobs=2)(delayed(fitted)(seed) for seed in seeds) == expected


FORK = f"""
import multiprocessing
from {__name__} import fitted
if __name__ == "__main__":
    expected = fitted()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(fitted, [0, 0]) == [expected] * 2
"""


@pytest.mark.slow
@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)
def test_contract_11_after_fork(request):
    root = request.config.rootpath
    subprocess.run([sys.executable, "-c", FORK], cwd=root, check=True, timeout=120)
