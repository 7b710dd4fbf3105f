"""Nearest and second nearest centre in low dimension, L1 and L2: a compiled kernel."""

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import WORD, lowest_bit, word_above
from kmgpu.kernels.cpu.lowlevel.tile_costs import CENTERS, nearest_tile
from kmgpu.kernels.cpu.lowlevel.tiles import gather_tile, lanes

CHUNK = 4096
EPS = 2.0**-52
FARTHEST = float(np.finfo(np.float32).max) / 4
SMALLEST = float(np.finfo(np.float32).tiny)


def padded(k: int) -> int:
    """Number of centres that the kernels handle, far ones included."""
    return -(-k // CENTERS) * CENTERS


@njit(inline="always")
def rounded_down(value):
    """A float32 that is no greater than a float64 from 0 to what a float32 holds."""
    return np.float32(value * (1 - 2.0**-22) - SMALLEST)


@njit(inline="always")
def _unsettled(slack, labels, limit, lo, hi, rows, count):
    """Append to ``rows`` those from lo to hi whose slack does not exceed their limit."""
    for first in range(lo, hi, WORD):
        if first + WORD <= hi:
            left = ~word_above(slack, limit, labels, first)
            while left:
                rows[count] = first + lowest_bit(left)
                count += 1
                left &= left - np.uint64(1)
        else:
            for i in range(first, hi):
                rows[count] = i
                count += not (slack[i] > limit[np.uint32(labels[i] + 1)])
    return count


@njit(inline="always")
def _label(r, j, gap, drift, labels, slack, rows, old, changed):
    """Give a row its label and its slack; the number of rows that changed label."""
    slack[r] = rounded_down(gap + drift[np.uint64(j + 1)])
    rows[np.uint64(changed)] = r
    old[np.uint64(changed)] = labels[r]
    changed += j != labels[r]
    labels[r] = j
    return changed


@njit(nogil=True, cache=True)
def nearest_rows(
    x, reference, c, l1, pieces, gamma, tiny, loose, centers, drift, limit, labels, slack, rows, old
):
    """Label the rows that their slack does not settle, and renew their slack.

    A row whose two best costs are closer than they round is ranked again by the costs of `exact`.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    c : ndarray of shape (padded(k), n_features), dtype of x, read-only
        Centres minus the reference, followed by far ones.
    l1 : None or True
        L2 or L1: by its type, so that each is compiled without the other.
    pieces : None or True
        By its type: whether costs are summed in two levels, for many features.
    gamma, tiny : floats of the dtype of x
        Relative and absolute error of a computed distance.
    loose : ndarray of shape (padded(k),), float64, read-only
        What rounding the row and the centres takes off the gap of a row of that label; infinite
        for the far ones.
    centers : ndarray of shape (padded(k), n_features), float64, read-only
        The centres, followed by infinite ones.
    drift : ndarray of shape (k + 1,), float64, read-only
        Drift of every cluster, at most ``FARTHEST``, from its second entry on.
    limit : ndarray of shape (k + 1,), float32, read-only
        The same without a limit, rounded up, after an infinity for rows that have no label yet.
    labels, slack : ndarrays of shape (m,), int32 and float32, updated
    rows, old : ndarrays of shape (m,), int32, written
        The rows whose label changed, and the label they had.

    Returns
    -------
    changed : int
        How many of ``rows`` and ``old`` are set.
    """
    size, d, k = lanes(x), x.shape[1], drift.shape[0] - 1
    w, origin = np.empty(d * size, x.dtype), np.zeros(d, x.dtype)
    gaps, arg = np.empty(size, x.dtype), np.empty(size, np.int32)
    waiting = np.empty(CHUNK + 2 * size, np.int32)
    unsure, exact_gaps = np.empty_like(waiting), np.empty(size)
    up, down = 1 + gamma, 1 - gamma
    error, least = (d + 8) * EPS, np.float64(tiny)
    changed = count = 0
    for lo in range(0, x.shape[0], CHUNK):
        hi = min(lo + CHUNK, x.shape[0])
        count = _unsettled(slack, labels, limit, lo, hi, waiting, count)
        first = n_unsure = 0
        while count - first >= (size if hi < x.shape[0] else 1):
            m = min(size, count - first)
            for i in range(m, size):
                waiting[first + i] = waiting[first]
            gather_tile(x, waiting, first, reference, w)
            nearest_tile(w, c, l1, pieces, None, up, down, tiny, gaps, arg)
            for i in range(m):
                r, j = np.uint64(waiting[first + i]), arg[i]
                gap = np.float64(gaps[i]) - loose[np.uint64(j)]
                if gap > 0 and gap < FARTHEST:
                    changed = _label(r, j, gap, drift, labels, slack, rows, old, changed)
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
                # a cost that overflows is no distance that centres could be followed by
                known = exact_gaps[i] < np.inf or k == 1
                gap = min(max(exact_gaps[i], 0.0), FARTHEST) if known else 0.0
                r = np.uint64(unsure[begin + i])
                changed = _label(r, arg[i], gap, drift, labels, slack, rows, old, changed)
        count -= first
        for i in range(count):
            waiting[i] = waiting[first + i]
    return changed
