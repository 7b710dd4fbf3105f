"""The assignment step: the nearest centre of every row, in blocks, ties to the lowest index.

Numbers
-------
A block of rows is converted to float32 (data of at most 32-bit floats) or float64 (wider floats,
integers, booleans), and the coordinatewise median of the centres is subtracted from rows and
centres before any product, so data far from the origin lose nothing. The product ranks the
centres.

A label is that of float64: the error of a score is bounded row by row (`Loss.limit`), and a row
that has another centre within it is ranked again by `Loss.pairwise`, from the differences x - µ in
float64. So neither blocks nor the precision of the product decide any label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import (
    HOST,
    Array,
    Place,
    asarray,
    compute_dtype,
    namespace,
    place_of,
    rows,
    take_rows,
    to_host,
)
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.dispatch import replaceable

# below this much work, ranking all rows in float64 is fastest
FEW_NUMBERS = 1 << 8


@replaceable
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
    xp, _ = place = place_of(centers)
    if x.shape[0] * x.shape[1] * centers.shape[0] < FEW_NUMBERS:
        return _exact_labels(rows(x, 0, x.shape[0], xp.float64), centers, loss)
    rank = _Ranking(centers, loss, compute_dtype(x))

    def label(start: int, stop: int) -> tuple[Array, np.ndarray]:
        labels, open_ = rank(x, start, stop)
        return labels, start + np.flatnonzero(to_host(open_))

    found = over_blocks(_blocks(x, centers, loss, place, memory_budget), label, place == HOST)
    labels = xp.concat([piece for piece, _ in found])
    open_ = np.concatenate([indices for _, indices in found])
    return _ranked_again(labels, open_, x, centers, loss, memory_budget) if open_.size else labels


def _ranked_again(
    labels: Array,
    indices: np.ndarray,
    x: Array,
    centers: Array,
    loss: Loss,
    memory_budget: int | None,
) -> Array:
    """The labels, with the exact ones of the rows at `indices`."""
    xp, _ = place = place_of(centers)
    where = asarray(indices, place)

    def label(start: int, stop: int) -> Array:
        part = take_rows(x, where[start:stop], xp.float64)
        return _exact_labels(part, centers, loss)

    row_bytes = 8 * (3 * centers.shape[0] + x.shape[1])
    blocks = row_blocks(len(indices), row_bytes, block_bytes(place, memory_budget))
    exact = over_blocks(blocks, label, place == HOST)
    source = np.arange(labels.shape[0])
    source[indices] = labels.shape[0] + np.arange(len(indices))
    return xp.take(xp.concat([labels, *exact]), asarray(source, place))


def _exact_labels(x: Array, centers: Array, loss: Loss) -> Array:
    xp = namespace(centers)
    return xp.astype(xp.argmin(loss.pairwise(x, centers), axis=1), xp.int32)


class _Ranking:
    """Nearest centres of blocks of rows, ranked in one floating dtype."""

    def __init__(self, centers: Array, loss: Loss, dtype: Any) -> None:
        self._xp = xp = namespace(centers)
        reference = _reference_point(centers, dtype)
        self._loss, self._dtype = loss, dtype
        self._reference = xp.astype(reference, dtype)
        shifted = xp.astype(centers - reference, dtype)
        self._score = loss.scorer(shifted)
        self._limit = loss.limit(shifted)

    def __call__(self, x: Array, start: int, stop: int) -> tuple[Array, Array]:
        """Labels of rows start:stop, and which of them the scores leave open."""
        xp = self._xp
        block = rows(x, start, stop, self._dtype) - self._reference
        scores = self._score(block)
        labels = xp.argmin(scores, axis=1)
        least = xp.take_along_axis(scores, labels[:, None], axis=1)
        beyond = scores > self._limit(block, least)  # False where a score overflows
        within = xp.count_nonzero(xp.logical_not(beyond), axis=1)
        return xp.astype(labels, xp.int32), within != 1


@replaceable
def costs_at(
    x: Array, centers: Array, labels: Array, loss: Loss, memory_budget: int | None = None
) -> Array:
    """Cost of every row at the centre its label names, (n_samples,), float64.

    Squared units of the data for L2, plain ones for L1.
    """
    xp, _ = place = place_of(centers)

    def cost(start: int, stop: int) -> Array:
        attained = xp.take(centers, labels[start:stop], axis=0)
        return loss.cost(rows(x, start, stop, xp.float64) - attained)

    blocks = row_blocks(x.shape[0], 8 * 3 * x.shape[1], block_bytes(place, memory_budget))
    found = over_blocks(blocks, cost, place == HOST)
    return found[0] if len(found) == 1 else xp.concat(found)


@replaceable
def distances(x: Array, centers: Array, loss: Loss, memory_budget: int | None = None) -> Array:
    """Distance of every row to every centre, (n_samples, n_clusters), in x's floating dtype.

    Euclidean for L2, Manhattan for L1; computed in float64, from differences wherever a product
    would lose digits. The first of a row's least distances is that of its label.
    """
    xp, device = place = place_of(centers)
    out_dtype = compute_dtype(x)
    index = xp.arange(centers.shape[0], dtype=xp.int32, device=device)
    infinity = xp.asarray(xp.inf, dtype=out_dtype, device=device)

    def distance(start: int, stop: int) -> Array:
        costs = loss.pairwise(rows(x, start, stop, xp.float64), centers)
        label = xp.astype(xp.argmin(costs, axis=1), xp.int32)[:, None]
        out = xp.astype(loss.distance(costs), out_dtype)
        # a centre before the label may round to the same distance, and would come first
        least = xp.min(out, axis=1, keepdims=True)
        early = xp.logical_and(index[None, :] < label, out <= least)
        return xp.where(early, xp.nextafter(out, infinity), out)

    blocks = _blocks(x, centers, loss, place, memory_budget)
    found = over_blocks(blocks, distance, place == HOST)
    return found[0] if len(found) == 1 else xp.concat(found)


def runner_up(
    x: Array, centers: Array, labels: Array, loss: Loss, memory_budget: int | None = None
) -> Array:
    """For every row, the index of the nearest of all centres but that of its label.

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
