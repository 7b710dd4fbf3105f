"""One task: every engine in its own process, in turn, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.client import Client, EngineError
from benchmarks.engine import Engine
from benchmarks.losses import loss
from benchmarks.rows import Row, initial_centers
from benchmarks.sparse import save

PROBE_ITERATIONS = 2
MEMORY_ITERATIONS = 5
# OpenMP threads spin for a while after their last work, and would take it from the next engine
SETTLE_SECONDS = 0.3
# The brute-force loss runs on the host: the rows of a GPU are too many for it.
CUDA_LOSS_ROWS = 20_000


@dataclass(frozen=True)
class Task:
    """What to time on a row.

    Attributes
    ----------
    row : Row
    loss, device : str
    do : str
        The worker's command: "fit" (given centres), "default" or "predict".
    n_threads : int
    n_iter : int
        At most so many iterations; fewer, the same for all, where the first engine converges.
    repeat : int
        Calls of which one measurement is the median.
    """

    row: Row
    loss: str
    do: str
    n_threads: int
    n_iter: int = 25
    repeat: int = 1
    device: str = "cpu"


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
    note: str = ""
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
    """How much may be measured.

    Attributes
    ----------
    rounds : int
    seconds : float
        A fit that would take longer is cut short and scaled up.
    timeout : float
        Seconds after which a worker that has not answered is killed.
    memory : bool
        Whether to measure it.
    until : float
        When all must be done, by ``time.monotonic()``.
    """

    rounds: int = 5
    seconds: float = 60.0
    timeout: float = 900.0
    memory: bool = True
    until: float = inf

    def left(self) -> float:
        """Seconds that one answer may take from now."""
        return max(0.0, min(self.timeout, self.until - time.monotonic()))


class Measurement:
    """The processes of one task and what they have shown so far."""

    def __init__(self, task: Task, x: Any, limits: Limits, folder: Path) -> None:
        self._task, self._limits, self._folder = task, limits, folder
        self.n_iter, self._settled = task.n_iter, False
        self._files = {"x": save(folder, x), "init": str(folder / "init.npy")}
        np.save(self._files["init"], initial_centers(x, task.row.n_clusters))
        self._cuda = task.device == "cuda"
        self._clients: dict[str, Client] = {}
        self._judged = x[:: max(1, x.shape[0] // CUDA_LOSS_ROWS)] if self._cuda else x

    def run(self, engines: list[Engine]) -> list[Outcome]:
        """Measure `engines`; the first one sets the common number of iterations."""
        pairs = [(e, Outcome(e.name, e.exact, e.note, why_not=e.absent())) for e in engines]
        if self._task.do == "fit" and self._limits.memory and not self._cuda:
            self._each(pairs, self._measure_memory)
        with ExitStack() as stack:

            def start(engine: Engine, outcome: Outcome) -> None:
                self._clients[engine.name] = client = stack.enter_context(self._client(engine))
                self._ask(client, "load", **self._files)
                self._probe(client, outcome)
                self._rest(client)

            self._each(pairs, start)
            for number in range(self._limits.rounds):
                begun = time.monotonic()

                def take_turn(engine: Engine, outcome: Outcome, number: int = number) -> None:
                    self._time(self._clients[engine.name], outcome, number)

                self._each(pairs[:: -1 if number % 2 else 1], take_turn)
                if self._limits.until < 2 * time.monotonic() - begun:
                    break  # another round would not be done in time
        return [outcome for _, outcome in pairs]

    def _each(
        self, pairs: list[tuple[Engine, Outcome]], act: Callable[[Engine, Outcome], None]
    ) -> None:
        """Act on every engine that has not failed; one that fails is stopped, and why is noted."""
        for engine, outcome in pairs:
            if outcome.why_not is None:
                try:
                    act(engine, outcome)
                except EngineError as error:
                    outcome.why_not, outcome.seconds = str(error), []
                    if engine.name in self._clients:
                        self._clients[engine.name].stop()

    def _client(self, engine: Engine) -> Client:
        return Client(engine, self._task.n_threads, self._folder)

    def _ask(self, client: Client, do: str, **arguments: Any) -> dict[str, Any]:
        return client.ask(do, self._limits.left(), **arguments)

    def _rest(self, client: Client) -> None:
        """Between turns a GPU's memory belongs to the next engine."""
        if self._cuda:
            self._ask(client, "rest")

    def _measure_memory(self, engine: Engine, outcome: Outcome) -> None:
        with self._client(engine) as client:
            self._ask(client, "load", **self._files)
            outcome.memory = self._ask(client, "memory", n_iter=MEMORY_ITERATIONS)["bytes"]

    def _probe(self, client: Client, outcome: Outcome) -> None:
        """Time the first call, agree on the iterations, and cut short what takes too long."""
        if self._task.do != "fit":
            self._ask(client, self._task.do, repeat=1, seed=0)
            return
        probe = self._ask(client, "fit", n_iter=PROBE_ITERATIONS)["seconds"]
        if probe <= self._limits.seconds:
            first, probe = probe, self._ask(client, "fit", n_iter=PROBE_ITERATIONS)["seconds"]
            outcome.first_extra = first - probe
        affordable = max(2 * PROBE_ITERATIONS, int(self._limits.seconds / probe * PROBE_ITERATIONS))
        if affordable < self.n_iter:
            self._scale(client, outcome, probe, affordable)
        elif not self._settled and outcome.exact:
            self.n_iter = self._ask(client, "fit", n_iter=self.n_iter)["n_iter"]
        self._settled = True

    def _scale(self, client: Client, outcome: Outcome, probe: float, affordable: int) -> None:
        """The time of `affordable` iterations and, at their mean cost, of the rest."""
        part = self._ask(client, "fit", n_iter=affordable)
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
        if self._cuda:  # the data again, and calls that fill the empty memory pools
            self._ask(client, "load", **self._files)
            self._ask(client, self._task.do, n_iter=PROBE_ITERATIONS, seed=0)
        else:
            time.sleep(SETTLE_SECONDS)
        out = self._folder / f"{outcome.engine}.npy"
        task, seed = self._task, number * self._task.repeat
        answer = self._ask(
            client, task.do, n_iter=self.n_iter, repeat=task.repeat, seed=seed, out=str(out)
        )
        self._rest(client)
        outcome.seconds.append(answer["seconds"])
        outcome.n_iter = answer["n_iter"]
        if number == 0 and task.do != "predict":
            outcome.loss = loss(self._judged, np.load(out), task.loss)
