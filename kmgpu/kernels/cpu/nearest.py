"""Nearest and second nearest centre in low dimension, L1 and L2: compiled kernels.

A block of ``LANES`` rows is transposed into a buffer that stays in the first-level cache, one
feature after the other, and meets four centres at a time: a vector instruction works on many rows
and one centre. The buffer also holds the four costs, the running best and the running second best.
Indices are unsigned and the block length is a constant: only so does the compiler see that no
two of these overlap, and vectorises.
"""

import numpy as np

from kmgpu.kernels.cpu.compiled import njit

LANES = 256
_L = np.uint64(LANES)


def padded(d: int) -> int:
    """Number of features, zeros included, that the kernels handle: 2 + 4m or 4m."""
    return 4 * ((d + 1) // 4) + (2 if d % 4 in (1, 2) else 0)


@njit(fastmath={"contract"})
def _two(x, c, l1):
    """Cost of a row over two features, to the centre coordinates in the tuple c."""
    u, v = x[0] - c[0], x[1] - c[1]
    if l1 is None:
        return u * u + v * v
    return abs(u) + abs(v)


@njit(fastmath={"contract"})
def _four(x, c, l1):
    """Cost of a row over four features, to the centre coordinates in the tuple c."""
    r, s, u, v = x[0] - c[0], x[1] - c[1], x[2] - c[2], x[3] - c[3]
    if l1 is None:
        return (r * r + s * s) + (u * u + v * v)
    return (abs(r) + abs(s)) + (abs(u) + abs(v))


@njit()
def _corner(c, j, q):
    """Coordinates q to q+3 of centre j."""
    return c[j, q], c[j, q + 1], c[j, q + 2], c[j, q + 3]


@njit(inline="always")
def _set2(w, a, c, j, l1):
    """Costs over features 0 and 1 to centres j to j+3, stored at ``w[a:]``."""
    a0 = np.uint64(a)
    a1, a2, a3 = a0 + _L, a0 + _L + _L, a0 + _L + _L + _L
    c0, c1 = (c[j, 0], c[j, 1]), (c[j + 1, 0], c[j + 1, 1])
    c2, c3 = (c[j + 2, 0], c[j + 2, 1]), (c[j + 3, 0], c[j + 3, 1])
    for i in range(_L):
        x = w[i], w[_L + i]
        w[a0 + i] = _two(x, c0, l1)
        w[a1 + i] = _two(x, c1, l1)
        w[a2 + i] = _two(x, c2, l1)
        w[a3 + i] = _two(x, c3, l1)


@njit(inline="always")
def _set4(w, a, c, j, l1):
    """Costs over features 0 to 3 to centres j to j+3, stored at ``w[a:]``."""
    a0 = np.uint64(a)
    a1, a2, a3 = a0 + _L, a0 + _L + _L, a0 + _L + _L + _L
    x2, x3 = _L + _L, _L + _L + _L
    c0, c1, c2, c3 = (
        _corner(c, j, 0),
        _corner(c, j + 1, 0),
        _corner(c, j + 2, 0),
        _corner(c, j + 3, 0),
    )
    for i in range(_L):
        x = w[i], w[_L + i], w[x2 + i], w[x3 + i]
        w[a0 + i] = _four(x, c0, l1)
        w[a1 + i] = _four(x, c1, l1)
        w[a2 + i] = _four(x, c2, l1)
        w[a3 + i] = _four(x, c3, l1)


@njit(inline="always")
def _add4(w, a, c, j, q, l1):
    """Add the costs over features q to q+3 to centres j to j+3 to ``w[a:]``."""
    a0 = np.uint64(a)
    a1, a2, a3 = a0 + _L, a0 + _L + _L, a0 + _L + _L + _L
    x0 = np.uint64(q) * _L
    x1, x2, x3 = x0 + _L, x0 + _L + _L, x0 + _L + _L + _L
    c0, c1, c2, c3 = (
        _corner(c, j, q),
        _corner(c, j + 1, q),
        _corner(c, j + 2, q),
        _corner(c, j + 3, q),
    )
    for i in range(_L):
        x = w[x0 + i], w[x1 + i], w[x2 + i], w[x3 + i]
        w[a0 + i] += _four(x, c0, l1)
        w[a1 + i] += _four(x, c1, l1)
        w[a2 + i] += _four(x, c2, l1)
        w[a3 + i] += _four(x, c3, l1)


@njit(nogil=True, cache=True, fastmath={"contract"})
def four_costs(w, a, c, j, l1):
    """Costs of the block of rows in ``w`` to centres j to j+3, at ``w[a:a + 4 * LANES]``."""
    q = c.shape[1] % 4
    if q:
        _set2(w, a, c, j, l1)
    else:
        _set4(w, a, c, j, l1)
    for p in range(q if q else 4, c.shape[1], 4):
        _add4(w, a, c, j, p, l1)


@njit()
def _better(v, b, s, m, j):
    """Best, second best and argmin once the cost v of centre j is known: the lowest index wins."""
    less = v < b
    worse = b if less else v
    return v if less else b, worse if worse < s else s, j if less else m


@njit(inline="always")
def _track(w, a, arg, j):
    """Update best and second best (kept behind the four costs) and argmin with centres j to j+3."""
    a0 = np.uint64(a)
    a1, a2, a3 = a0 + _L, a0 + _L + _L, a0 + _L + _L + _L
    b0 = a3 + _L
    s0 = b0 + _L
    j0, j1, j2, j3 = np.int32(j), np.int32(j + 1), np.int32(j + 2), np.int32(j + 3)
    for i in range(_L):
        b, s, m = w[b0 + i], w[s0 + i], arg[i]
        b, s, m = _better(w[a0 + i], b, s, m, j0)
        b, s, m = _better(w[a1 + i], b, s, m, j1)
        b, s, m = _better(w[a2 + i], b, s, m, j2)
        b, s, m = _better(w[a3 + i], b, s, m, j3)
        w[b0 + i], w[s0 + i], arg[i] = b, s, m


@njit(nogil=True, cache=True)
def load(x, reference, rows, m, w):
    """Transpose ``x[rows[:m]] - reference`` into ``w``; lanes beyond ``m`` keep what they held."""
    d = x.shape[1]
    for i in range(m):
        r = rows[i]
        for q in range(d):
            w[q * LANES + i] = x[r, q] - reference[q]


@njit(inline="always")
def _search(w, a, c, k, l1, gamma, tiny, arg):
    """Nearest centres of the block in ``w``; the certified gap to the second goes to ``w[a:]``."""
    b0 = np.uint64(a + 4 * LANES)
    s0 = b0 + _L
    top = w.dtype.type(np.inf)
    for i in range(_L):
        w[b0 + i], w[s0 + i], arg[i] = top, top, 0
    for j in range(0, k, 4):
        four_costs(w, a, c, j, l1)
        for i in range(a + (k - j) * LANES, a + 4 * LANES):
            w[i] = top
        _track(w, a, arg, j)
    up, down = 1 + 3 * gamma, 1 - 3 * gamma
    a0 = np.uint64(a)
    if l1 is None:
        for i in range(_L):
            w[a0 + i] = np.sqrt(w[s0 + i]) * down - np.sqrt(w[b0 + i]) * up - tiny
    else:
        for i in range(_L):
            w[a0 + i] = w[s0 + i] * down - w[b0 + i] * up - tiny


@njit(nogil=True, cache=True, fastmath={"contract"})
def nearest_rows(x, reference, c, k, l1, gamma, tiny, drift, labels, slack, active, rows, old):
    """Label the rows that their slack does not settle, and renew their slack.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    c : ndarray of shape (4 * ceil(k / 4), padded(n_features)), dtype of x
        Centres minus the reference, zero padded.
    k : int
    l1 : None or True
        L2 or L1: by its type, so that each is compiled without the other.
    gamma, tiny : floats of the dtype of x
        Relative and absolute error of a computed distance.
    drift : ndarray of shape (k + 1,), float64
        Drift of every cluster, after an infinity for rows that have no label yet.
    labels, slack : ndarrays of shape (m,), int32 and float32, updated
    active : ndarray of shape (m,), int32
        Scratch.
    rows, old : ndarrays of shape (m,), int32, written
        The rows whose label changed, and the label they had.

    Returns
    -------
    changed : int
        How many of ``rows`` and ``old`` are set.
    """
    a = c.shape[1] * LANES
    w = np.zeros(a + 6 * LANES, x.dtype)
    arg = np.empty(LANES, np.int32)
    visited = 0
    for i in range(x.shape[0]):
        active[visited] = i
        visited += not (slack[i] > drift[np.uint32(labels[i] + 1)])
    changed = 0
    for first in range(0, visited, LANES):
        m = min(LANES, visited - first)
        load(x, reference, active[first:], m, w)
        _search(w, a, c, k, l1, gamma, tiny, arg)
        for p in range(m):
            r, j = active[first + p], arg[p]
            gap = np.float64(w[a + p]) + drift[j + 1]
            slack[r] = gap * (1 - 2.0**-22) if gap > 0 else gap * (1 + 2.0**-22)
            rows[changed] = r
            old[changed] = labels[r]
            changed += j != labels[r]
            labels[r] = j
    return changed
