"""Greedy seeding with many features: a sketch screens, survivors are measured in float64."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.lowlevel.blocks import ROWS
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import WORD, fetch_row, lowest_bit, word_set
from kmgpu.kernels.cpu.lowlevel.scores import integer_scores
from kmgpu.kernels.cpu.seeding.draws import row_distance, weighted_sum
from kmgpu.kernels.cpu.seeding.sketch import row_limit

# Rows that survive lie far apart: they are on their way into the cache while others are measured.
_AHEAD = 4


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
    lo,
    hi,
    X,
    points,
    codes,
    steps,
    limits,
    factors,
    is_l1,
    closest,
    weight,
    gains,
    wins,
):
    """What each trial would take off the potential, block by block, and which rows it would win.

    Parameters
    ----------
    lo, hi : range of blocks
    X : (n, d)
    points : (t, d) float64, the trials; t <= 32
    codes, steps : of a Sketch
    limits : (n,) float32
        See sketch.row_limit.
    factors : Factors
        From Sketch.factors(points).
    is_l1 : bool
    closest : (n,) float64
    weight : (n,) or (1,) float64
    gains : (n_blocks, t) float64, output
    wins : n_won (n_blocks,) int64, row (n_blocks, ROWS) uint8, bits (n_blocks, ROWS) uint32, output
        The rows of a block that are nearer to a trial than to any centre so far, and of each which
        trials those are: bit t.
    """
    n_won, row, bits = wins
    n, n_trials = X.shape[0], points.shape[0]
    step = 1 if weight.shape[0] == n else 0
    scores = np.empty((factors.factors.shape[0], ROWS), np.int32)
    maybe = np.zeros(ROWS, np.uint32)
    gain = np.empty(n_trials)
    for b in range(lo, hi):
        i0, i1 = b * ROWS, min(n, b * ROWS + ROWS)
        integer_scores(codes[b], factors.factors, factors.starts, steps, is_l1, scores)
        maybe[i1 - i0 :] = 0
        _survivors(scores, factors.units, factors.offsets, limits[i0:i1], i1 - i0, maybe)
        n_left = 0
        for r in range(0, ROWS, WORD):
            word = word_set(maybe, r)
            while word:
                row[b, n_left] = r + lowest_bit(word)
                n_left += 1
                word &= word - np.uint64(1)
        gain[:] = 0.0
        n_won[b] = 0
        for j in range(min(_AHEAD, n_left)):
            fetch_row(X, i0 + row[b, j])
        for j in range(n_left):
            if j + _AHEAD < n_left:
                fetch_row(X, i0 + row[b, j + _AHEAD])
            r = row[b, j]
            i = i0 + r
            won = np.uint32(0)
            for t in range(n_trials):
                if (maybe[r] >> t) & 1:
                    found = row_distance(X[i], points[t], is_l1)
                    if found < closest[i]:
                        won |= np.uint32(1 << t)
                        gain[t] += weight[i * step] * (closest[i] - found)
            if won:
                row[b, n_won[b]], bits[b, n_won[b]] = r, won
                n_won[b] += 1
        gains[b] = gain


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def high_accept(
    lo, hi, X, point, bit, label, wins, sketch, is_l1, closest, labels, limits, weight, block_sums
):
    """Make `point` (d,) the centre `label`: lower what `bits & bit` says, sum these blocks anew.

    `sketch` is length, error and unit of a Sketch.
    """
    n_won, row, bits = wins
    length, error, unit = sketch
    n = X.shape[0]
    step = 1 if weight.shape[0] == n else 0
    for b in range(lo, hi):
        i0, i1 = b * ROWS, min(n, b * ROWS + ROWS)
        any_won = np.uint32(0)
        for j in range(n_won[b]):
            any_won |= bits[b, j]
            if bits[b, j] & bit:
                fetch_row(X, i0 + row[b, j])
        if any_won & bit:
            for j in range(n_won[b]):
                if bits[b, j] & bit:
                    i = i0 + row[b, j]
                    closest[i] = min(closest[i], row_distance(X[i], point, is_l1))
                    labels[i] = label
                    limits[i] = row_limit(closest[i], length[i], error[i], unit, is_l1)
            block_sums[b] = weighted_sum(closest[i0:i1], weight[i0 * step : i0 * step + i1 - i0])
