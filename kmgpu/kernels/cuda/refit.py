"""Refits on the GPU: deterministic segmented sums and exact segmented medians."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda.module import CHECKED, checked, launch, matrix, type_of
from kmgpu.kernels.cuda.sort import Numbers

THREADS = 256
WARPS = THREADS // 32
# chunks of the order: enough threads to fill a GPU, and at most 8 MiB of partial sums
FEWEST_CHUNK_ROWS = 32
MOST_TASKS = 1 << 20
MOST_CHUNKS = 1 << 15
FINISHING_BLOCKS = 1 << 11  # whose parts of the loss the last of them adds up
# segments of a cluster whose median is sought, each by one block for every 32 features
MOST_FEATURES = 32
FEWEST_SEGMENT_ROWS = 1 << 12
MOST_SEGMENTS = 1 << 12
MOST_COUNTED = (1 << 32) - 1
SEARCH_WORDS = 6
SCALING, COUNTING = f"choose_scales<{WARPS}>", f"count_weights<{THREADS}>"


def means(
    x: Array, groups: Any, sample_weight: Array | None, previous: Array, budget: int
) -> Array:
    """Weighted mean of every cluster; see `kmgpu.algorithm.refit.means`.

    Reads each number of x once, 4nd bytes in float32, and adds nd times in float64 in an order that
    depends on the shapes and the labels alone. Plain calls make a product with a matrix of
    ones and zeros: some 40nd bytes and 2ndr multiply-adds in float64, r being the clusters of a
    run (up to 64): 5 to 10 times as long on paper.
    """
    del budget
    numbers = Numbers.beside(x, previous.shape[0])
    return means_and_losses(x, groups, sample_weight, previous, numbers)


def means_and_losses(
    x: Array, groups: Any, sample_weight: Array | None, previous: Array, numbers: Numbers
) -> Array:
    """Weighted mean of every cluster, by two launches that read x once.

    Sets the first of `numbers`: the loss of the groups at `previous`, Σ w |x - µ|²; what of it the
    means gain, Σ w |mean - µ|²; and the shift, Σ |mean - µ|². So the loss at the means is the
    first less the second: x - µ is x - mean and mean - µ, whose products sum to 0 over a cluster.
    """
    xp, device = place_of(x)
    k, d = previous.shape
    _check(x, groups, sample_weight, previous)
    size, sums, carry, losses = _sums(x, groups, sample_weight, previous)
    centers = xp.empty((k, d), dtype=xp.float64, device=device)
    blocks = min(FINISHING_BLOCKS, -(-k * d // WARPS))
    gains = xp.empty((2, blocks), dtype=xp.float64, device=device)
    sizes = map(np.int32, (losses.shape[0], size, k, d))
    rows = (*matrix(x), groups.order, groups.bounds)
    arguments = (*rows, sums, carry, previous, losses, *sizes, centers, gains)
    finishing = means_names(x.dtype, sample_weight is not None)[1]
    finished = (*arguments, numbers.ticket, numbers.values)
    launch("means", finishing, blocks, (THREADS,), finished)
    return centers


def _sums(
    x: Array, groups: Any, sample_weight: Array | None, previous: Array
) -> tuple[int, Array, Array, Array]:
    """Rows of a chunk; sums by cluster and by chunk, and losses by block; see means.cu.

    Where `previous` has no features, the sums are those of the weights.
    """
    xp, device = place_of(x)
    (k, d), n, weighted = previous.shape, x.shape[0], sample_weight is not None
    columns = d + weighted
    size, blocks = _chunks(n, columns)
    shapes = (k, columns), (-(-n // size), columns), (blocks,)
    found = [xp.empty(shape, dtype=xp.float64, device=device) for shape in shapes]
    unread = found[0] if sample_weight is None else sample_weight
    rows = (*matrix(x), groups.order, groups.bounds, unread, previous)
    arguments = (*rows, *map(np.int32, (size, k, d)), *found)
    launch("means", means_names(x.dtype, weighted)[0], blocks, (THREADS,), arguments)
    return size, found[0], found[1], found[2]


def _chunks(n: int, columns: int) -> tuple[int, int]:
    """Rows of a chunk; blocks that hold a thread for each chunk and column."""
    size = chunk_rows(n, columns)
    chunks = -(-n // size)
    return size, -(-chunks * columns // THREADS)


def chunk_rows(n: int, columns: int) -> int:
    """Rows that one thread adds up."""
    return max(FEWEST_CHUNK_ROWS, -(-n * columns // MOST_TASKS), -(-n // MOST_CHUNKS))


def means_names(dtype: Any, weighted: bool) -> tuple[str, str, str]:
    """The two kernels of `means`, and that of k-medians' losses."""
    kinds = f"{type_of(dtype)}, {str(weighted).lower()}"
    summing, losing = f"sum_chunks<{kinds}, {THREADS}>", f"add_losses<{kinds}, {THREADS}>"
    return summing, f"finish_means<{kinds}, {WARPS}>", losing


def medians_and_losses(
    x: Array, groups: Any, sample_weight: Array | None, previous: Array, numbers: Numbers
) -> Array:
    """Weighted median of every cluster by `medians`, and the losses by one more launch.

    Sets the first of `numbers`: the loss of the groups at `previous`, Σ w |x - µ|, and at the
    medians, of which one read of x gives both; and the shift, Σ |median - µ|.
    """
    xp, device = place_of(x)
    (k, d), n, weighted = previous.shape, x.shape[0], sample_weight is not None
    centers = medians(x, groups, sample_weight, previous, 0)
    size, blocks = _chunks(n, d)
    parts = xp.empty((3, blocks), dtype=xp.float64, device=device)
    unread = parts if sample_weight is None else sample_weight
    rows = (*matrix(x), groups.order, groups.bounds, unread, previous, centers)
    arguments = (*rows, *map(np.int32, (size, k, d)), parts, numbers.ticket, numbers.values)
    launch("means", means_names(x.dtype, weighted)[2], blocks, (THREADS,), arguments)
    return centers


def medians(
    x: Array, groups: Any, sample_weight: Array | None, previous: Array, budget: int
) -> Array:
    """Weighted coordinatewise median of every cluster; see `kmgpu.algorithm.refit.medians`.

    Selection by eight bits of a number at a time, with weights by four: a pass over the data for
    each of the 4 (8) digits of float32, 2 (4) of float16, 8 (16) of float64, 1 (2) of uint8. By
    estimate a pass over float32 moves 4nd bytes, and 8n of row numbers for every 32 features, and
    takes 30nd instructions: some 17nd bytes for all passes, 34nd with weights. Plain calls sort
    twice a feature, some 400nd bytes.

    A cluster of up to `segment_rows` rows is one block's for every 32 features, all passes in one
    launch. Larger ones are cut into segments, with two launches a digit; their counts take about
    nd / 4 bytes, with weights nd / 32, and at most some 128 MiB.

    Weights are counted in whole numbers, the units of `kmgpu.kernels.agreement`; these take 8n
    bytes.
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
    cut = segment_rows(n, tiles), features, tiles
    centers = xp.empty((k, d), dtype=xp.float64, device=device)
    units = _units(x, groups, sample_weight, k) if weighted else previous  # else not read
    rows = (*matrix(x), groups.order, groups.bounds, units)
    arguments = (*rows, previous, *map(np.int32, (*cut, d)), centers)
    name = medians_names(x.dtype, weighted)[0]
    launch("medians", name, k * tiles, (THREADS,), arguments)
    if n > cut[0]:  # else no cluster is large
        _medians_by_segments(x, rows, groups.bounds, cut, weighted, centers)
    return centers


def _units(x: Array, groups: Any, sample_weight: Array, n_clusters: int) -> Array:
    """Weights as whole numbers, (n_samples,) uint64; not set where they are 0."""
    xp, device = place_of(x)
    previous = xp.empty((n_clusters, 0), dtype=xp.float64, device=device)
    size, sums, carry, _ = _sums(x, groups, sample_weight, previous)
    scales = xp.empty(n_clusters, dtype=xp.int32, device=device)
    units = xp.empty(x.shape[0], dtype=xp.uint64, device=device)
    k = np.int32(n_clusters)
    arguments = (sums, carry, groups.bounds, np.int32(size), k, scales)
    launch("weights", SCALING, -(-n_clusters // WARPS), (THREADS,), arguments)
    seen = (sample_weight, groups.order, groups.bounds, scales, k, units)
    launch("weights", COUNTING, -(-x.shape[0] // THREADS), (THREADS,), seen)
    return units


def _medians_by_segments(
    x: Array,
    rows: tuple[Any, ...],
    bounds: Array,
    cut: tuple[int, int, int],
    weighted: bool,
    centers: Array,
) -> None:
    """Write the medians of the clusters that `medians` left out; `rows` are its arguments."""
    xp, device = place_of(x)
    (n, d), k, (segment, _, tiles) = x.shape, len(centers), cut
    chunks, digit = -(-n // segment), 4 if weighted else 8
    dtype = xp.uint64 if weighted else xp.uint32
    totals = xp.zeros((chunks, 1 << digit, d), dtype=dtype, device=device)
    searches = xp.empty((chunks, d, SEARCH_WORDS), dtype=xp.int64, device=device)
    _, counting, choosing = medians_names(x.dtype, weighted)
    for shift in range(8 * x.dtype.itemsize - digit, -1, -digit):
        state = *map(np.int32, (k, d, shift)), searches, totals
        seen = (*rows, *map(np.int32, cut), *state)
        launch("medians", counting, chunks * tiles, (THREADS,), seen)
        found = (bounds, *map(np.int32, cut), *state, centers)
        launch("medians", choosing, chunks * tiles, (THREADS,), found)


def segment_rows(n: int, tiles: int) -> int:
    """Rows that one block takes: enough blocks to fill a GPU, and few enough to add up."""
    return max(FEWEST_SEGMENT_ROWS, -(-n * tiles // MOST_SEGMENTS))


def medians_names(dtype: Any, weighted: bool) -> tuple[str, str, str]:
    """The three kernels of `medians`."""
    kinds = f"{type_of(dtype)}, {str(weighted).lower()}, {THREADS}"
    return f"select_medians<{kinds}>", f"count_digits<{kinds}>", f"choose_digits<{kinds}>"


def instantiations(names: Callable[[Any, bool], tuple[str, ...]]) -> Iterator[tuple[str, int]]:
    """Every kernel that `means_names` or `medians_names` can name, and its blocks' threads."""
    for dtype, weighted in product(CHECKED, (False, True)):
        for name in names(dtype, weighted):
            yield name, THREADS


def weights_instantiations() -> Iterator[tuple[str, int]]:
    """The kernels that make whole numbers of weights, and their blocks' threads."""
    for name in (SCALING, COUNTING):
        yield name, THREADS


def _check(x: Array, groups: Any, sample_weight: Array | None, previous: Array) -> None:
    n, k = x.shape[0], previous.shape[0]
    checked("previous", previous, np.float64, (k, x.shape[1]), x)
    checked("groups.order", groups.order, np.int64, (n,), x)
    checked("groups.bounds", groups.bounds, np.int64, (k + 1,), x)
    if sample_weight is not None:
        checked("sample_weight", sample_weight, np.float64, (n,), x)
