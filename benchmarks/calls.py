"""Two sections whose calls take turns in one process, as they are too short for one each.

"layouts" fits the same values in another layout or dtype; its ratio is to the fit of float32 rows.
"predict" calls fitted models; its ratio is scikit-learn's time to ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.rows import blobs, initial_centers

# A call is repeated until all of them took this long.
LEAST_SECONDS = 0.02
LAYOUT_ITERATIONS = {"l2": 10, "l1": 4}
LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "float16": lambda x: x.astype(np.float16),
    "columns": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "frame": lambda x: _frame(x),
    "uint8": lambda x: x.astype(np.uint8),
    "int16": lambda x: x.astype(np.int16),
    "int64": lambda x: x.astype(np.int64),
    "float64": lambda x: x.astype(np.float64),
}
SHAPES = ((100_000, 16, 32), (30_000, 384, 100))
PREDICTED = tuple((n, d, 10) for d in (4, 64, 384, 1024, 2048) for n in (1, 64, 512, 10_000))
PREDICTED += ((100_000, 4, 10), (100_000, 64, 64))


def _frame(x: np.ndarray) -> Any:
    import pandas as pd

    return pd.DataFrame(x)


def _seconds(call: Callable[[], Any]) -> float:
    """Mean seconds of a call that is repeated for `LEAST_SECONDS`."""
    count, start = 0, time.perf_counter()
    while True:
        call()
        count += 1
        taken = time.perf_counter() - start
        if taken >= LEAST_SECONDS:
            return taken / count


def in_turn(
    one: Callable[[], Any], other: Callable[[], Any], rounds: int
) -> tuple[float, float, float]:
    """Median seconds of each of two calls, and the median of the second's time over the first's."""
    one(), other()
    pairs = [(_seconds(one), _seconds(other)) for _ in range(rounds)]
    first, second = (median(pair[side] for pair in pairs) for side in (0, 1))
    return first, second, median(b / a for a, b in pairs)


def layouts(loss: str, rounds: int) -> Iterator[str]:
    """Lines of the section "layouts"; all values are whole numbers that every dtype can hold."""
    from kmgpu import KMeans, KMedians

    estimator = KMeans if loss == "l2" else KMedians
    for n, d, k in SHAPES:
        plain = blobs(n, d, k, spread=0.5)
        plain = np.rint((plain - plain.min()) * (200 / np.ptp(plain))).astype(np.float32)
        init, most = initial_centers(plain, k), LAYOUT_ITERATIONS[loss]

        def fit(x: Any, init: np.ndarray = init, most: int = most) -> float:
            return estimator(len(init), init=init, max_iter=most, tol=0).fit(x).inertia_

        yield f"{loss} {n} x {d}, k={k}, {most} iterations: loss {fit(plain):.10g}"
        for name, put in LAYOUTS.items():
            x = put(plain)
            mine, other, ratio = in_turn(partial(fit, plain), partial(fit, x), rounds)
            change = fit(x) / fit(plain) - 1
            yield f"  {name:8} {other:8.4f} s, rows {mine:.4f} s: {ratio:5.2f}, loss {change:+.0e}"


def predictions(rounds: int) -> Iterator[str]:
    """Lines of the section "predict"."""
    from sklearn.cluster import KMeans as Peer

    from kmgpu import KMeans

    for n, d, k in PREDICTED:
        x = blobs(max(n, 4 * k), d, k, spread=1.0)
        init = initial_centers(x, k)
        ours = KMeans(k, init=init, max_iter=2).fit(x)
        peer = Peer(k, init=init, max_iter=2, n_init=1).fit(x)
        words = []
        for call in ("predict", "transform", "score"):
            mine, theirs = (partial(getattr(model, call), x[:n]) for model in (ours, peer))
            seconds, _, ratio = in_turn(mine, theirs, rounds)
            words.append(f"{call} {seconds * 1e3:9.3f} ms {ratio:5.2f}")
        yield f"  {n:6} x {d:4}, k={k}: {', '.join(words)}"
