"""Fits by a `distributed.Client`: the same bits whoever computes, and nothing of it left behind."""

import os
import pickle
import signal
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.sources.chunks import KEPT

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("default")

rng = np.random.default_rng(0)
X = (rng.normal(size=(2000, 4)) + 8 * rng.integers(0, 3, size=(2000, 1))).astype(np.float32)
INIT = X[[0, 500, 900, 1300, 1900]]
CALLS = 45  # of a worker: after the first passes, before the last


def estimators():
    return [cls(5, init=INIT, tol=0, max_iter=30) for cls in (KMeans, KMedians)]


def opened(**options):
    cluster = distributed.LocalCluster(dashboard_address=":0", **options)
    return cluster, distributed.Client(cluster)


@pytest.fixture(scope="module")
def client():
    """Two workers that are threads of this process: quick to start."""
    cluster, client = opened(n_workers=2, threads_per_worker=1, processes=False)
    with cluster, client:
        yield client


@pytest.fixture(scope="module")
def processes():
    """Two workers that are processes."""
    cluster, client = opened(n_workers=2, threads_per_worker=1)
    with cluster, client:
        yield client


def until(true):
    """Wait for what schedulers and workers tell each other."""
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert true()


@pytest.mark.slow
@pytest.mark.parametrize("estimator", estimators())
def test_the_same_bits_whoever_computes(client, estimator):
    data = da.from_array(X, chunks=(170, 4))
    bits = []
    for options in ({}, {"scheduler": "sync"}, {"scheduler": "threads", "num_workers": 5}):
        with dask.config.set(options):
            fit = estimator.fit(data)
        bits.append((fit.cluster_centers_.tobytes(), fit.inertia_, fit.history_))
    assert bits[0] == bits[1] == bits[2]


def test_nothing_is_left_behind(client):
    data = da.from_array(X, chunks=(200, 4)).persist()
    weights = np.arange(2000.0)
    scheduler, before = client.cluster.scheduler, set(KEPT._kept)
    model = KMedians(5, init=INIT).fit(data, sample_weight=weights)
    assert model.score(data, sample_weight=weights) < 0
    until(lambda: len(scheduler.tasks) == 10)  # the chunks that the user keeps
    assert set(KEPT._kept) <= before
    del data, model
    until(lambda: not scheduler.tasks)


def test_an_error_of_the_data_comes_back_as_it_is(client):
    bad = X.copy()
    bad[1007, 2] = np.nan
    data = da.from_array(bad, chunks=(100, 4))
    with pytest.raises(ValueError, match=r"row 7 of chunk 10 \(row 1007 of all\), column 2"):
        KMeans(5).fit(data)
    narrow = da.from_array(X, chunks=(100, 4)).map_blocks(lambda x: x[:, :2], dtype=X.dtype)
    with pytest.raises(ValueError, match=r"chunk \d+ of X has shape \(100, 2\), but X"):
        KMeans(5).fit(narrow)
    until(lambda: not client.cluster.scheduler.tasks)


def test_a_model_outlives_the_client():
    cluster, client = opened(n_workers=1, threads_per_worker=1, processes=False)
    with cluster, client:
        data = da.from_array(X, chunks=(500, 4)).persist()
        model = KMeans(5, init=INIT).fit(data)
        labels = model.labels_.compute()
    np.testing.assert_array_equal(model.predict(X), labels)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), labels)
    with (
        dask.config.set(scheduler="sync"),
        pytest.raises(RuntimeError, match=r"distributed\.Client that is closed"),
    ):
        model.fit(data)
    assert model.labels_ is not None


def dying(chunk, flag):
    """Its worker is killed in the middle of a fit, once."""
    worker = distributed.get_worker()
    worker.calls = getattr(worker, "calls", 0) + 1
    if worker.calls > CALLS and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk


def n_kept():
    return len(KEPT._kept)


def forget_calls(dask_worker):
    dask_worker.calls = 0


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_no_bit(processes, tmp_path: Path):
    """Of medians, which pass over the rows most often."""
    estimator = KMedians(5, init=INIT, tol=0, max_iter=30)
    data = da.from_array(X, chunks=(100, 4))
    first = estimator.fit(data)
    bits = first.cluster_centers_.tobytes(), first.inertia_, first.history_
    flag = tmp_path / "killed"
    processes.run(forget_calls)
    pids = set(processes.run(os.getpid).values())
    mortal = data.map_blocks(dying, flag, dtype=X.dtype, meta=X[:0])
    second = estimator.fit(mortal)
    assert flag.exists()
    assert bits == (second.cluster_centers_.tobytes(), second.inertia_, second.history_)
    assert not any(processes.run(n_kept).values())  # closed sources leave nothing on workers
    labels = second.labels_.compute()
    processes.wait_for_workers(2)
    assert pids != set(processes.run(os.getpid).values())
    memory = estimator.fit(X)
    np.testing.assert_array_equal(labels, memory.labels_)
    assert bits[1] == pytest.approx(memory.inertia_, rel=1e-9)
