"""Greedy seeding with few features: every distance is computed, rows across the SIMD lanes."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.seeding.blocks import ROWS, row_distance, weighted_sum


@njit(fastmath={"contract", "reassoc"})
def _term(x, p, is_l1):
    e = x - p
    return abs(e) if is_l1 else e * e


@njit(fastmath={"contract", "reassoc"})
def _distances(tile, m, p, is_l1, out):
    """Distances (squared for L2) of the first m columns of `tile` (d, ROWS) to `p` (d,).

    The first one to four features, then four at a time: `out` is loaded and stored the less often.
    """
    d = tile.shape[0]
    done = (d - 1) % 4 + 1
    x, y, z, w = tile[0], tile[min(1, d - 1)], tile[min(2, d - 1)], tile[min(3, d - 1)]
    if done == 1:
        for r in range(m):
            out[r] = _term(x[r], p[0], is_l1)
    elif done == 2:
        for r in range(m):
            out[r] = _term(x[r], p[0], is_l1) + _term(y[r], p[1], is_l1)
    elif done == 3:
        for r in range(m):
            out[r] = _term(x[r], p[0], is_l1) + _term(y[r], p[1], is_l1) + _term(z[r], p[2], is_l1)
    else:
        for r in range(m):
            out[r] = (_term(x[r], p[0], is_l1) + _term(y[r], p[1], is_l1)) + (
                _term(z[r], p[2], is_l1) + _term(w[r], p[3], is_l1)
            )
    for q in range(done, d, 4):
        x, y, z, w = tile[q], tile[q + 1], tile[q + 2], tile[q + 3]
        a, b, c, e = p[q], p[q + 1], p[q + 2], p[q + 3]
        for r in range(m):
            out[r] += (_term(x[r], a, is_l1) + _term(y[r], b, is_l1)) + (
                _term(z[r], c, is_l1) + _term(w[r], e, is_l1)
            )


@njit(nogil=True, cache=True)
def pack(lo, hi, X, first, tiles):
    """Transpose blocks lo to hi of X (n, d) into tiles[b - first] (d, ROWS)."""
    n, d = X.shape
    for b in range(lo, hi):
        tile = tiles[b - first]
        i0 = b * ROWS
        for r in range(min(n, i0 + ROWS) - i0):
            for q in range(d):
                tile[q, r] = X[i0 + r, q]


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def low_gains(lo, hi, X, tiles, points, margins, is_l1, closest, weight, gains, wins):
    """What each trial would take off the potential, block by block, in the precision of `points`.

    Parameters
    ----------
    lo, hi : range of blocks
    X : (n, d)
    tiles : (n_blocks, d, ROWS), the dtype of X
        The rows transposed block by block, or (0, d, ROWS) to do it on the way.
    points : (t, d), the trials
    margins : (2,), the dtype of points
        What to multiply a distance by, and what to add to `closest`, so that no win is missed.
    closest : (n,) float64
    weight : (n,) or (1,) float64
    gains : (n_blocks, t) float64, output
    wins : (n,) uint32, output
        Bit t: the row may be nearer to trial t than to any centre so far; t < 32.
    """
    n, d = X.shape
    step = 1 if weight.shape[0] == n else 0
    scratch = np.empty((1, d, ROWS), X.dtype)
    found = np.empty(ROWS, points.dtype)
    present = np.empty(ROWS, points.dtype)
    w = np.empty(ROWS, points.dtype)
    zero = np.zeros(1, points.dtype)[0]
    shrink = margins[0]
    tiny = margins[1]
    for b in range(lo, hi):
        i0 = b * ROWS
        m = min(n, i0 + ROWS) - i0
        if tiles.shape[0] == 0:
            pack(b, b + 1, X, b, scratch)
        tile = tiles[b] if tiles.shape[0] else scratch[0]
        won = wins[i0 : i0 + m]
        for r in range(m):
            won[r] = np.uint32(0)
            present[r] = closest[i0 + r]
            w[r] = weight[(i0 + r) * step]
        for t in range(points.shape[0]):
            _distances(tile, m, points[t], is_l1, found)
            gain = zero
            bit = np.uint32(1 << t)
            for r in range(m):
                near = found[r] * shrink <= present[r] + tiny
                won[r] |= bit if near else np.uint32(0)
            for r in range(m):
                gain += w[r] * max(present[r] - found[r], zero)
            gains[b, t] = gain


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def low_accept(lo, hi, X, tiles, point, bit, wins, is_l1, closest, weight, block_sums):
    """Make `point` (d,) a centre: lower `closest` where `wins & bit`, sum these blocks anew.

    Where a block has many such rows, all of it is measured, rows across the lanes.
    """
    n, d = X.shape
    step = 1 if weight.shape[0] == n else 0
    scratch = np.empty((1, d, ROWS), X.dtype)
    found = np.empty(ROWS)
    for b in range(lo, hi):
        i0 = b * ROWS
        m = min(n, i0 + ROWS) - i0
        present, won = closest[i0 : i0 + m], wins[i0 : i0 + m]
        n_won = 0
        for r in range(m):
            n_won += 1 if won[r] & bit else 0
        if n_won == 0:
            continue
        if n_won * 16 < m:
            for r in range(m):
                if won[r] & bit:
                    present[r] = min(present[r], row_distance(X[i0 + r], point, is_l1))
        else:
            if tiles.shape[0] == 0:
                pack(b, b + 1, X, b, scratch)
            _distances(tiles[b] if tiles.shape[0] else scratch[0], m, point, is_l1, found)
            for r in range(m):
                present[r] = min(present[r], found[r])
        block_sums[b] = weighted_sum(present, weight[i0 * step : i0 * step + m])
