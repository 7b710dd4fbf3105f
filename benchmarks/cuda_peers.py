"""The peers on a GPU, each called as its documentation says; libraries are imported inside.

They are given CuPy arrays; PyTorch's share their memory by DLPack.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.engine import Engine, Found, Run, prepare_estimator
from benchmarks.peers import prepare_faiss

# cuML and cuVS refuse 0
LEAST_TOL = 1e-16


def _cuml(**settings: Any) -> Any:
    from cuml.cluster import KMeans

    return KMeans(output_type="cupy", **settings)


def _cuvs(x: Any, init: Any) -> Run:
    import cupy
    from cuvs.cluster.kmeans import KMeansParams, fit

    def run(n_iter: int) -> Found:
        params = KMeansParams(
            n_clusters=len(init), init_method="Array", max_iter=n_iter, tol=LEAST_TOL
        )
        found = fit(params, x, centroids=init.copy())
        return Found(cupy.asarray(found.centroids), int(found.n_iter))

    return run


def _faiss(x: Any, init: Any) -> Run:
    return prepare_faiss(x.get(), init.get(), gpu=True)


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

    def run(n_iter: int) -> Found:
        found = batch_kmeans_Euclid(
            batch, len(init), max_iters=n_iter, tol=0.0, init_centroids=start.clone()
        )
        return Found(found[1][0], n_iter)

    return run


def _heat(name: str, x: Any, init: Any) -> Run:
    import heat
    import torch

    rows = heat.array(torch.from_dlpack(x), device="gpu", copy=False)
    start = heat.array(torch.from_dlpack(init), device="gpu")

    def run(n_iter: int) -> Found:
        estimator = getattr(heat.cluster, name)(
            n_clusters=len(init), init=start, max_iter=n_iter, tol=0.0
        )
        estimator.fit(rows)
        return Found(estimator.cluster_centers_.larray, int(estimator.n_iter_))

    return run


CUML = partial(prepare_estimator, _cuml, tol=LEAST_TOL)
CUDA: dict[str, Any] = {"device": "cuda"}
FAISS: dict[str, Any] = CUDA | {"missing": _no_faiss_gpu, "note": "data from host memory"}
TORCH: dict[str, Any] = CUDA | {"missing": _no_torch_cuda}
FLASH: dict[str, Any] = TORCH | {"exact": False, "note": "tensor cores"}
PEERS = (
    Engine("cuml", "l2", CUML, ("cuml",), estimator=_cuml, **CUDA),
    Engine("cuvs", "l2", _cuvs, ("cuvs",), **CUDA),
    Engine("faiss-gpu", "l2", _faiss, ("faiss",), **FAISS),
    Engine("flash-kmeans", "l2", _flash_kmeans, ("flash_kmeans", "torch"), **FLASH),
    Engine("heat", "l2", partial(_heat, "KMeans"), ("heat", "torch"), **TORCH),
    Engine("heat", "l1", partial(_heat, "KMedians"), ("heat", "torch"), **TORCH),
)
