"""CUDA kernels for CuPy arrays: what plain calls do too slowly, each in place of one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from kmgpu.kernels.cuda import nearest, refit
from kmgpu.kernels.cuda.module import FOLDER, TYPES

DTYPES = frozenset(TYPES)
KERNELS: dict[tuple[str, str], Callable[..., Any]] = {
    ("nearest", "l1"): partial(nearest.nearest, "l1"),
    ("nearest", "l2"): partial(nearest.nearest, "l2"),
    ("costs_at", "l1"): partial(nearest.costs_at, "l1"),
    ("costs_at", "l2"): partial(nearest.costs_at, "l2"),
    ("refit", "l1"): refit.medians,
    ("refit", "l2"): refit.means,
}


class Source(NamedTuple):
    """A file of kernels and all its instantiations, for checks without a GPU.

    Attributes
    ----------
    file : str
    name_expressions : tuple of str
    threads : tuple of int
        Threads of a block, for each of them.
    options : tuple of str
        Of NVRTC; they put common.cu before the file.
    """

    file: str
    name_expressions: tuple[str, ...]
    threads: tuple[int, ...]
    options: tuple[str, ...]


def _source(name: str, kernels: Iterable[tuple[str, int]]) -> Source:
    names, threads = zip(*kernels, strict=True)
    return Source(f"{name}.cu", names, threads, (f"-I{FOLDER}", "-include=common.cu"))


SOURCES = (
    _source("nearest", nearest.instantiations()),
    _source("refit", refit.instantiations()),
)
