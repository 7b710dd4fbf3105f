"""One frame of a run, drawn on one axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kmgpu.plotting.centers import (
    INK,
    Z_LINES,
    Z_POINTS,
    Z_RINGED,
    Scale,
    draw_centers,
    draw_moves,
    scatter,
)
from kmgpu.plotting.figures import thousands
from kmgpu.plotting.plane import Plane, View, cluster_style, draw_regions, view_of
from kmgpu.plotting.record import Frame, StepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_CLUSTER = "#8c8c8c"


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
        draw_moves(axes, plane.place(previous), plane.place(centers), scale)
    draw_centers(axes, plane.place(centers), view, scale)


def prepare(axes: Axes, plane: Plane, view: View) -> None:
    """Set the limits, equal units on both axes, and the labels of the axes."""
    axes.set_xlim(view[:2])
    axes.set_ylim(view[2:])
    axes.set_xlabel(plane.labels[0], parse_math=False)  # a name may hold dollars
    axes.set_ylabel(plane.labels[1], parse_math=False)
    thousands(axes.xaxis, axes.yaxis)
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
        scatter(axes, points, s=size, c=NO_CLUSTER, linewidths=0, zorder=Z_POINTS)
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
                scatter(axes, points[these], c=colour, marker=marker, **style)


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
