"""The numbered contracts of the design, one test or more each, on every backend they concern."""

import multiprocessing
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from joblib import Parallel, delayed
from threadpoolctl import threadpool_info

import kmgpu
from kmgpu import KMeans, KMedians, lloyd
from tests import oracles

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
NAME = {KMeans: "l2", KMedians: "l1"}
X = oracles.blobs(200, 3, 5, seed=20, spread=2)


def result(model):
    return model.cluster_centers_.tobytes(), model.labels_.tobytes(), model.inertia_, model.n_iter_


def fitted(seed=0, n=5000):
    return result(KMeans(20, random_state=seed).fit(oracles.blobs(n, 16, 30, seed=1)))


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(
    "options",
    [
        {"tol": 0},
        {"tol": 1.0},
        {"max_iter": 1},
        {"max_iter": 2, "n_init": 3, "init": "random"},
        {"init": np.concatenate([X[:4], np.full((2, 3), 99.0)]) * 9 + 120, "max_iter": 1},
    ],
    ids=["labels", "tol", "max_iter", "winner", "relocated"],
)
def test_contract_01_centers_labels_inertia_and_predict_agree(backend, estimator, options, dtype):
    x = (X * 9 + 120).clip(0, 255).astype(dtype)
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
def test_contract_02_nor_where_groups_lie_far_apart(backend, estimator, dtype):
    x = np.concatenate([X, X + 1e4]).astype(dtype)
    model = estimator(8, init=np.concatenate([x[:4], x[-4:]]), tol=0).fit(backend.asarray(x))
    assert model.converged_
    assert never_rises(model.history_)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_contract_02_no_half_step_raises_the_loss(backend, estimator, dtype, weighted):
    weight = np.random.default_rng(0).random(200) if weighted else None
    start = np.concatenate([X[:6], np.full((2, 3), 50.0)])
    model = estimator(8, init=start, tol=0).fit(backend.asarray(X.astype(dtype)), None, weight)
    assert len(model.history_) > 4
    assert model.n_relocated_ > 0
    assert never_rises(model.history_)


def test_contract_03_ties_and_even_medians(backend):
    """Lowest index; midpoints; integer weights are repetition, to the bit for medians."""
    x = np.array([[0.0], [2], [4], [10], [13], [17]])
    for loss in ("l2", "l1"):
        first = list(lloyd(backend.asarray(x), np.array([[3.0], [1], [3]]), loss))[1]
        np.testing.assert_array_equal(backend.to_numpy(first.labels), [1, 0, 0, 0, 0, 0])
    model = KMedians(2, init=[[0.0], [10]]).fit(backend.asarray(x))
    np.testing.assert_array_equal(backend.to_numpy(model.cluster_centers_), [[2], [13]])
    weight = np.array([1, 1, 2, 3, 2, 1])
    for estimator in (KMeans, KMedians):
        once = estimator(2, init=[[0.0], [10]], tol=0).fit(backend.asarray(x), None, weight)
        often = estimator(2, init=[[0.0], [10]], tol=0)
        often.fit(backend.asarray(np.repeat(x, weight, axis=0)))
        centers = [backend.to_numpy(model.cluster_centers_) for model in (once, often)]
        np.testing.assert_allclose(*centers, rtol=0 if estimator is KMedians else 1e-15)
    np.testing.assert_array_equal(centers[0], [[3], [11.5]])


@BOTH
def test_contract_04_empty_clusters(backend, estimator):
    start = np.concatenate([X[:2], [[1e3] * 3, [-1e3] * 3]])
    model = estimator(4, init=start, max_iter=1).fit(backend.asarray(X))
    assert model.n_relocated_ == 2
    steps = list(lloyd(backend.asarray(X), start, NAME[estimator], max_iter=1))
    cost = oracles.costs(X, start, NAME[estimator]).min(axis=1)
    taken = np.isin(backend.to_numpy(steps[2].labels), [2, 3])
    np.testing.assert_array_equal(np.flatnonzero(taken), np.sort(np.argsort(cost)[-2:]))
    duplicated = backend.asarray(np.repeat(X[:2], 4, axis=0))
    with pytest.warns(match=r"distinct clusters \(2\)"):
        model = estimator(3, random_state=0).fit(duplicated)
    assert (model.inertia_, model.n_relocated_) == (0, 0)


@BOTH
@pytest.mark.parametrize("offset", [0, 1e4, -1e4])
def test_contract_05_float32_far_from_the_origin(backend, estimator, offset):
    """The same path as float64 takes on the same numbers, to the last label."""
    x = (oracles.blobs(400, 4, 6, seed=21, spread=1) + offset).astype(np.float32)
    start = x[:6].astype(np.float64)
    for step in lloyd(backend.asarray(x), backend.asarray(start), NAME[estimator]):
        if step.kind == "assign" and step.stop is None:
            at = backend.to_numpy(step.centers)
            oracles.assert_nearest(backend.to_numpy(step.labels), x, at, NAME[estimator], 1e-6)
    centers, labels, loss = oracles.lloyd(x, start, NAME[estimator])
    np.testing.assert_array_equal(backend.to_numpy(step.labels), labels)
    np.testing.assert_allclose(backend.to_numpy(step.centers), centers, rtol=1e-7)
    brute = oracles.total(x, backend.to_numpy(step.centers), NAME[estimator])
    assert step.loss == pytest.approx(brute, rel=1e-12)
    assert step.loss == pytest.approx(loss, rel=1e-5)


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "uint8", "int8", "int16", "int64", "bool"])
def test_contract_05_every_dtype_gets_the_labels_of_float64(backend, estimator, dtype):
    if dtype == "float16" and backend.name == "strict":
        pytest.skip("the standard has no float16")
    pixels = np.random.default_rng(3).integers(-120, 120, size=(300, 5))
    x = (pixels > 0 if dtype == "bool" else pixels + 120 * (dtype == "uint8")).astype(dtype)
    rtol = 1e-6 if dtype == "float16" else 1e-12
    start = np.random.default_rng(4).uniform(x.min(), x.max(), size=(4, 5))
    for step in lloyd(backend.asarray(x), backend.asarray(start), NAME[estimator], max_iter=9):
        if step.kind == "assign":
            labels, at = backend.to_numpy(step.labels), backend.to_numpy(step.centers)
            oracles.assert_nearest(labels, x, at, NAME[estimator], rtol)
            assert step.loss == pytest.approx(oracles.total(x, at, NAME[estimator]), rel=1e-6)


@BOTH
def test_contract_05_zero_weight_is_absence(backend, estimator):
    weight = np.random.default_rng(1).integers(0, 3, size=200).astype(float)
    start = X[:5] + 0.1
    all_rows = estimator(5, init=start, tol=0).fit(backend.asarray(X), sample_weight=weight)
    present = estimator(5, init=start, tol=0)
    present.fit(backend.asarray(X[weight > 0]), sample_weight=weight[weight > 0])
    assert all_rows.inertia_ == pytest.approx(present.inertia_, rel=1e-14)
    assert all_rows.n_iter_ == present.n_iter_
    np.testing.assert_allclose(
        backend.to_numpy(all_rows.cluster_centers_),
        backend.to_numpy(present.cluster_centers_),
        rtol=1e-14,
        atol=1e-14,
    )


@BOTH
def test_contract_06_the_same_bits_every_time(backend, estimator):
    x = backend.asarray(X.astype(np.float32))
    first, second = (estimator(9, random_state=7, n_init=2).fit(x) for _ in range(2))
    for name in ("cluster_centers_", "labels_"):
        bits = [backend.to_numpy(getattr(model, name)).tobytes() for model in (first, second)]
        assert bits[0] == bits[1]
    assert first.history_ == second.history_


@BOTH
def test_contract_06_the_number_of_threads_changes_no_bit(estimator):
    x = oracles.blobs(4000, 40, 30, seed=1).astype(np.float32)
    bits = []
    for n_threads in (1, 2, 3):
        kmgpu.set_num_threads(n_threads)
        try:
            bits.append(result(estimator(30, random_state=0, max_iter=5).fit(x)))
        finally:
            kmgpu.set_num_threads(None)
    assert bits[0] == bits[1] == bits[2]


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_contract_06_a_seed_picks_the_same_rows_on_every_backend(backend, estimator, dtype):
    x = X.astype(dtype)
    ours = estimator(6, random_state=5).fit(backend.asarray(x))
    host = estimator(6, random_state=5).fit(x)
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


def test_contract_11_threads_and_joblib():
    seeds = [0, 1, 2, 3]
    expected = [fitted(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fitted, seeds)) == expected
    assert Parallel(n_jobs=2)(delayed(fitted)(seed) for seed in seeds) == expected


FORK = """
import multiprocessing
from tests.test_contracts import fitted
if __name__ == "__main__":
    expected = fitted()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(fitted, [0, 0]) == [expected] * 2
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)
def test_contract_11_after_fork(request):
    root = request.config.rootpath
    subprocess.run([sys.executable, "-c", FORK], cwd=root, check=True, timeout=120)
