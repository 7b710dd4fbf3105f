"""Assignment by squared distances on tensor cores: labels, and the rows they do not decide."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda.module import checked, launch, matrix, origin_dtype, type_of

# from here on a product costs less than differences, though it multiplies zeros up to 16 (estimate)
FEWEST_FEATURES = 8
# more sums of float32 on tensor cores, as MMA_UNIT charges them, cost more than halves leave
MOST_FEATURES = 2048
# features as they are padded where rows fit registers, and the warps of a block
WIDTHS = {16: 8, 32: 8, 64: 8, 128: 6, 256: 4}
WIDE_WARPS = 4, 2  # where they do not, with one half and with two
CHUNK = 32  # such features are padded to a multiple
FIRST_CAPABILITY = 75  # 7.5, Turing
PACK_WARPS = 8
MOST_PACKED = 128  # blocks: every block of what follows reads what each of them found
BLOCKS = 1 << 10  # a few for every multiprocessor: they take rows until there are no more


class Open(NamedTuple):
    """Rows that stay open.

    Attributes
    ----------
    rows : array of shape (n_samples,), int32
        The first `total` of them count, in no fixed order.
    total : array of shape (1,), int32
    before : array of shape (1,), int32
        How many the first product left open, for measurements.
    """

    rows: Array
    total: Array
    before: Array


class _Packed(NamedTuple):
    """Centres as halves, and what the kernels must know of them; see tensor.cu."""

    halves: Array
    norms: Array
    frame: Array
    residuals: Array
    totals: Array


def serves(x: Array) -> bool:
    """Whether `nearest` takes these rows: by their features and by the card."""
    return FEWEST_FEATURES <= x.shape[1] <= MOST_FEATURES and _has_tensor_cores(x)


def _has_tensor_cores(x: Array) -> bool:
    if isinstance(x, np.ndarray):
        return True  # kernels on the host emulate them
    from cupy.cuda import runtime

    return bool(runtime.is_hip) or int(x.device.compute_capability) >= FIRST_CAPABILITY


def nearest(
    x: Array, centers: Array, origin: Array, extents: Array, label: Array, memory: int
) -> Open:
    """Write the labels of all rows that binary16 decides, and the likeliest ones of the others.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
        Fewer than 2**31 rows, of any strides.
    centers : array of shape (n_clusters, n_features), float64
    origin : array of shape (n_features,), of `origin_dtype`
        A point among the centres.
    extents : array of shape (n_clusters,), float64
        The centres' distances to it.
    label : array of shape (n_samples,), int32
        Written.
    memory : int
        Bytes for the halves of rows that do not fit registers, those of some blocks at a time.

    Notes
    -----
    Three launches: centres to halves; all rows by one product of halves; those that stay open by
    three, which amount to 22 bits. Each multiplies nkd numbers and needs five instructions more for
    a score; nothing of the size nk is stored. Of rows of 128 features, k=1000, the first leaves 2
    to 4 % open in an early iteration (0.3 % later), the second a tenth of these (simulated).
    """
    xp, device = place_of(x)
    (n, d), k = x.shape, centers.shape[0]
    checked("origin", origin, origin_dtype(x.dtype), (d,), x)
    packed = _packed(x, centers, origin, extents)
    lists = [xp.empty(n, dtype=xp.int32, device=device) for _ in range(2)]
    totals = packed.totals[:1], packed.totals[1:]
    centres = packed.halves, packed.norms, extents, packed.frame, packed.residuals
    n_residuals, padded = packed.residuals.shape[0], packed.norms.shape[0]
    sizes = map(np.int32, (n_residuals, n, k, padded, d))
    known = (*matrix(x), origin, *centres, *sizes, lists[0], totals[0], label)
    most, room = _rooms(x, memory)
    for split in (False, True):
        name, threads, rows = ranking_name(x.dtype, d, split)
        grid = min(-(-n // rows), most if room or split else n)
        launch("tensor", name, grid, (threads,), (*known, lists[split], totals[split], *room))
    return Open(lists[1], totals[1], totals[0])


def _rooms(x: Array, memory: int) -> tuple[int, tuple[Any, ...]]:
    """Blocks that take rows until there are no more, and what these need where rows are wide."""
    xp, device = place_of(x)
    n, d = x.shape
    width = width_of(d)
    if width in WIDTHS:
        return BLOCKS, ()
    rows = 32 * WIDE_WARPS[0]  # or half as many, of two halves
    blocks = max(1, min(BLOCKS, -(-n // (rows // 2)), memory // (2 * rows * width)))
    room = xp.empty((blocks, rows, width // 2), dtype=xp.int32, device=device)
    return blocks, (np.int32(width), room)


def _packed(x: Array, centers: Array, origin: Array, extents: Array) -> _Packed:
    xp, device = place_of(x)
    k, d = centers.shape
    width = width_of(d)
    tile = 64 if width in WIDTHS else 128
    padded = -(-k // tile) * tile
    blocks = min(MOST_PACKED, -(-padded // PACK_WARPS))

    def empty(dtype: Any, *shape: int) -> Array:
        return xp.empty(shape, dtype=dtype, device=device)

    packed = _Packed(
        empty(xp.int32, 2, padded, width // 2),
        empty(xp.float32, padded),
        empty(xp.float64, 2),
        empty(xp.float32, blocks, 2),
        empty(xp.int32, 2),
    )
    arguments = (centers, origin, extents, *map(np.int32, (k, d, padded, width)), *packed)
    launch("tensor", packing_name(origin.dtype), blocks, (32 * PACK_WARPS,), arguments)
    return packed


def width_of(d: int) -> int:
    """Features as they are padded."""
    return min((width for width in WIDTHS if width >= d), default=-(-d // CHUNK) * CHUNK)


def packing_name(origin: Any) -> str:
    """The kernel that makes halves of centres."""
    return f"pack_centers<{type_of(origin)}, {PACK_WARPS}>"


def ranking_name(dtype: Any, d: int, split: bool) -> tuple[str, int, int]:
    """The kernel that ranks rows, the threads of a block and its rows."""
    width, of, halves = width_of(d), type_of(dtype), str(split).lower()
    if width not in WIDTHS:
        threads = 32 * WIDE_WARPS[split]
        return f"nearest_wide<{of}, {halves}>", threads, threads
    warps = WIDTHS[width]
    rows = 16 * warps * (1 if split or width > 128 else 2)
    return f"nearest_tensor<{of}, {width}, {halves}, {warps}>", 32 * warps, rows


def instantiations() -> Iterator[tuple[str, int]]:
    """Kernels that this file can launch, and the threads of their blocks."""
    # other dtypes are read as one of these two, by loads that the other sources check
    dtypes = "float32", "float64"
    for dtype, split, d in product(dtypes, (False, True), (*WIDTHS, MOST_FEATURES)):
        name, threads, _ = ranking_name(dtype, d, split)
        yield name, threads
    for origin in ("float32", "float64"):
        yield packing_name(origin), 32 * PACK_WARPS
