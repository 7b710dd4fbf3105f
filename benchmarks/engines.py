"""All engines: kmgpu's own, and its peers on either device. Libraries are imported when used."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks import cuda_peers, peers
from benchmarks.engine import Engine, Found, Run, prepare_estimator

OUR_PREFIX = "kmgpu"


def _kmgpu(name: str, **settings: Any) -> Any:
    import kmgpu

    return getattr(kmgpu, name)(**settings)


def _prepare_reference(name: str, x: Any, init: Any) -> Run:
    """Array API calls alone, no kernels."""
    from kmgpu import kernels

    fit = prepare_estimator(partial(_kmgpu, name), x, init)

    def run(n_iter: int) -> Found:
        with kernels.use("reference"):
            return fit(n_iter)

    return run


def _ours(device: str) -> list[Engine]:
    extra: dict[str, Any] = {"device": device, "modules": ("kmgpu",)}
    extra |= {"imports": ("kmgpu", "numba")} if device == "cpu" else {"modules": ("kmgpu", "cupy")}
    found = []
    for loss, name in (("l2", "KMeans"), ("l1", "KMedians")):
        make, reference = partial(_kmgpu, name), partial(_prepare_reference, name)
        fit = partial(prepare_estimator, make)
        found.append(Engine("kmgpu", loss, fit, estimator=make, **extra))
        found.append(Engine("kmgpu-reference", loss, reference, **extra))
    return found


ENGINES = (*_ours("cpu"), *peers.PEERS, *_ours("cuda"), *cuda_peers.PEERS)


def engines(loss: str, names: list[str] | None = None, device: str = "cpu") -> list[Engine]:
    """The engines of a loss on a device; those of `names`, in that order, if given."""
    found = {e.name: e for e in ENGINES if (e.loss, e.device) == (loss, device)}
    return [found[name] for name in (names or found) if name in found]
