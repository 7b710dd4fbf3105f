"""How far sparse rows spread: from sums over their nonzeros, and the weight of what is zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kmgpu.backend.arrays import HOST
from kmgpu.backend.blocks import block_bytes
from kmgpu.backend.sparse import canonical


def spread(
    x: Any, loss: Any, sample_weight: np.ndarray | None, memory_budget: int | None = None
) -> float:
    """`kmgpu.algorithm.spread.spread` of sparse rows."""
    rows = canonical(x)
    n, d = rows.shape
    # in the order in which `held` is added: its difference is 0 where no row is left out
    total = float(n if sample_weight is None else np.cumsum(sample_weight)[-1])

    def stored() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | float]]:
        """Feature, value and weight of the nonzeros, block by block."""
        for start, stop in rows.ranges(0, 64, block_bytes(HOST, memory_budget)):
            block = rows.block(start, stop)
            each: np.ndarray | float = 1.0
            if sample_weight is not None:
                each = np.repeat(sample_weight[start:stop], np.diff(block.indptr))
            yield block.indices, block.data.astype(np.float64, copy=False), each

    def cost(apart: np.ndarray) -> np.ndarray:
        return np.square(apart) if loss.squared else np.abs(apart)

    sums, held = np.zeros(d), np.zeros(d)
    for feature, values, each in stored():
        np.add.at(sums, feature, each * values)
        np.add.at(held, feature, each)
    center = sums / total
    deviation = sum(
        float((each * cost(values - center[feature])).sum()) for feature, values, each in stored()
    )
    deviation += float(((total - held) * cost(center)).sum())
    return deviation / (total * d)


def widths(x: Any, sample_weight: np.ndarray | None, memory_budget: int | None) -> np.ndarray:
    """Largest less smallest value of every feature, zeros counted, (n_features,), float64.

    Rows of zero weight are left out; without others, all widths are 0.
    """
    rows = canonical(x)
    n, d = rows.shape
    met = np.ones(n, dtype=bool) if sample_weight is None else sample_weight > 0
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    held = np.zeros(d, dtype=np.int64)
    for start, stop in rows.ranges(0, 64, block_bytes(HOST, memory_budget)):
        block = rows.block(start, stop)
        kept = np.repeat(met[start:stop], np.diff(block.indptr))
        feature, values = block.indices[kept], block.data[kept].astype(np.float64, copy=False)
        np.minimum.at(low, feature, values)
        np.maximum.at(high, feature, values)
        np.add.at(held, feature, 1)
    some = held < np.count_nonzero(met)  # in these a row has a zero that is not stored
    low[some], high[some] = np.minimum(low[some], 0.0), np.maximum(high[some], 0.0)
    with np.errstate(over="ignore"):
        return np.maximum(high - low, 0.0)
