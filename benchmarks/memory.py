"""Peak memory of a fit on 1,000,000 × 32 float32 against its bar; ``python -m benchmarks.memory``.

The bar: beyond what importing takes, the array itself plus the larger of a quarter of it and
64 MB. Exits with 1 where a loss exceeds it. Compiled code and its imports are printed apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks import machine
from benchmarks.client import ROOT
from benchmarks.rows import blobs, initial_centers

LEAST_ALLOWANCE = 64e6
N_FEATURES, N_CLUSTERS, N_ITER = 32, 16, 10


def fit_peak(loss: str, n_samples: int) -> tuple[int, int, int]:
    """Bytes of the array, of the peak with it, and of what only the first fit takes.

    The last is what a small fit leaves behind: Numba's import and the compiled kernels. They do
    not depend on the data, so they do not count against the bar. The peak counts from there.
    """
    import kmgpu

    estimator = {"l2": kmgpu.KMeans, "l1": kmgpu.KMedians}[loss]
    imported = machine.resident_bytes()
    few = blobs(100 * N_CLUSTERS, N_FEATURES, N_CLUSTERS, spread=3.0)
    estimator(N_CLUSTERS, init=few[:N_CLUSTERS], n_init=1, max_iter=N_ITER, tol=0).fit(few)
    before = machine.resident_bytes()
    # blobs are made in place: this has not taken more than the array
    x = blobs(n_samples, N_FEATURES, N_CLUSTERS, spread=3.0)
    machine.forget_peak()
    init = initial_centers(x, N_CLUSTERS)
    estimator(N_CLUSTERS, init=init, n_init=1, max_iter=N_ITER, tol=0).fit(x)
    return x.nbytes, machine.peak_bytes() - before, before - imported


def allowance(array: int) -> float:
    """Bytes a fit may take on top of the array."""
    return max(LEAST_ALLOWANCE, array / 4)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("l2", "l1"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only is not None:
        print(*fit_peak(options.only, options.rows))
        return 0
    exceeded = False
    for loss in ("l2", "l1"):
        command = [sys.executable, "-m", "benchmarks.memory"]
        command += ["--rows", str(options.rows), "--only", loss]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        array, peak, once = map(int, told.stdout.split())
        beyond, allowed = peak - array, allowance(array)
        exceeded |= beyond > allowed
        print(
            f"{loss}: array {array / 1e6:.0f} MB, beyond it {beyond / 1e6:.0f} MB, "
            f"allowed {allowed / 1e6:.0f} MB: {'EXCEEDED' if beyond > allowed else 'met'} "
            f"(once a process, compiled code and its imports: {once / 1e6:.0f} MB)"
        )
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
