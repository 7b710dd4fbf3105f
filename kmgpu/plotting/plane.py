"""What all pictures of points share: the rows drawn, the plane they lie in, styles, regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kmgpu.algorithm.assignment import nearest
from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import Array, asarray, namespace, place_of, take_rows, to_host
from kmgpu.validation import check_data

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_DRAWN = 5_000
SEED = 0
MARGIN = 0.06
TINT = 0.78
BORDER = 0.62
# Okabe and Ito's colours for all kinds of colour vision (https://jfly.uni-koeln.de/color), less
# black, and with a darker yellow, which stands out from its region. Wine, indigo and olive are of
# Paul Tol's muted scheme (https://sronpersonalpages.nl/~pault). This order keeps the first seven,
# and any two of one marker, furthest apart.
COLOURS = ["#0072b2", "#d55e00", "#d8c400", "#56b4e9", "#882255", "#332288", "#cc79a7"]
COLOURS += ["#e69f00", "#009e73", "#999933"]
# 7 markers and 10 colours have no common factor: 70 pairs before the first repeats
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

View = tuple[float, float, float, float]


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
        Number of rows of the whole data set.
    """

    points: np.ndarray
    rows: np.ndarray
    n_samples: int

    @property
    def caption(self) -> str:
        """How many rows are drawn, of how many."""
        n_drawn = len(self.rows)
        if n_drawn == self.n_samples:
            return f"{n_drawn:,} point{'' if n_drawn == 1 else 's'}"
        return f"a seeded sample of {n_drawn:,} of the {self.n_samples:,} points"


def drawn_rows(x: Any, most: int = MAX_DRAWN) -> Drawn:
    """Bring all rows of `x`, or a seeded sample of at most `most` of them, to the host.

    Parameters
    ----------
    x : array-like or sparse matrix of shape (n_samples, n_features)
        Of any array library; only the rows that are drawn leave their device.
    most : int

    Raises
    ------
    TypeError, ValueError
        If `x` is not a real, finite, two-dimensional array.
    """
    x = check_data(x)
    n_samples = int(x.shape[0])
    rows = np.arange(n_samples)
    if n_samples > most:
        rows = np.sort(np.random.default_rng(SEED).choice(n_samples, most, replace=False))
    place = place_of(x)
    points = to_host(take_rows(x, asarray(rows, place), place.xp.float64))
    return Drawn(points, rows, n_samples)


def values_of_drawn(values: Array, drawn: Drawn) -> np.ndarray:
    """Bring the drawn rows' part of `values`, which has one value a row, to the host."""
    at = asarray(drawn.rows, place_of(values))
    return to_host(namespace(values).take(values, at, axis=0))


@dataclass(frozen=True)
class Plane:
    """The plane of a picture, in the space of the features.

    Attributes
    ----------
    origin : numpy.ndarray of shape (n_features,)
    directions : numpy.ndarray of shape (2, n_features)
        Orthonormal rows; the second is zero if there is only one feature.
    labels : tuple of str
        Of the two axes; empty for an axis without meaning.
    caption : str
        What a reader must know about the plane; may be empty.
    """

    origin: np.ndarray
    directions: np.ndarray
    labels: tuple[str, str]
    caption: str

    @property
    def n_features(self) -> int:
        return int(self.origin.shape[0])

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Project `rows`, (n, n_features), onto the plane, (n, 2)."""
        return (rows - self.origin) @ self.directions.T

    def place_points(self, rows: np.ndarray) -> np.ndarray:
        """Project rows of the data; a single feature gets a random height, to part the points."""
        at = self.place(rows)
        if self.n_features == 1:
            at[:, 1] = np.random.default_rng(SEED).uniform(-0.5, 0.5, len(at))
        return at


def names_of_columns(x: Any, n_features: int, given: Sequence[str] | None) -> tuple[str, ...]:
    """The names that are given, else those of a frame, else "feature 0", "feature 1", ….

    Raises
    ------
    ValueError
        If there are more or fewer names than features.
    """
    if given is not None:
        names = tuple(map(str, given))
        if len(names) != n_features:
            msg = (
                f"feature_names has {len(names)} names, the data have {n_features} features: "
                f"give one name for each column."
            )
            raise ValueError(msg)
        return names
    columns = list(getattr(x, "columns", ()))
    if columns and all(isinstance(name, str) for name in columns):
        return tuple(columns)
    return tuple(f"feature {number}" for number in range(n_features))


def plane_of(points: np.ndarray, names: Sequence[str]) -> Plane:
    """The plane of one or two features as they are, else of the first two principal axes."""
    d = points.shape[1]
    if d == 1:
        caption = "one feature; the height is random, to tell points apart"
        return Plane(np.zeros(1), np.array([[1.0], [0.0]]), (names[0], ""), caption)
    if d == 2:
        return Plane(np.zeros(2), np.eye(2), (names[0], names[1]), "")
    from sklearn.decomposition import PCA

    n_axes = min(2, len(points))
    # identical points have no variance to explain
    with np.errstate(divide="ignore", invalid="ignore"):
        pca = PCA(n_axes, random_state=SEED).fit(points)
    directions = np.zeros((2, d))
    directions[:n_axes] = pca.components_
    share = np.nan_to_num(pca.explained_variance_ratio_.sum())
    caption = (
        f"{d:,} features, drawn on the first two principal axes ({share:.0%} of the variance); "
        f"regions omitted: the data have more than 2 features"
    )
    return Plane(pca.mean_, directions, ("principal axis 1", "principal axis 2"), caption)


def view_of(plane: Plane, drawn: Drawn, centers: np.ndarray) -> View:
    """The limits (left, right, bottom, top) of a square around the points and `centers`.

    With one feature the height means nothing, and the view need not be a square.
    """
    at = np.concatenate([plane.place_points(drawn.points), plane.place(centers)])
    low, high = at.min(axis=0), at.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    if plane.n_features > 1:
        half = np.full(2, half.max())
    half = np.where(half > 0, half, 1.0) * (1 + 2 * MARGIN)
    (left, bottom), (right, top) = middle - half, middle + half
    return float(left), float(right), float(bottom), float(top)


class ClusterStyle(NamedTuple):
    """The colour and the marker of a cluster's points and of its centre."""

    colour: str
    marker: str


def cluster_style(cluster: int) -> ClusterStyle:
    """The style of the cluster of that index; the first 70 clusters all differ."""
    return ClusterStyle(COLOURS[cluster % len(COLOURS)], MARKERS[cluster % len(MARKERS)])


def rgb(colour: str) -> np.ndarray:
    """The three channels of a ``#rrggbb`` colour, in [0, 1]."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def luminance(colours: np.ndarray) -> np.ndarray:
    """The relative luminance of sRGB colours, (..., 3) in [0, 1], as the WCAG define it."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def tints(n_clusters: int) -> np.ndarray:
    """The light background of every cluster's region, (n_clusters, 3) in [0, 1]."""
    colours = np.array([rgb(cluster_style(cluster).colour) for cluster in range(n_clusters)])
    return TINT + (1 - TINT) * colours


def region_labels(centers: np.ndarray, loss: Loss, view: View, pixels: int) -> np.ndarray:
    """The nearest centre of the middle of every pixel, by the loss's own assignment.

    Parameters
    ----------
    centers : numpy.ndarray of shape (n_clusters, 1 or 2), float64
        With one feature the pixels are columns.
    loss : Loss
    view : tuple of float
        left, right, bottom, top.
    pixels : int
        Along each side.

    Returns
    -------
    numpy.ndarray of shape (pixels, pixels), or (1, pixels) with one feature, int32
        The first row is the bottom.
    """
    left, right, bottom, top = view
    middles = (np.arange(pixels) + 0.5) / pixels
    x = left + (right - left) * middles
    if centers.shape[1] == 1:
        return nearest(x[:, None], centers, loss)[None]
    y = bottom + (top - bottom) * middles
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return nearest(grid, centers, loss).reshape(pixels, pixels)


def draw_regions(axes: Axes, centers: np.ndarray, loss: Loss, view: View, pixels: int) -> None:
    """Draw a light background in the colour of each region, and a line where two regions meet."""
    labels = region_labels(centers, loss, view, pixels)
    picture = tints(len(centers))[labels]
    border = np.zeros(labels.shape, np.bool_)
    beside, above = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    # both pixels of a pair: a line of one pixel breaks where the picture is shown smaller
    border[:, 1:] |= beside
    border[:, :-1] |= beside
    border[1:] |= above
    border[:-1] |= above
    picture[border] = BORDER
    axes.imshow(
        picture,
        extent=view,
        origin="lower",
        aspect=axes.get_aspect(),  # imshow would change it
        interpolation="nearest",
        zorder=0,
    )
