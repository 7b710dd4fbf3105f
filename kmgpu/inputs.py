"""What an estimator computes on: an array, or rows that are read block by block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from kmgpu.algorithm.assignment import costs_at, distances, nearest, weighted_sum
from kmgpu.algorithm.progress import Progress
from kmgpu.algorithm.restarts import ArrayData, Restart, best_restart
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
    to_host,
)
from kmgpu.backend.blocks import falling_back, working_at
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import borrowed, resolve
from kmgpu.backend.host_data import host_numbers
from kmgpu.backend.layout import arranged
from kmgpu.backend.sparse import canonical
from kmgpu.backend.upload import uploaded
from kmgpu.kernels.compilation import COMPILATION
from kmgpu.kernels.dispatch import remark
from kmgpu.parameters import plan_of
from kmgpu.sources.row_blocks import RowBlocks
from kmgpu.streaming.door import (
    distances_of_all,
    labels_of_all,
    like,
    loss_of_all,
    opened,
    streamed,
)
from kmgpu.streaming.fit import StreamedData
from kmgpu.streaming.survey import survey
from kmgpu.validation import (
    check_device_array,
    check_distances,
    check_finite,
    check_n_clusters,
    is_host_data,
    is_plain,
    relative_weights,
)

T = TypeVar("T")


class Fitted(NamedTuple):
    """What a fit has found: its best restart, whose arrays are where results go."""

    best: Restart
    n_init: int
    centers: Array
    labels: Array
    counts: Array
    place: Place


class Input(Protocol):
    """Rows whose shape, dtype and names are checked; parameters are those of an estimator."""

    def fit(self, sample_weight: Any) -> Fitted:
        """The best restart of the estimator's plan."""
        ...

    def labels(self) -> Array:
        """The nearest centre of every row, (n_samples,), int32."""
        ...

    def distances(self) -> Array:
        """The distance of every row to every centre, (n_samples, n_clusters)."""
        ...

    def loss(self, sample_weight: Any) -> float:
        """Weighted costs of all rows at their nearest centres."""
        ...


def input_of(estimator: Any, X: Any, work: Work, *, reset: bool) -> Input:
    """`X` as it is to be computed on.

    Parameters
    ----------
    estimator : AlternatingMinimizer
        It keeps the number and the names of the features if `reset`, else they are checked.
    X : array-like, sparse matrix, frame, RowBlocks or store
    work : Work
        By which ``device="auto"`` chooses.
    reset : bool

    Raises
    ------
    ValueError, TypeError
        For bad input, NaN and infinity excepted, which are met when the rows are read.
    """
    blocks = streamed(X, estimator.device, estimator.memory_budget, work)
    if blocks is None:
        return ArrayInput(estimator, X, work, reset=reset)
    return BlocksInput(estimator, blocks, work, reset=reset)


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

    def fit(self, sample_weight: Any) -> Fitted:
        check_n_clusters(self._estimator.n_clusters, self.x.shape[0])

        def fitted(x: Array) -> Fitted:
            estimator, place = self._estimator, place_of(x)
            progress = _progress(estimator)
            with COMPILATION.told(progress.say):
                if said := remark(x):
                    progress.say(said)
                dtype = compute_dtype(x)
                x, budget = arranged(x, estimator.memory_budget)
                check_finite(x, "X")
                weight, factor = relative_weights(sample_weight, x.shape[0], place)
                plan = plan_of(estimator, x, dtype, budget, factor, progress)
                best = best_restart(ArrayData(x, weight), plan)
            return _found(best, plan.n_init, self.home, place)

        return self._at_place(fitted)

    def labels(self) -> Array:
        loss, budget = self._estimator.loss, self._estimator.memory_budget
        return self._with_centers(partial(nearest, loss=loss, memory_budget=budget))

    def distances(self) -> Array:
        loss, budget = self._estimator.loss, self._estimator.memory_budget

        def found(x: Array, centers: Array) -> Array:
            found = distances(x, centers, loss, budget)
            check_distances(found)
            return found

        return self._with_centers(found)

    def loss(self, sample_weight: Any) -> float:
        loss, budget = self._estimator.loss, self._estimator.memory_budget

        def found(x: Array, centers: Array) -> float:
            weight, factor = relative_weights(sample_weight, x.shape[0], place_of(x))
            labels = nearest(x, centers, loss, budget)
            costs = costs_at(x, centers, labels, loss, budget)
            return factor * float(weighted_sum(costs, weight))

        return self._with_centers(found)

    def _with_centers(self, function: Callable[[Array, Array], Any]) -> Any:
        """`function` of the rows and the float64 centres beside them; an array goes home."""

        def found(x: Array) -> Any:
            check_finite(x, "X")
            centers = asarray(self._estimator.cluster_centers_, place_of(x), namespace(x).float64)
            result = function(x, centers)
            return asarray(result, self.home) if is_array(result) else result

        return self._at_place(found)

    def _at_place(self, function: Callable[[Array], T]) -> T:
        """`function` of the rows where they are computed on, or at home where they do not fit."""
        given = place_of(self.x)

        def found(place: Place) -> T:
            with working_at(place, self.x, self._estimator.n_clusters):
                return function(self.x if place == given else uploaded(self.x, place))

        return falling_back(self._estimator.device, self.place, given, found)


class BlocksInput:
    """Rows that are read block by block; results are on the host."""

    def __init__(self, estimator: Any, X: RowBlocks, work: Work, *, reset: bool) -> None:
        self._x = like(X)
        validate_data(estimator, self._x, skip_check_array=True, reset=reset)
        self._rows, self._place = X, resolve(estimator.device, self._x, work)
        self._estimator = estimator

    def fit(self, sample_weight: Any) -> Fitted:
        estimator, budget = self._estimator, self._estimator.memory_budget
        progress = _progress(estimator)
        with working_at(self._place, self._x, estimator.n_clusters), COMPILATION.told(progress.say):
            source, weight, factor = opened(self._rows, self._place, sample_weight)
            extent = survey(source, estimator.loss, budget)
            check_n_clusters(estimator.n_clusters, source.n_samples)
            plan = plan_of(estimator, self._x, compute_dtype(self._x), budget, factor, progress)
            best = best_restart(StreamedData(source, extent, weight), plan)
            return _found(best, plan.n_init, HOST, self._place)

    def labels(self) -> Array:
        return self._over_blocks(labels_of_all)[0]

    def distances(self) -> Array:
        return self._over_blocks(distances_of_all)[0]

    def loss(self, sample_weight: Any) -> float:
        total, factor = self._over_blocks(loss_of_all, sample_weight)
        return factor * total

    def _over_blocks(
        self, function: Callable[..., Any], sample_weight: Any = None
    ) -> tuple[Any, float]:
        """``function(source, centers, loss, memory_budget)``, and the factor of the weights."""
        estimator = self._estimator
        with working_at(self._place, self._x, estimator.n_clusters):
            source, _, factor = opened(self._rows, self._place, sample_weight)
            centers = to_host(estimator.cluster_centers_).astype(np.float64)
            return function(source, centers, estimator.loss, estimator.memory_budget), factor


def _progress(estimator: Any) -> Progress:
    name, most = type(estimator).__name__, estimator.max_iter
    return Progress(name, most, bool(estimator.verbose), bool(estimator.progress))


def _found(best: Restart, n_init: int, home: Place, place: Place) -> Fitted:
    arrays = best.last.centers, best.last.labels, best.weights
    centers, labels, counts = (asarray(array, home) for array in arrays)
    return Fitted(best, n_init, centers, labels, counts, place)
