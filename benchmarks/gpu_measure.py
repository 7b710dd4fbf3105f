"""One case on a GPU: iterations, kernels, open rows, the loss and the labels; uploads; "auto"."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np

from benchmarks.card import Card, least_seconds
from benchmarks.gpu_cases import Case, made, start_of
from benchmarks.kernel_times import recorded
from benchmarks.losses import loss
from benchmarks.worker import timed_by_device, timed_by_host

FEW, MANY, WATCHED = 2, 12, 4
REPEATS = 3
# a fit of `MANY` iterations that would take longer is cut short
LONGEST_SECONDS = 8.0
JUDGED_ROWS = 20_000
CHECKED_NUMBERS = 1 << 28  # of a brute force in float64, feature after feature


def estimator(case: Case, **settings: Any) -> Any:
    import kmgpu

    return {"l2": kmgpu.KMeans, "l1": kmgpu.KMedians}[case.loss](case.k, **settings)


def measured(case: Case, card: Card) -> dict[str, Any]:
    """Everything about one case, times in milliseconds."""
    import cupy

    host = made(case)
    init = start_of(host, case.k)
    x, start = cupy.asarray(host), cupy.asarray(init)

    def fit(n_iter: int) -> Any:
        return estimator(case, init=start, tol=0, max_iter=n_iter).fit(x)

    first, _ = timed_by_host(lambda: fit(FEW))
    few, _ = timed_by_device(lambda: fit(FEW))
    affordable = min(MANY, max(FEW + 1, int(LONGEST_SECONDS / few * FEW)))
    found = [_iterations(fit, affordable) for _ in range(REPEATS)]
    an_iteration, whole = (median(times) for times in zip(*found, strict=True))
    with recorded() as launches:
        watched, model = timed_by_device(lambda: fit(min(WATCHED, affordable)))
    least = least_seconds((case.n, case.d), case.k, case.loss, card)
    return {
        "name": case.name,
        "ms_an_iteration": an_iteration,
        "ms_an_iteration_of_a_fit": whole,
        "bar_ms": case.bar,
        "roofline_ms": None if least is None else 1000 * least,
        "first_fit_ms": 1000 * first,
        "kernels_ms": launches.milliseconds(),
        "kernels_in_ms": 1000 * watched,
        "open_shares": launches.open_shares(case.n),
        "inertia": float(model.inertia_),
        **judged(case, host, model, x),
    }


def _iterations(fit: Any, most: int) -> tuple[float, float]:
    """Milliseconds of an iteration: without what a fit costs once, and with it."""
    few, short = timed_by_device(lambda: fit(FEW))
    many, long = timed_by_device(lambda: fit(most))
    more = max(1, long.n_iter_ - short.n_iter_)
    return 1000 * (many - few) / more, 1000 * many / long.n_iter_


def judged(case: Case, host: np.ndarray, model: Any, x: Any) -> dict[str, Any]:
    """By brute force in float64: the loss of some rows, and how many labels of some are wrong."""
    from kmgpu.algorithm.losses import get_loss

    centers = model.cluster_centers_.get().astype(np.float64)
    step = max(1, case.n // JUDGED_ROWS)
    n_checked = max(1, min(len(host[::step]), CHECKED_NUMBERS // (case.k * case.d)))
    rows = np.linspace(0, case.n - 1, n_checked).astype(np.int64)
    costs = get_loss(case.loss).pairwise(host[rows].astype(np.float64), centers)
    labels = model.labels_.get()
    return {
        "loss_of_some": loss(host[::step], centers, case.loss) / len(host[::step]),
        "rows_checked": n_checked,
        "wrong_labels": int((labels[rows] != costs.argmin(axis=1)).sum()),
        "predict_differs": int((model.predict(x) != model.labels_).sum()),
    }


def seeding(case: Case) -> dict[str, Any]:
    """Milliseconds of greedy k-means++, by the difference that it makes to a fit."""
    import cupy

    host = made(case)
    x, start = cupy.asarray(host), cupy.asarray(start_of(host, case.k))

    def fit(init: Any) -> Any:
        return estimator(case, init=init, n_init=1, tol=0, max_iter=1, random_state=0).fit(x)

    seconds = {}
    for name, init in (("given", start), ("k-means++", "k-means++")):
        fit(init)
        seconds[name] = median(
            timed_by_device(lambda init=init: fit(init))[0] for _ in range(REPEATS)
        )
    return {"name": case.name, "ms": 1000 * (seconds["k-means++"] - seconds["given"])}


def uploads(n_bytes: int) -> dict[str, Any]:
    """GB/s from host memory, by ours and by CuPy's way, each the second time."""
    import cupy

    from kmgpu.backend.arrays import place_of
    from kmgpu.backend.upload import uploaded

    x = np.ones((n_bytes // 512, 128), np.float32)
    place = place_of(cupy.empty(0))
    ways = {"two pinned buffers": lambda: uploaded(x, place), "CuPy's": lambda: cupy.asarray(x)}
    found: dict[str, Any] = {"bytes": x.nbytes}
    for name, way in ways.items():
        timed_by_device(way)
        found[name] = x.nbytes / 1e9 / timed_by_device(way)[0]
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    return found


def automatic(case: Case) -> dict[str, Any]:
    """Seconds of a fit on the CPU and of NumPy data on the GPU, and what "auto" takes them for."""
    from kmgpu.backend.cards import cpu_seconds, gpu_seconds
    from kmgpu.backend.gpus import cupy_rates
    from kmgpu.parameters import work_of

    x = made(case)
    found: dict[str, Any] = {"name": case.name}
    for device in ("cpu", "cuda"):
        model = estimator(case, tol=0, max_iter=25, random_state=0, device=device)
        model.fit(x)
        found[device] = timed_by_host(lambda model=model: model.fit(x))[0]
    shape, work = x.shape, work_of(model)
    found["cpu by estimate"] = cpu_seconds(shape, work)
    found["cuda by estimate"] = gpu_seconds(shape, x.dtype.itemsize, work, cupy_rates(0))
    return found
