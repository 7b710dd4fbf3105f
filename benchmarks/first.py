"""What a new user waits for: imports, help, and the first fits on a machine, which compile.

``python -m benchmarks.first`` prints the seconds of each in a fresh process, those of fits with an
empty cache of kernels, beside their bars, and exits with 1 where one is exceeded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from benchmarks.client import ROOT

FIT = """
from time import perf_counter
import numpy as np
from kmgpu import {estimator}
X = np.random.default_rng(0).normal(size=({rows}, {features})).astype("float32")
start = perf_counter()
{estimator}({clusters}, random_state=0, max_iter=5).fit(X)
print(perf_counter() - start)
"""
ROUNDS = 3


class First(NamedTuple):
    """Arguments of Python, and the seconds allowed."""

    arguments: list[str]
    allowed: float


def _fit(estimator: str, rows: int, features: int, clusters: int, allowed: float) -> First:
    sizes = {"rows": rows, "features": features, "clusters": clusters}
    return First(["-c", FIT.format(estimator=estimator, **sizes)], allowed)


COMMANDS = {
    "import kmgpu": First(["-c", "import kmgpu"], 0.3),
    "kmgpu --help": First(["-m", "kmgpu", "--help"], 0.3),
}
FITS = {
    "KMeans, 100k × 16, k=32": _fit("KMeans", 100_000, 16, 32, 2.0),
    "KMeans, 30k × 384, k=256": _fit("KMeans", 30_000, 384, 256, 5.0),
    "KMedians, 100k × 16, k=32": _fit("KMedians", 100_000, 16, 32, 3.0),
}


def whole(first: First) -> float:
    """Seconds of a process."""
    start = perf_counter()
    subprocess.run([sys.executable, *first.arguments], cwd=ROOT, check=True, capture_output=True)
    return perf_counter() - start


def fit(first: First) -> float:
    """Seconds that a process says its fit took, at a terminal, where nothing is compiled yet."""
    ours, its = os.openpty()
    with TemporaryDirectory() as folder:
        told = subprocess.run(
            [sys.executable, *first.arguments],
            cwd=ROOT,
            env={**os.environ, "NUMBA_CACHE_DIR": folder},
            check=True,
            stdout=subprocess.PIPE,
            stderr=its,
            text=True,
        )
    os.close(ours)
    os.close(its)
    return float(told.stdout)


def main() -> int:
    met = True
    for measure, cases in ((whole, COMMANDS), (fit, FITS)):
        for name, case in cases.items():
            rounds = ROUNDS if measure is whole else 1
            seconds = median(measure(case) for _ in range(rounds))
            met &= seconds <= case.allowed
            word = "met" if seconds <= case.allowed else "EXCEEDED"
            print(f"{name:<26}  {seconds:5.2f} s, allowed {case.allowed} s: {word}", flush=True)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
