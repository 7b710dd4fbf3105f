"""One bound a row against the other engines of the CPU: ``python -m benchmarks.bounds``.

Prints, for each loss and shape, how many times as fast the engine with one bound a row is, on rows
around centres and on noise, and what `kmgpu.kernels.cpu.lowdim.one_bound_pays` says. Both engines
fit the same rows from the same centres, in turns.
"""

from __future__ import annotations

from unittest import mock

import numpy as np

from benchmarks.stream import blobs, fit
from kmgpu.kernels.cpu import table
from kmgpu.kernels.cpu.lowdim import one_bound_pays
from kmgpu.kernels.cpu.medians import engine as medians

WORK = 1 << 29  # features times rows times clusters
SHAPES = [(8, 1000), (8, 3000), (16, 500), (16, 1000), (32, 300), (32, 1000), (40, 32), (40, 256)]
SHAPES += [(40, 512), (64, 8), (64, 32), (64, 128), (64, 512), (96, 32), (128, 32), (128, 512)]
ROUNDS, ITERATIONS = 3, 12
CHOICE = {"l2": table, "l1": medians}


def ratio(x: np.ndarray, n_clusters: int, loss: str) -> float:
    """Seconds of the other engine over those with one bound a row."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for n_iter in [2, *[ITERATIONS] * ROUNDS]:  # the first compiles
        for one in seconds:
            with mock.patch.object(CHOICE[loss], "one_bound_pays", return_value=one):
                seconds[one].append(fit(x, loss, x[:n_clusters].astype(float), n_iter)[1])
    return min(seconds[False][1:]) / min(seconds[True][1:])


def main() -> None:
    for loss in CHOICE:
        for d, k in SHAPES:
            n = max(4 * k, min(200_000, WORK // (d * k)))
            noise = np.random.default_rng(0).standard_normal((n, d), np.float32)
            found = [ratio(x, k, loss) for x in (blobs(n, d, k), noise)]
            says = one_bound_pays(loss == "l2", k, d)
            print(f"{loss} {n} x {d}, k={k}: {found[0]:.2f}, noise {found[1]:.2f}; pays: {says}")


if __name__ == "__main__":
    main()
