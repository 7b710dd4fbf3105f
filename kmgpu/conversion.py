"""Fitted estimators as scikit-learn's own, for tools that take no others, such as exporters."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import to_host
from kmgpu.inputs import is_dask

# parameters of the same name and meaning
SAME = ("n_init", "max_iter", "tol", "verbose", "copy_x")


class ToSklearn:
    """What an estimator of squared distances has: a twin in scikit-learn."""

    loss: ClassVar[Loss]

    def to_sklearn(self) -> Any:
        """A fitted estimator of scikit-learn's with these centres, for exporters to ONNX or skops.

        Its arrays are copies on the host, wherever the fit was computed.

        Returns
        -------
        sklearn.cluster.KMeans or sklearn.pipeline.Pipeline
            For `KMeans`: with the same centres, labels, loss, iterations, names of features and
            parameters, as far as scikit-learn has them: "k-means||" and "greedy" become
            "k-means++", which is greedy there, and "auto" and "dense" become "lloyd". After
            `partial_fit`, `n_iter_` counts batches. Without `labels_` where these are lazy (Dask).

            For `SphericalKMeans`: a `Normalizer` and such a `KMeans`. `predict` gives the same
            labels, `transform` √(2 (1 - cos)) and `score` twice the loss, as between rows and
            centres of length 1 the squared distance is 2 (1 - cos). A row of zeros, an error
            here, gets a label there that means nothing; and a new fit of the pipeline is k-means of
            such rows, whose centres are shorter than 1.

        Raises
        ------
        NotFittedError
            Before `fit`.

        Notes
        -----
        scikit-learn ranks by float32 or float64 products, and its `predict` and `score` take rows
        of the dtype of `cluster_centers_` only (integers count as float64). So labels are the same
        but for rows whose nearest two centres are as near up to its rounding.

        Examples
        --------
        >>> import numpy as np
        >>> from kmgpu import KMeans
        >>> X = np.array([[0.0], [2], [50], [52]])
        >>> KMeans(2, init=X[[0, 2]]).fit(X).to_sklearn().predict([[3.0], [49]])
        array([0, 1], dtype=int32)
        """
        # not for every import of an estimator
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer

        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if not self.loss.unit:
            return _named(_twin(self), names)
        twin = _twin(self)
        return make_pipeline(_named(Normalizer().fit(twin.cluster_centers_), names), twin)


def _twin(model: Any) -> Any:
    """scikit-learn's `KMeans` with the centres of a fitted estimator."""
    from sklearn.cluster import KMeans

    centers = np.array(to_host(model.cluster_centers_))
    # a fit, however small, leaves whatever else this version of scikit-learn looks for
    twin = KMeans(1, n_init=1).fit(centers[:1]).set_params(**_parameters(model, len(centers)))
    twin.cluster_centers_ = centers
    twin.n_features_in_, twin._n_features_out = centers.shape[1], len(centers)
    twin.inertia_ = model.inertia_ / model.loss.factor
    twin.n_iter_ = model.n_steps_ if hasattr(model, "n_steps_") else model.n_iter_
    labels = getattr(model, "labels_", None)
    if labels is None or is_dask(labels):
        del twin.labels_
    else:
        twin.labels_ = np.array(to_host(labels))
    return twin


def _named(fitted: Any, names: np.ndarray | None) -> Any:
    if names is not None:
        fitted.feature_names_in_ = names.copy()
    return fitted


def _parameters(model: Any, n_clusters: int) -> dict[str, Any]:
    """Those of scikit-learn's `KMeans` that mean the same or are nearest to it."""
    init, seed = model.init, model.random_state
    if isinstance(init, str):
        init = "random" if init == "random" else "k-means++"
    elif not callable(init):
        init = np.array(to_host(init.toarray() if issparse(init) else init), np.float64)
        init = unit_rows(init) if model.loss.unit else init
    if isinstance(seed, np.random.Generator):
        seed = np.random.RandomState(deepcopy(seed.bit_generator))
    return {
        "n_clusters": n_clusters,
        "init": init,
        "random_state": seed,
        "algorithm": "elkan" if model.algorithm == "elkan" else "lloyd",
        **{name: getattr(model, name) for name in SAME},
    }
