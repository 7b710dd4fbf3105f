"""Refits on the GPU: deterministic segmented sums and exact segmented medians."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from kmgpu.arrays import Array, place_of
from kmgpu.kernels.cuda.module import TYPES, checked, launch, matrix, type_of

THREADS = 256
WARPS = THREADS // 32
# chunks of the order: enough threads to fill a GPU, and at most 8 MiB of partial sums
FEWEST_CHUNK_ROWS = 32
MOST_TASKS = 1 << 20
MOST_CHUNKS = 1 << 15
# segments of a cluster whose median is sought, each by one block for every 32 features
MOST_FEATURES = 32
FEWEST_SEGMENT_ROWS = 1 << 12
MOST_SEGMENTS = 1 << 12
MOST_COUNTED = (1 << 32) - 1
SEARCH_WORDS = 6


def means(
    x: Array, groups: Any, sample_weight: Array | None, previous: Array, budget: int
) -> Array:
    """Weighted mean of every cluster; see `kmgpu.refit.means`.

    Reads each number of x once, 4nd bytes in float32, and adds nd times in float64 in an order that
    depends on the shapes and the labels alone. Plain calls make a product with a matrix of
    ones and zeros: some 40nd bytes and 2ndr multiply-adds in float64, r being the clusters of a
    run (up to 64): 5 to 10 times as long on paper.
    """
    del budget
    xp, device = place_of(x)
    n, (k, d) = x.shape[0], previous.shape
    _check(x, groups, sample_weight, previous)
    weighted = sample_weight is not None
    columns = d + weighted
    size = chunk_rows(n, columns)
    chunks = -(-n // size)
    sums = xp.empty((k, columns), dtype=xp.float64, device=device)
    carry = xp.empty((chunks, columns), dtype=xp.float64, device=device)
    centers = xp.empty((k, d), dtype=xp.float64, device=device)
    rows = (*matrix(x), groups.order, groups.bounds)
    adding, finishing = means_names(x.dtype, weighted)
    launch(
        "means",
        adding,
        -(-chunks * columns // THREADS),
        (THREADS,),
        (
            *rows,
            sample_weight if weighted else previous,  # else not read
            *(np.int64(chunks), np.int32(size), np.int32(k), np.int32(d)),
            *(sums, carry),
        ),
    )
    numbers = np.int32(size), np.int32(k), np.int32(d)
    arguments = (*rows, sums, carry, previous, *numbers, centers)
    launch("means", finishing, -(-k * d // WARPS), (THREADS,), arguments)
    return centers


def chunk_rows(n: int, columns: int) -> int:
    """Rows that one thread adds up."""
    return max(FEWEST_CHUNK_ROWS, -(-n * columns // MOST_TASKS), -(-n // MOST_CHUNKS))


def means_names(dtype: Any, weighted: bool) -> tuple[str, str]:
    """The two kernels of `means`."""
    kinds = f"{type_of(dtype)}, {str(weighted).lower()}"
    return f"sum_chunks<{kinds}, {THREADS}>", f"finish_means<{kinds}, {WARPS}>"


def medians(
    x: Array, groups: Any, sample_weight: Array | None, previous: Array, budget: int
) -> Array:
    """Weighted coordinatewise median of every cluster; see `kmgpu.refit.medians`.

    Selection by eight bits at a time, with weights by four: a pass over float32 for each of 4 (8)
    digits, over float16 2 (4), float64 8 (16), uint8 1 (2). By estimate a pass moves the 4nd bytes
    of float32 and 8n bytes of row numbers for every 32 features, and does some 20nd operations:
    16nd bytes in all, 32nd with weights. Plain calls sort twice a feature, some 400nd bytes.

    Clusters of up to `segment_rows` rows have one block for every 32 features, which makes all
    passes; larger ones are cut into segments, with two launches a digit. Besides `order` that takes
    nd / 4 bytes at most, or 128 MiB, and with weights half of that.
    """
    del budget
    xp, device = place_of(x)
    n, (k, d) = x.shape[0], previous.shape
    if n > MOST_COUNTED:
        msg = f"X has {n} rows, the kernel counts up to {MOST_COUNTED}; pass fewer at a time."
        raise ValueError(msg)
    _check(x, groups, sample_weight, previous)
    weighted = sample_weight is not None
    features = min(MOST_FEATURES, 1 << (d - 1).bit_length())
    tiles = -(-d // features)
    segment = segment_rows(n, tiles)
    centers = xp.empty((k, d), dtype=xp.float64, device=device)
    rows = (*matrix(x), groups.order, groups.bounds, sample_weight if weighted else previous)
    cut = np.int32(segment), np.int32(features), np.int32(tiles)
    selecting, counting, choosing = medians_names(x.dtype, weighted)
    arguments = (*rows, previous, *cut, np.int32(d), centers)
    launch("medians", selecting, k * tiles, (THREADS,), arguments)
    if n <= segment:  # no cluster is large
        return centers
    chunks, digit = -(-n // segment), 4 if weighted else 8
    counts = (2 * chunks, 16, d) if weighted else (chunks, 256, d)
    totals = xp.zeros(counts, dtype=xp.float64 if weighted else xp.uint32, device=device)
    searches = xp.empty((chunks, d, SEARCH_WORDS), dtype=xp.int64, device=device)
    # sums of weights have as many terms as there are segments: fewer features for a block
    fewer = min(features, 8) if weighted else features
    narrow = np.int32(segment), np.int32(fewer), np.int32(-(-d // fewer))
    for shift in range(8 * x.dtype.itemsize - digit, -1, -digit):
        numbers = np.int32(k), np.int32(d), np.int32(shift), searches, totals
        launch("medians", counting, chunks * tiles, (THREADS,), (*rows, *cut, *numbers))
        n_blocks = chunks * int(narrow[2])
        arrays = groups.bounds, *narrow, *numbers, centers
        launch("medians", choosing, n_blocks, (THREADS,), arrays)
    return centers


def segment_rows(n: int, tiles: int) -> int:
    """Rows that one block takes: enough blocks to fill a GPU, and few enough to add up."""
    return max(FEWEST_SEGMENT_ROWS, -(-n * tiles // MOST_SEGMENTS))


def medians_names(dtype: Any, weighted: bool) -> tuple[str, str, str]:
    """The three kernels of `medians`."""
    kinds = f"{type_of(dtype)}, {str(weighted).lower()}, {THREADS}"
    return f"select_medians<{kinds}>", f"count_digits<{kinds}>", f"choose_digits<{kinds}>"


def instantiations(names: Callable[[Any, bool], tuple[str, ...]]) -> Iterator[tuple[str, int]]:
    """Every kernel that `means_names` or `medians_names` can name, and its blocks' threads."""
    for dtype, weighted in product(TYPES, (False, True)):
        for name in names(dtype, weighted):
            yield name, THREADS


def _check(x: Array, groups: Any, sample_weight: Array | None, previous: Array) -> None:
    n, k = x.shape[0], previous.shape[0]
    checked("previous", previous, np.float64, (k, x.shape[1]), x)
    checked("groups.order", groups.order, np.int64, (n,), x)
    checked("groups.bounds", groups.bounds, np.int64, (k + 1,), x)
    if sample_weight is not None:
        checked("sample_weight", sample_weight, np.float64, (n,), x)
