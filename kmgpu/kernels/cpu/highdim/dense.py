"""Compiled block functions of the dense L2 assignment (Numba).

Every function runs without the interpreter lock; rows are ``X[i] - ref``.

Rounding. A score is ``-2 x·c + |c|²`` of the rounded row and centre. With u the unit roundoff, the
product errs by at most ``2 d u |x||c|``; norms and additions by a few ``u (|x| + |c|)²``; rounding
x - ref and c - ref moves the distance by ``u (|x| + |c|)``, hence its square by twice
``u (|x| + |c|)²``. In all the square errs by less than ``slack (|x| + |c|)²``, slack = (d + 16) u.
"""

import numpy as np

from kmgpu.kernels.cpu.highdim.records import Targets
from kmgpu.kernels.cpu.highdim.scan import FULL
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.intrinsics import lesser
from kmgpu.kernels.cpu.lowlevel.rows import frozen

MOST_SAMPLED = 1 << 19  # numbers of the rows that choose an origin
FAST = {"contract", "reassoc", "nsz", "nnan"}  # values are finite: the engine checks the norms


@njit(fastmath=False)
def apart(x, origin, center):
    """``(x - origin) - center``, rounded twice.

    Flags that let sums be reordered let the compiler add the origin to the centre, which undoes
    what the origin is for.
    """
    return (x - origin) - center


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
    before : ndarray of shape (n_clusters, n_features), float64
        The centres of the iteration before, less the reference.
    shifted : ndarray of shape (n_clusters, n_features), float64, written
        With no row at all, where no iteration follows, neither it nor `before` is used.
    rounded : ndarray of shape (n_clusters, n_features), dtype of `ref`, written
    squares : ndarray of shape (n_clusters,), float64, written
        Of the rounded centres.
    moved : ndarray of shape (n_clusters,), float64, written
    """
    kind, follows = ref.dtype.type, shifted.shape[0] > 0
    for j in range(centers.shape[0]):
        square = 0.0
        step = 0.0
        for p in range(centers.shape[1]):
            value = centers[j, p] - np.float64(ref[p])
            near = kind(value)
            rounded[j, p] = near
            square += np.float64(near) * np.float64(near)
            if follows:
                difference = apart(centers[j, p], np.float64(ref[p]), before[j, p])
                shifted[j, p] = value
                step += difference * difference
        squares[j] = square
        moved[j] = np.sqrt(step)


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
def _limit(low, length, top, slack, least, kind):
    """What the score of a nearest centre, as `low_squares` leaves it, does not exceed.

    Centre j cannot be nearest if ``score_j - slack (|x| + |c_j|)²`` exceeds the least score plus
    the error of that. As ``(|x| + |c_j|)² <= 2 |x|² + 2 |c_j|²``, one limit serves all centres once
    ``2 slack |c_j|²`` is taken off their squares. The centre of the least score is no longer than
    `top`, nor than |x| plus its distance from the row.

    Parameters
    ----------
    low : floating scalar
        The row's least score.
    length : floating scalar of the same dtype
        The row's.
    top, slack, least
        Of `Targets`.
    kind : type of low
    """
    square = length * length
    near = kind(9) * square + kind(3) * max(low + square, kind(0))
    wide = (length + top) ** 2
    error = slack * (kind(2.1) * square + min(near, kind(wide)))
    return low + error + least * least


@njit()
def _ranked(x, scores, low_squares, exact, limit, usable, found):
    """Label of a row that scores leave open, and how many exact costs it took.

    All centres are measured where scores are not `usable`, as the row is too long.
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
        Exact costs that were computed, of rows that scores leave open.
    """
    found = np.empty(scores.shape[1] + 1, np.int32)
    # for each row, these would take as long to look up as all the rest
    exact, squares, low_squares = targets.exact, targets.squares, targets.low_squares
    top, slack, least, longest = targets.top, targets.slack, targets.least, targets.longest
    kind, total = scores.dtype.type, 0
    for i in range(X.shape[0]):
        row, usable = scores[i], norms[i] < longest
        limit = _limit(_lowest(row, squares), kind(norms[i]), top, slack, least, kind)
        count, label = _within(row, low_squares, limit)
        if count != 1 or not usable:
            label, count = _ranked(X[i], row, low_squares, exact, limit, usable, found)
            total += count
        labels[i] = label
    return total


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
def nearest_rows_bounds(X, scores, targets, lo, norms, labels, bounds):
    """Label rows as `nearest_rows` does and store all bounds; paths are zero.

    The rows are lo to lo + m of those that `bounds` is of.
    """
    kind, squares = scores.dtype.type, targets.squares
    top, slack, tiny = targets.top, targets.slack, targets.least
    more, less = kind(1) + slack, kind(1) - slack
    low_of = np.empty(bounds.n_groups, scores.dtype)
    n_exact = nearest_rows(X, scores, targets, norms, labels)
    for e in range(X.shape[0]):
        row, i, label = scores[e], lo + e, labels[e]
        low = row[label] + squares[label]
        square = kind(norms[e] * norms[e])
        error = kind(slack * (norms[e] + top) ** 2) + tiny * tiny
        stride = bounds.strides[bounds.kinds[i]]
        least = _store_steps(
            row, squares, square - error, less / stride, label, low_of, bounds.steps[i]
        )
        bounds.upper[i] = np.sqrt(max(low + square + error, kind(0))) * more
        bounds.lower[i] = kind(least) * stride * less
    return n_exact


def origin_of(X: np.ndarray) -> np.ndarray:
    """An origin for products with rows of X, float64: their median where they lie far from 0.

    Zero where they do not: rows are multiplied where they lie.
    """
    n, d = X.shape
    sample = X[:: max(1, n // min(512, max(16, MOST_SAMPLED // d)))].astype(np.float64)
    middle = np.median(sample, axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        if not middle @ middle > ((sample - middle) ** 2).sum(axis=1).mean():
            middle[:] = 0.0
    return middle


def targets_of(
    centers: np.ndarray, ref: np.ndarray, before: np.ndarray, shifted: np.ndarray
) -> Targets:
    """Centres as passes need them; `before` and `shifted` as in `place_centers`."""
    kind = ref.dtype
    rounded = np.empty(centers.shape, kind)
    squares, moved = np.empty(len(centers)), np.empty(len(centers))
    with np.errstate(over="ignore"):  # the engine sees to lengths that float32 cannot hold
        place_centers(centers, ref, before, shifted, rounded, squares, moved)
        info, top = np.finfo(kind), float(np.sqrt(squares.max()))
        slack = kind.type((centers.shape[1] + 16) * info.eps / 2)
        longest = float(np.sqrt(info.max)) / 8
        return Targets(
            exact=frozen(centers),
            centers=rounded,
            squares=squares.astype(kind),
            low_squares=(squares * (1 - 2.5 * float(slack))).astype(kind),
            top=top,
            moved=moved.astype(kind) * (1 + slack),
            slack=slack,
            least=kind.type(4 * np.sqrt(centers.shape[1] * float(info.tiny))),
            longest=longest if top < longest else 0.0,
        )


def product_of(targets: Targets) -> np.ndarray:
    """The factor that turns rows into scores, (n_features, n_clusters)."""
    return np.ascontiguousarray((-2 * targets.centers).T)
