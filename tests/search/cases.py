"""Random problems of the search: what is drawn of each, and the data that it means."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
OFTEN = (4, 20, 20, 2, 2, 2, 3, 4, 2)  # how often each of them
WIDTHS = (1, 2, 3, 7, 31, 32, 33, 40, 64, 200, 1000)
KINDS = (
    "blobs",
    "tight",
    "groups",
    "outliers",
    "heavy",
    "grid",
    "bytes",
    "binary",
    "duplicates",
    "constant",
    "offset",
)
WEIGHTS = ("none", "equal", "integers", "wide", "halves", "zeros", "heavy", "overflow")
LAYOUTS = ("C", "F", "strided", "reversed", "frame", "csr")
INITS = ("rows", "near", "far", "k-means++", "random")
# powers of ten whose multiples a dtype holds, those below the normal numbers among them
EXPONENTS = {"float16": (-6, 3), "float32": (-43, 36), "float64": (-300, 300)}
WORK = 3_000_000  # rows x features x clusters


@dataclass(frozen=True)
class Case:
    """What is drawn of one problem; the data follow from it and the seed.

    Attributes
    ----------
    kind : str
        One of `KINDS`: how the rows lie.
    exponent : int
        The rows are multiplied by ten to it (floats alone).
    ratio : int
        Powers of ten between the scales inside the data set: gaps, outliers, tails.
    far : int
        Powers of ten by which "far" initial centres lie outside the data.
    """

    loss: str
    dtype: str
    kind: str
    exponent: int
    ratio: int
    n: int
    d: int
    k: int
    weights: str
    layout: str
    init: str
    far: int
    algorithm: str
    mode: str
    memory_budget: int | None
    max_iter: int
    tol: float
    empty_cluster: str
    readonly: bool

    def __str__(self) -> str:
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


def drawn(rng: np.random.Generator) -> Case:
    """One case."""

    def one_of(values: Any, often: Any = None) -> Any:
        share = None if often is None else np.asarray(often) / np.sum(often)
        return values[int(rng.choice(len(values), p=share))]

    d = one_of(WIDTHS)
    most = int(np.clip(WORK // d, 200, 2_000_000))  # rows x clusters
    k = int(
        one_of([1, rng.integers(2, 13), rng.integers(13, 65), rng.integers(65, 301)], [1, 6, 3, 1])
    )
    k = min(k, int(most**0.5))
    n = int(np.clip(one_of([k + 1, 20, 120, 400, 900, 3000]), k, max(k, most // k)))
    if rng.random() < 0.08:
        n = min(n, 300, int(most**0.5))
        k = max(1, n - int(one_of([0, 1, 7])))
    dtype = one_of(DTYPES, OFTEN)
    case = Case(
        loss=one_of(("l2", "l1")),
        dtype=dtype,
        kind=one_of(KINDS),
        exponent=_exponent(rng, dtype),
        ratio=int(rng.integers(2, 10)),
        n=n,
        d=d,
        k=k,
        weights=one_of(WEIGHTS, [36, 10, 12, 8, 8, 8, 10, 1]),
        layout=one_of(LAYOUTS, [10, 3, 2, 1, 3, 3]),
        init=one_of(INITS, [4, 3, 2, 4, 1]),
        far=int(rng.integers(1, 25)),
        algorithm=one_of(("lloyd", "elkan", "dense"), [4, 1, 1]),
        mode=one_of(("auto", "fused", "reference"), [5, 3, 2]),
        memory_budget=one_of((None, 1 << 16, 1 << 18), [6, 1, 1]),
        max_iter=one_of((1, 2, 5, 300)),
        tol=one_of((0.0, 1e-4)),
        empty_cluster=one_of(("farthest", "keep"), [2, 1]),
        readonly=bool(rng.random() < 0.15),
    )
    if k == 1 and case.algorithm == "elkan":  # warned of
        case = replace(case, algorithm="lloyd")
    if case.layout == "csr" and dtype == "float16":  # SciPy has no such matrices
        case = replace(case, layout="C")
    return case


def _exponent(rng: np.random.Generator, dtype: str) -> int:
    if dtype not in EXPONENTS or rng.random() < 0.5:
        return 0
    low, high = EXPONENTS[dtype]
    if rng.random() < 0.5:
        low, high = max(low, -30), min(high, 30)
    return int(rng.integers(low, high + 1))


def rows_of(case: Case, rng: np.random.Generator) -> np.ndarray:
    """The rows, C order, of the case's dtype and finite."""
    n, d = case.n, case.d
    at = 4 * rng.standard_normal((max(2, min(case.k, 12)), d))
    x = at[rng.integers(len(at), size=n)] + rng.standard_normal((n, d))
    scale = 10.0**case.ratio
    some = rng.random(n) < 0.3
    if case.kind == "tight":
        x = np.where(some[:, None], at[0] + 1e-3 * rng.standard_normal((n, d)), x * 30)
    elif case.kind == "groups":
        x += scale * rng.integers(0, 2 + case.ratio % 2, size=(n, 1)) * rng.choice([1, 0.7], size=d)
    elif case.kind == "outliers":
        few = rng.choice(n, size=min(n, 3), replace=False)
        x[few] *= 10.0 ** (case.ratio if case.ratio < 6 else 10 * case.ratio)
    elif case.kind == "heavy":
        x *= 10.0 ** (case.ratio * 0.5 * rng.standard_normal((n, 1)))
    elif case.kind == "grid":
        x = np.round(x * (1 + case.ratio % 3) / 3, 1)
    elif case.kind == "bytes":
        x = np.clip(np.round(128 + 20 * x), 0, 255)
    elif case.kind == "binary":
        x = (x > 0).astype(float)
    elif case.kind == "duplicates":
        x = x[rng.integers(max(1, n // (1 + case.ratio)), size=n)]
    elif case.kind == "constant":
        x[:, rng.random(d) < 0.5] = scale
    elif case.kind == "offset":
        x += scale
    if case.layout == "csr":
        x[rng.random((n, d)) < 0.7] = 0
    return _typed(x, case, rng)


def _typed(x: np.ndarray, case: Case, rng: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(case.dtype)
    if dtype.kind == "b":
        return x > np.median(x)
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        with np.errstate(over="ignore", under="ignore"):
            return np.clip(x * 10.0**case.exponent, -limit / 4, limit / 4).astype(dtype)
    limits = np.iinfo(dtype)
    if case.kind in ("grid", "bytes", "binary", "duplicates"):
        return np.clip(np.round(x), limits.min, limits.max).astype(dtype)
    top = float(rng.choice([20.0, float(limits.max), float(min(limits.max, 1 << 20))]))
    x = x / max(np.abs(x).max(), 1e-300) * top
    return np.clip(np.round(x), max(limits.min, -(2.0**62)), min(limits.max, 2.0**62)).astype(dtype)


def weights_of(case: Case, x: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Float64 weights, at least one of them positive, or None."""
    n = case.n
    if case.weights == "none":
        return None
    if case.weights == "equal":
        return np.full(n, 0.1)
    if case.weights == "integers":
        weight = rng.integers(0, 4, size=n).astype(float)
    elif case.weights == "wide":
        weight = 10.0 ** rng.uniform(-9, 9, size=n)
    elif case.weights == "halves":  # of the data, and of weights that are not binary fractions
        left = x[:, 0] < np.median(x[:, 0])
        weight = np.where(left, 1e9, 1e-9) * rng.choice([0.1, 0.3], size=n)
    elif case.weights == "zeros":
        weight = rng.random(n) * (rng.random(n) < 0.5)
    elif case.weights == "heavy":
        weight = np.where(rng.random(n) < 0.2, 10.0 ** rng.uniform(12, 18), 1 + rng.random(n))
    else:
        weight = np.full(n, 1e307)
    if not weight.any():
        weight[rng.integers(n)] = 1
    return weight


def init_of(case: Case, x: np.ndarray, rng: np.random.Generator) -> Any:
    """The estimator's `init`."""
    if case.init in ("k-means++", "random"):
        return case.init
    start = np.asarray(x[rng.choice(case.n, size=case.k, replace=False)], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.asarray(x, np.float64).std(axis=0)
    spread = np.where(np.isfinite(spread), spread, 0)
    if case.init == "near":
        start = start + 0.3 * spread * rng.standard_normal(start.shape)
    elif case.init == "far":
        limit = 1e300 if x.dtype == np.float64 else 1e36
        away = rng.random(case.k) < 0.5
        start[away] *= 10.0**case.far
        start = np.clip(start, -limit, limit)
    return start


def laid_out(x: np.ndarray, case: Case) -> Any:
    """The same rows in the case's layout."""
    n, d = x.shape
    if case.layout == "F":
        x = np.asfortranarray(x)
    elif case.layout == "strided":
        wide = np.zeros((2 * n, 3 * d), x.dtype)
        wide[::2, ::3] = x
        x = wide[::2, ::3]
    elif case.layout == "reversed":
        x = np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    elif case.layout == "frame":
        return pd.DataFrame(x, columns=[f"c{q}" for q in range(d)])
    elif case.layout == "csr":
        return sp.csr_matrix(x)
    else:
        x = x.copy()
    if case.readonly:
        x.setflags(write=False)
    return x
