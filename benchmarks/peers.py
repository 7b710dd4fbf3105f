"""The engines: ``fit(x, init, n_iter) -> Fit`` each; libraries are imported inside."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from benchmarks import elki


class Fit(NamedTuple):
    """Seconds of one fit, its centres, and the iterations it made."""

    seconds: float
    centers: np.ndarray
    n_iter: int


@dataclass(frozen=True)
class Engine:
    """One way to fit one loss.

    Attributes
    ----------
    name, loss : str
    fit : callable
        ``fit(x, init, n_iter) -> Fit``, stopping sooner only where no label changes.
    modules : tuple of str
        What must be installed.
    exact : bool
        Whether it gives Lloyd's answer from the centres given.
    estimator : callable, optional
        Makes the estimator from keywords, for the sections that fit with default settings.
    imports : tuple of str, or None
        What it imports, on which its working memory comes on top; None where its memory is not
        this process's.
    missing : callable
        What else keeps it from running, or None.
    """

    name: str
    loss: str
    fit: Callable[[np.ndarray, np.ndarray, int], Fit]
    modules: tuple[str, ...]
    exact: bool = True
    estimator: Callable[..., Any] | None = None
    imports: tuple[str, ...] | None = ()
    missing: Callable[[], str | None] = lambda: None

    def absent(self) -> str | None:
        """Why it cannot run here, or None."""
        for module in self.modules:
            if find_spec(module) is None:
                return f"{module} is not installed"
        return self.missing()


def _kmgpu(loss: str, **kwargs: Any) -> Any:
    import kmgpu

    return (kmgpu.KMeans if loss == "l2" else kmgpu.KMedians)(**kwargs)


def _sklearn(**kwargs: Any) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(**kwargs)


def _sklearnex(**kwargs: Any) -> Any:
    from sklearnex.cluster import KMeans

    return KMeans(**kwargs)


def _timed(estimator: Any, x: np.ndarray) -> Fit:
    start = time.perf_counter()
    estimator.fit(x)
    seconds = time.perf_counter() - start
    return Fit(seconds, estimator.cluster_centers_, int(estimator.n_iter_))


def _fit_estimator(
    make: Callable[..., Any], x: np.ndarray, init: np.ndarray, n_iter: int, **kwargs: Any
) -> Fit:
    return _timed(
        make(n_clusters=len(init), init=init, n_init=1, max_iter=n_iter, tol=0, **kwargs), x
    )


def _fit_reference(make: Callable[..., Any], x: np.ndarray, init: np.ndarray, n_iter: int) -> Fit:
    """Array API calls alone."""
    from kmgpu import kernels

    with kernels.use("reference"):
        return _fit_estimator(make, x, init, n_iter)


def fit_default(engine: Engine, x: np.ndarray, n_clusters: int, seed: int) -> Fit:
    """One fit with k-means++ and every other setting left alone."""
    assert engine.estimator is not None
    return _timed(engine.estimator(n_clusters=n_clusters, random_state=seed), x)


def _faiss(x: np.ndarray, init: np.ndarray, n_iter: int) -> Fit:
    import faiss

    # without the two limits it would train on a sample
    loop = faiss.Kmeans(
        x.shape[1],
        len(init),
        niter=n_iter,
        nredo=1,
        min_points_per_centroid=1,
        max_points_per_centroid=len(x),
    )
    start = time.perf_counter()
    loop.train(x, init_centroids=init)
    return Fit(time.perf_counter() - start, loop.centroids, n_iter)


def _scipy(x: np.ndarray, init: np.ndarray, n_iter: int) -> Fit:
    from scipy.cluster.vq import kmeans2

    start = time.perf_counter()
    centers, _ = kmeans2(x, init, iter=n_iter, minit="matrix")
    return Fit(time.perf_counter() - start, centers, n_iter)


def _superkmeans(x: np.ndarray, init: np.ndarray, n_iter: int) -> Fit:
    from superkmeans import SuperKMeans

    loop = SuperKMeans(
        len(init),
        x.shape[1],
        hierarchical=False,
        iters=n_iter,
        sampling_fraction=1.0,
        max_points_per_cluster=len(x),
        early_termination=False,
        tol=0,
    )
    start = time.perf_counter()
    centers = loop.train(x)
    return Fit(time.perf_counter() - start, np.asarray(centers), n_iter)


def _fastkmeans(x: np.ndarray, init: np.ndarray, n_iter: int) -> Fit:
    from fastkmeans import FastKMeans

    # it would stop at a shift under tol, and train on a sample
    loop = FastKMeans(
        x.shape[1], len(init), niter=n_iter, max_points_per_centroid=None, tol=-1, gpu=False
    )
    start = time.perf_counter()
    loop.train(x)
    return Fit(time.perf_counter() - start, loop.centroids, n_iter)


def _sklearn_medians(x: np.ndarray, init: np.ndarray, n_iter: int) -> Fit:
    """scikit-learn's fused Manhattan argmin and np.median over slices of the sorted rows."""
    from sklearn.metrics import pairwise_distances_argmin

    centers, labels, done = init.copy(), None, 0
    start = time.perf_counter()
    while done < n_iter:
        done += 1
        nearest = pairwise_distances_argmin(x, centers, metric="manhattan")
        if labels is not None and np.array_equal(nearest, labels):
            break
        labels = nearest
        members = x[np.argsort(labels, kind="stable")]
        ends = np.cumsum(np.bincount(labels, minlength=len(centers)))
        for cluster, part in enumerate(np.split(members, ends[:-1])):
            if len(part):
                centers[cluster] = np.median(part, axis=0)
    return Fit(time.perf_counter() - start, centers, done)


def _elki(x: np.ndarray, init: np.ndarray, n_iter: int) -> Fit:
    seconds, centers = elki.running(x, init).fit(n_iter)
    return Fit(seconds, centers, n_iter)


def _of(name: str, module: str, fit: Callable[..., Fit], *, exact: bool = True) -> Engine:
    return Engine(name, "l2", fit, (module.partition(".")[0],), exact, imports=(module,))


KMEANS, KMEDIANS = partial(_kmgpu, "l2"), partial(_kmgpu, "l1")
OURS = {"modules": ("kmgpu",), "imports": ("kmgpu", "numba")}
SKLEARN = {"modules": ("sklearn",), "imports": ("sklearn.cluster", "sklearn.metrics")}
LLOYD = partial(_fit_estimator, _sklearn)
ELKAN = partial(_fit_estimator, _sklearn, algorithm="elkan")
ENGINES = (
    Engine("kmgpu", "l2", partial(_fit_estimator, KMEANS), estimator=KMEANS, **OURS),
    Engine("kmgpu-reference", "l2", partial(_fit_reference, KMEANS), **OURS),
    Engine("sklearn-lloyd", "l2", LLOYD, estimator=_sklearn, **SKLEARN),
    Engine("sklearn-elkan", "l2", ELKAN, **SKLEARN),
    _of("sklearnex", "sklearnex.cluster", partial(_fit_estimator, _sklearnex)),
    _of("faiss", "faiss", _faiss),
    _of("superkmeans", "superkmeans", _superkmeans, exact=False),
    _of("scipy", "scipy.cluster.vq", _scipy),
    _of("fastkmeans", "fastkmeans", _fastkmeans, exact=False),
    Engine("kmgpu", "l1", partial(_fit_estimator, KMEDIANS), estimator=KMEDIANS, **OURS),
    Engine("kmgpu-reference", "l1", partial(_fit_reference, KMEDIANS), **OURS),
    Engine("sklearn-manhattan", "l1", _sklearn_medians, **SKLEARN),
    Engine("elki", "l1", _elki, (), imports=None, missing=elki.missing),
)


def engines(loss: str, names: list[str] | None = None) -> list[Engine]:
    """The engines of a loss, in the order of `names` if given."""
    found = {engine.name: engine for engine in ENGINES if engine.loss == loss}
    unknown = [name for name in names or [] if name not in found]
    if unknown:
        msg = f"no engine {', '.join(unknown)} for {loss}; there are {', '.join(found)}"
        raise ValueError(msg)
    return [found[name] for name in names] if names else list(found.values())
