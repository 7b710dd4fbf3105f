"""Restarts of the loop from several initialisations, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from kmgpu.algorithm.lloyd import HalfStep, half_steps
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.progress import Progress
from kmgpu.algorithm.scale import check_scale
from kmgpu.algorithm.seeding import Start, initial_centers
from kmgpu.algorithm.sphere import fitting
from kmgpu.algorithm.spread import scaled_tolerance
from kmgpu.algorithm.steps import Steps, cluster_weights, engine
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import Array

# a restart that is better by rounding alone is the same clustering
LEAST_GAIN = 1e-12


class HistoryEntry(NamedTuple):
    """One half-step of a fit: what a `HalfStep` says, without the arrays."""

    kind: str
    iteration: int
    loss: float
    shift: float
    n_changed: int
    n_relocated: int


class Restart(NamedTuple):
    """The outcome of one restart.

    Attributes
    ----------
    last : HalfStep
        The result: centres, and the labels and loss that belong to them.
    history : tuple of HistoryEntry
        Every half-step after the initialisation.
    loss : float
    weights : numpy.ndarray of shape (n_clusters,), float64
        Of the rows of each cluster.
    """

    last: HalfStep
    history: tuple[HistoryEntry, ...]
    loss: float
    weights: np.ndarray

    @property
    def n_found(self) -> int:
        """Clusters that hold a row of positive weight."""
        return int(np.count_nonzero(self.weights))


@dataclass(frozen=True)
class Plan:
    """What to run: the parameters of an estimator, checked and resolved.

    `dtype` is that of the resulting centres. Losses are those of `weight_factor` times the
    weights.
    """

    loss: Loss
    n_clusters: int
    dtype: Any
    init: Any
    n_init: int
    max_iter: int
    tol: float
    empty_cluster: str
    memory_budget: int | None
    algorithm: str
    weight_factor: float
    rng: np.random.Generator
    progress: Progress


class Data(Protocol):
    """What restarts need of the data, wherever they are."""

    @property
    def sample_weight(self) -> Array | None: ...

    def begin(self, plan: Plan) -> tuple[Steps, float]:
        """Check the scale of the data; the engine, and the tolerance in units of the data."""
        ...

    def start(self, plan: Plan) -> Start:
        """Initial centres."""
        ...


class ArrayData(NamedTuple):
    """Data that are one array, `x`, with the weights of its rows."""

    x: Array
    sample_weight: Array | None

    def begin(self, plan: Plan) -> tuple[Steps, float]:
        x, weight, budget = self.x, self.sample_weight, plan.memory_budget
        check_scale(x, weight, plan.loss, budget)
        tol = scaled_tolerance(x, weight, plan.loss, plan.tol, budget)
        steps = engine(x, weight, plan.n_clusters, plan.loss, budget, plan.algorithm)
        return fitting(steps, plan.loss, weight), tol

    def start(self, plan: Plan) -> Start:
        return initial_centers(
            self.x, plan.init, plan.n_clusters, plan.loss, self.sample_weight, plan.rng,
            plan.memory_budget,
        )  # fmt: skip


def best_restart(data: Data, plan: Plan) -> Restart:
    """Run the loop `plan.n_init` times; the restart of lowest loss, the first of equals."""
    steps, tol = data.begin(plan)
    best: Restart | None = None
    for _ in range(plan.n_init):
        start = data.start(plan)
        if plan.loss.unit and not isinstance(plan.init, str):
            start = Start(unit_rows(start.centers, "init"))
        plan.progress.say("Initialization complete")
        found = _restart(steps, data.sample_weight, start, tol, plan)
        if best is None or found.loss < best.loss * (1 - LEAST_GAIN):
            best = found
    assert best is not None
    return best


def _restart(
    steps: Steps, sample_weight: Array | None, start: Start, tol: float, plan: Plan
) -> Restart:
    loop = half_steps(
        steps,
        sample_weight,
        start.centers,
        plan.dtype,
        start.labels,
        weight_factor=plan.weight_factor * plan.loss.factor,
        max_iter=plan.max_iter,
        tol=tol,
        empty_cluster=plan.empty_cluster,
    )
    history: list[HistoryEntry] = []
    for step in plan.progress.shown(loop):
        if step.loss is None:
            continue
        history.append(
            HistoryEntry(
                step.kind, step.iteration, step.loss, step.shift, step.n_changed, step.n_relocated
            )
        )
        if step.kind == "refit":
            plan.progress.say(f"Iteration {step.iteration}, inertia {step.loss}.")
    if step.stop == "labels":
        plan.progress.say(f"Converged at iteration {step.iteration}: strict convergence.")
    elif step.stop == "shift":
        shift = history[-2].shift
        plan.progress.say(
            f"Converged at iteration {step.iteration}: center shift {shift} within tolerance {tol}."
        )
    weights = plan.weight_factor * cluster_weights(steps, sample_weight)
    return Restart(step, tuple(history), history[-1].loss, weights)
