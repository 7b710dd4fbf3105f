"""The seam: which operations have a kernel here, and whether it is used."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any

from array_api_compat import is_cupy_namespace
from scipy.sparse import issparse

from kmgpu.backend.arrays import HOST, Array, Namespace, Usable, namespace
from kmgpu.backend.gpus import cupy_usable

# below it a call of a function compiled for the host costs as much as the work
LEAST_WORK = 1 << 10
INSTALL_NUMBA = "pip install 'numba>=0.61,<0.69'"
MODES = ("auto", "reference", "fused")
_mode: ContextVar[str] = ContextVar("kmgpu.kernels", default="auto")


@contextmanager
def use(mode: str) -> Iterator[None]:
    """Choose between kernels and the reference inside a ``with`` block.

    Parameters
    ----------
    mode : {"auto", "reference", "fused"}
        "auto" takes a kernel where there is one and the reference elsewhere; "reference" never
        takes one; "fused" raises RuntimeError for arrays and dtypes that have none. Holds for
        the calling thread (or asyncio task) alone.
    """
    if mode not in MODES:
        msg = f"mode={mode!r} is not known; use one of {', '.join(map(repr, MODES))}."
        raise ValueError(msg)
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)


def lookup(op: str, loss: str, xp: Namespace, dtype: Any) -> Callable[..., Any] | None:
    """Find the kernel for an operation on arrays of `xp` and `dtype`, or None for the reference.

    Parameters
    ----------
    op : {"steps", "seed", "spread", "widths", "nearest", "costs_at", "distances", "refit"}
        A function of `kmgpu.algorithm`. CuPy arrays have kernels for the functions that the
        reference of "steps" is made of; NumPy arrays have one for the whole.
    loss : {"l2", "l1"}
    xp : array namespace
    dtype : dtype of the data
    """
    mode = _mode.get()
    if mode == "reference":
        return None
    table = _table(xp, dtype)
    found = table.get((op, loss))
    expected = not table or any(op == name for name, _ in table)
    if found is None and mode == "fused" and expected:
        msg = (
            f"no fused kernel for {op!r} ({loss}) on {xp.__name__} arrays of {dtype} "
            f"({numba_usable().why}); kernels.use('auto') falls back to the reference."
        )
        raise RuntimeError(msg)
    return found


def _table(xp: Namespace, dtype: Any) -> dict[tuple[str, str], Callable[..., Any]]:
    """The kernels for arrays of `xp` and `dtype`."""
    if xp is HOST.xp and numba_usable().yes and dtype.kind in "fiub":
        from kmgpu.kernels.cpu.table import KERNELS

        return KERNELS
    if is_cupy_namespace(xp):
        from kmgpu.kernels import cuda

        return cuda.KERNELS if str(dtype) in cuda.DTYPES else {}
    return {}


def kernel(op: str, loss: str | None, x: Array, n_clusters: int) -> Callable[..., Any] | None:
    """`lookup` for this data: None also where it is too small for a kernel to pay.

    Sparse rows have operations of their own, with or without Numba: see `kmgpu.kernels.sparse`.

    `loss` is `Loss.kernel_name`: None, a loss of the user's own, has no kernels.
    A kernel that is found takes the arguments of its reference but the loss; one that makes an
    engine, seeds or measures returns None where the reference is as good.
    """
    if loss is None:
        return None
    if issparse(x):
        return _for_sparse(x.nnz * n_clusters < LEAST_WORK).get((op, loss))
    xp = namespace(x)
    small = xp is HOST.xp and x.shape[0] * x.shape[1] * n_clusters < LEAST_WORK
    if small and _mode.get() == "auto":
        return None
    return lookup(op, loss, xp, x.dtype)


def _for_sparse(small: bool) -> dict[tuple[str, str], Callable[..., Any]]:
    """The operations on sparse rows, with their sums compiled where that pays and is allowed."""
    from kmgpu.kernels.sparse import plain, table

    if small and _mode.get() == "auto":
        return table(plain)
    if lookup("steps", "l2", HOST.xp, HOST.xp.dtype("f8")) is None:
        return table(plain)
    from kmgpu.kernels.cpu import sparse

    return table(sparse)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection inside: while Numba is imported it would take a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def numba_usable() -> Usable:
    """Whether Numba imports, what is private of it too; if not, why and what to install.

    Numba that is there and broken is said once, as a warning: all is slower without it.
    """
    try:
        with _collector_paused():
            import numba

            if numba.config.DISABLE_JIT:
                return Usable(False, "Numba compiles nothing: NUMBA_DISABLE_JIT is set")
            from kmgpu.kernels.cpu.lowlevel import compiled as compiled
    except MemoryError:
        raise  # which says nothing of the next time
    except Exception as error:  # llvmlite and Numba raise whatever they like, OSError for one
        why = f"Numba cannot be imported ({error}); {INSTALL_NUMBA}"
        if not isinstance(error, ModuleNotFoundError):
            with suppress(Warning):  # where warnings are errors, this one breaks no fit
                warnings.warn(f"kmgpu is slower now: {why}", RuntimeWarning, stacklevel=2)
        return Usable(False, why)
    return Usable(True, f"Numba {numba.__version__}")


def describe() -> str:
    """One line for ``kmgpu info``: whether fused kernels are on, and where."""
    if _mode.get() == "reference":
        return "off: kernels.use('reference')"
    numba, cuda = numba_usable(), cupy_usable()
    host = (
        f"on for NumPy arrays ({numba.why})" if numba.yes else f"off for NumPy arrays: {numba.why}"
    )
    gpu = "on" if cuda.yes else "none to be used"
    return f"{host}; {gpu} for CuPy arrays (CUDA C++, compiled by CuPy); the reference elsewhere"
