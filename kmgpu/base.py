"""The loop as a scikit-learn estimator, whatever the loss."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.plan import HistoryEntry
from kmgpu.backend.arrays import Array
from kmgpu.backend.cards import Work
from kmgpu.callbacks import CallbackSupportMixin, Watch, with_callbacks
from kmgpu.conversion import ToSklearn
from kmgpu.files import PathLike
from kmgpu.inputs import Input, input_of, is_dask
from kmgpu.members import WithMembers
from kmgpu.parameters import check_parameters, work_of
from kmgpu.validation import check_memory_budget

# what `partial_fit` leaves behind and a whole fit does not
OF_BATCHES = ("n_steps_", "_running")


class AlternatingMinimizer(
    ToSklearn,
    WithMembers,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    BaseEstimator,
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
        max_samples: float | None = None,
        checkpoint: PathLike | None = None,
        callback: Callable[[HistoryEntry], Any] | None = None,
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
        self.max_samples = max_samples
        self.checkpoint = checkpoint
        self.callback = callback

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
        check_parameters(self)
        with_callbacks(AlternatingMinimizer._fit)(self, X, y, sample_weight)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        watch = Watch(self, X, y, sample_weight)
        with self._unchanged_by_errors():
            found = input_of(self, X, work_of(self), reset=True).fit(sample_weight, watch)
            best = found.best
            self.cluster_centers_, self.labels_ = found.centers, found.labels
            self.counts_ = found.counts
            self.device_ = found.device
            for name in OF_BATCHES:
                self.__dict__.pop(name, None)
            self.__dict__.pop("_columns", None)  # that kmgpu fit took of other data
            self._n_init = found.n_init
            self.inertia_ = best.loss
            self.n_iter_ = best.last.iteration
            self.converged_ = best.last.stop in ("labels", "shift")
            self.history_ = best.history
            self.n_relocated_ = sum(entry.n_relocated for entry in best.history)
            self._n_features_out = self.n_clusters
            if best.last.stop != "callback":  # which may leave clusters that are empty for now
                self._warn_of_duplicates(best.n_found)
            watch.ended()

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """What pickles and copies hold: lazy labels, which lead to all data, are left out."""
        state: dict[str, Any] = super().__getstate__()
        if is_dask(state.get("labels_")):
            state = {name: value for name, value in state.items() if name != "labels_"}
        return state

    if not TYPE_CHECKING:  # to a checker of types no attribute would be unknown any more

        def __getattr__(self, name: str) -> Any:
            """Raise for what is not there; say why a loaded model may have no labels."""
            if name != "labels_" or "cluster_centers_" not in self.__dict__:
                return super().__getattribute__(name)  # the error that it was
            msg = (
                f"this {type(self).__name__} has no labels_: models are saved without the labels "
                f"of the rows fitted, unless by save_model(…, labels=True). predict(X) gives "
                f"them, and summary(X) the table of clusters."
            )
            raise AttributeError(msg)

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
                stacklevel=5,
            )
