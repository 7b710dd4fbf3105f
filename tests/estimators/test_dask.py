"""Fits of Dask's arrays and frames: the in-memory fit's answer, lazily, also where workers die."""

import os
import pickle
import signal
import threading
import time

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from kmgpu import KMeans, KMedians

rng = np.random.default_rng(0)
X = (rng.normal(size=(2000, 4)) + 8 * rng.integers(0, 3, size=(2000, 1))).astype(np.float32)
WEIGHTS = rng.integers(0, 4, size=2000).astype(float)
INIT = X[[0, 500, 900, 1300, 1900]]
CHUNKS = ((300, 0, 700, 1000), 4)


@pytest.fixture(params=[KMeans, KMedians])
def estimator(request):
    return request.param(5, init=INIT, tol=0, max_iter=30)


@pytest.mark.parametrize("weights", [None, WEIGHTS, da.from_array(WEIGHTS, chunks=333)])
def test_the_answer_is_that_of_an_array_in_memory(estimator, weights):
    data = da.from_array(X, chunks=CHUNKS)
    with dask.config.set(scheduler="sync"):
        found = clone(estimator).fit(data, sample_weight=weights)
        memory = estimator.fit(X, sample_weight=None if weights is None else WEIGHTS)
        assert isinstance(found.labels_, da.Array)
        assert found.labels_.chunks == (CHUNKS[0],)
        np.testing.assert_array_equal(found.labels_, memory.labels_)
        np.testing.assert_allclose(found.cluster_centers_, memory.cluster_centers_, rtol=1e-6)
        assert found.inertia_ == pytest.approx(memory.inertia_, rel=1e-9)
        assert found.cluster_centers_.dtype == np.float32
        np.testing.assert_array_equal(found.predict(data), found.labels_)
        np.testing.assert_allclose(found.transform(data), memory.transform(X), rtol=1e-5)
        score = found.score(data, sample_weight=weights)
        assert score == pytest.approx(-found.inertia_, rel=1e-9)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict(X), memory.labels_)


def test_frames_have_names_and_unknown_lengths(estimator):
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abcd")), npartitions=3)
    with dask.config.set(scheduler="sync"):
        found = estimator.fit(frame)
        assert found.feature_names_in_.tolist() == list("abcd")
        np.testing.assert_array_equal(found.labels_, clone(estimator).fit(X).labels_)
        with pytest.raises(ValueError, match="feature names"):
            found.predict(frame[list("abdc")])


@pytest.mark.parametrize("seed", [0, 1])
def test_seeding_draws_the_same_rows_whatever_the_chunks(seed):
    with dask.config.set(scheduler="sync"):
        fits = [
            KMeans(5, init="k-means||", random_state=seed).fit(da.from_array(X, chunks=chunks))
            for chunks in (CHUNKS, (2000, 4))
        ]
    np.testing.assert_allclose(fits[0].cluster_centers_, fits[1].cluster_centers_, rtol=1e-5)


def test_nan_is_named_by_chunk_and_row(estimator):
    bad = X.copy()
    bad[1007, 2] = np.nan
    data = da.from_array(bad, chunks=CHUNKS)
    with dask.config.set(scheduler="sync"), pytest.raises(ValueError, match="row 7 of chunk 3"):
        estimator.fit(data)
    assert not hasattr(estimator, "labels_")


def kill(pid, after):
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)


def slowly(chunk):
    time.sleep(0.01)
    return chunk


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_that_is_killed_changes_no_bit(estimator):
    distributed = pytest.importorskip("distributed")
    data = da.from_array(X, chunks=(100, 4))
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        first = clone(estimator).fit(data)
        lazy = data.map_blocks(slowly, dtype=X.dtype, meta=X[:0])
        pid = next(iter(client.run(os.getpid).values()))
        killer = threading.Thread(target=kill, args=(pid, 0.5))
        killer.start()
        second = clone(estimator).fit(lazy)
        killer.join()
        assert pid not in client.run(os.getpid).values()
        np.testing.assert_array_equal(first.cluster_centers_, second.cluster_centers_)
        assert first.inertia_ == second.inertia_
        np.testing.assert_array_equal(second.labels_, estimator.fit(X).labels_)
