"""Compiled kernels of ``grouped.GroupBounds``: a dense search and one that follows the bounds."""

import numpy as np

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.tile_costs import costs_tile, least_but
from kmgpu.kernels.cpu.tiles import gather_tile, lanes

CHUNK = np.uint64(64)
LESS = 1 - 2.0**-21
MORE = 1 + 2.0**-21


@njit(nogil=True, cache=True, fastmath={"contract"})
def search_rows(
    x, reference, c, l1, edges, gamma, group_drift, own_drift, pair_drift,
    labels, lower, upper, slack, rows, old,
):  # fmt: skip
    """Compute every distance, in blocks; set all labels and bounds.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    c : ndarray of shape (padded(k), n_features), dtype of x, read-only
        Centres minus the reference, followed by infinite ones.
    l1 : True
        The loss, as `tile_costs.costs_tile` takes it.
    edges : ndarray of shape (n_groups + 1,), int64, read-only
        First centre of every group.
    gamma : float
    group_drift, own_drift, pair_drift : float64 ndarrays, read-only
        Of shapes (n_groups,), (k,) and (k,).
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
    w, costs = np.empty(x.shape[1] * size, x.dtype), np.empty(c.shape[0] * size, x.dtype)
    best, nearest, other = np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size)
    tile, arg = np.empty(size, np.int32), np.empty(size, np.int32)
    changed = 0
    for lo in range(0, x.shape[0], size):
        m = min(size, x.shape[0] - lo)
        for i in range(size):
            tile[i] = min(lo + i, x.shape[0] - 1)
        gather_tile(x, tile, 0, reference, w)
        costs_tile(w, c, l1, costs, best, arg)
        other[:] = np.inf
        for g in range(edges.shape[0] - 1):
            least_but(costs, edges[g], edges[g + 1], arg, nearest)
            for i in range(m):
                bound = np.float64(nearest[i]) * (1 - 3 * gamma)
                other[i] = min(other[i], bound)
                lower[lo + i, g] = (bound + group_drift[g]) * LESS
        for i in range(m):
            r, j = lo + i, arg[i]
            u = np.float64(best[i]) * (1 + 3 * gamma)
            _settle(r, j, u, other[i], own_drift, pair_drift, upper, slack)
            rows[changed] = r
            old[changed] = labels[r]
            changed += j != labels[r]
            labels[r] = j
    return changed


@njit(inline="always")
def _settle(r, j, u, bound, own_drift, pair_drift, upper, slack):
    """Store the upper bound u of row r with label j, and its slack to the bound of all others."""
    v = u - own_drift[j]
    upper[r] = v + abs(v) * 2.0**-21
    v = bound - u + pair_drift[j]
    slack[r] = v * LESS if v > 0 else v * MORE


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
        m += lower[g] - drift[g] <= u
    return m


@njit(inline="always")
def _visit_groups(x, c, edges, gamma, drift, found, m, z, own, lower, drift32):
    """Nearest centre of one row among its own and those of the open groups; renews their bounds."""
    best, j = own, z
    winner = -1
    second = best
    up, down = 1 + 3 * gamma, 1 - 3 * gamma
    for p in range(m):
        g = found[p]
        if lower[g] - drift32[g] > best * up:
            continue
        first, next_ = x.dtype.type(np.inf), x.dtype.type(np.inf)
        for t in range(edges[g], edges[g + 1]):
            if t == z:
                continue
            v = _distance(x, c[t])
            if v < first:
                first, next_ = v, first
            elif v < next_:
                next_ = v
            if v < best or (v == best and t < j):
                best, j, winner = v, t, g
        lower[g] = (first * down + drift[g]) * LESS
        if winner == g:
            second = next_
    if winner >= 0:
        lower[winner] = (second * down + drift[winner]) * LESS
        g = 0
        while edges[g + 1] <= z:
            g += 1
        lower[g] = min(lower[g], np.float32((own * down + drift[g]) * LESS))
    return best, j


@njit(nogil=True, cache=True)
def prune_rows(
    x, reference, c, l1, edges, gamma, group_drift, own_drift, pair_drift,
    labels, lower, upper, slack, rows, old,
):  # fmt: skip
    """Compute only the distances that the bounds leave open. Parameters: see ``search_rows``."""
    d = x.shape[1]
    drift32 = (group_drift * MORE).astype(np.float32)
    found = np.empty(edges.shape[0], np.int64)
    y = np.zeros(c.shape[1], x.dtype)
    changed = 0
    for i in range(x.shape[0]):
        z = labels[i]
        if slack[i] > pair_drift[z]:
            continue
        u = (np.float64(upper[i]) + own_drift[z]) * MORE
        least = np.float64(_least(lower[i], drift32))
        if least > u:
            v = least - u + pair_drift[z]
            slack[i] = v * LESS
            continue
        for q in range(d):
            y[q] = x[i, q] - reference[q]
        own = _distance(y, c[z])
        u = np.float64(own) * (1 + 3 * gamma)
        m = _open(lower[i], drift32, u, found)
        best, j = _visit_groups(
            y, c, edges, gamma, group_drift, found, m, z, own, lower[i], drift32
        )
        _settle(
            i, j, np.float64(best) * (1 + 3 * gamma), -np.inf, own_drift, pair_drift, upper, slack
        )
        if j != z:
            rows[changed] = i
            old[changed] = z
            changed += 1
            labels[i] = j
    return changed
