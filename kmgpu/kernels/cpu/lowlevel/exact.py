"""The costs that decide labels: float64 differences, added in one order.

Kernels rank centres in a fast precision. Where a row's best two costs are closer than rounding
errors, this file ranks the row again. So its label is that of float64, whichever kernel, block or
thread meets the row.

The differences are squared (L2) or taken absolutely (L1) and added feature after feature, without
fast-math flags. `kmgpu.algorithm.losses.Loss.pairwise` rounds in the same way, so kernels and the
reference agree bit for bit. ``fastmath=False`` is written out because a function without it
inherits the flags of its first caller.
"""

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit

TOGETHER = 4  # centres at a time: one sum alone would wait for its last addition


@njit(fastmath=False)
def exact_cost(x, center, squared):
    """Float64 cost of one row (d,), of any real dtype, at one centre (d,), float64."""
    total = 0.0
    if squared:
        for q in range(x.shape[0]):
            apart = np.float64(x[q]) - center[q]
            total += apart * apart
    else:
        for q in range(x.shape[0]):
            total += abs(np.float64(x[q]) - center[q])
    return total


@njit(fastmath=False)
def _costs_of_four(x, centers, j, squared):
    """`exact_cost` at the centres j to j + 3."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for q in range(x.shape[0]):
        v = np.float64(x[q])
        e0, e1 = v - centers[j, q], v - centers[j + 1, q]
        e2, e3 = v - centers[j + 2, q], v - centers[j + 3, q]
        if squared:
            e0, e1, e2, e3 = e0 * e0, e1 * e1, e2 * e2, e3 * e3
        else:
            e0, e1, e2, e3 = abs(e0), abs(e1), abs(e2), abs(e3)
        s0 += e0
        s1 += e1
        s2 += e2
        s3 += e3
    return s0, s1, s2, s3


@njit(fastmath=False)
def exact_costs(x, centers, squared, costs):
    """Write the costs of one row at all centres; see `exact_cost`.

    Parameters
    ----------
    x : ndarray of shape (n_features,), any real dtype
    centers : ndarray of shape (k, n_features), float64
    squared : bool
        Squared Euclidean distance, or else Manhattan distance.
    costs : ndarray of shape (at least k,), float64, written
    """
    k = centers.shape[0]
    whole = k // TOGETHER * TOGETHER
    for j in range(0, whole, TOGETHER):
        costs[j], costs[j + 1], costs[j + 2], costs[j + 3] = _costs_of_four(x, centers, j, squared)
    for j in range(whole, k):
        costs[j] = exact_cost(x, centers[j], squared)


@njit(fastmath=False)
def exact_nearest(x, centers, squared, costs):
    """Nearest centre of one row (the lowest index of equals), its cost and the second least cost.

    Parameters are those of `exact_costs`; `costs` is scratch memory. With one centre the second
    least cost is infinite.
    """
    exact_costs(x, centers, squared, costs)
    label, best, second = 0, costs[0], np.inf
    for j in range(1, centers.shape[0]):
        if costs[j] < best:
            label, best, second = j, costs[j], best
        elif costs[j] < second:
            second = costs[j]
    return np.int32(label), best, second


@njit(fastmath=False)
def exact_among(x, centers, squared, found, count):
    """The nearest of the centres ``found[:count]`` (integers in any order), and its cost."""
    label, best = np.int32(found[0]), exact_cost(x, centers[found[0]], squared)
    for e in range(1, count):
        j, cost = np.int32(found[e]), exact_cost(x, centers[found[e]], squared)
        if cost < best or (cost == best and j < label):
            label, best = j, cost
    return label, best
