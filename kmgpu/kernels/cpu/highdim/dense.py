"""Compiled block functions of the dense L2 assignment (Numba).

Every function runs without the interpreter lock, on rows ``lo`` to ``hi``; rows are ``X[i] - ref``.
"""

import numpy as np

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.highdim.scan import FULL
from kmgpu.kernels.cpu.intrinsics import lesser

FAST = {"contract", "reassoc", "nsz", "nnan"}  # values are finite: the engine checks the norms


@njit(nogil=True, cache=True, fastmath=FAST)
def center_rows(X, ref, lo, hi, out):
    """Write ``X[lo:hi] - ref`` to `out`."""
    for i in range(lo, hi):
        for p in range(X.shape[1]):
            out[i - lo, p] = X[i, p] - ref[p]


@njit(nogil=True, cache=True, fastmath=FAST)
def row_norms(X, ref, shifted, weight, lo, hi, norms):
    """Write float64 norms of rows to `norms`; return the weighted sum of the exact squares.

    The two differ where ``X - ref`` rounds: not if `ref` is zero, as `shifted` says.
    """
    total = 0.0
    for i in range(lo, hi):
        square = 0.0
        for p in range(X.shape[1]):
            rounded = np.float64(X[i, p] - ref[p])
            square += rounded * rounded
        norms[i] = np.sqrt(square)
        if shifted:
            square = 0.0
            for p in range(X.shape[1]):
                difference = np.float64(X[i, p]) - np.float64(ref[p])
                square += difference * difference
        total += square * (weight[i] if weight.size else 1.0)
    return total


@njit(nogil=True, cache=True, fastmath=FAST)
def place_centers(centers, ref, before, shifted, rounded, squares, moved):
    """Centres about the reference, their squared lengths, and how far they have moved.

    Parameters
    ----------
    centers : ndarray of shape (n_clusters, n_features), float64
    ref : ndarray of shape (n_features,), float32 or float64
    before : ndarray of shape (n_clusters, n_features), dtype of `ref`
        The centres of the iteration before, rounded.
    shifted : ndarray of shape (n_clusters, n_features), float64, written
    rounded : the same of the dtype of `ref`, written
    squares, moved : ndarrays of shape (n_clusters,), float64, written
        Of the rounded centres.
    """
    kind = ref.dtype.type
    for j in range(centers.shape[0]):
        square = 0.0
        step = 0.0
        for p in range(centers.shape[1]):
            value = centers[j, p] - np.float64(ref[p])
            near = kind(value)
            shifted[j, p] = value
            rounded[j, p] = near
            difference = np.float64(near) - np.float64(before[j, p])
            square += np.float64(near) * np.float64(near)
            step += difference * difference
        squares[j] = square
        moved[j] = np.sqrt(step)


@njit(fastmath=FAST)
def _lowest(scores, squares):
    """Return the least of ``scores + squares`` and the first place that attains it."""
    low = scores.dtype.type(np.inf)
    for j in range(scores.shape[0]):
        low = lesser(scores[j] + squares[j], low)
    size = np.int32(scores.shape[0])
    place = size
    for j in range(size):
        place = min(place, np.int32(j) if scores[j] + squares[j] == low else size)
    return low, (place if place < size else np.int32(0))


@njit(nogil=True, cache=True, fastmath=FAST)
def nearest_rows(scores, squares, lo, hi, labels):
    """Label rows by the smallest ``scores + squares`` (ties to the lowest index)."""
    for i in range(lo, hi):
        labels[i] = _lowest(scores[i - lo], squares)[1]


@njit(fastmath=FAST)
def _least_of_groups(scores, squares, label, low):
    """Write to `low` the least ``scores + squares`` of each group but that of centre `label`."""
    kind = scores.dtype.type
    n_groups = low.shape[0]
    for g in range(n_groups):
        low[g] = kind(np.inf)
    for first in range(0, scores.shape[0], n_groups):
        part, rest = scores[first : first + n_groups], squares[first : first + n_groups]
        own = label - first
        for g in range(part.shape[0]):
            low[g] = lesser(kind(np.inf) if g == own else part[g] + rest[g], low[g])


@njit(fastmath=FAST)
def _store_steps(scores, squares, base, inverse, label, low, steps):
    """Write the row's bounds in steps, rounded down; return the least of them."""
    kind = scores.dtype.type
    n_groups = low.shape[0]
    if n_groups < scores.shape[0]:
        _least_of_groups(scores, squares, label, low)
    else:
        for j in range(n_groups):
            low[j] = scores[j] + squares[j]
        low[label] = kind(np.inf)
    for g in range(n_groups):
        distance = np.sqrt(max(low[g] + base, kind(0)))
        steps[g] = np.uint16(np.int32(min(distance * inverse, kind(FULL))))
    steps[n_groups:] = FULL
    least = np.uint16(FULL)
    for g in range(n_groups):
        least = min(least, steps[g])
    return least


@njit(nogil=True, cache=True, fastmath=FAST)
def nearest_rows_bounds(scores, targets, lo, hi, norms, labels, bounds):
    """Label rows as `nearest_rows` does and store all bounds; paths are zero.

    `scores` are ``-2 x·c``. The computed square differs from the true one by at most
    ``slack (|x| + |c|)²``, slack = (d + 8) unit roundoffs: d for the product (its terms sum to at
    most 2|x||c|), the rest for norms, two additions and what follows here.
    """
    kind = scores.dtype.type
    more, less = kind(1) + targets.slack, kind(1) - targets.slack
    low_of = np.empty(bounds.n_groups, scores.dtype)
    for i in range(lo, hi):
        row = scores[i - lo]
        low, label = _lowest(row, targets.squares)
        labels[i] = label
        square = kind(norms[i] * norms[i])
        error = kind(targets.slack * (norms[i] + targets.top) ** 2)
        stride = bounds.strides[bounds.kinds[i]]
        least = _store_steps(
            row, targets.squares, square - error, less / stride, label, low_of, bounds.steps[i]
        )
        bounds.upper[i] = np.sqrt(max(low + square + error, kind(0))) * more
        bounds.lower[i] = kind(least) * stride * less
