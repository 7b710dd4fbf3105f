"""The engine over blocks: half-steps from small statistics of blocks, merged in their order."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.assignment import costs_at, weighted_sum
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.steps import CANCELLED
from kmgpu.backend.arrays import Array, asarray, namespace, place_of, to_host
from kmgpu.sources.base import Block, Source
from kmgpu.streaming.brackets import Sample
from kmgpu.streaming.labels import Labelling, labels_of
from kmgpu.streaming.medians import MedianSearch
from kmgpu.streaming.statistics import Brackets, Cells, Moments, cells, merged, moments

_tokens = count()


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


class StreamedSteps:
    """The half-steps of rows that are read block by block; see `kmgpu.algorithm.steps.Steps`.

    Centres are on the host, in float64. Labels stay with the blocks until they are asked for.

    Parameters
    ----------
    source : Source
    n_clusters : int
    task : Task
        Its loss is `L2` or `L1`.
    sample : Sample, optional
        Of the rows; k-medians needs it.
    most : int
        Values of rows that a refit of k-medians may hold.
    mass : float
        Weight of all rows.

    Attributes
    ----------
    looks : list of int
        For every refit, how often the rows were read for it and for the assignment before it.
    """

    def __init__(
        self,
        source: Source,
        n_clusters: int,
        task: Task,
        sample: Sample | None = None,
        most: int = 0,
        mass: float = 0.0,
    ) -> None:
        self._source, self._task, self._n_clusters = source, task, n_clusters
        self._sample, self._most, self._mass = sample, most, mass
        self._labelling: Labelling | None = None
        self._moments: Moments | None = None
        self._labels: np.ndarray | None = None
        self._search: MedianSearch | None = None
        self._cells: Cells | None = None
        self._known = np.inf
        self.looks: list[int] = []
        self._looked = 0

    @property
    def labels(self) -> Array | None:
        return self._labels

    def gathered_labels(self) -> Array:
        """Labels of all rows, (n_samples,), int32: another pass."""
        if self._labels is None:
            self._labels = self._source.rowwise(labels_in_block, self._labelling, self._task)
        return self._labels

    @property
    def sizes(self) -> np.ndarray:
        return self._statistics().counts

    @property
    def weights(self) -> np.ndarray:
        """Of the rows of each cluster, (n_clusters,) float64."""
        return self._statistics().mass

    def assign(
        self, centers: np.ndarray, refit_follows: bool = False, labels: Array | None = None
    ) -> tuple[float, int]:
        del labels
        centers = np.ascontiguousarray(centers, np.float64)
        before, self._labelling = self._labelling, Labelling(next(_tokens), centers)
        self._labels = self._cells = self._search = None
        brackets = None
        if refit_follows and self._sample is not None:
            self._search = self._begin_search(centers)
            brackets = self._search.brackets
        self._looked = 0
        changed, self._moments = self._look(before, brackets)
        self._known = self._moments.cost
        return self._known, changed

    def refit(self) -> tuple[np.ndarray, float, float]:
        assert self._labelling is not None
        centers, loss = self._labelling.centers, self._task.loss
        if self._sample is not None:
            found, value = self._medians(centers)
            gains = loss.cost(found - centers)
        else:
            statistics = self._statistics()
            held = (statistics.counts > 0)[:, None]
            mass = np.where(held, statistics.mass[:, None], 1.0)
            found = np.where(held, centers + statistics.sums / mass, centers)
            gains = loss.cost(found - centers)
            value = statistics.cost - float((statistics.mass * gains).sum())
        if not value > CANCELLED * self._known:
            value = self._loss_at(found)
        self.looks.append(self._looked)
        return found, value, float(gains.sum())

    def costs(self) -> Array:
        return self._source.rowwise(costs_in_block, self._labelling, self._task)

    def costliest(self, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows of largest weighted cost, their costs and labels; see `Steps.costliest`."""
        parts = self._source.map(costliest_in_block, self._labelling, self._task, n_rows)
        rows, costs, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(-costs, kind="stable")[:n_rows]
        return rows[order], costs[order], labels[order]

    def move(self, rows: list[int], clusters: list[int]) -> None:
        assert self._labelling is not None
        moved = dict(self._labelling.moved) | dict(zip(rows, clusters, strict=True))
        self._labelling = self._labelling._replace(moved=tuple(moved.items()))
        self._labels = self._moments = self._cells = None

    def _begin_search(self, centers: np.ndarray) -> MedianSearch:
        assert self._sample is not None
        masses = self._mass if self._source.weighted else None
        return MedianSearch(self._sample, centers, self._source.n_samples, self._most, masses)

    def _look(self, before: Labelling | None, brackets: Brackets | None) -> tuple[int, Moments]:
        """One pass: how many labels changed since `before`, and the statistics."""
        self._looked += 1
        arguments = self._labelling, before, self._task
        if brackets is None:
            return self._source.fold(moments_of_block, _merged_moments, *arguments)
        merge = partial(_merged_cells, brackets.most)
        changed, self._cells = self._source.fold(cells_of_block, merge, *arguments, brackets)
        return changed, self._cells.moments

    def _statistics(self) -> Moments:
        """The moments of the present labels; another pass where rows were moved."""
        if self._moments is None:
            brackets = None if self._search is None else self._search.brackets
            _, self._moments = self._look(self._labelling, brackets)
        return self._moments

    def _medians(self, centers: np.ndarray) -> tuple[np.ndarray, float]:
        if self._search is None:
            self._search, self._moments = self._begin_search(centers), None
        self._statistics()
        assert self._cells is not None

        def look(brackets: Brackets) -> Cells:
            self._look(self._labelling, brackets)
            assert self._cells is not None
            return self._cells

        return self._search.medians(self._cells, look)

    def _loss_at(self, centers: np.ndarray) -> float:
        self._looked += 1
        parts = self._source.map(loss_in_block, self._labelling, self._task, centers)
        return float(sum(parts))


def labels_in_block(block: Block, labelling: Labelling, task: Task) -> np.ndarray:
    """Labels of a block, on the host."""
    return to_host(labels_of(block, labelling, task.loss, task.memory_budget, task.room))


def costs_in_block(
    block: Block, labelling: Labelling, task: Task, centers: np.ndarray | None = None
) -> np.ndarray:
    """Cost of every row at the centre of its label: of `centers`, or of those assigned to."""
    labels = labels_of(block, labelling, task.loss, task.memory_budget, task.room)
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
    options = task.loss, task.memory_budget, task.room
    if before is None:
        labels = labels_of(block, labelling, *options)
        n = labels.shape[0] if block.weight is None else int((block.weight > 0).sum())
        return labels, n
    old = labels_of(block, before._replace(moved=()), *options)
    labels = labels_of(block, labelling, *options)
    changed = labels != old
    if block.weight is not None:
        changed = namespace(labels).logical_and(changed, block.weight > 0)
    return labels, int(namespace(labels).count_nonzero(changed))


def _merged_moments(a: tuple[int, Moments], b: tuple[int, Moments]) -> tuple[int, Moments]:
    return a[0] + b[0], merged([a[1], b[1]])


def _merged_cells(most: int, a: tuple[int, Cells], b: tuple[int, Cells]) -> tuple[int, Cells]:
    return a[0] + b[0], a[1].and_then(b[1]).at_most(most)
