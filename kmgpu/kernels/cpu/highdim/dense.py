"""The dense pass: kernels that label a block of rows from its scores at all centres.

A score is ``-2 x·c + |c|²`` of the rounded row ``x = X[i] - ref`` and the rounded centre, so a
squared distance less ``|x|²``. BLAS computes the products, these kernels do the rest.

Rounding. With u the unit roundoff, the product errs by at most ``2 d u |x||c|``; norms and
additions by a few ``u (|x| + |c|)²``; rounding x and c moves the distance by ``u (|x| + |c|)``,
hence its square by twice ``u (|x| + |c|)²``. In all, the square errs by less than ``roundoff (|x| +
|c|)²`` with ``roundoff = (d + 16) u``. A row whose nearest centre that leaves open is ranked by
`lowlevel.exact`.
"""

import numpy as np

from kmgpu.kernels.cpu.highdim.scan import FULL
from kmgpu.kernels.cpu.highdim.targets import FAST
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.intrinsics import lesser


@njit(nogil=True, cache=True, fastmath=FAST)
def center_rows(X, ref, lo, hi, out):
    """Write ``X[lo:hi] - ref`` to `out`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, read-only
    ref : ndarray of shape (n_features,), dtype of `out`
    lo, hi : int
    out : ndarray of shape (at least hi - lo, n_features), float32 or float64, written
    """
    for i in range(lo, hi):
        for p in range(X.shape[1]):
            out[i - lo, p] = X[i, p] - ref[p]


@njit(nogil=True, cache=True, fastmath=FAST)
def row_norms(X, ref, lo, hi, norms):
    """Write the norms of rounded rows ``X - ref``.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, read-only
    ref : ndarray of shape (n_features,), float32 or float64
    lo, hi : int
    norms : ndarray of shape (n_samples,), float64, written from lo to hi
    """
    for i in range(lo, hi):
        square = 0.0
        for p in range(X.shape[1]):
            rounded = np.float64(X[i, p] - ref[p])
            square += rounded * rounded
        norms[i] = np.sqrt(square)


@njit(fastmath=FAST)
def _lowest(scores, squares):
    """Return the least of ``scores + squares``."""
    low = scores.dtype.type(np.inf)
    for j in range(scores.shape[0]):
        low = lesser(scores[j] + squares[j], low)
    return low


@njit(fastmath=FAST)
def _within(scores, squares, limit):
    """Return how many ``scores + squares`` are at most `limit`, and the first of them."""
    size = np.int32(scores.shape[0])
    place, count = size, np.int32(0)
    for j in range(size):
        near = scores[j] + squares[j] <= limit
        place = min(place, np.int32(j) if near else size)
        count += np.int32(near)
    return count, (place if place < size else np.int32(0))


@njit()
def _open(scores, squares, limit, found):
    """Write to `found` those centres that `_within` counts; return how many."""
    count = 0
    for j in range(scores.shape[0]):
        found[count] = j
        count += scores[j] + squares[j] <= limit
    return count


@njit(inline="always")
def _limit(low, length, top, roundoff, least, kind):
    """Upper bound of the score of a nearest centre, where `Targets.low_squares` is in that score.

    Centre j cannot be nearest if ``score_j - roundoff (|x| + |c_j|)²`` exceeds the least score plus
    the error of that. As ``(|x| + |c_j|)² <= 2 |x|² + 2 |c_j|²``, one limit serves all centres once
    ``2 roundoff |c_j|²`` is taken off their squares. The centre of the least score is no longer
    than `top`, nor than |x| plus its distance from the row.

    Parameters
    ----------
    low : floating scalar
        The row's least score.
    length : floating scalar of the same dtype
        The row's.
    top, roundoff, least
        Of `Targets`.
    kind : type of low
    """
    square = length * length
    near = kind(9) * square + kind(3) * max(low + square, kind(0))
    wide = (length + top) ** 2
    error = roundoff * (kind(2.1) * square + min(near, kind(wide)))
    return low + error + least * least


@njit()
def _ranked(x, scores, low_squares, exact, limit, usable, found):
    """Label of a row that scores leave open, and how many exact costs that took.

    All centres are measured if the row is so long that its scores are not `usable`.
    """
    count = scores.shape[0]
    if usable:
        count = _open(scores, low_squares, limit, found)
    else:
        for j in range(count):
            found[j] = j
    return exact_among(x, exact, True, found, count)[0], count


@njit(nogil=True, cache=True, fastmath=FAST)
def nearest_rows(X, scores, targets, norms, labels):
    """Label rows with their nearest centres.

    Parameters
    ----------
    X : ndarray of shape (m, n_features), float32 or float64
    scores : ndarray of shape (m or more, n_clusters), dtype of the computation
        ``-2 x·c``.
    targets : Targets
    norms : ndarray of shape (m,), float64
        Lengths of ``X - ref``.
    labels : ndarray of shape (m,), int32, written

    Returns
    -------
    int
        How many exact costs were computed, for rows that scores leave open.
    """
    found = np.empty(scores.shape[1] + 1, np.int32)
    # looked up once: for every row it would take as long as all the rest
    exact, squares, low_squares = targets.exact, targets.squares, targets.low_squares
    top, roundoff, least, longest = targets.top, targets.roundoff, targets.least, targets.longest
    kind, total = scores.dtype.type, 0
    for i in range(X.shape[0]):
        row, usable = scores[i], norms[i] < longest
        limit = _limit(_lowest(row, squares), kind(norms[i]), top, roundoff, least, kind)
        count, label = _within(row, low_squares, limit)
        if count != 1 or not usable:
            label, count = _ranked(X[i], row, low_squares, exact, limit, usable, found)
            total += count
        labels[i] = label
    return total


@njit(fastmath=FAST)
def _least_of_center_groups(scores, squares, label, low):
    """Write the least ``scores + squares`` of every centre group but its centre `label`."""
    kind = scores.dtype.type
    n_center_groups = low.shape[0]
    for g in range(n_center_groups):
        low[g] = kind(np.inf)
    for first in range(0, scores.shape[0], n_center_groups):
        end = first + n_center_groups
        part, rest = scores[first:end], squares[first:end]
        own = label - first
        for g in range(part.shape[0]):
            low[g] = lesser(kind(np.inf) if g == own else part[g] + rest[g], low[g])


@njit(fastmath=FAST)
def _store_levels(scores, squares, base, inverse, label, low, levels):
    """Write the row's bounds in levels, rounded down; return the least of them."""
    kind = scores.dtype.type
    n_center_groups = low.shape[0]
    if n_center_groups < scores.shape[0]:
        _least_of_center_groups(scores, squares, label, low)
    else:
        for j in range(n_center_groups):
            low[j] = scores[j] + squares[j]
        low[label] = kind(np.inf)
    for g in range(n_center_groups):
        distance = np.sqrt(max(low[g] + base, kind(0)))
        levels[g] = np.uint16(np.int32(min(distance * inverse, kind(FULL))))
    levels[n_center_groups:] = FULL
    least = np.uint16(FULL)
    for g in range(n_center_groups):
        least = min(least, levels[g])
    return least


@njit(nogil=True, cache=True, fastmath=FAST)
def nearest_rows_bounds(X, scores, targets, lo, norms, labels, bounds):
    """Label rows as `nearest_rows` does, and store bounds of them; all paths are zero.

    Parameters are those of `nearest_rows`, and:

    lo : int
        Row e of X is row lo + e of `bounds`.
    bounds : stored.Bounds
    """
    kind, squares = scores.dtype.type, targets.squares
    top, roundoff, tiny = targets.top, targets.roundoff, targets.least
    more, less = kind(1) + roundoff, kind(1) - roundoff
    low_of = np.empty(bounds.n_center_groups, scores.dtype)
    n_exact = nearest_rows(X, scores, targets, norms, labels)
    for e in range(X.shape[0]):
        row, i, label = scores[e], lo + e, labels[e]
        low = row[label] + squares[label]
        square = kind(norms[e] * norms[e])
        error = kind(roundoff * (norms[e] + top) ** 2) + tiny * tiny
        stride = bounds.strides[bounds.kinds[i]]
        least = _store_levels(
            row, squares, square - error, less / stride, label, low_of, bounds.levels[i]
        )
        bounds.upper[i] = np.sqrt(max(low + square + error, kind(0))) * more
        bounds.lower[i] = kind(least) * stride * less
    return n_exact
