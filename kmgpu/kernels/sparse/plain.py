"""Sums over the nonzeros of sparse rows in NumPy: what stands in where there is no Numba.

`kmgpu.kernels.cpu.sparse` has the same functions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from kmgpu.backend.sparse import SparseRows, row_sums


def bytes_of_nonzero(k: int) -> int:
    """Bytes that `absolute_scores` takes for one nonzero at k centres."""
    return 16 + 8 * 3 * k


def absolute_scores(rows: csr_array, table: np.ndarray) -> np.ndarray:
    """``Σ (|x_q - µ_q| - |µ_q|)`` over the nonzeros of every row, for every centre.

    Parameters
    ----------
    rows : csr_array of shape (m, d)
    table : ndarray of shape (d, k), float32 or float64
        The centres, transposed.

    Returns
    -------
    ndarray of shape (m, k), dtype of table
    """
    met = table[rows.indices]
    terms = np.abs(rows.data.astype(table.dtype, copy=False)[:, None] - met)
    terms -= np.abs(met, out=met)
    m, stored = rows.shape[0], len(rows.data)
    members = csr_array(
        (np.ones(stored, table.dtype), np.arange(stored), rows.indptr), shape=(m, stored)
    )
    return members @ terms


def own_scores(
    rows: csr_array, centers: np.ndarray, labels: np.ndarray, squared: bool
) -> np.ndarray:
    """``Σ -2 x_q µ_q``, or ``Σ (|x_q - µ_q| - |µ_q|)``, over the nonzeros of every row.

    Parameters
    ----------
    rows : csr_array of shape (m, d)
    centers : ndarray of shape (k, d), float64
    labels : ndarray of shape (m,), int32
        Whose centre each row is met with.
    squared : bool

    Returns
    -------
    ndarray of shape (m,), float64
    """
    met = centers[np.repeat(labels, np.diff(rows.indptr)), rows.indices]
    values = rows.data.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        terms = -2 * values * met if squared else np.abs(values - met) - np.abs(met)
        return row_sums(terms, rows)


def exact_costs(rows: csr_array, at: Any, which: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Costs of pairs of a row and a centre, the same bits as `exact_cost` of the CPU's kernels.

    Parameters
    ----------
    rows : csr_array of shape (m, d), in canonical form
    at : kmgpu.kernels.sparse.rows.Centers
    which, clusters : ndarrays of shape (p,), integer
        The pairs, ordered by row.

    Returns
    -------
    ndarray of shape (p,), float64
    """
    costs = np.empty(len(which))
    row = np.zeros(rows.shape[1])
    edges = np.flatnonzero(np.diff(which, prepend=-1, append=rows.shape[0]))
    for begin, end in pairwise(edges):
        stored = slice(rows.indptr[which[begin]], rows.indptr[which[begin] + 1])
        row[rows.indices[stored]] = rows.data[stored]
        apart = row - at.dense[clusters[begin:end]]
        with np.errstate(over="ignore"):
            terms = np.multiply(apart, apart, out=apart) if at.squared else np.abs(apart, out=apart)
            # an accumulation adds in order, which a sum does not
            costs[begin:end] = np.add.accumulate(terms, axis=1, out=terms)[:, -1]
        row[rows.indices[stored]] = 0.0
    return costs


def offset_sums(
    rows: SparseRows, groups: Any, weight: np.ndarray | None, anchors: np.ndarray, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of ``w (x_q - a_q)``, and of w, over the nonzeros of the rows of every cluster.

    Parameters
    ----------
    rows : SparseRows of shape (n, d)
    groups : kmgpu.algorithm.refit.Groups
    weight : ndarray of shape (n,), float64, or None
    anchors : ndarray of shape (k, d), float64
        A point of each cluster.
    budget : int
        Bytes for temporary arrays.

    Returns
    -------
    sums, held : ndarrays of shape (k, d), float64
        Added row after row.
    """
    k, d = anchors.shape
    sums, held = np.zeros((k + 1) * d), np.zeros((k + 1) * d)  # the last: rows of zero weight
    for start, stop in rows.ranges(16, 64, budget):
        block = rows.block(start, stop)
        count = np.diff(block.indptr)
        cluster = np.repeat(groups.keys[start:stop].astype(np.int64), count)
        at = cluster * d + block.indices
        each = np.ones(len(at)) if weight is None else np.repeat(weight[start:stop], count)
        apart = block.data - anchors[np.minimum(cluster, k - 1), block.indices]
        np.add.at(sums, at, each * apart)
        np.add.at(held, at, each)
    return sums[:-d].reshape(k, d), held[:-d].reshape(k, d)
