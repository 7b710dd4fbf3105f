"""Compiled block functions of the dense L2 assignment, sums and costs (Numba).

Every function runs without the interpreter lock, on rows ``lo`` to ``hi``; rows are ``X[i] - ref``.
"""

import numpy as np
from numba import njit

GROUP = 8  # bounds whose minimum is tested first; columns are padded to a multiple
LANES = 64  # columns whose running minima are kept apart
FULL = 65535  # the largest stored bound, also the mark of a row's own centre
TINY = 1e-30  # keeps the step of a bound positive where all distances are zero
_FAST = {"contract", "reassoc", "nsz", "nnan"}  # values are finite: the engine checks the norms


@njit(nogil=True, cache=True, fastmath=_FAST)
def center_rows(X, ref, lo, hi, out):
    """Write ``X[lo:hi] - ref`` to `out`."""
    for i in range(lo, hi):
        for p in range(X.shape[1]):
            out[i - lo, p] = X[i, p] - ref[p]


@njit(nogil=True, cache=True, fastmath=_FAST)
def row_norms(X, ref, weight, lo, hi, norms):
    """Write float64 norms of rows to `norms`; return the weighted sum of their squares."""
    total = 0.0
    for i in range(lo, hi):
        square = 0.0
        exact = 0.0
        for p in range(X.shape[1]):
            rounded = np.float64(X[i, p] - ref[p])
            square += rounded * rounded
            difference = np.float64(X[i, p]) - np.float64(ref[p])
            exact += difference * difference
        norms[i] = np.sqrt(square)
        total += exact * (weight[i] if weight.size else 1.0)
    return total


@njit(nogil=True, cache=True, fastmath=_FAST)
def own_costs(X, ref, centers, labels, lo, hi, costs):
    """Write the float64 squared distance of each row to its centre (float64, relative to `ref`)."""
    for i in range(lo, hi):
        label = labels[i]
        cost = 0.0
        for p in range(X.shape[1]):
            difference = np.float64(X[i, p]) - np.float64(ref[p]) - centers[label, p]
            cost += difference * difference
        costs[i] = cost


@njit(nogil=True, cache=True, fastmath=_FAST)
def _lowest(scores, offset, best):
    """Return the least of ``scores + offset`` and the first place that attains it.

    The compiler makes vector code of elementwise and of integer minima, not of floating minima.
    """
    size = scores.shape[0]
    width = min(best.shape[0], size)
    for j in range(width):
        best[j] = scores[j] + offset[j]
    for first in range(width, size, width):
        part = scores[first : first + width]
        rest = offset[first : first + width]
        for j in range(part.shape[0]):
            value = part[j] + rest[j]
            best[j] = value if value < best[j] else best[j]
    while width > 1:
        half = (width + 1) // 2
        upper = best[half:width]
        for j in range(upper.shape[0]):
            best[j] = upper[j] if upper[j] < best[j] else best[j]
        width = half
    low = best[0]
    place = np.int32(size)
    for j in range(size):
        place = min(place, np.int32(j) if scores[j] + offset[j] == low else np.int32(size))
    return low, (place if place < size else np.int32(0))


@njit(nogil=True, cache=True, fastmath=_FAST)
def nearest_rows(scores, offset, lo, hi, labels):
    """Label rows by the smallest ``scores + offset`` (ties to the lowest index)."""
    best = np.empty(LANES, scores.dtype)
    for i in range(lo, hi):
        labels[i] = _lowest(scores[i - lo], offset, best)[1]


@njit(nogil=True, cache=True, fastmath=_FAST)
def _store_bounds(scores, offset, base, inverse, label, bounds):
    """Write the row's bounds in steps, rounded down; return the least of those of other centres."""
    kind = scores.dtype.type
    smallest = np.int32(FULL)
    for j in range(scores.shape[0]):
        distance = np.sqrt(max(scores[j] + offset[j] + base, kind(0)))
        bounds[j] = np.uint16(np.int32(min(distance * inverse, kind(FULL))))
    for j in range(scores.shape[0], bounds.shape[0]):
        bounds[j] = FULL
    bounds[label] = FULL
    for j in range(scores.shape[0]):
        smallest = min(smallest, np.int32(bounds[j]))
    return smallest


@njit(nogil=True, cache=True, fastmath=_FAST)
def nearest_rows_bounds(
    scores, offset, lo, hi, norms, top, slack, labels, upper, lower, step, bounds
):
    """Label rows as `nearest_rows` does and store all bounds.

    `scores` are ``-2 x·c``, `offset` is ``|c|²``, `top` the largest ``|c|``. The computed square
    differs from the true one by at most ``slack (|x| + |c|)²``, slack = (d + 8) unit roundoffs: d
    for the product (its terms sum to at most 2|x||c|), the rest for norms, two additions and what
    follows here.
    """
    kind = scores.dtype.type
    one = kind(1)
    best = np.empty(LANES, scores.dtype)
    for i in range(lo, hi):
        row = scores[i - lo]
        low, label = _lowest(row, offset, best)
        labels[i] = label
        square = kind(norms[i] * norms[i])
        error = kind(slack * (norms[i] + top) ** 2)
        mean = kind(0)
        for j in range(row.shape[0]):
            mean += row[j] + offset[j]
        mean = max(mean / kind(row.shape[0]) + square, error + kind(TINY))
        stride = kind(2) * np.sqrt(mean) / kind(FULL)
        smallest = _store_bounds(
            row, offset, square - error, (one - slack) / stride, label, bounds[i]
        )
        step[i] = stride
        upper[i] = np.sqrt(max(low + square + error, kind(0))) * (one + slack)
        lower[i] = kind(smallest) * stride * (one - slack)


@njit(nogil=True, cache=True)
def add_rows(X, ref, weight, rows, labels, sign, first, last, sums):
    """Add ``sign * weight * row`` to its cluster's sums, columns `first` to `last` only.

    Split by columns, not rows, every sum adds its terms in row order for any number of threads.
    """
    origin = ref[first:last]
    for e in range(rows.size):
        i = rows[e]
        factor = sign * (weight[i] if weight.size else 1.0)
        x = X[i, first:last]
        total = sums[labels[i], first:last]
        for p in range(x.shape[0]):
            total[p] += factor * (np.float64(x[p]) - np.float64(origin[p]))
