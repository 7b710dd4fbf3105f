"""Rows on the host that are streamed to a GPU: the fit of the host."""

import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.streaming import door, steps

X = (np.random.default_rng(0).normal(size=(3000, 6)) * 9).astype(np.float32)


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
@pytest.mark.parametrize("weight", [None, np.arange(3000) % 4], ids=["", "weights"])
def test_an_array_larger_than_the_gpu_is_streamed_to_it(estimator, weight, cupy, monkeypatch):
    free = X.nbytes // 4
    monkeypatch.setattr(door, "free_bytes", lambda place: free)
    monkeypatch.setattr(door, "LEAST_PIECE", 1 << 12)
    held = estimator(4, init=X[:4], max_iter=6, tol=0).fit(X, sample_weight=weight)
    read = estimator(4, init=X[:4], max_iter=6, tol=0, device="cuda")
    read.fit(X, sample_weight=weight)
    assert read.device_ == "cuda:0"
    assert isinstance(read.labels_, np.ndarray)
    np.testing.assert_array_equal(read.labels_, held.labels_)
    np.testing.assert_allclose(read.cluster_centers_, held.cluster_centers_, rtol=1e-6)
    assert read.inertia_ == pytest.approx(held.inertia_, rel=1e-9)
    np.testing.assert_array_equal(read.predict(X), read.labels_)


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
def test_with_a_quarter_of_the_memory_that_x_takes(estimator, cupy, counted, monkeypatch):
    """Rows are copied to the GPU once a pass, in few copies, and nothing of n rows comes back."""
    x = np.random.default_rng(1).normal(size=(5_000, 32)).astype(np.float32)
    monkeypatch.setattr(door, "LEAST_PIECE", 1 << 14)
    monkeypatch.setattr(steps, "MOST_ON_GPU", 4)  # fewer edges need less memory a row
    options = {"init": x[:4], "max_iter": 2, "tol": 0}
    held = estimator(4, **options).fit(x)
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    limit = pool.get_limit()
    pool.set_limit(size=pool.used_bytes() + x.nbytes // 4)
    try:
        read = estimator(4, device="cuda", **options)
        read.fit(x)
        with counted() as cost:
            labels = read.predict(x)
    finally:
        pool.set_limit(size=limit)
    np.testing.assert_array_equal(read.labels_, held.labels_)
    np.testing.assert_array_equal(labels, held.labels_)
    assert read.inertia_ == pytest.approx(held.inertia_, rel=1e-9)
    blocks = -(-x.nbytes // door.LEAST_PIECE)
    # of a block its rows and the centres go there; its labels and a check of NaN come back
    assert cost.host_to_device_copies <= 4 * blocks
    assert cost.device_to_host_copies <= 3 * blocks
