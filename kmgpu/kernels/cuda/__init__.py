"""CUDA kernels for CuPy arrays: what plain calls do too slowly, each in place of one function.

A Python file launches the kernels of the .cu file of its name. In the order to read them:

| file | what it does |
|---|---|
| `module` | compiles a source, which is several .cu files one after the other; checks arguments |
| `engine` | one iteration: assign, group, refit, one copy of the numbers that the host needs |
| `nearest` | chooses how rows are ranked; L2 by a matrix product; costs |
| `centers` | the centres about a point among them, as the rankings read them |
| `differences` | ranks by differences: `narrow.cu` few features, `tiled.cu` others |
| `screen` | ranks L1 by halves first |
| `tensor` | k-means of 8 to 2,048 features on tensor cores |
| `settle` | ranks the rows that a first ranking leaves open by the costs that decide labels |
| `sort` | rows in the order of their labels: a stable counting sort |
| `refit` | means by sums over the sorted rows; medians by selection, a digit at a time; weights |
| `seeding` | greedy k-means++ |
| `spread` | the scale of the tolerance |
| `compiled` | which kernels CuPy has compiled on this machine |
| `watchdog` | no launch takes long on a GPU that draws a display |

Of the tensor cores, `mma.cu` has the instructions, `certificate.cu` the proof of what a ranking
decides, `tensor.cu` rows whose halves fit registers, `wide.cu` longer ones, `halves.cu` what both
need.

The docstring of a function says what it reads and computes. Medians by digits are radix selection
(Alabi et al., "Fast k-selection algorithms for graphics processing units", ACM JEA, 2012). Floats
as two halves for tensor cores go back to Markidis et al., "NVIDIA tensor core programmability,
performance & precision", IPDPSW 2018. The certificate is this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from kmgpu.backend.arrays import Array, namespace
from kmgpu.kernels.cuda import (
    centers,
    compiled,
    differences,
    nearest,
    refit,
    screen,
    seeding,
    settle,
    sort,
    spread,
    tensor,
    watchdog,
)
from kmgpu.kernels.cuda.engine import CudaSteps
from kmgpu.kernels.cuda.module import FOLDER, PARTS, TYPES, on_device_of, text

DTYPES = frozenset(TYPES)
T = TypeVar("T")


def _nearest(x: Array, centers: Array, loss: Any, memory_budget: int | None = None) -> Array:
    parts = [
        nearest.nearest(loss.kernel_name, x[start:stop, :], centers, memory_budget)
        for start, stop in watchdog.row_ranges(x, centers.shape[0])
    ]
    return parts[0] if len(parts) == 1 else namespace(x).concat(parts)


def _costs_at(
    x: Array, centers: Array, labels: Array, loss: Any, memory_budget: int | None = None
) -> Array:
    return nearest.costs_at(loss.kernel_name, x, centers, labels, memory_budget)


def _spread(
    x: Array, loss: Any, sample_weight: Array | None, memory_budget: int | None = None
) -> float:
    return spread.spread(loss.kernel_name, x, sample_weight, memory_budget)


def _greedy_seed(
    x: Array, n_clusters: int, loss: Any, *arguments: Any, **options: Any
) -> tuple[Any, None]:
    return seeding.greedy_seed(loss.kernel_name, x, n_clusters, *arguments, **options)


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
    "spread": _beside_x(_spread),
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
    _source("centers", centers.instantiations()),
    _source("nearest", nearest.instantiations()),
    _source("narrow", differences.instantiations("narrow")),
    _source("tiled", differences.instantiations("tiled")),
    _source("screen", screen.instantiations()),
    _source("settle", settle.instantiations()),
    _source("sort", sort.instantiations()),
    _source("tensor", tensor.instantiations()),
    _source("means", refit.instantiations(refit.means_names)),
    _source("weights", refit.weights_instantiations()),
    _source("medians", refit.instantiations(refit.medians_names)),
    _source("seeding", seeding.instantiations()),
)


def compiled_here() -> str:
    """How many of the kernels are compiled on this machine, and where they are kept."""
    every = ((source.file[:-3], name) for source in SOURCES for name in source.name_expressions)
    return compiled.described((text(source), name) for source, name in every)
