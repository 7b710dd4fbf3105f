"""``kmgpu warmup``: compiles the usual kernels before they are needed, in images for example."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from kmgpu.backend.gpus import cupy_usable
from kmgpu.backend.threads import get_num_threads
from kmgpu.cli.options import show_progress
from kmgpu.cli.streams import output
from kmgpu.estimators import ESTIMATORS
from kmgpu.kernels.dispatch import numba_usable
from kmgpu.sources.row_blocks import RowBlocks

# features and clusters that take every engine through its kernels, and every pass of many features
SHAPES = {
    "l2": ((3, 8), (16, 32), (100, 8), (100, 300), (384, 64)),
    "l1": ((3, 8), (100, 32), (200, 32)),
}
DTYPES = ("float32", "float64")
ROWS = 3000


class Case(NamedTuple):
    """One problem whose kernels are compiled."""

    loss: str
    dtype: str
    n_features: int
    n_clusters: int
    device: str


def add(warmup: argparse.ArgumentParser) -> None:
    """The subcommand and its arguments."""
    warmup.add_argument(
        "--jobs", metavar="N", type=int, help="processes (default: as many as CPUs)"
    )
    warmup.add_argument("--no-progress", action="store_true", help="show no progress bar")
    warmup.set_defaults(run=_warmup)


def _warmup(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    if args.jobs is not None and args.jobs < 1:
        msg = f"--jobs {args.jobs} must be at least 1."
        raise ValueError(msg)
    if not numba_usable().yes:
        msg = f"there are no kernels to compile: {numba_usable().why}."
        raise ValueError(msg)
    start = perf_counter()
    cases = list(_cases("cpu"))
    bar = tqdm(total=len(cases), unit="problem", disable=not show_progress(args))
    with bar, ProcessPoolExecutor(args.jobs or get_num_threads(), get_context("spawn")) as pool:
        for _ in pool.map(fit_once, cases):
            bar.update()
    if cupy_usable().yes:  # one process, as its kernels are compiled side by side already
        for case in _cases("cuda"):
            fit_once(case)
    where = "CPU and GPU" if cupy_usable().yes else "CPU"
    output([f"kernels for {where} are compiled ({perf_counter() - start:.0f} s)\n"])


def _cases(device: str) -> Iterator[Case]:
    """The dearest first, so that no process is left with one at the end."""
    for loss, dtype in product(SHAPES, DTYPES):
        for n_features, n_clusters in reversed(SHAPES[loss]):
            yield Case(loss, dtype, n_features, n_clusters, device)


def fit_once(case: Case) -> None:
    """Fit and use a model of random rows, so that its kernels are on disk."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(case.n_clusters, case.n_features))
    x = places[rng.integers(case.n_clusters, size=ROWS)] + rng.normal(size=(ROWS, case.n_features))
    x = x.astype(case.dtype)
    estimator = ESTIMATORS[case.loss](case.n_clusters, random_state=0, device=case.device)
    estimator.fit(x)
    estimator.set_params(tol=0).fit(x, sample_weight=rng.uniform(1, 2, size=ROWS))
    estimator.set_params(algorithm="elkan").fit(x)
    estimator.predict(x)
    estimator.transform(x)
    estimator.score(x)
    if case.device == "cpu":
        estimator.set_params(max_iter=2)
        estimator.fit(csr_array(x))
        estimator.fit(RowBlocks([x]))
