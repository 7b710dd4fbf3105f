"""Medians from counts: which value reaches the middle of a cluster's weight, found by brackets.

The values of one feature in one cluster, a *column* here, are compared with a few ascending edges.
They fall into cells: at edge 0, between edges 0 and 1, at edge 1, and so on; there are
``2 n_edges - 1`` of them. A cell's weight is counted in whole units (`kmgpu.kernels.agreement`),
which add up to the same whatever their order; the values in one cell may be collected. From these
follow the lower and the upper median exactly, or the cell that holds them, which the next look at
the rows divides. This file is plain Python that Numba compiles where there is Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# what is known of the median of a column
FOUND, BELOW, ABOVE, INSIDE, EMPTY = 0, 1, 2, 3, 4


def unit_of(weight: Any, half: Any, rest: Any) -> Any:
    """A weight in whole units of its cluster, before it is made an integer."""
    return np.rint(weight * half * rest)


def solve_columns(
    edges, collected, below, inside, lower, inside_sums, sums, centers, masses, units, low, high,
    starts, values, value_units, value_weights, weighted, wanted, state, at, medians, losses,
):  # fmt: skip
    """Find medians, or where they are, and the losses there.

    Parameters
    ----------
    edges : ndarray of shape (k, d, e), float32 or float64
        Ascending; what is infinite at the end is no edge.
    collected : ndarray of shape (k, d), int64
        The cell whose values were collected, or -1.
    below, inside : ndarrays of shape (k, d) and (k, d, 2 e - 1), int64
        Units of the values below the first edge, and in each cell.
    lower, inside_sums, sums : ndarrays of shape (k, d), (k, d, 2 e - 1) and (k, d), float64
        Weight times difference to the centre: of those values, and of all.
    centers : ndarray of shape (k, d), float64
    masses, units : ndarrays of shape (k,), float64 and int64
        Weight of every cluster, and its units.
    low, high : ndarrays of shape (k,), int64
        See `kmgpu.kernels.agreement.middle_ranks`.
    starts : ndarray of shape (k * d + 1,), int64
        First collected value of every column.
    values, value_units, value_weights : ndarrays of shape (p,), float, int64 and float64
        Ascending in each column. The last two are empty where all rows weigh one unit.
    weighted : bool
        Whether there are weights.
    wanted : ndarray of shape (k, d), bool
        The columns to solve.
    state, at : ndarrays of shape (k, d), int64, written
        One of the constants of this file; and the cell meant by INSIDE.
    medians, losses : ndarrays of shape (k, d), float64, written
        Where FOUND. Elsewhere the median is the lower one, if that is known and the upper one not,
        or NaN.
    """
    k, d, n_edges = edges.shape
    for j in range(k):
        for q in range(d):
            if not wanted[j, q]:
                continue
            if units[j] == 0:
                state[j, q], medians[j, q], losses[j, q] = EMPTY, centers[j, q], 0.0
                continue
            state[j, q], medians[j, q] = BELOW, np.nan
            reached, weight_sum = below[j, q], lower[j, q]
            if reached >= low[j]:
                continue
            state[j, q] = ABOVE
            found, upper = np.nan, np.nan
            up_to, sum_up_to = reached, weight_sum
            for cell in range(2 * n_edges - 1):
                if inside[j, q, cell] == 0:
                    continue
                looks = found == found or reached + inside[j, q, cell] >= low[j]
                if looks and cell % 2 == 0:
                    if found == found:
                        upper = np.float64(edges[j, q, cell // 2])
                        break
                    found = np.float64(edges[j, q, cell // 2])
                    up_to = reached + inside[j, q, cell]
                    sum_up_to = weight_sum + inside_sums[j, q, cell]
                    if up_to >= high[j]:
                        upper = found
                        break
                elif looks and collected[j, q] != cell:
                    state[j, q], at[j, q] = INSIDE, cell
                    break
                elif looks:
                    passed, passed_sum = reached, weight_sum
                    for p in range(starts[j * d + q], starts[j * d + q + 1]):
                        value = np.float64(values[p])
                        if found == found and value > found:
                            upper = value
                            break
                        passed += value_units[p] if weighted else 1
                        apart = value - centers[j, q]
                        passed_sum += value_weights[p] * apart if weighted else apart
                        if passed >= low[j]:
                            found = value
                            up_to, sum_up_to = passed, passed_sum
                    if found == found and up_to >= high[j]:
                        upper = found
                    if upper == upper:
                        break
                reached += inside[j, q, cell]
                weight_sum += inside_sums[j, q, cell]
            medians[j, q] = found
            if upper == upper:
                state[j, q] = FOUND
                middle = found if found == upper else 0.5 * found + 0.5 * upper
                medians[j, q] = middle
                unit = masses[j] / units[j]
                ahead = unit * (2 * up_to - units[j]) if weighted else 2.0 * up_to - units[j]
                losses[j, q] = (middle - centers[j, q]) * ahead + (sums[j, q] - 2 * sum_up_to)
