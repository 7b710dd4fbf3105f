"""Kernels of the two steps, compiled by other processes while this one seeds.

Numba compiles one kernel at a time in a process, and a first fit compiles for seconds: kernels of
seeding, then those of the steps. What another process has compiled is loaded from disk, and where
both want the same kernel, one waits (`kmgpu.kernels.cpu.lowlevel.claims`).
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.algorithm.steps import engine
from kmgpu.backend.arrays import HOST, Array, place_of
from kmgpu.backend.sparse import SparseRows
from kmgpu.backend.threads import get_num_threads
from kmgpu.kernels.compilation import is_watched

ROWS, ITERATIONS = 3000, 4
MOST_NUMBERS = 1 << 22  # of the random rows and centres: 32 MB
HERE = Path(__file__).parents[2]
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from kmgpu.algorithm.ahead import compile_for; "
    "import json; compile_for(*json.loads(sys.argv[2]))"
)
_RUNNING: list[subprocess.Popen[bytes]] = []


def compile_beside(x: Array, n_clusters: int, loss: Loss, init: Any) -> None:
    """Start the processes, where someone waits and there is time to win.

    That is at a terminal or in a notebook, with two cores or more, and where the fit seeds.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
        The rows of a fit; another process gets their shape and dtype alone.
    n_clusters : int
    loss : Loss
    init : object
        As given to an estimator.
    """
    seeds = isinstance(init, str) and init != "random"
    small = max(ROWS, n_clusters) * x.shape[1] <= MOST_NUMBERS
    ours = loss.kernel_name is not None and not isinstance(x, SparseRows) and place_of(x) == HOST
    if not (seeds and ours and small and _can_start()) or get_num_threads() < 2 or _RUNNING:
        return
    atexit.register(_end)
    for algorithm in ("auto", "dense"):
        task = loss.kernel_name, str(x.dtype), int(x.shape[1]), n_clusters, algorithm
        command = [sys.executable, "-c", PROGRAM, str(HERE), json.dumps(task)]
        none = subprocess.DEVNULL
        with suppress(OSError):  # the fit goes on without
            process = subprocess.Popen(command, stdin=none, stdout=none, stderr=none)
            _RUNNING.append(process)
            Thread(target=process.wait, daemon=True).start()  # nobody else does while this lives


def compile_for(
    loss: str, dtype: str, n_features: int, n_clusters: int, algorithm: str = "auto"
) -> None:
    """A few iterations on random rows, so that the kernels of such a fit are on disk."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(n_clusters, n_features))
    labels = rng.integers(n_clusters, size=ROWS)
    x = (places[labels] + rng.normal(size=(ROWS, n_features))).astype(dtype)
    steps = engine(x, None, n_clusters, get_loss(loss), algorithm=algorithm)
    centers = places
    for _ in range(ITERATIONS):
        steps.assign(centers, True)
        centers = steps.refit()[0]


def _can_start() -> bool:
    """Whether `sys.executable` is a Python, and this process one that someone has started."""
    is_python = Path(sys.executable or "").name.startswith("python") and not hasattr(sys, "frozen")
    return is_python and parent_process() is None and is_watched()


def _end() -> None:
    for process in _RUNNING:
        process.kill()
        process.wait()
