"""Compiled scan of a row's stored bounds (Numba): which centres they leave in question.

Bounds and paths are whole steps of one length, unsigned 16-bit, so that a few vector instructions
test 64 centres; a bound less the path of its centre stops at zero.
"""

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import WORD, lowest_bit, word_within

FULL = 65535  # the largest stored bound, also the mark of a row's own centre and of padding


@njit()
def candidates(row, path, threshold, n_groups, found):
    """Collect the groups of centres whose bound is at most `threshold`; return how many.

    Parameters
    ----------
    row, path : ndarrays of shape (columns,), uint16
    threshold : int, at most 65535
    n_groups : int
    found : ndarray of shape (columns + 1,), uint32, written
    """
    one, end = np.uint64(1), np.uint64(n_groups)
    count = np.uint64(0)
    for first in range(0, row.shape[0], WORD):
        word = word_within(row, path, first, np.uint16(threshold))
        while word:
            j = np.uint64(first) + lowest_bit(word)
            word &= word - one
            found[count] = j
            count += np.uint64(j < end)
    return np.int64(count)


@njit()
def members(found, count, n_groups, n_clusters, label, out):
    """Write the centres of the groups `found`, `label` left out, to `out`; return how many."""
    total = np.uint64(0)
    for e in range(np.uint64(count)):
        for j in range(np.int64(found[e]), n_clusters, n_groups):
            out[total] = j
            total += np.uint64(j != label)
    return np.int64(total)


@njit()
def nearer(row, path, threshold, found, count):
    """Keep those of `found` whose bound is at most `threshold`.

    Returns how many, and the least bound of the others.
    """
    kept = np.uint64(0)
    least = np.int32(FULL)
    for e in range(np.uint64(count)):
        j = found[e]
        left = np.int32(max(row[j], path[j])) - np.int32(path[j])
        found[kept] = j  # no branch on what cannot be predicted
        kept += np.uint64(left <= threshold)
        least = min(least, left if left > threshold else np.int32(FULL))
    return np.int64(kept), least


@njit()
def threshold_steps(limit, stride, more, kind):
    """Return a distance in steps, cut off where every bound is below it."""
    return np.int32(min(limit / stride * more, kind(FULL)))
