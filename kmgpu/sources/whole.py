"""One array in memory as a source of one block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.sources.base import Block, Source


class Whole(Source):
    """All rows of an array as one block, where they are.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
        Dense, or sparse rows.
    sample_weight : array of shape (n_samples,), float64, beside `x`, or None
    """

    def __init__(self, x: Array, sample_weight: Array | None = None) -> None:
        self.place, self.dtype = place_of(x), x.dtype
        self.n_features = int(x.shape[1])
        self.weighted = sample_weight is not None
        self._block = Block(x, sample_weight, 0, 0, {})

    @property
    def n_samples(self) -> int:
        return int(self._block.rows.shape[0])

    def map(self, function: Callable[..., Any], *broadcast: Any) -> list[Any]:
        return [function(self._block, *broadcast)]

    def fold(
        self, function: Callable[..., Any], merge: Callable[[Any, Any], Any], *broadcast: Any
    ) -> Any:
        del merge
        return function(self._block, *broadcast)

    def rowwise(self, function: Callable[..., Any], *broadcast: Any) -> Array:
        return np.asarray(function(self._block, *broadcast))

    def where(self, row: int) -> str:
        return f"row {row}"
