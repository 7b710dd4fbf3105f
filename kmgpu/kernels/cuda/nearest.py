"""Assignment on the GPU: nearest centres and costs, by the fast way where it decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product, starmap
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, namespace, place_of
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.cuda.module import (
    CHECKED,
    checked,
    launch,
    matrix,
    origin_dtype,
    type_of,
)

COST = {"l1": "Manhattan", "l2": "Squared"}
# above it a matrix product and its scores cost less than twice the fused pass (estimate)
FUSED_FEATURES = 32
NARROW_CLUSTERS = 32
# rows, centres and features of a tile; threads across centres and rows
NARROW = (128, 32, 8, 8, 32)
WIDE = (128, 64, 16, 16, 16)
WARPS = 8
SCORED = f"nearest_scored<float, {WARPS}>"
MOST_LISTED = 2**31 - 1
SETTLED_TOGETHER = 4  # rows that share what a warp reads of the centres
SETTLING_BLOCKS = 1 << 10  # a few for every multiprocessor: they take from the list until it ends
UNIT, DECIDING_UNIT = 2.0**-24, 2.0**-53  # how much of a number float32 and float64 round to
TENSOR_UNIT = 2.0**-10  # TF32 takes this much of a factor


@dataclass(frozen=True)
class _Centers:
    """Centres as the kernels read them.

    Attributes
    ----------
    turned : array of shape (n_features, n_clusters), float64
        Themselves, feature after feature.
    origin : array of shape (n_features,), float32 or float64
        A point among them, of `origin_dtype`.
    shifted : array of shape (n_features, n_clusters), float32
        Relative to it.
    extents : array of shape (n_clusters,), float64
        Their lengths about the origin.
    norms : array of shape (n_clusters,), float32
        The squares of these, for L2.
    """

    turned: Array
    origin: Array
    shifted: Array
    extents: Array
    norms: Array


def nearest(loss: str, x: Array, centers: Array, memory_budget: int | None = None) -> Array:
    """Index of the nearest centre of every row; see `kmgpu.algorithm.assignment.nearest`.

    Of n rows, k centres and d features in float32, L1 reads 4nd bytes (again for every 64
    centres, from the cache) and makes 2nkd additions; plain calls write and read n×k costs for
    each feature, 12nkd bytes: 70 times as long on paper (H100). L2 makes nkd multiply-adds of
    differences up to 32 features, else a matrix product whose scores one kernel reads once, 4nk
    bytes, where plain calls read or write them four times.

    Costs of every dtype are ranked in float32, of rows and centres relative to a point; where
    float32 does not hold the dtype, they are subtracted in float64. Rows whose best two costs are
    closer than the rounding of either, or overflow, are then ranked by `settle`: in float64, by
    differences added feature after feature as `Loss.pairwise` adds them, to the same bits. So the
    labels are those of float64, ties to the lowest index, wherever the data lie; nothing is read
    by the host. Where all rows are open (groups 1e4 times as far apart as they are wide, above 32
    features; numbers whose squares float32 does not hold) that takes 3nkd float64 operations.
    """
    ready = _prepared(loss, x, centers)
    if loss == "l1" or x.shape[1] <= FUSED_FEATURES:
        rounding = _direct_rounding(loss, x.shape[1])
        return _settled(loss, x, ready, *_tiled(loss, x, ready), rounding)
    outcome = _scored(x, ready, memory_budget)
    return _settled(loss, x, ready, *outcome, _product_rounding(ready.shifted))


def _prepared(loss: str, x: Array, centers: Array) -> _Centers:
    xp, device = place_of(centers)
    k, d = centers.shape
    checked("centers", centers, np.float64, (k, x.shape[1]), x)
    choosing, shifting = prepared_names(loss, x.dtype)
    origin = xp.empty(d, dtype=origin_dtype(x.dtype), device=device)
    norms = xp.empty(k, dtype=xp.float32, device=device)
    shifted = xp.empty((d, k), dtype=xp.float32, device=device)
    turned = xp.empty((d, k), dtype=xp.float64, device=device)
    extents = xp.empty(k, dtype=xp.float64, device=device)
    numbers, block = (np.int32(k), np.int32(d)), (32 * WARPS,)
    launch("nearest", choosing, -(-d // WARPS), block, (centers, *numbers, origin))
    arguments = (centers, origin, *numbers, shifted, turned, extents, norms)
    launch("nearest", shifting, -(-k // WARPS), block, arguments)
    return _Centers(turned, origin, shifted, extents, norms)


def prepared_names(loss: str, dtype: Any) -> tuple[str, str]:
    """The kernels that put centres about an origin."""
    kind = "float" if origin_dtype(dtype) == np.float32 else "double"
    return f"choose_origin<{kind}, {WARPS}>", f"shift_centers<{kind}, {COST[loss]}, {WARPS}>"


def _tiled(loss: str, x: Array, ready: _Centers) -> tuple[Array, Array, Array]:
    """Labels, and in float32 the costs of the best centre and of the runner-up."""
    n, d = x.shape
    k = ready.norms.shape[0]
    name, shape = tiled_name(loss, x.dtype, k)
    label, best, second = _outcome(x, ready, n)
    arguments = (*matrix(x), ready.origin, ready.shifted, np.int64(n), np.int32(k), np.int32(d))
    launch("nearest", name, -(-n // shape[0]), shape[3:], (*arguments, label, best, second))
    return label, best, second


def tiled_name(loss: str, dtype: Any, n_clusters: int) -> tuple[str, tuple[int, ...]]:
    """The fused kernel for this data, and its tile."""
    shape = NARROW if n_clusters <= NARROW_CLUSTERS else WIDE
    numbers = ", ".join(map(str, shape))
    return f"nearest_tiled<{type_of(dtype)}, float, {COST[loss]}, {numbers}>", shape


def _scored(
    x: Array, ready: _Centers, memory_budget: int | None = None
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


def _outcome(x: Array, ready: _Centers, n: int) -> tuple[Array, Array, Array]:
    xp, device = place_of(x)
    label = xp.empty(n, dtype=xp.int32, device=device)
    best, second = (xp.empty(n, dtype=xp.float32, device=device) for _ in range(2))
    return label, best, second


def _settled(
    loss: str,
    x: Array,
    ready: _Centers,
    label: Array,
    best: Array,
    second: Array,
    rounding: tuple[float, float, float],
) -> Array:
    """The labels, those that `rounding` leaves open ranked by the costs that decide.

    One launch lists the open rows of all blocks, one ranks them; the host reads nothing.
    """
    (n, d), k = x.shape, ready.norms.shape[0]
    if k == 1:
        return label
    least = 16 * (d + 4) * float(np.finfo(np.float32).tiny)  # a GPU may take less for 0
    bounds = tuple(map(np.float64, (*rounding, least, UNIT)))
    xp, device = place_of(x)
    listing, settling = settle_names(loss, x.dtype)
    block = (32 * WARPS,)
    for start in range(0, n, MOST_LISTED):
        part = slice(start, min(n, start + MOST_LISTED))
        rows, own = x[part, :], label[part]
        open_ = xp.empty(own.shape[0], dtype=xp.int32, device=device)
        total = xp.zeros(1, dtype=xp.int32, device=device)
        known = best[part], second[part], own, ready.extents, np.int32(own.shape[0])
        grid = -(-own.shape[0] // block[0])
        launch("settle", listing, grid, block, (*known, *bounds, open_, total))
        centers = ready.origin, ready.shifted, ready.turned, np.int32(k), np.int32(d)
        grid = min(SETTLING_BLOCKS, -(-own.shape[0] // (SETTLED_TOGETHER * WARPS)))
        arguments = (*matrix(rows), *centers, *bounds, open_, total, own)
        launch("settle", settling, grid, block, arguments)
    return label


def settle_names(loss: str, dtype: Any) -> tuple[str, str]:
    """The kernels that list what the first ranking leaves open, and rank that."""
    kinds = f"{type_of(dtype)}, {COST[loss]}, {SETTLED_TOGETHER}, {WARPS}"
    return f"list_open<{COST[loss]}, {32 * WARPS}>", f"settle<{kinds}>"


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
        for k in (1, NARROW_CLUSTERS + 1):
            name, shape = tiled_name(loss, dtype, k)
            yield name, shape[3] * shape[4]
        for d in (1, 32):
            yield costs_name(loss, dtype, d)[0], 32 * WARPS
    for dtype in ("float32", "float64"):
        yield prepared_names("l1", dtype)[0], 32 * WARPS
        yield prepared_names("l1", dtype)[1], 32 * WARPS
        yield prepared_names("l2", dtype)[1], 32 * WARPS


def settle_instantiations() -> Iterator[tuple[str, int]]:
    """The kernels that rank open rows, and the threads of their blocks."""
    names = dict.fromkeys(chain.from_iterable(starmap(settle_names, product(COST, CHECKED))))
    for name in names:
        yield name, 32 * WARPS
