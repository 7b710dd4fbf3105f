"""Greedy seeding with many features: a sketch screens, survivors are measured in float64."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.seeding.blocks import ROWS, row_distance, weighted_sum
from kmgpu.kernels.cpu.seeding.sketch import row_limits
from kmgpu.kernels.cpu.seeding.vector import integer_scores


@njit(fastmath={"contract"})
def _survivors(scores, units, offsets, limit, m, maybe):
    """Bit t of maybe[r]: the sketch does not exclude that trial t wins row r of a block."""
    for r in range(m):
        maybe[r] = np.uint32(0)
    for t in range(units.shape[0]):
        unit, offset, bit = units[t], offsets[t], np.uint32(1 << t)
        score = scores[t]
        for r in range(m):
            excluded = np.float32(score[r]) * unit >= limit[r] + offset
            maybe[r] |= np.uint32(0) if excluded else bit


@njit(nogil=True, cache=True)
def high_gains(
    lo, hi, X, points, sketch, factors, units, offsets, is_l1, closest, weight, gains, wins
):
    """What each trial would take off the potential, block by block, and which rows it would win.

    Parameters
    ----------
    lo, hi : range of blocks
    X : (n, d)
    points : (t, d) float64, the trials; t <= 32
    sketch : codes, steps, length, error, unit of a Sketch
    factors, units, offsets : from Sketch.factors(points)
    is_l1 : bool
    closest : (n,) float64
    weight : (n,) or (1,) float64
    gains : (n_blocks, t) float64, output
    wins : (n,) uint32, output
        Bit t: the row is nearer to trial t than to any centre so far.
    """
    codes, steps, length, error, unit = sketch
    n = X.shape[0]
    step = 1 if weight.shape[0] == n else 0
    scores = np.empty((factors.shape[0], ROWS), np.int32)
    maybe = np.empty(ROWS, np.uint32)
    limit = np.empty(ROWS, np.float32)
    for b in range(lo, hi):
        i0, i1 = b * ROWS, min(n, b * ROWS + ROWS)
        integer_scores(codes[b], factors, steps, is_l1, scores)
        row_limits(closest[i0:i1], length[i0:i1], error[i0:i1], unit, is_l1, limit)
        _survivors(scores, units, offsets, limit, i1 - i0, maybe)
        gains[b] = 0.0
        for i in range(i0, i1):
            bits = np.uint32(0)
            if maybe[i - i0] and closest[i] > 0.0:
                for t in range(points.shape[0]):
                    if (maybe[i - i0] >> t) & 1:
                        found = row_distance(X[i], points[t], is_l1)
                        if found < closest[i]:
                            bits |= np.uint32(1 << t)
                            gains[b, t] += weight[i * step] * (closest[i] - found)
            wins[i] = bits


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def high_accept(lo, hi, X, point, bit, wins, is_l1, closest, weight, block_sums):
    """Make `point` (d,) a centre: lower `closest` where `wins & bit`, sum these blocks anew."""
    n = X.shape[0]
    step = 1 if weight.shape[0] == n else 0
    for b in range(lo, hi):
        i0, i1 = b * ROWS, min(n, b * ROWS + ROWS)
        any_won = np.uint32(0)
        for i in range(i0, i1):
            any_won |= wins[i]
        if not any_won & bit:
            continue
        for i in range(i0, i1):
            if wins[i] & bit:
                closest[i] = min(closest[i], row_distance(X[i], point, is_l1))
        block_sums[b] = weighted_sum(closest[i0:i1], weight[i0 * step : i0 * step + i1 - i0])
