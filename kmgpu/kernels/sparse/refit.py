"""Refitting on sparse rows: weighted means and medians, zeros that are not stored counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmgpu.backend.blocks import over_blocks
from kmgpu.backend.sparse import canonical, ranges
from kmgpu.kernels.agreement import middle_ranks, unit_factors


def means(
    x: Any,
    groups: Any,
    sample_weight: np.ndarray | None,
    previous: np.ndarray,
    budget: int,
    *,
    terms: Any,
) -> np.ndarray:
    """`kmgpu.algorithm.refit.means` of sparse rows.

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
    """`kmgpu.algorithm.refit.medians` of sparse rows, column by column of a copy in CSC.

    Weights are counted in units (`kmgpu.kernels.agreement`), zeros that are not stored as well.
    """
    columns = canonical(x).columns
    k, d = previous.shape
    weight = _Units(groups, sample_weight)
    centers = np.zeros((k, d))

    def fit(start: int, stop: int) -> None:
        stored = slice(columns.indptr[start], columns.indptr[stop])
        row, values = columns.indices[stored], columns.data[stored]
        cluster = groups.keys[row].astype(np.int64)
        feature = np.repeat(np.arange(stop - start), np.diff(columns.indptr[start : stop + 1]))
        units = weight.of(row)
        if sample_weight is not None:
            met = cluster < k
            cluster, feature, values, units = (
                each[met] for each in (cluster, feature, values, units)
            )
        shape = stop - start, k
        found = _cell_medians(
            feature * k + cluster,
            values,
            units,
            *(np.broadcast_to(each, shape).reshape(-1) for each in weight.of_clusters),
        )
        centers[:, start:stop] = found.reshape(shape).T

    over_blocks(ranges(columns.indptr, 64 * k, 96, budget), fit, True)
    return np.where(groups.empty, previous, centers)


class _Units:
    """Weights of rows in units of their clusters, or ones; see `kmgpu.kernels.agreement`.

    Attributes
    ----------
    of_clusters : tuple of three ndarrays of shape (k,), int64
        The total of each cluster, what its median must reach, and what it must pass.
    """

    def __init__(self, groups: Any, sample_weight: np.ndarray | None) -> None:
        self._units: np.ndarray | None = None
        total, n_rounded = groups.sizes, 0
        if sample_weight is not None:
            k, keys, n_rounded = len(groups.sizes), groups.keys, groups.sizes
            units = sample_weight
            for factors in unit_factors(np.bincount(keys, sample_weight, minlength=k + 1)):
                units = units * factors[keys]
            self._units = np.rint(units).astype(np.int64)
            total = np.zeros(k + 1, np.int64)
            np.add.at(total, keys, self._units)
            total = total[:k]
        self.of_clusters = (total, *middle_ranks(total, n_rounded))

    def of(self, rows: np.ndarray) -> np.ndarray:
        return np.ones(len(rows), np.int64) if self._units is None else self._units[rows]


def _cell_medians(
    cell: np.ndarray,
    values: np.ndarray,
    units: np.ndarray,
    total: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Weighted median of every cell (a feature of a cluster), (n_cells,) float64.

    Parameters
    ----------
    cell : ndarray of shape (m,), int64
        Where each stored value belongs.
    values : ndarray of shape (m,), float32 or float64
    units : ndarray of shape (m,), int64
        The weights of the values.
    total, low, high : ndarrays of shape (n_cells,), int64
        Weight of each cell, zeros that are not stored included; see `middle_ranks`.
    """
    stored = np.zeros(total.size, np.int64)
    np.add.at(stored, cell, units)
    medians = np.zeros(total.size)
    # where the stored values do not reach the middle from either side, a zero is the median
    is_open = (stored >= low) | (stored > total - high)
    left = np.flatnonzero(is_open)
    if not left.size:
        return medians
    kept, with_zeros = is_open[cell], left[stored[left] < total[left]]
    cell = np.concatenate([cell[kept], with_zeros])
    values = np.concatenate([values[kept], np.zeros(with_zeros.size, values.dtype)])
    units = np.concatenate([units[kept], (total - stored)[with_zeros]])
    order = np.lexsort((values, cell))
    cell, values, units = cell[order], values[order], units[order]
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    ends = np.append(first[1:], len(cell))
    # sums over several cells may wrap around; their differences within one are right
    reached = np.cumsum(units)
    reached -= np.repeat(reached[first] - units[first], ends - first)

    def count(chosen: np.ndarray) -> np.ndarray:
        return np.add.reduceat(chosen.astype(np.int64), first)

    lower = first + count(reached < low[cell])
    upper = first + count(reached < high[cell])
    middle = values[np.minimum(lower, ends - 1)]
    following = first + count(values <= np.repeat(middle, ends - first))
    upper = np.minimum(np.minimum(upper, following), ends - 1)
    a, b = middle.astype(np.float64), values[upper].astype(np.float64)
    medians[left] = np.where(a == b, a, 0.5 * a + 0.5 * b)  # halves of the least underflow
    return medians
