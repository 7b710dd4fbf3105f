"""Greedy seeding with few features: every distance is computed, by tiles of rows."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.lowlevel.blocks import ROWS
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.tiles import gather_tile, lanes
from kmgpu.kernels.cpu.seeding.draws import weighted_sum
from kmgpu.kernels.cpu.seeding.low_tiles import gains_tile, lower_tile


@njit(nogil=True, cache=True)
def pack(lo, hi, X, tiles):
    """Transpose blocks lo to hi of X (n, d) into `tiles` (n_blocks * ROWS * d,).

    A block's tiles lie one after the other, as `tiles.gather_tile` writes them; the last row of X
    is repeated to the end of its tile.
    """
    n, d = X.shape
    size = lanes(X)
    rows, origin = np.empty(size, np.int32), np.zeros(d, X.dtype)
    for i in range(lo * ROWS, min(n, hi * ROWS), size):
        _pack_tile(X, i, rows, origin, tiles[i * d : (i + size) * d])


@njit(inline="always")
def _pack_tile(X, i, rows, origin, tile):
    """Transpose the rows of X from i on; `rows` (lanes,) int32 is scratch, `origin` (d,) zeros."""
    for r in range(rows.shape[0]):
        rows[r] = min(X.shape[0] - 1, i + r)
    gather_tile(X, rows, 0, origin, tile)


@njit(nogil=True, cache=True)
def low_gains(lo, hi, X, tiles, points, margins, l1, closest, weight, gains, wins):
    """What each trial would take off the potential, block by block, in the precision of `points`.

    Parameters
    ----------
    lo, hi : range of blocks
    X : (n, d)
    tiles : (n_blocks * ROWS * d,), the dtype of X
        All of X as `pack` writes it, or (0,) to do it on the way.
    points : (t, d), the trials
    margins : (2,), the dtype of points
        What to multiply a distance by, and what to add to `closest`, so that no win is missed.
    l1 : None or True
        L2 or L1: by its type, so that each is compiled without the other.
    closest : (n_blocks * ROWS,) float64
    weight : (n,) or (1,) float64
    gains : (n_blocks, t) float64, output
    wins : (n_blocks * ROWS,) uint32, output
        Bit t: the row may be nearer to trial t than to any centre so far; t < 32.
    """
    n, d = X.shape
    size = lanes(X)
    rows, origin = np.empty(size, np.int32), np.zeros(d, X.dtype)
    scratch = np.empty(size * d, X.dtype)
    present = np.zeros(ROWS, points.dtype)
    w = np.full(ROWS, weight[0], points.dtype)
    sums = np.empty(points.shape[0] * size, points.dtype)
    for b in range(lo, hi):
        i0 = b * ROWS
        m = min(n, i0 + ROWS) - i0
        for r in range(m):
            present[r] = closest[i0 + r]
        if weight.shape[0] == n:
            for r in range(m):
                w[r] = weight[i0 + r]
        present[m:] = 0
        w[m:] = 0
        sums[:] = 0
        for r in range(0, m, size):
            i = i0 + r
            tile = tiles[i * d : (i + size) * d] if tiles.size else scratch
            if not tiles.size:
                _pack_tile(X, i, rows, origin, tile)
            gains_tile(tile, points, l1, present[r:], w[r:], margins[0], margins[1], wins[i:], sums)
        for t in range(points.shape[0]):
            gains[b, t] = sums[t * size : t * size + size].sum()


@njit(nogil=True, cache=True)
def low_accept(lo, hi, X, tiles, point, bit, wins, l1, closest, weight, block_sums):
    """Make `point` (1, d) a centre: lower `closest` where `wins & bit`, sum these blocks anew.

    Where `bit` is 0 it is the first centre.
    """
    n, d = X.shape
    size = lanes(X)
    step = 1 if weight.shape[0] == n else 0
    rows, origin = np.empty(size, np.int32), np.zeros(d, X.dtype)
    scratch = np.empty(size * d, X.dtype)
    for b in range(lo, hi):
        i0 = b * ROWS
        m = min(n, i0 + ROWS) - i0
        n_lowered = 0
        for i in range(i0, i0 + m, size):
            won = np.uint32(0)
            for r in range(i, i + size):
                won |= wins[r]
            if bit == 0 or won & bit:
                tile = tiles[i * d : (i + size) * d] if tiles.size else scratch
                if not tiles.size:
                    _pack_tile(X, i, rows, origin, tile)
                lower_tile(tile, point, l1, closest[i:], bit == 0)
                n_lowered += 1
        if n_lowered:
            block_sums[b] = weighted_sum(closest[i0 : i0 + m], weight[i0 * step : i0 * step + m])
