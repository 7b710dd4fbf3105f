"""One frame of the story on one pair of axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kmgpu.backend.arrays import Array
from kmgpu.plotting.figures import Axes
from kmgpu.plotting.palette import NO_CLUSTER, look
from kmgpu.plotting.points import Drawn, Plane
from kmgpu.plotting.regions import View, draw_regions
from kmgpu.plotting.story import Frame, Story

MARGIN = 0.06
LINES, POINTS, RINGED, ARROWS, CENTERS = 2, 3, 4, 5, 6
INK = "#222222"
# areas of markers whose middle is narrow
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
        Diameter of a point of the data, where there are few.
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


def view_of(plane: Plane, drawn: Drawn, centers: np.ndarray) -> View:
    """A square around the points and `centers`; with one feature the height means nothing."""
    at = np.concatenate([plane.place_points(drawn.points), plane.place(centers)])
    low, high = at.min(axis=0), at.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    if plane.n_features > 1:
        half = np.full(2, half.max())
    half = np.where(half > 0, half, 1.0) * (1 + 2 * MARGIN)
    (left, bottom), (right, top) = middle - half, middle + half
    return float(left), float(right), float(bottom), float(top)


def story_view(story: Story) -> View:
    """The view that holds all frames."""
    centers = [frame.centers for frame in story.frames if frame.centers is not None]
    return view_of(story.plane, story.drawn, np.concatenate(centers))


def draw_frame(axes: Axes, story: Story, frame: Frame, view: View, scale: Scale) -> None:
    """The points, the regions, the centres and how they have moved."""
    plane = story.plane
    prepare(axes, plane, view)
    points = plane.place_points(story.drawn.points)
    judges = frame.centers if frame.previous is None else frame.previous
    if frame.labels is not None and plane.n_features <= 2:
        draw_regions(axes, judges, story.loss, view, scale.pixels)
    draw_points(axes, points, frame.labels, frame.changed, scale)
    if frame.previous is not None:
        if not story.loss.squared and plane.n_features <= 2:
            _draw_median_lines(axes, points, frame, scale)
        _draw_moves(axes, plane.place(frame.previous), plane.place(frame.centers), scale)
    if frame.centers is not None:
        draw_centers(axes, plane.place(frame.centers), scale)


def prepare(axes: Axes, plane: Plane, view: View) -> None:
    """Limits, equal axes and their labels."""
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
    labels: Array,
    changed: Array,
    scale: Scale,
) -> None:
    """Points in the looks of their clusters, those that changed larger and ringed; grey before."""
    diameter = scale.point * np.clip(300 / len(points), 0.09, 1) ** 0.3
    size = diameter**2
    thin = {"linewidths": 0.06 * diameter, "edgecolors": INK, "zorder": POINTS}
    if labels is None:
        axes.scatter(*points.T, s=size, c=NO_CLUSTER, marker="o", **(thin | {"linewidths": 0}))
        return
    ring = {"linewidths": 0.25 * diameter, "edgecolors": "black", "zorder": RINGED}
    for cluster in np.unique(labels):
        colour, marker = look(cluster)
        for these, style, factor in (
            ((labels == cluster) & ~changed, thin, 1.0),
            ((labels == cluster) & changed, ring, 2.2),
        ):
            if these.any():
                axes.scatter(*points[these].T, s=factor * size, c=colour, marker=marker, **style)


def draw_centers(axes: Axes, at: np.ndarray, scale: Scale) -> None:
    """Every centre above all else: its cluster's look, outlined, and its number."""
    from matplotlib.patheffects import Normal, withStroke

    halo = [withStroke(linewidth=4.5, foreground="white"), Normal()]
    legible = [withStroke(linewidth=1.6, foreground="white")]
    for cluster, place in enumerate(at):
        colour, marker = look(cluster)
        axes.scatter(
            *place,
            s=scale.center**2 * ROOM_FOR_A_NUMBER.get(marker, 1),
            c=colour,
            marker=marker,
            edgecolors="black",
            linewidths=1.4,
            path_effects=halo,
            zorder=CENTERS + cluster / len(at),
            clip_on=False,
        )
        axes.annotate(
            str(cluster + 1),
            place,
            ha="center",
            va="center_baseline",
            fontsize=scale.text,
            fontweight="bold",
            path_effects=legible,
            zorder=CENTERS + (cluster + 0.5) / len(at),
            annotation_clip=False,
        )


def _draw_moves(axes: Axes, old: np.ndarray, new: np.ndarray, scale: Scale) -> None:
    """An arrow from where each centre was, which keeps an empty mark, to where it is."""
    for cluster, (start, end) in enumerate(zip(old, new, strict=True)):
        if (start == end).all():
            continue
        marker = look(cluster).marker
        axes.scatter(
            *start,
            s=(0.7 * scale.center) ** 2,
            c="white",
            marker=marker,
            edgecolors=INK,
            linewidths=1,
            zorder=ARROWS,
        )
        axes.annotate(
            "",
            end,
            start,
            arrowprops={
                "arrowstyle": "-|>",
                "color": INK,
                "linewidth": scale.line,
                "shrinkA": 0,
                "shrinkB": 0.45 * scale.center,
            },
            zorder=ARROWS,
        )


def _draw_median_lines(axes: Axes, points: np.ndarray, frame: Frame, scale: Scale) -> None:
    """Through each new median, across its cluster: as many points on one side as on the other."""
    from matplotlib.patheffects import Normal, withStroke

    outline = [withStroke(linewidth=2.2 * scale.line, foreground=INK), Normal()]
    for cluster in np.unique(frame.labels):
        low, high = (f(points[frame.labels == cluster], axis=0) for f in (np.min, np.max))
        center = frame.centers[cluster]
        style = {"colors": look(cluster).colour, "linewidths": scale.line, "zorder": LINES}
        axes.vlines(center[0], low[1], high[1], path_effects=outline, **style)
        if len(center) == 2:
            axes.hlines(center[1], low[0], high[0], path_effects=outline, **style)
