"""One engine in a process of its own, fed a JSON line at a time; ``python -m benchmarks.worker``.

Commands (`do`) are the public methods of `Worker`. Every answer is one JSON line; a failed command
answers with its error.
"""

from __future__ import annotations

import gc
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
from benchmarks.engine import Engine, Found, Run
from benchmarks.engines import engines
from benchmarks.sparse import load

Command = dict[str, Any]
Answer = dict[str, Any]
Call = Callable[[], Any]


def timed_by_host(call: Call) -> tuple[float, Any]:
    """Seconds of a call, and what it returned."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def timed_by_device(call: Call) -> tuple[float, Any]:
    """Seconds between two CUDA events around a call, on an otherwise idle device.

    The whole device is waited for, as libraries work on streams of their own.
    """
    import cupy

    device, start, stop = cupy.cuda.Device(), cupy.cuda.Event(), cupy.cuda.Event()
    device.synchronize()
    start.record()
    found = call()
    device.synchronize()
    stop.record()
    stop.synchronize()
    return cupy.cuda.get_elapsed_time(start, stop) / 1000, found


def free_device() -> None:
    """Give the memory that libraries keep for later back to the device."""
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


def on_host(centers: Any) -> np.ndarray:
    """The centres of any library as a NumPy array."""
    if hasattr(centers, "get"):
        return centers.get()
    return centers.cpu().numpy() if hasattr(centers, "cpu") else np.asarray(centers)


class Worker:
    """The engine and the data it has been given."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cuda = engine.device == "cuda"
        self._timed = timed_by_device if self._cuda else timed_by_host
        self._x = self._init = self._run = self._model = None

    def load(self, command: Command) -> Answer:
        """Put data and initial centres from files where the engine wants them."""
        self._x, self._init = load(command["x"], mapped=self._cuda), np.load(command["init"])
        if self._cuda:
            import cupy

            self._x, self._init = cupy.asarray(self._x), cupy.asarray(self._init)
        return {}

    def rest(self, command: Command) -> Answer:
        """Forget the data: the memory of a GPU is the next engine's."""
        self._x = self._init = self._run = None
        gc.collect()
        free_device()
        return {}

    def fit(self, command: Command) -> Answer:
        """Median seconds of `repeat` fits from the given centres; the centres of the last."""
        run, n_iter = self._prepared(), command["n_iter"]
        return self._repeat(lambda _: run(n_iter), command)

    def default(self, command: Command) -> Answer:
        """Median seconds of `repeat` fits with default settings, from consecutive seeds."""

        def fit(number: int) -> Found:
            model = self._estimator(random_state=command["seed"] + number).fit(self._x)
            return Found(model.cluster_centers_, int(model.n_iter_))

        return self._repeat(fit, command)

    def predict(self, command: Command) -> Answer:
        """Median seconds of `repeat` predictions of one row."""
        if self._model is None:
            self._model = self._estimator(random_state=0).fit(self._x)
        model, row = self._model, self._x[:1]
        seconds = [self._timed(lambda: model.predict(row))[0] for _ in range(command["repeat"])]
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
        self._prepared()(command["n_iter"])
        return {"bytes": max(0, machine.peak_bytes() - before)}

    def _prepared(self) -> Run:
        if self._run is None:
            self._run = self._engine.prepare(self._x, self._init)
        return self._run

    def _estimator(self, **settings: Any) -> Any:
        assert self._engine.estimator is not None
        return self._engine.estimator(n_clusters=len(self._init), **settings)

    def _repeat(self, fit: Callable[[int], Found], command: Command) -> Answer:
        seconds = []
        for number in range(command.get("repeat", 1)):
            taken, found = self._timed(lambda number=number: fit(number))
            seconds.append(taken if found.seconds is None else found.seconds)
        if "out" in command:
            np.save(command["out"], on_host(found.centers))
        return {"seconds": median(seconds), "n_iter": found.n_iter}


def answer(worker: Worker, command: Command) -> Answer:
    """What the worker answers, or its error."""
    try:
        return getattr(worker, command["do"])(command)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    # Libraries print to the standard output: it becomes the error's, answers keep the real one.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    device, loss, name = sys.argv[1:]
    worker = Worker(engines(loss, [name], device)[0])
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
