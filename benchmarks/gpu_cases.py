"""What `benchmarks.gpu` measures: shapes, their data and their bars."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.machine import n_cores

ROWS_OF_A_TASK = 1 << 16
TINY = {"n": 600, "d": 40, "k": 5}


@dataclass(frozen=True)
class Case:
    """A data set and a loss.

    Attributes
    ----------
    n, d, k : int
        Rows, features, clusters.
    loss : {"l2", "l1"}
    blobs : bool
        Whether rows are normal clouds about `k` centres; else one cloud without structure.
    dtype : str
        8-bit data are rounded and clipped.
    bar : float or None
        Milliseconds that an iteration may take on an H200.
    """

    n: int
    d: int
    k: int
    loss: str = "l2"
    blobs: bool = True
    dtype: str = "float32"
    bar: float | None = None

    @property
    def name(self) -> str:
        kind = "blobs" if self.blobs else "no structure"
        return f"{_short(self.n)} × {self.d}, k={self.k}, {self.loss}, {kind}, {self.dtype}"


def _short(n: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if n >= size and n % size == 0:
            return f"{n // size}{unit}"
    return str(n)


M = 1_000_000
WIDE, FLAT, HIGH, LOW = (
    Case(M, 128, 1000),
    Case(10 * M, 32, 256),
    Case(M, 768, 4096),
    Case(100 * M, 8, 64),
)
# the most important first: what is left when the minutes are used up is not measured
CASES = (
    replace(WIDE, bar=2.0),
    replace(FLAT, bar=2.5),
    replace(HIGH, bar=25.0),
    replace(LOW, bar=8.0),
    replace(WIDE, loss="l1", bar=11.0),
    replace(WIDE, blobs=False),
    replace(WIDE, dtype="float16"),
    replace(WIDE, dtype="float64"),
    replace(WIDE, dtype="uint8"),
    Case(10 * M, 2, 8),
    Case(10 * M, 3, 64),
    Case(10 * M, 16, 100),
    replace(HIGH, blobs=False),
    replace(FLAT, blobs=False),
    replace(WIDE, loss="l1", blobs=False),
    replace(FLAT, loss="l1"),
    replace(LOW, blobs=False),
    replace(LOW, loss="l1"),
    Case(10_000, 16, 8),
    Case(100_000, 64, 100),
)


def tiny(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The same, small enough for an emulation on a CPU, each once."""

    def shrunk(case: Case) -> Case:
        sizes = {name: min(most, getattr(case, name)) for name, most in TINY.items()}
        return replace(case, bar=None, **sizes)

    return tuple(dict.fromkeys(map(shrunk, cases)))


def made(case: Case, seed: int = 0) -> np.ndarray:
    """Its rows, (n, d), C-contiguous, the same at every call whatever the threads."""
    at = np.random.default_rng(seed).standard_normal((case.k, case.d), dtype=np.float32)
    x = np.empty((case.n, case.d), case.dtype)

    def fill(start: int) -> None:
        rng = np.random.default_rng([seed, start])
        stop = min(case.n, start + ROWS_OF_A_TASK)
        rows = rng.standard_normal((stop - start, case.d), dtype=np.float32)
        if case.blobs:
            rows += at[rng.integers(case.k, size=len(rows))]
        x[start:stop] = rows if x.dtype.kind == "f" else (20 * rows + 128).round().clip(0, 255)

    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(fill, range(0, case.n, ROWS_OF_A_TASK)))
    return x


def start_of(x: np.ndarray, k: int) -> np.ndarray:
    """Distinct rows of `x`, float32 or float64: every engine starts from them."""
    rng = np.random.default_rng(1)
    drawn = x[np.sort(rng.choice(len(x), min(len(x), 8 * k), replace=False))]
    _, first = np.unique(drawn, axis=0, return_index=True)
    chosen = drawn[rng.permutation(first)[:k]]
    return chosen.astype(np.float64 if x.dtype == np.float64 else np.float32)
