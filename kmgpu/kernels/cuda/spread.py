"""How far rows lie from their mean, which scales the tolerance of a fit: two passes of kernels."""

from __future__ import annotations

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda import nearest, refit
from kmgpu.kernels.cuda.sort import Order


def spread(
    loss: str, x: Array, sample_weight: Array | None, memory_budget: int | None = None
) -> float:
    """Mean spread of the features; see `kmgpu.algorithm.spread.spread`.

    The mean is summed in float64 about the first row, the costs in float64 from the differences to
    it: offsets cost no digits, and the order of additions depends on the shape alone. Each pass
    reads each number of x once, 4nd bytes in float32, and 12 to 20 bytes a row beside them; plain
    calls move some 60nd bytes (estimates).
    """
    xp, device = place_of(x)
    n, d = x.shape
    order = xp.arange(n, dtype=xp.int64, device=device)
    bounds = xp.asarray([0, n], dtype=xp.int64, device=device)
    nowhere = xp.zeros((1, d), dtype=xp.float64, device=device)
    center = refit.means(x, Order(order, bounds), sample_weight, nowhere, 0)
    del order
    labels = xp.zeros(n, dtype=xp.int32, device=device)
    costs = nearest.costs_at(loss, x, center, labels, memory_budget)
    if sample_weight is None:
        return float(xp.sum(costs)) / (n * d)
    total = xp.sum(sample_weight)
    return float(xp.sum(costs * sample_weight) / total) / d
