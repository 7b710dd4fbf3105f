"""What the parameters of an estimator mean: checked, and resolved to a plan."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from kmgpu.algorithm.lloyd import EMPTY_CLUSTER, HalfStep
from kmgpu.algorithm.plan import Plan, digest
from kmgpu.algorithm.progress import Progress
from kmgpu.algorithm.seeding import METHODS
from kmgpu.backend.arrays import Array, place_of, to_host
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import device_name
from kmgpu.checkpoints import CheckpointFile
from kmgpu.validation import (
    check_choice,
    check_init_centers,
    check_integer,
    check_max_samples,
    check_memory_budget,
    check_tol,
    random_generator,
)

ALGORITHMS = {"lloyd": "auto", "auto": "auto", "dense": "dense", "elkan": "elkan"}
RESTARTS_OF_RANDOM_INIT = 10
# of METHODS, those that try several rows for a centre, so that one restart is enough
SEARCHING = ("k-means++", "k-means||", "greedy")
# how many a fit takes before it converges, for an estimate
USUAL_ITERATIONS = 25


def check_parameters(estimator: Any) -> None:
    """Raise ValueError or TypeError for what `fit` would refuse whatever the data."""
    check_integer("n_clusters", estimator.n_clusters, 1)
    if estimator.n_init != "auto":
        check_integer("n_init", estimator.n_init, 1)
    check_integer("max_iter", estimator.max_iter, 1)
    check_tol(estimator.tol)
    check_choice("algorithm", estimator.algorithm, tuple(ALGORITHMS))
    check_choice("empty_cluster", estimator.empty_cluster, EMPTY_CLUSTER)
    check_memory_budget(estimator.memory_budget)
    check_max_samples(estimator.max_samples)
    _check_checkpoint(estimator)
    _check_callback(estimator.callback)
    if isinstance(estimator.init, str):
        check_choice("init", estimator.init, METHODS)
    if estimator.algorithm == "elkan" and estimator.n_clusters == 1:
        warnings.warn(
            "algorithm='elkan' doesn't make sense for a single cluster; using 'lloyd'.",
            RuntimeWarning,
            stacklevel=3,
        )
    if estimator.n_init not in ("auto", _restarts(estimator)):
        warnings.warn(
            f"Explicit initial center position passed: performing only one init in "
            f"{type(estimator).__name__} instead of n_init={estimator.n_init}.",
            RuntimeWarning,
            stacklevel=3,
        )


def work_of(estimator: Any) -> Work:
    """How much work a fit is, about."""
    restarts = _restarts(estimator)
    return Work(
        n_clusters=estimator.n_clusters,
        squared=estimator.loss.squared,
        assignments=restarts * min(estimator.max_iter, USUAL_ITERATIONS),
        seedings=restarts * _searches(estimator.init),
    )


def plan_of(
    estimator: Any,
    x: Array,
    dtype: Any,
    memory_budget: int | None,
    weight_factor: float,
    progress: Progress,
    watch: Callable[[HalfStep], bool],
) -> Plan:
    """The parameters of an estimator, resolved for `x` where it is computed on."""
    init = estimator.init
    if not isinstance(init, str) and not callable(init):
        init = check_init_centers(init, estimator.n_clusters, x.shape[1], place_of(x))
    rng = random_generator(estimator.random_state)
    return Plan(
        loss=estimator.loss,
        n_clusters=estimator.n_clusters,
        dtype=dtype,
        init=init,
        n_init=_restarts(estimator),
        max_iter=estimator.max_iter,
        tol=float(estimator.tol),
        empty_cluster=estimator.empty_cluster,
        memory_budget=memory_budget,
        algorithm=ALGORITHMS[estimator.algorithm],
        weight_factor=weight_factor,
        rng=rng,
        progress=progress,
        checkpoint=_checkpoint_of(estimator, init, dtype, memory_budget, weight_factor, x, rng),
        watch=watch,
    )


def _checkpoint_of(
    estimator: Any,
    init: Any,
    dtype: Any,
    memory_budget: int | None,
    factor: float,
    x: Array,
    rng: np.random.Generator,
) -> CheckpointFile | None:
    """The file of the parameter, with all that the bits of a result depend on but the data."""
    if estimator.checkpoint is None:
        return None
    plain = (
        "n_clusters", "n_init", "max_iter", "tol", "empty_cluster", "algorithm", "max_samples",
    )  # fmt: skip
    told = {name: getattr(estimator, name) for name in plain}
    seed = estimator.random_state
    if callable(init):
        init = getattr(init, "__qualname__", type(init).__qualname__)
    elif not isinstance(init, str):
        init = digest(to_host(init))
    return CheckpointFile(
        estimator.checkpoint,
        {
            "loss": estimator.loss.name,
            **told,
            "init": init,
            "random_state": int(seed) if isinstance(seed, Integral) else None,
            "generator": type(rng.bit_generator).__name__,
            "memory_budget": memory_budget,
            "weight_factor": factor,
            "dtype": str(dtype).rpartition(".")[2].strip("'>"),
            # "auto" may go on with the CPU where a GPU's memory runs out
            "device": "auto" if estimator.device == "auto" else device_name(place_of(x)),
        },
    )


def _check_checkpoint(estimator: Any) -> None:
    path = estimator.checkpoint
    if path is None:
        return
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        msg = f"checkpoint={path!r} is no path; give the name of a file, or None."
        raise TypeError(msg)
    if estimator.max_samples is not None and estimator.random_state is None:
        msg = (
            f"checkpoint={str(path)!r} with max_samples={estimator.max_samples} needs a "
            f"random_state: a fit that goes on must draw the same rows."
        )
        raise ValueError(msg)


def _check_callback(callback: Any) -> None:
    if callback is not None and not callable(callback):
        msg = (
            f"callback={callback!r} cannot be called; give a function of one HistoryEntry, whose "
            f"true result ends the fit, or None."
        )
        raise TypeError(msg)


def _restarts(estimator: Any) -> int:
    if not isinstance(estimator.init, str) and not callable(estimator.init):
        return 1
    if estimator.n_init != "auto":
        return int(estimator.n_init)
    return 1 if _searches(estimator.init) else RESTARTS_OF_RANDOM_INIT


def _searches(init: Any) -> bool:
    return isinstance(init, str) and init in SEARCHING
