"""How far the data spread: the scale of an estimator's tolerance."""

from __future__ import annotations

from collections.abc import Callable

from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import HOST, Array, place_of, rows
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.dispatch import replaceable


def scaled_tolerance(
    x: Array, sample_weight: Array | None, loss: Loss, tol: float, memory_budget: int | None
) -> float:
    """`tol` × the spread of the data."""
    if tol == 0:
        return 0.0
    return tol * spread(x, loss, sample_weight, memory_budget)


@replaceable
def spread(
    x: Array, loss: Loss, sample_weight: Array | None, memory_budget: int | None = None
) -> float:
    """Mean spread of the features: Σ wᵢ cost(xᵢ - x̄) / (Σ wᵢ · n_features), x̄ the mean.

    For L2 the mean variance, as in scikit-learn; for L1 the mean absolute deviation from the mean.
    """
    xp, device = place = place_of(x)
    origin = rows(x, 0, 1, xp.float64)
    n, d = x.shape
    total = float(n if sample_weight is None else xp.sum(sample_weight))
    blocks = list(row_blocks(n, 8 * 3 * d, block_bytes(place, memory_budget)))

    def weighted(values: Array, start: int, stop: int) -> Array:
        return values if sample_weight is None else values * sample_weight[start:stop, None]

    def offset(start: int, stop: int) -> Array:
        return xp.sum(weighted(rows(x, start, stop, xp.float64) - origin, start, stop), axis=0)

    def deviation(start: int, stop: int) -> Array:
        costs = loss.cost(rows(x, start, stop, xp.float64) - center)[:, None]
        return xp.sum(weighted(costs, start, stop))

    def added(function: Callable[[int, int], Array], shape: tuple[int, ...]) -> Array:
        zero = xp.zeros(shape, dtype=xp.float64, device=device)
        return sum(over_blocks(blocks, function, place == HOST), start=zero)

    center = origin + added(offset, (d,)) / total
    return float(added(deviation, ())) / (total * d)
