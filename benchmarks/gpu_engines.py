"""k-means and k-medians on a GPU, as each library is called; libraries are imported inside.

``prepare(x, init)`` takes CuPy arrays, moves them (untimed) to where the library wants them, and
returns ``run(n_iter) -> (centers, iterations)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

Run = Callable[[int], tuple[Any, int]]
# cuVS refuses 0
LEAST_TOL = 1e-16


@dataclass(frozen=True)
class GpuEngine:
    """One way to fit one loss on a GPU.

    Attributes
    ----------
    name, loss : str
    prepare : callable
    modules : tuple of str
        What must be installed.
    missing : callable
        What else keeps it from running, or None.
    note : str
        What to know when reading its figures.
    """

    name: str
    loss: str
    prepare: Callable[[Any, Any], Run]
    modules: tuple[str, ...]
    missing: Callable[[], str | None] = lambda: None
    note: str = ""

    def absent(self) -> str | None:
        """Why it cannot run here, or None."""
        for module in self.modules:
            if find_spec(module) is None:
                return f"{module} is not installed"
        return self.missing()


def _kmgpu(name: str, x: Any, init: Any, mode: str = "auto") -> Run:
    import kmgpu
    from kmgpu import kernels

    def run(n_iter: int) -> tuple[Any, int]:
        estimator = getattr(kmgpu, name)(len(init), init=init, n_init=1, max_iter=n_iter, tol=0)
        with kernels.use(mode):
            estimator.fit(x)
        return estimator.cluster_centers_, estimator.n_iter_

    return run


def _cuml(x: Any, init: Any) -> Run:
    from cuml.cluster import KMeans

    def run(n_iter: int) -> tuple[Any, int]:
        estimator = KMeans(
            n_clusters=len(init),
            init=init,
            n_init=1,
            max_iter=n_iter,
            tol=LEAST_TOL,
            output_type="cupy",
        ).fit(x)
        return estimator.cluster_centers_, int(estimator.n_iter_)

    return run


def _cuvs(x: Any, init: Any) -> Run:
    import cupy
    from cuvs.cluster.kmeans import KMeansParams, fit

    def run(n_iter: int) -> tuple[Any, int]:
        params = KMeansParams(
            n_clusters=len(init), init_method="Array", max_iter=n_iter, tol=LEAST_TOL
        )
        found = fit(params, x, centroids=init.copy())
        return cupy.asarray(found.centroids), int(found.n_iter)

    return run


def _faiss(x: Any, init: Any) -> Run:
    import faiss

    rows, start = x.get(), init.get()

    def run(n_iter: int) -> tuple[Any, int]:
        # without the two limits it would train on a sample
        loop = faiss.Kmeans(
            x.shape[1],
            len(start),
            niter=n_iter,
            nredo=1,
            min_points_per_centroid=1,
            max_points_per_centroid=len(rows),
            gpu=True,
        )
        loop.train(rows, init_centroids=start)
        return loop.centroids, n_iter

    return run


def _no_faiss_gpu() -> str | None:
    import faiss

    return None if hasattr(faiss, "StandardGpuResources") else "this faiss is built without CUDA"


def _no_torch_cuda() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "this PyTorch finds no GPU"


def _flash_kmeans(x: Any, init: Any) -> Run:
    import torch
    from flash_kmeans import batch_kmeans_Euclid

    batch, start = torch.from_dlpack(x)[None], torch.from_dlpack(init)[None]

    def run(n_iter: int) -> tuple[Any, int]:
        found = batch_kmeans_Euclid(
            batch, len(init), max_iters=n_iter, tol=0.0, init_centroids=start.clone()
        )
        return found[1][0], n_iter

    return run


def _heat(name: str, x: Any, init: Any) -> Run:
    import heat
    import torch

    rows = heat.array(torch.from_dlpack(x), device="gpu", copy=False)
    start = heat.array(torch.from_dlpack(init), device="gpu")

    def run(n_iter: int) -> tuple[Any, int]:
        estimator = getattr(heat.cluster, name)(
            n_clusters=len(init), init=start, max_iter=n_iter, tol=0.0
        )
        estimator.fit(rows)
        return estimator.cluster_centers_.larray, int(estimator.n_iter_)

    return run


OURS = {"modules": ("kmgpu", "cupy")}
HEAT = {"modules": ("heat", "torch"), "missing": _no_torch_cuda}
ENGINES = (
    GpuEngine("kmgpu", "l2", partial(_kmgpu, "KMeans"), **OURS),
    GpuEngine("kmgpu-reference", "l2", partial(_kmgpu, "KMeans", mode="reference"), **OURS),
    GpuEngine("cuml", "l2", _cuml, ("cuml",)),
    GpuEngine("cuvs", "l2", _cuvs, ("cuvs",)),
    GpuEngine("faiss-gpu", "l2", _faiss, ("faiss",), _no_faiss_gpu, "data from host memory"),
    GpuEngine("flash-kmeans", "l2", _flash_kmeans, ("flash_kmeans", "torch"), _no_torch_cuda),
    GpuEngine("heat", "l2", partial(_heat, "KMeans"), **HEAT),
    GpuEngine("kmgpu", "l1", partial(_kmgpu, "KMedians"), **OURS),
    GpuEngine("kmgpu-reference", "l1", partial(_kmgpu, "KMedians", mode="reference"), **OURS),
    GpuEngine("heat", "l1", partial(_heat, "KMedians"), **HEAT),
)


def engines(loss: str, names: list[str] | None = None) -> list[GpuEngine]:
    """The engines of a loss, those of `names` if given."""
    return [e for e in ENGINES if e.loss == loss and (names is None or e.name in names)]
