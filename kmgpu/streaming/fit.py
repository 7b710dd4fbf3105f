"""A fit of rows that are read block by block: what restarts ask of a source."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmgpu.algorithm.assignment import nearest
from kmgpu.algorithm.plan import Plan, digest
from kmgpu.algorithm.seeding import Start
from kmgpu.algorithm.sphere import fitting
from kmgpu.algorithm.steps import Steps
from kmgpu.backend.arrays import HOST, Place, is_narrow, to_host
from kmgpu.backend.blocks import kept_bytes
from kmgpu.sources.base import Source
from kmgpu.streaming.brackets import Sample
from kmgpu.streaming.sample import drawn_rows
from kmgpu.streaming.seeding import streamed_start
from kmgpu.streaming.steps import StreamedSteps
from kmgpu.streaming.survey import Extent, spread
from kmgpu.streaming.tasks import Task

SAMPLE = 1 << 16  # rows that choose brackets, at most,
LEAST_SAMPLE = 1 << 12  # and at least;
SAMPLED = 1 << 6  # one in so many in between;
OF_A_CLUSTER = 1 << 7  # but so many for each cluster, as fewer tell little of its medians, within
MOST_SAMPLED = 1 << 26  # so many numbers, a quarter of the rows and the memory that may be kept
BYTES_OF_SAMPLE = 32  # a number, with what drawing and sorting it take
BYTES_OF_LABELS = 12  # a row: its label, that of the bounds, and the one that users get
MOST_COLLECTED = 1 << 23  # values that a refit of k-medians holds


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

    @property
    def place(self) -> Place:
        return HOST

    def tolerance(self, plan: Plan) -> float:
        if not plan.tol:
            return 0.0
        return plan.tol * spread(self._source, self._extent, plan.loss, plan.memory_budget)

    def engine(self, plan: Plan) -> Steps:
        source, loss, budget = self._source, plan.loss, plan.memory_budget
        n, d = source.n_samples, source.n_features
        n_bytes = n * d * source.dtype.itemsize
        kept = kept_bytes(n_bytes, budget)
        room = max(0.0, kept / n - BYTES_OF_LABELS)
        sample, most = None, MOST_COLLECTED
        if plan.algorithm == "dense":
            room = 0.0
        if not loss.squared:
            most_sampled = min(MOST_SAMPLED, kept // BYTES_OF_SAMPLE) // d
            wanted = min(OF_A_CLUSTER * plan.n_clusters, n // 4, most_sampled)
            n_sampled = max(int(np.clip(n // SAMPLED, LEAST_SAMPLE, SAMPLE)), wanted)
            if budget is not None:
                n_sampled = int(np.clip(n_sampled, 2, budget // (64 * d)))
                most = int(np.clip(most, 1 << 10, budget // 64))
            rows = drawn_rows(source, n_sampled, np.random.default_rng(0))
            rows = np.ascontiguousarray(rows, np.float32 if is_narrow(rows) else np.float64)
            sample = Sample(rows, lambda x, centers: nearest(x, centers, loss))
        task = Task(loss, budget, room)
        self.steps = StreamedSteps(source, plan.n_clusters, task, sample, most, self._extent.mass)
        return fitting(self.steps, loss, self.sample_weight)

    def facts(self) -> dict[str, Any]:
        extent = self._extent
        shape = [extent.n_rows, self._source.n_features]
        arrays = extent.mean, extent.squares, extent.low, extent.high
        return {"shape": shape, "rows": digest(np.array(extent.mass), *arrays)}

    def start(self, plan: Plan) -> Start:
        found = streamed_start(
            self._source, plan.init, plan.n_clusters, plan.loss, plan.rng, plan.memory_budget
        )
        return Start(to_host(found.centers))
