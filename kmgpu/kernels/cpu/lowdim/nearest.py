"""Nearest and second nearest centre in low dimension, L1 and L2: a compiled kernel."""

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import BITS, lowest_bit, mask_above
from kmgpu.kernels.cpu.lowlevel.tile_costs import CENTERS, nearest_tile
from kmgpu.kernels.cpu.lowlevel.tiles import gather_tile, lanes

SCANNED = 4096  # rows whose stored gaps are read before the tiles of open ones are computed
EPS = 2.0**-52  # of float64
FARTHEST = float(np.finfo(np.float32).max) / 4
SMALLEST = float(np.finfo(np.float32).tiny)


def padded(k: int) -> int:
    """K rounded up to multiples of CENTERS; `nearest_rows` takes far centres for the rest."""
    return -(-k // CENTERS) * CENTERS


@njit(inline="always")
def rounded_down(value):
    """A float32 no greater than `value`, a float64 from 0 to what a float32 holds."""
    return np.float32(value * (1 - 2.0**-22) - SMALLEST)


@njit(inline="always")
def _unsettled(gaps, labels, limit, lo, hi, rows, count):
    """Append to ``rows`` those from lo to hi whose stored gap does not exceed their limit."""
    for first in range(lo, hi, BITS):
        if first + BITS <= hi:
            left = ~mask_above(gaps, limit, labels, first)
            while left:
                rows[count] = first + lowest_bit(left)
                count += 1
                left &= left - np.uint64(1)
        else:
            for i in range(first, hi):
                rows[count] = i
                count += not (gaps[i] > limit[np.uint32(labels[i] + 1)])
    return count


@njit(inline="always")
def _label(r, j, gap, drift, labels, gaps, rows, old, changed):
    """Set label and stored gap of row r, and count it among the changed rows if it is one."""
    gaps[r] = rounded_down(gap + drift[np.uint64(j + 1)])
    rows[np.uint64(changed)] = r
    old[np.uint64(changed)] = labels[r]
    changed += j != labels[r]
    labels[r] = j
    return changed


@njit(nogil=True, cache=True)
def nearest_rows(
    x, reference, c, l1, pieces, gamma, tiny, loose, centers, drift, limit, labels, gaps, rows, old
):
    """Label the rows that their stored gaps do not settle, and renew these gaps.

    A row whose two best costs are closer than their rounding errors is ranked again by the costs of
    `lowlevel.exact`.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    c : ndarray of shape (padded(k), n_features), dtype of x, read-only
        Centres minus the reference, followed by far ones.
    l1, pieces : None or True
        See `lowlevel.tile_costs`. `pieces` is for many features.
    gamma, tiny : floats of the dtype of x
        Relative and absolute error of a computed distance.
    loose : ndarray of shape (padded(k),), float64, read-only
        What rounding the row and the centres takes off the gap of a row of that label; infinite
        for the far centres.
    centers : ndarray of shape (padded(k), n_features), float64, read-only
        The centres, followed by infinite ones.
    drift : ndarray of shape (k + 1,), float64, read-only
        Entry j + 1 is the drift of cluster j, at most ``FARTHEST``; see `bounds.RowBounds`.
    limit : ndarray of shape (k + 1,), float32, read-only
        The drifts rounded up, not cut off; entry 0, for rows that have no label yet, is infinite.
    labels : ndarray of shape (m,), int32, updated
        -1: none yet.
    gaps : ndarray of shape (m,), float32, updated
        Gap at the last visit plus the drift of the row's cluster then. A row is settled while it
        exceeds ``limit[label + 1]``.
    rows, old : ndarrays of shape (m,), int32, written
        The rows whose label changed, and the label that they had.

    Returns
    -------
    changed : int
        How many of ``rows`` and ``old`` are set.
    """
    size, d, k = lanes(x), x.shape[1], drift.shape[0] - 1
    w, origin = np.empty(d * size, x.dtype), np.zeros(d, x.dtype)
    tile_gaps, arg = np.empty(size, x.dtype), np.empty(size, np.int32)
    waiting = np.empty(SCANNED + 2 * size, np.int32)
    unsure, exact_gaps = np.empty_like(waiting), np.empty(size)
    up, down = 1 + gamma, 1 - gamma
    error, least = (d + 8) * EPS, np.float64(tiny)
    changed = count = 0
    for lo in range(0, x.shape[0], SCANNED):
        hi = min(lo + SCANNED, x.shape[0])
        count = _unsettled(gaps, labels, limit, lo, hi, waiting, count)
        first = n_unsure = 0
        while count - first >= (size if hi < x.shape[0] else 1):
            m = min(size, count - first)
            for i in range(m, size):
                waiting[first + i] = waiting[first]
            gather_tile(x, waiting, first, reference, w)
            nearest_tile(w, c, l1, pieces, None, up, down, tiny, tile_gaps, arg)
            for i in range(m):
                r, j = np.uint64(waiting[first + i]), arg[i]
                gap = np.float64(tile_gaps[i]) - loose[np.uint64(j)]
                if gap > 0 and gap < FARTHEST:
                    changed = _label(r, j, gap, drift, labels, gaps, rows, old, changed)
                else:
                    unsure[n_unsure] = r
                    n_unsure += 1
            first += m
        for begin in range(0, n_unsure, size):
            m = min(size, n_unsure - begin)
            for i in range(m, size):
                unsure[begin + i] = unsure[begin]
            gather_tile(x, unsure, begin, origin, w)
            nearest_tile(w, centers, l1, None, True, 1 + error, 1 - error, least, exact_gaps, arg)
            for i in range(m):
                # a cost that overflows bounds nothing: visit the row again next time
                known = exact_gaps[i] < np.inf or k == 1
                gap = min(max(exact_gaps[i], 0.0), FARTHEST) if known else 0.0
                r = np.uint64(unsure[begin + i])
                changed = _label(r, arg[i], gap, drift, labels, gaps, rows, old, changed)
        count -= first
        for i in range(count):
            waiting[i] = waiting[first + i]
    return changed
