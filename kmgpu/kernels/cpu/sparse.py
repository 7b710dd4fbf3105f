"""Sums over the nonzeros of sparse rows in Numba: see `kmgpu.kernels.sparse.plain` for each."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from kmgpu.backend.blocks import over_blocks
from kmgpu.backend.sparse import SparseRows
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import frozen, weight_of

# clusters are summed in so many tasks
TASKS = 32


def bytes_of_nonzero(k: int) -> int:
    """Bytes that a nonzero takes: those of its copy in a block, whatever k."""
    del k
    return 16


def absolute_scores(rows: csr_array, table: np.ndarray) -> np.ndarray:
    """Σ (|x_q - µ_q| - |µ_q|) of every row at every centre."""
    scores = np.zeros((rows.shape[0], table.shape[1]), table.dtype)
    _absolute_scores(*_parts(rows), frozen(table), scores)
    return scores


def own_scores(
    rows: csr_array, centers: np.ndarray, labels: np.ndarray, squared: bool
) -> np.ndarray:
    """-2 x·µ, or Σ (|x_q - µ_q| - |µ_q|), of every row at its own centre."""
    scores = np.empty(rows.shape[0])
    _own_scores(*_parts(rows), frozen(centers), frozen(labels), squared, scores)
    return scores


def exact_costs(rows: csr_array, at: Any, which: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Costs of pairs of a row and a centre, added in the order that decides labels."""
    costs = np.empty(len(which))
    pairs = np.asarray(which, np.int64), np.asarray(clusters, np.int64)
    _exact_costs(*_parts(rows), *_parts(at.nonzeros), *pairs, at.squared, costs)
    return costs


def offset_sums(
    rows: SparseRows, groups: Any, weight: np.ndarray | None, anchors: np.ndarray, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of w (x_q - a_q), and of w, over the nonzeros of the rows of every cluster."""
    del budget
    sums, held = np.zeros(anchors.shape), np.zeros(anchors.shape)
    parts, order, bounds = _parts(rows), groups.order, groups.bounds
    weights = weight_of(weight)

    def add(first: int, last: int) -> None:
        _offset_sums(*parts, order, bounds, weights, anchors, first, last, sums, held)

    k = len(anchors)
    edges = np.unique(np.linspace(0, k, min(k, TASKS) + 1).astype(int)).tolist()
    over_blocks(pairwise(edges), add, True)
    return sums, held


def _parts(rows: csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return frozen(rows.indptr), frozen(rows.indices), frozen(rows.data)


@njit(nogil=True, cache=True)
def _absolute_scores(indptr, indices, data, table, scores):
    """Add ``|x_q - t| - |t|`` for each nonzero.

    Parameters
    ----------
    indptr, indices, data : CSR of m rows; int32 or int64, float32 or float64, read-only
    table : ndarray of shape (d, k), float32 or float64, read-only
    scores : ndarray of shape (m, k), dtype of table, added to
    """
    for i in range(scores.shape[0]):
        own = scores[i]
        for p in range(indptr[i], indptr[i + 1]):
            value = table.dtype.type(data[p])
            met = table[indices[p]]
            for j in range(own.shape[0]):
                own[j] += abs(value - met[j]) - abs(met[j])


@njit(nogil=True, cache=True)
def _own_scores(indptr, indices, data, centers, labels, squared, scores):
    """`absolute_scores`, or -2 x·µ, of each row at one centre.

    Parameters
    ----------
    indptr, indices, data : CSR of m rows, read-only
    centers : ndarray of shape (k, d), float64, read-only
    labels : ndarray of shape (m,), int32, read-only
    squared : bool
    scores : ndarray of shape (m,), float64, written
    """
    for i in range(scores.shape[0]):
        met = centers[labels[i]]
        total = 0.0
        if squared:
            for p in range(indptr[i], indptr[i + 1]):
                total += np.float64(data[p]) * met[indices[p]]
            total *= -2.0
        else:
            for p in range(indptr[i], indptr[i + 1]):
                c = met[indices[p]]
                total += abs(np.float64(data[p]) - c) - abs(c)
        scores[i] = total


@njit()
def _term(value, squared):
    return value * value if squared else abs(value)


@njit(nogil=True, cache=True)
def _exact_costs(indptr, indices, data, starts, features, values, which, clusters, squared, costs):
    """Differences in the order of the features, where row or centre has a nonzero.

    Parameters
    ----------
    indptr, indices, data : CSR of the rows, canonical, read-only
    starts, features, values : CSR of the centres, canonical, float64, read-only
    which, clusters : ndarrays of shape (p,), int64
    squared : bool
    costs : ndarray of shape (p,), float64, written
    """
    for e in range(costs.shape[0]):
        i, j = which[e], clusters[e]
        b, end = starts[j], starts[j + 1]
        total = 0.0
        for a in range(indptr[i], indptr[i + 1]):
            q = indices[a]
            while b < end and features[b] < q:
                total += _term(values[b], squared)
                b += 1
            at = 0.0
            if b < end and features[b] == q:
                at = values[b]
                b += 1
            total += _term(np.float64(data[a]) - at, squared)
        while b < end:
            total += _term(values[b], squared)
            b += 1
        costs[e] = total


@njit(nogil=True, cache=True)
def _offset_sums(indptr, indices, data, order, bounds, weight, anchors, first, last, sums, held):
    """Sums of the clusters first to last - 1.

    Parameters
    ----------
    indptr, indices, data : CSR of n rows, read-only
    order, bounds : ndarrays of shape (n,) and (k + 1,), int64
        See `kmgpu.algorithm.refit.Groups`.
    weight : ndarray of shape (n,) or (0,), float64, read-only
        Empty: all one.
    anchors, sums, held : ndarrays of shape (k, d), float64; the last two are added to
    """
    for j in range(first, last):
        at, own, mass = anchors[j], sums[j], held[j]
        for r in range(bounds[j], bounds[j + 1]):
            i = order[r]
            w = weight[i] if weight.size else 1.0
            for p in range(indptr[i], indptr[i + 1]):
                q = indices[p]
                own[q] += w * (np.float64(data[p]) - at[q])
                mass[q] += w
