"""Fits of Dask arrays, on a LocalCluster of this machine: ``python -m benchmarks.dask``.

Our fits of a persisted Dask array take turns with dask-ml's (k-means alone, where it is installed)
and with our fits of the same rows in memory, by as many threads as there are workers. All start
from the same rows and make the same iterations. Losses are recomputed in float64 by NumPy. Then the
cost of a task is measured, by passes that do nothing, and with it 10,000 chunks are put on paper.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import kmgpu
from benchmarks.losses import loss as loss_of
from benchmarks.stream import ESTIMATORS, blobs
from kmgpu.sources.base import Block
from kmgpu.sources.dask import FAN_IN, DaskRows

CHUNKS_A_CORE = 4
PEER = "dask-ml"
ON_PAPER = 10_000  # chunks
LEAST = 1e-6  # seconds: of two passes the longer one may be the faster by chance
ROUNDING = 1e-6  # of losses, whose centres are float32
WORK = 0.1  # seconds of a task that are advised
FEW, MANY = 16, 256  # tasks of a pass that does nothing

Fit = Callable[[], Any]


def fits(data: da.Array, x: np.ndarray, loss: str, init: np.ndarray, n_iter: int) -> dict[str, Fit]:
    """What is measured, by names."""
    ours = ESTIMATORS[loss](len(init), init=init, max_iter=n_iter, tol=0)
    found: dict[str, Fit] = {"kmgpu": lambda: ours.fit(data), "in memory": lambda: ours.fit(x)}
    if loss == "l2":
        try:
            from dask_ml.cluster import KMeans as Peer
        except ImportError as error:
            print(f"{PEER} cannot be measured: {error}")
            return found
        peer = Peer(len(init), init=init, max_iter=n_iter, tol=0, random_state=0)
        found[PEER] = lambda: peer.fit(data)
    return found


def compare(
    data: da.Array, x: np.ndarray, loss: str, init: np.ndarray, n_iter: int, rounds: int
) -> bool:
    """Print seconds and losses of all, and their times over ours, by rounds.

    Whether no loss is lower than ours by more than rounding.
    """
    todo = fits(data, x, loss, init, n_iter)
    centers = {}
    for name in list(todo):
        try:
            centers[name] = np.array(todo[name]().cluster_centers_)  # and compile
        except Exception as error:
            if name != PEER:
                raise
            print(f"{name} cannot be measured: {type(error).__name__}: {error}")
            del todo[name]
    seconds: dict[str, list[float]] = {name: [] for name in todo}
    for turn in range(rounds):
        for name in list(todo)[:: -1 if turn % 2 else 1]:
            start = time.perf_counter()
            todo[name]()
            seconds[name].append(time.perf_counter() - start)
    losses = {name: loss_of(x, found, loss) for name, found in centers.items()}
    print(f"{loss}, {len(x):,} x {x.shape[1]}, k={len(init)}, {n_iter} iterations")
    for name, taken in seconds.items():
        ratio = statistics.median(
            theirs / own for theirs, own in zip(taken, seconds["kmgpu"], strict=True)
        )
        print(
            f"  {name:10} {statistics.median(taken):8.3f} s, over ours {ratio:6.2f}, loss "
            f"{losses[name]:.8g} ({losses[name] / losses['kmgpu'] - 1:+.1e})",
            flush=True,
        )
    return losses["kmgpu"] <= min(losses.values()) * (1 + ROUNDING)


def nothing(block: Block) -> int:
    return block.index


def seconds_of_pass(n_tasks: int, rounds: int) -> tuple[float, int]:
    """The least time of a pass over so many chunks that looks at one row of each, and its tasks."""
    rows = DaskRows(da.zeros((n_tasks, 2), chunks=(1, 2)).persist())
    rows.fold(nothing, max)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        rows.fold(nothing, max)
        taken.append(time.perf_counter() - start)
    return min(taken), rows.n_tasks


def on_paper(n_workers: int, rounds: int) -> None:
    """Print what a task costs, and an iteration of `ON_PAPER` chunks with it."""
    few, n_few = seconds_of_pass(FEW, rounds)
    many, n_many = seconds_of_pass(MANY, rounds)
    task = max(many - few, LEAST) / (n_many - n_few)
    n_tasks = ON_PAPER + sum(-(-ON_PAPER // FAN_IN**level) for level in range(1, 5))
    print(
        f"a task costs {1000 * task:.2f} ms ({n_workers} workers; a pass of {n_few} tasks takes "
        f"{1000 * few:.0f} ms, one of {n_many} {1000 * many:.0f} ms)"
    )
    print(
        f"on paper: {ON_PAPER:,} chunks are {n_tasks:,} tasks, {n_tasks * task:.1f} s of the "
        f"scheduler an iteration, beside {ON_PAPER * WORK:,.0f} s of work by tasks of "
        f"{1000 * WORK:.0f} ms: it keeps some {WORK / task:.0f} workers busy"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--clusters", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=kmgpu.get_num_threads())
    options = parser.parse_args()
    kmgpu.set_num_threads(options.workers)
    x = blobs(options.rows, options.features, options.clusters)
    at = np.random.default_rng(1).choice(len(x), options.clusters, replace=False)
    init = x[np.sort(at)].astype(np.float64)
    warnings.filterwarnings("ignore", "Sending large graph")  # once, before any clock
    local = LocalCluster(options.workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with local as cluster, Client(cluster):
        chunk = -(-len(x) // (CHUNKS_A_CORE * options.workers))
        data = da.from_array(x, chunks=(chunk, x.shape[1])).persist()
        good = [
            compare(data, x, loss, init, options.iterations, options.rounds) for loss in ESTIMATORS
        ]
        on_paper(options.workers, options.rounds)
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
