"""One row: every engine in its own process, in turn, round after round."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.client import Client, EngineError
from benchmarks.losses import loss
from benchmarks.peers import Engine
from benchmarks.rows import Row, initial_centers
from benchmarks.sparse import save

PROBE_ITERATIONS = 2
MEMORY_ITERATIONS = 5
# OpenMP threads spin for a while after their last work, and would take it from the next engine
SETTLE_SECONDS = 0.3


@dataclass(frozen=True)
class Task:
    """What to time on a row.

    Attributes
    ----------
    row : Row
    do : str
        The worker's command: "fit" (given centres), "default" or "predict".
    n_threads : int
    n_iter : int
        At most so many iterations; fewer, the same for all, where the first engine converges.
    repeat : int
        Calls of which one measurement is the median.
    """

    row: Row
    do: str
    n_threads: int
    n_iter: int = 25
    repeat: int = 1


@dataclass
class Outcome:
    """What one engine did on one task; times in seconds.

    Attributes
    ----------
    first_extra : float or None
        What the first call in a process took beyond the second.
    scaled : bool
        Whether the time is that of fewer iterations, scaled up.
    memory : int or None
        Peak bytes beyond the data and the imports.
    why_not : str or None
        Why there is no time.
    """

    engine: str
    exact: bool
    seconds: list[float] = field(default_factory=list)
    n_iter: int = 0
    first_extra: float | None = None
    scaled: bool = False
    loss: float | None = None
    memory: int | None = None
    why_not: str | None = None

    @property
    def median(self) -> float | None:
        return median(self.seconds) if self.seconds else None


def ratio(peer: Outcome, ours: Outcome) -> float | None:
    """The median over rounds of the peer's time over ours; above 1 we are faster."""
    if not peer.seconds or not ours.seconds:
        return None
    if 1 in (len(peer.seconds), len(ours.seconds)):
        return median(peer.seconds) / median(ours.seconds)
    return median(a / b for a, b in zip(peer.seconds, ours.seconds, strict=False))


@dataclass(frozen=True)
class Limits:
    """How many rounds, how many seconds a call, and whether to measure memory."""

    rounds: int = 5
    seconds: float = 60.0
    memory: bool = True


class Measurement:
    """The processes of one task and what they have shown so far."""

    def __init__(self, task: Task, loss_name: str, limits: Limits, folder: Path) -> None:
        self._task, self._loss, self._limits, self._folder = task, loss_name, limits, folder
        self._x = task.row.make()
        self.shape = self._x.shape
        self.n_iter, self._settled = task.n_iter, False
        self._files = {"x": save(folder, self._x), "init": str(folder / "init.npy")}
        np.save(self._files["init"], initial_centers(self._x, task.row.n_clusters))

    def run(self, engines: list[Engine]) -> list[Outcome]:
        """Measure `engines`; the first one sets the common number of iterations."""
        outcomes = [Outcome(e.name, e.exact, why_not=e.absent()) for e in engines]
        if self._task.do == "fit" and self._limits.memory:
            self._guarded(engines, outcomes, self._weigh)
        with ExitStack() as stack:
            clients: dict[str, Client] = {}

            def start(engine: Engine, outcome: Outcome) -> None:
                clients[outcome.engine] = client = stack.enter_context(self._client(engine))
                client.ask("load", **self._files)
                if self._task.do == "fit":
                    self._probe(client, outcome)
                else:
                    client.ask(self._task.do, repeat=1, seed=0)

            self._guarded(engines, outcomes, start)
            for number in range(self._limits.rounds):
                self._guarded(
                    engines[:: -1 if number % 2 else 1],
                    outcomes[:: -1 if number % 2 else 1],
                    lambda engine, outcome, number=number: self._time(
                        clients[engine.name], outcome, number
                    ),
                )
        return outcomes

    def _guarded(self, engines: list[Engine], outcomes: list[Outcome], act: Any) -> None:
        for engine, outcome in zip(engines, outcomes, strict=True):
            if outcome.why_not is None:
                try:
                    act(engine, outcome)
                except EngineError as error:
                    outcome.why_not, outcome.seconds = str(error), []

    def _client(self, engine: Engine) -> Client:
        return Client(engine, self._task.n_threads, self._folder)

    def _weigh(self, engine: Engine, outcome: Outcome) -> None:
        with self._client(engine) as client:
            client.ask("load", **self._files)
            outcome.memory = client.ask("memory", n_iter=MEMORY_ITERATIONS)["bytes"]

    def _probe(self, client: Client, outcome: Outcome) -> None:
        """The first call apart; the common iterations; a part of a fit that takes too long."""
        probe = client.ask("fit", n_iter=PROBE_ITERATIONS)["seconds"]
        if probe <= self._limits.seconds:
            first, probe = probe, client.ask("fit", n_iter=PROBE_ITERATIONS)["seconds"]
            outcome.first_extra = first - probe
        affordable = max(2 * PROBE_ITERATIONS, int(self._limits.seconds / probe * PROBE_ITERATIONS))
        if affordable < self.n_iter:
            self._scale(client, outcome, probe, affordable)
        elif not self._settled and outcome.exact:
            self.n_iter = client.ask("fit", n_iter=self.n_iter)["n_iter"]
        self._settled = True

    def _scale(self, client: Client, outcome: Outcome, probe: float, affordable: int) -> None:
        """The time of `affordable` iterations and, at their mean cost, of the rest."""
        part = client.ask("fit", n_iter=affordable)
        outcome.n_iter = part["n_iter"]
        if outcome.n_iter < affordable:
            return
        # set-up and the last assignment are paid once, not per iteration
        per_iteration = (part["seconds"] - probe) / (affordable - PROBE_ITERATIONS)
        if per_iteration <= 0:
            per_iteration = part["seconds"] / affordable
        outcome.scaled = True
        outcome.seconds = [part["seconds"] + per_iteration * (self.n_iter - affordable)]

    def _time(self, client: Client, outcome: Outcome, number: int) -> None:
        if outcome.scaled or (outcome.seconds and outcome.seconds[0] > self._limits.seconds):
            return
        time.sleep(SETTLE_SECONDS)
        out = self._folder / f"{outcome.engine}.npy"
        answer = client.ask(
            self._task.do,
            n_iter=self.n_iter,
            repeat=self._task.repeat,
            seed=number * self._task.repeat,
            out=str(out),
        )
        outcome.seconds.append(answer["seconds"])
        outcome.n_iter = answer["n_iter"]
        if number == 0 and self._task.do != "predict":
            outcome.loss = loss(self._x, np.load(out), self._loss)
