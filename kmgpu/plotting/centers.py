"""The centres of clusters on one axes: their markers, their numbers, and how they have moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kmgpu.plotting.plane import View, cluster_style, luminance, rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# what is drawn over what
Z_LINES, Z_POINTS, Z_RINGED, Z_ARROWS, Z_CENTERS, Z_NUMBERS = 2, 3, 4, 5, 6, 7
INK = "#222222"
# these markers are narrow in the middle: their area is multiplied, so that a number fits
ROOM_FOR_A_NUMBER = {"^": 1.4, "v": 1.4, "P": 1.7, "X": 1.7}
# where these are widest, above their places, in diameters
MIDDLES = {"^": -0.16, "v": 0.16}
# numbers on colours of less luminance are white
DARK = 0.25
# the styles of more clusters repeat, and to part them would move them far
MOST_APART = 70
# between the middles of two centres, in diameters: corners reach beyond a circle
ROOM = 1.25
ROUNDS = 40


@dataclass(frozen=True)
class Scale:
    """How large things are drawn.

    Attributes
    ----------
    center : float
        Diameter of a centre, in points (1/72 inch).
    text : float
        Size of its number.
    point : float
        Diameter of a point of the data; less if there are more than 300 points.
    line : float
        Width of arrows and median lines.
    pixels : int
        Along each side of the background.
    panel : float
        About the side of the axes, in points.
    """

    center: float
    text: float
    point: float
    line: float
    pixels: int
    panel: float


LARGE = Scale(center=16, text=9.5, point=5.5, line=1.3, pixels=800, panel=260)
SMALL = Scale(center=12, text=7.5, point=3.5, line=0.8, pixels=400, panel=150)


def places_apart(at: np.ndarray, view: View, scale: Scale) -> np.ndarray:
    """Where centres are drawn: where they are, or beside it if they would cover each other.

    Parameters
    ----------
    at : numpy.ndarray of shape (n_clusters, 2)
        The centres in the plane.
    view : tuple of float
        left, right, bottom, top.
    scale : Scale

    Returns
    -------
    numpy.ndarray of shape (n_clusters, 2)
        Exactly `at` for centres that are far enough from the others, and for more than 70.
    """
    if len(at) > MOST_APART:
        return at
    left, right, bottom, top = view
    unit = np.array([right - left, top - bottom]) / scale.panel
    least = ROOM * scale.center
    angles = 2.4 * np.arange(len(at))  # centres that coincide part in directions of their own
    nudges = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places, moved = at / unit, np.zeros(len(at), np.bool_)
    for _ in range(ROUNDS):
        gaps = places[:, None] - places
        lengths = np.linalg.norm(gaps, axis=-1)
        near = (lengths < 0.98 * least) & ~np.eye(len(at), dtype=np.bool_)
        if not near.any():
            break
        moved |= near.any(axis=1)
        same = lengths < 1e-3
        gaps[same] = (nudges[:, None] - nudges)[same]
        lengths = np.maximum(np.linalg.norm(gaps, axis=-1), 1e-9)
        push = near * np.where(same, 0.5, (least - lengths) / 2) / lengths
        places = places + (push[..., None] * gaps).sum(axis=1)
    return np.where(moved[:, None], places * unit, at)


def draw_centers(axes: Axes, at: np.ndarray, view: View, scale: Scale) -> bool:
    """Draw every centre and its number above all else, outlined, in the style of its cluster.

    Those that would cover each other stand beside their places, each a dot at the end of a line.
    Return whether there are any.
    """
    from matplotlib.patheffects import Normal, withStroke

    places = places_apart(at, view, scale)
    beside = (places != at).any(axis=1)
    for place, true in zip(places[beside], at[beside], strict=True):
        axes.plot(*np.stack([place, true]).T, color="black", linewidth=0.8, zorder=Z_ARROWS)
    halo = [withStroke(linewidth=4.5, foreground="white"), Normal()]
    for marker, clusters in _by_marker(range(len(at))):
        scatter(
            axes,
            places[clusters],
            s=scale.center**2 * ROOM_FOR_A_NUMBER.get(marker, 1),
            c=[cluster_style(cluster).colour for cluster in clusters],
            marker=marker,
            edgecolors="black",
            linewidths=1.4,
            path_effects=halo,
            zorder=Z_CENTERS,
            clip_on=False,
        )
    if beside.any():
        style = {"s": 9, "c": "black", "edgecolors": "white", "linewidths": 0.5}
        scatter(axes, at[beside], zorder=Z_NUMBERS, **style)
    for cluster, place in enumerate(places):
        colour, marker = cluster_style(cluster)
        ink, rim = ("white", "black") if luminance(rgb(colour)) < DARK else ("black", "white")
        axes.annotate(
            str(cluster),
            place,
            (0, MIDDLES.get(marker, 0) * scale.center),
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            color=ink,
            fontsize=scale.text,
            fontweight="bold",
            path_effects=[withStroke(linewidth=1.6, foreground=rim)],
            zorder=Z_NUMBERS,
            annotation_clip=False,
        )
    return bool(beside.any())


def draw_moves(axes: Axes, old: np.ndarray, new: np.ndarray, scale: Scale) -> None:
    """Draw an arrow from the old place of each centre, an empty marker, to the new one."""
    moved = np.flatnonzero((old != new).any(axis=1))
    if not len(moved):
        return
    for marker, clusters in _by_marker(moved):
        scatter(
            axes,
            old[clusters],
            s=(0.7 * scale.center) ** 2,
            c="white",
            marker=marker,
            edgecolors=INK,
            linewidths=1,
            zorder=Z_ARROWS,
        )
    axes.apply_aspect()
    pixels_a_unit = axes.bbox.size / np.abs(np.diff([axes.get_xlim(), axes.get_ylim()])).T
    length = np.linalg.norm((new - old) * pixels_a_unit, axis=1)
    # the arrow ends at the border of the new marker, which would hide its head
    hidden = 0.45 * scale.center * axes.figure.dpi / 72
    far = length > hidden
    start, move = old[far], (new - old)[far] * (1 - hidden / length[far])[:, None]
    axes.quiver(
        *start.T,
        *move.T,
        angles="xy",
        scale_units="xy",
        scale=1,
        units="inches",
        width=scale.line / 72,
        headwidth=6 / scale.line,
        headlength=6 / scale.line,
        headaxislength=6 / scale.line,
        color=INK,
        zorder=Z_ARROWS,
    )


def _by_marker(clusters: Iterable[int]) -> Iterator[tuple[str, list[int]]]:
    """Yield every marker that these clusters have, and the clusters that have it."""
    clusters = list(clusters)
    markers = [cluster_style(cluster).marker for cluster in clusters]
    for marker in dict.fromkeys(markers):
        yield marker, [c for c, its in zip(clusters, markers, strict=True) if its == marker]


def scatter(axes: Axes, at: np.ndarray, **style: Any) -> None:
    """Draw markers at these places, (n, 2)."""
    axes.scatter(at[:, 0], at[:, 1], **style)
