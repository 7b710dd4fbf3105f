"""Which data are read block by block, and what estimators ask of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kmgpu.algorithm.assignment import costs_at, nearest, weighted_sum
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.sphere import reported_distances
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import HOST, Array, Place, asarray, is_array, place_of, to_host
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import resolve
from kmgpu.backend.gpus import free_bytes, room_for
from kmgpu.backend.machine import free_memory
from kmgpu.sources.arrays import ArrayBlocks
from kmgpu.sources.base import Block, Source
from kmgpu.sources.row_blocks import RowBlocks, check_rereadable
from kmgpu.sources.stream import PIECE_BYTES, Stream
from kmgpu.streaming.survey import check_finite, named
from kmgpu.validation import check_distances, is_plain
from kmgpu.weights import relative_weights

LEAST_PIECE = 1 << 20  # bytes of a block on a GPU


def streamed(X: Any, device: str | None, memory_budget: int | None, work: Work) -> RowBlocks | None:
    """`X` as blocks, if it is to be read that way; None for what is computed on in one piece.

    Blocks are `RowBlocks`; what is no array but is sliced like one, in chunks (zarr, h5py); a
    memmap that is larger than the budget, or half of the free memory; and an array that does not
    fit the GPU that was asked for.

    Raises
    ------
    TypeError
        For an iterator, which can be read once only.
    """
    check_rereadable(X, "X")
    if isinstance(X, RowBlocks):
        return X
    if not is_array(X) and all(hasattr(X, name) for name in ("shape", "dtype", "chunks")):
        return None if hasattr(X, "__dask_graph__") else ArrayBlocks(X)
    if not isinstance(X, np.ndarray) or not is_plain(np.asarray(X)):
        return None
    if device is not None and device.startswith("cuda"):
        place = resolve(device, X, work)
        if room_for(X.shape, X.dtype.itemsize) > free_bytes(place):
            return ArrayBlocks(X)
    elif device in (None, "cpu") and isinstance(X, np.memmap):
        most = free_memory() // 2 if memory_budget is None else memory_budget
        if X.nbytes > most:
            return ArrayBlocks(X)
    return None


def opened(
    data: RowBlocks, place: Place, sample_weight: Any = None
) -> tuple[Stream, np.ndarray | None, float]:
    """A source of these blocks at a place; weights and factor of `relative_weights`."""
    n = data.n_samples
    if n is None:
        n = len(sample_weight) if hasattr(sample_weight, "__len__") else 1
    weight, factor = relative_weights(sample_weight, n, HOST)
    block_rows = None
    if place.on_gpu:
        size = max(LEAST_PIECE, min(PIECE_BYTES, free_bytes(place) // 16))
        block_rows = max(1, size // (data.n_features * data.dtype.itemsize))
    return Stream(data, place, weight, block_rows), weight, factor


def of_the_loss(data: RowBlocks, loss: Loss) -> RowBlocks:
    """The blocks as the loss takes them: rows of length 1, made anew in every pass, or as is."""
    if not loss.unit:
        return data

    def divided() -> Iterator[np.ndarray]:
        first = 0
        for block in data.blocks():
            with np.errstate(invalid="ignore"):  # NaN is found, and named, by the first pass
                yield unit_rows(block, first=first)
            first += len(block)

    return RowBlocks(divided, n_samples=data.n_samples)


def like(data: RowBlocks) -> np.ndarray:
    """An array of the shape and dtype of the data that takes no memory."""
    shape = data.n_samples or 0, data.n_features
    return np.broadcast_to(np.zeros(1, data.dtype), shape)


def labels_of_all(
    source: Source, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> np.ndarray:
    """The nearest centre of every row, (n_samples,), int32."""
    return named(source, lambda: source.rowwise(_labels, centers, loss, memory_budget))


def distances_of_all(
    source: Source, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> np.ndarray:
    """The distance of every row to every centre, (n_samples, n_clusters)."""
    return named(source, lambda: source.rowwise(_distances, centers, loss, memory_budget))


def costs_of_all(
    source: Source, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> np.ndarray:
    """The cost of every row at its nearest centre, (n_samples,), float64."""
    return named(source, lambda: source.rowwise(_host_costs, centers, loss, memory_budget))


def loss_of_all(
    source: Source, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> float:
    """Weighted costs of all rows at their nearest centres."""
    return float(sum(named(source, lambda: source.map(_loss, centers, loss, memory_budget))))


def _labels(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> np.ndarray:
    return to_host(_nearest(block, centers, loss, memory_budget)[0])


def _distances(
    block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> np.ndarray:
    check_finite(block)
    at = asarray(centers, place_of(block.rows))
    found = reported_distances(block.rows, at, loss, memory_budget)
    check_distances(found)
    return to_host(found)


def _costs(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    labels, at = _nearest(block, centers, loss, memory_budget)
    return costs_at(block.rows, at, labels, loss, memory_budget)


def _host_costs(
    block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> np.ndarray:
    return to_host(_costs(block, centers, loss, memory_budget))


def _loss(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> float:
    return float(weighted_sum(_costs(block, centers, loss, memory_budget), block.weight))


def _nearest(
    block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> tuple[Array, Array]:
    check_finite(block)
    at = asarray(centers, place_of(block.rows))
    return nearest(block.rows, at, loss, memory_budget), at
