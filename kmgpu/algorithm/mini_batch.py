"""Mini-batches: centres that are running means of every row that they have been given."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.lloyd import assigned
from kmgpu.algorithm.steps import Steps, cluster_weights
from kmgpu.backend.arrays import Array, asarray, namespace, place_of


class Running(NamedTuple):
    """What is kept from one batch to the next.

    Attributes
    ----------
    centers : array of shape (n_clusters, n_features), float64
        They are float64 whatever the data are: a step of 1 / count is soon below float32's.
    counts : numpy.ndarray of shape (n_clusters,), float64
        Weight of the rows that each centre has been given so far.
    """

    centers: Array
    counts: np.ndarray


class Batch(NamedTuple):
    """What one batch left behind.

    Attributes
    ----------
    running : Running
    centers : array of shape (n_clusters, n_features)
        The centres in the dtype of the data.
    labels : array of shape (n_samples,), int32
        Of the batch, at these centres.
    loss : float
        Of the batch, at these centres.
    """

    running: Running
    centers: Array
    labels: Array
    loss: float


def mini_batch(
    steps: Steps,
    sample_weight: Array | None,
    weight_factor: float,
    running: Running,
    dtype: Any,
    labels: Array | None = None,
) -> Batch:
    """Move each centre to the mean of the rows it had and those of the batch nearest to it.

    All rows of the batch are assigned first. Then each, one after the other, moves its centre a
    share 1 / count of the way to itself, which ends at that mean; it is computed at once, as the
    centre's way to the mean of its rows of the batch. A centre without a row in the batch stays.

    Parameters
    ----------
    steps : Steps
        The engine on the rows of the batch.
    sample_weight : array of shape (n_samples,), float64, or None
    weight_factor : float
        What these weights are multiplied by.
    running : Running
        Counts of 0 forget their centres at the first row.
    dtype : dtype
        Of the resulting centres.
    labels : array of shape (n_samples,), int32, optional
        The nearest centres, where seeding knows them.

    References
    ----------
    D. Sculley, "Web-scale k-means clustering", WWW 2010, algorithm 1.
    """
    centers, counts = running
    assigned(steps, sample_weight, weight_factor, centers, True, labels)
    arrived = weight_factor * cluster_weights(steps, sample_weight)
    means, _, _ = steps.refit()
    counts = counts + arrived
    share = np.divide(arrived, counts, out=np.zeros_like(counts), where=arrived > 0)
    xp, _ = place = place_of(centers)
    step = asarray(share[:, None], place)
    moved = xp.where(step == 1, means, centers + step * (means - centers))
    rounded = xp.astype(moved, dtype)
    loss, _ = assigned(steps, sample_weight, weight_factor, xp.astype(rounded, xp.float64))
    labels = namespace(steps.labels).asarray(steps.labels, copy=True)
    return Batch(Running(moved, counts), rounded, labels, loss)
