"""Which rows are drawn, and where on the paper they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, asarray, namespace, place_of, take_rows, to_host
from kmgpu.validation import check_data

MAX_DRAWN = 5_000
SEED = 0


@dataclass(frozen=True)
class Drawn:
    """The rows of a data set that a picture shows.

    Attributes
    ----------
    points : numpy.ndarray of shape (n_drawn, n_features), float64
        On the host.
    rows : numpy.ndarray of shape (n_drawn,), int64
        Their indices, ascending.
    n_samples : int
        How many rows there are.
    """

    points: np.ndarray
    rows: np.ndarray
    n_samples: int

    @property
    def caption(self) -> str:
        """How many are drawn, of how many."""
        n_drawn = len(self.rows)
        if n_drawn == self.n_samples:
            return f"{n_drawn:,} point{'' if n_drawn == 1 else 's'}"
        return f"a seeded sample of {n_drawn:,} of the {self.n_samples:,} points"


def drawn_rows(x: Any, most: int = MAX_DRAWN) -> Drawn:
    """All rows of `x`, or a seeded sample of at most `most` of them, brought to the host.

    Parameters
    ----------
    x : array-like or sparse matrix of shape (n_samples, n_features)
        Of any array library; only the rows that are drawn leave their device.
    most : int

    Raises
    ------
    TypeError, ValueError
        For what is no real two-dimensional array, all finite.
    """
    x = check_data(x)
    n_samples = int(x.shape[0])
    rows = np.arange(n_samples)
    if n_samples > most:
        rows = np.sort(np.random.default_rng(SEED).choice(n_samples, most, replace=False))
    place = place_of(x)
    points = to_host(take_rows(x, asarray(rows, place), place.xp.float64))
    return Drawn(points, rows, n_samples)


def taken(values: Array, drawn: Drawn) -> np.ndarray:
    """The values, one for each row of the data set, of the rows that are drawn; on the host."""
    at = asarray(drawn.rows, place_of(values))
    return to_host(namespace(values).take(values, at, axis=0))


@dataclass(frozen=True)
class Plane:
    """The two directions of the paper in the space of the features.

    Attributes
    ----------
    origin : numpy.ndarray of shape (n_features,)
    directions : numpy.ndarray of shape (2, n_features)
        Orthonormal rows; the second is zero where there is one feature alone.
    labels : tuple of str
        Of the two axes; empty for an axis without meaning.
    caption : str
        What a reader must know of it, or nothing.
    """

    origin: np.ndarray
    directions: np.ndarray
    labels: tuple[str, str]
    caption: str

    @property
    def n_features(self) -> int:
        return int(self.origin.shape[0])

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Where `rows`, (n, n_features), lie on the paper, (n, 2)."""
        return (rows - self.origin) @ self.directions.T

    def place_points(self, rows: np.ndarray) -> np.ndarray:
        """The same for the data, spread out at random where there is one feature alone."""
        at = self.place(rows)
        if self.n_features == 1:
            at[:, 1] = np.random.default_rng(SEED).uniform(-0.5, 0.5, len(at))
        return at


def plane_of(points: np.ndarray) -> Plane:
    """The features themselves, if there are one or two; the first two principal axes otherwise."""
    d = points.shape[1]
    if d == 1:
        caption = "one feature; the height is random, to tell points apart"
        return Plane(np.zeros(1), np.array([[1.0], [0.0]]), ("feature 1", ""), caption)
    if d == 2:
        return Plane(np.zeros(2), np.eye(2), ("feature 1", "feature 2"), "")
    from sklearn.decomposition import PCA

    n_axes = min(2, len(points))
    # identical points have no variance to explain
    with np.errstate(divide="ignore", invalid="ignore"):
        pca = PCA(n_axes, random_state=SEED).fit(points)
    directions = np.zeros((2, d))
    directions[:n_axes] = pca.components_
    share = np.nan_to_num(pca.explained_variance_ratio_.sum())
    caption = (
        f"{d:,} features, drawn on the first two principal axes ({share:.0%} of the variance): "
        f"no regions, as they are not of this plane"
    )
    return Plane(pca.mean_, directions, ("principal axis 1", "principal axis 2"), caption)
