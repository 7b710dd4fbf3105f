"""Estimators on Dask's arrays and frames: a fit by passes over chunks, results that are lazy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from kmgpu.algorithm.assignment import costs_at, nearest
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.plan import Plan
from kmgpu.algorithm.sphere import reported_distances
from kmgpu.algorithm.steps import Steps, cluster_weights
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import HOST, Array, adopted, asarray, compute_dtype, place_of, to_host
from kmgpu.backend.blocks import working_at
from kmgpu.backend.cards import Work, cpu_seconds
from kmgpu.backend.devices import resolve
from kmgpu.backend.threads import get_num_threads
from kmgpu.callbacks import Watch
from kmgpu.inputs.base import Fitted, progress_of
from kmgpu.inputs.sampling import best_of
from kmgpu.kernels.compilation import COMPILATION
from kmgpu.parameters import plan_of
from kmgpu.sources.base import Block
from kmgpu.streaming.door import loss_of_all
from kmgpu.streaming.fit import StreamedData
from kmgpu.streaming.survey import survey
from kmgpu.validation import (
    check_distances,
    check_finite,
    check_n_clusters,
)

LEAST_SECONDS = 0.1  # of a task, for the work of a scheduler not to matter


def is_dask(x: Any) -> bool:
    """Whether `x` is an array or a frame of Dask; nothing is imported for that."""
    return hasattr(x, "__dask_graph__") and (
        hasattr(x, "map_blocks") or hasattr(x, "map_partitions")
    )


class DaskInput:
    """An array or a frame of Dask; results of a row are lazy, in its chunks."""

    def __init__(self, estimator: Any, X: Any, work: Work, *, reset: bool) -> None:
        self._estimator, self._x, self._work = estimator, X, work
        self._place_for = partial(resolve, estimator.device, work=work)
        self._source(None, reset=reset)

    def fit(self, sample_weight: Any, watch: Watch) -> Fitted:
        estimator = self._estimator
        loss, budget = estimator.loss, estimator.memory_budget
        source = self._source(sample_weight)
        progress = progress_of(estimator)
        try:
            x = np.broadcast_to(np.zeros(1, source.dtype), (source.n_samples, source.n_features))
            check_n_clusters(estimator.n_clusters, len(x))
            with working_at(HOST, x, estimator.n_clusters), COMPILATION.told(progress.say):
                data = _LazyData(source, survey(source, loss, budget))
                factor = source.weight_factor
                plan = plan_of(estimator, x, compute_dtype(x), budget, factor, progress, watch)
                if said := _remark(source, self._work):
                    progress.say(said)
                best = best_of(data, source, plan, estimator.max_samples)
                devices = source.devices
        finally:
            source.close()
        # the rows without their weights, of which labels do not depend
        rows = self._source(None)
        labels = rows.rowwise(_labels, _on_host(best.last.centers), loss, budget)
        home = place_of(rows.array._meta)
        centers, counts = asarray(best.last.centers, home), asarray(best.weights, home)
        return Fitted(best, plan.n_init, centers, labels, counts, devices)

    def labels(self) -> Array:
        return self._rowwise(_labels)

    def distances(self) -> Array:
        return self._rowwise(_distances)

    def costs(self) -> Array:
        return self._rowwise(_costs)

    def loss(self, sample_weight: Any) -> float:
        source = self._source(sample_weight)
        try:
            factor = source.weight_factor * self._estimator.loss.factor
            return factor * loss_of_all(source, *self._model())
        finally:
            source.close()

    def _rowwise(self, function: Callable[..., Any]) -> Array:
        return self._source(None).rowwise(function, *self._model())

    def _model(self) -> tuple[np.ndarray, Loss, int | None]:
        """What the tasks know of a fitted estimator."""
        estimator = self._estimator
        return _on_host(estimator.cluster_centers_), estimator.loss, estimator.memory_budget

    def _source(self, sample_weight: Any, *, reset: bool = False) -> Any:
        """The rows as a source; names and number of features are checked."""
        from kmgpu.sources.dask import DaskRows

        of_chunk = _unit_chunk if self._estimator.loss.unit else None
        source = DaskRows(self._x, sample_weight, self._place_for, of_chunk)
        frame = hasattr(self._x, "columns")
        like = self._x._meta if frame else np.empty((0, source.n_features))
        validate_data(self._estimator, like, skip_check_array=True, reset=reset)
        return source


class _LazyData(StreamedData):
    """`StreamedData` whose labels are left where the rows are."""

    def engine(self, plan: Plan) -> Steps:
        return _LazySteps(super().engine(plan))


class _LazySteps:
    """The half-steps of `StreamedSteps`, which are asked for no labels."""

    labels = np.empty(0, np.int32)

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.assign, self.refit, self.move = steps.assign, steps.refit, steps.move
        self.costs, self.costliest = steps.costs, steps.costliest

    @property
    def sizes(self) -> np.ndarray:
        return self._steps.sizes

    @property
    def masses(self) -> np.ndarray:
        return cluster_weights(self._steps, None)


def _remark(source: Any, work: Work) -> str:
    """Where tasks are short for a scheduler, what to do; else empty."""
    n_tasks, n_rows = source.n_tasks, source.n_samples
    one = Work(work.n_clusters, work.squared)
    seconds = get_num_threads() * cpu_seconds((n_rows // n_tasks, source.n_features), one)
    if n_tasks == 1 or seconds >= LEAST_SECONDS:
        return ""
    return (
        f"An iteration is {n_tasks} tasks of about {1000 * seconds:.1g} ms, and a scheduler needs "
        f"about 1 ms for each. Larger chunks are faster, as is an array in memory where X fits."
    )


def _unit_chunk(chunk: Array) -> Array:
    """Rows of length 1; NaN is found, and named, by the first pass."""
    with np.errstate(invalid="ignore"):
        return unit_rows(adopted(chunk), "a chunk of X")


def _on_host(centers: Array) -> np.ndarray:
    return np.asarray(to_host(centers), np.float64)


def _labels(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    check_finite(block.rows, f"chunk {block.index} of X")
    at = asarray(centers, place_of(block.rows))
    return nearest(block.rows, at, loss, memory_budget)


def _distances(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    check_finite(block.rows, f"chunk {block.index} of X")
    at = asarray(centers, place_of(block.rows))
    found = reported_distances(block.rows, at, loss, memory_budget)
    check_distances(found)
    return found


def _costs(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    labels = _labels(block, centers, loss, memory_budget)
    at = asarray(centers, place_of(block.rows))
    return costs_at(block.rows, at, labels, loss, memory_budget)
