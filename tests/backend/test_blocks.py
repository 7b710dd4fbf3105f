"""Blocks of rows: their size, their halving when memory runs out, and what is said at the end."""

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from kmgpu import KMeans, KMedians, lloyd
from kmgpu.backend import arrays, blocks, devices
from tests.support import oracles

LIBRARIES = {
    "numpy": MemoryError("Unable to allocate 8 GiB for an array"),
    "cupy": type("OutOfMemoryError", (MemoryError,), {})("Out of memory allocating 8 bytes"),
    "torch": type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."),
    "driver": RuntimeError("cudaErrorMemoryAllocation: out of memory"),
    "cublas": RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
    "torch on a CPU": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
}


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9])
@pytest.mark.parametrize(("row_bytes", "budget", "step"), [(10, 20, 2), (10, 5, 1), (0, 4, 4)])
def test_row_blocks_cover_every_row_once_within_the_budget(n, row_bytes, budget, step):
    ranges = list(blocks.row_blocks(n, row_bytes, budget))
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(n))
    assert max((stop - start for start, stop in ranges), default=0) <= step


def test_block_bytes(monkeypatch):
    gpu = arrays.Place(np, SimpleNamespace(type="cuda"))
    assert gpu.on_gpu
    assert not arrays.HOST.on_gpu
    assert blocks.block_bytes(gpu, 123) == blocks.block_bytes(arrays.HOST, 123) == 123
    assert blocks.block_bytes(arrays.HOST, None) == blocks.CPU_BLOCK_BYTES
    monkeypatch.setattr(blocks, "free_bytes", lambda place: 1 << 40)
    assert blocks.block_bytes(gpu, None) == blocks.GPU_BLOCK_BYTES
    monkeypatch.setattr(blocks, "free_bytes", lambda place: 1 << 30)
    assert blocks.block_bytes(gpu, None) == 1 << 27
    monkeypatch.setattr(blocks, "free_bytes", lambda place: 1 << 20)
    assert blocks.block_bytes(gpu, None) == 32 << 20


class Scarce:
    """A function of a range of rows that runs out of memory above some number of them."""

    def __init__(self, most, error):
        self.most, self.error, self.calls = most, error, []

    def __call__(self, start, stop):
        self.calls.append(stop - start)
        if stop - start > self.most:
            raise self.error
        return list(range(start, stop))


@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("error", LIBRARIES.values(), ids=LIBRARIES)
@pytest.mark.parametrize("most", [1, 3, 64])
def test_blocks_are_halved_and_the_work_goes_on(most, error, on_host):
    scarce = Scarce(most, error)
    pieces = blocks.over_blocks(blocks.row_blocks(999, 1, 64), scarce, on_host)
    assert [row for piece in pieces for row in piece] == list(range(999))
    assert max(map(len, pieces)) <= most


def test_a_block_that_did_not_fit_is_not_tried_again():
    scarce = Scarce(3, MemoryError())
    blocks.over_blocks(blocks.row_blocks(999, 1, 64), scarce, on_host=False)
    assert [size for size in scarce.calls if size > 3] == [64, 32, 16, 8, 4]


def test_what_stands_before_the_range_stays():
    def function(which, start, stop):
        if stop - start > 2:
            raise MemoryError
        return which, start, stop

    found = blocks.over_blocks([("a", 0, 3), ("b", 3, 3), ("c", 3, 4)], function, on_host=False)
    assert found == [("a", 0, 1), ("a", 1, 2), ("a", 2, 3), ("b", 3, 3), ("c", 3, 4)]


def test_one_row_that_does_not_fit_is_the_end():
    with pytest.raises(blocks.OutOfMemory, match="Unable to allocate 8 GiB"):
        blocks.over_blocks([(0, 9)], Scarce(0, LIBRARIES["numpy"]), on_host=False)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="illegal address"):
        blocks.over_blocks([(0, 9)], Scarce(0, RuntimeError("illegal address")), on_host=False)


def test_the_arrays_of_a_failed_attempt_are_freed_before_the_next():
    held = []

    def function(start, stop):
        assert all(array() is None for array in held)
        array = np.zeros(stop - start)
        held.append(weakref.ref(array))
        if stop - start > 1:
            msg = "out of memory"
            raise MemoryError(msg)
        return start

    gc.disable()
    try:
        assert blocks.over_blocks([(0, 4)], function, on_host=False) == [0, 1, 2, 3]
    finally:
        gc.enable()


@pytest.mark.parametrize("error", LIBRARIES.values(), ids=LIBRARIES)
def test_the_end_says_what_would_fit_and_keeps_no_arrays(error):
    x = np.zeros((1000, 4))
    held = []

    def work():
        array = np.zeros(9)
        held.append(weakref.ref(array))
        raise error

    with pytest.raises(MemoryError) as caught, blocks.working_at(arrays.HOST, x, 7):
        work()
    told = str(caught.value)
    assert "not enough memory on cpu for X of shape (1000, 4) and n_clusters=7" in told
    assert "memory_budget" in told
    assert str(error) in told
    assert held[0]() is None


def test_on_a_gpu_the_end_names_the_free_bytes_and_the_cpu(monkeypatch):
    gpu = arrays.Place(np, SimpleNamespace(type="cuda", index=1))
    monkeypatch.setattr(blocks, "free_bytes", lambda place: 3_000_000)
    x = np.zeros((1_000_000, 4))
    with (
        pytest.raises(
            MemoryError,
            match=r"on cuda:1 .*about 0\.113 GB .* 0\.032 GB .* 0\.003 GB are free .* about 0 such",
        ) as caught,
        blocks.working_at(gpu, x, 7),
    ):
        raise MemoryError
    assert "device='cpu'" in str(caught.value)


def test_the_end_says_how_many_rows_would_fit(monkeypatch):
    """16 MiB for a start, 4 centres of 8 bytes, four times; the rest at 4 × 8 + 64 bytes a row."""
    gpu = arrays.Place(np, SimpleNamespace(type="cuda", index=0))
    monkeypatch.setattr(blocks, "free_bytes", lambda place: (16 << 20) + 4 * 4 * 7 * 8 + 96 * 1234)
    with (
        pytest.raises(MemoryError, match=r"enough for about 1,234 such rows\. "),
        blocks.working_at(gpu, np.zeros((1_000_000, 4)), 7),
    ):
        raise MemoryError


def test_errors_that_are_not_about_memory_pass_unchanged():
    error = ValueError("n_clusters")
    with (
        pytest.raises(ValueError, match="n_clusters") as caught,
        blocks.working_at(arrays.HOST, np.zeros((2, 2)), 1),
    ):
        raise error
    assert caught.value is error


DATA = oracles.blobs(4000, 24, 5, seed=3, spread=2)


@pytest.fixture
def limited(cupy, monkeypatch):
    """``limited(bytes)``: CuPy's pool, a new one, may hold so many bytes more than now."""
    pool = cupy.cuda.MemoryPool()  # what an old one keeps is not counted by a limit
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: pool)
    with cupy.cuda.using_allocator(pool.malloc):
        yield lambda more: pool.set_limit(size=pool.used_bytes() + more)


BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])


@BOTH
def test_a_fit_goes_on_in_smaller_blocks(backend, estimator, limited):
    """A budget of ten times what the GPU has: every block has to be halved until it fits."""
    x = backend.asarray(DATA)
    expected = estimator(40, random_state=0, max_iter=3).fit(x)
    del expected.n_features_in_
    limited(1_500_000)
    model = estimator(40, random_state=0, max_iter=3, memory_budget=15_000_000).fit(x)
    labels = backend.to_numpy(model.labels_)
    np.testing.assert_array_equal(labels, backend.to_numpy(expected.labels_))
    np.testing.assert_allclose(model.inertia_, expected.inertia_, rtol=1e-12)
    distances = backend.to_numpy(model.transform(x[:500]))
    np.testing.assert_array_equal(distances.argmin(axis=1), labels[:500])


@BOTH
def test_without_a_budget_blocks_fill_a_gpu_and_are_halved_until_they_fit(
    backend, estimator, limited
):
    x = backend.asarray(DATA)
    limited(1_500_000)
    assert blocks.block_bytes(arrays.place_of(x), None) == 32 << 20
    model = estimator(5, random_state=0, max_iter=3).fit(x)
    assert np.isfinite(model.inertia_)


@BOTH
def test_a_fit_that_cannot_fit_says_what_would(backend, estimator, limited):
    x = backend.asarray(DATA)
    limited(20_000)
    with pytest.raises(MemoryError, match=r"not enough memory on cuda:0 for X of shape \(4000, 24"):
        estimator(40, random_state=0).fit(x)
    with pytest.raises(MemoryError, match=r"GB are free there now, enough .*device='cpu'"):
        list(lloyd(x, x[:40], "l2"))
    with pytest.raises(MemoryError, match="not enough memory on cuda:0"):
        estimator(4, device="cuda").fit(DATA)


@BOTH
def test_auto_goes_on_with_the_cpu_where_the_gpu_runs_out_of_memory(
    cupy, estimator, limited, monkeypatch
):
    expected = estimator(4, random_state=0).fit(DATA)
    monkeypatch.setattr(devices, "cpu_seconds", lambda shape, work: np.inf)
    model = estimator(4, random_state=0, device="auto").fit(DATA)
    assert model.device_ == "cuda:0"
    cupy.get_default_memory_pool().free_all_blocks()
    limited(20_000)
    monkeypatch.setattr(devices, "room_for", lambda shape, itemsize: 0)  # it looks roomy at first
    told = r"device='auto' goes on with the CPU: not enough memory on cuda:0 for X of shape \(4000"
    with pytest.warns(RuntimeWarning, match=told):
        model.fit(DATA)
    assert model.device_ == "cpu"
    np.testing.assert_array_equal(model.labels_, expected.labels_)
    np.testing.assert_array_equal(model.cluster_centers_, expected.cluster_centers_)
    with pytest.warns(RuntimeWarning, match=told):
        np.testing.assert_array_equal(model.predict(DATA), expected.labels_)
    with pytest.warns(RuntimeWarning, match=told):
        assert model.score(DATA) == expected.score(DATA)
    with pytest.raises(MemoryError, match="not enough memory on cuda:0"):
        model.set_params(device="cuda").fit(DATA)
