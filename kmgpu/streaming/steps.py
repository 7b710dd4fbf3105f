"""The engine over blocks: half-steps from small statistics of blocks, merged in their order."""

from __future__ import annotations

from functools import partial
from itertools import count

import numpy as np

from kmgpu.backend.arrays import Array
from kmgpu.sources.base import Source
from kmgpu.streaming.brackets import MOST_EDGES, MOST_ON_GPU, Sample
from kmgpu.streaming.changes import FEW, Change, FollowedMoments
from kmgpu.streaming.labels import Labelling
from kmgpu.streaming.medians import MedianSearch
from kmgpu.streaming.statistics import Brackets, Cells, Moments
from kmgpu.streaming.tasks import (
    Task,
    cells_of_block,
    change_of_block,
    costliest_in_block,
    costs_in_block,
    labels_in_block,
    loss_in_block,
    merged_cells,
    merged_moments,
    moments_of_block,
)

_tokens = count()


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
        self._moments: FollowedMoments | None = None
        # whether the moments follow the rows that the next assignment relabels: where few did so
        # last, and never after rounding has shown, as looking in vain costs a pass
        self._few, self._trusted = False, sample is None
        self._labels: np.ndarray | None = None
        self._search: MedianSearch | None = None
        self._cells: Cells | None = None
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
    def masses(self) -> np.ndarray:
        """Weight of the rows of each cluster, (n_clusters,), float64."""
        assert self._labelling is not None
        cost = self._statistics().cost
        self._lose_moments(self._labelling.centers, cost)
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
        changed = self._follow(before)
        if changed is None:
            changed, self._moments = self._look(before, brackets)
        self._few = FEW * changed <= self._source.n_samples
        return self._statistics().cost, changed

    def refit(self) -> tuple[np.ndarray, float, float]:
        assert self._labelling is not None
        centers, loss = self._labelling.centers, self._task.loss
        found, value = self._medians(centers) if self._sample is not None else self._means(centers)
        assert self._moments is not None
        if self._moments.cancels(value):
            value = self._loss_at(found)
        self.looks.append(self._looked)
        return found, value, float(loss.cost(found - centers).sum())

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
        source = self._source
        mass = self._mass if source.weighted else None
        edges = MOST_ON_GPU if source.place.on_gpu else MOST_EDGES
        return MedianSearch(self._sample, centers, source.n_samples, self._most, mass, edges)

    def _follow(self, before: Labelling | None) -> int | None:
        """How many labels changed since `before`; None where all rows must be added up."""
        kept = self._moments
        if kept is None or before is None or before.moved or not (self._few and self._trusted):
            return None
        assert self._labelling is not None
        if kept.jumps(before.centers, self._labelling.centers):  # another restart
            return None
        self._looked += 1
        arguments = self._labelling, before, self._task
        change = self._source.fold(change_of_block, Change.and_then, *arguments)
        kept.follow(before.centers, self._labelling.centers, change)
        if kept.cancels(kept.total.cost):
            self._trusted = False
            return None
        return change.n_rows

    def _look(
        self, before: Labelling | None, brackets: Brackets | None
    ) -> tuple[int, FollowedMoments]:
        """One pass: how many labels changed since `before`, and the statistics."""
        self._looked += 1
        arguments = self._labelling, before, self._task
        if brackets is None:
            changed, total = self._source.fold(moments_of_block, merged_moments, *arguments)
            return changed, FollowedMoments(total)
        merge = partial(merged_cells, brackets.most)
        changed, self._cells = self._source.fold(cells_of_block, merge, *arguments, brackets)
        return changed, FollowedMoments(self._cells.moments)

    def _statistics(self) -> Moments:
        """The moments of the present labels; another pass where rows were moved."""
        if self._moments is None:
            brackets = None if self._search is None else self._search.brackets
            _, self._moments = self._look(self._labelling, brackets)
        return self._moments.total

    def _means(self, centers: np.ndarray) -> tuple[np.ndarray, float]:
        """Means of the clusters, and the loss there."""
        while True:
            cost, counts, mass, sums = self._statistics()
            held = (counts > 0)[:, None]
            found = centers + np.where(held, sums / np.where(held, mass[:, None], 1.0), 0.0)
            value = float(cost - (mass * self._task.loss.cost(found - centers)).sum())
            if not self._lose_moments(found, value):  # rounding may show at the means alone
                return found, value

    def _lose_moments(self, centers: np.ndarray, loss: float) -> bool:
        """Forget the moments if rounding may matter in them, at centres that have this loss."""
        assert self._moments is not None
        lost = self._moments.lost(centers, loss)
        if lost:
            self._moments, self._trusted = None, False
        return lost

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
