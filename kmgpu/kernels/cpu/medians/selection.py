"""Exact weighted medians of many clusters and features by selection: compiled kernels.

For every cluster and feature, one pass over the values keeps those in a narrow bracket around the
previous median. Where there is none, or where the bracket missed, it is put around the median of a
sample (after Floyd and Rivest, "Expected time bounds for selection", CACM 1975). A quickselect by
weight finds the median of the few values that are kept.

Weights are counted in whole units (`kmgpu.kernels.agreement`), so their sums are exact.
"""

import math

import numpy as np

from kmgpu.kernels.agreement import UNIT_BITS, middle_ranks
from kmgpu.kernels.cpu.lowlevel.compiled import njit

_middle_ranks = njit()(middle_ranks)
SAMPLE = 64  # values
MARGIN = 12  # ranks of the sample on each side of the share
SHRINK = 0.3  # of the width of a bracket from one refit to the next


@njit()
def _sample_bracket(v, share):
    """Two values between which the ``share`` quantile of v lies, by three standard deviations."""
    m = v.shape[0]
    s = np.empty(SAMPLE, v.dtype)
    for t in range(SAMPLE):
        x = v[(2 * t + 1) * m // (2 * SAMPLE)]
        p = t
        while p > 0 and s[p - 1] > x:
            s[p] = s[p - 1]
            p -= 1
        s[p] = x
    middle = int(share * SAMPLE)
    lo = s[middle - MARGIN] if middle >= MARGIN else v.dtype.type(-np.inf)
    hi = s[middle + MARGIN] if middle + MARGIN < SAMPLE else v.dtype.type(np.inf)
    return lo, hi


@njit(inline="always")
def _keep(v, u, lo, hi, kept, mass):
    """Copy the values of v in [lo, hi], and their units u if any; ``kept`` may be v itself.

    Returns the number kept, their weight, and the weight of the values below lo.
    """
    c = 0
    if u.shape[0]:
        below = inside = 0
        for i in range(v.shape[0]):
            x, w = v[i], u[i]
            kept[c] = x
            mass[c] = w
            below += w if x < lo else 0
            inside += w if (x >= lo) & (x <= hi) else 0
            c += (x >= lo) & (x <= hi)
        return c, inside, below
    under = 0
    for i in range(v.shape[0]):
        x = v[i]
        kept[c] = x
        under += x < lo
        c += (x >= lo) & (x <= hi)
    return c, c, under


@njit()
def _select(v, u, m, low, high):
    """Weighted median of ``v[:m]``, whose units are ``u[:m]``, both reordered.

    It is the least value up to which the weight reaches ``low``; if the weight does not reach
    ``high`` there, it is halfway between that value and the next.
    """
    a, b, below = 0, m, 0
    above = np.inf
    while True:
        x, y, z = v[a], v[(a + b) // 2], v[b - 1]
        pivot = max(min(x, y), min(max(x, y), z))
        lt, i, gt = a, a, b
        less = equal = 0
        while i < gt:
            x, w = v[i], u[i]
            if x < pivot:
                v[i], u[i], v[lt], u[lt] = v[lt], u[lt], x, w
                less += w
                lt += 1
                i += 1
            elif x > pivot:
                gt -= 1
                v[i], u[i], v[gt], u[gt] = v[gt], u[gt], x, w
            else:
                equal += w
                i += 1
        if below + less >= low:
            above = pivot
            b = lt
        elif below + less + equal < low:
            below += less + equal
            a = gt
        else:
            if below + less + equal >= high:
                return float(pivot)
            for i in range(gt, b):
                above = min(above, v[i])
            return 0.5 * float(pivot) + 0.5 * float(above)


@njit()
def _narrow(v, u, lo, hi, low, high, kept, mass):
    """Keep a few of the values in [lo, hi], the weighted median among them.

    Returns their number, or 0 if the bracket missed the median, and the weight below them.
    """
    below = 0
    while True:
        before = v.shape[0]
        c, inside, less = _keep(v, u, lo, hi, kept, mass)
        below += less
        if not (below < low and below + inside >= high):
            return 0, below
        if c <= 4 * SAMPLE or c == before:
            return c, below
        v = kept[:c]
        u = mass[:c] if u.shape[0] else u
        lo, hi = _sample_bracket(v, (low - below) / inside)


@njit()
def _median(v, u, low, high, guess, width, kept, mass):
    """Weighted median of v, and the half-width of the bracket to try next time.

    The first bracket is ``guess ± width``; a negative width stands for no guess. `kept` and `mass`
    are scratch memory for as many values and units as v has.
    """
    m = v.shape[0]
    c = below = 0
    for attempt in range(0 if width >= 0 else 1, 2 if m > 4 * SAMPLE else 1):
        lo, hi = v.dtype.type(guess - width), v.dtype.type(guess + width)
        if attempt:
            lo, hi = _sample_bracket(v, 0.5)
            width = max(width, SHRINK * (float(hi) - float(lo)))
        c, below = _narrow(v, u, lo, hi, low, high, kept, mass)
        if c:
            break
    if c == 0:
        c, below = m, 0
        for i in range(m):
            kept[i] = v[i]
            if u.shape[0]:
                mass[i] = u[i]
        width = max(width, 0.0)
    if not u.shape[0]:
        for i in range(c):
            mass[i] = 1
    found = _select(kept, mass, c, low - below, high - below)
    return found, max(SHRINK * width, 2 * abs(found - guess))


@njit()
def _units(weight, units):
    """Write the weights of a cluster in whole units; see `kmgpu.kernels.agreement`.

    Parameters
    ----------
    weight : ndarray of shape (m,), float64
        Positive.
    units : ndarray of shape (at least m,), int64, written

    Returns
    -------
    total : int
    """
    total = 0.0
    for w in weight:
        total += w
    shift = UNIT_BITS - math.frexp(total)[1]
    half = math.ldexp(1.0, shift // 2)
    rest = math.ldexp(1.0, shift - shift // 2)
    sum_of_units = 0
    for i in range(weight.shape[0]):
        units[i] = np.int64(np.rint(weight[i] * half * rest))
        sum_of_units += units[i]
    return sum_of_units


@njit(fastmath={"contract", "reassoc"})
def _spread(v, u, center):
    """Weighted sum of absolute differences, float64."""
    s = 0.0
    if u.shape[0]:
        for i in range(v.shape[0]):
            s += u[i] * abs(np.float64(v[i]) - center)
    else:
        for i in range(v.shape[0]):
            s += abs(np.float64(v[i]) - center)
    return s


@njit(nogil=True, cache=True)
def solve_medians(buffer, weight, starts, clusters, q0, q1, centers, widths, losses):
    """Medians and losses of some clusters in the features q0 to q1 - 1, from sorted-out values.

    Parameters
    ----------
    buffer : ndarray of shape (p * n_features,), float32 or float64
        Cluster after cluster, and inside a cluster feature after feature: the values of its rows.
    weight : ndarray of shape (p,) or (0,), float64
        Positive, in the order of those rows; empty: all one.
    starts : ndarray of shape (k + 1,), int64
        First row of every cluster among the p.
    clusters : ndarray of shape (c,), int64
        The clusters to solve, none of them empty.
    q0, q1 : int
    centers : ndarray of shape (k, n_features), float64, updated
        In: a guess. Out: the median, or the midpoint where the weight splits exactly.
    widths : ndarray of shape (k, n_features), float32, updated
        Half-width of the bracket around the guess, negative for none.
    losses : ndarray of shape (k, n_features), float64, updated
        Weighted sums of absolute differences to the medians.
    """
    longest = 0
    for j in clusters:
        longest = max(longest, starts[j + 1] - starts[j])
    kept, mass = np.empty(longest, buffer.dtype), np.empty(longest, np.int64)
    units = np.empty(longest if weight.shape[0] else 0, np.int64)
    d = centers.shape[1]
    for j in clusters:
        m = starts[j + 1] - starts[j]
        w, u = weight, units
        low, high = _middle_ranks(m, 0)
        if weight.shape[0]:
            w, u = weight[starts[j] : starts[j + 1]], units[:m]
            low, high = _middle_ranks(_units(w, u), m)
        for q in range(q0, q1):
            first = starts[j] * d + q * m
            v = buffer[first : first + m]
            c, h = _median(v, u, low, high, centers[j, q], np.float64(widths[j, q]), kept, mass)
            centers[j, q], widths[j, q] = c, h
            losses[j, q] = _spread(v, w, c)
