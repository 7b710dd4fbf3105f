"""Compiled kernels of ``grouped.GroupBounds``: a dense search and one that follows the bounds."""

from typing import NamedTuple

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.tile_costs import costs_tile, least_but
from kmgpu.kernels.cpu.lowlevel.tiles import gather_tile, lanes

CHUNK = np.uint64(64)
# float32 values: four times what their own rounding and that of a comparison can lose
ROUNDED = 2.0**-21
LEAST = 2.0**-126
MOST = float(np.finfo(np.float32).max)


class Centers(NamedTuple):
    """Centres as the kernels read them; all arrays are read-only.

    Attributes
    ----------
    exact : ndarray of shape (k, n_features), float64
    near : ndarray of shape (padded(k), n_features), dtype of the computation
        Centres minus the reference, rounded; followed by infinite ones.
    lengths : ndarray of shape (k,), float64
        Sums of absolute coordinates of `near`, rounded up.
    group_drift, own_drift, pair_drift : ndarrays of shapes (n_groups,), (k,) and (k,), float64
        How far centres have moved so far: the furthest of a group; each one; each one together
        with the furthest of the others.
    """

    exact: np.ndarray
    near: np.ndarray
    lengths: np.ndarray
    group_drift: np.ndarray
    own_drift: np.ndarray
    pair_drift: np.ndarray


class Rounding(NamedTuple):
    """How far a computed distance may be from the true one, and that of ``exact`` too.

    Attributes
    ----------
    up, down : float
        Factors of a distance computed from rounded rows and centres.
    origin : float
        Share of a row's length, about the reference, that rounding rows and centres may cost.
    tiny : float
        The same where they underflow.
    most : float
        Largest number of the dtype: an infinite distance is at least that.
    exact_up : float
        Factor of a cost of ``exact``.
    """

    up: float
    down: float
    origin: float
    tiny: float
    most: float
    exact_up: float


@njit(inline="always")
def _apart(cost, j, lengths, rounding):
    """Absolute error of a row's distances to all centres, from one of them.

    Rows and centres are rounded by their lengths, and no length exceeds another by more than the
    distance between.
    """
    return rounding.origin * (np.float64(cost) * rounding.up + lengths[j]) + rounding.tiny


@njit(inline="always")
def _lowered(cost, apart, rounding):
    """A lower bound of the true distance."""
    return min(np.float64(cost), rounding.most) * rounding.down - apart


@njit(inline="always")
def _below(v):
    """A finite float32 below v."""
    v -= abs(v) * ROUNDED + LEAST
    return np.float32(min(v, MOST)) if v > -MOST else np.float32(-MOST)


@njit(inline="always")
def _above(v):
    """A float32 above v, maybe infinite."""
    v += abs(v) * ROUNDED + LEAST
    return np.float32(max(v, -MOST)) if v < MOST else np.float32(np.inf)


@njit(inline="always")
def _group_of(edges, j):
    g = 0
    while edges[g + 1] <= j:
        g += 1
    return g


@njit(nogil=True, cache=True, fastmath={"contract"})
def search_rows(x, reference, l1, c, rounding, edges, labels, lower, upper, slack, rows, old):
    """Compute every distance, in blocks; set all labels and bounds.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    l1 : True
        The loss, as `tile_costs.costs_tile` takes it.
    c : Centers
    rounding : Rounding
    edges : ndarray of shape (n_groups + 1,), int64, read-only
        First centre of every group.
    labels : ndarray of shape (m,), int32, updated
    lower : ndarray of shape (m, n_groups), float32, updated
    upper, slack : ndarrays of shape (m,), float32, updated
    rows, old : ndarrays of shape (m,), int32, written

    Returns
    -------
    changed : int
        How many of ``rows`` and ``old`` (the label before) are set.
    """
    size = lanes(x)
    w, costs = np.empty(x.shape[1] * size, x.dtype), np.empty(c.near.shape[0] * size, x.dtype)
    best, nearest, other = np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size)
    tile, arg = np.empty(size, np.int32), np.empty(size, np.int32)
    apart, stored = np.empty(size), np.empty(size, np.float32)
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
            apart[i] = _apart(best[i], arg[i], c.lengths, rounding)
        for g in range(edges.shape[0] - 1):
            least_but(costs, edges[g], edges[g + 1], arg, nearest)
            drift = c.group_drift[g]
            for i in range(size):
                bound = _lowered(nearest[i], apart[i], rounding)
                other[i] = min(other[i], bound)
                stored[i] = _below(bound + drift)
            for i in range(m):
                lower[lo + i, g] = stored[i]
        for i in range(m):
            r, j = lo + i, arg[i]
            u = np.float64(best[i]) * rounding.up + apart[i]
            if not other[i] > u:
                count = _within(costs[i::size], j, u, apart[i], rounding, found)
                j, u, other[i] = _rank(
                    x[r], c, rounding, edges, found, count, j, best[i], apart[i], lower[r], other[i]
                )
            upper[r] = _above(u - c.own_drift[j])
            slack[r] = _below(other[i] - u + c.pair_drift[j])
            rows[changed] = r
            old[changed] = labels[r]
            changed += j != labels[r]
            labels[r] = j
    return changed


@njit()
def _within(costs, j, u, apart, rounding, found):
    """Write centre j, and those whose distance may be at most u, to ``found``; their number."""
    count = 0
    for t in range(found.shape[0]):
        found[count] = t
        count += t == j or not _lowered(costs[t], apart, rounding) > u
    return count


@njit()
def _rank(x, c, rounding, edges, found, count, j, cost, apart, lower, other):
    """Nearest by float64 costs among ``found[:count]``, which hold j, the nearest so far.

    Renews the bound of j's group if another is nearer. Returns the nearest, an upper bound of its
    distance, and a lower one of all others'.
    """
    nearest, least = exact_among(x, c.exact, False, found, count)
    if nearest != j:
        g, bound = _group_of(edges, j), _lowered(cost, apart, rounding)
        other = min(other, bound)
        lower[g] = min(lower[g], _below(bound + c.group_drift[g]))
    return nearest, least * rounding.exact_up, other


@njit(fastmath={"contract", "reassoc", "nsz"})
def _piece(x, y, a, length):
    """Manhattan distance over ``length`` features from a on (unsigned, so that it vectorises)."""
    s = x.dtype.type(0)
    for q in range(length):
        s += abs(x[a + q] - y[a + q])
    return s


@njit()
def _distance(x, y):
    """Manhattan distance, summed in two levels so that few roundings fall on any term."""
    s = x.dtype.type(0)
    a, d = np.uint64(0), np.uint64(x.shape[0])
    while a + CHUNK <= d:
        s += _piece(x, y, a, CHUNK)
        a += CHUNK
    return s + _piece(x, y, a, d - a)


@njit(fastmath={"nnan", "nsz", "reassoc"})
def _least(lower, drift):
    """Smallest present bound of a row."""
    s = np.float32(np.inf)
    for g in range(drift.shape[0]):
        v = lower[g] - drift[g]
        s = v if v < s else s
    return s


@njit(inline="always")
def _open(lower, drift, u, found):
    """Groups that may hold a centre within u."""
    m = 0
    for g in range(drift.shape[0]):
        found[m] = g
        m += not (lower[g] - drift[g] > u)
    return m


@njit(inline="always")
def _visit_groups(y, c, rounding, edges, drift32, found, m, z, own, apart, u, lower):
    """Nearest centre of one row among its own and those of the open groups; renews their bounds.

    Returns its distance, itself, the second least distance, the absolute error of all, and an upper
    bound of the first.
    """
    best, j = own, z
    winner = -1
    near, lengths, drift = c.near, c.lengths, c.group_drift  # looking them up again takes time
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
            apart = min(apart, _apart(best, j, lengths, rounding))
            u = np.float64(best) * rounding.up + apart
            runner_up = min(runner_up, before, next_)
        else:
            runner_up = min(runner_up, first)
        lower[g] = _below(_lowered(first, apart, rounding) + drift[g])
    if winner >= 0:
        lower[winner] = _below(_lowered(second, apart, rounding) + drift[winner])
        g = _group_of(edges, z)
        bound = _lowered(own, apart, rounding) + drift[g]
        lower[g] = min(lower[g], _below(bound))
    return best, j, runner_up, apart, u


@njit()
def _candidates(y, c, rounding, edges, drift32, j, u, apart, lower, found):
    """Write centre j, and those that bounds and distances leave within u, to ``found``."""
    count = 0
    for g in range(drift32.shape[0]):
        open_ = not lower[g] - drift32[g] > u
        for t in range(edges[g], edges[g + 1]):
            found[count] = t
            if t == j:
                count += 1
            elif open_:
                count += not _lowered(_distance(y, c.near[t]), apart, rounding) > u
    return count


@njit(nogil=True, cache=True)
def prune_rows(x, reference, l1, c, rounding, edges, labels, lower, upper, slack, rows, old):
    """Compute only the distances that the bounds leave open. Parameters: see ``search_rows``."""
    d = x.shape[1]
    drift32 = (c.group_drift * (1 + ROUNDED)).astype(np.float32)
    groups, found = np.empty(edges.shape[0], np.int64), np.empty(c.exact.shape[0], np.int32)
    y = np.zeros(d, x.dtype)
    own_drift, pair_drift = c.own_drift, c.pair_drift
    changed = 0
    for i in range(x.shape[0]):
        z = labels[i]
        if slack[i] > pair_drift[z]:
            continue
        u = (np.float64(upper[i]) + own_drift[z]) * (1 + ROUNDED)
        least = np.float64(_least(lower[i], drift32))
        if least > u:
            slack[i] = _below(least - u + pair_drift[z])
            continue
        for q in range(d):
            y[q] = x[i, q] - reference[q]
        own = _distance(y, c.near[z])
        apart = _apart(own, z, c.lengths, rounding)
        u = np.float64(own) * rounding.up + apart
        m = _open(lower[i], drift32, u, groups)
        best, j, second, apart, u = _visit_groups(
            y, c, rounding, edges, drift32, groups, m, z, own, apart, u, lower[i]
        )
        if not _lowered(second, apart, rounding) > u:
            count = _candidates(y, c, rounding, edges, drift32, j, u, apart, lower[i], found)
            j, u, _ = _rank(
                x[i], c, rounding, edges, found, count, j, best, apart, lower[i], -np.inf
            )
        upper[i] = _above(u - own_drift[j])
        slack[i] = -MOST
        if j != z:
            rows[changed] = i
            old[changed] = z
            changed += 1
            labels[i] = j
    return changed
