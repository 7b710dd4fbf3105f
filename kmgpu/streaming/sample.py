"""Some rows of a source, held in memory."""

from __future__ import annotations

import numpy as np

from kmgpu.backend.arrays import asarray, picked_rows, place_of, to_host
from kmgpu.sources.base import Block, Source


def rows_at(source: Source, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of these numbers (ascending), as they are stored, and their weights; on the host."""
    found = source.map(_rows_of_block, indices)
    return np.concatenate([x for x, _ in found]), np.concatenate([w for _, w in found])


def _rows_of_block(block: Block, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    start, stop = block.start, block.start + block.rows.shape[0]
    first, last = np.searchsorted(indices, [start, stop])
    own = asarray(indices[first:last] - start, place_of(block.rows))
    weight = np.ones(last - first) if block.weight is None else to_host(block.weight[own])
    return to_host(picked_rows(block.rows, own)), weight


def drawn_rows(source: Source, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Rows drawn by weight, of which some may come several times; (n_rows, n_features).

    All rows, where they are no more than that and have no weights.
    """
    n = source.n_samples
    if not source.weighted:
        few = np.sort(rng.choice(n, min(n, n_rows), replace=False))
        return rows_at(source, few)[0]
    x, weight = rows_at(source, np.sort(rng.choice(n, min(n, 4 * n_rows), replace=False)))
    if not weight.any():
        return x[:n_rows]
    return x[np.sort(rng.choice(len(x), n_rows, p=weight / weight.sum()))]
