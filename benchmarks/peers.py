"""The peers on a CPU, each called as its documentation says; libraries are imported inside."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks import elki
from benchmarks.engine import Engine, Found, Run, prepare_estimator


def _sklearn(**settings: Any) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(**settings)


def _sklearnex(**settings: Any) -> Any:
    from sklearnex.cluster import KMeans

    return KMeans(**settings)


def prepare_faiss(x: Any, init: Any, **settings: Any) -> Run:
    """Without the two limits on points per centroid it would train on a sample."""
    import faiss

    def run(n_iter: int) -> Found:
        loop = faiss.Kmeans(
            x.shape[1],
            len(init),
            niter=n_iter,
            nredo=1,
            min_points_per_centroid=1,
            max_points_per_centroid=len(x),
            **settings,
        )
        loop.train(x, init_centroids=init)
        return Found(loop.centroids, n_iter)

    return run


def _scipy(x: Any, init: Any) -> Run:
    from scipy.cluster.vq import kmeans2

    def run(n_iter: int) -> Found:
        return Found(kmeans2(x, init, iter=n_iter, minit="matrix")[0], n_iter)

    return run


def _superkmeans(x: Any, init: Any) -> Run:
    from superkmeans import SuperKMeans

    def run(n_iter: int) -> Found:
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
        return Found(np.asarray(loop.train(x)), n_iter)

    return run


def _fastkmeans(x: Any, init: Any) -> Run:
    from fastkmeans import FastKMeans

    def run(n_iter: int) -> Found:
        # it would stop at a shift under tol, and train on a sample
        loop = FastKMeans(
            x.shape[1], len(init), niter=n_iter, max_points_per_centroid=None, tol=-1, gpu=False
        )
        loop.train(x)
        return Found(loop.centroids, n_iter)

    return run


def _sklearn_medians(x: Any, init: Any) -> Run:
    """scikit-learn's fused Manhattan argmin, then np.median of each cluster's rows."""
    from sklearn.metrics import pairwise_distances_argmin

    def run(n_iter: int) -> Found:
        centers, labels, done = init.copy(), None, 0
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
        return Found(centers, done)

    return run


def _elki(x: Any, init: Any) -> Run:
    loop = elki.KMediansLloyd(x, init)

    def run(n_iter: int) -> Found:
        seconds, centers = loop.fit(n_iter)
        return Found(centers, n_iter, seconds)

    return run


SKLEARN: dict[str, Any] = {"modules": ("sklearn",)}
SKLEARN |= {"imports": ("sklearn.cluster", "sklearn.metrics")}
ELKAN = partial(prepare_estimator, _sklearn, algorithm="elkan")
OWN_SEEDING: dict[str, Any] = {"exact": False, "note": "own seeding"}


def _of(name: str, module: str, prepare: Any, **extra: Any) -> Engine:
    return Engine(name, "l2", prepare, (module.partition(".")[0],), imports=(module,), **extra)


PEERS = (
    Engine(
        "sklearn-lloyd", "l2", partial(prepare_estimator, _sklearn), estimator=_sklearn, **SKLEARN
    ),
    Engine("sklearn-elkan", "l2", ELKAN, **SKLEARN),
    _of("sklearnex", "sklearnex.cluster", partial(prepare_estimator, _sklearnex)),
    _of("faiss", "faiss", prepare_faiss),
    _of("superkmeans", "superkmeans", _superkmeans, **OWN_SEEDING),
    _of("scipy", "scipy.cluster.vq", _scipy),
    _of("fastkmeans", "fastkmeans", _fastkmeans, **OWN_SEEDING),
    Engine("sklearn-manhattan", "l1", _sklearn_medians, **SKLEARN),
    Engine("elki", "l1", _elki, imports=None, missing=elki.missing),
)
