"""`partial_fit`: new rows move the centres that earlier ones have left."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from kmgpu.algorithm.mini_batch import Running, mini_batch
from kmgpu.algorithm.scale import check_scale
from kmgpu.algorithm.seeding import Start, initial_centers
from kmgpu.algorithm.steps import engine
from kmgpu.backend.arrays import Array, Place, asarray, compute_dtype, to_host
from kmgpu.backend.blocks import working_at
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import device_name
from kmgpu.backend.layout import arranged
from kmgpu.backend.upload import uploaded
from kmgpu.base import AlternatingMinimizer
from kmgpu.inputs import ArrayInput
from kmgpu.parameters import ALGORITHMS, check_parameters
from kmgpu.validation import check_finite, check_n_clusters, random_generator
from kmgpu.weights import relative_weights

# what a whole fit leaves behind and a batch does not
OF_A_FIT = ("n_iter_", "converged_", "history_", "n_relocated_", "_n_init")


class MiniBatches(AlternatingMinimizer):
    """An estimator whose centres are means, which batches of rows can move."""

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Move the centres by one batch of rows (Sculley's mini-batch k-means).

        Every row moves its nearest centre a share 1 / count of the way to itself, where count is
        the number of rows that the centre has been given, so that a centre is the mean of these.
        The first batch seeds, as `init` says. After `fit` or `kmgpu.load_model` it goes on from the
        centres, the rows of the fit counted; `fit` starts afresh. No centre is moved elsewhere
        because few rows come to it.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            As for `fit`. The first batch must have `n_clusters` rows unless `init` is an array;
            a later one may have a single row.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            As for `fit`. A row of weight 3 counts as three rows.

        Returns
        -------
        self
            `labels_` and `inertia_` are those of this batch at the new centres, `counts_` is the
            weight of the rows that each centre has been given, `n_steps_` the number of batches.

        Raises
        ------
        ValueError, TypeError
            For bad input; the estimator stays as it was.

        References
        ----------
        D. Sculley, "Web-scale k-means clustering", WWW 2010.

        Examples
        --------
        >>> import numpy as np
        >>> from kmgpu import KMeans
        >>> model = KMeans(n_clusters=2, init=np.array([[0.0], [9.0]]))
        >>> for batch in ([[1.0], [8]], [[3.0], [9], [10]]):
        ...     model = model.partial_fit(batch)
        >>> model.cluster_centers_, model.counts_
        (array([[2.],
               [9.]]), array([2., 3.]))
        """
        del y
        with self._unchanged_by_errors():
            check_parameters(self)
            first = not hasattr(self, "cluster_centers_")
            if not first:
                self._check_centers(X)
            given = ArrayInput(self, X, Work(self.n_clusters, self.loss.squared), reset=first)
            home, place = given.home, given.place
            with working_at(place, given.x, self.n_clusters):
                x = uploaded(given.x, place)
                dtype = compute_dtype(x)
                x, budget = arranged(x, self.memory_budget)
                check_finite(x, "X")
                weight, factor = relative_weights(sample_weight, x.shape[0], place)
                check_scale(x, weight, self.loss, budget)
                start = self._seeded(x, weight, budget) if first else Start(self._running_at(place))
                running = Running(start.centers, self._counts(first))
                way = ALGORITHMS[self.algorithm]
                steps = engine(x, weight, self.n_clusters, self.loss, budget, way)
                batch = mini_batch(steps, weight, factor, running, dtype, start.labels)
                self.cluster_centers_ = asarray(batch.centers, home)
                self.labels_ = asarray(batch.labels, home)
                self.counts_ = asarray(batch.running.counts, home)
            for name in OF_A_FIT:
                self.__dict__.pop(name, None)
            self._running = batch.running
            self.device_ = device_name(place)
            self.inertia_ = batch.loss
            self.n_steps_ = getattr(self, "n_steps_", 0) + 1
            self._n_features_out = self.n_clusters
        return self

    def _check_centers(self, X: Any) -> None:
        """Raise ValueError where the centres are not those of `n_clusters` and of such rows."""
        n_clusters = self.cluster_centers_.shape[0]
        afresh = "or call fit, which starts afresh"
        if n_clusters != self.n_clusters:
            msg = (
                f"n_clusters={self.n_clusters}, and there are {n_clusters} centres to go on from; "
                f"set n_clusters={n_clusters}, {afresh}."
            )
            raise ValueError(msg)
        shape: tuple[int, ...] = getattr(X, "shape", ())
        expected = self.n_features_in_
        if len(shape) == 2 and shape[1] != expected:
            msg = (
                f"X has {shape[1]} features, but {type(self).__name__} is expecting {expected} "
                f"features as input; pass batches of {expected} columns, {afresh}."
            )
            raise ValueError(msg)

    def _seeded(self, x: Array, sample_weight: Array | None, memory_budget: int | None) -> Start:
        if isinstance(self.init, str) or callable(self.init):
            try:
                check_n_clusters(self.n_clusters, x.shape[0])
            except ValueError as error:
                msg = f"{error} The first batch of partial_fit seeds: let it have more rows."
                raise ValueError(msg) from error
        rng = random_generator(self.random_state)
        return initial_centers(
            x, self.init, self.n_clusters, self.loss, sample_weight, rng, memory_budget
        )

    def _running_at(self, place: Place) -> Array:
        """The centres to go on from, float64."""
        running = getattr(self, "_running", None)
        centers = self.cluster_centers_ if running is None else running.centers
        return asarray(centers, place, place.xp.float64)

    def _counts(self, first: bool) -> np.ndarray:
        return np.zeros(self.n_clusters) if first else to_host(self.counts_).astype(np.float64)
