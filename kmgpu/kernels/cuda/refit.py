"""Refits on the GPU: deterministic segmented sums and exact segmented medians."""

from __future__ import annotations

from collections.abc import Iterator
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
        "refit",
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
    launch("refit", finishing, -(-k * d // WARPS), (THREADS,), arguments)
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

    Selection by four bits at a time: 9 passes over float32 (5 over float16, 17 over the rest),
    each of 4nd bytes and 35nd operations: 36nd bytes. Plain calls sort twice a feature, some
    400nd bytes: 10 times as long on paper. One block works on a cluster, so a cluster that
    holds most rows of few features leaves a GPU idle; the sorts would still take longer.
    """
    del budget
    xp, device = place_of(x)
    k, d = previous.shape
    _check(x, groups, sample_weight, previous)
    features = min(32, 1 << (d - 1).bit_length())
    tiles = -(-d // features)
    centers = xp.empty((k, d), dtype=xp.float64, device=device)
    weighted = sample_weight is not None
    arguments = (
        *(*matrix(x), groups.order, groups.bounds),
        sample_weight if weighted else previous,  # else not read
        *(previous, np.int32(features), np.int32(tiles), np.int32(d), centers),
    )
    launch("refit", medians_name(x.dtype, weighted), k * tiles, (THREADS,), arguments)
    return centers


def medians_name(dtype: Any, weighted: bool) -> str:
    """The kernel of `medians`."""
    return f"select_medians<{type_of(dtype)}, {str(weighted).lower()}, {THREADS}>"


def instantiations() -> Iterator[tuple[str, int]]:
    """Every kernel that this file can launch, and the threads of its blocks."""
    for dtype, weighted in product(TYPES, (False, True)):
        for name in (*means_names(dtype, weighted), medians_name(dtype, weighted)):
            yield name, THREADS


def _check(x: Array, groups: Any, sample_weight: Array | None, previous: Array) -> None:
    n, k = x.shape[0], previous.shape[0]
    checked("previous", previous, np.float64, (k, x.shape[1]), x)
    checked("groups.order", groups.order, np.int64, (n,), x)
    checked("groups.bounds", groups.bounds, np.int64, (k + 1,), x)
    if sample_weight is not None:
        checked("sample_weight", sample_weight, np.float64, (n,), x)
