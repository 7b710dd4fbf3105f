"""A fit of rows that are read block by block: what restarts ask of a source."""

from __future__ import annotations

import numpy as np

from kmgpu.algorithm.assignment import nearest
from kmgpu.algorithm.restarts import Plan
from kmgpu.algorithm.seeding import Start, initial_centers, random_rows
from kmgpu.backend.arrays import is_narrow
from kmgpu.backend.blocks import kept_bytes
from kmgpu.sources.base import Source
from kmgpu.streaming.brackets import Sample
from kmgpu.streaming.sample import drawn_rows, rows_at
from kmgpu.streaming.steps import StreamedSteps, Task
from kmgpu.streaming.survey import Extent, spread

SAMPLE = 1 << 16  # rows that choose brackets, at most,
LEAST_SAMPLE = 1 << 12  # and at least;
SAMPLED = 1 << 6  # one in so many in between
SEEDING = 1 << 16  # rows among which initial centres are chosen
MOST_COLLECTED = 1 << 23  # values that a refit of k-medians holds
BYTES_OF_ROW = 24  # labels, their copy and weights


class StreamedData:
    """The rows of a source, as `kmgpu.algorithm.restarts.Data`.

    Parameters
    ----------
    source : Source
    extent : Extent
        What `survey` has found.
    sample_weight : ndarray of shape (n_samples,), float64, or None
        On the host; the source has them, too.
    """

    def __init__(
        self, source: Source, extent: Extent, sample_weight: np.ndarray | None = None
    ) -> None:
        self._source, self._extent = source, extent
        self.sample_weight = sample_weight
        self.steps: StreamedSteps

    def begin(self, plan: Plan) -> tuple[StreamedSteps, float]:
        source, loss, budget = self._source, plan.loss, plan.memory_budget
        n, d = source.n_samples, source.n_features
        tol = plan.tol * spread(source, self._extent, loss, budget) if plan.tol else 0.0
        n_bytes = n * d * source.dtype.itemsize
        room = kept_bytes(n_bytes, budget) / n
        sample, most = None, MOST_COLLECTED
        if plan.algorithm == "dense":
            room = 0.0
        if not loss.squared:
            n_sampled = int(np.clip(n // SAMPLED, LEAST_SAMPLE, SAMPLE))
            if budget is not None:
                n_sampled = int(np.clip(n_sampled, 2, budget // (64 * d)))
                most = int(np.clip(most, 1 << 10, budget // 64))
            rows = drawn_rows(source, n_sampled, np.random.default_rng(0))
            rows = np.ascontiguousarray(rows, np.float32 if is_narrow(rows) else np.float64)
            sample = Sample(rows, lambda x, centers: nearest(x, centers, loss))
        task = Task(loss, budget, room)
        self.steps = StreamedSteps(source, plan.n_clusters, task, sample, most, self._extent.mass)
        return self.steps, tol

    def start(self, plan: Plan) -> Start:
        source, k = self._source, plan.n_clusters
        if isinstance(plan.init, np.ndarray):
            return Start(plan.init)
        if isinstance(plan.init, str) and plan.init == "random":
            indices = random_rows(source.n_samples, k, self.sample_weight, plan.rng)
            order = np.argsort(indices, kind="stable")
            rows = np.empty((k, source.n_features))
            rows[order] = rows_at(source, indices[order])[0]
            return Start(rows)
        sample = drawn_rows(source, max(SEEDING, k), plan.rng)
        found = initial_centers(sample, plan.init, k, plan.loss, None, plan.rng, plan.memory_budget)
        return Start(found.centers)
