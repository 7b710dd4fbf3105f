"""Blocks of a stream on a CPU: labels with bounds that wait beside the block, sums by cluster."""

from collections.abc import MutableMapping
from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.assignment import nearest
from kmgpu.kernels.cpu.highdim.passes import BYTES_OF_LABELS, Passes
from kmgpu.kernels.cpu.lowdim import one_bound_pays
from kmgpu.kernels.cpu.lowdim.bounds import RowBounds
from kmgpu.kernels.cpu.lowlevel import in_place
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import (
    CONVERTED,
    Rows,
    frozen,
    row_ranges,
    weight_of,
    working_dtype,
)
from kmgpu.kernels.cpu.medians.grouped import CenterGroupBounds
from kmgpu.kernels.cpu.seeding.sketch import bytes_of

BYTES_OF_ROW_BOUNDS = 8  # a row: label and gap,
BYTES_OF_CENTERS = 12  # and a number of the centres, as they are and as they are computed with
BYTES_OF_CENTER_GROUPS = 32  # a row, with which bounds to groups of centres begin to help
NARROW = 64  # features up to which one bound a row beats products of which nothing is kept
MOST_SUMS = 1 << 25  # bytes of the sums of all ranges of rows of one block
RANGES = 16  # of the rows of one block, at most


def nearest_again(
    x: np.ndarray,
    centers: np.ndarray,
    loss: Any,
    kept: MutableMapping[str, Any],
    room: int,
    memory_budget: int | None = None,
) -> np.ndarray:
    """See `kmgpu.streaming.labels.nearest_again`."""
    bounds = kept.pop("bounds", None)  # what an error leaves half done is not met again
    if bounds is None:
        bounds = _bounds_for(x, len(centers), loss.squared, room)
        if bounds is None:
            return nearest(x, centers, loss, memory_budget)
    else:
        bounds.turn_to(x, Workers())
        bounds.labels = bounds.labels.copy()  # whoever was given the last ones may keep them
    bounds.assign(np.ascontiguousarray(centers))
    bounds.let_go()
    kept["bounds"] = bounds
    return bounds.labels


def _bounds_for(x: np.ndarray, k: int, squared: bool, room: int) -> Any:
    """What labels these rows and keeps up to `room` bytes of bounds; None where nothing can."""
    (n, d), workers = x.shape, Workers()
    one = one_bound_pays(squared, k, d)
    if squared and not one and in_place(x):
        left = room - BYTES_OF_LABELS * n - 8 * k * d  # the last centres, beside every block
        if left >= bytes_of(n, d):
            return Passes(x, k, left, workers)
    if not squared and not one and room >= BYTES_OF_CENTER_GROUPS * n:
        return CenterGroupBounds(Rows(x), k, workers, room)
    needed = BYTES_OF_ROW_BOUNDS * n + BYTES_OF_CENTERS * k * d
    if room < needed or (squared and not one and d > NARROW):
        return None
    return RowBounds(Rows(x), k, squared, workers)


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _add_moments(x, weight, labels, centers, squared, counts, mass, sums):
    """Add rows to the sums of their clusters; returns their weighted cost.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    weight : ndarray of shape (m,) or (0,), float64, read-only
        Empty: all one.
    labels : ndarray of shape (m,), int32
    centers : ndarray of shape (k, n_features), float64, read-only
    squared : bool
    counts : ndarray of shape (k,), int64, added to
    mass : ndarray of shape (k,), float64, added to
    sums : ndarray of shape (k, n_features), float64, added to
    """
    total = 0.0
    for i in range(x.shape[0]):
        w = weight[i] if weight.size else 1.0
        if not w > 0:
            continue
        j = np.uint64(labels[i])
        counts[j] += 1
        mass[j] += w
        cost = 0.0
        if squared:
            for q in range(x.shape[1]):
                apart = np.float64(x[i, q]) - centers[j, q]
                cost += apart * apart
                sums[j, q] += w * apart
        else:
            for q in range(x.shape[1]):
                apart = np.float64(x[i, q]) - centers[j, q]
                cost += abs(apart)
                sums[j, q] += w * apart
        total += w * cost
    return total


def moments(
    x: np.ndarray,
    centers: np.ndarray,
    labels: np.ndarray,
    sample_weight: np.ndarray | None,
    loss: Any,
    memory_budget: int | None = None,
) -> Any:
    """See `kmgpu.streaming.statistics.moments`; returns the fields of its result."""
    del memory_budget
    data, weight, (k, d) = Rows(x), weight_of(sample_weight), centers.shape
    centers = frozen(np.ascontiguousarray(centers))

    def of(item: tuple[int, int, int]) -> tuple[Any, ...]:
        _, begin, end = item
        counts, mass, sums = np.zeros(k, np.int64), np.zeros(k), np.zeros((k, d))
        cost = 0.0
        for lo, hi in data.ranges(begin, end):
            cost += _add_moments(
                data.block(lo, hi), weight[lo:hi], labels[lo:hi], centers, loss.squared,
                counts, mass, sums,
            )  # fmt: skip
        return cost, counts, mass, sums

    parts = Workers().map(of, row_ranges(data.n, ranges_of(k * (d + 2))))
    return tuple(sum(field[1:], start=field[0]) for field in zip(*parts, strict=True))


def ranges_of(numbers: int) -> int:
    """Ranges of the rows of a block whose sums are so many numbers each."""
    return max(1, min(RANGES, MOST_SUMS // (8 * numbers)))


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _add_extent(x, weight, origin, sums, squares, low, high):
    """Add rows to the sums about an origin, and to the extent of those that have weight.

    Parameters
    ----------
    x : ndarray of shape (m, d), float32 or float64, read-only
    weight : ndarray of shape (m,) or (0,), float64, read-only
    origin : ndarray of shape (d,), float64
    sums, squares : ndarrays of shape (d,), float64, added to
        Weight times difference to the origin, and times its square.
    low, high : ndarrays of shape (d,), dtype of x, updated
    """
    for i in range(x.shape[0]):
        w = weight[i] if weight.size else 1.0
        for q in range(x.shape[1]):
            apart = np.float64(x[i, q]) - origin[q]
            sums[q] += w * apart
            squares[q] += w * apart * apart
        if w > 0:
            for q in range(x.shape[1]):
                low[q] = min(low[q], x[i, q])
                high[q] = max(high[q], x[i, q])


def extent(
    x: np.ndarray, sample_weight: np.ndarray | None, memory_budget: int | None = None
) -> tuple[Any, ...]:
    """See `kmgpu.streaming.survey.extent`; returns the fields of its result."""
    del memory_budget
    (n, d), weight, kind = x.shape, weight_of(sample_weight), working_dtype(x)
    origin = x[0].astype(np.float64)

    def of(item: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
        _, begin, end = item
        sums, squares = np.zeros((2, d))
        low, high = np.full(d, np.inf, kind), np.full(d, -np.inf, kind)
        step = max(256, CONVERTED // d)
        for lo in range(begin, end, step):
            block = frozen(np.ascontiguousarray(x[lo : min(end, lo + step)], kind))
            _add_extent(block, weight[lo : lo + len(block)], origin, sums, squares, low, high)
        return sums, squares, low, high

    sums, squares, low, high = zip(*Workers().map(of, row_ranges(n, RANGES)), strict=True)
    mass = float(weight.sum()) if weight.size else float(n)
    sums, squares = np.sum(sums, axis=0), np.sum(squares, axis=0)
    mean = sums / mass if mass > 0 else 0.0 * sums
    least, most = (np.asarray(ends, np.float64) for ends in (low, high))
    squares = np.maximum(squares - mass * mean * mean, 0.0)
    return n, mass, origin + mean, squares, least.min(axis=0), most.max(axis=0)
