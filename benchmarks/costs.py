"""Measures the constants of high-dimensional k-means' cost model: ``python -m benchmarks.costs``.

Prints the lines of ``kmgpu/kernels/cpu/highdim/policy.py`` that hold constants, with this machine's
figures: nanoseconds of one thread for a row, by the time that the thread ran. It takes two and a
half minutes on a quiet machine.

How to read it. The policy weighs ways of assigning rows against each other, so only ratios of costs
matter. Replace the policy's lines where the ratios differ; figures that are all higher by one
factor are those of a slower machine. "Within" is the largest error of the fit at any shape.
Thresholds of the policy are choices; nothing here measures them.

How it measures. Each way is forced on the engine for several shapes, clouds and movements of the
centres. The constants are the least-squares fit to those times, relative errors weighed equally,
none negative. Numba and OpenBLAS choose their instructions when a process starts, so each
instruction set has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from benchmarks import machine
from benchmarks.client import ROOT
from benchmarks.rows import blobs, initial_centers

N_SAMPLES = 8192
CLUSTERS, FEATURES = (64, 256, 1024), (32, 128, 512)
# Standard deviations of clouds whose centres have 1: the looser, the more distances are needed.
NOISES = (0.3, 1.0, 2.0, 3.0)
# How far centres move before a pass that prunes, as a share of that.
MOVES = (0.01, 0.1)
REPEATS = 5


class Way(NamedTuple):
    """One way to assign rows, and what the policy says it costs.

    Attributes
    ----------
    lines : tuple of str
        The policy's, with a field for each constant but the table's.
    terms : callable
        ``terms(k, d, active, passed)``: what each constant is multiplied by.
    table : str
        The policy's table of costs by instruction set, "" if it has none for this way.
    product : int
        Which constant stands in the table.
    sets : tuple of str
        Instruction sets in the table, the best first.
    """

    lines: tuple[str, ...]
    terms: Callable[[float, float, float, float], tuple[float, ...]]
    table: str = ""
    product: int = -1
    sets: tuple[str, ...] = ()


# Where the policy loses a way, its entry here goes.
WAYS = {
    "dense": Way(
        ("return {0:g} + {1:g} * self._d + self._k * ({2:g} + float_product() * self._d)",),
        lambda k, d, active, passed: (1, d, k, k * d),
        "_FLOATS",
        3,
        ("avx512f",),
    ),
    "screen": Way(
        (
            "return {0:g} + {1:g} * self._d + self._k * ({2:g} + byte_product() * self._d)",
            "return self._byte_scores_cost() + self._passed * ({4:g} + {5:g} * self._d)",
        ),
        lambda k, d, active, passed: (1, d, k, k * d, passed, passed * d),
        "_BYTES",
        3,
        ("avx512vnni", "avx2"),
    ),
    "prune": Way(
        ("pruned = {0:g} + active * ({1:g} * k + {2:g} * d) + passed * ({3:g} + {4:g} * d)",),
        lambda k, d, active, passed: (1, active * k, active * d, passed, passed * d),
    ),
}
AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+popcnt",
    "OPENBLAS_CORETYPE": "Haswell",
}


class Forced:
    """Stands in for the policy: always takes one way, and notes the shares that it is told."""

    def __init__(self, way: str) -> None:
        self._way, self.active, self.passed = way, 1.0, 0.0

    def stores(self) -> bool:
        return self._way == "prune"

    def screens(self) -> bool:
        return self._way == "screen"

    def sampled(self, passed: float) -> bool:
        return True

    def screened(self, passed: float) -> None:
        self.passed = passed

    def prunes(self, active: float, passed: float) -> bool:
        self.active, self.passed = active, passed
        return True

    def skips(self) -> None:
        pass

    def computed(self) -> None:
        pass


class Pass(NamedTuple):
    """One measured pass: nanoseconds a row, and the shares that the cost depends on."""

    cost: float
    active: float
    passed: float


def measured_pass(way: str, x: np.ndarray, n_clusters: int, move: float) -> Pass:
    """The fastest of several passes to the same centres, from the same knowledge about rows.

    The same passes with labels that are given, which label nothing, are taken off: what is left is
    the cost of labelling.
    """
    from kmgpu.kernels.cpu.highdim import passes
    from kmgpu.kernels.cpu.highdim.engine import HighDimensionalL2

    forced = Forced(way)
    with mock.patch.object(passes, "Policy", return_value=forced):
        steps = HighDimensionalL2(x, None, n_clusters, n_threads=1)
    steps.assign(initial_centers(x, n_clusters))
    at, _ = steps.refit()
    steps.assign(at)
    labels = steps.labels.copy()
    to = at + move * np.random.default_rng(0).standard_normal(at.shape)
    labelling, rest = [], []
    for _ in range(REPEATS):
        steps.assign(at, labels)  # labels that are given end all bounds
        if way == "prune":
            steps.assign(at)  # stores new ones
        labelling.append(thread_seconds(lambda: steps.assign(to)))
        target = steps.labels.copy()
        steps.assign(at, labels)
        rest.append(thread_seconds(lambda target=target: steps.assign(to, target)))
    return Pass(1e9 * (min(labelling) - min(rest)) / len(x), forced.active, forced.passed)


def thread_seconds(call: Callable[[], Any]) -> float:
    """Seconds that this thread ran during a call: other work on the machine does not count."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def grid(way: str) -> Iterator[tuple[int, int, Pass]]:
    """Clusters, features and the pass of every shape, cloud and movement."""
    moves = MOVES if way == "prune" else (0.0,)
    for k, d, noise in product(CLUSTERS, FEATURES, NOISES):
        x = blobs(N_SAMPLES, d, k, spread=1.0, noise=noise)
        for move in moves:
            yield k, d, measured_pass(way, x, k, move)


def fitted(way: str) -> dict[str, Any]:
    """The constants of a way, and the largest relative error of what they foretell."""
    from scipy.optimize import nnls

    rows = [
        np.array(WAYS[way].terms(k, d, one.active, one.passed)) / one.cost
        for k, d, one in grid(way)
    ]
    constants, _ = nnls(np.array(rows), np.ones(len(rows)))
    error = np.abs(np.array(rows) @ constants - 1).max()
    return {"constants": constants.tolist(), "error": float(error)}


def in_process(settings: dict[str, str]) -> dict[str, dict[str, Any]]:
    """`fitted` of every way in a process of its own, whose environment has `settings`."""
    alone = dict.fromkeys(machine.THREAD_VARIABLES, "1")
    command = [sys.executable, "-m", "benchmarks.costs", "--only"]
    told = subprocess.run(
        command, cwd=ROOT, env=os.environ | alone | settings, check=True, stdout=subprocess.PIPE
    )
    return json.loads(told.stdout)


def has(name: str) -> bool:
    """Whether this processor has an instruction set, by LLVM's name."""
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get(name))


def table(best: dict[str, Any], avx2: dict[str, Any] | None) -> str:
    """The policy's lines: `best` with all instructions, `avx2` with AVX2 where there is more."""
    lines = []
    for name, way in WAYS.items():
        if way.table:
            cost = {next((s for s in way.sets if has(s)), "elsewhere"): best[name]}
            if avx2 is not None:
                cost["avx2" if "avx2" in way.sets else "elsewhere"] = avx2[name]
            figures = {s: f"{one['constants'][way.product]:.2g}" for s, one in cost.items()}
            known = ", ".join(f'"{s}": {f}' for s, f in figures.items() if s != "elsewhere")
            rest = f"  # elsewhere {figures['elsewhere']}" if "elsewhere" in figures else ""
            lines.append(f"{way.table} = {{{known}}}{rest}")
    for told, title in ((best, "all instructions"), (avx2, "AVX2 alone")):
        for name, way in WAYS.items() if told is not None else ():
            lines.append(f"# {name}, {title}: within {told[name]['error']:.0%}")
            short = [float(f"{constant:.2g}") for constant in told[name]["constants"]]
            lines += [line.format(*short) for line in way.lines]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.costs", description=__doc__, formatter_class=form
    )
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only:
        print(json.dumps({way: fitted(way) for way in WAYS}))
        return 0
    found = machine.describe()
    print(f"# {found['processor']}, load {found['load']}, {found['date']}")
    print("# nanoseconds of one thread for a row; only ratios matter")
    print(table(in_process({}), in_process(AVX2) if has("avx512f") else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
