"""Compiled pruning of the L2 assignment (Numba): only distances that bounds do not exclude.

Bounds follow Elkan (2003, ICML), with one addition: a lower bound is stored once, as distance plus
the path its centre has travelled so far, so that later iterations only read it. Hamerly's (2010,
SDM) single bound goes first. Functions release the interpreter lock; rows are ``X[i] - ref``.
"""

import numpy as np
from numba import njit

from kmgpu.kernels.cpu.highdim.dense import FAST
from kmgpu.kernels.cpu.highdim.scan import FULL, candidates, nearer, threshold_steps

SMALL = 0.02  # movement, as a share of the distance, that leaves an upper bound good
TINY = 0.003  # the same, beyond which no bound can be carried to the next iteration


@njit(nogil=True, cache=True, fastmath=FAST)
def _square(x, center):
    total = x.dtype.type(0)
    for p in range(x.shape[0]):
        difference = x[p] - center[p]
        total += difference * difference
    return total


@njit(nogil=True, cache=True, fastmath=FAST)
def _four_squares(x, a, b, c, d):
    s0 = x.dtype.type(0)
    s1 = x.dtype.type(0)
    s2 = x.dtype.type(0)
    s3 = x.dtype.type(0)
    for p in range(x.shape[0]):
        e0 = x[p] - a[p]
        e1 = x[p] - b[p]
        e2 = x[p] - c[p]
        e3 = x[p] - d[p]
        s0 += e0 * e0
        s1 += e1 * e1
        s2 += e2 * e2
        s3 += e3 * e3
    return s0, s1, s2, s3


@njit(nogil=True, cache=True, fastmath=FAST)
def _squares_of(x, centers, found, first, count):
    """Squared distances to the centres ``found[first:first + 4]``, the last repeated at the end."""
    last = count - 1
    return _four_squares(
        x,
        centers[found[first]],
        centers[found[min(first + 1, last)]],
        centers[found[min(first + 2, last)]],
        centers[found[min(first + 3, last)]],
    )


@njit(nogil=True, cache=True, fastmath=FAST)
def _measure(x, centers, found, count, squares):
    """Write the squared distances of x to the centres `found`."""
    for e in range(0, count, 4):
        squares[e], squares[e + 1], squares[e + 2], squares[e + 3] = _squares_of(
            x, centers, found, e, count
        )


@njit(nogil=True, cache=True, fastmath=FAST)
def _renew(distances, path, scale, found, count, steps):
    """Store distances to the centres `found` as bounds, in steps."""
    kind = distances.dtype.type
    for e in range(np.uint64(count)):
        j = found[e]
        steps[j] = np.uint16(np.int32(min((distances[e] + path[j]) * scale, kind(FULL))))


@njit(nogil=True, cache=True, fastmath=FAST)
def _contest(x, centers, path, scale, label, best, found, count, far, steps):
    """Compute the distances of `found`; return the new label, its square and the second square."""
    old, own, second = label, best, x.dtype.type(np.inf)
    _measure(x, centers, found, count, far)
    for e in range(count):
        square = far[e]
        if square <= second:
            j = np.int32(found[e])
            if square < best or (square == best and j < label):
                second, best, label = best, square, j
            else:
                second = square
    for e in range(count):
        far[e] = np.sqrt(far[e])
    if label != old:
        found[count], far[count] = old, np.sqrt(own)
        count += 1
    _renew(far, path, scale, found, count, steps)
    if label != old:
        steps[label] = FULL
    return label, best, second


@njit(nogil=True, cache=True, fastmath=FAST)
def _own_square(X, ref, i, center, x):
    """Copy row i less the reference to `x`; return its squared distance to `center`."""
    for p in range(x.shape[0]):
        x[p] = X[i, p] - ref[p]
    return _square(x, center)


@njit(nogil=True, cache=True, fastmath=FAST)
def prune_rows(X, ref, lo, hi, targets, furthest, bounds, labels):
    """Relabel rows, computing only the distances that bounds do not exclude.

    Distances are sums of squared differences: their relative error is at most d + 2 unit roundoffs
    before the root; the slack of `targets` covers it and the few operations on bounds. No centre
    has moved by more than `furthest`.
    """
    centers, upper, lower = targets.centers, bounds.upper, bounds.lower
    kind = centers.dtype.type
    more, less = kind(1) + targets.slack, kind(1) - targets.slack
    x = np.empty(X.shape[1], centers.dtype)
    found = np.empty(bounds.steps.shape[1] + 1, np.uint32)  # unsigned: no index is below zero
    far = np.empty(found.shape[0] + 3, centers.dtype)
    for i in range(lo, hi):
        label = labels[i]
        limit = (upper[i] + targets.moved[label]) * more
        others = (lower[i] - furthest) * less
        lower[i] = others
        if limit < others:
            upper[i] = limit
            continue
        best = kind(-1)
        if targets.moved[label] > limit * kind(SMALL):
            best = _own_square(X, ref, i, centers[label], x)
            limit = np.sqrt(best) * more
        row, path = bounds.steps[i], bounds.paths[bounds.kinds[i]]
        stride = bounds.strides[bounds.kinds[i]]
        # a little further than needed, where that may settle the next iteration without a scan
        travel = furthest + targets.moved[label]
        ahead = travel if travel < limit * kind(TINY) else kind(0)
        wide = threshold_steps(limit + ahead, stride, more, kind)
        count = candidates(row, path, wide, label, centers.shape[0], found)
        if count and best < 0:
            best = _own_square(X, ref, i, centers[label], x)
            limit = np.sqrt(best) * more
        upper[i] = limit
        threshold = threshold_steps(limit, stride, more, kind)
        least = wide
        if threshold < wide:
            count, least = nearer(row, path, threshold, found, count)
        others = max(others, kind(min(least, wide)) * stride * less)
        if count:
            others = limit * less
            label, best, second = _contest(
                x, centers, bounds.path_down, less / stride, label, best, found, count, far, row
            )
            labels[i] = label
            upper[i] = np.sqrt(best) * more
            others = min(others, np.sqrt(second) * less)
        lower[i] = others


@njit(nogil=True, cache=True, fastmath=FAST)
def count_survivors(X, ref, every, targets, furthest, bounds, labels):
    """Try every `every`-th row.

    Returns
    -------
    tuple of int
        Rows whose bounds must be read, and centres that pass those.
    """
    centers = targets.centers
    kind = centers.dtype.type
    more, less = kind(1) + targets.slack, kind(1) - targets.slack
    x = np.empty(X.shape[1], centers.dtype)
    found = np.empty(bounds.steps.shape[1] + 1, np.uint32)
    active = 0
    passed = 0
    for i in range(0, X.shape[0], every):
        label = labels[i]
        limit = np.sqrt(_own_square(X, ref, i, centers[label], x)) * more
        if limit < (bounds.lower[i] - furthest) * less:
            continue
        active += 1
        at = bounds.kinds[i]
        threshold = threshold_steps(limit, bounds.strides[at], more, kind)
        passed += candidates(
            bounds.steps[i], bounds.paths[at], threshold, label, centers.shape[0], found
        )
    return active, passed
