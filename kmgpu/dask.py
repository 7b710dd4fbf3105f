"""Estimators on Dask's arrays and frames: a fit by passes over chunks, results that are lazy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from kmgpu.algorithm.assignment import costs_at, distances, nearest, weighted_sum
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.progress import Progress
from kmgpu.algorithm.restarts import Plan, Restart, best_restart
from kmgpu.algorithm.steps import Steps
from kmgpu.backend.arrays import HOST, Array, Place, asarray, compute_dtype, place_of, to_host
from kmgpu.backend.blocks import working_at
from kmgpu.kernels.compilation import COMPILATION
from kmgpu.parameters import plan_of
from kmgpu.sources.base import Block
from kmgpu.streaming.fit import StreamedData
from kmgpu.streaming.steps import StreamedSteps
from kmgpu.streaming.survey import survey
from kmgpu.validation import (
    check_distances,
    check_finite,
    check_memory_budget,
    check_n_clusters,
)


def is_dask(x: Any) -> bool:
    """Whether `x` is an array or a frame of Dask; nothing is imported for that."""
    return hasattr(x, "__dask_graph__") and (
        hasattr(x, "map_blocks") or hasattr(x, "map_partitions")
    )


def fitted(estimator: Any, X: Any, sample_weight: Any, progress: Progress) -> tuple[Restart, Place]:
    """The best restart, whose labels are lazy, and where its arrays are.

    Parameters
    ----------
    estimator : AlternatingMinimizer
    X : dask.array.Array or dask.dataframe.DataFrame
    sample_weight : array-like of shape (n_samples,), or None
        Of any kind, Dask's too.
    progress : Progress
    """
    source = _source(estimator, X, sample_weight, reset=True)
    loss, budget = estimator.loss, estimator.memory_budget
    try:
        x = np.broadcast_to(np.zeros(1, source.dtype), (source.n_samples, source.n_features))
        check_n_clusters(estimator.n_clusters, len(x))
        with working_at(HOST, x, estimator.n_clusters), COMPILATION.told(progress.say):
            data = _LazyData(source, survey(source, loss, budget))
            plan = plan_of(estimator, x, compute_dtype(x), budget, source.weight_factor, progress)
            estimator._n_init = plan.n_init
            best = best_restart(data, plan)
    finally:
        source.close()
    # the rows without their weights, of which labels do not depend
    rows = _source(estimator, X, None, reset=False)
    labels = rows.rowwise(_labels, _centers(best.last.centers), loss, budget)
    last = replace(best.last, labels=labels)
    home = place_of(rows.array._meta)
    return best._replace(last=last), home


def predicted(estimator: Any, X: Any) -> Array:
    """The nearest centre of every row, in the chunks of `X`; lazy."""
    source = _opened(estimator, X)
    centers = _centers(estimator.cluster_centers_)
    return source.rowwise(_labels, centers, estimator.loss, estimator.memory_budget)


def transformed(estimator: Any, X: Any) -> Array:
    """The distance of every row to every centre, in the chunks of `X`; lazy."""
    source = _opened(estimator, X)
    centers = _centers(estimator.cluster_centers_)
    return source.rowwise(_distances, centers, estimator.loss, estimator.memory_budget)


def loss_of(estimator: Any, X: Any, sample_weight: Any) -> float:
    """The loss of `X` at the fitted centres."""
    source = _opened(estimator, X, sample_weight)
    centers = _centers(estimator.cluster_centers_)
    try:
        total = source.fold(_loss, _sum, centers, estimator.loss, estimator.memory_budget)
        return source.weight_factor * float(total)
    finally:
        source.close()


class _LazyData(StreamedData):
    """`StreamedData` whose labels are left where the rows are."""

    def begin(self, plan: Plan) -> tuple[Steps, float]:  # type: ignore[override]
        steps, tol = super().begin(plan)
        return _LazySteps(steps), tol


class _LazySteps:
    """The half-steps of `StreamedSteps`, which are asked for no labels."""

    labels = np.empty(0, np.int32)

    def __init__(self, steps: StreamedSteps) -> None:
        self._steps = steps
        self.assign, self.refit, self.move = steps.assign, steps.refit, steps.move
        self.costs, self.costliest = steps.costs, steps.costliest

    @property
    def sizes(self) -> np.ndarray:
        return self._steps.sizes


def _opened(estimator: Any, X: Any, sample_weight: Any = None) -> Any:
    check_is_fitted(estimator)
    check_memory_budget(estimator.memory_budget)
    return _source(estimator, X, sample_weight, reset=False)


def _source(estimator: Any, X: Any, sample_weight: Any, *, reset: bool) -> Any:
    """The rows as a source; names and number of features are checked."""
    from kmgpu.sources.dask import DaskRows

    source = DaskRows(X, sample_weight, estimator.device)
    like = X._meta if hasattr(X, "columns") else np.empty((0, source.n_features))
    validate_data(estimator, like, skip_check_array=True, reset=reset)
    return source


def _centers(centers: Array) -> np.ndarray:
    return np.asarray(to_host(centers), np.float64)


def _labels(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    return _nearest(block, centers, loss, memory_budget)[0]


def _distances(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> Array:
    check_finite(block.rows, f"X (block {block.index})")
    at = asarray(centers, place_of(block.rows))
    found = distances(block.rows, at, loss, memory_budget)
    check_distances(found)
    return found


def _loss(block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None) -> float:
    labels, at = _nearest(block, centers, loss, memory_budget)
    costs = costs_at(block.rows, at, labels, loss, memory_budget)
    return float(weighted_sum(costs, block.weight))


def _nearest(
    block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> tuple[Array, Array]:
    check_finite(block.rows, f"X (block {block.index})")
    at = asarray(centers, place_of(block.rows))
    return nearest(block.rows, at, loss, memory_budget), at


def _sum(a: float, b: float) -> float:
    return a + b
