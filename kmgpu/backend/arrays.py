"""Arrays of any library: their namespace, their device, rows of them, and the way to the host.

The only generic files that name array libraries are this one and `kmgpu.backend.gpus`. A library is
imported only when an array of it arrives or a device asks for it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np
from array_api_compat import numpy as numpy_namespace
from scipy.sparse import issparse

Array = Any
Namespace = Any

DLPACK_CPU = 1
# `numpy.dtype.isbuiltin` of a type that an extension registered
USER_DTYPE = 2
# in CuPy's own build for AMD, and in JAX; PyTorch says "cuda" for both makers
GPU_PLATFORMS = ("cuda", "gpu", "rocm")


class Place(NamedTuple):
    """Where arrays live: an array namespace and one of its devices."""

    xp: Namespace
    device: Any

    @property
    def on_gpu(self) -> bool:
        kind = getattr(self.device, "type", getattr(self.device, "platform", ""))
        return compat.is_cupy_namespace(self.xp) or kind in GPU_PLATFORMS

    @property
    def ordinal(self) -> int:
        """Number of the device, from 0."""
        return int(getattr(self.device, "id", None) or getattr(self.device, "index", None) or 0)

    def current(self) -> AbstractContextManager[Any]:
        """Make this the current device inside a ``with`` block; streams stay the caller's."""
        return self.device if compat.is_cupy_namespace(self.xp) else nullcontext()


class Usable(NamedTuple):
    """Whether a backend can compute here; ``why`` says what it found or what is missing."""

    yes: bool
    why: str


HOST = Place(numpy_namespace, "cpu")


def is_array(x: Any) -> bool:
    """Whether `x` is an array of a library (a list, a frame and a scalar are not)."""
    return bool(compat.is_array_api_obj(x)) or issparse(x)


def namespace(x: Array) -> Namespace:
    """The array namespace of `x`; NumPy's for SciPy sparse matrices."""
    if isinstance(x, np.ndarray) or issparse(x):
        return numpy_namespace
    return compat.array_namespace(x)


def place_of(x: Array) -> Place:
    """Where `x` lives."""
    if isinstance(x, np.ndarray) or issparse(x):
        return HOST
    return Place(namespace(x), compat.device(x))


def adopted(x: Any) -> Any:
    """`x`, or the array on the memory of an `x` that has no namespace but shows its memory.

    Whatever has ``to_cupy`` (cuDF; its columns are gathered), ``__cuda_array_interface__`` (Numba)
    or ``__dlpack__`` becomes an array of CuPy on a GPU and of NumPy on a CPU, without a copy.
    Dask's arrays and frames are computed.

    Raises
    ------
    ImportError
        When `x` is on a GPU and CuPy cannot be imported.
    """
    if hasattr(x, "__dask_graph__"):
        x = x.compute()
    if is_array(x):
        return x
    if hasattr(x, "to_cupy"):
        return x.to_cupy()
    if hasattr(x, "__cuda_array_interface__"):
        return _cupy_for(x).asarray(x)
    if hasattr(x, "__dlpack_device__"):
        on_cpu = x.__dlpack_device__()[0] == DLPACK_CPU
        return (np if on_cpu else _cupy_for(x)).from_dlpack(x)
    return x


def _cupy_for(x: Any) -> Namespace:
    try:
        import cupy
    except ImportError as error:
        msg = (
            f"a {type(x).__name__} in GPU memory needs CuPy, which cannot be imported ({error}); "
            f"see kmgpu info, or pass a NumPy array."
        )
        raise ImportError(msg) from error
    return cupy


def asarray(x: Any, place: Place, dtype: Any = None) -> Array:
    """`x` (an array of any library, or host data) at `place`; no copy where none is needed."""
    x = adopted(x)
    if is_array(x) and place_of(x).xp is not place.xp and place_of(x).on_gpu and place.on_gpu:
        x = handed_over(x, place.xp)
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


def handed_over(x: Array, xp: Namespace) -> Array:
    """`x` as an array of another library on the same memory, by DLPack.

    The protocol makes the stream current in `xp` wait for what `x` is still being filled by.
    """
    return xp.from_dlpack(x.detach() if compat.is_torch_array(x) else x)


def to_host(x: Any) -> np.ndarray:
    """`x` as a NumPy array; the one way from a device to the host."""
    x = adopted(x)
    if compat.is_cupy_array(x):
        return x.get()
    if compat.is_torch_array(x):
        tensor = x.detach().cpu()
        return (tensor.float() if _is_bfloat16(x) else tensor).numpy()  # NumPy has no bfloat16
    if is_array(x) and not compat.is_numpy_array(x) and not compat.is_jax_array(x):
        xp = namespace(x)
        if hasattr(xp, "Device"):  # array-api-strict refuses to leave its pretend devices
            x = compat.to_device(x, xp.Device("CPU_DEVICE"))
        if place_of(x).on_gpu:
            return handed_over(x, _cupy_for(x)).get()
        return np.from_dlpack(x)
    return np.asarray(x)


def _is_bfloat16(x: Array) -> bool:
    # of torch, or of ml_dtypes, which gives it to NumPy, CuPy and JAX
    if isinstance(x, np.ndarray) and x.dtype.kind != "V":
        return False
    return str(x.dtype).rpartition(".")[2] == "bfloat16"


def is_floating(x: Array) -> bool:
    """Whether the dtype of `x` is a real floating one."""
    if isinstance(x, np.ndarray) and x.dtype.kind != "V":
        return x.dtype.kind == "f"
    return _is_bfloat16(x) or bool(namespace(x).isdtype(x.dtype, "real floating"))


def itemsize(x: Array) -> int:
    """Bytes of a number; the standard names no attribute for it."""
    size = getattr(x.dtype, "itemsize", None)
    if size is not None:
        return int(size)
    xp = namespace(x)
    if x.dtype == xp.bool:
        return 1
    return int((xp.finfo if is_floating(x) else xp.iinfo)(x.dtype).bits) // 8


def is_real(x: Array) -> bool:
    """Whether the dtype of `x` is boolean, integer or floating, and no mere storage format."""
    if is_extension(x):
        return _is_bfloat16(x)
    return bool(namespace(x).isdtype(x.dtype, ("bool", "integral", "real floating")))


def is_extension(x: Array) -> bool:
    """Whether the dtype of `x` is none of NumPy's own numbers: of ml_dtypes, or a record."""
    return getattr(x.dtype, "kind", "") == "V" or getattr(x.dtype, "isbuiltin", 1) == USER_DTYPE


def is_narrow(x: Array) -> bool:
    """Whether float32 holds every number of the dtype of `x`."""
    xp = namespace(x)
    if _is_bfloat16(x) or is_floating(x):
        return _is_bfloat16(x) or xp.finfo(x.dtype).bits <= 32
    return bool(xp.isdtype(x.dtype, "bool")) or xp.iinfo(x.dtype).bits <= 16


def compute_dtype(x: Array) -> Any:
    """float32 for float32 and narrower floats, float64 for the rest (integers are exact in it)."""
    xp = namespace(x)
    narrow = _is_bfloat16(x) or (is_floating(x) and xp.finfo(x.dtype).bits <= 32)
    return xp.float32 if narrow else xp.float64


def rows(x: Array, start: int, stop: int, dtype: Any) -> Array:
    """Rows ``start:stop`` as a dense array of `dtype`; not a copy where none is needed."""
    part = x[start:stop] if issparse(x) else x[start:stop, ...]
    return _dense(part, dtype)


def take_rows(x: Array, indices: Array, dtype: Any) -> Array:
    """The rows at `indices` (an integer array beside `x`) as a dense array of `dtype`."""
    return _dense(picked_rows(x, indices), dtype)


def picked_rows(x: Array, indices: Array) -> Array:
    """The rows at `indices` (an integer array beside `x`), of the kind of `x`."""
    if issparse(x) or (isinstance(x, np.ndarray) and not x.flags.c_contiguous):
        return x[indices]  # np.take would copy all of x first
    return namespace(x).take(x, indices, axis=0)


def parts_on_host(x: Array) -> tuple[np.ndarray, ...]:
    """All numbers of `x` on the host: itself, or what sparse rows are stored as."""
    return (x.data, x.indices, x.indptr) if issparse(x) else (to_host(x),)


def column(x: Array, feature: int, dtype: Any) -> Array:
    """One feature of every row, (n_samples,), dense."""
    if issparse(x):
        return x[:, [feature]].toarray()[:, 0].astype(dtype)
    return namespace(x).astype(x[:, feature], dtype, copy=False)


def _dense(part: Array, dtype: Any) -> Array:
    part = part.toarray() if issparse(part) else part
    return namespace(part).astype(part, dtype, copy=False)
