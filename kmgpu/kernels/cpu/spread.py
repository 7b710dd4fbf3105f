"""How far rows lie from their mean, which scales the tolerance of a fit: two compiled passes."""

from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import frozen, row_ranges, weight_of

_FAST = {"contract", "reassoc"}


@njit(nogil=True, cache=True, fastmath=_FAST)
def _sums(x, origin, weight, out):
    """Add ``weight * (x - origin)`` of the rows to `out`.

    Parameters
    ----------
    x : ndarray of shape (m, d), float32 or float64, read-only
    origin : ndarray of shape (d,), float64
    weight : ndarray of shape (m,) or (0,), float64, read-only
        Empty: all one.
    out : ndarray of shape (d,), float64, added to
    """
    for i in range(x.shape[0]):
        w = weight[i] if weight.size else 1.0
        for q in range(x.shape[1]):
            out[q] += w * (np.float64(x[i, q]) - origin[q])


@njit(nogil=True, cache=True, fastmath=_FAST)
def _costs(x, center, weight, squared):
    """Sum of weight * cost at one centre (d,), float64; other parameters as in `_sums`."""
    total = 0.0
    for i in range(x.shape[0]):
        cost = 0.0
        for q in range(x.shape[1]):
            apart = np.float64(x[i, q]) - center[q]
            cost += apart * apart if squared else abs(apart)
        total += cost * (weight[i] if weight.size else 1.0)
    return total


def spread(
    x: np.ndarray,
    loss: Any,
    sample_weight: np.ndarray | None,
    memory_budget: int | None = None,
    n_threads: int | None = None,
) -> float:
    """See `kmgpu.algorithm.spread.spread`; rows are C-contiguous, float32 or float64."""
    del memory_budget
    x, weight, workers = frozen(x), weight_of(sample_weight), Workers(n_threads)
    n, d = x.shape
    origin = x[0].astype(np.float64)

    def summed(item: tuple[int, int, int]) -> np.ndarray:
        _, lo, hi = item
        out = np.zeros(d)
        _sums(x[lo:hi], origin, weight[lo:hi], out)
        return out

    def cost(item: tuple[int, int, int]) -> float:
        _, lo, hi = item
        return _costs(x[lo:hi], center, weight[lo:hi], loss.squared)

    total = weight.sum() if weight.size else n
    center = origin + sum(workers.map(summed, row_ranges(n))) / total
    return float(sum(workers.map(cost, row_ranges(n))) / (total * d))
