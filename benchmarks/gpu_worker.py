"""One engine on one row, in a process of its own: ``python -m benchmarks.gpu_worker``.

Prints one line of JSON: seconds by CUDA events, iterations, and the loss of the centres found.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_engines import engines
from benchmarks.losses import loss

# the loss is a brute force on the host, of the same rows for all
LOSS_ROWS = 20_000
WARM_UP_ITERATIONS = 2


def measure(folder: Path, loss_name: str, name: str, n_iter: int, rounds: int) -> dict[str, Any]:
    """The engine's times after a warm-up of few iterations, and what it found.

    The rows and the initial centres are x.npy and init.npy in `folder`, float32.
    """
    import cupy

    (engine,) = engines(loss_name, [name])
    rows = np.load(folder / "x.npy", mmap_mode="r")
    some = np.ascontiguousarray(rows[:: max(1, len(rows) // LOSS_ROWS)])
    run = engine.prepare(cupy.asarray(rows), cupy.asarray(np.load(folder / "init.npy")))
    run(min(WARM_UP_ITERATIONS, n_iter))
    seconds = []
    for _ in range(rounds):
        taken, (centers, made) = timed(run, n_iter)
        seconds.append(taken)
    found = loss(some, _host(centers), loss_name) / len(some)
    return {"seconds": seconds, "n_iter": made, "loss": found}


def timed(run: Any, n_iter: int) -> tuple[float, Any]:
    """Seconds between two CUDA events around a call, on an otherwise idle device.

    The device is waited for as a whole, as libraries work on streams of their own.
    """
    import cupy

    device, start, stop = cupy.cuda.Device(), cupy.cuda.Event(), cupy.cuda.Event()
    device.synchronize()
    start.record()
    found = run(n_iter)
    device.synchronize()
    stop.record()
    stop.synchronize()
    return cupy.cuda.get_elapsed_time(start, stop) / 1000, found


def _host(centers: Any) -> np.ndarray:
    if hasattr(centers, "get"):
        return centers.get()
    return centers.cpu().numpy() if hasattr(centers, "cpu") else np.asarray(centers)


def main() -> None:
    # libraries print where they like: what they write to the standard output goes to the error's
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    folder, loss_name, name, n_iter, rounds = sys.argv[1:]
    found = measure(Path(folder), loss_name, name, int(n_iter), int(rounds))
    print(json.dumps(found), file=answer, flush=True)


if __name__ == "__main__":
    main()
