"""Greedy seeding of few features: kernels that compute the costs of all rows, tile by tile."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.lowlevel.chunks import CHUNK_ROWS
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.tiles import gather_tile, lanes
from kmgpu.kernels.cpu.seeding.draws import weighted_sum
from kmgpu.kernels.cpu.seeding.low_tiles import gains_tile, lower_tile


@njit(nogil=True, cache=True)
def pack(lo, hi, X, tiles):
    """Transpose the chunks lo to hi - 1 of X (n, d) into `tiles` (n_chunks * CHUNK_ROWS * d,).

    Tile follows tile, as `lowlevel.tiles.gather_tile` writes them; the last row of X is repeated to
    the end of its tile.
    """
    n, d = X.shape
    size = lanes(X)
    rows, origin = np.empty(size, np.int32), np.zeros(d, X.dtype)
    for i in range(lo * CHUNK_ROWS, min(n, hi * CHUNK_ROWS), size):
        _pack_tile(X, i, rows, origin, tiles[i * d : (i + size) * d])


@njit(inline="always")
def _pack_tile(X, i, rows, origin, tile):
    """Transpose the rows of X from i on; `rows` (lanes,) int32 is scratch, `origin` (d,) zeros."""
    for r in range(rows.shape[0]):
        rows[r] = min(X.shape[0] - 1, i + r)
    gather_tile(X, rows, 0, origin, tile)


@njit(nogil=True, cache=True)
def low_gains(lo, hi, X, tiles, points, margins, l1, closest, weight, gains, wins):
    """What each trial would take off the potential, chunk by chunk, in the precision of `points`.

    Parameters
    ----------
    lo, hi : int
        The chunks lo to hi - 1.
    X : ndarray of shape (n, d), float32 or float64, read-only
    tiles : ndarray of shape (n_chunks * CHUNK_ROWS * d,) or (0,), dtype of X
        All of X as `pack` writes it; empty: tiles are made on the way.
    points : ndarray of shape (t, d), float32 or float64
        The trials; t <= 32.
    margins : ndarray of shape (2,), dtype of points
        Factor of a cost, and what is added to `closest`, so that no win is missed.
    l1 : None or True
        See `lowlevel.tile_costs`.
    closest : ndarray of shape (n_chunks * CHUNK_ROWS,), float64
        Cost of every row at the nearest centre so far.
    weight : ndarray of shape (n,) or (0,), float64, read-only
        Empty: all one.
    gains : ndarray of shape (n_chunks, t), float64, written
    wins : ndarray of shape (n_chunks * CHUNK_ROWS,), uint32, written
        Bit t is set if the row may be nearer to trial t than to any centre so far.
    """
    n, d = X.shape
    size = lanes(X)
    rows, origin = np.empty(size, np.int32), np.zeros(d, X.dtype)
    scratch = np.empty(size * d, X.dtype)
    present = np.zeros(CHUNK_ROWS, points.dtype)
    w = np.ones(CHUNK_ROWS, points.dtype)
    sums = np.empty(points.shape[0] * size, points.dtype)
    for b in range(lo, hi):
        i0 = b * CHUNK_ROWS
        m = min(n, i0 + CHUNK_ROWS) - i0
        for r in range(m):
            present[r] = closest[i0 + r]
        if weight.size:
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
def low_accept(lo, hi, X, tiles, point, bit, wins, l1, closest, weight, chunk_sums):
    """Make `point` (1, d) a centre: lower `closest` where it wins, and sum these chunks again.

    `bit` is this trial's bit in `wins`; 0: the point is the first centre and wins all rows. Other
    parameters are those of `low_gains`; `chunk_sums` is (n_chunks,) float64, updated.
    """
    n, d = X.shape
    size = lanes(X)
    rows, origin = np.empty(size, np.int32), np.zeros(d, X.dtype)
    scratch = np.empty(size * d, X.dtype)
    for b in range(lo, hi):
        i0 = b * CHUNK_ROWS
        m = min(n, i0 + CHUNK_ROWS) - i0
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
            chunk_sums[b] = weighted_sum(closest[i0 : i0 + m], weight[i0 : i0 + m])
