"""The loop as a scikit-learn estimator, whatever the loss; the choice of a device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Self

from scipy.sparse import issparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from kmgpu import dask
from kmgpu.algorithm.assignment import costs_at, distances, nearest, weighted_sum
from kmgpu.algorithm.losses import Loss
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
    place_of,
)
from kmgpu.backend.blocks import working_at
from kmgpu.backend.devices import borrowed, device_name, resolve
from kmgpu.backend.host_data import host_numbers
from kmgpu.backend.layout import arranged
from kmgpu.backend.sparse import canonical
from kmgpu.kernels.compilation import COMPILATION
from kmgpu.parameters import check_parameters, plan_of
from kmgpu.validation import (
    check_device_array,
    check_distances,
    check_finite,
    check_memory_budget,
    check_n_clusters,
    is_host_data,
    is_plain,
    relative_weights,
)

# what `partial_fit` leaves behind and a whole fit does not
OF_BATCHES = ("n_steps_", "_running")


class AlternatingMinimizer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """Everything of an estimator but its loss; parameters and attributes are those of `KMeans`."""

    loss: ClassVar[Loss]

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        empty_cluster: str = "farthest",
        device: str | None = None,
        memory_budget: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.empty_cluster = empty_cluster
        self.device = device
        self.memory_budget = memory_budget
        self.progress = progress

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Cluster the rows of `X`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            NumPy, CuPy, PyTorch or another Array API array, a list, a frame, or a SciPy sparse
            matrix (CSR is best; it is not made dense). Finite; float16 to float64, integer or
            boolean. Never written to. Copied only to reach another device, or once where it is not
            float32 or float64 in C order and the copy fits the budget.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative. A row of zero weight gets a label and has no other effect.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For bad input; the message names the argument, the value and the remedy.
        RuntimeError
            When the device asked for cannot be used.
        """
        del y
        with self._unchanged_by_errors():
            check_parameters(self)
            progress = Progress(
                type(self).__name__, self.max_iter, bool(self.verbose), bool(self.progress)
            )
            if dask.is_dask(X):
                best, home = dask.fitted(self, X, sample_weight, progress)
                place, labels = home, best.last.labels
            else:
                best, home, place = self._fit_array(X, sample_weight, progress)
                labels = asarray(best.last.labels, home)
            centers, counts = asarray(best.last.centers, home), asarray(best.weights, home)
            self.cluster_centers_, self.labels_, self.counts_ = centers, labels, counts
            for name in OF_BATCHES:
                self.__dict__.pop(name, None)
            self.device_ = device_name(place)
            self.inertia_ = best.loss
            self.n_iter_ = best.last.iteration
            self.converged_ = best.last.stop != "max_iter"
            self.history_ = best.history
            self.n_relocated_ = sum(entry.n_relocated for entry in best.history)
            self._n_features_out = self.n_clusters
            self._warn_of_duplicates(best.n_found)
        return self

    def _fit_array(
        self, X: Any, sample_weight: Any, progress: Progress
    ) -> tuple[Restart, Place, Place]:
        """Fit one array; the result, where results go, and where they were computed."""
        X, home, place = self._check_x(X, reset=True)
        check_n_clusters(self.n_clusters, X.shape[0])
        with working_at(place, X, self.n_clusters), COMPILATION.told(progress.say):
            x = X if place == place_of(X) else asarray(X, place)
            dtype = compute_dtype(x)
            x, budget = arranged(x, self.memory_budget)
            check_finite(x, "X")
            weight, factor = relative_weights(sample_weight, X.shape[0], place)
            plan = plan_of(self, x, dtype, budget, factor, progress)
            self._n_init = plan.n_init
            return best_restart(ArrayData(x, weight), plan), home, place

    def predict(self, X: Any) -> Array:
        """Index of the nearest centre of every row of `X`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        array of shape (n_samples,), int32
            Where `X` is. Ties go to the lowest index. For the data of the fit, `labels_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input, such as another number of features.
        """
        if dask.is_dask(X):
            return dask.predicted(self, X)
        with self._at_work(X) as (x, centers, home):
            return asarray(nearest(x, centers, self.loss, self.memory_budget), home)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """``fit(X, sample_weight=sample_weight).labels_``."""
        return self.fit(X, y, sample_weight=sample_weight).labels_

    def transform(self, X: Any) -> Array:
        """Distance of every row of `X` to every centre.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            As for `fit`.

        Returns
        -------
        array of shape (n_samples, n_clusters)
            Euclidean distances for k-means, Manhattan distances for k-medians, in the units of the
            data. They are computed in float64 and returned where `X` is, in its floating dtype
            (float32 for float16, float64 for integers). The first of a row's smallest distances is
            that of its label.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input, and where the dtype does not hold a distance.
        """
        if dask.is_dask(X):
            return dask.transformed(self, X)
        with self._at_work(X) as (x, centers, home):
            found = distances(x, centers, self.loss, self.memory_budget)
            check_distances(found)
            return asarray(found, home)

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """``fit(X, sample_weight=sample_weight).transform(X)``."""
        return self.fit(X, y, sample_weight=sample_weight).transform(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the loss of `X` at the fitted centres, so that greater is better.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            As for `fit`.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            As for `fit`.

        Returns
        -------
        float
            -Σ weight × cost at the nearest centre, accumulated in float64; squared units of the
            data for k-means, plain ones for k-medians.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input.
        """
        del y
        if dask.is_dask(X):
            return -dask.loss_of(self, X, sample_weight)
        with self._at_work(X) as (x, centers, _):
            weight, factor = relative_weights(sample_weight, x.shape[0], place_of(x))
            labels = nearest(x, centers, self.loss, self.memory_budget)
            costs = costs_at(x, centers, labels, self.loss, self.memory_budget)
            return -factor * float(weighted_sum(costs, weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """Leave the estimator as it was where the ``with`` block raises."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_x(self, X: Any, *, reset: bool) -> tuple[Array, Place, Place]:
        """`X` (NaN and infinity still unchecked), where results go, and where to compute."""
        given = adopted(X)
        home = place_of(given) if is_array(given) else HOST
        x = borrowed(given)
        if is_host_data(x) and not is_plain(x):
            x = host_numbers(x, "X", partial(validate_data, self, reset=reset))
            x = canonical(x) if issparse(x) else x
        else:
            check_device_array(x, "X")
            validate_data(self, x, skip_check_array=True, reset=reset)
        return x, home, resolve(self.device, x)

    @contextmanager
    def _at_work(self, X: Any) -> Iterator[tuple[Array, Array, Place]]:
        """`X` and the float64 centres where they are computed on, and where results go."""
        check_is_fitted(self)
        check_memory_budget(self.memory_budget)
        X, home, place = self._check_x(X, reset=False)
        with working_at(place, X, self.n_clusters):
            x = X if place == place_of(X) else asarray(X, place)
            check_finite(x, "X")
            yield x, asarray(self.cluster_centers_, place, place.xp.float64), home

    def _warn_of_duplicates(self, n_found: int) -> None:
        if n_found < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({n_found}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=3,
            )
