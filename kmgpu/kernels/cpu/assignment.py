"""Labels, costs and distances of rows at given centres: the kernels of `predict` and `transform`.

They stand for the functions of the same names in `kmgpu.algorithm.assignment`. Nothing is kept
between calls, and rows are copied only in blocks that fit a core's cache.

- few numbers: exact costs of every pair (`lowlevel.exact`);
- Manhattan costs, or where `lowdim.one_bound_pays`: one visit of all rows by `lowdim.bounds`;
- else: a dense pass (`highdim.dense`), about the mean of the centres.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers, single_threaded_blas
from kmgpu.kernels.cpu.highdim import dense
from kmgpu.kernels.cpu.highdim.targets import product_of, targets_of
from kmgpu.kernels.cpu.lowdim import one_bound_pays
from kmgpu.kernels.cpu.lowdim.bounds import RowBounds
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among, exact_cost, exact_costs, exact_nearest
from kmgpu.kernels.cpu.lowlevel.rows import LONGEST, Rows, frozen, own_costs, working_dtype

_SHORT = 1 << 24  # products that one thread forms before a second one has woken up
_SCORES = 1 << 18  # numbers of a block
_LEAST_ROWS = 16  # of a block
_FEW_ROWS = 1024  # rows for which a transposed copy of the centres does not pay
FEW_NUMBERS = 1 << 18  # products that cost less than preparing a matrix product
_BY_DIFFERENCES = 32  # features up to which distances come from differences
_FINE = 1e-11  # relative error of a squared distance, above which differences compute it


def nearest(
    x: np.ndarray, centers: np.ndarray, loss: Any, memory_budget: int | None = None
) -> np.ndarray:
    """See `kmgpu.algorithm.assignment.nearest`."""
    squared = loss.squared
    labels = np.empty(len(x), np.int32)
    if x.size * len(centers) <= FEW_NUMBERS:
        _exact_labels(rows_of(x), frozen(np.ascontiguousarray(centers)), squared, labels)
        return labels
    if not squared or one_bound_pays(True, len(centers), x.shape[1]):
        bounds = RowBounds(Rows(x), len(centers), squared, Workers())
        bounds.assign(np.ascontiguousarray(centers))
        return bounds.labels
    passes = _Products(x, centers, working_dtype(x))

    def label(lo: int, hi: int) -> None:
        block, scores, norms = passes.scores(lo, hi)
        dense.nearest_rows(block, scores, passes.targets, norms, labels[lo:hi])

    _over_rows(label, x, len(centers), memory_budget)
    return labels


def costs_at(
    x: np.ndarray,
    centers: np.ndarray,
    labels: np.ndarray,
    loss: Any,
    memory_budget: int | None = None,
) -> np.ndarray:
    """See `kmgpu.algorithm.assignment.costs_at`."""
    costs, centers = np.empty(len(x)), frozen(np.ascontiguousarray(centers))

    def cost(lo: int, hi: int) -> None:
        own_costs(rows_of(x[lo:hi]), centers, labels[lo:hi], loss.squared, costs[lo:hi])

    _over_rows(cost, x, 1, memory_budget)
    return costs


def rows_of(x: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Rows as read-only C-contiguous floats: float32 and float64 as they are, others as `dtype`."""
    if x.dtype in (np.float32, np.float64):
        return frozen(np.ascontiguousarray(x))
    return frozen(np.ascontiguousarray(x, dtype))


def _over_rows(
    function: Callable[[int, int], None], x: np.ndarray, k: int, memory_budget: int | None
) -> None:
    """Call ``function(lo, hi)`` on blocks of all rows, by several threads where that pays."""
    (n, d), workers = x.shape, Workers()
    size = max(_LEAST_ROWS, _SCORES // max(k, d))
    if memory_budget is not None:
        size = max(1, min(size, memory_budget // workers.n_threads // (16 * (d + k))))
    # with one block, BLAS gets the threads if there is enough to multiply
    with single_threaded_blas() if n > size or x.size * k < _SHORT else nullcontext():
        workers.map_rows(function, n, size)


class _Products:
    """Scores of blocks of rows by matrix products, about the mean of the centres.

    The origin is zero where centres lie near it already. float32 becomes float64 where it cannot
    hold the lengths of the centres.
    """

    def __init__(self, x: np.ndarray, centers: np.ndarray, dtype: np.dtype) -> None:
        self._x = x
        middle = centers.mean(axis=0)
        square = middle @ middle
        if not square > np.einsum("jp,jp->", centers, centers) / len(centers) - square:
            middle[:] = 0.0  # rows are multiplied without a copy
        self._place(centers, middle.astype(dtype))
        if dtype == np.float32 and self.targets.top > LONGEST:
            self._place(centers, middle)

    def _place(self, centers: np.ndarray, ref: np.ndarray) -> None:
        self._ref, self._shifted = ref, bool(ref.any())
        centers = np.ascontiguousarray(centers)
        nothing = centers[:0]
        self.targets = targets_of(centers, ref, nothing, nothing)
        few = len(self._x) < _FEW_ROWS
        self._factor = (-2 * self.targets.centers).T if few else product_of(self.targets)

    def scores(self, lo: int, hi: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows lo to hi - 1; about the origin, ``-2 x·c`` (m, k), and their lengths (m,)."""
        kind = self._ref.dtype
        block = about = rows_of(self._x[lo:hi], kind.type)
        if self._shifted or block.dtype != kind:
            about = np.empty(block.shape, kind)
            dense.center_rows(block, self._ref, 0, len(block), about)
        norms = np.empty(len(block))
        dense.row_norms(block, self._ref, 0, len(block), norms)
        return block, np.matmul(about, self._factor), norms


@njit(nogil=True, cache=True)
def _exact_labels(x, centers, squared, labels):
    """Write the labels (m,) int32 of rows (m, d) at centres (k, d) float64."""
    costs = np.empty(centers.shape[0])
    for i in range(x.shape[0]):
        labels[i] = exact_nearest(x[i], centers, squared, costs)[0]


@njit(nogil=True, cache=True)
def _exact_distances(x, centers, squared, out):
    """Distances from differences, rounded so that the first of the least ones stays the first.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    centers : ndarray of shape (k, n_features), float64, read-only
    squared : bool
        Euclidean distances, or else Manhattan distances.
    out : ndarray of shape (m, k), float32 or float64, written
    """
    k = centers.shape[0]
    costs = np.empty(k)
    for i in range(x.shape[0]):
        exact_costs(x[i], centers, squared, costs)
        _round_row(costs, np.argmin(costs), squared, out[i])


@njit()
def _round_row(costs, label, squared, out):
    """Write the distances of one row, rounded so that the first of the least is that of `label`.

    `costs` is (k,) float64, squared distances if `squared`; `out` is (k,) float32 or float64.
    """
    kind = out.dtype.type
    for j in range(costs.shape[0]):
        out[j] = kind(np.sqrt(costs[j]) if squared else costs[j])
    least = out[label]
    after = np.nextafter(least, kind(np.inf))
    for j in range(costs.shape[0]):
        if j < label:
            out[j] = max(out[j], after)
        else:
            out[j] = max(out[j], least)


@njit(nogil=True, cache=True)
def _product_distances(x, scores, targets, lengths, norms, out):
    """Write Euclidean distances: from float64 scores, or from differences where scores cancel.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    scores : ndarray of shape (m, k), float64
        ``-2 x·c`` about some origin.
    targets : Targets
    lengths : ndarray of shape (k,), float64
        Of the centres about the origin.
    norms : ndarray of shape (m,), float64
        Of the rows.
    out : ndarray of shape (m, k), float32 or float64, written
    """
    k = scores.shape[1]
    costs = np.empty(k)
    found = np.empty(k + 1, np.int32)
    for i in range(x.shape[0]):
        nearest = np.inf
        for j in range(k):
            cost = scores[i, j] + targets.squares[j] + norms[i] * norms[i]
            error = targets.roundoff * (norms[i] + lengths[j]) ** 2
            if not error <= _FINE * cost:
                cost = exact_cost(x[i], targets.exact[j], True)
            costs[j] = cost
            nearest = min(nearest, cost)
        count = 0
        for j in range(k):
            found[count] = j
            count += costs[j] <= nearest * (1 + 4 * _FINE)
        label = found[0]
        if count > 1:
            label = exact_among(x[i], targets.exact, True, found, count)[0]
        _round_row(costs, label, True, out[i])


def distances(
    x: np.ndarray, centers: np.ndarray, loss: Any, memory_budget: int | None = None
) -> np.ndarray:
    """See `kmgpu.algorithm.assignment.distances`; float32 for float16 and float32, else float64."""
    k, squared = len(centers), loss.squared
    kept = np.float32 if x.dtype in (np.float16, np.float32) else np.float64
    out = np.empty((len(x), k), kept)
    if not squared or x.shape[1] <= _BY_DIFFERENCES or x.size * k <= FEW_NUMBERS:
        exact = frozen(np.ascontiguousarray(centers))

        def from_differences(lo: int, hi: int) -> None:
            _exact_distances(rows_of(x[lo:hi]), exact, squared, out[lo:hi])

        _over_rows(from_differences, x, k, memory_budget)
        return out
    passes = _Products(x, centers, np.dtype(np.float64))
    lengths = np.sqrt(passes.targets.squares)

    def from_products(lo: int, hi: int) -> None:
        block, scores, norms = passes.scores(lo, hi)
        _product_distances(block, scores, passes.targets, lengths, norms, out[lo:hi])

    _over_rows(from_products, x, k, memory_budget)
    return out
