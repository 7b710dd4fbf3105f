"""CUDA kernels for CuPy arrays: what plain calls do too slowly, each in place of one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kmgpu.backend.arrays import Array
from kmgpu.kernels.cuda import nearest, refit, seeding
from kmgpu.kernels.cuda.module import FOLDER, PARTS, TYPES, on_device_of

DTYPES = frozenset(TYPES)


def _beside_x(function: Callable[..., Array], *first: str) -> Callable[..., Array]:
    """``function(*first, x, …)`` with the device of x as the current one."""

    def call(x: Array, *arguments: Any) -> Array:
        with on_device_of(x):
            return function(*first, x, *arguments)

    return call


KERNELS: dict[tuple[str, str], Callable[..., Array]] = {
    ("seed", "l1"): _beside_x(seeding.greedy_seed, "l1"),
    ("seed", "l2"): _beside_x(seeding.greedy_seed, "l2"),
    ("nearest", "l1"): _beside_x(nearest.nearest, "l1"),
    ("nearest", "l2"): _beside_x(nearest.nearest, "l2"),
    ("costs_at", "l1"): _beside_x(nearest.costs_at, "l1"),
    ("costs_at", "l2"): _beside_x(nearest.costs_at, "l2"),
    ("refit", "l1"): _beside_x(refit.medians),
    ("refit", "l2"): _beside_x(refit.means),
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
        Of NVRTC; they put its other parts before the file.
    """

    file: str
    name_expressions: tuple[str, ...]
    threads: tuple[int, ...]
    options: tuple[str, ...]


def _source(name: str, kernels: Iterable[tuple[str, int]]) -> Source:
    names, threads = zip(*kernels, strict=True)
    before = (f"-include={part}.cu" for part in PARTS[name][:-1])
    return Source(f"{name}.cu", names, threads, (f"-I{FOLDER}", *before))


SOURCES = (
    _source("nearest", nearest.instantiations()),
    _source("settle", nearest.settle_instantiations()),
    _source("means", refit.instantiations(refit.means_names)),
    _source("weights", refit.weights_instantiations()),
    _source("medians", refit.instantiations(refit.medians_names)),
    _source("seeding", seeding.instantiations()),
)
