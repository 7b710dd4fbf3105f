"""Where to compute: which place a `device` means, and who computes best on given memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import array_api_compat as compat
import numpy as np
from scipy.sparse import issparse

from kmgpu.backend.arrays import HOST, Array, Place, handed_over, is_array, itemsize, place_of
from kmgpu.backend.cards import LEAST_RATES, Rates, Work, cpu_seconds, gpu_seconds
from kmgpu.backend.gpus import (
    GB,
    cupy_count,
    cupy_gpu,
    cupy_place,
    cupy_rates,
    free_bytes,
    room_for,
    torch_cuda_usable,
    torch_places,
    without_kernels,
)


class Unavailable(RuntimeError):
    """What was asked for cannot be used on this machine; the text says why, and the remedy."""


def explain_auto() -> str:
    """What ``device="auto"`` does with a NumPy array here, and why; for ``kmgpu info``."""
    count, why = cupy_count()
    usable = (gpu for gpu in map(cupy_gpu, _fastest_first()) if not gpu.trouble)
    best = next(usable, None)
    if best is None:
        return f"the CPU: {'no GPU can be used' if count else why}"
    chosen = f"cuda:{best.ordinal}" + (", the fastest," if count > 1 else "")
    return (
        f"{chosen} for work that is faster there by estimate, and fits into its "
        f"{best.free / GB:.1f} free GB; else the CPU"
    )


def _fastest_first() -> list[int]:
    """The GPUs that have kernels, by speed, then by number; no context is made on any."""
    found = [index for index in range(cupy_count()[0]) if not without_kernels(index)]
    return sorted(found, key=lambda index: -cupy_rates(index).single)


def resolve(device: str | None, x: Array, work: Work) -> Place:
    """Where to compute on `x`.

    Parameters
    ----------
    device : None, "cpu", "cuda", "cuda:N" or "auto"
        None stays where `x` is. "cuda" is the GPU that `x` is on, else the first one. "auto"
        stays on a GPU, else takes the fastest usable GPU that has kernels, memory for `x` and the
        work on it, and is faster than the CPU by estimate; else it stays on the CPU. A GPU is
        computed on by CuPy, by PyTorch where there is PyTorch alone; a CPU by NumPy, PyTorch
        tensors by PyTorch. Sparse matrices are computed on the CPU.
    x : array
    work : Work
        What is to be done with it.

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
        return _automatic(home, x, work)
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


def _automatic(home: Place, x: Array, work: Work) -> Place:
    """The first GPU that is faster and has room; a context is made on no other that is roomy."""
    size = itemsize(x)
    needed, most, scarce = room_for(x.shape, size), 0, None
    for place, card in _candidates(home):
        if gpu_seconds(x.shape, size, work, card) >= cpu_seconds(x.shape, work):
            continue
        free = _usable_bytes(place)
        if needed <= free:
            return place
        if free > most:
            most, scarce = free, place
    if scarce is not None:
        warnings.warn(
            f"device='auto' stays on the CPU: X and the work on it take about "
            f"{needed / GB:.3g} GB, {device_name(scarce)} has {most / GB:.3g} GB free.",
            RuntimeWarning,
            stacklevel=4,
        )
    return home


def _candidates(home: Place) -> Iterator[tuple[Place, Rates]]:
    """The GPUs that may compute on what is at `home`, and their rates."""
    if cupy_count()[0]:
        yield from ((cupy_place(index), cupy_rates(index)) for index in _fastest_first())
    elif compat.is_torch_namespace(home.xp) and torch_cuda_usable().yes:
        yield from ((place, LEAST_RATES) for place in torch_places())


def _usable_bytes(place: Place) -> int:
    """Free bytes of a GPU; 0 where no kernel runs on it."""
    if not compat.is_cupy_namespace(place.xp):
        return free_bytes(place)
    gpu = cupy_gpu(place.ordinal)
    return 0 if gpu.trouble else gpu.free


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
