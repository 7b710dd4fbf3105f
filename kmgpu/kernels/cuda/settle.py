"""The rows that a first ranking leaves open, ranked by the costs that decide labels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product, starmap
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda.centers import COST, WARPS, Centers
from kmgpu.kernels.cuda.module import CHECKED, launch, matrix, type_of

MOST_LISTED = 2**31 - 1
SETTLED_TOGETHER = 4  # rows that share what a warp reads of the centres
SETTLING_BLOCKS = 1 << 10  # a few for every multiprocessor: they take from the list until it ends
UNIT = 2.0**-24  # how much of a number float32 rounds to


def settled(
    loss: str,
    x: Array,
    ready: Centers,
    label: Array,
    best: Array,
    second: Array,
    rounding: tuple[float, float, float],
) -> Array:
    """The labels, those that `rounding` leaves open ranked by the costs that decide.

    One launch lists the open rows of all blocks, one ranks them; the host reads nothing.
    """
    n, k = x.shape[0], ready.norms.shape[0]
    if k == 1:
        return label
    bounds = limits(ready, rounding)
    xp, device = place_of(x)
    block = (32 * WARPS,)
    for start in range(0, n, MOST_LISTED):
        part = slice(start, min(n, start + MOST_LISTED))
        own = label[part]
        open_ = xp.empty(own.shape[0], dtype=xp.int32, device=device)
        total = xp.zeros(1, dtype=xp.int32, device=device)
        known = best[part], second[part], own, ready.extents, np.int32(own.shape[0])
        listing = names(loss, x.dtype)[0]
        grid = -(-own.shape[0] // block[0])
        launch("settle", listing, grid, block, (*known, *bounds, open_, total))
        settle(loss, x[part, :], ready, own, open_, total, bounds)
    return label


def limits(ready: Centers, rounding: tuple[float, float, float]) -> tuple[np.float64, ...]:
    """What settle.cu calls Rounding."""
    d = ready.shifted.shape[0]
    least = 16 * (d + 4) * float(np.finfo(np.float32).tiny)  # a GPU may take less for 0
    return tuple(map(np.float64, (*rounding, least, UNIT)))


def settle(
    loss: str,
    x: Array,
    ready: Centers,
    label: Array,
    open_: Array,
    total: Array,
    bounds: tuple[np.float64, ...],
) -> None:
    """Write the labels of the listed rows, ranked by the costs that decide."""
    d, k = ready.shifted.shape
    centers = ready.origin, ready.shifted, ready.turned, np.int32(k), np.int32(d)
    grid = min(SETTLING_BLOCKS, -(-x.shape[0] // (SETTLED_TOGETHER * WARPS)))
    arguments = (*matrix(x), *centers, *bounds, open_, total, label)
    launch("settle", names(loss, x.dtype)[1], grid, (32 * WARPS,), arguments)


def names(loss: str, dtype: Any) -> tuple[str, str]:
    """The kernels that list what the first ranking leaves open, and rank that."""
    kinds = f"{type_of(dtype)}, {COST[loss]}, {SETTLED_TOGETHER}, {WARPS}"
    return f"list_open<{COST[loss]}, {32 * WARPS}>", f"settle<{kinds}>"


def instantiations() -> Iterator[tuple[str, int]]:
    """The kernels that rank open rows, and the threads of their blocks."""
    kernels = chain.from_iterable(starmap(names, product(COST, CHECKED)))
    for name in dict.fromkeys(kernels):
        yield name, 32 * WARPS
