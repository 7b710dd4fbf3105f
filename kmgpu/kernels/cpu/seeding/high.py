"""Greedy seeding of many features: a sketch excludes most rows, kernels measure the others."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.lowlevel.byte_scores import byte_scores
from kmgpu.kernels.cpu.lowlevel.chunks import CHUNK_ROWS
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import BITS, fetch_row, lowest_bit, mask_set
from kmgpu.kernels.cpu.seeding.draws import row_cost, weighted_sum
from kmgpu.kernels.cpu.seeding.sketch import row_limit

# rows ahead of the one being measured whose cache lines are asked for: they lie far apart
_AHEAD = 4


@njit(fastmath={"contract"})
def _survivors(sums, units, offsets, limit, m, maybe):
    """Set bit t of maybe[r] if the sketch does not exclude that trial t wins row r of a chunk."""
    for r in range(m):
        maybe[r] = np.uint32(0)
    for t in range(units.shape[0]):
        unit, offset, bit = units[t], offsets[t], np.uint32(1 << t)
        score = sums[t]
        for r in range(m):
            excluded = np.float32(score[r]) * unit >= limit[r] + offset
            maybe[r] |= np.uint32(0) if excluded else bit


@njit(nogil=True, cache=True)
def high_gains(
    lo, hi, X, points, codes, quanta, limits, factors, squared, closest, weight, gains, wins
):
    """What each trial would take off the potential, chunk by chunk, and which rows it would win.

    Parameters
    ----------
    lo, hi : int
        The chunks lo to hi - 1.
    X : ndarray of shape (n, d), float32 or float64, read-only
    points : ndarray of shape (t, d), float64
        The trials; t <= 32.
    codes, quanta
        Of `Sketch`.
    limits : ndarray of shape (n,), float32
        See `sketch.row_limit`.
    factors : Factors
        Those of `points`.
    squared : bool
    closest : ndarray of shape (n,), float64
        Cost of every row at the nearest centre so far.
    weight : ndarray of shape (n,) or (0,), float64, read-only
        Empty: all one.
    gains : ndarray of shape (n_chunks, t), float64, written
    wins : tuple of ndarrays, written
        The rows of every chunk that are nearer to a trial than to any centre so far: how many,
        (n_chunks,) int64; which, (n_chunks, CHUNK_ROWS) uint8; and by which trials they are won,
        a bit for each, (n_chunks, CHUNK_ROWS) uint32.
    """
    n_won, row, bits = wins
    n, n_trials = X.shape[0], points.shape[0]
    sums = np.empty((factors.factors.shape[0], CHUNK_ROWS), np.int32)
    maybe = np.zeros(CHUNK_ROWS, np.uint32)
    gain = np.empty(n_trials)
    for b in range(lo, hi):
        i0, i1 = b * CHUNK_ROWS, min(n, b * CHUNK_ROWS + CHUNK_ROWS)
        byte_scores(codes[b], factors.factors, factors.starts, quanta, squared, sums)
        maybe[i1 - i0 :] = 0
        _survivors(sums, factors.units, factors.offsets, limits[i0:i1], i1 - i0, maybe)
        n_left = 0
        for r in range(0, CHUNK_ROWS, BITS):
            mask = mask_set(maybe, r)
            while mask:
                row[b, n_left] = r + lowest_bit(mask)
                n_left += 1
                mask &= mask - np.uint64(1)
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
                    found = row_cost(X[i], points[t], squared)
                    if found < closest[i]:
                        won |= np.uint32(1 << t)
                        gain[t] += (weight[i] if weight.size else 1.0) * (closest[i] - found)
            if won:
                row[b, n_won[b]], bits[b, n_won[b]] = r, won
                n_won[b] += 1
        for t in range(n_trials):  # a slice costs seconds of compilation, for its message
            gains[b, t] = gain[t]


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def high_accept(
    lo, hi, X, point, bit, label, wins, sketch, squared, closest, labels, limits, weight, chunk_sums
):
    """Make `point` (d,) the centre `label`: lower `closest` where it wins, sum these chunks again.

    `bit` is this trial's bit in `wins`; `sketch` is length, error and unit of a `Sketch`. Other
    parameters are those of `high_gains`; `labels` (n,) int32 and `chunk_sums` (n_chunks,) float64
    are updated, as `limits` is.
    """
    n_won, row, bits = wins
    length, error, unit = sketch
    n = X.shape[0]
    for b in range(lo, hi):
        i0, i1 = b * CHUNK_ROWS, min(n, b * CHUNK_ROWS + CHUNK_ROWS)
        any_won = np.uint32(0)
        for j in range(n_won[b]):
            any_won |= bits[b, j]
            if bits[b, j] & bit:
                fetch_row(X, i0 + row[b, j])
        if any_won & bit:
            for j in range(n_won[b]):
                if bits[b, j] & bit:
                    i = i0 + row[b, j]
                    closest[i] = min(closest[i], row_cost(X[i], point, squared))
                    labels[i] = label
                    limits[i] = row_limit(closest[i], length[i], error[i], unit, squared)
            chunk_sums[b] = weighted_sum(closest[i0:i1], weight[i0:i1])
