"""What must hold of a fit: brute force in NumPy, float64 and wider, that calls nothing of kmgpu."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import lcm
from typing import Any

import numpy as np

from tests.search.cases import Case, laid_out

EPS = 2.0**-52
# a float64 cost outside these has lost digits, or everything
LEAST, MOST = 1e-290, 1e300
FEATURES = 5  # whose medians are checked, of every cluster


def costs(x: np.ndarray, centers: np.ndarray, loss: str, dtype: Any = np.float64) -> np.ndarray:
    """Cost of every row at every centre, (n, k), from differences, feature after feature."""
    x, centers = np.asarray(x, np.float64).astype(dtype), np.asarray(centers, np.float64)
    columns, features = np.ascontiguousarray(x.T), np.ascontiguousarray(centers.T.astype(dtype))
    found = np.zeros((x.shape[0], centers.shape[0]), dtype)
    with np.errstate(over="ignore", under="ignore"):
        for column, feature in zip(columns, features, strict=True):
            apart = column[:, None] - feature
            found += apart * apart if loss == "l2" else np.abs(apart)
    return found


@dataclass(frozen=True)
class Fitted:
    """A fit and what it was made from; `x` are the rows in C order, `given` their layout."""

    case: Case
    x: np.ndarray
    given: Any
    weight: np.ndarray | None
    model: Any

    @cached_property
    def labels(self) -> np.ndarray:
        return np.asarray(self.model.labels_)

    @cached_property
    def centers(self) -> np.ndarray:
        return np.asarray(self.model.cluster_centers_, np.float64)

    @cached_property
    def mass(self) -> np.ndarray:
        return np.ones(len(self.x)) if self.weight is None else self.weight

    @cached_property
    def eps(self) -> float:
        """Of the dtype of the centres."""
        return float(np.finfo(np.asarray(self.model.cluster_centers_).dtype).eps)

    @cached_property
    def costs(self) -> np.ndarray:
        return costs(self.x, self.centers, self.case.loss)

    @cached_property
    def wide(self) -> np.ndarray:
        """Costs beyond the range of float64."""
        return costs(self.x, self.centers, self.case.loss, np.longdouble)

    @cached_property
    def in_range(self) -> np.ndarray:
        """Rows all whose costs are float64's, exactly zero ones among them."""
        fine = (self.costs > LEAST) & (self.costs < MOST)
        doubtful = np.flatnonzero(~fine.all(axis=1))
        if doubtful.size:
            same = costs(self.x[doubtful], self.centers, "l1") == 0
            fine[doubtful] |= same
        return fine.all(axis=1)

    @cached_property
    def least(self) -> np.longdouble:
        """What underflow takes of a cost; nothing is forgiven where it takes all of all costs."""
        seen = self.wide.max(initial=0) > 1e-300  # of normal numbers
        return np.longdouble(2.0**-1074 * self.case.d if seen else 0.0)


def out_of_range(x: np.ndarray, init: Any, weight: np.ndarray | None, loss: str) -> bool:
    """Whether costs, their sums or those of weights may really leave the range of float64."""
    ends = np.asarray(x, np.longdouble)
    low, high = ends.min(axis=0), ends.max(axis=0)
    if not isinstance(init, str):
        low, high = np.minimum(low, init.min(axis=0)), np.maximum(high, init.max(axis=0))
    extent = high - low
    cost = (extent**2).sum() if loss == "l2" else extent.sum()
    mass = np.ones(len(x)) if weight is None else weight[weight > 0]
    total = mass.astype(np.longdouble).sum()
    if total > MOST or max(cost, 1) * max(total, 1) * len(x) > MOST:
        return True
    apart = np.abs(ends - ends[0])
    least = apart[apart > 0].min(initial=np.inf)
    least = min(least * least if loss == "l2" else least, 1)
    return bool(least * min(mass.min(), 1) < LEAST)


def excused(error: Exception, beyond: bool) -> bool:
    """Whether an error is one that users may get: what is at fault, named, and really so."""
    named = any(name in str(error) for name in ("X", "init", "sample_weight"))
    return isinstance(error, ValueError) and named and beyond


def check_labels(fit: Fitted) -> str | None:
    best = fit.costs.argmin(axis=1)
    wrong = (fit.labels != best) & fit.in_range
    doubtful = np.flatnonzero(~fit.in_range)
    if doubtful.size:
        wide = fit.wide[doubtful]
        attained = wide[np.arange(len(wide)), fit.labels[doubtful]]
        rounding = (fit.case.d + 8) * EPS * wide.min(axis=1) + fit.least
        wrong[doubtful] = attained > wide.min(axis=1) + rounding
    if not wrong.any():
        return None
    attained = fit.wide[wrong, fit.labels[wrong]]
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = np.nanmax(attained / fit.wide[wrong].min(axis=1))
    return (
        f"{wrong.sum()} of {len(wrong)} rows, at up to 1 + {float(worst - 1):.3g} of the least cost"
    )


def check_predict(fit: Fitted) -> str | None:
    differ = int((np.asarray(fit.model.predict(fit.given)) != fit.labels).sum())
    return f"{differ} of {len(fit.x)} rows" if differ else None


def check_subset(fit: Fitted) -> str | None:
    rng = np.random.default_rng(fit.case.n)
    for size in (1, max(1, fit.case.n // 3)):
        rows = rng.integers(fit.case.n, size=size)
        found = np.asarray(fit.model.predict(laid_out(fit.x[rows], fit.case)))
        differ = int((found != fit.labels[rows]).sum())
        if differ:
            return f"{differ} of {size} rows"
    return None


def check_transform(fit: Fitted) -> str | None:
    right = fit.costs if fit.in_range.all() else fit.wide
    right = np.sqrt(right) if fit.case.loss == "l2" else right
    narrow = fit.x.dtype in (np.float16, np.float32)
    most = np.finfo(np.float32 if narrow else np.float64).max
    try:
        found = np.asarray(fit.model.transform(fit.given))
    except ValueError as error:
        beyond = right.max() > most * (1 - 1e-6)
        return None if beyond and "overflow" in str(error) else f"{type(error).__name__}: {error}"
    least = np.sqrt(fit.least) if fit.case.loss == "l2" else fit.least
    limits = np.finfo(found.dtype)
    rtol = 1e-6 if limits.bits == 32 else 1e-9 if fit.case.layout == "csr" else 1e-10
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(found - right) > rtol * right + 4 * limits.smallest_subnormal + least
        off |= ~np.isfinite(found)
    if off.any():
        i, j = np.argwhere(off)[0]
        return f"{off.sum()} values; {found[i, j]!r} where {float(right[i, j])!r} is right"
    own = found[np.arange(len(found)), fit.labels]
    differ = int((own != found.min(axis=1)).sum())
    return f"argmin: {differ} rows" if differ else None


def check_inertia(fit: Fitted) -> str | None:
    apart = fit.x.astype(np.float64).astype(np.longdouble) - fit.centers[fit.labels]
    cost = (apart**2 if fit.case.loss == "l2" else np.abs(apart)).sum(axis=1)
    right, found = float((cost * fit.mass).sum()), fit.model.inertia_
    if not abs(found - right) <= 1e-5 * right + 1e-305:
        return f"{found!r} where {right!r} is right"
    return None


def check_score(fit: Fitted) -> str | None:
    found, right = -fit.model.score(fit.given, sample_weight=fit.weight), fit.model.inertia_
    return None if abs(found - right) <= 1e-9 * right + 1e-305 else f"{found!r}, inertia {right!r}"


def check_history(fit: Fitted) -> str | None:
    """No half-step raises the loss, but by the rounding of the centres."""
    sizes = np.bincount(fit.labels, fit.mass, minlength=len(fit.centers))
    reach = np.abs(fit.x.astype(np.float64)).max(axis=0)

    def rounding(eps: float) -> float:
        with np.errstate(over="ignore", under="ignore"):
            moved = eps * reach
            return float(sizes.sum() * (moved**2 if fit.case.loss == "l2" else moved).sum())

    history = [entry for entry in fit.model.history_ if entry.loss is not None]
    for e, (before, after) in enumerate(pairwise(history)):
        last = e == len(history) - 2
        slack = rounding(64 * (fit.eps if last else EPS)) + 1e-305
        if not after.loss <= before.loss * (1 + 1e-8) + slack:
            return f"{before.kind} {before.loss!r} to {after.kind} {after.loss!r}"
    return None


def check_centers(fit: Fitted) -> str | None:
    """Of a fit that ran until no label changed: means or medians of the rows."""
    model = fit.model
    if fit.case.tol or not model.converged_ or model.history_[-1].n_changed:
        return None
    size = np.abs(fit.x.astype(np.float64))
    usual = np.array([np.median(column[column > 0]) if column.any() else 0 for column in size.T])
    for j in range(fit.case.k):
        own = (fit.labels == j) & (fit.mass > 0)
        if own.any():
            rows = fit.x[own].astype(np.float64)
            wrong = CENTER[fit.case.loss](rows, fit.mass[own], fit.centers[j], fit.eps, usual)
            if wrong:
                return f"cluster {j} of {own.sum()} rows: {wrong}"
    return None


def least_step(eps: float) -> float:
    """Twice the least positive number of the dtype of that precision."""
    return 2.0**-148 if eps > EPS else 2.0**-1073


def _not_the_mean(
    rows: np.ndarray, mass: np.ndarray, center: np.ndarray, eps: float, usual: np.ndarray
) -> str | None:
    share = mass.astype(np.longdouble) / mass.astype(np.longdouble).sum()
    right = rows[0] + ((rows.astype(np.longdouble) - rows[0]) * share[:, None]).sum(axis=0)
    spread = np.ptp(rows.astype(np.longdouble), axis=0)
    digits = max(2 * eps, 1e-12)  # float64 sums, also by difference
    slack = 1e-9 * spread + digits * np.abs(right) + 1e-13 * usual + least_step(eps)
    off = np.abs(center - right) > slack
    if not off.any():
        return None
    q = int(np.argmax(off))
    return f"feature {q}: {center[q]!r}, mean {float(right[q])!r}, spread {float(spread[q]):.3g}"


def whole(mass: np.ndarray) -> np.ndarray:
    """The weights times one factor that makes integers of them, as Python's integers."""
    ratios = [Fraction(float(w)) for w in mass]
    common = lcm(*(ratio.denominator for ratio in ratios))
    return np.array([int(ratio * common) for ratio in ratios], dtype=object)


def middle(values: np.ndarray, mass: np.ndarray, slack: int) -> tuple[float, float]:
    """The ends of the interval of weighted medians; `mass` are integers.

    Halves of the weight that differ by at most `slack` are equal.
    """
    order = np.argsort(values, kind="stable")
    reached = 2 * np.cumsum(mass[order])
    total = reached[-1] // 2
    low = int(np.argmax(reached >= total - slack))
    high = np.flatnonzero(reached > total + slack)
    return float(values[order[low]]), float(values[order[high[0] if high.size else -1]])


def _not_the_median(
    rows: np.ndarray, mass: np.ndarray, center: np.ndarray, eps: float, usual: np.ndarray
) -> str | None:
    weights = whole(mass) if (mass != mass[0]).any() else np.ones(len(mass), dtype=np.int64)
    # halves of weights such as 0.1 differ by their rounding
    rounding = sum(weights.tolist()) * (4 * len(weights) + 1024) >> 60
    d = rows.shape[1]
    for q in np.unique(np.linspace(0, d - 1, FEATURES).astype(int)):
        low, high = middle(rows[:, q], weights, 0)
        right, wide = 0.5 * low + 0.5 * high, middle(rows[:, q], weights, rounding)
        doubtful = wide != (low, high) and wide[0] <= center[q] <= wide[1]
        if not (doubtful or abs(center[q] - right) <= eps * abs(right) + least_step(eps)):
            return f"feature {q}: {center[q]!r}, median {right!r} of [{low!r}, {high!r}]"
    return None


CENTER = {"l2": _not_the_mean, "l1": _not_the_median}
CHECKS = {
    "labels": check_labels,
    "predict": check_predict,
    "subset": check_subset,
    "transform": check_transform,
    "inertia": check_inertia,
    "score": check_score,
    "history": check_history,
    "centers": check_centers,
}
