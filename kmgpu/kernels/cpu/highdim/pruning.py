"""Compiled pruning of the L2 assignment (Numba): only distances that bounds do not exclude.

Bounds follow Elkan (2003, ICML), with one addition: a lower bound is stored once, as distance plus
the path its centre has travelled so far, so that later iterations only read it. Hamerly's (2010,
SDM) single bound goes first. Functions release the interpreter lock; rows are ``X[i] - ref``.
"""

import numpy as np

from kmgpu.kernels.cpu.highdim.dense import FAST, apart
from kmgpu.kernels.cpu.highdim.scan import (
    FULL,
    candidates,
    members,
    nearer,
    threshold_steps,
)
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.intrinsics import lesser

SMALL = 0.02  # movement, as a share of the distance, that leaves an upper bound good
TINY = 0.003  # the same, beyond which no bound can be carried to the next iteration


@njit(fastmath=FAST)
def _square(x, center):
    total = x.dtype.type(0)
    for p in range(x.shape[0]):
        difference = x[p] - center[p]
        total += difference * difference
    return total


@njit(fastmath=FAST)
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


@njit(fastmath=FAST)
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


@njit(fastmath=FAST)
def _measure(x, centers, found, count, squares):
    """Write the squared distances of x to the centres `found`."""
    for e in range(0, count, 4):
        squares[e], squares[e + 1], squares[e + 2], squares[e + 3] = _squares_of(
            x, centers, found, e, count
        )


@njit(fastmath=FAST)
def _winner(found, count, squares, label, best):
    """Return the nearest of the present centre and of `found`, its square and the second square."""
    second = squares.dtype.type(np.inf)
    for e in range(count):
        square = squares[e]
        if square <= second:
            j = np.int32(found[e])
            if square < best or (square == best and j < label):
                second, best, label = best, square, j
            else:
                second = square
    return label, best, second


@njit(fastmath=FAST)
def _in_steps(distance, path, scale, kind):
    return np.uint16(np.int32(min((distance + path) * scale, kind(FULL))))


@njit(fastmath=FAST)
def _renew(groups, n_open, n_clusters, far, old, own, label, path, scale, steps):
    """Store the bounds of groups whose members but `old` are at distances `far`, in their order.

    `label` is the row's centre now, `old` the one before, at a distance of `own`.
    """
    kind = far.dtype.type
    n_groups = path.shape[0]
    at = np.uint64(0)
    for p in range(np.uint64(n_open)):
        g = groups[p]
        low = kind(np.inf)
        for j in range(np.int64(g), n_clusters, n_groups):
            low = lesser(kind(np.inf) if (j == label) | (j == old) else far[at], low)
            at += np.uint64(j != old)
        steps[g] = _in_steps(low, path[g], scale, kind)
    if label != old:
        g = old % n_groups
        steps[g] = min(steps[g], _in_steps(own, path[g], scale, kind))


@njit(fastmath=FAST)
def _own_square(X, ref, i, center, x):
    """Copy row i less the reference to `x`; return its squared distance to `center`."""
    for p in range(x.shape[0]):
        x[p] = X[i, p] - ref[p]
    return _square(x, center)


@njit(fastmath=FAST)
def row_square(X, ref, i, center):
    """What `_own_square` returns, without the copy."""
    total = center.dtype.type(0)
    for p in range(center.shape[0]):
        difference = apart(X[i, p], ref[p], center[p])
        total += difference * difference
    return total


@njit(inline="always")
def aged(upper, lower, moved, furthest, slack, kind):
    """The two bounds of a row for centres that have moved: its own by `moved`."""
    return (upper + moved) * (kind(1) + slack), (lower - furthest) * (kind(1) - slack)


@njit(inline="always")
def rounding_of(norm, least, kind):
    """What rounding a row of that length and a centre takes off their distance, or adds to it.

    The distance of the rounded ones differs from the true one by at most ``u (|x| + |c|)``, u the
    unit roundoff, and ``|c| <= |x| + distance``: the share of the distance is in `slack`, the rest
    is this.
    """
    return kind(norm) * kind(2.01 * np.finfo(kind).eps) + least


@njit()
def _rank_again(x, targets, found, count, far, label, own, reach, rest, some):
    """The nearest of `label` and the `found` whose squared distances `far` may be within `reach`.

    `some` is scratch memory for as many centres.
    """
    less = 1 - targets.slack
    some[0] = label
    kept = np.uint64(not (np.sqrt(own) * less - rest > reach))
    for e in range(count):
        some[kept] = found[e]
        kept += np.uint64(not (np.sqrt(far[e]) * less - rest > reach))
    return exact_among(x, targets.exact, True, some, kept)[0]


@njit(nogil=True, cache=True, fastmath=FAST)
def prune_rows(X, ref, lo, hi, targets, furthest, norms, bounds, labels):
    """Relabel rows, computing only the distances that bounds do not exclude.

    Distances are sums of squared differences: their relative error is at most d + 2 unit roundoffs
    before the root; the slack of `targets` covers it and the few operations on bounds, and
    `rounding_of` what rounding rows and centres does. No centre has moved by more than `furthest`.
    """
    centers, upper, lower = targets.centers, bounds.upper, bounds.lower
    moved, slack, tiny = targets.moved, targets.slack, targets.least
    kind = centers.dtype.type
    more, less = kind(1) + targets.slack, kind(1) - targets.slack
    x = np.empty(X.shape[1], centers.dtype)
    groups = np.empty(bounds.steps.shape[1] + 1, np.uint32)  # unsigned: no index is below zero
    found, some = np.empty((2, centers.shape[0] + 1), np.uint32)
    far = np.empty(centers.shape[0] + 4, centers.dtype)
    for i in range(lo, hi):
        label = labels[i]
        limit, others = aged(upper[i], lower[i], moved[label], furthest, slack, kind)
        upper[i], lower[i] = limit, others
        if limit < others:
            continue
        rest = rounding_of(norms[i], tiny, kind)
        best = kind(-1)
        if moved[label] > limit * kind(SMALL):
            best = _own_square(X, ref, i, centers[label], x)
            limit = np.sqrt(best) * more + rest
        row, path = bounds.steps[i], bounds.paths[bounds.kinds[i]]
        stride = bounds.strides[bounds.kinds[i]]
        # a little further than needed, where that may settle the next iteration without a scan
        travel = furthest + moved[label]
        ahead = travel if travel < limit * kind(TINY) else kind(0)
        wide = threshold_steps(limit + ahead, stride, more, kind)
        n_open = candidates(row, path, wide, bounds.n_groups, groups)
        if n_open and best < 0:
            best = _own_square(X, ref, i, centers[label], x)
            limit = np.sqrt(best) * more + rest
        upper[i] = limit
        threshold = threshold_steps(limit, stride, more, kind)
        least = wide
        if threshold < wide:
            n_open, least = nearer(row, path, threshold, groups, n_open)
        others = max(others, kind(min(least, wide)) * stride * less)
        if n_open:
            count = members(groups, n_open, bounds.n_groups, centers.shape[0], label, found)
            _measure(x, centers, found, count, far)
            old, own = label, best
            label, best, second = _winner(found, count, far, label, best)
            reach = np.sqrt(best) * more + rest
            next_ = np.sqrt(second) * less - rest
            if not next_ > reach:
                label = _rank_again(X[i], targets, found, count, far, old, own, reach, rest, some)
                next_ = np.sqrt(best) * less - rest
            others = min(limit * less, next_)
            for e in range(count):
                far[e] = max(np.sqrt(far[e]) * less - rest, kind(0))
            _renew(
                groups, n_open, centers.shape[0], far, old,
                max(np.sqrt(own) * less - rest, kind(0)), label, bounds.path_down, less / stride,
                row,
            )  # fmt: skip
            labels[i] = label
            upper[i] = reach
        lower[i] = others


@njit(nogil=True, cache=True, fastmath=FAST)
def count_survivors(X, ref, every, targets, furthest, norms, bounds, labels):
    """Try every `every`-th row.

    Returns
    -------
    tuple of int
        Rows whose bounds must be read, and groups of centres that pass those.
    """
    centers = targets.centers
    kind = centers.dtype.type
    more, less = kind(1) + targets.slack, kind(1) - targets.slack
    groups = np.empty(bounds.steps.shape[1] + 1, np.uint32)
    active = 0
    passed = 0
    for i in range(0, X.shape[0], every):
        label = labels[i]
        rest = rounding_of(norms[i], targets.least, kind)
        limit = np.sqrt(row_square(X, ref, i, centers[label])) * more + rest
        if limit < (bounds.lower[i] - furthest) * less:
            continue
        active += 1
        at = bounds.kinds[i]
        threshold = threshold_steps(limit, bounds.strides[at], more, kind)
        passed += candidates(bounds.steps[i], bounds.paths[at], threshold, bounds.n_groups, groups)
    return active, passed
