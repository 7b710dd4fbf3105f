"""The pruned pass: kernels that compute only the distances that stored bounds leave open.

A row is first tested by one bound (Hamerly, SDM 2010), then by its bounds to all centre groups
(Elkan, ICML 2003; `stored` says how they are kept). Rows are ``X[i] - ref``.
"""

import numpy as np

from kmgpu.kernels.cpu.highdim.scan import FULL, candidates, members, nearer, threshold_level
from kmgpu.kernels.cpu.highdim.targets import FAST, apart
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.intrinsics import lesser

SMALL = 0.02  # movement, as a share of the distance, up to which the old upper bound is used
TINY = 0.003  # the same, beyond which the next iteration must scan the bounds in any case


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
def _measure(x, centers, found, count, squares):
    """Write the squared distances of x to the centres ``found[:count]``, four at a time.

    Past the end, up to three more are written.
    """
    last = count - 1
    for e in range(0, count, 4):
        squares[e], squares[e + 1], squares[e + 2], squares[e + 3] = _four_squares(
            x,
            centers[found[e]],
            centers[found[min(e + 1, last)]],
            centers[found[min(e + 2, last)]],
            centers[found[min(e + 3, last)]],
        )


@njit(fastmath=FAST)
def _winner(found, count, squares, label, best):
    """Return the nearest of `label` and ``found[:count]``, its square and the second least.

    `squares` are the squared distances of `found`, `best` is that of `label`.
    """
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
def _level_of(distance, path, scale, kind):
    return np.uint16(np.int32(min((distance + path) * scale, kind(FULL))))


@njit(fastmath=FAST)
def _renew(center_groups, n_open, n_clusters, far, old, own, label, path, scale, levels):
    """Store new bounds to the open centre groups.

    `far` holds the distances of their centres, `old` left out, in their order. `label` is the row's
    centre now; `old`, the one before, is at the distance `own`.
    """
    kind = far.dtype.type
    n_center_groups = path.shape[0]
    at = np.uint64(0)
    for p in range(np.uint64(n_open)):
        g = center_groups[p]
        low = kind(np.inf)
        for j in range(np.int64(g), n_clusters, n_center_groups):
            low = lesser(kind(np.inf) if (j == label) | (j == old) else far[at], low)
            at += np.uint64(j != old)
        levels[g] = _level_of(low, path[g], scale, kind)
    if label != old:
        g = old % n_center_groups
        levels[g] = min(levels[g], _level_of(own, path[g], scale, kind))


@njit(fastmath=FAST)
def _own_square(X, ref, i, center, x):
    """Copy row i less the reference to `x`; return its squared distance to `center`."""
    for p in range(x.shape[0]):
        x[p] = X[i, p] - ref[p]
    return _square(x, center)


@njit(fastmath=FAST)
def row_square(X, ref, i, center):
    """The squared distance that `_own_square` returns, without the copy."""
    total = center.dtype.type(0)
    for p in range(center.shape[0]):
        difference = apart(X[i, p], ref[p], center[p])
        total += difference * difference
    return total


@njit(inline="always")
def aged(upper, lower, moved, furthest, roundoff, kind):
    """The two bounds of a row after its centre moved by `moved`, others by at most `furthest`."""
    return (upper + moved) * (kind(1) + roundoff), (lower - furthest) * (kind(1) - roundoff)


@njit(inline="always")
def rounding_of(norm, least, kind):
    """How much rounding a row of that length and a centre may change their distance.

    The distance of the rounded ones differs from the true one by at most ``u (|x| + |c|)``, u the
    unit roundoff, and ``|c| <= |x| + distance``. `Targets.roundoff` covers the share of the
    distance; this is the rest.
    """
    return kind(norm) * kind(2.01 * np.finfo(kind).eps) + least


@njit()
def _rank_again(x, targets, found, count, far, label, own, reach, rest, some):
    """The nearest, by exact costs, of those of `label` and `found` that may be within `reach`.

    `own` and `far` are their computed squared distances; `some` is scratch memory.
    """
    less = 1 - targets.roundoff
    some[0] = label
    kept = np.uint64(not (np.sqrt(own) * less - rest > reach))
    for e in range(count):
        some[kept] = found[e]
        kept += np.uint64(not (np.sqrt(far[e]) * less - rest > reach))
    return exact_among(x, targets.exact, True, some, kept)[0]


@njit(nogil=True, cache=True, fastmath=FAST)
def prune_rows(X, ref, lo, hi, targets, furthest, norms, bounds, labels):
    """Relabel rows, computing only the distances that bounds do not exclude.

    Squared distances are sums of squared differences; their relative error is at most d + 2 unit
    roundoffs. `Targets.roundoff` covers that and the few operations on bounds, `rounding_of` the
    rounding of rows and centres.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, read-only
    ref : ndarray of shape (n_features,), dtype of the computation
    lo, hi : int
        The rows to label.
    targets : Targets
    furthest : floating scalar
        No centre has moved by more.
    norms : ndarray of shape (n_samples,), float64
        Lengths of ``X - ref``.
    bounds : stored.Bounds
        Updated.
    labels : ndarray of shape (n_samples,), int32, updated
    """
    centers, upper, lower = targets.centers, bounds.upper, bounds.lower
    moved, roundoff, tiny = targets.moved, targets.roundoff, targets.least
    kind = centers.dtype.type
    more, less = kind(1) + targets.roundoff, kind(1) - targets.roundoff
    x = np.empty(X.shape[1], centers.dtype)
    # unsigned, or every index would be tested for being negative
    center_groups = np.empty(bounds.levels.shape[1] + 1, np.uint32)
    found, some = np.empty((2, centers.shape[0] + 1), np.uint32)
    far = np.empty(centers.shape[0] + 4, centers.dtype)
    for i in range(lo, hi):
        label = labels[i]
        limit, others = aged(upper[i], lower[i], moved[label], furthest, roundoff, kind)
        upper[i], lower[i] = limit, others
        if limit < others:
            continue
        rest = rounding_of(norms[i], tiny, kind)
        best = kind(-1)
        if moved[label] > limit * kind(SMALL):
            best = _own_square(X, ref, i, centers[label], x)
            limit = np.sqrt(best) * more + rest
        row, path = bounds.levels[i], bounds.paths[bounds.kinds[i]]
        stride = bounds.strides[bounds.kinds[i]]
        # scan a little further than needed if that may spare the next iteration its scan
        travel = furthest + moved[label]
        ahead = travel if travel < limit * kind(TINY) else kind(0)
        wide = threshold_level(limit + ahead, stride, more, kind)
        n_open = candidates(row, path, wide, bounds.n_center_groups, center_groups)
        if n_open and best < 0:
            best = _own_square(X, ref, i, centers[label], x)
            limit = np.sqrt(best) * more + rest
        upper[i] = limit
        threshold = threshold_level(limit, stride, more, kind)
        least = wide
        if threshold < wide:
            n_open, least = nearer(row, path, threshold, center_groups, n_open)
        others = max(others, kind(min(least, wide)) * stride * less)
        if n_open:
            n_center_groups, k = bounds.n_center_groups, centers.shape[0]
            count = members(center_groups, n_open, n_center_groups, k, label, found)
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
                center_groups, n_open, k, far, old,
                max(np.sqrt(own) * less - rest, kind(0)), label, bounds.path_down, less / stride,
                row,
            )  # fmt: skip
            labels[i] = label
            upper[i] = reach
        lower[i] = others


@njit(nogil=True, cache=True, fastmath=FAST)
def count_survivors(X, ref, every, targets, furthest, norms, bounds, labels):
    """Count, without a change, what `prune_rows` would meet in every `every`-th row.

    Returns
    -------
    active, passed : int
        Rows whose bounds must be read, and centre groups that these leave open.
    """
    centers = targets.centers
    kind = centers.dtype.type
    more, less = kind(1) + targets.roundoff, kind(1) - targets.roundoff
    center_groups = np.empty(bounds.levels.shape[1] + 1, np.uint32)
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
        threshold = threshold_level(limit, bounds.strides[at], more, kind)
        row, path = bounds.levels[i], bounds.paths[at]
        passed += candidates(row, path, threshold, bounds.n_center_groups, center_groups)
    return active, passed
