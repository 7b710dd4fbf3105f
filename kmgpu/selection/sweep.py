"""Choosing k: fits of a range of k, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from numbers import Integral
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.metrics import silhouette_score
from sklearn.utils.parallel import Parallel, delayed

from kmgpu.algorithm.assignment import costs_at, runner_up, weighted_sum
from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.algorithm.seeding import random_rows
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import Array, adopted, asarray, namespace, place_of, take_rows, to_host
from kmgpu.backend.blocks import working_at
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import borrowed, resolve
from kmgpu.backend.upload import uploaded
from kmgpu.base import AlternatingMinimizer
from kmgpu.estimators import ESTIMATORS
from kmgpu.parameters import check_parameters, work_of
from kmgpu.selection.table import Sweep as Sweep
from kmgpu.selection.table import SweepEntry as SweepEntry
from kmgpu.validation import check_data, check_integer, check_n_clusters, random_generator
from kmgpu.weights import check_sample_weight

METRICS: dict[str | None, str] = {"l2": "euclidean", "l1": "manhattan", "cosine": "cosine"}


def sweep(
    X: Any,
    ks: Iterable[int],
    *,
    loss: str | Loss = "l2",
    sample_weight: Any = None,
    random_state: Any = None,
    sample_size: int = 1000,
    n_jobs: int | None = None,
    device: str | None = None,
    progress: bool = False,
    **parameters: Any,
) -> Sweep:
    """Fit `X` with every number of clusters in `ks`, and say how good each is.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        As for `KMeans.fit`.
    ks : iterable of int
        Numbers of clusters, each once, in any order.
    loss : {"l2", "l1", "cosine"} or Loss, default="l2"
        k-means, k-medians, spherical k-means, or a loss of your own.
    sample_weight : array-like of shape (n_samples,), optional
    random_state : None, int, numpy.random.Generator or RandomState, default=None
        Seeds every fit alike, so a fit does not depend on the other ks; and the sample.
    sample_size : int, default=1000
        Rows of the sample for the exact silhouette, which takes the square of it in time. They
        are drawn by weight and then count alike; rows of zero weight are never drawn.
    n_jobs : int, optional
        Fits at a time, as joblib counts: None is 1, -1 all CPUs. Results are those of one at a
        time. Threads are used, which share `X`, unless `joblib.parallel_config` says otherwise.
    device : {None, "cpu", "cuda", "cuda:N", "auto"}, default=None
        As for `KMeans`; `X` is moved once.
    progress : bool, default=False
        Show a progress bar of the fits.
    parameters : keyword arguments
        Any other parameter of `KMeans` and `KMedians`, for every fit.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError, TypeError
        For bad input, before anything is fitted.

    References
    ----------
    P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of
    cluster analysis", J. Comput. Appl. Math. 20, 1987. The simplified one: L. Vendramin,
    R. J. G. B. Campello, E. R. Hruschka, "Relative clustering validity criteria: a comparative
    overview", Statistical Analysis and Data Mining 3(4), 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import sweep
    >>> X = np.array([[0.0], [1], [2], [10], [11], [12], [20], [21], [22]])
    >>> found = sweep(X, range(1, 8), random_state=0)
    >>> found.knee
    3
    >>> found.at(3).loss
    6.0
    """
    ks = _checked(ks)
    rule = get_loss(loss)
    check_integer("sample_size", sample_size, 2)
    rng = random_generator(random_state)
    seed = int(random_state if isinstance(random_state, Integral) else rng.integers(2**32))
    x = check_data(borrowed(adopted(X)))
    check_n_clusters(ks[-1], x.shape[0])
    estimators = [_estimator(rule, k, random_state=seed, **parameters) for k in ks]
    for estimator in estimators:
        check_parameters(estimator)
    place = resolve(device, x, _work(estimators))
    with working_at(place, x, ks[-1]):
        x = uploaded(x, place)
        weight = check_sample_weight(sample_weight, x.shape[0], place)
        sampled = _sample(weight, x.shape[0], sample_size, np.random.default_rng([seed, 1]))
        points = to_host(take_rows(x, asarray(sampled, place), place.xp.float64))
    one = partial(_entry, x=x, weight=weight, sampled=sampled, points=points)
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
    fits = parallel(delayed(one)(estimator) for estimator in estimators)
    entries = tuple(_watched(fits, len(ks)) if progress else fits)
    return Sweep(entries, rule.name, seed, len(sampled))


def _work(estimators: list[AlternatingMinimizer]) -> Work:
    """No more than the work of all fits: as if each had the fewest clusters."""
    one = work_of(estimators[0])
    assignments, seedings = (len(estimators) * times for times in (one.assignments, one.seedings))
    return one._replace(assignments=assignments, seedings=seedings)


def _estimator(loss: Loss, n_clusters: int, **parameters: Any) -> AlternatingMinimizer:
    if loss.known_name is not None:
        return ESTIMATORS[loss.known_name](n_clusters, **parameters)
    own = type(AlternatingMinimizer.__name__, (AlternatingMinimizer,), {"loss": loss})
    return own(n_clusters, **parameters)


def _checked(ks: Iterable[int]) -> list[int]:
    """The numbers of clusters as given, ascending."""
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        msg = f"ks must be several numbers of clusters, such as range(1, 11); got {ks!r}."
        raise TypeError(msg)
    found = list(ks)
    for k in found:
        check_integer("every number in ks", k, 1)
    if not found or len(set(found)) < len(found):
        msg = f"ks={found} must hold at least one number of clusters, each once."
        raise ValueError(msg)
    return sorted(map(int, found))


def _sample(
    weight: Array | None, n_samples: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Indices of the rows that the exact silhouette looks at, ascending, on the host."""
    there = n_samples if weight is None else int(np.count_nonzero(to_host(weight)))
    return np.sort(random_rows(n_samples, min(size, there), weight, rng))


def _entry(
    estimator: AlternatingMinimizer,
    x: Array,
    weight: Array | None,
    sampled: np.ndarray,
    points: np.ndarray,
) -> SweepEntry:
    start = perf_counter()
    estimator.fit(x, sample_weight=weight)
    seconds = perf_counter() - start
    place = place_of(x)
    with working_at(place, x, estimator.n_clusters):
        labels = to_host(place.xp.take(estimator.labels_, asarray(sampled, place)))
        simplified = _simplified_silhouette(estimator, x, weight)
    return SweepEntry(
        estimator.n_clusters,
        estimator.inertia_,
        estimator.n_iter_,
        seconds,
        simplified,
        _silhouette(points, labels, estimator.loss),
    )


def _simplified_silhouette(
    estimator: AlternatingMinimizer, x: Array, weight: Array | None
) -> float:
    if estimator.n_clusters == 1:
        return float("nan")
    loss, labels, budget = estimator.loss, estimator.labels_, estimator.memory_budget
    x = unit_rows(x, memory_budget=budget) if loss.unit else x
    xp = namespace(estimator.cluster_centers_)
    centers = xp.astype(estimator.cluster_centers_, xp.float64)
    others = runner_up(x, centers, labels, loss, budget)
    a = loss.distance(costs_at(x, centers, labels, loss, budget))
    b = loss.distance(costs_at(x, centers, others, loss, budget))
    larger = xp.maximum(a, b)
    scores = (b - a) / xp.where(larger > 0, larger, xp.ones_like(larger))
    total = x.shape[0] if weight is None else float(xp.sum(weight))
    return float(weighted_sum(scores, weight)) / total


def _silhouette(points: np.ndarray, labels: np.ndarray, loss: Loss) -> float:
    if not 2 <= len(np.unique(labels)) < len(labels):
        return float("nan")
    metric = METRICS.get(loss.known_name, "precomputed")
    if metric == "precomputed":
        points = loss.distance(loss.pairwise(points, points))
    return float(silhouette_score(points, labels, metric=metric))


def _watched(fits: Iterable[SweepEntry], total: int) -> Iterator[SweepEntry]:
    from tqdm.auto import tqdm

    yield from tqdm(fits, total=total, desc="sweep", unit="fit")
