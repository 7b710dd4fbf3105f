"""What both ways of seeding share: the draw of rows by cost, and the sums of chunks for it."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.lowlevel.chunks import CHUNK_ROWS
from kmgpu.kernels.cpu.lowlevel.compiled import njit


@njit(nogil=True, cache=True)
def _draw_in_chunks(closest, weight, before, chunks, targets, rows):
    """Write the row of every draw, given its chunk; see `draw_rows`.

    Parameters
    ----------
    closest, weight
        As in `draw_rows`.
    before : ndarray of shape (n_chunks,), float64
        The running sum before every chunk.
    chunks, targets : ndarrays of shape (t,), int64 and float64
        Of every draw: its chunk, and the sum to exceed.
    rows : ndarray of shape (t,), int64, written
    """
    n = closest.shape[0]
    for t in range(targets.shape[0]):
        b = chunks[t]
        running = before[b]
        for i in range(b * CHUNK_ROWS, min(n, b * CHUNK_ROWS + CHUNK_ROWS)):
            term = weight[i] * closest[i] if weight.size else closest[i]
            if term > 0.0:
                rows[t] = i
                running += term
                if running > targets[t]:
                    break


def draw_rows(
    closest: np.ndarray, weight: np.ndarray, chunk_sums: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """The first rows at which the running sum of weight * closest exceeds u times its total.

    Where rounding leaves none, the last row, of the chunk or of all, with a positive term.

    Parameters
    ----------
    closest : ndarray of shape (n,), float64
    weight : ndarray of shape (n,) or (0,), float64, read-only
        Empty: all one.
    chunk_sums : ndarray of shape (n_chunks,), float64
        Sum of weight * closest over each chunk; not all zero.
    u : ndarray of shape (t,), float64, in [0, 1)

    Returns
    -------
    rows : ndarray of shape (t,), int64
    """
    ends = np.cumsum(chunk_sums)
    targets = u * ends[-1]
    last = np.searchsorted(ends, ends[-1])
    chunks = np.minimum(np.searchsorted(ends, targets, side="right"), last)
    rows = np.empty(len(u), np.int64)
    before = np.concatenate(([0.0], ends[:-1]))
    _draw_in_chunks(closest, weight, before, chunks, targets, rows)
    return rows


@njit(fastmath={"contract", "reassoc"})
def row_cost(x, point, squared):
    """Float64 cost of a row (d,), float32 or float64, at a point (d,), float64."""
    total = 0.0
    if squared:
        for q in range(x.shape[0]):
            e = np.float64(x[q]) - point[q]
            total += e * e
    else:
        for q in range(x.shape[0]):
            total += abs(np.float64(x[q]) - point[q])
    return total


@njit(fastmath={"contract", "reassoc"})
def weighted_sum(closest, weight):
    """Sum of weight * closest over the rows of a chunk, (m,) each; no weights are all one."""
    total = 0.0
    if weight.size:
        for r in range(closest.shape[0]):
            total += weight[r] * closest[r]
    else:
        for r in range(closest.shape[0]):
            total += closest[r]
    return total
