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
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np

from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.algorithm.steps import engine
from kmgpu.backend.arrays import HOST, Array, place_of
from kmgpu.backend.sparse import SparseRows
from kmgpu.backend.threads import get_num_threads

ROWS, ITERATIONS = 3000, 4
HERE = Path(__file__).parents[2]
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from kmgpu.algorithm.ahead import compile_for; "
    "import json; compile_for(*json.loads(sys.argv[2]))"
)
_RUNNING: list[subprocess.Popen[bytes]] = []


def compile_beside(x: Array, n_clusters: int, loss: Loss, init: Any) -> None:
    """Start the processes, where there is time to win: two cores or more, and rows to seed from.

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
    ours = loss.kernel_name is not None and not isinstance(x, SparseRows) and place_of(x) == HOST
    if not (seeds and ours) or get_num_threads() < 2 or not _can_start() or _RUNNING:
        return
    atexit.register(_end)
    for algorithm in ("auto", "dense"):
        task = loss.kernel_name, str(x.dtype), int(x.shape[1]), n_clusters, algorithm
        command = [sys.executable, "-c", PROGRAM, str(HERE), json.dumps(task)]
        none = subprocess.DEVNULL
        _RUNNING.append(subprocess.Popen(command, stdin=none, stdout=none, stderr=none))


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
    """Whether `sys.executable` is a Python, and this process not one of many that work together."""
    return bool(sys.executable) and not hasattr(sys, "frozen") and parent_process() is None


def _end() -> None:
    for process in _RUNNING:
        process.kill()
        process.wait()
