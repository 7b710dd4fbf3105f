"""How kmgpu lives with a GPU: devices, streams and transfers are the caller's; see also blocks."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kmgpu import KMeans, KMedians, lloyd
from kmgpu.backend.arrays import place_of
from tests.support import oracles

X = oracles.blobs(600, 4, 5, seed=9, spread=3)
BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])


@BOTH
def test_the_callers_stream_is_the_one_worked_on(cupy, estimator):
    """An `init` and a progress hook see the stream in the middle of the work."""
    seen = []

    def init(x, n_clusters, random_state):
        seen.append(cupy.cuda.get_current_stream().ptr)
        return x[:n_clusters]

    stream = cupy.cuda.Stream(non_blocking=True)
    x = cupy.asarray(X)
    with stream:
        model = estimator(5, init=init, n_init=1).fit(x)
        model.predict(x)
        for _ in lloyd(x, x[:5]):
            seen.append(cupy.cuda.get_current_stream().ptr)
    assert set(seen) == {stream.ptr}
    assert cupy.cuda.get_current_stream().ptr == 0


def test_no_code_of_ours_but_uploads_names_a_stream(request):
    """Streams are the caller's: nothing else makes, takes or waits for one."""
    for path in (request.config.rootpath / "kmgpu").rglob("*.py"):
        if path.name == "upload.py":
            continue
        text = path.read_text(encoding="utf-8")
        for word in ("cuda.Stream", "ExternalStream", "synchronize(", "get_current_stream"):
            assert word not in text, f"{path}: {word}"


@BOTH
def test_host_data_is_moved_once(cupy, counted, estimator):
    """A fit of a NumPy array copies it to the GPU; one of a CuPy array copies `counts_`."""
    x = cupy.asarray(X)

    def copies(data, device):
        with counted() as cost:
            estimator(5, random_state=0, max_iter=4, tol=0, device=device).fit(data)
        return cost.host_to_device_copies

    copies(x, None)  # constants that CuPy keeps
    assert copies(X, "cuda") == copies(x, None)


ON_THE_SECOND = """
import cupy, numpy as np
from kmgpu import KMeans, KMedians, lloyd
from kmgpu.backend import arrays
from tests.support import oracles

X = oracles.blobs(200, 4, 5, seed=9, spread=3)
second = cupy.cuda.Device(1)
with second:
    x, weight = cupy.asarray(X), cupy.ones(200)
assert cupy.cuda.Device().id == 0
for estimator in (KMeans, KMedians):
    host = estimator(5, random_state=0).fit(X, sample_weight=np.ones(200))
    for device in (None, "cuda", "auto", "cuda:1"):
        model = estimator(5, random_state=0, device=device).fit(x, sample_weight=weight)
        assert model.device_ == "cuda:1", model.device_
        made = [model.labels_, model.cluster_centers_, model.predict(x), model.transform(x)]
        assert all(array.device == second for array in made)
        assert np.isfinite(model.score(x))
        np.testing.assert_array_equal(model.labels_.get(), host.labels_)
        assert cupy.cuda.Device().id == 0
    moved = estimator(5, random_state=0, device="cuda:0").fit(x)
    assert moved.device_ == "cuda:0" and moved.labels_.device == second
    on_host = estimator(5, random_state=0, device="cuda:1").fit(X)
    assert on_host.device_ == "cuda:1" and isinstance(on_host.labels_, np.ndarray)
for loss in ("l2", "l1"):
    for step in lloyd(x, X[:5], loss, sample_weight=weight):
        assert step.centers.device == second
        assert cupy.cuda.Device().id == 0
bad = X.copy()
bad[3, 1] = np.nan
with second:
    bad = cupy.asarray(bad)
try:
    KMeans(2).fit(bad)
except ValueError as error:
    assert "row 3, column 1" in str(error)
else:
    raise AssertionError
print("done")
"""


@pytest.mark.usefixtures("cupy", "counted")
def test_work_stays_on_the_device_of_the_input(request):
    """Two devices: in the emulation, an array on another device than the current one raises."""
    run = subprocess.run(
        [sys.executable, "-c", ON_THE_SECOND],
        cwd=request.config.rootpath,
        env=os.environ | {"GPULESS_DEVICES": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.stdout.strip() == "done", run.stderr


@BOTH
@pytest.mark.only("torch")
def test_the_precision_of_products_stays_as_the_user_set_it(backend, estimator):
    import torch

    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("highest", "high"):
            torch.set_float32_matmul_precision(precision)
            estimator(3, random_state=0).fit(backend.asarray(X.astype(np.float32)))
            assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_place_is_current_inside_and_not_after(cupy):
    place = place_of(cupy.asarray(X))
    with place.current():
        assert cupy.cuda.Device() == place.device
