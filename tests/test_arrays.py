"""Namespaces, devices, blocks of rows, and the way to the host."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from kmgpu import KMeans, arrays

X = np.arange(12.0).reshape(4, 3)


def home(backend):
    return arrays.place_of(backend.asarray(X))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
def test_there_and_back(backend, dtype):
    host = (X % 3).astype(dtype)
    there = arrays.asarray(host, home(backend))
    assert arrays.place_of(there) == home(backend)
    np.testing.assert_array_equal(backend.to_numpy(there), host)
    back = arrays.to_host(there)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, host)


def test_an_array_that_is_there_is_returned_itself(backend):
    x = backend.asarray(X)
    assert arrays.asarray(x, home(backend)) is x
    assert arrays.asarray(x, home(backend), backend.xp.float32).dtype == backend.xp.float32


@pytest.mark.parametrize(
    "host",
    [
        X.astype(">f8"),
        X[::-1, ::-2],
        np.asfortranarray(X),
        np.broadcast_to(X[:1], (4, 3)),
        X.tolist(),
    ],
    ids=["big-endian", "negative strides", "columns", "zero strides, read-only", "list"],
)
def test_host_data_of_any_layout_arrives(backend, host):
    there = arrays.asarray(host, home(backend), backend.xp.float64)
    np.testing.assert_array_equal(backend.to_numpy(there), np.asarray(host, np.float64))


def test_is_array(backend):
    assert arrays.is_array(backend.asarray(X))
    assert arrays.is_array(sparse.csr_matrix(X))
    assert not arrays.is_array(X.tolist())


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
    + [(dtype, "float64") for dtype in ("int8", "uint8", "int64", "bool")],
)
def test_compute_dtype(backend, dtype, computed):
    if dtype == "float16" and backend.name == "strict":
        pytest.skip("the standard has no float16")
    x = backend.asarray(X.astype(dtype))
    assert arrays.compute_dtype(x) == getattr(backend.xp, computed)
    assert arrays.is_floating(x) == dtype.startswith("float")


def test_rows_and_columns(backend):
    x = backend.asarray(X)
    f8 = backend.xp.float64
    np.testing.assert_array_equal(backend.to_numpy(arrays.rows(x, 1, 3, f8)), X[1:3])
    np.testing.assert_array_equal(backend.to_numpy(arrays.column(x, 2, f8)), X[:, 2])
    taken = arrays.take_rows(x, backend.asarray(np.array([3, 0, 3])), backend.xp.float32)
    assert taken.dtype == backend.xp.float32
    np.testing.assert_array_equal(backend.to_numpy(taken), X[[3, 0, 3]])


def test_rows_of_a_sparse_matrix_are_dense():
    x = sparse.csr_matrix(np.where(X > 4, X, 0))
    np.testing.assert_array_equal(arrays.rows(x, 1, 3, np.float32), x.toarray()[1:3])
    np.testing.assert_array_equal(arrays.column(x, 1, np.float64), x.toarray()[:, 1])
    np.testing.assert_array_equal(arrays.take_rows(x, [2, 0], np.float64), x.toarray()[[2, 0]])


def test_rows_of_the_wanted_dtype_are_a_view():
    assert np.shares_memory(arrays.rows(X, 1, 3, np.float64), X)
    assert np.shares_memory(arrays.column(X, 1, np.float64), X)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9])
@pytest.mark.parametrize(("row_bytes", "budget", "step"), [(10, 20, 2), (10, 5, 1), (0, 4, 4)])
def test_row_blocks_cover_every_row_once_within_the_budget(n, row_bytes, budget, step):
    blocks = list(arrays.row_blocks(n, row_bytes, budget))
    assert [i for start, stop in blocks for i in range(start, stop)] == list(range(n))
    assert max((stop - start for start, stop in blocks), default=0) <= step


def test_block_bytes(monkeypatch):
    gpu = arrays.Place(np, SimpleNamespace(type="cuda"))
    assert gpu.on_gpu
    assert not arrays.HOST.on_gpu
    assert arrays.block_bytes(gpu, 123) == arrays.block_bytes(arrays.HOST, 123) == 123
    assert arrays.block_bytes(arrays.HOST, None) == arrays.CPU_BLOCK_BYTES
    monkeypatch.setattr(arrays, "free_bytes", lambda place: 1 << 40)
    assert arrays.block_bytes(gpu, None) == arrays.GPU_BLOCK_BYTES
    monkeypatch.setattr(arrays, "free_bytes", lambda place: 1 << 20)
    assert arrays.block_bytes(gpu, None) == 1 << 17


def test_device_none_stays_and_cpu_goes_to_the_cpu(backend):
    x = backend.asarray(X)
    assert arrays.resolve(None, x) == arrays.place_of(x)
    on_cpu = arrays.resolve("cpu", x)
    assert not on_cpu.on_gpu
    assert on_cpu.xp is (backend.xp if backend.name == "torch" else arrays.HOST.xp)
    assert arrays.resolve("cpu", sparse.csr_matrix(X)) == arrays.HOST


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", "", 0, ("cuda",)])
def test_an_unknown_device_is_refused_by_name(backend, device):
    with pytest.raises(ValueError, match=r"device=.* is not known; use None, 'cpu', 'cuda'"):
        arrays.resolve(device, backend.asarray(X))


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_without_cupy_cuda_names_the_extra_and_auto_stays(monkeypatch, device):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"pip install 'kmgpu\[cuda12\]'.*device='auto'"):
        KMeans(2, device=device).fit(X)
    model = KMeans(2, device="auto", random_state=0).fit(X)
    assert isinstance(model.labels_, np.ndarray)


def test_sparse_data_is_not_computed_on_a_gpu():
    x = sparse.csr_matrix(X)
    with pytest.raises(ValueError, match=r"sparse X is computed on the CPU; pass X.toarray\(\)"):
        arrays.resolve("cuda", x)
    assert arrays.resolve("auto", x) == arrays.HOST


def fake_cupy(count):
    class CUDARuntimeError(Exception):
        pass

    def get_device_count():
        if count is None:
            msg = "driver too old"
            raise CUDARuntimeError(msg)
        return count

    runtime = SimpleNamespace(getDeviceCount=get_device_count, CUDARuntimeError=CUDARuntimeError)
    return SimpleNamespace(__version__="99", cuda=SimpleNamespace(runtime=runtime))


@pytest.mark.parametrize(
    ("count", "yes", "why"),
    [(None, False, "driver too old"), (0, False, "no GPU"), (2, True, r"CuPy 99, 2 GPU")],
)
def test_cupy_says_what_it_found(monkeypatch, count, yes, why):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(count))
    usable = arrays.cupy_usable()
    assert usable.yes is yes
    assert why in usable.why


def test_torch_says_what_it_found(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for usable in (arrays.torch_usable(), arrays.torch_cuda_usable()):
        assert not usable.yes
        assert "pip install torch" in usable.why
    cuda = SimpleNamespace(is_available=lambda: False, device_count=lambda: 3)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="9", cuda=cuda))
    assert "no usable GPU" in arrays.torch_cuda_usable().why
    cuda.is_available = lambda: True
    assert arrays.torch_cuda_usable() == (True, "PyTorch 9, 3 GPU(s)")
    assert set(arrays.backends()) == {"numpy (cpu)", "cupy (cuda)", "torch (cpu)", "torch (cuda)"}


def test_torch_without_a_gpu_is_told_so(backend):
    if backend.name != "torch" or arrays.torch_cuda_usable().yes:
        pytest.skip("needs PyTorch without a GPU")
    with pytest.raises(RuntimeError, match=r"PyTorch .* finds no usable GPU"):
        arrays.resolve("cuda", backend.asarray(X))
    assert arrays.resolve("auto", backend.asarray(X)) == home(backend)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "auto"])
def test_host_data_computed_on_a_gpu_comes_back(backend, device):
    if backend.name != "cupy":
        pytest.skip("needs CuPy with a GPU")
    place = arrays.resolve(device, X)
    assert place == home(backend)
    assert place.on_gpu
    assert 0 < arrays.block_bytes(place, None) <= arrays.GPU_BLOCK_BYTES
    model = KMeans(2, init=X[[0, 3]], device=device).fit(X)
    assert isinstance(model.labels_, np.ndarray)
    assert isinstance(model.cluster_centers_, np.ndarray)
    assert isinstance(model.transform(X), np.ndarray)
    np.testing.assert_array_equal(model.labels_, [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"device='cuda:99': there are \d+ GPU"):
        arrays.resolve("cuda:99", X)
