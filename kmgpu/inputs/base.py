"""What every input of an estimator does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from kmgpu.algorithm.plan import Restart
from kmgpu.algorithm.progress import Progress
from kmgpu.backend.arrays import HOST, Array, Place, asarray
from kmgpu.backend.devices import device_name
from kmgpu.callbacks import Watch


class Fitted(NamedTuple):
    """What a fit has found: its best restart, arrays where results go, where it was computed."""

    best: Restart
    n_init: int
    centers: Array
    labels: Array
    counts: Array
    device: str


class Input(Protocol):
    """Rows whose shape, dtype and names are checked; parameters are those of an estimator."""

    def fit(self, sample_weight: Any, watch: Watch) -> Fitted:
        """The best restart of the estimator's plan; `watch` sees its half-steps."""
        ...

    def labels(self) -> Array:
        """The nearest centre of every row, (n_samples,), int32."""
        ...

    def distances(self) -> Array:
        """The distance of every row to every centre, (n_samples, n_clusters)."""
        ...

    def costs(self) -> Array:
        """The cost of every row at its nearest centre, (n_samples,), float64."""
        ...

    def loss(self, sample_weight: Any) -> float:
        """Weighted costs of all rows at their nearest centres."""
        ...


def progress_of(estimator: Any) -> Progress:
    """What a fit tells of itself."""
    name, most = type(estimator).__name__, estimator.max_iter
    return Progress(name, most, bool(estimator.verbose), bool(estimator.progress))


def with_labels(best: Restart, labels: Array) -> Restart:
    """The same with labels of all rows."""
    return best._replace(last=replace(best.last, labels=labels))


def fitted_at(best: Restart, n_init: int, home: Place, place: Place) -> Fitted:
    """What a fit at `place` has found, its arrays where results go."""
    # the library at home may take what it can share alone, as centres are, and nothing of the host
    weights = best.weights if home == HOST else asarray(best.weights, place)
    arrays = best.last.centers, best.last.labels, weights
    centers, labels, counts = (asarray(array, home) for array in arrays)
    return Fitted(best, n_init, centers, labels, counts, device_name(place))
