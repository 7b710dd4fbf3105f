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

from kmgpu.algorithm.assignment import costs_at, distances, nearest, weighted_sum
from kmgpu.algorithm.lloyd import EMPTY_CLUSTER, HalfStep
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.restarts import Plan, best_run
from kmgpu.algorithm.seeding import METHODS
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
from kmgpu.validation import (
    check_choice,
    check_device_array,
    check_distances,
    check_finite,
    check_init_centers,
    check_integer,
    check_memory_budget,
    check_n_clusters,
    check_tol,
    is_host_data,
    is_plain,
    random_generator,
    relative_weights,
)

ALGORITHMS = {"lloyd": "auto", "auto": "auto", "dense": "dense", "elkan": "elkan"}
RESTARTS_OF_RANDOM_INIT = 10


class AlternatingMinimizer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """Everything of an estimator but its loss; parameters and attributes are those of `KMeans`."""

    _loss: ClassVar[Loss]

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
            boolean. Never written to, and not copied where its device is the one to compute on.
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
            self._check_params()
            X, home, place = self._check_x(X, reset=True)
            check_n_clusters(self.n_clusters, X.shape[0])
            with working_at(place, X, self.n_clusters), COMPILATION.told(self._say):
                x = X if place == place_of(X) else asarray(X, place)
                dtype = compute_dtype(x)
                x, budget = arranged(x, self.memory_budget)
                check_finite(x, "X")
                weight, factor = relative_weights(sample_weight, X.shape[0], place)
                best = best_run(x, weight, self._plan(x, place, dtype, budget, factor))
                centers, labels = (
                    asarray(array, home) for array in (best.last.centers, best.last.labels)
                )
            self.cluster_centers_, self.labels_ = centers, labels
            self.device_ = device_name(place)
            self.inertia_ = best.loss
            self.n_iter_ = best.last.iteration
            self.converged_ = best.last.stop != "max_iter"
            self.history_ = best.history
            self.n_relocated_ = sum(entry.n_relocated for entry in best.history)
            self._n_features_out = self.n_clusters
            self._warn_of_duplicates(best.n_found)
        return self

    def predict(self, X: Any) -> Array:
        """Index of the nearest centre of every row of `X`, (n_samples,) int32.

        Ties go to the lowest index. The result is where `X` is.
        """
        with self._at_work(X) as (x, centers, home):
            return asarray(nearest(x, centers, self._loss, self.memory_budget), home)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """``fit(X, sample_weight=sample_weight).labels_``."""
        return self.fit(X, y, sample_weight=sample_weight).labels_

    def transform(self, X: Any) -> Array:
        """Distance of every row of `X` to every centre, (n_samples, n_clusters).

        Euclidean for k-means, Manhattan for k-medians, in the units of the data; computed in
        float64, returned in the floating dtype of `X`, where `X` is; ValueError where that does
        not hold a distance.
        """
        with self._at_work(X) as (x, centers, home):
            found = distances(x, centers, self._loss, self.memory_budget)
            check_distances(found)
            return asarray(found, home)

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """``fit(X, sample_weight=sample_weight).transform(X)``."""
        return self.fit(X, y, sample_weight=sample_weight).transform(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the loss of `X` at the fitted centres (greater is better)."""
        del y
        with self._at_work(X) as (x, centers, _):
            weight, factor = relative_weights(sample_weight, x.shape[0], place_of(x))
            labels = nearest(x, centers, self._loss, self.memory_budget)
            costs = costs_at(x, centers, labels, self._loss, self.memory_budget)
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

    def _check_params(self) -> None:
        check_integer("n_clusters", self.n_clusters, 1)
        if self.n_init != "auto":
            check_integer("n_init", self.n_init, 1)
        check_integer("max_iter", self.max_iter, 1)
        check_tol(self.tol)
        check_choice("algorithm", self.algorithm, tuple(ALGORITHMS))
        check_choice("empty_cluster", self.empty_cluster, EMPTY_CLUSTER)
        check_memory_budget(self.memory_budget)
        if isinstance(self.init, str):
            check_choice("init", self.init, METHODS)
        if self.algorithm == "elkan" and self.n_clusters == 1:
            warnings.warn(
                "algorithm='elkan' doesn't make sense for a single cluster; using 'lloyd'.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _check_x(self, X: Any, *, reset: bool) -> tuple[Array, Place, Place]:
        """`X` as checked but for NaN and infinity, where results go, and where to compute."""
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

    def _plan(
        self, x: Array, place: Place, dtype: Any, memory_budget: int | None, weight_factor: float
    ) -> Plan:
        init = self.init
        if not isinstance(init, str) and not callable(init):
            init = check_init_centers(init, self.n_clusters, x, place)
        self._n_init = self._restarts()
        return Plan(
            loss=self._loss,
            n_clusters=self.n_clusters,
            dtype=dtype,
            init=init,
            n_init=self._n_init,
            max_iter=self.max_iter,
            tol=float(self.tol),
            empty_cluster=self.empty_cluster,
            memory_budget=memory_budget,
            algorithm=ALGORITHMS[self.algorithm],
            weight_factor=weight_factor,
            rng=random_generator(self.random_state),
            watch=self._watched,
            say=self._say,
        )

    def _restarts(self) -> int:
        given = not isinstance(self.init, str) and not callable(self.init)
        if self.n_init == "auto":
            return 1 if given or self.init == "k-means++" else RESTARTS_OF_RANDOM_INIT
        if given and self.n_init != 1:
            warnings.warn(
                f"Explicit initial center position passed: performing only one init in "
                f"{type(self).__name__} instead of n_init={self.n_init}.",
                RuntimeWarning,
                stacklevel=4,
            )
            return 1
        return int(self.n_init)

    def _watched(self, loop: Iterator[HalfStep]) -> Iterator[HalfStep]:
        """The same half-steps, shown on a progress bar if one is wanted."""
        if not self.progress:
            yield from loop
            return
        from tqdm.auto import tqdm

        with tqdm(total=self.max_iter, desc=type(self).__name__, unit="iteration") as bar:
            for step in loop:
                if step.kind == "refit":
                    bar.update()
                    bar.set_postfix(loss=f"{step.loss:.6g}", changed=step.n_changed)
                yield step

    def _say(self, message: str) -> None:
        if self.verbose:
            print(message)

    def _warn_of_duplicates(self, n_found: int) -> None:
        if n_found < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({n_found}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=3,
            )


def loss_of(estimator: AlternatingMinimizer) -> Loss:
    """The loss that an estimator minimises."""
    return estimator._loss
