"""Assignment on the GPU: nearest centres and costs, by the fast way where it decides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, namespace, place_of
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.cuda import differences, screen, tensor
from kmgpu.kernels.cuda.centers import COST, WARPS, Centers, prepared
from kmgpu.kernels.cuda.module import (
    CHECKED,
    checked,
    launch,
    matrix,
    type_of,
)
from kmgpu.kernels.cuda.settle import MOST_LISTED, UNIT, limits, settle, settled

# above it a matrix product and its scores cost less than twice the fused pass (estimate)
FUSED_FEATURES = 32
SCORED = f"nearest_scored<{WARPS}>"
DECIDING_UNIT = 2.0**-53  # how much of a number float64 rounds to
TENSOR_UNIT = 2.0**-10  # TF32 takes this much of a factor


def nearest(loss: str, x: Array, centers: Array, memory_budget: int | None = None) -> Array:
    """Index of the nearest centre of every row; see `kmgpu.algorithm.assignment.nearest`.

    Of n rows, k centres and d features in float32, L1 reads 4nd bytes (again for every 64
    centres, from the cache) and makes 2nkd additions, on some cards those of halves first
    (`kmgpu.kernels.cuda.screen`); plain calls write and read n×k costs for each feature, 12nkd
    bytes: 70 times as long on paper (H100). L2 makes nkd multiply-adds of differences below 8
    features, else products of halves on tensor cores: see `kmgpu.kernels.cuda.tensor.nearest`. On
    cards before Turing, and above 2048 features, it makes differences up to 32 features, else a
    matrix product whose scores one kernel reads once, 4nk bytes, where plain calls read or write
    them four times.

    On tensor cores costs are ranked in halves, else in float32, for every dtype: of rows and
    centres relative to a point; where float32 does not hold the dtype, they are subtracted in
    float64. Rows whose best two costs are closer than the rounding of either, or overflow, are then
    ranked by `settle`: in float64, by differences added feature after feature as `Loss.pairwise`
    adds them, to the same bits. So the labels are those of float64, ties to the lowest index,
    wherever the data lie; nothing is read by the host. Where all rows are open (groups far more
    apart than they are wide; numbers whose squares float32 does not hold) that takes 3nkd float64
    operations.
    """
    ready = prepared(loss, x, centers)
    if loss == "l2" and tensor.serves(x):
        return _by_tensor_cores(x, centers, ready, block_bytes(place_of(x), memory_budget))
    if loss == "l1" or x.shape[1] <= FUSED_FEATURES:
        rounding = _direct_rounding(loss, x.shape[1])
        screened = loss == "l1" and screen.serves(x, centers.shape[0])
        outcome = _screened(x, ready) if screened else _tiled(loss, x, ready)
        return settled(loss, x, ready, *outcome, rounding)
    outcome = _scored(x, ready, memory_budget)
    return settled(loss, x, ready, *outcome, _product_rounding(ready.shifted))


def _by_tensor_cores(x: Array, centers: Array, ready: Centers, memory: int) -> Array:
    """The labels; `settle` ranks the rows that binary16 leaves open."""
    xp, device = place_of(x)
    n = x.shape[0]
    if centers.shape[0] == 1:
        return xp.zeros(n, dtype=xp.int32, device=device)
    label = xp.empty(n, dtype=xp.int32, device=device)
    for start in range(0, n, MOST_LISTED):
        part = slice(start, min(n, start + MOST_LISTED))
        rows, own = x[part, :], label[part]
        left = tensor.nearest(rows, centers, ready.origin, ready.extents, own, memory)
        settle("l2", rows, ready, own, left.rows, left.total, limits(ready, (0, 0, 0)))
    return label


def _tiled(loss: str, x: Array, ready: Centers) -> tuple[Array, Array, Array]:
    """Labels, and in float32 the costs of the best centre and of the runner-up."""
    return differences.rank(COST[loss], x, ready.origin, ready.shifted, ready.norms)


def _screened(x: Array, ready: Centers) -> tuple[Array, Array, Array]:
    """The same for L1; a row that halves decide has a best cost of 0 and an infinite second one."""
    return screen.rank(x, ready.origin, ready.shifted, ready.norms, ready.extents)


def _scored(
    x: Array, ready: Centers, memory_budget: int | None = None
) -> tuple[Array, Array, Array]:
    """The same from matrix products of blocks of rows with the centres."""
    xp = namespace(x)
    d, k = ready.shifted.shape
    outcome = _outcome(x, ready, x.shape[0])

    def score(start: int, stop: int) -> None:
        rows = stop - start
        shifted = xp.astype(x[start:stop, :], ready.origin.dtype, copy=False) - ready.origin
        shifted = xp.astype(shifted, xp.float32, copy=False)
        products = xp.matmul(shifted, ready.shifted)
        checked("products", products, np.float32, (rows, k), x)
        sizes = np.int64(rows), np.int32(k), np.int32(d)
        arguments = (products, ready.norms, *matrix(shifted), *sizes)
        found = (part[start:stop] for part in outcome)
        launch("nearest", SCORED, -(-rows // WARPS), (32 * WARPS,), (*arguments, *found))

    numbers = 1 if ready.origin.dtype == np.float32 else 4  # float64's differences, and a copy
    row_bytes = 4 * (k + numbers * d)
    blocks = row_blocks(x.shape[0], row_bytes, block_bytes(place_of(x), memory_budget))
    over_blocks(blocks, score, False)
    return outcome


def _outcome(x: Array, ready: Centers, n: int) -> tuple[Array, Array, Array]:
    xp, device = place_of(x)
    label = xp.empty(n, dtype=xp.int32, device=device)
    best, second = (xp.empty(n, dtype=xp.float32, device=device) for _ in range(2))
    return label, best, second


def _gamma(n: int, unit: float) -> float:
    """Higham's bound on the relative error of n roundings in a row."""
    return n * unit / (1 - n * unit) if n * unit < 0.5 else 1.0


def _direct_rounding(loss: str, d: int) -> tuple[float, float, float]:
    """`near`, `mixed` and `far` of costs that are sums over differences; see settle.cu.

    Both x and µ are rounded when the origin is subtracted. The costs that decide round too.
    """
    deciding = _gamma(d + 2, DECIDING_UNIT)
    if loss == "l1":
        return _gamma(3, UNIT), 0.0, _gamma(d + 4, UNIT) + deciding
    return _gamma(8, UNIT) ** 2, _gamma(6, UNIT), _gamma(d + 8, UNIT) + deciding


def _product_rounding(shifted: Array) -> tuple[float, float, float]:
    """The same of costs that are |x|² - 2xµ + |µ|², by Cauchy-Schwarz and |µ| <= |x| + √t."""
    d = shifted.shape[0]
    share = _gamma(d + 8, UNIT)
    if _takes_tensor_cores(shifted):
        share += 2.25 * TENSOR_UNIT
    far = share + _gamma(4, UNIT) + _gamma(d + 2, DECIDING_UNIT)
    return 4 * share, 4 * share, far


def _takes_tensor_cores(x: Array) -> bool:
    """Whether CuPy lets a float32 product round its factors to TF32 (``CUPY_TF32=1``)."""
    if isinstance(x, np.ndarray):
        return False
    from cupy._core import _routines_linalg as products

    return products.get_compute_type(x.dtype) == products.COMPUTE_TYPE_TF32


def costs_at(
    loss: str, x: Array, centers: Array, labels: Array, memory_budget: int | None = None
) -> Array:
    """Cost of every row at the centre its label names; see `kmgpu.algorithm.assignment.costs_at`.

    Reads each number of x once, 4nd bytes in float32, where plain calls move some 60nd through
    float64 copies of the rows and of their centres: 15 times as long on paper.
    """
    del memory_budget
    xp, device = place_of(x)
    n, d = x.shape
    checked("centers", centers, np.float64, (centers.shape[0], d), x)
    checked("labels", labels, np.int32, (n,), x)
    cost = xp.empty(n, dtype=xp.float64, device=device)
    name, lanes = costs_name(loss, x.dtype, d)
    arguments = (*matrix(x), centers, labels, np.int64(n), np.int32(d), cost)
    launch("nearest", name, -(-n * lanes // (32 * WARPS)), (32 * WARPS,), arguments)
    return cost


def costs_name(loss: str, dtype: Any, d: int) -> tuple[str, int]:
    """The kernel of `costs_at`, and the threads of a row."""
    lanes = 1 if d <= 16 else 32
    return f"costs_at<{type_of(dtype)}, {COST[loss]}, {lanes}, {32 * WARPS}>", lanes


def instantiations() -> Iterator[tuple[str, int]]:
    """Every kernel that this file can launch, and the threads of its blocks."""
    yield SCORED, 32 * WARPS
    for dtype, loss in product(CHECKED, COST):
        for d in (1, 32):
            yield costs_name(loss, dtype, d)[0], 32 * WARPS
