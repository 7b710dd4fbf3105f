"""Nearest and second nearest centre in low dimension, L1 and L2: a compiled kernel."""

import numpy as np

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.intrinsics import WORD, lowest_bit, word_above
from kmgpu.kernels.cpu.tile_costs import CENTERS, nearest_tile
from kmgpu.kernels.cpu.tiles import gather_tile, lanes

CHUNK = 4096


def padded(k: int) -> int:
    """Number of centres that the kernels handle, infinite ones included."""
    return -(-k // CENTERS) * CENTERS


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


@njit(nogil=True, cache=True)
def nearest_rows(x, reference, c, l1, gamma, tiny, drift, limit, labels, slack, rows, old):
    """Label the rows that their slack does not settle, and renew their slack.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    c : ndarray of shape (padded(k), n_features), dtype of x, read-only
        Centres minus the reference, followed by infinite ones.
    l1 : None or True
        L2 or L1: by its type, so that each is compiled without the other.
    gamma, tiny : floats of the dtype of x
        Relative and absolute error of a computed distance.
    drift : ndarray of shape (k + 1,), float64, read-only
        Drift of every cluster, after an infinity for rows that have no label yet.
    limit : ndarray of shape (k + 1,), float32, read-only
        The same, rounded up.
    labels, slack : ndarrays of shape (m,), int32 and float32, updated
    rows, old : ndarrays of shape (m,), int32, written
        The rows whose label changed, and the label they had.

    Returns
    -------
    changed : int
        How many of ``rows`` and ``old`` are set.
    """
    size = lanes(x)
    w = np.empty(x.shape[1] * size, x.dtype)
    gaps, arg = np.empty(size, x.dtype), np.empty(size, np.int32)
    waiting = np.empty(CHUNK + 2 * size, np.int32)
    up, down = 1 + 3 * gamma, 1 - 3 * gamma
    changed = count = 0
    for lo in range(0, x.shape[0], CHUNK):
        hi = min(lo + CHUNK, x.shape[0])
        count = _unsettled(slack, labels, limit, lo, hi, waiting, count)
        first = 0
        while count - first >= (size if hi < x.shape[0] else 1):
            m = min(size, count - first)
            for i in range(m, size):
                waiting[first + i] = waiting[first]
            gather_tile(x, waiting, first, reference, w)
            nearest_tile(w, c, l1, up, down, tiny, gaps, arg)
            for i in range(m):
                r, j = np.uint64(waiting[first + i]), arg[i]
                gap = np.float64(gaps[i]) + drift[np.uint64(j + 1)]
                slack[r] = gap * (1 - 2.0**-22) if gap > 0 else gap * (1 + 2.0**-22)
                rows[np.uint64(changed)] = r
                old[np.uint64(changed)] = labels[r]
                changed += j != labels[r]
                labels[r] = j
            first += m
        count -= first
        for i in range(count):
            waiting[i] = waiting[first + i]
    return changed
