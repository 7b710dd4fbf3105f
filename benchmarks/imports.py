"""How much longer importing kmgpu's estimators takes than ``import sklearn.cluster``.

``python -m benchmarks.imports`` prints the median over fresh processes that alternate, and exits
with 1 where it is more than 0.3 s.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from benchmarks.client import ROOT

ALLOWED_SECONDS = 0.3
ROUNDS = 5
PROGRAM = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """Seconds that importing a module takes in a fresh process."""
    command = [sys.executable, "-c", PROGRAM.format(module)]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(told.stdout)


def extra(rounds: int = ROUNDS) -> tuple[float, float]:
    """Median seconds of importing sklearn.cluster, and how many more kmgpu takes."""
    seconds("kmgpu.estimators")  # fills the file cache
    pairs = [(seconds("sklearn.cluster"), seconds("kmgpu.estimators")) for _ in range(rounds)]
    return median(base for base, _ in pairs), median(ours - base for base, ours in pairs)


def main() -> int:
    base, more = extra()
    met = more <= ALLOWED_SECONDS
    print(
        f"import sklearn.cluster {base:.2f} s, import kmgpu.estimators {more:+.2f} s, "
        f"allowed +{ALLOWED_SECONDS} s: {'met' if met else 'EXCEEDED'}"
    )
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
