"""What both ways of seeding share: the draw from block sums, and what goes into these."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.lowlevel.blocks import ROWS
from kmgpu.kernels.cpu.lowlevel.compiled import njit


@njit(nogil=True, cache=True)
def _draw_in_blocks(closest, weight, before, blocks, targets, rows):
    n = closest.shape[0]
    step = 1 if weight.shape[0] == n else 0
    for t in range(targets.shape[0]):
        b = blocks[t]
        running = before[b]
        for i in range(b * ROWS, min(n, b * ROWS + ROWS)):
            term = weight[i * step] * closest[i]
            if term > 0.0:
                rows[t] = i
                running += term
                if running > targets[t]:
                    break


def draw_rows(
    closest: np.ndarray, weight: np.ndarray, block_sums: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """First rows at which the running sum of weight * closest exceeds u times its total.

    Where rounding leaves none, the last row (of the block, or of all) with a positive term.

    Parameters
    ----------
    closest : (n,) float64
    weight : (n,) float64, or (1,) for a constant weight
    block_sums : (ceil(n / ROWS),) float64
        Sum of weight * closest over each block; not all zero.
    u : (t,) float64 in [0, 1)

    Returns
    -------
    rows : (t,) int64
    """
    ends = np.cumsum(block_sums)
    targets = u * ends[-1]
    last = np.searchsorted(ends, ends[-1])
    blocks = np.minimum(np.searchsorted(ends, targets, side="right"), last)
    rows = np.empty(len(u), np.int64)
    before = np.concatenate(([0.0], ends[:-1]))
    _draw_in_blocks(closest, weight, before, blocks, targets, rows)
    return rows


@njit(fastmath={"contract", "reassoc"})
def row_distance(x, p, is_l1):
    """Distance (squared for L2) of a row x (d,) of the data to p (d,) float64, in float64."""
    total = 0.0
    if is_l1:
        for q in range(x.shape[0]):
            total += abs(np.float64(x[q]) - p[q])
    else:
        for q in range(x.shape[0]):
            e = np.float64(x[q]) - p[q]
            total += e * e
    return total


@njit(fastmath={"contract", "reassoc"})
def weighted_sum(closest, weight):
    """Sum of weight * closest over a block; weight (m,), or (1,) for a constant weight."""
    total = 0.0
    if weight.shape[0] == closest.shape[0]:
        for r in range(closest.shape[0]):
            total += weight[r] * closest[r]
    else:
        for r in range(closest.shape[0]):
            total += weight[0] * closest[r]
    return total
