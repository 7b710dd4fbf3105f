"""Rows grouped by label on the GPU: a stable counting sort of three launches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda.module import checked, launch

THREADS = 256
WARPS = THREADS // 32
SLICES = 32
ADDING = f"add_counts<{SLICES}>"
# rows of a warp, and warps: enough to fill a GPU, and at most 8 MiB of counts. With many clusters
# warps are few: then the assignment takes longer in proportion, by nkd multiply-adds for nk / 2^21
# rows of a warp.
FEWEST_ROWS = 128
MOST_LINES = 1 << 14
MOST_COUNTS = 1 << 21
MOST_ROWS = (1 << 32) - 1
# before the sizes of the clusters: what a refit tells of losses, and the rows that changed
CHANGED = 3


@dataclass(frozen=True)
class Numbers:
    """What the host needs to know of an iteration, for one copy to bring it.

    Attributes
    ----------
    values : array of shape (4 + n_clusters,), float64
        Two losses or what the refit gains, and the shift (see refit.py); the number of rows whose
        label changed; the clusters' sizes.
    ticket : array of shape (1,), uint32
        0 between launches: blocks count themselves, so that the last can add up.
    """

    values: Array
    ticket: Array

    @classmethod
    def beside(cls, x: Array, n_clusters: int) -> Numbers:
        xp, device = place_of(x)
        values = xp.empty(CHANGED + 1 + n_clusters, dtype=xp.float64, device=device)
        return cls(values, xp.zeros(1, dtype=xp.uint32, device=device))


@dataclass(frozen=True)
class Order:
    """Rows ordered by cluster; see `kmgpu.algorithm.refit.Groups`.

    Attributes
    ----------
    order : array of shape (n_samples,), int64
        Not set past ``bounds[-1]``: rows of zero weight have no place.
    bounds : array of shape (n_clusters + 1,), int64
    """

    order: Array
    bounds: Array


def grouped(
    labels: Array, previous: Array, sample_weight: Array | None, n_clusters: int, numbers: Numbers
) -> Order:
    """The order of rows by label, of which nothing is read by the host.

    Of n rows it reads labels twice and `previous`, the labels before, once, and writes the order:
    20n bytes, with weights 36n, and some 20 for each count of the table of warps and clusters.

    Sums in 64-bit fixed point need no sort: at 8 features a third fewer bytes than sort and sums.
    But the sum of the largest differences must fit, so beside an outlier of 1e6 σ each of 1e8 rows
    is rounded to some 1e-5 σ, and means of equal rows err by as much.

    Parameters
    ----------
    labels, previous : arrays of shape (n_samples,), int32
        The first in [0, n_clusters).
    sample_weight : array of shape (n_samples,), float64, or None
    n_clusters : int
    numbers : Numbers
        Receives the rows of positive weight whose label changed, and the sizes.
    """
    n = labels.shape[0]
    if n > MOST_ROWS:
        msg = f"X has {n} rows, the kernel counts up to {MOST_ROWS}; pass fewer at a time."
        raise ValueError(msg)
    weighted = sample_weight is not None
    checked("labels", labels, np.int32, (n,), labels)
    checked("previous", previous, np.int32, (n,), labels)
    weight = checked("sample_weight", sample_weight, np.float64, (n,), labels) if weighted else None
    run, blocks = lines_of(n, n_clusters)
    xp, device = place_of(labels)
    counts = xp.empty((blocks * WARPS, n_clusters + 1), dtype=xp.uint32, device=device)
    totals = xp.empty(n_clusters + 1, dtype=xp.uint32, device=device)
    found = Order(
        xp.empty(n, dtype=xp.int64, device=device),
        xp.empty(n_clusters + 1, dtype=xp.int64, device=device),
    )
    sizes = np.int64(n), np.int32(n_clusters), np.int32(run)
    unread = numbers.values if weight is None else weight
    counting, placing = names(weighted)
    launch("sort", counting, blocks, (THREADS,), (labels, previous, unread, *sizes, counts))
    lines, told = np.int32(blocks * WARPS), numbers.values[CHANGED:]
    added = (counts, lines, sizes[1], totals, numbers.ticket, found.bounds, told)
    launch("sort", ADDING, -(-(n_clusters + 1) // 32), (32 * SLICES,), added)
    placed = (labels, unread, *sizes, found.bounds, counts, found.order)
    launch("sort", placing, blocks, (THREADS,), placed)
    return found


def lines_of(n: int, n_clusters: int) -> tuple[int, int]:
    """Rows of a warp, a multiple of 32; blocks."""
    most = max(1, min(MOST_LINES, MOST_COUNTS // (n_clusters + 1)))
    run = 32 * -(-max(FEWEST_ROWS, -(-n // most)) // 32)
    return run, -(-n // (run * WARPS))


def names(weighted: bool) -> tuple[str, str]:
    """The kernels that count labels and that place rows."""
    kinds = f"{str(weighted).lower()}, {THREADS}"
    return f"count_labels<{kinds}>", f"place_rows<{kinds}>"


def instantiations() -> Iterator[tuple[str, int]]:
    """Every kernel that this file can launch, and the threads of its blocks."""
    yield ADDING, 32 * SLICES
    for weighted, kind in product((False, True), (0, 1)):
        yield names(weighted)[kind], THREADS
