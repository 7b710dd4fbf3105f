"""CUDA kernels for CuPy arrays: what plain calls do too slowly, each in place of one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kmgpu.kernels.cuda import nearest, refit

KERNELS: dict[tuple[str, str], Callable[..., Any]] = {
    ("nearest", "l1"): partial(nearest.nearest, "l1"),
    ("nearest", "l2"): partial(nearest.nearest, "l2"),
    ("costs_at", "l1"): partial(nearest.costs_at, "l1"),
    ("costs_at", "l2"): partial(nearest.costs_at, "l2"),
    ("refit", "l1"): refit.medians,
    ("refit", "l2"): refit.means,
}
