"""One engine in a process of its own, fed a JSON line at a time; ``python -m benchmarks.worker``.

Commands (`do`): "load" (data and initial centres from files into memory), "fit", "default",
"predict" and "memory". Every answer is one JSON line; a failed command answers with its error.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.peers import Engine, engines, fit_default
from benchmarks.sparse import load

Command = dict[str, Any]
Answer = dict[str, Any]


class Worker:
    """The engine and the data it has been given."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._x: Any = None
        self._init = np.empty((0, 0), np.float32)
        self._model: Any = None

    def load(self, command: Command) -> Answer:
        self._x = load(command["x"])
        self._init = np.load(command["init"])
        return {}

    def fit(self, command: Command) -> Answer:
        """Median seconds of `repeat` fits from the given centres; the centres of the last."""
        fits = [
            self._engine.fit(self._x, self._init, command["n_iter"])
            for _ in range(command.get("repeat", 1))
        ]
        return self._answer(fits, command)

    def default(self, command: Command) -> Answer:
        """Median seconds of `repeat` fits with default settings, from consecutive seeds."""
        seeds = range(command["seed"], command["seed"] + command.get("repeat", 1))
        fits = [fit_default(self._engine, self._x, len(self._init), seed) for seed in seeds]
        return self._answer(fits, command)

    def predict(self, command: Command) -> Answer:
        """Median seconds of `repeat` predictions of one row."""
        if self._model is None:
            assert self._engine.estimator is not None
            self._model = self._engine.estimator(n_clusters=len(self._init), random_state=0)
            self._model.fit(self._x)
        row, seconds = self._x[:1], []
        for _ in range(command["repeat"]):
            start = time.perf_counter()
            self._model.predict(row)
            seconds.append(time.perf_counter() - start)
        return {"seconds": median(seconds), "n_iter": 0}

    def memory(self, command: Command) -> Answer:
        """Peak of a fit beyond what the data and the engine's imports hold, in bytes."""
        if self._engine.imports is None:
            return {"bytes": None}
        for module in self._engine.imports:
            with suppress(ImportError):
                import_module(module)
        before = machine.resident_bytes()
        machine.forget_peak()
        self._engine.fit(self._x, self._init, command["n_iter"])
        return {"bytes": max(0, machine.peak_bytes() - before)}

    def _answer(self, fits: list[Any], command: Command) -> Answer:
        if "out" in command:
            np.save(command["out"], np.asarray(fits[-1].centers))
        return {"seconds": median(fit.seconds for fit in fits), "n_iter": fits[-1].n_iter}


def serve(worker: Worker, ask: Any, tell: Any) -> None:
    """Answer the commands of `ask` on `tell` until it ends."""
    for line in ask:
        command = json.loads(line)
        act: Callable[[Command], Answer] = getattr(worker, command["do"])
        try:
            answer = act(command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=tell, flush=True)


def main() -> None:
    # libraries print where they like: what they write to the standard output goes to the error's
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    loss, name = sys.argv[1:]
    serve(Worker(engines(loss, [name])[0]), sys.stdin, answers)


if __name__ == "__main__":
    main()
