"""Kernels of `grouped.CenterGroupBounds`: one computes all distances, one those left open."""

from typing import NamedTuple

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.tile_costs import costs_tile, least_but
from kmgpu.kernels.cpu.lowlevel.tiles import gather_tile, lanes
from kmgpu.kernels.cpu.medians.rounding import MOST, ROUNDED, above, below, error_of, lowered

PIECE = np.uint64(64)  # features of one sum


class Centers(NamedTuple):
    """Centres as the kernels read them; all arrays are read-only.

    Attributes
    ----------
    exact : ndarray of shape (k, n_features), float64
    near : ndarray of shape (padded(k), n_features), dtype of the computation
        Centres minus the reference, rounded; followed by infinite ones.
    lengths : ndarray of shape (k,), float64
        Sums of absolute coordinates of `near`, rounded up.
    group_drift : ndarray of shape (n_center_groups,), float64
        Sum of the largest movements of every centre group so far.
    own_drift : ndarray of shape (k,), float64
        How far every centre has moved so far.
    pair_drift : ndarray of shape (k,), float64
        The same plus the largest movements of the other centres.
    """

    exact: np.ndarray
    near: np.ndarray
    lengths: np.ndarray
    group_drift: np.ndarray
    own_drift: np.ndarray
    pair_drift: np.ndarray


@njit(inline="always")
def _center_group_of(edges, j):
    """The centre group of centre j."""
    g = 0
    while edges[g + 1] <= j:
        g += 1
    return g


@njit(nogil=True, cache=True, fastmath={"contract"})
def search_rows(x, reference, l1, c, rounding, edges, labels, lower, upper, gaps, rows, old):
    """Compute every distance, tile by tile; set all labels and bounds.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    l1 : True
        See `lowlevel.tile_costs`.
    c : Centers
    rounding : Rounding
    edges : ndarray of shape (n_center_groups + 1,), int64, read-only
        Centre group g is the centres ``edges[g]`` to ``edges[g + 1] - 1``.
    labels : ndarray of shape (m,), int32, updated
    lower : ndarray of shape (m, n_center_groups), float32, updated
    upper, gaps : ndarrays of shape (m,), float32, updated
    rows, old : ndarrays of shape (m,), int32, written

    Returns
    -------
    changed : int
        How many of ``rows``, whose label changed, and of ``old``, their labels before, are set.
    """
    size = lanes(x)
    w, costs = np.empty(x.shape[1] * size, x.dtype), np.empty(c.near.shape[0] * size, x.dtype)
    best, nearest, other = np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size)
    tile, arg = np.empty(size, np.int32), np.empty(size, np.int32)
    error, stored = np.empty(size), np.empty(size, np.float32)
    found = np.empty(c.exact.shape[0], np.int32)
    changed = 0
    for lo in range(0, x.shape[0], size):
        m = min(size, x.shape[0] - lo)
        for i in range(size):
            tile[i] = min(lo + i, x.shape[0] - 1)
        gather_tile(x, tile, 0, reference, w)
        costs_tile(w, c.near, l1, costs, best, arg)
        for i in range(size):
            other[i] = np.inf
            error[i] = error_of(best[i], arg[i], c.lengths, rounding)
        for g in range(edges.shape[0] - 1):
            least_but(costs, edges[g], edges[g + 1], arg, nearest)
            drift = c.group_drift[g]
            for i in range(size):
                bound = lowered(nearest[i], error[i], rounding)
                other[i] = min(other[i], bound)
                stored[i] = below(bound + drift)
            for i in range(m):
                lower[lo + i, g] = stored[i]
        for i in range(m):
            r, j = lo + i, arg[i]
            u = np.float64(best[i]) * rounding.up + error[i]
            if not other[i] > u:
                count = _within(costs[i::size], j, u, error[i], rounding, found)
                j, u, other[i] = _rank(
                    x[r], c, rounding, edges, found, count, j, best[i], error[i], lower[r], other[i]
                )
            upper[r] = above(u - c.own_drift[j])
            gaps[r] = below(other[i] - u + c.pair_drift[j])
            rows[changed] = r
            old[changed] = labels[r]
            changed += j != labels[r]
            labels[r] = j
    return changed


@njit()
def _within(costs, j, u, error, rounding, found):
    """Write centre j, and all whose distance may be at most u, to ``found``; return how many."""
    count = 0
    for t in range(found.shape[0]):
        found[count] = t
        count += t == j or not lowered(costs[t], error, rounding) > u
    return count


@njit()
def _rank(x, c, rounding, edges, found, count, j, cost, error, lower, other):
    """Nearest by float64 costs among ``found[:count]``, which hold j, the nearest so far.

    Lowers the bound of j's centre group if another centre is nearer. Returns the nearest, an upper
    bound of its distance, and a lower bound of the distances of all others.
    """
    nearest, least = exact_among(x, c.exact, False, found, count)
    if nearest != j:
        g, bound = _center_group_of(edges, j), lowered(cost, error, rounding)
        other = min(other, bound)
        lower[g] = min(lower[g], below(bound + c.group_drift[g]))
    return nearest, least * rounding.exact_up, other


@njit(fastmath={"contract", "reassoc", "nsz"})
def _piece(x, y, a, length):
    """Manhattan distance over `length` features from a on; unsigned, or LLVM does not vectorise."""
    s = x.dtype.type(0)
    for q in range(length):
        s += abs(x[a + q] - y[a + q])
    return s


@njit()
def _distance(x, y):
    """Manhattan distance as a sum of sums, so that few roundings fall on any term."""
    s = x.dtype.type(0)
    a, d = np.uint64(0), np.uint64(x.shape[0])
    while a + PIECE <= d:
        s += _piece(x, y, a, PIECE)
        a += PIECE
    return s + _piece(x, y, a, d - a)


@njit(fastmath={"nnan", "nsz", "reassoc"})
def _least(lower, drift):
    """The least of a row's bounds for the present centres."""
    s = np.float32(np.inf)
    for g in range(drift.shape[0]):
        v = lower[g] - drift[g]
        s = v if v < s else s
    return s


@njit(inline="always")
def _open(lower, drift, u, found):
    """Write the centre groups that may hold a centre within u to ``found``; return how many."""
    m = 0
    for g in range(drift.shape[0]):
        found[m] = g
        m += not (lower[g] - drift[g] > u)
    return m


@njit(inline="always")
def _visit_center_groups(y, c, rounding, edges, drift32, found, m, z, own, error, u, lower):
    """Find a row's nearest centre among its own, z, and those of open groups; renew their bounds.

    Returns
    -------
    best, j : float, int
        Distance of the nearest centre, and its index.
    runner_up : float
        The second least distance.
    error : float
        Absolute error of all of them; see `error_of`.
    u : float
        Upper bound of the true distance of the nearest.
    """
    best, j = own, z
    winner = -1
    near, lengths, drift = c.near, c.lengths, c.group_drift  # looked up once: it takes time
    second = runner_up = y.dtype.type(np.inf)
    for p in range(m):
        g = found[p]
        if lower[g] - drift32[g] > u:
            continue
        before, first, next_ = best, y.dtype.type(np.inf), y.dtype.type(np.inf)
        for t in range(edges[g], edges[g + 1]):
            if t == z:
                continue
            v = _distance(y, near[t])
            if v < first:
                first, next_ = v, first
            elif v < next_:
                next_ = v
            if v < best or (v == best and t < j):
                best, j, winner = v, t, g
        if winner == g:
            second = next_
            error = min(error, error_of(best, j, lengths, rounding))
            u = np.float64(best) * rounding.up + error
            runner_up = min(runner_up, before, next_)
        else:
            runner_up = min(runner_up, first)
        lower[g] = below(lowered(first, error, rounding) + drift[g])
    if winner >= 0:
        lower[winner] = below(lowered(second, error, rounding) + drift[winner])
        g = _center_group_of(edges, z)
        bound = lowered(own, error, rounding) + drift[g]
        lower[g] = min(lower[g], below(bound))
    return best, j, runner_up, error, u


@njit()
def _candidates(y, c, rounding, edges, drift32, j, u, error, lower, found):
    """Write centre j, and all that may be within u by bound and distance, to ``found``."""
    count = 0
    for g in range(drift32.shape[0]):
        open_ = not lower[g] - drift32[g] > u
        for t in range(edges[g], edges[g + 1]):
            found[count] = t
            if t == j:
                count += 1
            elif open_:
                count += not lowered(_distance(y, c.near[t]), error, rounding) > u
    return count


@njit(nogil=True, cache=True)
def prune_rows(x, reference, l1, c, rounding, edges, labels, lower, upper, gaps, rows, old):
    """Compute the distances that the bounds leave open; parameters as in `search_rows`."""
    d = x.shape[1]
    drift32 = (c.group_drift * (1 + ROUNDED)).astype(np.float32)
    center_groups, found = np.empty(edges.shape[0], np.int64), np.empty(c.exact.shape[0], np.int32)
    y = np.zeros(d, x.dtype)
    own_drift, pair_drift = c.own_drift, c.pair_drift
    changed = 0
    for i in range(x.shape[0]):
        z = labels[i]
        if gaps[i] > pair_drift[z]:
            continue
        u = (np.float64(upper[i]) + own_drift[z]) * (1 + ROUNDED)
        least = np.float64(_least(lower[i], drift32))
        if least > u:
            gaps[i] = below(least - u + pair_drift[z])
            continue
        for q in range(d):
            y[q] = x[i, q] - reference[q]
        own = _distance(y, c.near[z])
        error = error_of(own, z, c.lengths, rounding)
        u = np.float64(own) * rounding.up + error
        m = _open(lower[i], drift32, u, center_groups)
        best, j, second, error, u = _visit_center_groups(
            y, c, rounding, edges, drift32, center_groups, m, z, own, error, u, lower[i]
        )
        if not lowered(second, error, rounding) > u:
            count = _candidates(y, c, rounding, edges, drift32, j, u, error, lower[i], found)
            j, u, _ = _rank(
                x[i], c, rounding, edges, found, count, j, best, error, lower[i], -np.inf
            )
        upper[i] = above(u - own_drift[j])
        gaps[i] = -MOST
        if j != z:
            rows[changed] = i
            old[changed] = z
            changed += 1
            labels[i] = j
    return changed
