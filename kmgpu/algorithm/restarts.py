"""Restarts of the loop from several initialisations, and the best of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.lloyd import HalfStep, half_steps
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.scale import check_scale
from kmgpu.algorithm.seeding import Start, initial_centers
from kmgpu.algorithm.spread import scaled_tolerance
from kmgpu.algorithm.steps import Steps, engine
from kmgpu.backend.arrays import Array, namespace

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


class Run(NamedTuple):
    """The outcome of one restart.

    Attributes
    ----------
    last : HalfStep
        The result: centres, and the labels and loss that belong to them.
    history : tuple of HistoryEntry
        Every half-step after the initialisation.
    loss : float
    n_found : int
        Clusters that hold a row of positive weight.
    """

    last: HalfStep
    history: tuple[HistoryEntry, ...]
    loss: float
    n_found: int


@dataclass(frozen=True)
class Plan:
    """What to run: the parameters of an estimator, checked and resolved.

    `dtype` is that of the resulting centres. Losses are those of `weight_factor` times the
    weights. `watch` passes the half-steps through (a progress bar), `say` takes messages on the
    way.
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
    watch: Callable[[Iterator[HalfStep]], Iterator[HalfStep]]
    say: Callable[[str], None]


def best_run(x: Array, sample_weight: Array | None, plan: Plan) -> Run:
    """Run the loop `plan.n_init` times and return the run of lowest loss, the first of equals."""
    check_scale(x, sample_weight, plan.loss, plan.memory_budget)
    tol = scaled_tolerance(x, sample_weight, plan.loss, plan.tol, plan.memory_budget)
    steps = engine(x, sample_weight, plan.n_clusters, plan.loss, plan.memory_budget, plan.algorithm)
    best: Run | None = None
    for _ in range(plan.n_init):
        start = initial_centers(
            x, plan.init, plan.n_clusters, plan.loss, sample_weight, plan.rng, plan.memory_budget
        )
        plan.say("Initialization complete")
        run = _run(steps, sample_weight, start, tol, plan)
        if best is None or run.loss < best.loss * (1 - LEAST_GAIN):
            best = run
    assert best is not None
    return best


def _run(steps: Steps, sample_weight: Array | None, start: Start, tol: float, plan: Plan) -> Run:
    loop = half_steps(
        steps,
        sample_weight,
        start.centers,
        plan.dtype,
        start.labels,
        weight_factor=plan.weight_factor,
        max_iter=plan.max_iter,
        tol=tol,
        empty_cluster=plan.empty_cluster,
    )
    history: list[HistoryEntry] = []
    for step in plan.watch(loop):
        if step.loss is None:
            continue
        history.append(
            HistoryEntry(
                step.kind, step.iteration, step.loss, step.shift, step.n_changed, step.n_relocated
            )
        )
        if step.kind == "refit":
            plan.say(f"Iteration {step.iteration}, inertia {step.loss}.")
    if step.stop == "labels":
        plan.say(f"Converged at iteration {step.iteration}: strict convergence.")
    elif step.stop == "shift":
        shift = history[-2].shift
        plan.say(
            f"Converged at iteration {step.iteration}: center shift {shift} within tolerance {tol}."
        )
    if plan.n_init > 1:  # the next run overwrites the engine's own
        step = replace(step, labels=namespace(step.labels).asarray(step.labels, copy=True))
    return Run(step, tuple(history), history[-1].loss, int(np.count_nonzero(steps.sizes)))
