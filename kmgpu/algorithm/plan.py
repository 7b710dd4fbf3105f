"""What a fit is told and what it finds: plan, data, state and outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import numpy as np

from kmgpu.algorithm.lloyd import HalfStep, Pause
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.progress import Progress
from kmgpu.algorithm.scale import check_scale
from kmgpu.algorithm.seeding import Start, initial_centers
from kmgpu.algorithm.sphere import fitting
from kmgpu.algorithm.spread import scaled_tolerance
from kmgpu.algorithm.steps import Steps, engine
from kmgpu.backend.arrays import (
    Array,
    Place,
    asarray,
    parts_on_host,
    picked_rows,
    place_of,
    to_host,
)

# that `ArrayData.facts` looks at
FEW_ROWS = 256


class HistoryEntry(NamedTuple):
    """One half-step of a fit: what a `HalfStep` says, without the arrays."""

    kind: str
    iteration: int
    loss: float
    shift: float
    n_changed: int
    n_relocated: int


def entry_of(step: HalfStep) -> HistoryEntry:
    """What is kept of a half-step that is not the initialisation."""
    assert step.loss is not None
    told = step.loss, step.shift, step.n_changed, step.n_relocated
    return HistoryEntry(step.kind, step.iteration, *told)


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
    weights. `watch` is called after every half-step, and says whether the fit shall end there.
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
    checkpoint: Checkpoint | None = None
    watch: Callable[[HalfStep], bool] | None = None


@dataclass
class State:
    """Where a fit is between two iterations.

    Attributes
    ----------
    best : Restart or None
        Of the restarts that have ended; it has no labels where it was read from a file.
    n_ended : int
        How many these are.
    pause : Pause or None
        Where the present restart is; None at its beginning.
    history : list of HistoryEntry
        What the present restart has done.
    random : dict
        The state of the random generator after the last draw.
    """

    best: Restart | None = None
    n_ended: int = 0
    pause: Pause | None = None
    history: list[HistoryEntry] = field(default_factory=list)
    random: dict[str, Any] = field(default_factory=dict)


class Checkpoint(Protocol):
    """Where the state of a fit is kept; `facts` tell of the data."""

    def load(self, facts: dict[str, Any]) -> State | None:
        """The state that was saved, its arrays on the host; None if there is none."""
        ...

    def save(self, facts: dict[str, Any], state: State) -> None: ...

    def clear(self) -> None:
        """Forget it: the fit has ended."""
        ...


class Data(Protocol):
    """What restarts need of the data, wherever they are."""

    @property
    def place(self) -> Place:
        """Of centres."""
        ...

    @property
    def sample_weight(self) -> Array | None: ...

    def tolerance(self, plan: Plan) -> float:
        """Check the scale of the data; the tolerance in their units."""
        ...

    def engine(self, plan: Plan) -> Steps:
        """A new engine."""
        ...

    def start(self, plan: Plan) -> Start:
        """Initial centres."""
        ...

    def facts(self) -> dict[str, Any]:
        """What tells other data from these: text and numbers."""
        ...


class ArrayData(NamedTuple):
    """Data that are one array, `x`, with the weights of its rows."""

    x: Array
    sample_weight: Array | None

    @property
    def place(self) -> Place:
        return place_of(self.x)

    def tolerance(self, plan: Plan) -> float:
        x, weight, budget = self.x, self.sample_weight, plan.memory_budget
        check_scale(x, weight, plan.loss, budget)
        return scaled_tolerance(x, weight, plan.loss, plan.tol, budget)

    def engine(self, plan: Plan) -> Steps:
        x, weight, budget = self.x, self.sample_weight, plan.memory_budget
        steps = engine(x, weight, plan.n_clusters, plan.loss, budget, plan.algorithm)
        return fitting(steps, plan.loss, weight)

    def start(self, plan: Plan) -> Start:
        return initial_centers(
            self.x, plan.init, plan.n_clusters, plan.loss, self.sample_weight, plan.rng,
            plan.memory_budget,
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        n = self.x.shape[0]
        few = np.unique(np.linspace(0, n - 1, FEW_ROWS).astype(np.int64))
        rows = parts_on_host(picked_rows(self.x, asarray(few, self.place)))
        told = {
            "shape": list(self.x.shape),
            "rows": digest(*(part.astype(np.float64) for part in rows)),
        }
        if self.sample_weight is not None:
            told["weights"] = digest(to_host(self.sample_weight))
        return told


def digest(*arrays: np.ndarray) -> str:
    """A short text that is another for other numbers."""
    found = sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
