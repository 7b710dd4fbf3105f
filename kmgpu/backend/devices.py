"""Where to compute: which place a `device` means, and who computes best on given memory."""

from __future__ import annotations

import warnings
from typing import Any

import array_api_compat as compat
import numpy as np
from scipy.sparse import issparse

from kmgpu.backend.arrays import HOST, Array, Place, handed_over, is_array, place_of
from kmgpu.backend.gpus import (
    GB,
    Gpu,
    cupy_count,
    cupy_gpu,
    cupy_place,
    free_bytes,
    room_for,
    torch_cuda_usable,
    torch_places,
)


class Unavailable(RuntimeError):
    """What was asked for cannot be used on this machine; the text says why, and the remedy."""


def explain_auto() -> str:
    """What ``device="auto"`` does with a NumPy array here, and why; for ``kmgpu info``."""
    count, why = cupy_count()
    best = _roomiest()
    if best is None:
        return f"the CPU: {'no GPU can be used' if count else why}"
    chosen = f"cuda:{best.ordinal}" + (", which has most free memory" if count > 1 else "")
    return f"{chosen}; the CPU for data that need more than its {best.free / GB:.1f} free GB"


def _roomiest() -> Gpu | None:
    """The usable GPU of most free memory, the first of equals."""
    usable = [gpu for gpu in map(cupy_gpu, range(cupy_count()[0])) if not gpu.trouble]
    return max(usable, key=lambda gpu: (gpu.free, -gpu.ordinal), default=None)


def resolve(device: str | None, x: Array) -> Place:
    """Where to compute on `x`.

    Parameters
    ----------
    device : None, "cpu", "cuda", "cuda:N" or "auto"
        None stays where `x` is. "cuda" is the GPU that `x` is on, else the first one. "auto"
        stays on a GPU, else takes the usable GPU of most free memory if `x` and the work on it
        fit, else stays on the CPU. A GPU is computed on by CuPy, by PyTorch where there is
        PyTorch alone; a CPU by NumPy, PyTorch tensors by PyTorch. Sparse matrices are computed
        on the CPU.

    Raises
    ------
    ValueError
        For any other `device`, a GPU index that does not exist, a sparse matrix for a GPU.
    RuntimeError
        When the GPU asked for cannot be used; the message says why and what to do.

    Warns
    -----
    RuntimeWarning
        When "auto" stays on the CPU because no GPU has memory enough.
    """
    home = place_of(x)
    if device is None or (device == "auto" and issparse(x)):
        return home
    if device in ("auto", "cuda") and home.on_gpu:
        return home
    torch_home = compat.is_torch_namespace(home.xp)
    if device == "cpu":
        return Place(home.xp, home.xp.empty(0, device="cpu").device) if torch_home else HOST
    if device == "auto":
        return _automatic(home, x)
    if not (isinstance(device, str) and _is_cuda_name(device)):
        msg = f"device={device!r} is not known; use None, 'cpu', 'cuda', 'cuda:N' or 'auto'."
        raise ValueError(msg)
    if issparse(x):
        msg = f"device={device!r}: a sparse X is computed on the CPU; pass X.toarray() instead."
        raise ValueError(msg)
    return _named(device, torch_home)


def _is_cuda_name(device: str) -> bool:
    return device == "cuda" or (device.startswith("cuda:") and device[5:].isdecimal())


def _named(device: str, torch_home: bool) -> Place:
    """The place that "cuda" or "cuda:N" means."""
    index = int(device.partition(":")[2] or 0)
    count, why = cupy_count()
    by_torch = torch_home and not count
    if by_torch:
        usable = torch_cuda_usable()
        why, count = usable.why, len(torch_places()) if usable.yes else 0
    if count and index >= count:
        msg = f"device={device!r}: there are {count} GPU(s), numbered from 0."
        raise ValueError(msg)
    trouble = cupy_gpu(index).trouble if count and not by_torch else ""
    if trouble or not count:
        why = f"{why}: {trouble}" if trouble else why
        msg = f"device={device!r} cannot be used: {why}. device='auto' falls back to the CPU."
        raise Unavailable(msg)
    return torch_places()[index] if by_torch else cupy_place(index)


def _automatic(home: Place, x: Array) -> Place:
    best = _roomiest()
    if best is not None:
        place, free = cupy_place(best.ordinal), best.free
    elif compat.is_torch_namespace(home.xp) and torch_cuda_usable().yes:
        place = max(torch_places(), key=lambda place: (free_bytes(place), -place.ordinal))
        free = free_bytes(place)
    else:
        return home
    needed = room_for(x.shape, x.dtype.itemsize)
    if needed <= free:
        return place
    warnings.warn(
        f"device='auto' stays on the CPU: X and the work on it take about {needed / GB:.3g} GB, "
        f"{device_name(place)} has {free / GB:.3g} GB free.",
        RuntimeWarning,
        stacklevel=4,
    )
    return home


def device_name(place: Place) -> str:
    """The name that ``device=`` takes for `place`."""
    return f"cuda:{place.ordinal}" if place.on_gpu else "cpu"


def borrowed(x: Any) -> Any:
    """`x`, or an array on the same memory of a library that computes better on it.

    What another library has on a GPU goes to CuPy, for which there are kernels, and JAX's arrays
    on a CPU to NumPy, as JAX has no float64 unless told. A dtype that the other library does not
    take, or a CuPy that cannot be used, leaves `x` as it is.
    """
    place = place_of(x) if is_array(x) else HOST
    if place == HOST or compat.is_cupy_namespace(place.xp):
        return x
    if compat.is_jax_array(x) and not place.on_gpu:
        return np.asarray(x)
    if not place.on_gpu or place.ordinal >= cupy_count()[0]:
        return x
    there = cupy_place(place.ordinal)
    try:
        with there.current():
            return handed_over(x, there.xp)
    except (BufferError, ImportError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return x
