"""Costs of sparse rows at dense centres, and the nearest of these.

``‖x - µ‖₂² = ‖x‖₂² + ‖µ‖₂² - 2 x·µ`` and ``‖x - µ‖₁ = ‖µ‖₁ + Σ (|x_q - µ_q| - |µ_q|)`` over the
nonzeros of x: one multiplication or one absolute value for each pair of a nonzero and a centre.

Either sum rounds. How much is bounded for every row, and what the bound leaves open is computed
again by differences, added feature after feature as `kmgpu.kernels.cpu.lowlevel.exact` adds them.
A feature where row and centre are both zero adds nothing, so only the others are visited.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from kmgpu.backend.arrays import HOST
from kmgpu.backend.blocks import block_bytes, over_blocks
from kmgpu.backend.sparse import Block, SparseRows, canonical, compressed

# a cost is kept where the bound on its rounding is this much smaller
RESOLVED = 2.0**24
# to transpose the centres costs more than a block that has so many times fewer nonzeros
FEW = 4
# products of smaller sizes do not overflow
FAR = 1 / 8


class Centers:
    """Centres of one loss, in the forms that the kernels read.

    Attributes
    ----------
    dense : ndarray of shape (k, d), float64
    sizes : ndarray of shape (k,), float64
        Squared length or sum of absolute values.
    """

    def __init__(self, centers: np.ndarray, squared: bool) -> None:
        self.dense = np.ascontiguousarray(centers, dtype=np.float64)
        self.squared = squared
        with np.errstate(over="ignore"):
            self.sizes = (
                np.einsum("jq,jq->j", self.dense, self.dense)
                if squared
                else np.abs(self.dense).sum(axis=1)
            )
        self._tables: dict[Any, np.ndarray] = {}

    def table(self, dtype: Any) -> np.ndarray:
        """What the nonzeros of a row are met with, (d, k): -2 µ for L2, µ for L1."""
        if dtype not in self._tables:
            self._tables[dtype] = self._across(self.dense, dtype)
        return self._tables[dtype]

    def table_of(self, features: np.ndarray, dtype: Any) -> np.ndarray:
        """`table` of a few features, (len(features), k)."""
        return self._across(self.dense[:, features], dtype)

    def _across(self, centers: np.ndarray, dtype: Any) -> np.ndarray:
        made = centers.T.astype(dtype, order="C")
        return np.multiply(made, -2, out=made) if self.squared else made

    @cached_property
    def nonzeros(self) -> csr_array:
        return csr_array(self.dense)

    @cached_property
    def repeated(self) -> np.ndarray:
        """Which centres equal one of lower index, (k,) bool: they are nobody's nearest."""
        first: dict[float, list[int]] = {}
        found = np.zeros(len(self.sizes), dtype=bool)
        for j, size in enumerate(self.sizes.tolist()):
            alike = first.setdefault(size, [])
            found[j] = any(np.array_equal(self.dense[i], self.dense[j]) for i in alike)
            if not found[j]:
                alike.append(j)
        return found


def nearest(
    x: Any, centers: np.ndarray, loss: Any, memory_budget: int | None = None, *, terms: Any
) -> np.ndarray:
    """`kmgpu.algorithm.assignment.nearest` of sparse rows."""
    at = Centers(centers, loss.squared)

    def label(block: Block, start: int, stop: int) -> np.ndarray:
        del start, stop
        return _labels(block, at, _scores(block, at, block.rows.dtype, terms), terms)

    return np.concatenate(_over_rows(canonical(x), at, memory_budget, terms, label))


def costs_at(
    x: Any,
    centers: np.ndarray,
    labels: np.ndarray,
    loss: Any,
    memory_budget: int | None = None,
    *,
    terms: Any,
) -> np.ndarray:
    """`kmgpu.algorithm.assignment.costs_at` of sparse rows."""
    squared = loss.squared
    rows, at = canonical(x), Centers(centers, squared)
    sizes = rows.sizes(squared)

    def cost(start: int, stop: int) -> np.ndarray:
        own, block = labels[start:stop], Block(rows.block(start, stop), sizes[start:stop])
        scores = terms.own_scores(block.rows, at.dense, own, squared)
        costs, resolved = _resolved(block, scores, at.sizes[own], squared)
        doubtful = np.flatnonzero(~resolved)
        if doubtful.size:
            costs[doubtful] = terms.exact_costs(block.rows, at, doubtful, own[doubtful])
        return costs

    budget = block_bytes(HOST, memory_budget)
    blocks = rows.ranges(64, terms.bytes_of_nonzero(1), budget)
    return np.concatenate(over_blocks(blocks, cost, True))


def distances(
    x: Any, centers: np.ndarray, loss: Any, memory_budget: int | None = None, *, terms: Any
) -> np.ndarray:
    """`assignment.distances` of sparse rows: the first least of each row is its label."""
    rows, at = canonical(x), Centers(centers, loss.squared)

    def distance(block: Block, start: int, stop: int) -> np.ndarray:
        del start, stop
        scores = _scores(block, at, np.float64, terms)
        labels = _labels(block, at, scores, terms)
        costs = _costs(block, at, scores, terms)
        found = (np.sqrt(costs) if at.squared else costs).astype(rows.dtype)
        return _with_least(found, labels)

    return np.concatenate(_over_rows(rows, at, memory_budget, terms, distance))


def costs_of_blocks(
    x: Any,
    centers: np.ndarray,
    loss: Any,
    function: Callable[[int, int, np.ndarray], Any],
    memory_budget: int | None,
    *,
    terms: Any,
) -> list[Any]:
    """`kmgpu.algorithm.seeding.costs_of_blocks` of sparse rows."""
    at = Centers(centers, loss.squared)

    def of(block: Block, start: int, stop: int) -> Any:
        scores = _scores(block, at, np.float64, terms)
        return function(start, stop, _costs(block, at, scores, terms))

    return _over_rows(canonical(x), at, memory_budget, terms, of)


def _over_rows(
    rows: SparseRows,
    at: Centers,
    memory_budget: int | None,
    terms: Any,
    function: Callable[[Block, int, int], Any],
) -> list[Any]:
    """``function(block, start, stop)`` of every block of rows within the budget, in order."""
    sizes = rows.sizes(at.squared)

    def of(start: int, stop: int) -> Any:
        return function(Block(rows.block(start, stop), sizes[start:stop]), start, stop)

    k = len(at.sizes)
    nonzero_bytes = 16 if at.squared else terms.bytes_of_nonzero(k)
    blocks = rows.ranges(8 * 3 * k, nonzero_bytes, block_bytes(HOST, memory_budget))
    return over_blocks(blocks, of, True)


def _scores(block: Block, at: Centers, dtype: Any, terms: Any) -> np.ndarray:
    """Costs up to the sizes: -2 x·µ, or Σ (|x_q - µ_q| - |µ_q|); (rows, k) of `dtype`."""
    rows = block.rows
    with np.errstate(over="ignore", invalid="ignore"):
        if FEW * rows.nnz < rows.shape[1]:
            features, indices = np.unique(rows.indices, return_inverse=True)
            rows = compressed(rows.data, indices, rows.indptr, len(features))
            table = at.table_of(features, dtype)
        else:
            table = at.table(dtype)
        if at.squared:
            return rows.astype(dtype, copy=False) @ table
        return terms.absolute_scores(rows, table)


def _rounding(rows: csr_array, dtype: Any) -> tuple[float, float]:
    """Bounds of what a cost errs by: a share of the sizes of row and centre, and a constant.

    A sum of m products errs by (m + 2) u of their absolute values, and these are at most the two
    sizes: 2 |x·µ| <= ‖x‖² + ‖µ‖². Centres are rounded to `dtype`, sizes added in float64 over all
    features, and so are the costs by differences that decide. The constant is for what underflows.
    """
    most, d = int(np.diff(rows.indptr).max(initial=0)), rows.shape[1]
    number = np.finfo(dtype)
    share = (most + 8) * float(number.eps) + 4 * (most + d + 16) * 2.0**-53
    return share, (most + d + 16) * float(number.tiny)


def _labels(block: Block, at: Centers, scores: np.ndarray, terms: Any) -> np.ndarray:
    """Nearest centre of every row, (rows,) int32: by its scores, or by exact costs if close."""
    labels, near = _ranked(block, at, scores)
    left = np.flatnonzero(np.count_nonzero(near, axis=1) > 1)
    if left.size:
        rest = block.take(left)
        if scores.dtype == np.float64:
            labels[left] = _settled(rest, at, near[left], terms)
        else:
            labels[left] = _labels(rest, at, _scores(rest, at, np.float64, terms), terms)
    return labels


def _ranked(block: Block, at: Centers, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre of least score for every row, and which centres may be nearest, (rows, k) bool."""
    dtype = scores.dtype
    share, constant = _rounding(block.rows, dtype)
    if not max(block.sizes.max(), at.sizes.max()) < FAR * np.finfo(dtype).max:
        near = np.broadcast_to(~at.repeated, scores.shape)
        return np.zeros(len(scores), np.int32), near
    low = scores + np.where(at.repeated, np.inf, at.sizes * (1 - share)).astype(dtype)
    labels = low.argmin(axis=1).astype(np.int32)
    least = low[np.arange(len(low)), labels]
    limit = least + 2 * (share * (at.sizes[labels] + block.sizes) + constant)
    return labels, low <= limit.astype(dtype)[:, None]


def _settled(block: Block, at: Centers, near: np.ndarray, terms: Any) -> np.ndarray:
    """The first centre of least exact cost among those that are near, for every row."""
    costs = np.full(near.shape, np.inf)
    rows, clusters = np.nonzero(near)
    costs[rows, clusters] = terms.exact_costs(block.rows, at, rows, clusters)
    return costs.argmin(axis=1).astype(np.int32)


def _resolved(
    block: Block, scores: np.ndarray, sizes: np.ndarray, squared: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Costs from float64 scores, and which of them are far above their rounding.

    `sizes` are those of the centres, of a shape that broadcasts with `scores`.
    """
    share, constant = _rounding(block.rows, np.float64)
    own = block.sizes if scores.ndim == 1 else block.sizes[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        both = own + sizes
        costs = scores + (both if squared else sizes)
        resolved = costs > RESOLVED * (share * both + constant)
    return costs, resolved & (both < FAR * np.finfo(np.float64).max)


def _costs(block: Block, at: Centers, scores: np.ndarray, terms: Any) -> np.ndarray:
    """Costs of the rows at every centre, (rows, k), float64; those that cancel by differences."""
    costs, resolved = _resolved(block, scores, at.sizes, at.squared)
    rows, clusters = np.nonzero(~resolved)
    if rows.size:
        costs[rows, clusters] = terms.exact_costs(block.rows, at, rows, clusters)
    return costs


def _with_least(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`found`, raised by a rounding where another than the label's would be the first least."""
    least = found[np.arange(len(found)), labels][:, None]
    above = np.nextafter(least, np.asarray(np.inf, found.dtype))
    before = np.arange(found.shape[1]) < labels[:, None]
    return np.maximum(found, np.where(before, above, least))
