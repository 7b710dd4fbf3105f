"""Engines for tests of the benchmarks: Lloyd in plain NumPy, in the process of the test."""

import json
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from benchmarks.client import EngineError
from benchmarks.engine import Engine, prepare_estimator
from benchmarks.worker import Worker, answer

STOPPED = []
METRIC = {"l2": "sqeuclidean", "l1": "cityblock"}


class Lloyd:
    """An estimator that is slow, plain and right; it needs no more than NumPy."""

    def __init__(self, loss_name, n_clusters, init=None, max_iter=300, **settings):
        del settings
        self._loss, self._k, self._init, self._most = loss_name, n_clusters, init, max_iter

    def fit(self, x):
        centers = np.array(x[: self._k] if self._init is None else self._init, np.float64)
        labels = None
        n_iter = 0
        while n_iter < self._most:
            n_iter += 1
            nearest = cdist(x, centers, METRIC[self._loss]).argmin(axis=1)
            if labels is not None and (nearest == labels).all():
                break
            labels = nearest
            middle = np.mean if self._loss == "l2" else np.median
            centers = np.stack([middle(x[labels == j], axis=0) for j in range(len(centers))])
        self.cluster_centers_, self.n_iter_ = centers, n_iter
        return self

    def predict(self, x):
        return cdist(x, self.cluster_centers_).argmin(axis=1)


def made_up(name, seconds=None, loss_name="l2", **extra):
    """An engine; an iteration takes `seconds` by a clock of its own, if given."""
    make = partial(Lloyd, loss_name)

    def prepare(x, init):
        fit = prepare_estimator(make, x, init)

        def run(n_iter):
            found = fit(n_iter)
            return found if seconds is None else found._replace(seconds=seconds * found.n_iter)

        return run

    return Engine(name, loss_name, prepare, **({"estimator": make} | extra))


class LocalClient:
    """A client whose worker is in this process; JSON still goes both ways."""

    def __init__(self, engine, n_threads, folder):
        self._worker = Worker(engine)
        self._alive = True

    def ask(self, do, timeout, **arguments):
        assert self._alive
        command = json.loads(json.dumps({"do": do, **arguments}))
        told = json.loads(json.dumps(answer(self._worker, command)))
        if "error" in told:
            raise EngineError(told["error"])
        return told

    def stop(self):
        self._alive = False
        STOPPED.append(self._worker)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass
