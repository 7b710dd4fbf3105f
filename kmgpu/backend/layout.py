"""The one copy of X that a fit makes: rows in C order, in the dtype of the computation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from kmgpu.backend.arrays import Array, is_narrow
from kmgpu.backend.machine import free_memory
from kmgpu.backend.threads import Workers

# whole numbers up to this one are float32's
MOST_WHOLE = 1 << 24
_ROWS = 256


def arranged(x: Array, memory_budget: int | None) -> tuple[Array, int | None]:
    """`x` as rows in C order of float32 or float64, and what it leaves of the memory budget.

    NumPy arrays that are stored otherwise are copied, by several threads, where the copy takes at
    most half of the budget, or of the memory that is free; else they are left as they are, to be
    converted block by block when they are read. float16, bfloat16 and integers become float32 where
    that holds every value, else float64.
    """
    if issparse(x) or not isinstance(x, np.ndarray):
        return x, memory_budget
    dtype = _float_for(x)
    if x.dtype == dtype and x.flags.c_contiguous:
        return x, memory_budget
    taken = x.size * dtype.itemsize
    if taken > (free_memory() if memory_budget is None else memory_budget) // 2:
        return x, memory_budget
    out = np.empty(x.shape, dtype)

    def copy(lo: int, hi: int) -> None:
        out[lo:hi] = x[lo:hi]

    Workers().map_rows(copy, len(x), _ROWS)
    return out, None if memory_budget is None else memory_budget - taken


def _float_for(x: np.ndarray) -> np.dtype[Any]:
    """float32 where it holds every value of `x`; float64 for float64 and the rest."""
    if is_narrow(x):
        return np.dtype(np.float32)
    whole = x.dtype.kind in "iu" and max(-int(x.min()), int(x.max())) <= MOST_WHOLE
    return np.dtype(np.float32 if whole else np.float64)
