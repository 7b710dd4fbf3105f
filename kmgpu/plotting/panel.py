"""One frame of a run, drawn on one axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kmgpu.plotting.plane import Plane, View, cluster_style, draw_regions, view_of
from kmgpu.plotting.record import Frame, StepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# what is drawn over what
Z_LINES, Z_POINTS, Z_RINGED, Z_ARROWS, Z_CENTERS, Z_NUMBERS = 2, 3, 4, 5, 6, 7
INK = "#222222"
NO_CLUSTER = "#8c8c8c"
# these markers are narrow in the middle: their area is multiplied, so that a number fits
ROOM_FOR_A_NUMBER = {"^": 1.4, "v": 1.4, "P": 1.7, "X": 1.7}


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
    """

    center: float
    text: float
    point: float
    line: float
    pixels: int


LARGE = Scale(center=15, text=8.5, point=5.5, line=1.3, pixels=480)
SMALL = Scale(center=10.5, text=6, point=3.5, line=0.8, pixels=240)


def view_of_all(record: StepRecord) -> View:
    """The limits that hold the points and the centres of all frames."""
    centers = [frame.centers for frame in record.frames if frame.centers is not None]
    return view_of(record.plane, record.drawn, np.concatenate(centers))


def draw_frame(axes: Axes, record: StepRecord, frame: Frame, view: View, scale: Scale) -> None:
    """Draw the points, the regions, the centres, and how the centres have moved."""
    plane, centers, previous = record.plane, frame.centers, frame.previous
    prepare(axes, plane, view)
    points = plane.place_points(record.drawn.points)
    draw_points(axes, points, frame.labels, frame.changed, scale)
    if centers is None:
        return
    assigned_to = centers if previous is None else previous
    in_the_plane = plane.n_features <= 2
    if frame.labels is not None and in_the_plane:
        draw_regions(axes, assigned_to, record.loss, view, scale.pixels)
    if frame.labels is not None and previous is not None:
        if not record.loss.squared and in_the_plane:
            _draw_median_lines(axes, points, frame.labels, centers, scale)
        _draw_moves(axes, plane.place(previous), plane.place(centers), scale)
    draw_centers(axes, plane.place(centers), scale)


def prepare(axes: Axes, plane: Plane, view: View) -> None:
    """Set the limits, equal units on both axes, and the labels of the axes."""
    axes.set_xlim(view[:2])
    axes.set_ylim(view[2:])
    axes.set_xlabel(plane.labels[0])
    axes.set_ylabel(plane.labels[1])
    if plane.n_features == 1:
        axes.set_yticks([])
    else:
        axes.set_aspect("equal", adjustable="box")


def draw_points(
    axes: Axes,
    points: np.ndarray,
    labels: np.ndarray | None,
    changed: np.ndarray | None,
    scale: Scale,
) -> None:
    """Draw points in the styles of their clusters; those that changed are larger and ringed.

    Without labels all points are grey.
    """
    diameter = scale.point * np.clip(300 / len(points), 0.09, 1) ** 0.3
    size = diameter**2
    if labels is None:
        _scatter(axes, points, s=size, c=NO_CLUSTER, linewidths=0, zorder=Z_POINTS)
        return
    if changed is None:
        changed = np.zeros(len(labels), np.bool_)
    thin = {"s": size, "linewidths": 0.06 * diameter, "edgecolors": INK, "zorder": Z_POINTS}
    ring = {"s": 2.2 * size, "linewidths": 0.25 * diameter}
    ring |= {"edgecolors": "black", "zorder": Z_RINGED}
    for cluster in np.unique(labels):
        colour, marker = cluster_style(cluster)
        mine = labels == cluster
        for these, style in ((mine & ~changed, thin), (mine & changed, ring)):
            if these.any():
                _scatter(axes, points[these], c=colour, marker=marker, **style)


def draw_centers(axes: Axes, at: np.ndarray, scale: Scale) -> None:
    """Draw every centre and its number above all else, outlined, in the style of its cluster."""
    from matplotlib.patheffects import Normal, withStroke

    halo = [withStroke(linewidth=4.5, foreground="white"), Normal()]
    for marker, clusters in _by_marker(range(len(at))):
        _scatter(
            axes,
            at[clusters],
            s=scale.center**2 * ROOM_FOR_A_NUMBER.get(marker, 1),
            c=[cluster_style(cluster).colour for cluster in clusters],
            marker=marker,
            edgecolors="black",
            linewidths=1.4,
            path_effects=halo,
            zorder=Z_CENTERS,
            clip_on=False,
        )
    legible = [withStroke(linewidth=1.6, foreground="white")]
    for cluster, (x, y) in enumerate(at, start=1):
        axes.text(
            x,
            y,
            str(cluster),
            ha="center",
            va="center_baseline",
            fontsize=scale.text,
            fontweight="bold",
            path_effects=legible,
            zorder=Z_NUMBERS,
        )


def _draw_moves(axes: Axes, old: np.ndarray, new: np.ndarray, scale: Scale) -> None:
    """Draw an arrow from the old place of each centre, an empty marker, to the new one."""
    moved = np.flatnonzero((old != new).any(axis=1))
    if not len(moved):
        return
    for marker, clusters in _by_marker(moved):
        _scatter(
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


def _scatter(axes: Axes, at: np.ndarray, **style: Any) -> None:
    axes.scatter(at[:, 0], at[:, 1], **style)


def _draw_median_lines(
    axes: Axes, points: np.ndarray, labels: np.ndarray, centers: np.ndarray, scale: Scale
) -> None:
    """Draw lines through each new median, across its cluster: each halves the cluster's points."""
    from matplotlib.patheffects import Normal, withStroke

    outline = [withStroke(linewidth=2.2 * scale.line, foreground=INK), Normal()]
    for cluster in np.unique(labels):
        mine = points[labels == cluster]
        low, high, center = mine.min(axis=0), mine.max(axis=0), centers[cluster]
        style: dict[str, Any] = {
            "colors": cluster_style(cluster).colour,
            "linewidths": scale.line,
            "zorder": Z_LINES,
        }
        axes.vlines(center[0], low[1], high[1], path_effects=outline, **style)
        if len(center) == 2:
            axes.hlines(center[1], low[0], high[0], path_effects=outline, **style)
