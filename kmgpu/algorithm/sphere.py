"""Centres of length 1: the refitting step of spherical k-means, on any engine of k-means."""

from __future__ import annotations

import numpy as np

from kmgpu.algorithm.assignment import distances
from kmgpu.algorithm.losses import L2, Loss
from kmgpu.algorithm.steps import Steps, cluster_weights
from kmgpu.backend.arrays import Array, asarray, place_of


class OnSphere:
    """The half-steps of unit rows by an engine of k-means, whose means are divided by their length.

    Of all unit centres, Σ w (1 - x·µ) is least at the direction of the mean. A cluster whose rows
    cancel, and one without rows, keeps its centre. The loss at a unit centre is the one at the mean
    and weight × ‖µ - mean‖² more, so it takes no pass over the rows.

    Parameters
    ----------
    steps : Steps
        Of unit rows, with squared costs.
    sample_weight : array of shape (n_samples,), float64, or None
    """

    def __init__(self, steps: Steps, sample_weight: Array | None) -> None:
        self._steps, self._weight = steps, sample_weight
        self._centers: Array = None
        self.costs, self.costliest, self.move = steps.costs, steps.costliest, steps.move
        self.gathered_labels = getattr(steps, "gathered_labels", None)

    @property
    def labels(self) -> Array:
        return self._steps.labels

    @property
    def sizes(self) -> np.ndarray:
        return self._steps.sizes

    @property
    def masses(self) -> np.ndarray:
        """Weight of the rows of each cluster, (n_clusters,), float64."""
        return cluster_weights(self._steps, self._weight)

    def assign(
        self, centers: Array, refit_follows: bool = False, labels: Array | None = None
    ) -> tuple[float, int]:
        self._centers = centers
        return self._steps.assign(centers, refit_follows, labels)

    def refit(self) -> tuple[Array, float, float]:
        means, value, _ = self._steps.refit()
        xp, _ = place = place_of(means)
        length = xp.sqrt(xp.sum(means * means, axis=1, keepdims=True))
        empty = asarray(self.sizes == 0, place)[:, None]
        kept = xp.logical_or(empty, length == 0)
        unit = means / xp.where(kept, xp.ones_like(length), length)
        unit = xp.where(kept, self._centers, unit)
        more = asarray(self.masses, place) * L2.cost(unit - means)
        shift = L2.cost(unit - self._centers)
        return unit, value + float(xp.sum(more)), float(xp.sum(shift))


def fitting(steps: Steps, loss: Loss, sample_weight: Array | None) -> Steps:
    """The engine as the loss refits: `steps` itself unless centres must have length 1."""
    return OnSphere(steps, sample_weight) if loss.unit else steps


def reported_distances(x: Array, centers: Array, loss: Loss, memory_budget: int | None) -> Array:
    """As `distances`, which are 1 - cos for unit rows."""
    if not loss.unit:
        return distances(x, centers, loss, memory_budget)
    # squares keep the order of floats this far from underflow
    apart = distances(x, centers, L2, memory_budget)
    return 0.5 * apart * apart
