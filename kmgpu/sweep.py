"""Choosing k: fits of a range of k, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import silhouette_score
from sklearn.utils.parallel import Parallel, delayed

from kmgpu.arrays import Array, asarray, namespace, place_of, resolve, take_rows, to_host
from kmgpu.assignment import costs_at, runner_up, weighted_sum
from kmgpu.base import AlternatingMinimizer, _generator
from kmgpu.estimators import ESTIMATORS
from kmgpu.losses import Loss, get_loss
from kmgpu.seeding import random_rows
from kmgpu.validation import check_data, check_integer, check_n_clusters, check_sample_weight

METRICS = {"l2": "euclidean", "l1": "manhattan"}


class SweepEntry(NamedTuple):
    """What one k led to.

    Attributes
    ----------
    k : int
    loss : float
        Squared units of the data for L2, plain ones for L1.
    iterations : int
    seconds : float
        Of the fit alone, by the wall clock: what Numba compiles at its first use is in it, and
        several fits at a time slow each other down.
    simplified_silhouette : float
        Weighted mean over all rows of (b - a) / max(a, b), where a is the distance to the own
        centre and b that to the nearest other one; 0 for a row where both are 0; NaN for k = 1.
    silhouette : float
        Mean silhouette of the sample; NaN where the sample lies in one cluster, or every row of
        it in a cluster of its own.
    """

    k: int
    loss: float
    iterations: int
    seconds: float
    simplified_silhouette: float
    silhouette: float


@dataclass(frozen=True)
class Sweep:
    """A small table: one `SweepEntry` for every k, in ascending order.

    It has a length and is iterated and indexed as the tuple of its entries is;
    ``pandas.DataFrame(table.to_dict())`` makes a frame of it.

    Attributes
    ----------
    entries : tuple of SweepEntry
    loss : str
        "l2" or "l1".
    random_state : int
        ``KMeans(k, random_state=random_state)``, or KMedians, repeats the fit of an entry.
    n_sampled : int
        Rows that the exact silhouette was computed on.
    """

    entries: tuple[SweepEntry, ...]
    loss: str
    random_state: int
    n_sampled: int

    @property
    def knee(self) -> int | None:
        """The k where the loss stops falling fast; None where the curve has no such point.

        The point farthest below the chord from the first to the last point, both axes scaled to
        [0, 1]; the smallest k of equals. That is the rule of Kneedle, without its smoothing.

        References
        ----------
        V. Satopää, J. Albrecht, D. Irwin, B. Raghavan, "Finding a 'Kneedle' in a haystack:
        detecting knee points in system behavior", ICDCS Workshops 2011, section III.
        """
        k = np.array([entry.k for entry in self.entries], np.float64)
        loss = np.array([entry.loss for entry in self.entries])
        if len(k) < 3 or not loss[0] > loss[-1]:
            return None
        across = (k - k[0]) / (k[-1] - k[0])
        left = (loss - loss[-1]) / (loss[0] - loss[-1])
        below = 1 - across - left
        at = int(np.argmax(below))
        return self.entries[at].k if below[at] > 0 else None

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns by name."""
        columns = zip(*self.entries, strict=True)
        return dict(zip(SweepEntry._fields, map(list, columns), strict=True))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[SweepEntry]:
        return iter(self.entries)

    def __getitem__(self, at: Any) -> Any:
        return self.entries[at]

    def __repr__(self) -> str:
        lines = [_titles(), *map(_cells, self.entries)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        ]
        return "\n".join([*shown, self._notes()])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{title}</th>" for title in _titles())
        body = "".join(
            f"<tr>{''.join(f'<td>{cell}</td>' for cell in _cells(entry))}</tr>"
            for entry in self.entries
        )
        return (
            f"<table><caption>{self._notes()}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _notes(self) -> str:
        units = get_loss(self.loss).units
        knee = "no knee" if self.knee is None else f"knee at k = {self.knee}"
        return f"loss {self.loss}, {units}; silhouette of {self.n_sampled:,} rows; {knee}"


def _titles() -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in SweepEntry._fields)


def _cells(entry: SweepEntry) -> tuple[str, ...]:
    return (
        f"{entry.k}",
        f"{entry.loss:.6g}",
        f"{entry.iterations}",
        f"{entry.seconds:.2f}",
        f"{entry.simplified_silhouette:.3f}",
        f"{entry.silhouette:.3f}",
    )


def sweep(
    X: Any,
    ks: Iterable[int],
    *,
    loss: str | Loss = "l2",
    sample_weight: Any = None,
    random_state: Any = None,
    sample_size: int = 1000,
    n_jobs: int | None = None,
    device: str | None = None,
    progress: bool = False,
    **parameters: Any,
) -> Sweep:
    """Fit `X` with every number of clusters in `ks`, and say how good each is.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        As for `KMeans.fit`.
    ks : iterable of int
        Numbers of clusters, each once, in any order.
    loss : {"l2", "l1"}, default="l2"
        k-means or k-medians.
    sample_weight : array-like of shape (n_samples,), optional
    random_state : None, int, numpy.random.Generator or RandomState, default=None
        Seeds every fit alike, so a fit does not depend on the other ks; and the sample.
    sample_size : int, default=1000
        Rows of the sample for the exact silhouette, which takes the square of it in time. They
        are drawn by weight and then count alike; rows of zero weight are never drawn.
    n_jobs : int, optional
        Fits at a time, as joblib counts: None is 1, -1 all CPUs. Results are those of one at a
        time. Threads are used, which share `X`, unless `joblib.parallel_config` says otherwise.
    device : {None, "cpu", "cuda", "cuda:N", "auto"}, default=None
        As for `KMeans`; `X` is moved once.
    progress : bool, default=False
        Show a progress bar of the fits.
    parameters : keyword arguments
        Any other parameter of `KMeans` and `KMedians`, for every fit.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError, TypeError
        For bad input, before anything is fitted.

    References
    ----------
    P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of
    cluster analysis", J. Comput. Appl. Math. 20, 1987. The simplified one: L. Vendramin,
    R. J. G. B. Campello, E. R. Hruschka, "Relative clustering validity criteria: a comparative
    overview", Statistical Analysis and Data Mining 3(4), 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import sweep
    >>> X = np.array([[0.0], [1], [2], [10], [11], [12], [20], [21], [22]])
    >>> found = sweep(X, range(1, 8), random_state=0)
    >>> found.knee
    3
    >>> found[2].loss
    6.0
    """
    ks = _checked(ks)
    rule = get_loss(loss)
    check_integer("sample_size", sample_size, 2)
    rng = _generator(random_state)
    seed = int(random_state if isinstance(random_state, Integral) else rng.integers(2**32))
    x = check_data(X)
    check_n_clusters(ks[-1], x.shape[0])
    place = resolve(device, x)
    x = asarray(x, place)
    weight = check_sample_weight(sample_weight, x.shape[0], place)
    sampled = _sample(weight, x.shape[0], sample_size, np.random.default_rng([seed, 1]))
    estimators = [ESTIMATORS[rule.name](k, random_state=seed, **parameters) for k in ks]
    for estimator in estimators:
        estimator._check_params()
    points = to_host(take_rows(x, asarray(sampled, place), place.xp.float64))
    one = partial(_entry, x=x, weight=weight, sampled=sampled, points=points)
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
    fits = parallel(delayed(one)(estimator) for estimator in estimators)
    entries = tuple(_watched(fits, len(ks)) if progress else fits)
    return Sweep(entries, rule.name, seed, len(sampled))


def _checked(ks: Iterable[int]) -> list[int]:
    """The numbers of clusters as given, ascending."""
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        msg = f"ks must be several numbers of clusters, such as range(1, 11); got {ks!r}."
        raise TypeError(msg)
    found = list(ks)
    for k in found:
        check_integer("every number in ks", k, 1)
    if not found or len(set(found)) < len(found):
        msg = f"ks={found} must hold at least one number of clusters, each once."
        raise ValueError(msg)
    return sorted(map(int, found))


def _sample(
    weight: Array | None, n_samples: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Indices of the rows that the exact silhouette looks at, ascending, on the host."""
    there = n_samples if weight is None else int(np.count_nonzero(to_host(weight)))
    return np.sort(random_rows(n_samples, min(size, there), weight, rng))


def _entry(
    estimator: AlternatingMinimizer,
    x: Array,
    weight: Array | None,
    sampled: np.ndarray,
    points: np.ndarray,
) -> SweepEntry:
    start = perf_counter()
    estimator.fit(x, sample_weight=weight)
    seconds = perf_counter() - start
    place = place_of(x)
    labels = to_host(place.xp.take(estimator.labels_, asarray(sampled, place)))
    return SweepEntry(
        estimator.n_clusters,
        estimator.inertia_,
        estimator.n_iter_,
        seconds,
        _simplified_silhouette(estimator, x, weight),
        _silhouette(points, labels, METRICS[estimator._loss.name]),
    )


def _simplified_silhouette(
    estimator: AlternatingMinimizer, x: Array, weight: Array | None
) -> float:
    if estimator.n_clusters == 1:
        return float("nan")
    loss, labels, budget = estimator._loss, estimator.labels_, estimator.memory_budget
    xp = namespace(estimator.cluster_centers_)
    centers = xp.astype(estimator.cluster_centers_, xp.float64)
    others = runner_up(x, centers, labels, loss, budget)
    a = loss.distance(costs_at(x, centers, labels, loss, budget))
    b = loss.distance(costs_at(x, centers, others, loss, budget))
    larger = xp.maximum(a, b)
    scores = (b - a) / xp.where(larger > 0, larger, xp.ones_like(larger))
    total = x.shape[0] if weight is None else float(xp.sum(weight))
    return float(weighted_sum(scores, weight)) / total


def _silhouette(points: np.ndarray, labels: np.ndarray, metric: str) -> float:
    if not 2 <= len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(points, labels, metric=metric))


def _watched(fits: Iterable[SweepEntry], total: int) -> Iterator[SweepEntry]:
    from tqdm.auto import tqdm

    yield from tqdm(fits, total=total, desc="sweep", unit="fit")
