"""Arrays of any library: their namespace, their device, blocks of rows, and the way to the host.

The only generic file that names array libraries. A library is imported only when an array of it
arrives or a device asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np
from array_api_compat import numpy as numpy_namespace
from scipy.sparse import issparse

Array = Any
Namespace = Any

CPU_BLOCK_BYTES = 1 << 21
GPU_BLOCK_BYTES = 1 << 28
INSTALL_CUPY = "pip install 'kmgpu[cuda12]' (CUDA 12) or 'kmgpu[cuda13]' (CUDA 13)"


class Place(NamedTuple):
    """Where arrays live: an array namespace and one of its devices."""

    xp: Namespace
    device: Any

    @property
    def on_gpu(self) -> bool:
        return compat.is_cupy_namespace(self.xp) or getattr(self.device, "type", "") == "cuda"


class Usable(NamedTuple):
    """Whether a backend can compute here; ``why`` says what it found or what is missing."""

    yes: bool
    why: str


HOST = Place(numpy_namespace, "cpu")


def is_array(x: Any) -> bool:
    """Whether `x` is an array of a library (a list, a frame and a scalar are not)."""
    return bool(compat.is_array_api_obj(x)) or issparse(x)


def namespace(x: Array) -> Namespace:
    """The array namespace of `x`; NumPy's for SciPy sparse matrices, whose blocks are dense."""
    if isinstance(x, np.ndarray) or issparse(x):
        return numpy_namespace
    return compat.array_namespace(x)


def place_of(x: Array) -> Place:
    """Where `x` lives."""
    if isinstance(x, np.ndarray) or issparse(x):
        return HOST
    return Place(namespace(x), compat.device(x))


def asarray(x: Any, place: Place, dtype: Any = None) -> Array:
    """`x` (an array of any library, or host data) at `place`; the same object if it is there."""
    if is_array(x) and place_of(x).xp is place.xp:
        moved = x if place.xp is numpy_namespace else compat.to_device(x, place.device)
        return moved if dtype is None else place.xp.astype(moved, dtype, copy=False)
    host = to_host(x)
    if place.xp is numpy_namespace:
        return host if dtype is None else host.astype(dtype, copy=False)
    if not host.dtype.isnative:
        host = host.astype(host.dtype.newbyteorder("="))
    if compat.is_torch_namespace(place.xp) and not (
        host.flags.writeable and min(host.strides, default=0) >= 0
    ):
        host = host.copy()  # torch takes neither read-only memory nor negative strides
    return place.xp.asarray(host, device=place.device, dtype=dtype)


def to_host(x: Any) -> np.ndarray:
    """`x` as a NumPy array; the one way from a device to the host."""
    if compat.is_cupy_array(x):
        return x.get()
    if compat.is_torch_array(x):
        return x.detach().cpu().numpy()
    if is_array(x) and not compat.is_numpy_array(x):
        xp = namespace(x)
        if hasattr(xp, "Device"):  # array-api-strict refuses to leave its pretend devices
            x = compat.to_device(x, xp.Device("CPU_DEVICE"))
        return np.from_dlpack(x)
    return np.asarray(x)


def is_floating(x: Array) -> bool:
    """Whether the dtype of `x` is a real floating one."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind == "f"
    return bool(namespace(x).isdtype(x.dtype, "real floating"))


def compute_dtype(x: Array) -> Any:
    """float32 for float32 and narrower floats, float64 for the rest (integers are exact in it)."""
    xp = namespace(x)
    narrow = is_floating(x) and xp.finfo(x.dtype).bits <= 32
    return xp.float32 if narrow else xp.float64


def rows(x: Array, start: int, stop: int, dtype: Any) -> Array:
    """Rows ``start:stop`` as a dense array of `dtype`; not a copy where none is needed."""
    part = x[start:stop] if issparse(x) else x[start:stop, ...]
    return _dense(part, dtype)


def take_rows(x: Array, indices: Array, dtype: Any) -> Array:
    """The rows at `indices` (an integer array beside `x`) as a dense array of `dtype`."""
    if issparse(x) or (isinstance(x, np.ndarray) and not x.flags.c_contiguous):
        part = x[indices]  # np.take would copy all of x first
    else:
        part = namespace(x).take(x, indices, axis=0)
    return _dense(part, dtype)


def column(x: Array, feature: int, dtype: Any) -> Array:
    """One feature of every row, (n_samples,), dense."""
    if issparse(x):
        return x[:, [feature]].toarray()[:, 0].astype(dtype)
    return namespace(x).astype(x[:, feature], dtype, copy=False)


def _dense(part: Array, dtype: Any) -> Array:
    part = part.toarray() if issparse(part) else part
    return namespace(part).astype(part, dtype, copy=False)


def block_bytes(place: Place, memory_budget: int | None) -> int:
    """Bytes that the temporary arrays of one block may take.

    Without a budget: on a CPU what its caches hold, on a GPU enough rows to fill it, but no more
    than an eighth of the memory that is free.
    """
    if memory_budget is not None:
        return memory_budget
    if not place.on_gpu:
        return CPU_BLOCK_BYTES
    return min(GPU_BLOCK_BYTES, free_bytes(place) // 8)


def free_bytes(place: Place) -> int:
    """Free bytes of a GPU, those held by CuPy's pool but not in use among them."""
    if compat.is_cupy_namespace(place.xp):
        import cupy

        with place.device:
            pool = cupy.get_default_memory_pool()
            return int(cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
    import torch

    return int(torch.cuda.mem_get_info(place.device)[0])


def row_blocks(n_rows: int, row_bytes: int, budget: int) -> Iterator[tuple[int, int]]:
    """Ranges ``(start, stop)`` covering `n_rows`, each within `budget` bytes, at least one row."""
    step = max(1, budget // max(1, row_bytes))
    return ((start, min(n_rows, start + step)) for start in range(0, n_rows, step))


def cupy_usable() -> Usable:
    """Whether CuPy imports and finds a GPU; if not, why and what to install."""
    try:
        import cupy
    except ImportError as error:
        return Usable(False, f"CuPy cannot be imported ({error}); {INSTALL_CUPY}")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return Usable(False, f"CuPy {cupy.__version__} finds no usable GPU or driver ({error})")
    if count == 0:
        return Usable(False, f"CuPy {cupy.__version__} finds no GPU")
    return Usable(True, f"CuPy {cupy.__version__}, {count} GPU(s)")


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


def resolve(device: str | None, x: Array) -> Place:
    """Where to compute on `x`.

    Parameters
    ----------
    device : None, "cpu", "cuda", "cuda:N" or "auto"
        None stays where `x` is; "auto" takes a usable GPU, else stays on the CPU. PyTorch
        tensors stay PyTorch's; other arrays go to CuPy on a GPU and to NumPy on the CPU. Sparse
        matrices are computed on the CPU.

    Raises
    ------
    ValueError
        For any other `device`, a GPU index that does not exist, a sparse matrix for a GPU.
    RuntimeError
        When the GPU asked for cannot be used; the message says why and what to do.
    """
    home = place_of(x)
    if device is None or (device == "auto" and (home.on_gpu or issparse(x))):
        return home
    torch_home = compat.is_torch_namespace(home.xp)
    if device == "cpu":
        return Place(home.xp, home.xp.empty(0, device="cpu").device) if torch_home else HOST
    if device != "auto" and not (isinstance(device, str) and _is_cuda_name(device)):
        msg = f"device={device!r} is not known; use None, 'cpu', 'cuda', 'cuda:N' or 'auto'."
        raise ValueError(msg)
    if issparse(x):
        msg = f"device={device!r}: a sparse X is computed on the CPU; pass X.toarray() instead."
        raise ValueError(msg)
    usable = torch_cuda_usable() if torch_home else cupy_usable()
    if device == "auto" and not usable.yes:
        return home
    if not usable.yes:
        msg = (
            f"device={device!r} cannot be used: {usable.why}. device='auto' falls back to the CPU."
        )
        raise RuntimeError(msg)
    return _gpu(home, 0 if device == "auto" or ":" not in device else int(device[5:]), device)


def _is_cuda_name(device: str) -> bool:
    return device == "cuda" or (device.startswith("cuda:") and device[5:].isdecimal())


def _gpu(home: Place, index: int, device: str) -> Place:
    if compat.is_torch_namespace(home.xp):
        import torch

        count, place = torch.cuda.device_count(), Place(home.xp, torch.device("cuda", index))
    else:
        import cupy
        from array_api_compat import cupy as cupy_namespace

        count = cupy.cuda.runtime.getDeviceCount()
        place = Place(cupy_namespace, cupy.cuda.Device(index))
    if index >= count:
        msg = f"device={device!r}: there are {count} GPU(s), numbered from 0."
        raise ValueError(msg)
    return place


def backends() -> dict[str, Usable]:
    """What can compute here, by backend; for ``kmgpu info``."""
    return {
        "numpy (cpu)": Usable(True, f"NumPy {np.__version__}"),
        "cupy (cuda)": cupy_usable(),
        "torch (cpu)": torch_usable(),
        "torch (cuda)": torch_cuda_usable(),
    }
