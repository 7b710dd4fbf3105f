"""The seam: where a kernel runs in place of a function of the algorithm, and whether it does."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, wraps
from inspect import signature
from typing import Any, TypeVar

from array_api_compat import is_cupy_namespace
from scipy.sparse import issparse

from kmgpu.backend.arrays import HOST, Array, Usable, namespace, place_of
from kmgpu.backend.gpus import cupy_count, cupy_usable, outdated, without_kernels

# with less work than this, the call of a compiled function costs more than it saves
LEAST_WORK = 1 << 10
INSTALL_NUMBA = "pip install 'numba>=0.61,<0.69'"
T = TypeVar("T")
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


def replaceable(function: Callable[..., T]) -> Callable[..., T]:
    """Let a kernel of the same name and signature run in place of this function, where one pays.

    Its first parameter is the data, `x`. Two more are looked up by name: ``loss``, as a loss of the
    user's own has no kernels; and the number of clusters, which is ``n_clusters``, or the length of
    ``centers`` or ``previous``, or else 1.
    """
    names = list(signature(function).parameters)[1:]

    @wraps(function)
    def call(x: Array, *args: Any, **kwargs: Any) -> T:
        given = dict(zip(names, args, strict=False)) | kwargs
        loss = given.get("loss")
        found = None
        if loss is None or loss.kernel_name is not None:
            found = chosen(function.__name__, x, _n_clusters(given))
        return (function if found is None else found)(x, *args, **kwargs)

    return call


def _n_clusters(given: dict[str, Any]) -> int:
    if "n_clusters" in given:
        return int(given["n_clusters"])
    centers = given.get("centers", given.get("previous"))
    return 1 if centers is None else int(centers.shape[0])


def chosen(name: str, x: Array, n_clusters: int) -> Callable[..., Any] | None:
    """The kernel that runs in place of a function of `kmgpu.algorithm`, or None.

    None also where `x` is too small for a kernel to pay.
    """
    if issparse(x):
        return _for_sparse(x.nnz * n_clusters < LEAST_WORK).get(name)
    small = namespace(x) is HOST.xp and x.shape[0] * x.shape[1] * n_clusters < LEAST_WORK
    return None if small and _mode.get() == "auto" else lookup(name, x)


def lookup(name: str, x: Array) -> Callable[..., Any] | None:
    """The kernel of that name for arrays such as `x`, whatever their size.

    In mode "fused", RuntimeError if such arrays have no kernels at all.
    """
    if _mode.get() == "reference":
        return None
    table = _table(x)
    if name not in table and not table and _mode.get() == "fused":
        msg = (
            f"no fused kernel for {name!r} on {namespace(x).__name__} arrays of {x.dtype} "
            f"({remark(x) or numba_usable().why}); kernels.use('auto') falls back to the reference."
        )
        raise RuntimeError(msg)
    return table.get(name)


def _table(x: Array) -> dict[str, Callable[..., Any]]:
    """The kernels for such arrays, by the names of the functions that they stand for."""
    xp = namespace(x)
    if xp is HOST.xp and numba_usable().yes and x.dtype.kind in "fiub":
        from kmgpu.kernels.cpu.table import kernels_for

        return kernels_for(x)
    if is_cupy_namespace(xp) and not without_kernels(place_of(x).ordinal):
        from kmgpu.kernels import cuda

        return cuda.KERNELS if str(x.dtype) in cuda.DTYPES else {}
    return {}


def remark(x: Array) -> str:
    """Why arrays of a GPU library that has kernels have none here; empty elsewhere."""
    return without_kernels(place_of(x).ordinal) if is_cupy_namespace(namespace(x)) else ""


def _for_sparse(small: bool) -> dict[str, Callable[..., Any]]:
    """The operations on sparse rows, with their sums compiled where that pays and is allowed."""
    from kmgpu.kernels.sparse import plain, table

    compiled = _mode.get() != "reference" and not (small and _mode.get() == "auto")
    if not compiled or not numba_usable().yes:
        return table(plain)
    from kmgpu.kernels.cpu import sparse

    return table(sparse)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause garbage collection, which would take a third of the time of importing Numba."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def numba_usable() -> Usable:
    """Whether Numba, with the private parts that kernels use, can be imported; if not, why.

    A Numba that is installed and broken is warned about once: everything is slower without it.
    """
    try:
        with _collector_paused():
            import numba

            if numba.config.DISABLE_JIT:
                return Usable(False, "Numba compiles nothing: NUMBA_DISABLE_JIT is set")
            from kmgpu.kernels.cpu.lowlevel import compiled as compiled
    except MemoryError:
        raise  # it may work the next time
    except Exception as error:  # llvmlite and Numba raise whatever they like, OSError for one
        why = f"Numba cannot be imported ({error}); {INSTALL_NUMBA}"
        if not isinstance(error, ModuleNotFoundError):
            with suppress(Warning):  # a user who turns warnings into errors still gets a fit
                warnings.warn(f"kmgpu is slower now: {why}", RuntimeWarning, stacklevel=2)
        return Usable(False, why)
    return Usable(True, f"Numba {numba.__version__}")


def describe() -> str:
    """One line for ``kmgpu info``: whether fused kernels are on, and where."""
    if _mode.get() == "reference":
        return "off: kernels.use('reference')"
    numba = numba_usable()
    host = (
        f"on for NumPy arrays ({numba.why})" if numba.yes else f"off for NumPy arrays: {numba.why}"
    )
    return f"{host}; {_describe_cuda()} for CuPy arrays; the reference elsewhere"


def _describe_cuda() -> str:
    if not cupy_usable().yes:
        return "none to be used"
    why_not = [why for why in map(without_kernels, range(cupy_count()[0])) if why]
    if len(why_not) == cupy_count()[0]:
        return f"none ({why_not[0]})"
    from kmgpu.kernels import cuda

    told = [f"CUDA C++, {cuda.compiled_here()}", *why_not, outdated()]
    return f"on ({'; '.join(filter(None, told))})"
