"""The loop as a scikit-learn estimator, whatever the loss."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import HOST, Array, to_host
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import device_name
from kmgpu.inputs import Input, input_of, read_rows
from kmgpu.members import ClusterTable, cluster_table, members
from kmgpu.parameters import check_parameters, work_of
from kmgpu.validation import check_integer, check_memory_budget
from kmgpu.weights import check_sample_weight

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
            matrix (CSR is best; it is not made dense). Or rows that are read block by block:
            `RowBlocks`, a zarr array or HDF5 data set, and by itself a `numpy.memmap` that is
            larger than the memory (or `memory_budget`), and a NumPy array that is larger than the
            GPU of ``device="cuda"``. Finite; float16 to float64, integer or
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
            found = input_of(self, X, work_of(self), reset=True).fit(sample_weight)
            best = found.best
            self.cluster_centers_, self.labels_ = found.centers, found.labels
            self.counts_ = found.counts
            self.device_ = device_name(found.place)
            for name in OF_BATCHES:
                self.__dict__.pop(name, None)
            self._n_init = found.n_init
            self.inertia_ = best.loss
            self.n_iter_ = best.last.iteration
            self.converged_ = best.last.stop != "max_iter"
            self.history_ = best.history
            self.n_relocated_ = sum(entry.n_relocated for entry in best.history)
            self._n_features_out = self.n_clusters
            self._warn_of_duplicates(best.n_found)
        return self

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
        return self._input(X).labels()

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
            data; 1 - cos for spherical k-means. They are computed in float64 and returned where `X`
            is, in its floating dtype (float32 for float16, float64 for integers). The first of a
            row's smallest distances is that of its label.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input, and where the dtype does not hold a distance.
        """
        return self._input(X).distances()

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
            data for k-means, plain ones for k-medians, 1 - cos for spherical k-means.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input.
        """
        del y
        return -self._input(X).loss(sample_weight)

    def summary(self, X: Any = None, sample_weight: Any = None) -> ClusterTable:
        """The clusters one by one: size, share, weight, loss, spread, nearest row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), optional
            The rows to describe, as for `predict`. Without them the table has the sizes, shares and
            weights of the last fit alone, as a model does not keep its data.
        sample_weight : array-like of shape (n_samples,), optional
            Of the rows of `X`.

        Returns
        -------
        ClusterTable
            It prints as text and as HTML in notebooks; `to_frame()` makes a pandas frame of it.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input.

        Examples
        --------
        >>> import numpy as np
        >>> from kmgpu import KMeans
        >>> X = np.array([[0.0], [2], [4], [20]])
        >>> KMeans(2, init=X[[0, 3]]).fit(X).summary(X)
        cluster  size  share  weight  loss  spread  nearest row
              0     3  75.0%       3     8   1.633            1
              1     1  25.0%       1     0       0            3
        """
        check_is_fitted(self)
        if X is None:
            if sample_weight is not None:
                msg = "sample_weight was given without X; pass summary(X, sample_weight=…)."
                raise ValueError(msg)
            counts = to_host(self.counts_).astype(np.float64)
            return cluster_table(self.loss, read_rows(self.labels_), counts)
        labels, costs = self._labels_and_costs(X)
        k = self.cluster_centers_.shape[0]
        if sample_weight is None:
            counts = np.bincount(labels, minlength=k).astype(np.float64)
            return cluster_table(self.loss, labels, counts, costs)
        weight = to_host(check_sample_weight(read_rows(sample_weight), len(labels), HOST))
        masses = np.bincount(labels, weight, minlength=k).astype(np.float64)
        return cluster_table(self.loss, labels, masses, costs, weight)

    def nearest_rows(self, X: Any, n_rows: int = 1) -> np.ndarray:
        """The members of each cluster that are nearest to its centre.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            As for `predict`.
        n_rows : int, default=1

        Returns
        -------
        numpy.ndarray of shape (n_clusters, n_rows), int64
            Indices of rows of `X`, the nearest first, the lower index of equals first; -1 where a
            cluster has fewer rows. On the host, as they are for people to look at.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input.

        Examples
        --------
        >>> import numpy as np
        >>> from kmgpu import KMeans
        >>> X = np.array([[0.0], [2], [5], [20]])
        >>> KMeans(2, init=X[[0, 3]]).fit(X).nearest_rows(X, 2)
        array([[ 1,  0],
               [ 3, -1]])
        """
        check_integer("n_rows", n_rows, 1)
        labels, costs = self._labels_and_costs(X)
        return members(labels, costs, self.cluster_centers_.shape[0], n_rows)

    def _labels_and_costs(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Of every row of `X`, on the host."""
        given = self._input(X)
        return read_rows(given.labels()), read_rows(given.costs())

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

    def _input(self, X: Any) -> Input:
        """`X` for what only a fitted estimator can do."""
        check_is_fitted(self)
        check_memory_budget(self.memory_budget)
        work = Work(self.cluster_centers_.shape[0], self.loss.squared)
        return input_of(self, X, work, reset=False)

    def _warn_of_duplicates(self, n_found: int) -> None:
        if n_found < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({n_found}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=3,
            )
