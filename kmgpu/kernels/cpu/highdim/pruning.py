"""Compiled pruning of the L2 assignment (Numba): only distances that bounds do not exclude.

Bounds follow Elkan (2003, ICML), with one addition: a lower bound is stored once, as distance plus
the path its centre has travelled so far, so that later iterations only read it. They are 16-bit
fixed-point numbers, a step a row, rounded down. Hamerly's (2010, SDM) single bound goes first.
Functions release the interpreter lock and work on rows ``lo`` to ``hi``, each ``X[i] - ref``.
"""

import numpy as np
from numba import njit

from kmgpu.kernels.cpu.highdim.kernels import FULL, GROUP
from kmgpu.kernels.cpu.highdim.scan import survivors, threshold_steps

SMALL = 0.02  # movement, as a share of the distance, that leaves an upper bound good
_FAST = {"contract", "reassoc", "nsz", "nnan"}  # values are finite: the engine checks the norms


@njit(nogil=True, cache=True, fastmath=_FAST)
def _square(x, center):
    total = x.dtype.type(0)
    for p in range(x.shape[0]):
        difference = x[p] - center[p]
        total += difference * difference
    return total


@njit(nogil=True, cache=True, fastmath=_FAST)
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


@njit(nogil=True, cache=True, fastmath=_FAST)
def _in_steps(distance, path, scale, kind):
    return np.uint16(np.int32(min((distance + path) * scale, kind(FULL))))


@njit(nogil=True, cache=True, fastmath=_FAST)
def _sketch_out(y, sketches, margin, limit, path, scale, slack, found, count, bounds):
    """Drop from `found` the centres whose sketch is further than `limit`; return how many stay."""
    kind = y.dtype.type
    kept = 0
    least = kind(np.inf)
    for e in range(count, count + 3):
        found[e] = found[count - 1]
    for e in range(0, count, 4):
        squares = _four_squares(
            y,
            sketches[found[e]],
            sketches[found[e + 1]],
            sketches[found[e + 2]],
            sketches[found[e + 3]],
        )
        for f in range(min(4, count - e)):
            j = found[e + f]
            distance = np.sqrt(squares[f]) * (kind(1) - slack) - margin
            if distance > limit:
                bounds[j] = _in_steps(distance, path[j], scale, kind)
                least = min(least, distance)
            else:
                found[kept] = j
                kept += 1
    return kept, least


@njit(nogil=True, cache=True, fastmath=_FAST)
def _contest(x, centers, path, scale, label, best, found, count, bounds):
    """Compute the distances of `found`; return the new label, its square and the second square."""
    kind = x.dtype.type
    second = kind(np.inf)
    old = label
    own = best
    for e in range(count, count + 3):
        found[e] = found[count - 1]
    for e in range(0, count, 4):
        squares = _four_squares(
            x,
            centers[found[e]],
            centers[found[e + 1]],
            centers[found[e + 2]],
            centers[found[e + 3]],
        )
        for f in range(min(4, count - e)):
            j = found[e + f]
            square = squares[f]
            bounds[j] = _in_steps(np.sqrt(square), path[j], scale, kind)
            if square < best or (square == best and j < label):
                second = min(second, best)
                best = square
                label = j
            else:
                second = min(second, square)
    if label != old:
        bounds[old] = _in_steps(np.sqrt(own), path[old], scale, kind)
        bounds[label] = FULL
    return label, best, second


@njit(nogil=True, cache=True, fastmath=_FAST)
def raise_rows(scores, offset, lo, hi, norms, top, slack, margin, path, step, bounds):
    """Raise bounds to the distances of sketches, given as in `nearest_rows_bounds`."""
    kind = scores.dtype.type
    for i in range(lo, hi):
        part = scores[i - lo]
        row = bounds[i]
        base = kind(norms[i] * norms[i] - slack * (norms[i] + top) ** 2)
        less = kind(margin * (norms[i] + top))
        scale = (kind(1) - slack) / step[i]
        for j in range(part.shape[0]):
            distance = np.sqrt(max(part[j] + offset[j] + base, kind(0))) - less + path[j]
            steps = np.int32(max(min(distance * scale, kind(FULL)), kind(0)))
            row[j] = np.uint16(max(np.int32(row[j]), steps))


@njit(nogil=True, cache=True, fastmath=_FAST)
def prune_rows(
    X,
    ref,
    lo,
    hi,
    centers,
    moved,
    furthest,
    path_up,
    path_down,
    slack,
    sketch,
    sketches,
    margin,
    norms,
    top,
    labels,
    upper,
    lower,
    step,
    bounds,
):
    """Relabel rows, computing only the distances that bounds do not exclude.

    Distances are sums of squared differences: their relative error is at most d + 2 unit roundoffs
    before the root; `slack` = (d + 8) unit roundoffs covers it and the few operations on bounds.
    `sketch`, `sketches` (rows, centres; perhaps empty) and `margin`: see `sketch.py`.
    """
    kind = centers.dtype.type
    n_clusters = centers.shape[0]
    less = kind(1) - slack
    more = kind(1) + slack
    x = np.empty(X.shape[1], centers.dtype)
    found = np.empty(n_clusters + 4, np.int32)
    steps = np.empty(bounds.shape[1], np.int32)
    lows = np.empty(bounds.shape[1] // GROUP, np.int32)
    for i in range(lo, hi):
        label = labels[i]
        limit = (upper[i] + moved[label]) * more
        others = (lower[i] - furthest) * less
        upper[i] = limit
        lower[i] = others
        if limit < others:
            continue
        stride = step[i]
        row = bounds[i]
        if moved[label] < limit * kind(SMALL):  # likely to pass without reading the row itself
            count, least = survivors(
                row,
                path_up,
                kind(1) / stride,
                threshold_steps(limit, stride, slack, kind),
                label,
                n_clusters,
                steps,
                lows,
                found,
            )
            if count == 0:
                lower[i] = max(others, kind(least) * stride * less)
                continue
        for p in range(x.shape[0]):
            x[p] = X[i, p] - ref[p]
        best = _square(x, centers[label])
        limit = np.sqrt(best) * more
        upper[i] = limit
        if limit < others:
            continue
        count, least = survivors(
            row,
            path_up,
            kind(1) / stride,
            threshold_steps(limit, stride, slack, kind),
            label,
            n_clusters,
            steps,
            lows,
            found,
        )
        rest = kind(least) * stride * less
        if count and sketch.shape[0]:
            count, out = _sketch_out(
                sketch[i],
                sketches,
                kind(margin * (norms[i] + top)),
                limit,
                path_down,
                less / stride,
                slack,
                found,
                count,
                row,
            )
            rest = min(rest, out)
        if count:
            label, best, second = _contest(
                x, centers, path_down, less / stride, label, best, found, count, row
            )
            labels[i] = label
            upper[i] = np.sqrt(best) * more
            rest = min(rest, np.sqrt(second) * less)
        lower[i] = rest


@njit(nogil=True, cache=True, fastmath=_FAST)
def count_survivors(
    X,
    ref,
    every,
    centers,
    furthest,
    path_up,
    path_down,
    slack,
    sketch,
    sketches,
    margin,
    norms,
    top,
    labels,
    lower,
    step,
    bounds,
):
    """Try every `every`-th row.

    Returns
    -------
    tuple of int
        Rows whose bounds must be read, centres that pass those, centres that then pass the sketch.
    """
    kind = centers.dtype.type
    x = np.empty(X.shape[1], centers.dtype)
    found = np.empty(centers.shape[0] + 4, np.int32)
    steps = np.empty(bounds.shape[1], np.int32)
    lows = np.empty(bounds.shape[1] // GROUP, np.int32)
    active = 0
    passed = 0
    pairs = 0
    for i in range(0, X.shape[0], every):
        for p in range(x.shape[0]):
            x[p] = X[i, p] - ref[p]
        limit = np.sqrt(_square(x, centers[labels[i]])) * (kind(1) + slack)
        if limit < (lower[i] - furthest) * (kind(1) - slack):
            continue
        active += 1
        count = survivors(
            bounds[i],
            path_up,
            kind(1) / step[i],
            threshold_steps(limit, step[i], slack, kind),
            labels[i],
            centers.shape[0],
            steps,
            lows,
            found,
        )[0]
        passed += count
        if count and sketch.shape[0]:
            count = _sketch_out(
                sketch[i],
                sketches,
                kind(margin * (norms[i] + top)),
                limit,
                path_down,
                (kind(1) - slack) / step[i],
                slack,
                found,
                count,
                bounds[i],
            )[0]
        pairs += count
    return active, passed, pairs
