"""The GPUs of this machine: which are usable, and how much of their memory is free."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import array_api_compat as compat
import numpy as np

from kmgpu.backend.arrays import Namespace, Place, Usable
from kmgpu.backend.cards import LEAST_RATES, Rates, rates

INSTALL_CUPY = "pip install 'kmgpu[cuda12]' (CUDA 12) or 'kmgpu[cuda13]' (CUDA 13)"
# the first that reads compiled templates, as all our kernels are, back from disk
LEAST_CUPY = (14, 2)
GB = 1e9
# labels, costs, keys, the order of the rows and what sorting them takes: 34 to 50 were counted
WORK_BYTES_A_ROW = 64
LEAST_WORK_BYTES = 1 << 24
# CuPy's own, PyTorch's, and what the libraries below them say
OUT_OF_MEMORY = (
    "OutOfMemoryError",
    "cudaErrorMemoryAllocation",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator",
)
LONGEST_REASON = 200


class Gpu(NamedTuple):
    """A GPU that CuPy sees, memory in bytes; ``trouble`` says why it cannot compute, if so."""

    ordinal: int
    name: str
    free: int
    total: int
    trouble: str

    def __str__(self) -> str:
        if self.trouble:
            return f"cuda:{self.ordinal} cannot be used: {self.trouble}"
        free, total = self.free / GB, self.total / GB
        return f"cuda:{self.ordinal} {self.name}, {free:.1f} of {total:.1f} GB free"


def free_bytes(place: Place) -> int:
    """Free bytes of a GPU, those that its library holds but does not use among them.

    Where CuPy's pool has a limit, no more than what is left of it.
    """
    if compat.is_cupy_namespace(place.xp):
        import cupy

        with place.current():
            pool = cupy.get_default_memory_pool()
            free = int(cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
            limit = int(pool.get_limit())
            return max(0, min(free, limit - int(pool.used_bytes()))) if limit else free
    import torch

    held = torch.cuda.memory_reserved(place.device) - torch.cuda.memory_allocated(place.device)
    return int(torch.cuda.mem_get_info(place.device)[0]) + int(held)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is how NumPy, CuPy or PyTorch says that memory has run out."""
    told = f"{type(error).__name__}: {error}"
    return isinstance(error, MemoryError) or any(sign in told for sign in OUT_OF_MEMORY)


def room_for(shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes that a fit of data of this shape takes on a GPU, the data among them, about."""
    n_samples, n_features = shape
    return n_samples * bytes_a_row(n_features, itemsize) + LEAST_WORK_BYTES


def bytes_a_row(n_features: int, itemsize: int) -> int:
    """Those among them that each row takes."""
    return n_features * itemsize + WORK_BYTES_A_ROW


def cupy_count() -> tuple[int, str]:
    """How many GPUs CuPy sees, and CuPy's version, or why there are none."""
    try:
        import cupy
    except (ImportError, OSError) as error:
        return 0, f"CuPy cannot be imported ({_brief(error)}); {INSTALL_CUPY}"
    named = f"CuPy {cupy.__version__}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return 0, f"{named} finds no usable GPU or driver ({_brief(error)})"
    return count, named if count else f"{named} finds no GPU"


def outdated() -> str:
    """What a CuPy older than `LEAST_CUPY` costs, and the remedy; empty for a newer one."""
    import cupy

    if tuple(map(int, re.findall(r"\d+", cupy.__version__)[:2])) >= LEAST_CUPY:
        return ""
    wanted = ".".join(map(str, LEAST_CUPY))
    return (
        f"CuPy {cupy.__version__} compiles the kernels anew in every process, CuPy >= {wanted} "
        f"keeps them on disk: {INSTALL_CUPY}"
    )


def without_kernels(index: int) -> str:
    """Why CUDA kernels do not run on that GPU; empty where they do."""
    import cupy

    made_for = _amd_architecture(cupy, index)
    if not made_for:
        return ""
    return (
        f"cuda:{index} is an AMD GPU ({made_for}), for which there are no kernels: plain calls of "
        f"CuPy run instead, which are slower"
    )


@cache
def _amd_architecture(cupy: Namespace, index: int) -> str:
    """Such as gfx90a; empty for NVIDIA's."""
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    return properties.get("gcnArchName", b"").decode().partition(":")[0]


def cupy_gpu(index: int) -> Gpu:
    """One of the GPUs that CuPy sees; the first call for it makes a context on it."""
    import cupy

    trouble = _trouble(cupy, index)
    place = cupy_place(index)
    try:
        with place.current():
            total = int(cupy.cuda.runtime.memGetInfo()[1])
            name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
        return Gpu(index, name, free_bytes(place), total, trouble)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return Gpu(index, "", 0, 0, trouble or _brief(error))


def _trouble(cupy: Namespace, index: int) -> str:
    """Why a smallest kernel does not run: a full GPU, one too old or too new, no compiler."""
    try:
        _try_kernel(cupy, index)
    except Exception as error:
        return _brief(error) or type(error).__name__
    return ""


@cache  # of what worked alone: a full GPU may be free again
def _try_kernel(cupy: Namespace, index: int) -> None:
    with cupy.cuda.Device(index):
        cupy.arange(3).sum().get()


def _brief(error: BaseException) -> str:
    """The words of an error on one line, without its rulers."""
    words = [word for word in str(error).split() if word.strip("=")]
    return " ".join(words)[:LONGEST_REASON]


def cupy_rates(index: int) -> Rates:
    """How fast one of the GPUs that CuPy sees computes; asking makes no context on it."""
    import cupy

    return _rates(cupy, index)


@cache
def _rates(cupy: Namespace, index: int) -> Rates:
    device = cupy.cuda.Device(index)
    capability = device.compute_capability
    found = rates((int(capability[:-1]), int(capability[-1])), device.attributes)
    return found or LEAST_RATES


def draws_display(index: int) -> bool:
    """Whether the driver ends what runs for long on one of the GPUs that CuPy sees."""
    import cupy

    return _draws_display(cupy, index)


@cache
def _draws_display(cupy: Namespace, index: int) -> bool:
    return bool(cupy.cuda.Device(index).attributes.get("KernelExecTimeout"))


def cupy_place(index: int) -> Place:
    """CuPy on the GPU of that number."""
    import cupy
    from array_api_compat import cupy as cupy_namespace

    return Place(cupy_namespace, cupy.cuda.Device(index))


def cupy_usable() -> Usable:
    """Whether CuPy imports and computes on a GPU; if not, why and what to install."""
    count, why = cupy_count()
    if not count:
        return Usable(False, why)
    gpus = [cupy_gpu(index) for index in range(count)]
    listed = "; ".join(map(str, gpus))
    return Usable(any(not gpu.trouble for gpu in gpus), f"{why}, {count} GPU(s): {listed}")


def torch_usable() -> Usable:
    """Whether PyTorch imports; if not, why and what to install."""
    try:
        import torch
    except ImportError as error:
        return Usable(False, f"PyTorch cannot be imported ({error}); pip install torch")
    return Usable(True, f"PyTorch {torch.__version__}")


def torch_cuda_usable() -> Usable:
    """Whether PyTorch imports and finds a GPU; if not, why."""
    found = torch_usable()
    if not found.yes:
        return found
    import torch

    if not torch.cuda.is_available():
        return Usable(False, f"{found.why} finds no usable GPU or driver")
    return Usable(True, f"{found.why}, {torch.cuda.device_count()} GPU(s)")


def torch_places() -> list[Place]:
    """PyTorch on each GPU."""
    import torch
    from array_api_compat import torch as torch_namespace

    count = torch.cuda.device_count()
    return [Place(torch_namespace, torch.device("cuda", index)) for index in range(count)]


def backends() -> dict[str, Usable]:
    """What can compute here, by backend; for ``kmgpu info``."""
    return {
        "numpy (cpu)": Usable(True, f"NumPy {np.__version__}"),
        "cupy (cuda)": cupy_usable(),
        "torch (cpu)": torch_usable(),
        "torch (cuda)": torch_cuda_usable(),
    }
