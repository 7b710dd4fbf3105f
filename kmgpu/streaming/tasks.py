"""What a pass asks of every block: functions of a block, pure but for what is kept beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.assignment import costs_at, weighted_sum
from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import Array, asarray, namespace, place_of, to_host
from kmgpu.sources.base import Block
from kmgpu.streaming.changes import Change, change_of
from kmgpu.streaming.labels import Labelling, labels_of
from kmgpu.streaming.statistics import Brackets, Cells, Moments, cells, moments


class Task(NamedTuple):
    """What a block is asked for: the same for all blocks of a pass.

    Attributes
    ----------
    loss : Loss
    memory_budget : int or None
        Bytes for temporary arrays.
    room : float
        Bytes a row that may be kept beside the blocks.
    """

    loss: Loss
    memory_budget: int | None
    room: float


def _labels(block: Block, labelling: Labelling, task: Task) -> Array:
    return labels_of(block, labelling, task.loss, task.memory_budget, task.room)


def labels_in_block(block: Block, labelling: Labelling, task: Task) -> np.ndarray:
    """Labels of a block, on the host."""
    return to_host(_labels(block, labelling, task))


def costs_in_block(
    block: Block, labelling: Labelling, task: Task, centers: np.ndarray | None = None
) -> np.ndarray:
    """Cost of every row at the centre of its label: of `centers`, or of those assigned to."""
    labels = _labels(block, labelling, task)
    at = asarray(labelling.centers if centers is None else centers, place_of(block.rows))
    return to_host(costs_at(block.rows, at, labels, task.loss, task.memory_budget))


def loss_in_block(block: Block, labelling: Labelling, task: Task, centers: np.ndarray) -> float:
    """Weighted costs of a block at the centres of its labels among `centers`."""
    costs = costs_in_block(block, labelling, task, centers)
    return float(weighted_sum(costs, None if block.weight is None else to_host(block.weight)))


def costliest_in_block(
    block: Block, labelling: Labelling, task: Task, n_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, weighted costs and labels of the costliest rows; the lowest number of equals."""
    costs = costs_in_block(block, labelling, task)
    if block.weight is not None:
        costs = costs * to_host(block.weight)
    order = np.argsort(-costs, kind="stable")[:n_rows]
    return block.start + order, costs[order], labels_in_block(block, labelling, task)[order]


def moments_of_block(
    block: Block, labelling: Labelling, before: Labelling | None, task: Task
) -> tuple[int, Moments]:
    """How many labels of a block have changed, and its moments."""
    labels, changed = _relabelled(block, labelling, before, task)
    centers = asarray(labelling.centers, place_of(block.rows))
    found = moments(block.rows, centers, labels, block.weight, task.loss, task.memory_budget)
    return changed, Moments(*found)


def change_of_block(block: Block, labelling: Labelling, before: Labelling, task: Task) -> Change:
    """What the rows of a block whose labels have changed mean for its moments."""
    old, labels = (_labels(block, at, task) for at in (before, labelling))
    centers, weight = labelling.centers, block.weight
    return change_of(block.rows, centers, old, labels, weight, task.memory_budget)


def cells_of_block(
    block: Block, labelling: Labelling, before: Labelling | None, task: Task, brackets: Brackets
) -> tuple[int, Cells]:
    """How many labels of a block have changed, and the cells of its values."""
    labels, changed = _relabelled(block, labelling, before, task)
    centers = asarray(labelling.centers, place_of(block.rows))
    found: Any = cells(
        block.rows, centers, labels, block.weight, brackets, task.loss, task.memory_budget
    )
    return changed, Cells(Moments(*found[0]), *found[1:]).at_most(brackets.most)


def _relabelled(
    block: Block, labelling: Labelling, before: Labelling | None, task: Task
) -> tuple[Array, int]:
    """The labels, and how many rows of positive weight had another one `before`, as assigned."""
    if before is None:
        labels = _labels(block, labelling, task)
        n = labels.shape[0] if block.weight is None else int((block.weight > 0).sum())
        return labels, n
    old = _labels(block, before._replace(moved=()), task)
    labels = _labels(block, labelling, task)
    changed = labels != old
    if block.weight is not None:
        changed = namespace(labels).logical_and(changed, block.weight > 0)
    return labels, int(namespace(labels).count_nonzero(changed))


def merged_moments(a: tuple[int, Moments], b: tuple[int, Moments]) -> tuple[int, Moments]:
    """These rows and those after them."""
    return a[0] + b[0], a[1].and_then(b[1])


def merged_cells(most: int, a: tuple[int, Cells], b: tuple[int, Cells]) -> tuple[int, Cells]:
    """These rows and those after them."""
    return a[0] + b[0], a[1].and_then(b[1]).at_most(most)
