"""The first ranking by differences: few features in registers, others in tiles of costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda.module import CHECKED, launch, matrix, type_of

COSTS = ("Manhattan", "Squared")
# features as a thread keeps them, and its rows; the zeros between are multiplied
NARROW = {2: 4, 4: 4, 8: 4, 12: 2, 16: 2}
NARROW_CENTERS, NARROW_THREADS = 64, 128
# rows, centres and features of a tile; threads across centres and rows: each has 8 rows, 8 centres
FEW_CLUSTERS = 32
SLIM = (256, 32, 16, 4, 32)
WIDE = (128, 64, 16, 8, 16)
LISTED_BLOCKS = 1 << 10  # a few for every multiprocessor: they take from the list until it ends


Outcome = tuple[Array, Array, Array]


def rank(cost: str, x: Array, origin: Array, shifted: Array, norms: Array) -> Outcome:
    """Rank all centres for every row.

    Parameters
    ----------
    cost : {"Manhattan", "Squared"}
    x : array of shape (n_samples, n_features)
        Of any strides.
    origin, shifted, norms : arrays
        Of the centres; see `kmgpu.kernels.cuda.centers.Centers`.

    Returns
    -------
    label : array of shape (n_samples,), int32
    best, second : arrays of shape (n_samples,), float32
        The costs of that centre and of the runner-up, as `decided` in settle.cu takes them.

    Notes
    -----
    Reads each number of x once up to 16 features, else again for every 64 centres, from the cache.
    2nkd float32 additions, or additions and multiply-adds, and five instructions more for a score.
    """
    outcome = empty_outcome(x)
    source, name, rows, block = kernel(cost, x.dtype, x.shape[1], norms.shape[0])
    every = (np.int32(False), outcome[0], outcome[0]) if source == "tiled" else ()
    arguments = (*_sizes(x, origin, shifted, norms), *every, *outcome)
    launch(source, name, -(-x.shape[0] // rows), block, arguments)
    return outcome


def rank_listed(
    cost: str,
    x: Array,
    centers: tuple[Array, Array, Array],
    listed: Array,
    total: Array,
    to: Outcome,
) -> None:
    """Write to an outcome what `rank` finds for the rows that `listed[:total]` names."""
    source, name, rows, block = kernel(cost, x.dtype, x.shape[1], centers[2].shape[0])
    grid = min(LISTED_BLOCKS, -(-x.shape[0] // rows))
    arguments = (*_sizes(x, *centers), np.int32(True), listed, total, *to)
    launch(source, name, grid, block, arguments)


def empty_outcome(x: Array) -> Outcome:
    """Room for the labels and the two costs of every row."""
    xp, device = place_of(x)
    label = xp.empty(x.shape[0], dtype=xp.int32, device=device)
    best, second = (xp.empty(x.shape[0], dtype=xp.float32, device=device) for _ in range(2))
    return label, best, second


def _sizes(x: Array, origin: Array, shifted: Array, norms: Array) -> tuple[Any, ...]:
    (n, d), k = x.shape, norms.shape[0]
    return *matrix(x), origin, shifted, norms, np.int64(n), np.int32(k), np.int32(d)


def kernel(cost: str, dtype: Any, d: int, k: int) -> tuple[str, str, int, tuple[int, ...]]:
    """The kernel for this data: its source, its name, the rows of a block and its threads."""
    kinds = f"{type_of(dtype)}, {cost}"
    if d <= max(NARROW):
        width = min(width for width in NARROW if width >= d)
        rows = NARROW[width]
        numbers = f"{width}, {rows}, {NARROW_CENTERS}, {NARROW_THREADS}"
        block = rows * NARROW_THREADS, (NARROW_THREADS,)
        return "narrow", f"nearest_narrow<{kinds}, {numbers}>", *block
    shape = SLIM if k <= FEW_CLUSTERS else WIDE
    numbers = ", ".join(map(str, shape))
    return "tiled", f"nearest_tiled<{kinds}, {numbers}>", shape[0], shape[3:]


def instantiations(source: str) -> Iterator[tuple[str, int]]:
    """Every kernel of a source that this file can launch, and the threads of its blocks."""
    sizes = product((*NARROW, max(NARROW) + 1), (1, FEW_CLUSTERS + 1))
    found = {}
    for cost, dtype, (d, k) in product(COSTS, CHECKED, sizes):
        file, name, _, block = kernel(cost, dtype, d, k)
        if file == source:
            found[name] = int(np.prod(block))
    yield from found.items()
