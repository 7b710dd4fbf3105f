"""Labels of a block: kept beside it while they hold, found again where they are gone."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.assignment import nearest
from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import Array, asarray, namespace, place_of, to_host
from kmgpu.kernels.dispatch import replaceable
from kmgpu.sources.base import Block


class Labelling(NamedTuple):
    """What the labels of all rows follow from.

    Attributes
    ----------
    token : int
        Another one for all other centres; labels that are kept, before any move, bear it.
    centers : ndarray of shape (n_clusters, n_features), float64
        Every row belongs to the nearest of these,
    moved : tuple of (row, cluster)
        but for rows that were moved since.
    """

    token: int
    centers: np.ndarray
    moved: tuple[tuple[int, int], ...] = ()


def labels_of(
    block: Block, labelling: Labelling, loss: Loss, memory_budget: int | None, room: float
) -> Array:
    """Labels of the rows of a block, (m,) int32, beside its rows.

    They are kept on the host; so are bounds that save distances next time, of at most `room` bytes
    a row.
    """
    place = place_of(block.rows)
    token, kept = block.cache.get("labels", (None, None))
    if token == labelling.token:
        labels = asarray(kept, place)
    else:
        centers, bytes_kept = asarray(labelling.centers, place), int(room * block.rows.shape[0])
        labels = nearest_again(block.rows, centers, loss, block.cache, bytes_kept, memory_budget)
        block.cache["labels"] = labelling.token, to_host(labels)
    stop = block.start + block.rows.shape[0]
    moved = [(row - block.start, j) for row, j in labelling.moved if block.start <= row < stop]
    if moved:
        labels = namespace(labels).asarray(labels, copy=True)
        for row, cluster in moved:
            labels[row] = cluster
    return labels


@replaceable
def nearest_again(
    x: Array,
    centers: Array,
    loss: Loss,
    kept: MutableMapping[str, Any],
    room: int,
    memory_budget: int | None = None,
) -> Array:
    """The nearest centre of every row, as `kmgpu.algorithm.assignment.nearest` finds it.

    A kernel may keep up to `room` bytes of bounds in `kept`, for its next call with these rows.
    """
    del kept, room
    return nearest(x, centers, loss, memory_budget)
