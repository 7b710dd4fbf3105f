"""The two half-steps on one data set, and what they remember of each other.

`ReferenceSteps` is built of Array API calls and of the kernels that run in place of some of them.
An engine of kernels (`kmgpu.kernels.cpu`) may keep bounds or sums from one half-step to the next.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from kmgpu.algorithm.assignment import costs_at, nearest, weighted_sum
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.refit import Groups, group_rows, means
from kmgpu.backend.arrays import Array, namespace, place_of, to_host
from kmgpu.backend.blocks import block_bytes
from kmgpu.kernels.agreement import CANCELLED, costliest
from kmgpu.kernels.dispatch import replaceable


class Steps(Protocol):
    """What the loop needs of an engine.

    Attributes
    ----------
    labels : array of shape (n_samples,), int32, or None
        The present assignment; None where an engine over blocks has not gathered it.
    sizes : numpy.ndarray of shape (n_clusters,), int64
        Rows of positive weight in each cluster under it, on the host.
    """

    @property
    def labels(self) -> Array: ...

    @property
    def sizes(self) -> np.ndarray: ...

    def assign(
        self, centers: Array, refit_follows: bool = False, labels: Array | None = None
    ) -> tuple[float, int]:
        """Assign every row to its nearest centre.

        Returns the loss and the number of rows of positive weight whose label is not that of the
        last assignment (all of them at the first call), whatever was moved since. With
        `refit_follows`, an engine may begin the refit before it waits for these two numbers.
        `labels`, where given, are known to be the nearest centres, so an engine may skip the
        search.
        """
        ...

    def refit(self) -> tuple[Array, float, float]:
        """The optimal centres of the present labels, float64; the loss there; the shift.

        The shift is the total cost between these centres and those assigned to.
        """
        ...

    def costs(self) -> Array:
        """Cost of every row, unweighted, at the centres last assigned to."""
        ...

    def costliest(self, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of largest weighted cost; see `kmgpu.kernels.agreement.costliest`."""
        ...

    def move(self, rows: list[int], clusters: list[int]) -> None:
        """Relabel a few rows (the relocation of empty clusters)."""
        ...


@replaceable
def engine(
    x: Array,
    sample_weight: Array | None,
    n_clusters: int,
    loss: Loss,
    memory_budget: int | None = None,
    algorithm: str = "auto",
) -> Steps:
    """The engine for this data: `ReferenceSteps`, unless a kernel's runs in its place.

    Parameters are those of `ReferenceSteps`, which always computes every distance, and `algorithm`:
    "dense" forbids bounds on distances, "elkan" asks for them, "auto" leaves it to the engine.
    """
    del algorithm
    return ReferenceSteps(x, sample_weight, n_clusters, loss, memory_budget)


class _Refit(NamedTuple):
    """A refit whose numbers the host does not know yet.

    Attributes
    ----------
    centers : array of shape (n_clusters, n_features), float64
    value, shift : 0-d arrays
    by_difference : bool
        Whether `value` is the loss of the assignment less what the refit gained.
    """

    centers: Array
    value: Array
    shift: Array
    by_difference: bool


class ReferenceSteps:
    """The half-steps, one function after the other: right on every backend.

    A GPU works while the host waits for a number, and the host has nothing to launch meanwhile.
    So on a GPU the expected refit is launched before the assignment's numbers are read, and one
    small copy brings the numbers of both. If no label changed, the loop ends and that refit is
    wasted. Three things cost another copy: a relocation; a refit that leaves at most `CANCELLED` of
    the loss; and what functions without a kernel read themselves.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
    sample_weight : array of shape (n_samples,), float64, beside `x`, or None
    n_clusters : int
    loss : Loss
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.
    """

    labels: Array

    def __init__(
        self,
        x: Array,
        sample_weight: Array | None,
        n_clusters: int,
        loss: Loss,
        memory_budget: int | None = None,
    ) -> None:
        self._loss = loss
        self._x = x
        self._weight = sample_weight
        self._n_clusters = n_clusters
        self._memory_budget = memory_budget
        self._runs_ahead = place_of(x).on_gpu
        self._assigned: Array = None  # labels before any move
        self._centers: Array = None
        self._costs: Array = None
        self._known = 0.0
        self._relabelled(None)

    def _relabelled(self, value: Array | None) -> None:
        """Forget what belongs to earlier labels; `value` is the loss at these, if it is known."""
        self._value = value
        self._groups: Groups | None = None
        self._sizes: np.ndarray | None = None
        self._begun: tuple[_Refit, list[float]] | None = None

    @property
    def sizes(self) -> np.ndarray:
        if self._sizes is None:
            self._sizes = np.diff(self._grouped().host_bounds)
        return self._sizes

    def assign(
        self, centers: Array, refit_follows: bool = False, labels: Array | None = None
    ) -> tuple[float, int]:
        if labels is None:
            labels = nearest(self._x, centers, self._loss, self._memory_budget)
        changed = self._n_changed(labels)
        self.labels = self._assigned = labels
        self._centers = centers
        self._costs = costs_at(self._x, centers, labels, self._loss, self._memory_budget)
        self._relabelled(weighted_sum(self._costs, self._weight))
        if refit_follows and self._runs_ahead:
            begun = self._refit()
            sizes = self._grouped().sizes
            numbers = read_numbers(self._value, changed, begun.value, begun.shift, sizes)
            self._begun = begun, numbers[2:4]
            self._sizes = np.asarray(numbers[4:], dtype=np.int64)
        else:
            numbers = read_numbers(self._value, changed)
        self._known = numbers[0]
        return self._known, int(numbers[1])

    def refit(self) -> tuple[Array, float, float]:
        if self._begun is None:
            refit = self._refit()
            self._begun = refit, read_numbers(refit.value, refit.shift)
        refit, (value, shift) = self._begun
        if refit.by_difference and not value > CANCELLED * self._known:
            (value,) = read_numbers(self._loss_at(refit.centers))
        return refit.centers, value, shift

    def costs(self) -> Array:
        return self._costs

    def costliest(self, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return costliest(self._costs, self._weight, self.labels, n_rows)

    def move(self, rows: list[int], clusters: list[int]) -> None:
        labels = namespace(self.labels).asarray(self.labels, copy=True)
        for row, cluster in zip(rows, clusters, strict=True):
            labels[row] = cluster
        self.labels = labels
        self._relabelled(None)

    def _refit(self) -> _Refit:
        """Launch the refit; where kernels stand in, nothing is read by the host."""
        budget = block_bytes(place_of(self._centers), self._memory_budget)
        groups = self._grouped()
        centers = self._loss.refit(self._x, groups, self._weight, self._centers, budget)
        xp = namespace(centers)
        gains = self._loss.cost(centers - self._centers)
        by_difference = self._loss.squared and self._weight is None and self._value is not None
        value = (
            self._value - weighted_sum(gains, xp.astype(groups.sizes, xp.float64))
            if by_difference
            else self._loss_at(centers)
        )
        return _Refit(centers, value, xp.sum(gains), by_difference)

    def _loss_at(self, centers: Array) -> Array:
        costs = costs_at(self._x, centers, self.labels, self._loss, self._memory_budget)
        return weighted_sum(costs, self._weight)

    def _grouped(self) -> Groups:
        if self._groups is None:
            self._groups = group_rows(self.labels, self._n_clusters, self._weight)
        return self._groups

    def _n_changed(self, labels: Array) -> Array:
        xp = namespace(labels)
        if self._centers is None:
            return xp.count_nonzero(labels >= 0)
        changed = labels != self._assigned
        if self._weight is not None:
            changed = xp.logical_and(changed, self._weight > 0)
        return xp.count_nonzero(changed)


def labels_to_keep(steps: Steps) -> Array:
    """The present labels, whatever the engine does next; an engine over blocks gathers them."""
    gathered = getattr(steps, "gathered_labels", None)
    if gathered is not None:
        return gathered()
    return namespace(steps.labels).asarray(steps.labels, copy=True)


@runtime_checkable
class Weighing(Protocol):
    """Half-steps that know the weights of rows, which may be in no one place."""

    @property
    def masses(self) -> np.ndarray:
        """Weight of the rows of each cluster, (n_clusters,), float64."""
        ...


def cluster_weights(steps: Steps, sample_weight: Array | None) -> np.ndarray:
    """Weight of the rows of each cluster as they are now, (n_clusters,) float64, on the host."""
    if isinstance(steps, Weighing):
        return steps.masses
    if sample_weight is None:
        return steps.sizes.astype(np.float64)
    return weight_sums(steps.labels, sample_weight, len(steps.sizes))


def weight_sums(labels: Array, sample_weight: Array | None, n_clusters: int) -> np.ndarray:
    """Sum of the weights of each label, (n_clusters,) float64; no more comes to the host.

    Parameters
    ----------
    labels : array of shape (n_samples,), int32
    sample_weight : array of shape (n_samples,), float64, beside `labels`, or None for 1 each
    n_clusters : int
    """
    if isinstance(labels, np.ndarray):
        counts = np.bincount(labels, sample_weight, minlength=n_clusters)
        return counts.astype(np.float64, copy=False)
    xp, device = place = place_of(labels)
    groups = group_rows(labels, n_clusters)
    counts = np.diff(to_host(groups.bounds)).astype(np.float64)
    if sample_weight is None:
        return counts
    nothing = xp.zeros((n_clusters, 1), dtype=xp.float64, device=device)
    budget = block_bytes(place, None)
    found = means(xp.reshape(sample_weight, (-1, 1)), groups, None, nothing, budget)
    return counts * to_host(found)[:, 0]


def read_numbers(*values: Array) -> list[float]:
    """The numbers in 0-d and 1-d arrays of one place, by one copy to the host."""
    xp = namespace(values[0])
    parts = [xp.reshape(xp.astype(value, xp.float64), (-1,)) for value in values]
    return to_host(xp.concat(parts)).tolist()
