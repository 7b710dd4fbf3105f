"""Estimators on Dask's arrays and frames: a fit by passes over chunks, results that are lazy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from kmgpu.algorithm.assignment import costs_at, nearest, weighted_sum
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.restarts import Plan, best_restart
from kmgpu.algorithm.sphere import reported_distances
from kmgpu.algorithm.steps import Steps
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import HOST, Array, adopted, asarray, compute_dtype, place_of, to_host
from kmgpu.backend.blocks import working_at
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import resolve
from kmgpu.inputs.base import Fitted, progress_of
from kmgpu.kernels.compilation import COMPILATION
from kmgpu.parameters import plan_of
from kmgpu.sources.base import Block
from kmgpu.streaming.fit import StreamedData
from kmgpu.streaming.survey import survey
from kmgpu.validation import (
    check_distances,
    check_finite,
    check_n_clusters,
)


def is_dask(x: Any) -> bool:
    """Whether `x` is an array or a frame of Dask; nothing is imported for that."""
    return hasattr(x, "__dask_graph__") and (
        hasattr(x, "map_blocks") or hasattr(x, "map_partitions")
    )


class DaskInput:
    """An array or a frame of Dask; results of a row are lazy, in its chunks."""

    def __init__(self, estimator: Any, X: Any, work: Work, *, reset: bool) -> None:
        self._estimator, self._x = estimator, X
        self._place_for = partial(resolve, estimator.device, work=work)
        self._source(None, reset=reset)

    def fit(self, sample_weight: Any) -> Fitted:
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
                plan = plan_of(estimator, x, compute_dtype(x), budget, factor, progress)
                best = best_restart(data, plan)
        finally:
            source.close()
        # the rows without their weights, of which labels do not depend
        rows = self._source(None)
        labels = rows.rowwise(_labels, _on_host(best.last.centers), loss, budget)
        home = place_of(rows.array._meta)
        centers, counts = asarray(best.last.centers, home), asarray(best.weights, home)
        return Fitted(best, plan.n_init, centers, labels, counts, home)

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
            return factor * float(source.fold(_loss, _sum, *self._model()))
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

    def begin(self, plan: Plan) -> tuple[Steps, float]:
        steps, tol = super().begin(plan)
        return _LazySteps(steps), tol


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


def _unit_chunk(chunk: Array) -> Array:
    """Rows of length 1; NaN is found, and named, by the first pass."""
    with np.errstate(invalid="ignore"):
        return unit_rows(adopted(chunk), "a chunk of X")


def _on_host(centers: Array) -> np.ndarray:
    return np.asarray(to_host(centers), np.float64)


def _labels(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    return _nearest(block, centers, loss, memory_budget)[0]


def _distances(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    check_finite(block.rows, f"X (block {block.index})")
    at = asarray(centers, place_of(block.rows))
    found = reported_distances(block.rows, at, loss, memory_budget)
    check_distances(found)
    return found


def _costs(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    labels, at = _nearest(block, centers, loss, memory_budget)
    return costs_at(block.rows, at, labels, loss, memory_budget)


def _loss(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> float:
    return float(weighted_sum(_costs(block, centers, loss, memory_budget), block.weight))


def _nearest(
    block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> tuple[Array, Array]:
    check_finite(block.rows, f"X (block {block.index})")
    at = asarray(centers, place_of(block.rows))
    return nearest(block.rows, at, loss, memory_budget), at


def _sum(a: float, b: float) -> float:
    return a + b
