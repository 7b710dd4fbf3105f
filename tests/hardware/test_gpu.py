"""What only a GPU proves. On cupy-on-cpu the same tests run at small sizes, to be known to run."""

import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.kernel_times import recorded
from kmgpu import KMeans, KMedians
from kmgpu.backend import upload
from kmgpu.backend.arrays import place_of
from tests.support import oracles

pytestmark = pytest.mark.usefixtures("cupy")
BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
LOSS = {KMeans: "l2", KMedians: "l1"}
LARGE = {"rows": 200_000, "clusters": 60, "elements": 2**31 + 2**20, "delay": 200_000}
SMALL = {"rows": 400, "clusters": 9, "elements": 2**12, "delay": 50}
# a quarter of the rows is many times what the simulated design leaves open
MOST_OPEN = 0.25


@pytest.fixture
def size(request, backend):
    """Large on a GPU, small on an emulation."""
    emulated = "cupy-on-cpu" in request.node.name
    return SimpleNamespace(**(SMALL if emulated else LARGE))


def check(backend, x, model, loss, n=400):
    """Labels of rows spread over the data are float64's, and those of `predict` are the same."""
    rows = np.linspace(0, len(x) - 1, n).astype(np.int64)
    centers = backend.to_numpy(model.cluster_centers_).astype(np.float64)
    there = backend.to_numpy(x[backend.asarray(rows)])
    expected = oracles.labels_in_order(there, centers, loss)
    np.testing.assert_array_equal(backend.to_numpy(model.labels_)[rows], expected)
    assert bool((model.predict(x) == model.labels_).all())


def cloud(n, d, seed=0):
    """No structure, in float32, and far enough from the origin for TF32 to be wrong."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d), dtype=np.float32) + np.float32(100)


WITH_TF32 = """
import sys
import cupy, numpy as np
from kmgpu import KMeans
from tests.hardware.test_gpu import cloud
from tests.support import oracles

n, k = map(int, sys.argv[1:])
for d in (40, 400):
    x = cloud(n, d)
    model = KMeans(k, init=x[:k], max_iter=3, tol=0).fit(cupy.asarray(x))
    rows = np.linspace(0, len(x) - 1, 400).astype(np.int64)
    centers = model.cluster_centers_.get().astype(np.float64)
    expected = oracles.labels_in_order(x[rows], centers, "l2")
    np.testing.assert_array_equal(model.labels_.get()[rows], expected)
print("done")
"""


def test_labels_are_float64s_with_tf32_on(request, size):
    """CuPy reads the variable once, so in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", WITH_TF32, str(size.rows), str(size.clusters)],
        cwd=request.config.rootpath,
        env=os.environ | {"CUPY_TF32": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.stdout.strip() == "done", run.stderr


@BOTH
@pytest.mark.parametrize("d", [4, 64])
def test_more_elements_than_an_int_counts(backend, cupy, estimator, size, d):
    """8-bit rows, the last of which are told from the first."""
    n = size.elements // d
    x = cupy.zeros((n, d), cupy.uint8)
    x[n // 2 :] = 100
    x[-3:] = 200
    init = cupy.asarray(np.array([[0], [100], [200]]) * np.ones(d))
    model = estimator(3, init=init, tol=0, max_iter=3).fit(x)
    centers = backend.to_numpy(model.cluster_centers_)
    np.testing.assert_array_equal(centers, np.array([[0], [100], [200]]) * np.ones(d))
    counts = cupy.bincount(model.labels_, minlength=3).get()
    assert counts.tolist() == [n // 2, n - n // 2 - 3, 3]
    assert model.labels_[-4:].get().tolist() == [1, 2, 2, 2]
    assert model.inertia_ == 0


@BOTH
@pytest.mark.parametrize("d", [4, 40, 128, 400])
def test_few_rows_of_a_cloud_are_left_open(backend, estimator, size, d):
    """By every stage, in every assignment after the first; printed for those who measure."""
    x = backend.asarray(cloud(size.rows, d))
    with recorded() as launches:
        k = size.clusters
        model = estimator(k, init=x[:k], max_iter=3, tol=0).fit(x)
    check(backend, x, model, LOSS[estimator])
    shares = launches.open_shares(size.rows)
    print(f"\n{estimator.__name__} {x.shape}: {shares}")
    assert len(shares) >= 3
    for stages in shares[1:]:
        assert stages
        assert max(stages.values()) <= MOST_OPEN, shares


@BOTH
@pytest.mark.parametrize("d", [4, 40, 400])
def test_many_blocks_are_the_same_bits(backend, estimator, size, d):
    x = backend.asarray(cloud(size.rows, d))
    k = size.clusters
    options = {"init": x[:k], "max_iter": 3, "tol": 0}
    whole = estimator(k, **options).fit(x)
    cut = estimator(k, memory_budget=1 << 16, **options).fit(x)
    check(backend, x, whole, LOSS[estimator])
    np.testing.assert_array_equal(whole.labels_.get(), cut.labels_.get())
    np.testing.assert_array_equal(whole.cluster_centers_.get(), cut.cluster_centers_.get())


def late(cupy, x, delay):
    """A copy of `x` that the current stream fills after work that takes a while."""
    out, busy = cupy.zeros_like(x), cupy.zeros(1 << 12, cupy.float64)
    for _ in range(int(math.sqrt(delay))):
        busy += 1
    out[...] = x
    return out


@BOTH
def test_a_stream_of_the_users_own_is_waited_for(backend, cupy, estimator, size):
    """The data are still on their way when the fit begins; the null stream does not wait."""
    x = backend.asarray(cloud(size.rows, 40))
    expected = estimator(20, random_state=0, max_iter=3).fit(x)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        model = estimator(20, random_state=0, max_iter=3).fit(late(cupy, x, size.delay))
        stream.synchronize()
    np.testing.assert_array_equal(model.labels_.get(), expected.labels_.get())


@BOTH
def test_two_streams_do_not_disturb_each_other(backend, cupy, estimator, size):
    data = [backend.asarray(cloud(size.rows, 40, seed)) for seed in (0, 1)]
    expected = [estimator(20, random_state=0, max_iter=3).fit(x) for x in data]
    cupy.cuda.Device().synchronize()
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in data]
    for _ in range(2):
        found = []
        for stream, x in zip(streams, data, strict=True):
            with stream:
                found.append(
                    estimator(20, random_state=0, max_iter=3).fit(late(cupy, x, size.delay))
                )
        for stream in streams:
            stream.synchronize()
        for model, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(model.labels_.get(), right.labels_.get())


def test_uploads_arrive_before_they_are_read(backend, cupy, size, monkeypatch):
    """Memory that the caller's stream still writes to is the first that an upload is given."""
    monkeypatch.setattr(upload, "LEAST_BYTES", 1)
    monkeypatch.setattr(upload, "BUFFER_BYTES", 1 << 16)
    x = cloud(size.rows, 40)
    place = place_of(cupy.empty(0))
    for seed in range(3):
        with cupy.cuda.Stream(non_blocking=True):
            late(cupy, cupy.ones(x.shape, cupy.float32), size.delay)
            blocks = [x[start::3] + np.float32(seed) for start in range(3)]
            found = [block * 2 for block in upload.uploaded_blocks(iter(blocks), place)]
            for block, there in zip(blocks, found, strict=True):
                np.testing.assert_array_equal(there.get(), block * 2)
