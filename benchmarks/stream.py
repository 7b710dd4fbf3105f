"""Streamed fits against fits in memory, and against reading alone: ``python -m benchmarks.stream``.

Both fit the same data from the same centres with a tolerance of 0, in turns; the streamed one reads
a memmap by blocks. With ``--large`` it makes a sparse file, of 8 GB by default, and reports time,
passes and the peak of anonymous memory; with ``--uint8`` a .u8bin file instead of .npy.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kmgpu
from kmgpu import KMeans, KMedians
from kmgpu.sources.arrays import ArrayBlocks

ESTIMATORS = {"l2": KMeans, "l1": KMedians}


def blobs(n: int, d: int, k: int, out: np.ndarray | None = None) -> np.ndarray:
    """Rows around k centres that overlap, float32."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(k, d)).astype(np.float32)
    x = np.empty((n, d), np.float32) if out is None else out
    for start in range(0, n, 1 << 18):
        m = min(1 << 18, n - start)
        x[start : start + m] = rng.standard_normal((m, d), np.float32)
        x[start : start + m] += centers[rng.integers(0, k, m)]
    return x


class Counted(ArrayBlocks):
    """The rows of an array, and how often all of them have been read."""

    n_passes = 0

    def blocks(self) -> Iterator[np.ndarray]:
        self.n_passes += 1
        return super().blocks()


class Peak:
    """The largest anonymous memory of this process while a block runs, sampled."""

    def __enter__(self) -> Peak:
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.bytes = max(self.bytes, int(line.split()[1]) << 10)


def fit(x: Any, loss: str, init: np.ndarray, n_iter: int, **options: Any) -> tuple[Any, float]:
    """A fitted estimator, and the seconds that it took."""
    model = ESTIMATORS[loss](len(init), init=init, max_iter=n_iter, tol=0, **options)
    start = time.perf_counter()
    model.fit(x)
    return model, time.perf_counter() - start


def compare(n: int, d: int, k: int, n_iter: int, rounds: int) -> None:
    """Print the throughput of streamed fits over that of fits in memory."""
    x = blobs(n, d, k)
    init = x[np.random.default_rng(1).choice(n, k, replace=False)].astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        np.save(path, x)
        mapped = np.load(path, mmap_mode="r")
        for loss in ESTIMATORS:
            times: dict[str, list[float]] = {"memory": [], "stream": []}
            for data in (x[: n // 8], ArrayBlocks(mapped[: n // 8])):  # compile
                fit(data, loss, init, 2)
            for _ in range(rounds):
                held, seconds = fit(x, loss, init, n_iter)
                times["memory"].append(seconds)
                streamed, seconds = fit(ArrayBlocks(mapped), loss, init, n_iter)
                times["stream"].append(seconds)
                same = float((held.labels_ == streamed.labels_).mean())
            best = {name: min(seconds) for name, seconds in times.items()}
            print(
                f"{loss} {n} x {d}, k={k}, {streamed.n_iter_} iterations: memory "
                f"{best['memory']:.2f} s, stream {best['stream']:.2f} s, throughput ratio "
                f"{best['memory'] / best['stream']:.2f}; labels that agree {same:.6f}",
                flush=True,
            )


def sparse_file(path: Path, n: int, d: int, k: int) -> None:
    """A file of n rows, of which only the first are written; its format is that of the name."""
    if path.suffix == ".npy":
        x = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
        blobs(min(n, 1 << 20), d, k, x[: 1 << 20])
        return
    path.write_bytes(np.array([n, d], "<i4").tobytes())
    x = np.memmap(path, np.uint8, "r+", 8, (n, d))
    some = blobs(min(n, 1 << 18), d, k)
    x[: len(some)] = np.clip(128 + 30 * some, 0, 255)


def large(path: Path, n: int, d: int, k: int, n_iter: int, budget: int | None) -> None:
    """Print time and memory of fits of such a file."""
    sparse_file(path, n, d, k)
    mapped: Any = kmgpu.open_data(path)
    init = np.array(mapped[: 64 * k : 64], np.float64)
    start = time.perf_counter()
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
    reading = time.perf_counter() - start
    for loss in ESTIMATORS:
        blocks = Counted(mapped)
        with Peak() as peak:
            _, seconds = fit(blocks, loss, init, n_iter, memory_budget=budget)
        print(
            f"{loss} {n} x {d} {path.suffix}, k={k}, {n_iter} iterations: {seconds:.1f} s, "
            f"{blocks.n_passes} passes, {peak.bytes / 2**20:.0f} MB of anonymous memory; one "
            f"reading {reading:.1f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="default: 1,000,000, with --large 32,000,000")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="a file, 8 GB by default")
    parser.add_argument("--uint8", action="store_true", help="8-bit integers, for --large")
    parser.add_argument("--budget", type=int, default=512 << 20, help="bytes, for --large")
    parser.add_argument("--folder", type=Path, default=None, help="where --large puts its file")
    options = parser.parse_args()
    rows = options.rows or (32_000_000 if options.large else 1_000_000)
    shape = options.features, options.clusters, options.iterations
    if not options.large:
        compare(rows, *shape, options.rounds)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / f"large-{os.getpid()}.{'u8bin' if options.uint8 else 'npy'}"
        large(path, rows, *shape, options.budget)


if __name__ == "__main__":
    main()
