"""The loss of given centres by brute force in float64: no engine judges its own result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.spatial.distance import cdist

from benchmarks.machine import n_cores

BLOCK_NUMBERS = 1 << 22


def loss(x: Any, centers: np.ndarray, name: str) -> float:
    """Sum over rows of the cost at the nearest centre; squared distance for l2, else Manhattan."""
    at = np.asarray(centers, np.float64)
    step = max(1, BLOCK_NUMBERS // (len(at) + x.shape[1]))

    def block(start: int) -> float:
        part = x[start : start + step]
        rows = np.asarray(part.toarray() if issparse(part) else part, np.float64)
        if name == "l1":
            return float(cdist(rows, at, "cityblock").min(axis=1).sum())
        return float(_squared(rows, at))

    with ThreadPoolExecutor(n_cores()) as pool:
        return sum(pool.map(block, range(0, x.shape[0], step)))


def _squared(rows: np.ndarray, at: np.ndarray) -> float:
    """Sum of squared distances; a product ranks the centres, differences give the costs."""
    nearest = np.argmin(rows @ (-2 * at.T) + (at * at).sum(axis=1), axis=1)
    gaps = rows - at[nearest]
    return (gaps * gaps).sum()
