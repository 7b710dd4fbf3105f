"""CUDA kernels for CuPy arrays: what plain calls do too slowly, each in place of one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from kmgpu.backend.arrays import Array
from kmgpu.kernels.cuda import nearest, refit, seeding, sort
from kmgpu.kernels.cuda.engine import CudaSteps
from kmgpu.kernels.cuda.module import FOLDER, PARTS, TYPES, on_device_of

DTYPES = frozenset(TYPES)
T = TypeVar("T")


def _nearest(x: Array, centers: Array, loss: Any, memory_budget: int | None = None) -> Array:
    return nearest.nearest(loss.name, x, centers, memory_budget)


def _costs_at(
    x: Array, centers: Array, labels: Array, loss: Any, memory_budget: int | None = None
) -> Array:
    return nearest.costs_at(loss.name, x, centers, labels, memory_budget)


def _greedy_seed(
    x: Array, n_clusters: int, loss: Any, *arguments: Any, **options: Any
) -> tuple[Any, None]:
    return seeding.greedy_seed(loss.name, x, n_clusters, *arguments, **options)


def _engine(
    x: Array,
    sample_weight: Array | None,
    n_clusters: int,
    loss: Any,
    memory_budget: int | None = None,
    algorithm: str = "auto",
) -> CudaSteps:
    del algorithm  # every distance is computed
    return CudaSteps(_nearest, x, sample_weight, n_clusters, loss, memory_budget)


def _beside_x(function: Callable[..., T]) -> Callable[..., T]:
    """The same with the device of x, its first argument, as the current one."""

    def call(x: Array, *arguments: Any, **options: Any) -> T:
        with on_device_of(x):
            return function(x, *arguments, **options)

    return call


# by the names of the functions of `kmgpu.algorithm` that they stand for
KERNELS: dict[str, Callable[..., Any]] = {
    "engine": _beside_x(_engine),
    "greedy_seed": _beside_x(_greedy_seed),
    "nearest": _beside_x(_nearest),
    "costs_at": _beside_x(_costs_at),
    "means": _beside_x(refit.means),
    "medians": _beside_x(refit.medians),
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
    _source("sort", sort.instantiations()),
    _source("means", refit.instantiations(refit.means_names)),
    _source("weights", refit.weights_instantiations()),
    _source("medians", refit.instantiations(refit.medians_names)),
    _source("seeding", seeding.instantiations()),
)
