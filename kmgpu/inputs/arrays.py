"""Rows in one array."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from kmgpu.algorithm.ahead import compile_beside
from kmgpu.algorithm.assignment import costs_at, nearest, weighted_sum
from kmgpu.algorithm.plan import ArrayData
from kmgpu.algorithm.sphere import reported_distances
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import (
    HOST,
    Array,
    Place,
    adopted,
    asarray,
    compute_dtype,
    is_array,
    namespace,
    place_of,
)
from kmgpu.backend.blocks import falling_back, working_at
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import borrowed, resolve
from kmgpu.backend.host_data import host_numbers
from kmgpu.backend.layout import arranged
from kmgpu.backend.sparse import canonical
from kmgpu.backend.upload import uploaded
from kmgpu.callbacks import Watch
from kmgpu.inputs.base import Fitted, fitted_at, progress_of, with_labels
from kmgpu.inputs.sampling import best_of
from kmgpu.kernels.compilation import COMPILATION
from kmgpu.kernels.dispatch import remark
from kmgpu.parameters import plan_of
from kmgpu.sources.whole import Whole
from kmgpu.validation import (
    check_device_array,
    check_distances,
    check_finite,
    check_n_clusters,
    is_host_data,
    is_plain,
)
from kmgpu.weights import relative_weights

T = TypeVar("T")


class ArrayInput:
    """Rows in one array, `x`; they are computed on at `place`, and results go `home`."""

    def __init__(self, estimator: Any, X: Any, work: Work, *, reset: bool) -> None:
        given = adopted(X)
        self.home = place_of(given) if is_array(given) else HOST
        x = borrowed(given)
        if is_host_data(x) and not is_plain(x):
            x = host_numbers(x, "X", partial(validate_data, estimator, reset=reset))
            x = canonical(x) if issparse(x) else x
        else:
            check_device_array(x, "X")
            validate_data(estimator, x, skip_check_array=True, reset=reset)
        self.x, self.place = x, resolve(estimator.device, x, work)
        self._estimator = estimator

    def fit(self, sample_weight: Any, watch: Watch) -> Fitted:
        check_n_clusters(self._estimator.n_clusters, self.x.shape[0])

        def fitted(x: Array) -> Fitted:
            estimator, place = self._estimator, place_of(x)
            progress = progress_of(estimator)
            beside = partial(
                compile_beside, x, estimator.n_clusters, estimator.loss, estimator.init
            )
            with COMPILATION.told(progress.say, beside):
                if said := remark(x):
                    progress.say(said)
                dtype = compute_dtype(x)
                x, budget = arranged(self._of_the_loss(x), estimator.memory_budget)
                check_finite(x, "X")
                weight, factor = relative_weights(sample_weight, x.shape[0], place)
                plan = plan_of(estimator, x, dtype, budget, factor, progress, watch)
                data, source = ArrayData(x, weight), Whole(x, weight)
                best = best_of(data, source, plan, estimator.max_samples)
                if best.last.labels is None:
                    centers = namespace(x).astype(best.last.centers, namespace(x).float64)
                    labels = nearest(x, centers, estimator.loss, budget)
                    best = with_labels(best, labels)
            return fitted_at(best, plan.n_init, self.home, place)

        return self._at_place(fitted)

    def labels(self) -> Array:
        loss, budget = self._estimator.loss, self._estimator.memory_budget
        return self._with_centers(partial(nearest, loss=loss, memory_budget=budget))

    def distances(self) -> Array:
        loss, budget = self._estimator.loss, self._estimator.memory_budget

        def found(x: Array, centers: Array) -> Array:
            found = reported_distances(x, centers, loss, budget)
            check_distances(found)
            return found

        return self._with_centers(found)

    def costs(self) -> Array:
        loss, budget = self._estimator.loss, self._estimator.memory_budget

        def found(x: Array, centers: Array) -> Array:
            labels = nearest(x, centers, loss, budget)
            return costs_at(x, centers, labels, loss, budget)

        return self._with_centers(found)

    def loss(self, sample_weight: Any) -> float:
        loss, budget = self._estimator.loss, self._estimator.memory_budget

        def found(x: Array, centers: Array) -> float:
            weight, factor = relative_weights(sample_weight, x.shape[0], place_of(x))
            labels = nearest(x, centers, loss, budget)
            costs = costs_at(x, centers, labels, loss, budget)
            return factor * loss.factor * float(weighted_sum(costs, weight))

        return self._with_centers(found)

    def _with_centers(self, function: Callable[[Array, Array], Any]) -> Any:
        """`function` of the rows and the float64 centres beside them; an array goes home."""

        def found(x: Array) -> Any:
            check_finite(x, "X")
            centers = asarray(self._estimator.cluster_centers_, place_of(x), namespace(x).float64)
            result = function(self._of_the_loss(x), centers)
            return asarray(result, self.home) if is_array(result) else result

        return self._at_place(found)

    def _of_the_loss(self, x: Array) -> Array:
        """The rows as the loss takes them: of length 1, in a copy, or as they are."""
        if not self._estimator.loss.unit:
            return x
        check_finite(x, "X")
        return unit_rows(x, memory_budget=self._estimator.memory_budget)

    def _at_place(self, function: Callable[[Array], T]) -> T:
        """`function` of the rows where they are computed on, or at home where they do not fit."""
        given = place_of(self.x)

        def found(place: Place) -> T:
            with working_at(place, self.x, self._estimator.n_clusters):
                return function(self.x if place == given else uploaded(self.x, place))

        return falling_back(self._estimator.device, self.place, given, found)
