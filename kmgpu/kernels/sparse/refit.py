"""Refitting on sparse rows: weighted means and medians, zeros that are not stored counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmgpu.blocks import over_blocks
from kmgpu.sparse import canonical, ranges

# the total of a cluster's integer weights lies below this power of two
BITS = 62


def means(
    x: Any,
    groups: Any,
    sample_weight: np.ndarray | None,
    previous: np.ndarray,
    budget: int,
    *,
    terms: Any,
) -> np.ndarray:
    """`kmgpu.refit.means` of sparse rows.

    Where all rows of a cluster store a feature it is summed relative to the cluster's first row,
    so that identical rows have exactly themselves as their mean.
    """
    rows = canonical(x)
    k = previous.shape[0]
    anchors = rows[groups.order[groups.first]].toarray().astype(np.float64)
    sums, held = terms.offset_sums(rows, groups, sample_weight, anchors, budget)
    # added in the order in which `held` is, so that equal ones are equal
    total = np.bincount(groups.keys, sample_weight, minlength=k + 1)[:k, None].astype(np.float64)
    np.copyto(total, 1.0, where=groups.empty)
    everywhere = held == total
    # (a W_q + S) / W, or a + S / W where W_q = W
    sums += np.where(everywhere, 0.0, anchors * held)
    sums /= total
    sums += np.where(everywhere, anchors, 0.0)
    return np.where(groups.empty, previous, sums)


def medians(
    x: Any, groups: Any, sample_weight: np.ndarray | None, previous: np.ndarray, budget: int
) -> np.ndarray:
    """`kmgpu.refit.medians` of sparse rows, column by column of a copy in CSC.

    Weights are integers here: those of a cluster, scaled by a power of two so that their total has
    62 bits, are rounded. So their sums are exact, and two halves tie if they differ by no more
    than the rounding of as many weights as the cluster has rows.
    """
    columns = canonical(x).columns
    k, d = previous.shape
    weight, total, slack = _integers(groups, sample_weight)
    centers = np.zeros((k, d))

    def fit(start: int, stop: int) -> None:
        stored = slice(columns.indptr[start], columns.indptr[stop])
        row, values = columns.indices[stored], columns.data[stored]
        count = np.diff(columns.indptr[start : stop + 1])
        cluster = groups.keys[row].astype(np.int64)
        cell = np.repeat(np.arange(stop - start) * k, count) + cluster
        if weight is None:
            mass = np.ones(len(cell), np.int64)
        else:
            mass = weight[row]
            met = cluster < k
            cell, values, mass = cell[met], values[met], mass[met]
        shape = stop - start, k
        part = _cell_medians(
            cell, values, mass, np.broadcast_to(total, shape), np.broadcast_to(slack, shape)
        )
        centers[:, start:stop] = part.reshape(shape).T

    over_blocks(ranges(columns.indptr, 48 * k, 96, budget), fit, True)
    return np.where(groups.empty, previous, centers)


def _integers(
    groups: Any, sample_weight: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Weights of the rows, totals of the clusters and the difference that ties, as int64."""
    if sample_weight is None:
        return None, groups.sizes, np.zeros_like(groups.sizes)
    k = len(groups.sizes)
    exponent = np.frexp(np.bincount(groups.keys, sample_weight, minlength=k + 1))[1]
    weight = np.rint(np.ldexp(sample_weight, BITS - exponent[groups.keys])).astype(np.int64)
    total = np.zeros(k + 1, np.int64)
    np.add.at(total, groups.keys, weight)
    total = total[:k]
    return weight, total, groups.sizes + total // 2**52


def _cell_medians(
    cell: np.ndarray, values: np.ndarray, mass: np.ndarray, total: np.ndarray, slack: np.ndarray
) -> np.ndarray:
    """Weighted median of every cell (a feature of a cluster), (cells,) float64.

    Parameters
    ----------
    cell : ndarray of shape (m,), int64
        Where each stored value belongs.
    values : ndarray of shape (m,), float32 or float64
    mass : ndarray of shape (m,), int64
        The weights of the values.
    total, slack : ndarrays of `cells` elements, int64
        Weight of each cell, zeros that are not stored included; what two halves that tie may
        differ by.
    """
    total, slack = total.reshape(-1), slack.reshape(-1)
    stored = np.zeros(total.size, np.int64)
    np.add.at(stored, cell, mass)
    zero = total - stored
    medians = np.zeros(total.size)
    # elsewhere more than half of the weight is zeros
    open_cells = np.flatnonzero((zero <= stored + slack) & (total > 0))
    if not open_cells.size:
        return medians
    is_open = np.zeros(total.size, dtype=bool)
    is_open[open_cells] = True
    kept = is_open[cell]
    cell = np.concatenate([cell[kept], open_cells])
    values = np.concatenate([values[kept], np.zeros(open_cells.size, values.dtype)])
    mass = np.concatenate([mass[kept], zero[open_cells]])
    order = np.lexsort((values, cell))
    cell, values, mass = cell[order], values[order], mass[order]
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    # sums over several cells may wrap around; their differences are right all the same
    reached = np.cumsum(mass.view(np.uint64))
    begun = np.repeat(reached[first] - mass[first].view(np.uint64), np.diff(first, append=len(cell)))
    left = (reached - begun).view(np.int64)
    right = total[cell] - left
    lower = first + np.add.reduceat((left < right - slack[cell]).astype(np.int64), first)
    upper = first + np.add.reduceat((left <= right + slack[cell]).astype(np.int64), first)
    last = np.append(first[1:], len(cell)) - 1
    ends = values[np.minimum(lower, last)], values[np.minimum(upper, last)]
    medians[open_cells] = 0.5 * ends[0].astype(np.float64) + 0.5 * ends[1].astype(np.float64)
    return medians
