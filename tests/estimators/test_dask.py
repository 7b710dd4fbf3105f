"""Fits of Dask's arrays and frames: the in-memory fit's answer, lazily, in its own chunks."""

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from kmgpu import KMeans, KMedians, load_model, save_model
from kmgpu.algorithm import restarts

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
        weights = dd.from_pandas(pd.Series(WEIGHTS), npartitions=3)
        found = clone(estimator).fit(frame, sample_weight=weights)
        memory = clone(estimator).fit(X, sample_weight=WEIGHTS)
        np.testing.assert_array_equal(found.counts_, memory.counts_)


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


def test_nan_in_what_is_lazy_is_named_by_chunk_and_row(estimator):
    bad = da.from_array(np.where(np.arange(2000)[:, None] == 1007, np.nan, X), chunks=CHUNKS)
    with dask.config.set(scheduler="sync"):
        estimator.fit(X)
        for lazy in (estimator.predict(bad), estimator.transform(bad)):
            with pytest.raises(ValueError, match=r"chunk 3 of X contains NaN: first at row 7"):
                lazy.compute()
        with pytest.raises(ValueError, match=r"NaN: first at row 7 of chunk 3 \(row 1007"):
            estimator.score(bad)


@pytest.mark.parametrize("weights", [None, WEIGHTS, da.from_array(WEIGHTS * 0.5, chunks=333)])
def test_counts_are_weights_of_clusters(estimator, weights):
    with dask.config.set(scheduler="sync"):
        found = estimator.fit(da.from_array(X, chunks=CHUNKS), sample_weight=weights)
        expected = np.bincount(
            found.labels_.compute(), None if weights is None else np.asarray(weights)
        )
    np.testing.assert_array_equal(found.counts_, expected)
    assert found.device_ == "cpu"


def test_pickles_and_copies_hold_no_data(estimator, tmp_path):
    with dask.config.set(scheduler="sync"):
        found = estimator.fit(da.from_array(X, chunks=CHUNKS))
    text = pickle.dumps(found)
    assert len(text) < 8000 < X.nbytes
    assert b"dask" not in text
    again = pickle.loads(text)
    assert not hasattr(again, "labels_")
    np.testing.assert_array_equal(again.predict(X), found.predict(X))
    assert again.get_params().keys() == KMeans().get_params().keys()
    with pytest.raises(ValueError, match="has no labels_: leave labels out, or"):
        save_model(again, tmp_path / "m.npz", labels=True)
    with dask.config.set(scheduler="sync"):
        save_model(found, tmp_path / "m.npz", labels=True)
    np.testing.assert_array_equal(load_model(tmp_path / "m.npz").labels_, again.predict(X))
    save_model(again, tmp_path / "m.npz")
    assert not hasattr(load_model(tmp_path / "m.npz"), "labels_")


def test_short_tasks_are_remarked_upon(estimator, capsys):
    with dask.config.set(scheduler="sync"):
        estimator.set_params(verbose=1, max_iter=1).fit(da.from_array(X, chunks=(1000, 4)))
        assert "An iteration is 3 tasks of about" in capsys.readouterr().out
        estimator.fit(da.from_array(X, chunks=-1))
        assert "tasks" not in capsys.readouterr().out


def test_a_fit_that_ended_early_goes_on_from_its_checkpoint(estimator, tmp_path, monkeypatch):
    monkeypatch.setattr(restarts, "EVERY", 1)
    estimator.set_params(init=X[:5], random_state=0, checkpoint=tmp_path / "c")
    looks = []

    def fading(chunk, most):
        looks.append(len(chunk))
        if len(looks) > most:
            raise ConnectionError
        return chunk

    def lazy(most):
        data = da.from_array(X, chunks=(500, 4))
        return data.map_blocks(fading, most, dtype=X.dtype, meta=X[:0])

    with dask.config.set(scheduler="sync"):
        whole = estimator.fit(lazy(10**6), sample_weight=WEIGHTS)
        expected = whole.cluster_centers_.tobytes(), whole.inertia_, whole.history_
        n_looks = len(looks)
        looks.clear()
        with pytest.raises(ConnectionError):
            estimator.fit(lazy(n_looks * 3 // 4), sample_weight=WEIGHTS)
        assert (tmp_path / "c").exists()
        looks.clear()
        again = estimator.fit(lazy(10**6), sample_weight=WEIGHTS)
    assert (again.cluster_centers_.tobytes(), again.inertia_, again.history_) == expected
    assert len(looks) < n_looks
