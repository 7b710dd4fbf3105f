"""Refuse data whose costs overflow or vanish in float64."""

from __future__ import annotations

from math import frexp
from typing import NoReturn

import numpy as np

from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import (
    Array,
    asarray,
    compute_dtype,
    namespace,
    picked_rows,
    place_of,
    rows,
    to_host,
)
from kmgpu.backend.blocks import block_bytes, row_blocks
from kmgpu.kernels.dispatch import replaceable

# rows that are looked at first, and the numbers in them
SAMPLED_ROWS, SAMPLED_NUMBERS = 1 << 10, 1 << 17
# features that spread between these have costs far from overflow and underflow
LEAST, MOST = 1e-120, 1e120
# below it, costs that are a billionth of the largest keep fewer than half of their bits
VANISHING = 2.0**-1017


def check_scale(
    x: Array, sample_weight: Array | None, loss: Loss, memory_budget: int | None = None
) -> None:
    """Raise ValueError when the costs between rows of `x` overflow or vanish in float64.

    Only float64 data can be at fault, as squares of float32 numbers and of integers are normal
    float64 ones. Some rows tell whether a look at all of them is needed; an outlier that they
    miss makes the loss infinite, which the loop reports.
    """
    if compute_dtype(x) != namespace(x).float64:
        return
    n, d = x.shape
    step = -(-n // max(2, min(SAMPLED_ROWS, SAMPLED_NUMBERS // d)))
    xp, _ = place = place_of(x)
    few = asarray(np.arange(0, n, step), place)
    weight = None if sample_weight is None else xp.take(sample_weight, few)
    if LEAST < widths(picked_rows(x, few), weight, memory_budget).max() < MOST:
        return
    check_widths(widths(x, sample_weight, memory_budget), loss)


def check_widths(found: np.ndarray, loss: Loss) -> None:
    """Raise ValueError when costs between rows so far apart overflow or vanish; see `widths`."""
    with np.errstate(over="ignore", under="ignore"):
        at_most = float(loss.cost(found[None])[0])
    if at_most == np.inf:
        _refuse("large", "overflow", "down", found.max(), loss)
    if at_most < VANISHING and at_most < found.max():
        _refuse("small", "vanish", "up", found.max(), loss)


@replaceable
def widths(x: Array, sample_weight: Array | None, memory_budget: int | None) -> np.ndarray:
    """Largest less smallest value of every feature, (n_features,), on the host.

    Rows of zero weight are left out; without others, all widths are 0.
    """
    xp, device = place = place_of(x)
    low = xp.full((x.shape[1],), xp.inf, dtype=xp.float64, device=device)
    high = -low
    for start, stop in row_blocks(
        x.shape[0], 8 * 3 * x.shape[1], block_bytes(place, memory_budget)
    ):
        block = rows(x, start, stop, xp.float64)
        least = most = block
        if sample_weight is not None:
            there = (sample_weight[start:stop] > 0)[:, None]
            least, most = xp.where(there, block, xp.inf), xp.where(there, block, -xp.inf)
        low = xp.minimum(low, xp.min(least, axis=0))
        high = xp.maximum(high, xp.max(most, axis=0))
    with np.errstate(over="ignore"):
        return np.maximum(to_host(high) - to_host(low), 0.0)


def _refuse(size: str, happens: str, way: str, width: float, loss: Loss) -> NoReturn:
    _, exponent = frexp(min(width, np.finfo(np.float64).max))
    msg = (
        f"X has values too {size}: features differ by up to {width:.3g} between its rows, so costs "
        f"({loss.name}) {happens} in float64. Scale X {way}, by a power of two to lose nothing: "
        f"X * 2.0**{-exponent}."
    )
    raise ValueError(msg)
