"""Scans a row's stored bounds: which centres do they leave open?

Bounds and paths are levels of one stride, unsigned 16-bit numbers, so a few vector instructions
test 64 centre groups. A bound less the path of its group stops at zero.
"""

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import BITS, lowest_bit, mask_within

FULL = 65535  # the largest stored bound, also the mark of a row's own centre and of padding


@njit()
def candidates(row, path, threshold, n_center_groups, found):
    """Write the centre groups whose bound is at most `threshold` to `found`; return how many.

    Parameters
    ----------
    row, path : ndarrays of shape (columns,), uint16
        One row of `Bounds.levels`, and its row of `Bounds.paths`.
    threshold : int, at most 65535
    n_center_groups : int
    found : ndarray of shape (columns + 1,), uint32, written
    """
    one, end = np.uint64(1), np.uint64(n_center_groups)
    count = np.uint64(0)
    for first in range(0, row.shape[0], BITS):
        mask = mask_within(row, path, first, np.uint16(threshold))
        while mask:
            j = np.uint64(first) + lowest_bit(mask)
            mask &= mask - one
            found[count] = j
            count += np.uint64(j < end)
    return np.int64(count)


@njit()
def members(found, count, n_center_groups, n_clusters, label, out):
    """Write the centres of the groups ``found[:count]`` but `label` to `out`; return how many."""
    total = np.uint64(0)
    for e in range(np.uint64(count)):
        for j in range(np.int64(found[e]), n_clusters, n_center_groups):
            out[total] = j
            total += np.uint64(j != label)
    return np.int64(total)


@njit()
def nearer(row, path, threshold, found, count):
    """Keep the centre groups of ``found[:count]`` whose bound is at most `threshold`.

    Returns how many are kept, and the least bound of the others.
    """
    kept = np.uint64(0)
    least = np.int32(FULL)
    for e in range(np.uint64(count)):
        j = found[e]
        left = np.int32(max(row[j], path[j])) - np.int32(path[j])
        found[kept] = j  # no branch, as none could be predicted
        kept += np.uint64(left <= threshold)
        least = min(least, left if left > threshold else np.int32(FULL))
    return np.int64(kept), least


@njit()
def threshold_level(limit, stride, more, kind):
    """Return the level of a distance, at most FULL."""
    return np.int32(min(limit / stride * more, kind(FULL)))
