"""The assignment step: the nearest centre of every row, in blocks, ties to the lowest index.

Numbers
-------
A block of rows is converted to float32 (data of at most 32-bit floats) or float64 (wider floats,
integers, booleans), and the coordinatewise median of the centres is subtracted from rows and
centres before any product, so data far from the origin lose nothing. The product ranks the
centres; the cost of the winner is then computed from the difference x - µ itself, in float64.

No one reference point suits groups of rows that lie far apart: the product then rounds by more than
the costs that it ranks. A block whose costs are that small beside its extent is ranked in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from kmgpu.arrays import (
    HOST,
    Array,
    Place,
    compute_dtype,
    namespace,
    place_of,
    rows,
)
from kmgpu.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels import kernel
from kmgpu.losses import Loss

# float32 ranks rows to about 2**-13 of their cost where they cost this much more at the reference
FINEST_FLOAT32 = 1024
# fewer are ranked in float64 sooner than it is found out whether float32 would do
FEW_NUMBERS = 1 << 8


def nearest(x: Array, centers: Array, loss: Loss, memory_budget: int | None = None) -> Array:
    """Index of the nearest centre of every row.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
        Any real dtype; it is not written to.
    centers : array of shape (n_clusters, n_features), float64
        Beside `x`, of the same namespace.
    loss : Loss
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.

    Returns
    -------
    array of shape (n_samples,), int32
        Ties go to the lowest index.
    """
    fused = kernel("nearest", loss.kernel_name, x, centers.shape[0])
    if fused is not None:
        return fused(x, centers, memory_budget)
    xp, _ = place = place_of(centers)
    few = x.shape[0] * x.shape[1] * centers.shape[0] < FEW_NUMBERS
    rank = _Ranking(centers, loss, xp.float64 if few else compute_dtype(x))
    exact = cache(lambda: _Ranking(centers, loss, xp.float64))

    def label(start: int, stop: int) -> list[Array]:
        block = rank.shifted(x, start, stop)
        scores = rank.score(block)
        labels = xp.argmin(scores, axis=1)
        if rank.resolves(block, scores, labels):
            return [xp.astype(labels, xp.int32)]
        middle = (start + stop) // 2  # twice the bytes a row
        halves = ((start, middle), (middle, stop))
        ranked = (exact().score(exact().shifted(x, begin, end)) for begin, end in halves)
        return [xp.astype(xp.argmin(scores, axis=1), xp.int32) for scores in ranked]

    blocks = _blocks(x, centers, loss, place, memory_budget)
    found = [labels for pieces in over_blocks(blocks, label, place == HOST) for labels in pieces]
    return found[0] if len(found) == 1 else xp.concat(found)


class _Ranking:
    """Nearest centres of blocks of rows, ranked in one floating dtype."""

    def __init__(self, centers: Array, loss: Loss, dtype: Any) -> None:
        self._xp = namespace(centers)
        reference = _reference_point(centers, dtype)
        self._loss, self._dtype = loss, dtype
        self._reference = self._xp.astype(reference, dtype)
        self._centers = self._xp.astype(centers - reference, dtype)
        self.score = loss.scorer(self._centers)

    def shifted(self, x: Array, start: int, stop: int) -> Array:
        """Rows start:stop relative to the reference point."""
        return rows(x, start, stop, self._dtype) - self._reference

    def resolves(self, block: Array, scores: Array, labels: Array) -> bool:
        """Whether rounding is small beside the costs of a block; False where they overflow."""
        xp = self._xp
        if self._dtype == xp.float64 or self._centers.shape[0] == 1:
            return True
        extent = float(xp.sum(self._loss.cost(block), dtype=xp.float64))
        least = xp.take_along_axis(scores, labels[:, None], axis=1)
        attained = float(xp.sum(least, dtype=xp.float64))
        if self._loss.squared:
            attained += extent
        return extent < FINEST_FLOAT32 * attained


def costs_at(
    x: Array, centers: Array, labels: Array, loss: Loss, memory_budget: int | None = None
) -> Array:
    """Cost of every row at the centre its label names, (n_samples,), float64.

    Squared units of the data for L2, plain ones for L1.
    """
    fused = kernel("costs_at", loss.kernel_name, x, centers.shape[0])
    if fused is not None:
        return fused(x, centers, labels, memory_budget)
    xp, _ = place = place_of(centers)

    def cost(start: int, stop: int) -> Array:
        attained = xp.take(centers, labels[start:stop], axis=0)
        return loss.cost(rows(x, start, stop, xp.float64) - attained)

    blocks = row_blocks(x.shape[0], 8 * 3 * x.shape[1], block_bytes(place, memory_budget))
    found = over_blocks(blocks, cost, place == HOST)
    return found[0] if len(found) == 1 else xp.concat(found)


def distances(x: Array, centers: Array, loss: Loss, memory_budget: int | None = None) -> Array:
    """Distance of every row to every centre, (n_samples, n_clusters), in x's floating dtype.

    Euclidean for L2, Manhattan for L1; computed in float64.
    """
    xp, _ = place = place_of(centers)
    reference = _reference_point(centers, xp.float64)
    shifted = centers - reference
    out_dtype = compute_dtype(x)

    def distance(start: int, stop: int) -> Array:
        block = rows(x, start, stop, xp.float64) - reference
        return xp.astype(loss.distance(loss.pairwise(block, shifted)), out_dtype)

    blocks = _blocks(x, centers, loss, place, memory_budget)
    found = over_blocks(blocks, distance, place == HOST)
    return found[0] if len(found) == 1 else xp.concat(found)


def runner_up(
    x: Array, centers: Array, labels: Array, loss: Loss, memory_budget: int | None = None
) -> Array:
    """Index of the nearest centre of every row but the one that its label names.

    Parameters are those of `costs_at`, with at least two centres.

    Returns
    -------
    array of shape (n_samples,), int32
        Ranked in float64; ties go to the lowest index.
    """
    xp, device = place = place_of(centers)
    n_clusters, n_features = centers.shape
    reference = _reference_point(centers, xp.float64)
    score = loss.scorer(centers - reference)
    index = xp.arange(n_clusters, dtype=labels.dtype, device=device)
    never = xp.asarray(xp.inf, dtype=xp.float64, device=device)

    def second(start: int, stop: int) -> Array:
        scores = score(rows(x, start, stop, xp.float64) - reference)
        own = labels[start:stop, None] == index[None, :]
        return xp.astype(xp.argmin(xp.where(own, never, scores), axis=1), xp.int32)

    row_bytes = 8 * (loss.block_columns(n_clusters, n_features) + 2 * n_clusters)
    blocks = row_blocks(x.shape[0], row_bytes, block_bytes(place, memory_budget))
    found = over_blocks(blocks, second, place == HOST)
    return found[0] if len(found) == 1 else xp.concat(found)


def weighted_sum(values: Array, sample_weight: Array | None) -> Array:
    """Σ wᵢ vᵢ in float64, a 0-d array."""
    xp = namespace(values)
    return xp.sum(values if sample_weight is None else values * sample_weight, dtype=xp.float64)


def _blocks(
    x: Array, centers: Array, loss: Loss, place: Place, memory_budget: int | None
) -> Iterator[tuple[int, int]]:
    row_bytes = loss.block_columns(*centers.shape) * (place.xp.finfo(compute_dtype(x)).bits // 8)
    return row_blocks(x.shape[0], row_bytes, block_bytes(place, memory_budget))


def _reference_point(centers: Array, dtype: object) -> Array:
    """The coordinatewise lower median of the centres, rounded to `dtype`, as float64.

    Among the centres, so near the data wherever they are; a median, so one far centre does not
    draw it away; rounded, so that subtracting it from rows of `dtype` adds no error of its own.
    """
    xp = namespace(centers)
    middle = xp.sort(centers, axis=0)[(centers.shape[0] - 1) // 2, :]
    return xp.astype(xp.astype(middle, dtype), xp.float64)
