"""The functions of `sklearn.cluster`: `kmeans_plusplus` and `k_means`."""

from __future__ import annotations

from typing import Any

from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.algorithm.scale import check_scale
from kmgpu.algorithm.seeding import greedy_seed
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import Array, adopted, asarray, compute_dtype, place_of, take_rows
from kmgpu.backend.blocks import working_at
from kmgpu.backend.devices import borrowed
from kmgpu.estimators import KMeans
from kmgpu.validation import check_data, check_integer, check_n_clusters, random_generator
from kmgpu.weights import relative_weights


def kmeans_plusplus(
    X: Any,
    n_clusters: int,
    *,
    loss: str | Loss = "l2",
    sample_weight: Any = None,
    random_state: Any = None,
    memory_budget: int | None = None,
) -> tuple[Array, Array]:
    """Initial centres by greedy k-means++, as estimators draw them.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        As for `KMeans.fit`; computed on where it is.
    n_clusters : int
    loss : {"l2", "l1", "cosine"} or Loss, default="l2"
        Rows are drawn by weight × its cost.
    sample_weight : array-like of shape (n_samples,), optional
    random_state : None, int, numpy.random.Generator or RandomState, default=None
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.

    Returns
    -------
    centers : array of shape (n_clusters, n_features)
        Rows of `X`, in its floating dtype; for "cosine" of length 1.
    indices : array of shape (n_clusters,), int64
        Which rows. Both are where `X` is.

    Raises
    ------
    ValueError, TypeError
        For bad input.

    References
    ----------
    D. Arthur, S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import kmeans_plusplus
    >>> X = np.array([[0.0], [1], [50], [51]])
    >>> centers, indices = kmeans_plusplus(X, 2, random_state=0)
    >>> bool((X[indices] == centers).all())
    True
    """
    rule = get_loss(loss)
    check_integer("n_clusters", n_clusters, 1)
    x = check_data(borrowed(adopted(X)))
    check_n_clusters(n_clusters, x.shape[0])
    place = place_of(x)
    with working_at(place, x, n_clusters):
        x = unit_rows(x, memory_budget=memory_budget) if rule.unit else x
        weight, _ = relative_weights(sample_weight, x.shape[0], place)
        check_scale(x, weight, rule, memory_budget)
        rng = random_generator(random_state)
        indices, _ = greedy_seed(x, n_clusters, rule, weight, rng, memory_budget)
        chosen = asarray(indices, place)
        return take_rows(x, chosen, compute_dtype(x)), chosen


def k_means(
    X: Any,
    n_clusters: int,
    *,
    sample_weight: Any = None,
    return_n_iter: bool = False,
    **options: Any,
) -> Any:
    """`KMeans` as a function, as scikit-learn has it.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
    n_clusters : int
    sample_weight : array-like of shape (n_samples,), optional
    return_n_iter : bool, default=False
        Return the number of iterations, too.
    options : keyword arguments
        Any other parameter of `KMeans`.

    Returns
    -------
    centroid, label, inertia : array, array, float
        `cluster_centers_`, `labels_` and `inertia_`.
    best_n_iter : int
        `n_iter_`; only if `return_n_iter`.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import k_means
    >>> X = np.array([[0.0], [2], [50], [52]])
    >>> k_means(X, 2, init=X[[0, 2]])
    (array([[ 1.],
           [51.]]), array([0, 0, 1, 1], dtype=int32), 4.0)
    """
    model = KMeans(n_clusters, **options).fit(X, sample_weight=sample_weight)
    found = model.cluster_centers_, model.labels_, model.inertia_
    return (*found, model.n_iter_) if return_n_iter else found
