"""The first ranking of absolute differences by halves, and by float32 of what these leave open."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda import differences
from kmgpu.kernels.cuda.module import CHECKED, launch, matrix, type_of

# where two halves are added as fast as one float, or faster, and tensor cores run at full rate
CAPABILITIES = (75, 80, 90, 100)
FEWEST_CLUSTERS = 96  # fewer would leave most of a tile empty
MOST_FEATURES = 2048  # for more the proof in screen.cu does not hold
# rows, centres and features of a tile; threads across centres and rows
SHAPE = (64, 128, 32, 16, 8)
PACK_WARPS = 8
HALF_UNIT, MMA_UNIT = 2.0**-11, 2.0**-22  # see screen.cu
MOST_LISTED = 2**31 - 1


def serves(x: Array, n_clusters: int) -> bool:
    """Whether `rank` takes these rows: by their features, the clusters and the card."""
    fits = max(differences.NARROW) < x.shape[1] <= MOST_FEATURES
    return fits and n_clusters >= FEWEST_CLUSTERS and _adds_halves_fast(x)


def _adds_halves_fast(x: Array) -> bool:
    if isinstance(x, np.ndarray):
        return True  # kernels on the host emulate it
    from cupy.cuda import runtime

    return bool(runtime.is_hip) or int(x.device.compute_capability) in CAPABILITIES


def rank(
    x: Array, origin: Array, shifted: Array, norms: Array, extents: Array
) -> differences.Outcome:
    """Rank all centres for every row; see `differences.rank`.

    Of rows that halves decide `best` is 0 and `second` infinite.

    Notes
    -----
    0.87 instructions for each row, centre and feature, where `differences.rank` takes 2.1. Of 1M
    rows of 128 features, k=500, 6 to 21 % stay open after one iteration, 0.3 to 5 % after five
    (simulated).
    """
    xp, device = place_of(x)
    d, k = shifted.shape
    packed = _packed(shifted, extents)
    outcome = differences.empty_outcome(x)
    name, block = f"nearest_screened<{type_of(x.dtype)}, {_numbers(SHAPE)}>", SHAPE[3:]
    for start in range(0, x.shape[0], MOST_LISTED):
        part = slice(start, min(x.shape[0], start + MOST_LISTED))
        rows, found = x[part, :], tuple(array[part] for array in outcome)
        n = rows.shape[0]
        open_ = xp.empty(n, dtype=xp.int32, device=device)
        total = xp.zeros(1, dtype=xp.int32, device=device)
        sizes = map(np.int32, (n, k, packed[0].shape[1], d, packed[0].shape[0]))
        arguments = (*matrix(rows), origin, *packed, *sizes, _rounding(d), open_, total, *found)
        launch("screen", name, -(-n // SHAPE[0]), block, arguments)
        centers = origin, shifted, norms
        differences.rank_listed("Manhattan", rows, centers, open_, total, found)
    return outcome


def _packed(shifted: Array, extents: Array) -> tuple[Array, Array, Array]:
    """Centres as words of two halves, where their sums start, and the scale of the frame."""
    xp, device = place_of(shifted)
    d, k = shifted.shape
    words, padded = 2 * -(-d // 4), SHAPE[1] * -(-k // SHAPE[1])
    packed = xp.empty((words, padded), dtype=xp.int32, device=device)
    starts, scale = (xp.empty(size, dtype=xp.float32, device=device) for size in (padded, 1))
    sizes = map(np.int32, (k, padded, d, words))
    arguments = (shifted, extents, *sizes, packed, starts, scale)
    launch("screen", f"pack_halves<{PACK_WARPS}>", padded // 32, (32 * PACK_WARPS,), arguments)
    return packed, starts, scale


def _rounding(d: int) -> np.float32:
    """How much of itself a sum of halves errs by; see screen.cu."""
    return np.float32((1 + HALF_UNIT) ** 2 - 1 + 4 * d * MMA_UNIT + 2.0**-17)


def _numbers(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def instantiations() -> Iterator[tuple[str, int]]:
    """Every kernel that this file can launch, and the threads of its blocks."""
    yield f"pack_halves<{PACK_WARPS}>", 32 * PACK_WARPS
    for name in dict.fromkeys(map(type_of, CHECKED)):
        yield f"nearest_screened<{name}, {_numbers(SHAPE)}>", SHAPE[3] * SHAPE[4]
