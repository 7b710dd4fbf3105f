"""What `device` means on every kind of machine, and what ``kmgpu info`` says of it."""

import re
import sys
import warnings
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from kmgpu import KMeans
from kmgpu.backend import arrays, cards, devices, gpus
from kmgpu.backend.cards import Work
from kmgpu.info import info
from tests.support import fake_cupy

with suppress(ImportError), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its first import may warn
    import torch  # noqa: F401

X = np.arange(12.0).reshape(4, 3)
GB = 10**9
MUCH = Work(10**12, squared=True)


def home(backend):
    return arrays.place_of(backend.asarray(X))


def test_device_none_stays_and_cpu_goes_to_the_cpu(backend):
    x = backend.asarray(X)
    assert devices.resolve(None, x, MUCH) == arrays.place_of(x)
    on_cpu = devices.resolve("cpu", x, MUCH)
    assert not on_cpu.on_gpu
    assert on_cpu.xp is (backend.xp if backend.name == "torch" else arrays.HOST.xp)
    assert devices.resolve("cpu", sparse.csr_matrix(X), MUCH) == arrays.HOST


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", "", 0, ("cuda",)])
def test_an_unknown_device_is_refused_by_name(backend, device):
    with pytest.raises(ValueError, match=r"device=.* is not known; use None, 'cpu', 'cuda'"):
        devices.resolve(device, backend.asarray(X), MUCH)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_without_cupy_cuda_names_the_extra_and_auto_stays(monkeypatch, device):
    fake_cupy.remove(monkeypatch)
    with pytest.raises(RuntimeError, match=r"pip install 'kmgpu\[cuda12\]'.*device='auto'"):
        KMeans(2, device=device).fit(X)
    model = KMeans(2, device="auto", random_state=0).fit(X)
    assert isinstance(model.labels_, np.ndarray)
    assert model.device_ == "cpu"
    assert re.search(r"device='auto' +the CPU: CuPy cannot be imported .*kmgpu\[cuda12\]", info())


def test_sparse_data_is_not_computed_on_a_gpu():
    x = sparse.csr_matrix(X)
    with pytest.raises(ValueError, match=r"sparse X is computed on the CPU; pass X.toarray\(\)"):
        devices.resolve("cuda", x, MUCH)
    assert devices.resolve("auto", x, MUCH) == arrays.HOST


def test_without_a_driver(monkeypatch):
    fake_cupy.install(monkeypatch, [], driver="cudaErrorInsufficientDriver: too old")
    assert gpus.cupy_usable() == (
        False,
        "CuPy 99 finds no usable GPU or driver (cudaErrorInsufficientDriver: too old)",
    )
    assert devices.resolve("auto", X, MUCH) == arrays.HOST
    with pytest.raises(RuntimeError, match=r"'cuda' cannot be used: CuPy 99 finds no usable GPU"):
        devices.resolve("cuda", X, MUCH)
    assert "device='auto'     the CPU: CuPy 99 finds no usable GPU or driver" in info()


def test_without_a_gpu(monkeypatch):
    fake_cupy.install(monkeypatch, [])
    assert gpus.cupy_usable() == (False, "CuPy 99 finds no GPU")
    assert devices.resolve("auto", X, MUCH) == arrays.HOST
    assert "device='auto'     the CPU: CuPy 99 finds no GPU" in info()


def test_one_gpu(monkeypatch):
    fake_cupy.install(monkeypatch, [8 * GB])
    found = gpus.cupy_usable()
    assert found == (True, "CuPy 99, 1 GPU(s): cuda:0 Fake, 8.0 of 16.0 GB free")
    for device in ("auto", "cuda", "cuda:0"):
        assert devices.device_name(devices.resolve(device, X, MUCH)) == "cuda:0"
    with pytest.raises(ValueError, match=r"device='cuda:1': there are 1 GPU\(s\), numbered from 0"):
        devices.resolve("cuda:1", X, MUCH)
    told = "cuda:0 for work that is faster there by estimate, and fits into its 8.0 free GB; else"
    assert f"device='auto'     {told} the CPU" in info()


def test_auto_with_too_little_memory_says_so_and_stays(monkeypatch):
    fake_cupy.install(monkeypatch, [8 * GB])
    fits = np.broadcast_to(np.float32(0), (60_000_000, 16))
    assert devices.resolve("auto", fits, MUCH).on_gpu
    large = np.broadcast_to(np.float32(0), (70_000_000, 16))
    with pytest.warns(RuntimeWarning, match=r"stays on the CPU: .* 8\.98 GB, cuda:0 has 8 GB free"):
        assert devices.resolve("auto", large, MUCH) == arrays.HOST
    assert devices.resolve("cuda", large, MUCH).on_gpu


@pytest.mark.parametrize(
    ("free", "clocks", "taken", "touched"),
    [
        ([2, 9, 4], [9, 9, 9], "cuda:0", {0}),
        ([2, 9, 4], [5, 7, 8], "cuda:2", {2}),
        ([0.01, 9, 4], [9, 9, 9], "cuda:1", {0, 1}),
        ([0.01, 0.012, 0.01], [9, 9, 9], "cpu", {0, 1, 2}),
    ],
)
def test_auto_takes_the_fastest_gpu_with_room_and_touches_no_other(
    monkeypatch, free, clocks, taken, touched
):
    clocks = [clock * 100_000 for clock in clocks]
    fake_cupy.install(monkeypatch, [int(GB * amount) for amount in free], clocks=clocks)
    if taken == "cpu":
        with pytest.warns(RuntimeWarning, match=r"stays on the CPU: .*, cuda:1 has 0\.012 GB free"):
            assert devices.resolve("auto", X, MUCH) == arrays.HOST
    else:
        assert devices.device_name(devices.resolve("auto", X, MUCH)) == taken
    assert fake_cupy.Device.entered == touched
    assert devices.device_name(devices.resolve("cuda", X, MUCH)) == "cuda:0"
    assert devices.device_name(devices.resolve("cuda:1", X, MUCH)) == "cuda:1"


def test_auto_weighs_the_work(monkeypatch):
    """Iris stays on the CPU, and no GPU is touched for it; a million rows of 128 do not."""
    monkeypatch.setattr(cards, "get_num_threads", lambda: 8)
    fake_cupy.install(monkeypatch, [8 * GB])
    iris, large = np.zeros((150, 4)), np.broadcast_to(np.float32(0), (1_000_000, 128))
    assert devices.resolve("auto", iris, Work(3, True, 25, 1)) == arrays.HOST
    assert devices.resolve("auto", large, Work(1, True)) == arrays.HOST
    assert not fake_cupy.Device.entered
    for squared in (True, False):
        assert devices.resolve("auto", large, Work(1000, squared, 25)).on_gpu
    model = KMeans(3, device="auto", random_state=0).fit(iris + np.arange(150)[:, None] % 3)
    assert model.device_ == "cpu"


def test_auto_takes_no_gpu_without_kernels(monkeypatch):
    fake_cupy.install(monkeypatch, [8 * GB, 8 * GB], amd=(0,))
    assert devices.device_name(devices.resolve("auto", X, MUCH)) == "cuda:1"
    assert devices.resolve("cuda:0", X, MUCH).ordinal == 0
    fake_cupy.install(monkeypatch, [8 * GB], amd=(0,))
    assert devices.resolve("auto", X, MUCH) == arrays.HOST
    assert "device='auto'     the CPU: no GPU can be used" in info()


def test_rates_are_those_of_the_makers():
    """A T4: 8.1 TFLOP/s, 1/32 of it in float64; an H100: 66.9 and 33.5."""
    t4 = cards.rates((7, 5), {"MultiProcessorCount": 40, "ClockRate": 1_590_000})
    assert t4 == pytest.approx((8.1e12 / 2, 8.1e12 / 64), rel=0.01)
    h100 = cards.rates((9, 0), {"MultiProcessorCount": 132, "ClockRate": 1_980_000})
    assert h100 == pytest.approx((66.9e12 / 2, 33.5e12 / 2), rel=0.01)
    assert cards.rates((99, 0), {"MultiProcessorCount": 1, "ClockRate": 1}) is None
    assert cards.rates((9, 0), {}) is None


def test_a_card_of_little_float64_takes_longer_to_seed():
    work, shape = Work(1000, True, 25, 1), (1_000_000, 128)
    t4, as_double = cards.Rates(4e12, 4e12 / 32), cards.Rates(4e12, 4e12 / 2)
    slow, fast = (cards.gpu_seconds(shape, 4, work, card) for card in (t4, as_double))
    assert slow > 5 * fast
    unseeded = work._replace(seedings=0)
    assert cards.gpu_seconds(shape, 4, unseeded, t4) < fast


def test_auto_passes_over_a_gpu_on_which_no_kernel_runs(monkeypatch):
    full = MemoryError("===\nout of\n memory")
    fake_cupy.install(monkeypatch, [9 * GB, 4 * GB], trouble={0: full})
    found = gpus.cupy_usable()
    assert found.yes
    assert "cuda:0 cannot be used: out of memory; cuda:1 Fake" in found.why
    assert devices.device_name(devices.resolve("auto", X, MUCH)) == "cuda:1"
    with pytest.raises(RuntimeError, match="'cuda:0' cannot be used: CuPy 99: out of memory"):
        devices.resolve("cuda:0", X, MUCH)
    fake_cupy.install(monkeypatch, [9 * GB], trouble={0: full})
    assert not gpus.cupy_usable().yes
    assert devices.resolve("auto", X, MUCH) == arrays.HOST
    assert "device='auto'     the CPU: no GPU can be used" in info()


def test_free_bytes_are_those_of_the_card_and_the_pool_within_its_limit(monkeypatch):
    fake_cupy.install(monkeypatch, [8 * GB], pooled=GB)
    place = gpus.cupy_place(0)
    assert gpus.free_bytes(place) == 9 * GB
    fake_cupy.install(monkeypatch, [8 * GB], pooled=GB, limit=4 * GB, used=3 * GB)
    assert gpus.free_bytes(place) == GB
    fake_cupy.install(monkeypatch, [8 * GB], limit=GB, used=2 * GB)
    assert gpus.free_bytes(place) == 0


def test_torch_says_what_it_found(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for usable in (gpus.torch_usable(), gpus.torch_cuda_usable()):
        assert not usable.yes
        assert "pip install torch" in usable.why
    cuda = SimpleNamespace(is_available=lambda: False, device_count=lambda: 3)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="9", cuda=cuda))
    assert "no usable GPU" in gpus.torch_cuda_usable().why
    cuda.is_available = lambda: True
    assert gpus.torch_cuda_usable() == (True, "PyTorch 9, 3 GPU(s)")
    assert set(gpus.backends()) == {"numpy (cpu)", "cupy (cuda)", "torch (cpu)", "torch (cuda)"}


def fake_torch_cuda(monkeypatch, free):
    """PyTorch as it would be with GPUs, as far as a device is chosen."""
    torch = pytest.importorskip("torch")
    fake_cupy.remove(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 16 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1)
    return torch


def test_torch_tensors_go_to_torchs_gpus_where_there_is_no_cupy(monkeypatch):
    torch = fake_torch_cuda(monkeypatch, [0, 2 * GB, GB])
    x = torch.asarray(X)
    place = devices.resolve("auto", x, MUCH)
    assert place.device == torch.device("cuda", 1)
    assert gpus.free_bytes(place) == 2 * GB + 2
    assert devices.resolve("cuda:2", x, MUCH).device == torch.device("cuda", 2)
    with pytest.raises(ValueError, match=r"there are 3 GPU\(s\)"):
        devices.resolve("cuda:3", x, MUCH)


def test_torch_tensors_go_to_cupys_gpus_where_there_are_any(monkeypatch):
    torch = pytest.importorskip("torch")
    fake_cupy.install(monkeypatch, [GB])
    for device in ("auto", "cuda"):
        assert devices.resolve(device, torch.asarray(X), MUCH) == devices.resolve("cuda", X, MUCH)


def test_torch_without_a_gpu_is_told_so(backend, monkeypatch):
    if backend.name != "torch" or gpus.torch_cuda_usable().yes:
        pytest.skip("needs PyTorch without a GPU")
    fake_cupy.remove(monkeypatch)
    with pytest.raises(RuntimeError, match=r"PyTorch .* finds no usable GPU"):
        devices.resolve("cuda", backend.asarray(X), MUCH)
    assert devices.resolve("auto", backend.asarray(X), MUCH) == home(backend)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "auto"])
@pytest.mark.only("cupy")
def test_host_data_computed_on_a_gpu_comes_back(backend, device, monkeypatch):
    monkeypatch.setattr(devices, "cpu_seconds", lambda shape, work: np.inf)
    place = devices.resolve(device, X, MUCH)
    assert place == home(backend)
    assert place.on_gpu
    model = KMeans(2, init=X[[0, 3]], device=device).fit(X)
    assert model.device_ == "cuda:0"
    assert isinstance(model.labels_, np.ndarray)
    assert isinstance(model.cluster_centers_, np.ndarray)
    assert isinstance(model.transform(X), np.ndarray)
    np.testing.assert_array_equal(model.labels_, [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"device='cuda:99': there are \d+ GPU"):
        devices.resolve("cuda:99", X, MUCH)


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.only("cupy")
def test_what_is_on_a_gpu_stays_on_that_one(backend, device):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert devices.resolve(device, backend.asarray(X), MUCH) == home(backend)
