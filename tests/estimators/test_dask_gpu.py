"""Dask arrays whose chunks are computed on a GPU: CuPy's, and NumPy's that are sent there."""

import dask
import dask.array as da
import numpy as np
import pytest

from kmgpu import KMeans, KMedians

rng = np.random.default_rng(0)
X = (rng.normal(size=(1500, 4)) + 8 * rng.integers(0, 3, size=(1500, 1))).astype(np.float32)
WEIGHTS = rng.integers(0, 4, size=1500).astype(float)
CHUNKS = ((300, 0, 500, 700), 4)


@pytest.fixture(params=[KMeans, KMedians])
def estimator(request):
    return request.param(5, init=X[[0, 500, 900, 1300, 1400]], tol=0, max_iter=6)


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
def test_chunks_of_cupy_are_computed_where_they_are(estimator, weights, cupy):
    import cupy as cp

    memory = estimator.fit(X, sample_weight=weights)
    expected = memory.cluster_centers_, memory.labels_, memory.inertia_, memory.transform(X)
    host = da.from_array(X, chunks=CHUNKS)
    data = host.map_blocks(cp.asarray, meta=cp.empty((0, 4), cp.float32))
    found = estimator.fit(data, sample_weight=weights)
    assert found.device_ == "cuda:0"
    assert isinstance(found.cluster_centers_, cp.ndarray)
    assert isinstance(found.inertia_, float)
    for lazy in (found.labels_, found.predict(data), found.transform(data)):
        assert isinstance(lazy._meta, cp.ndarray)
        assert isinstance(lazy.compute(), cp.ndarray)
    centers, labels, inertia, distances = expected
    np.testing.assert_allclose(found.cluster_centers_.get(), centers, rtol=1e-6)
    np.testing.assert_array_equal(found.labels_.compute().get(), labels)
    np.testing.assert_allclose(found.transform(data).compute().get(), distances, rtol=1e-5)
    assert found.inertia_ == pytest.approx(inertia, rel=1e-9)
    score = found.score(data, sample_weight=weights)
    assert score == pytest.approx(-inertia, rel=1e-9)
    # a model of a cluster of GPUs, on a machine of which X is on the host
    np.testing.assert_array_equal(found.predict(X), labels)


def test_chunks_of_the_host_are_sent_to_the_gpu(estimator, cupy):
    memory = estimator.fit(X).labels_
    found = estimator.set_params(device="cuda").fit(da.from_array(X, chunks=CHUNKS))
    assert found.device_ == "cuda:0"
    assert isinstance(found.cluster_centers_, np.ndarray)
    np.testing.assert_array_equal(found.labels_.compute(), memory)


def test_weights_may_be_on_the_gpu_too(estimator, cupy):
    import cupy as cp

    weights = da.from_array(cp.asarray(WEIGHTS), chunks=500)
    data = da.from_array(cp.asarray(X), chunks=(500, 4))
    counts = estimator.fit(data, sample_weight=weights).counts_
    np.testing.assert_array_equal(counts.get(), estimator.fit(X, sample_weight=WEIGHTS).counts_)
