"""Compiled scan of a row's stored bounds (Numba): which centres they leave in question."""

import numpy as np
from numba import njit

from kmgpu.kernels.cpu.highdim.kernels import FULL, GROUP

FEW = 32  # fewer than one in so many columns are picked by group
_FAST = {"contract", "reassoc", "nsz", "nnan"}  # values are finite: the engine checks the norms


@njit(nogil=True, cache=True, fastmath=_FAST)
def _pick_by_group(steps, threshold, lows, found):
    """Collect the few columns at most `threshold`, passing over groups whose minimum is above it.

    Column ``j`` belongs to group ``j % n_groups``, so that minima of groups are elementwise.
    """
    n_groups = lows.shape[0]
    for g in range(n_groups):
        lows[g] = FULL + 1
    for first in range(0, steps.shape[0], n_groups):
        part = steps[first : first + n_groups]
        for g in range(n_groups):
            lows[g] = min(lows[g], part[g])
    count = np.int32(0)
    for g in range(n_groups):
        if lows[g] <= threshold:
            for turn in range(GROUP):
                j = np.uint32(g + turn * n_groups)
                found[np.uint32(count)] = j
                count += np.int32(steps[j] <= threshold)
    return count


@njit(nogil=True, cache=True, fastmath=_FAST)
def survivors(bounds, path, inverse, threshold, label, n_clusters, steps, lows, found):
    """Collect columns with bounds up to `threshold`; return how many, and the least other bound.

    Bounds less the paths of their centres go to `steps`, in whole steps, none if negative.
    """
    kind = path.dtype.type
    least = np.int32(FULL)
    for j in range(bounds.shape[0]):
        left = np.int32(max(kind(bounds[j]) - path[j] * inverse, kind(0)))
        steps[j] = left
        least = min(least, left)
    if least > threshold:
        return np.int32(0), least
    steps[label] = FULL + 1  # above every threshold, as are the columns of padding
    for j in range(n_clusters, bounds.shape[0]):
        steps[j] = FULL + 1
    rest = np.int32(FULL)
    passing = np.int32(0)
    for j in range(n_clusters):
        passing += np.int32(steps[j] <= threshold)
        rest = min(rest, np.int32(FULL) if steps[j] <= threshold else steps[j])
    if passing * FEW < n_clusters:
        return _pick_by_group(steps, threshold, lows, found), rest
    count = np.int32(0)
    for j in range(n_clusters):
        found[np.uint32(count)] = j  # no branch on what cannot be predicted
        count += np.int32(steps[j] <= threshold)
    return count, rest


@njit(nogil=True, cache=True, fastmath=_FAST)
def threshold_steps(limit, stride, slack, kind):
    """Return a distance in steps, cut off where every bound is below it."""
    return np.int32(min(limit / stride * (kind(1) + slack), kind(FULL)))
