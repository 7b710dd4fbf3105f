"""The seam: which operations have a kernel here, and whether it is used.

A kernel has the signature and the meaning of the reference it stands for and passes the same
tests; it is speed, never meaning. On NumPy arrays kernels are compiled by Numba when first needed
and cached on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from scipy.sparse import issparse

from kmgpu.arrays import HOST, Array, Namespace, Usable, namespace

# below it a call of a compiled function costs as much as the work
LEAST_WORK = 1 << 10
MODES = ("auto", "reference", "fused")
_mode: ContextVar[str] = ContextVar("kmgpu.kernels", default="auto")


@contextmanager
def use(mode: str) -> Iterator[None]:
    """Choose between kernels and the reference inside a ``with`` block.

    Parameters
    ----------
    mode : {"auto", "reference", "fused"}
        "auto" takes a kernel where there is one and the reference elsewhere; "reference" never
        takes one; "fused" raises RuntimeError where there is none. Holds for the calling
        thread (or asyncio task) alone.
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
    op : {"steps", "seed"}
        `kmgpu.steps.ReferenceSteps` or `kmgpu.seeding.greedy_seed`.
    loss : {"l2", "l1"}
    xp : array namespace
    dtype : dtype of the data
    """
    mode = _mode.get()
    if mode == "reference":
        return None
    found = None
    if xp is HOST.xp and numba_usable().yes:
        from kmgpu.kernels import cpu

        found = cpu.KERNELS.get((op, loss)) if dtype.kind in "fiub" else None
    if found is None and mode == "fused":
        msg = (
            f"no fused kernel for {op!r} ({loss}) on {xp.__name__} arrays of {dtype} "
            f"({numba_usable().why}); kernels.use('auto') falls back to the reference."
        )
        raise RuntimeError(msg)
    return found


def kernel(op: str, loss: str, x: Array, n_clusters: int) -> Callable[..., Any] | None:
    """`lookup` for this data: None also where it is sparse, or too small for a kernel to pay.

    A kernel that is found takes the arguments of its reference but the loss, and returns None
    where the reference is as good.
    """
    small = x.shape[0] * x.shape[1] * n_clusters < LEAST_WORK
    if issparse(x) or (small and _mode.get() == "auto"):
        return None
    return lookup(op, loss, namespace(x), x.dtype)


@cache
def numba_usable() -> Usable:
    """Whether Numba imports; if not, why and what to install."""
    try:
        import numba
    except ImportError as error:
        return Usable(False, f"Numba cannot be imported ({error}); pip install numba")
    return Usable(True, f"Numba {numba.__version__}")


def describe() -> str:
    """One line for ``kmgpu info``: whether fused kernels are on, and where."""
    usable = numba_usable()
    if _mode.get() == "reference":
        return "off: kernels.use('reference')"
    if not usable.yes:
        return f"off: {usable.why}; the reference is in use"
    return f"on for NumPy arrays ({usable.why}); the reference elsewhere"
