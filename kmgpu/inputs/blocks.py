"""Rows that are read block by block, by exact passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from kmgpu.backend.arrays import HOST, Array, compute_dtype, to_host
from kmgpu.backend.blocks import working_at
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import resolve
from kmgpu.callbacks import Watch
from kmgpu.inputs.base import Fitted, fitted_at, progress_of, with_labels
from kmgpu.inputs.sampling import best_of
from kmgpu.kernels.compilation import COMPILATION
from kmgpu.parameters import plan_of
from kmgpu.sources.row_blocks import RowBlocks
from kmgpu.streaming.door import (
    costs_of_all,
    distances_of_all,
    labels_of_all,
    like,
    loss_of_all,
    of_the_loss,
    opened,
)
from kmgpu.streaming.fit import StreamedData
from kmgpu.streaming.survey import survey
from kmgpu.validation import check_n_clusters


class BlocksInput:
    """Rows that are read block by block; results are on the host."""

    def __init__(self, estimator: Any, X: RowBlocks, work: Work, *, reset: bool) -> None:
        X = of_the_loss(X, estimator.loss)
        self._x = like(X)
        validate_data(estimator, self._x, skip_check_array=True, reset=reset)
        self._rows, self._place = X, resolve(estimator.device, self._x, work)
        self._estimator = estimator

    def fit(self, sample_weight: Any, watch: Watch) -> Fitted:
        estimator, budget = self._estimator, self._estimator.memory_budget
        progress = progress_of(estimator)
        with working_at(self._place, self._x, estimator.n_clusters), COMPILATION.told(progress.say):
            source, weight, factor = opened(self._rows, self._place, sample_weight)
            source.passing = progress.passing
            extent = survey(source, estimator.loss, budget)
            check_n_clusters(estimator.n_clusters, source.n_samples)
            dtype = compute_dtype(self._x)
            plan = plan_of(estimator, self._x, dtype, budget, factor, progress, watch)
            data = StreamedData(source, extent, weight)
            best = best_of(data, source, plan, estimator.max_samples)
            if best.last.labels is None:
                at = to_host(best.last.centers).astype(np.float64)
                best = with_labels(best, labels_of_all(source, at, estimator.loss, budget))
            return fitted_at(best, plan.n_init, HOST, self._place)

    def labels(self) -> Array:
        return self._over_blocks(labels_of_all)[0]

    def distances(self) -> Array:
        return self._over_blocks(distances_of_all)[0]

    def costs(self) -> Array:
        return self._over_blocks(costs_of_all)[0]

    def loss(self, sample_weight: Any) -> float:
        total, factor = self._over_blocks(loss_of_all, sample_weight)
        return factor * self._estimator.loss.factor * total

    def _over_blocks(
        self, function: Callable[..., Any], sample_weight: Any = None
    ) -> tuple[Any, float]:
        """``function(source, centers, loss, memory_budget)``, and the factor of the weights."""
        estimator = self._estimator
        with working_at(self._place, self._x, estimator.n_clusters):
            source, _, factor = opened(self._rows, self._place, sample_weight)
            centers = to_host(estimator.cluster_centers_).astype(np.float64)
            return function(source, centers, estimator.loss, estimator.memory_budget), factor
