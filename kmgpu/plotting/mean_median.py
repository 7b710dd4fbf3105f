"""The mean follows an outlier, the median stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kmgpu.algorithm.losses import LOSSES
from kmgpu.plotting.figures import legend_below, new_figure, number, require_matplotlib, thousands
from kmgpu.plotting.loss_curve import (
    CENTER_STYLES,
    DIGITS,
    POINT_COLOUR,
    best_center,
    point_areas,
    points_on_a_line,
    with_name,
)
from kmgpu.plotting.page import Caption
from kmgpu.validation import check_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kmgpu.plotting.animation import Animation

LEAST_POINTS = 3
N_STRIPS = 4
LEAST_REACH = 4
OUTLIER_COLOUR = "black"
PLACE = "place of the outlier"
WIDTH, HEIGHT = 5.6, 3.9
TITLE = "The mean follows the outlier, the median stays"


@dataclass(frozen=True)
class OutlierPath:
    """The places of an outlier that moves away from the other points, and the centres then.

    Attributes
    ----------
    others : numpy.ndarray of shape (n_samples - 1,)
    weight : numpy.ndarray of shape (n_samples - 1,), or None
        Of the others.
    outlier : numpy.ndarray of shape (n_frames,)
        Its place in every frame.
    centers : dict of str to numpy.ndarray of shape (n_frames,)
        The mean ("l2") and the median ("l1") of all points in every frame.
    """

    others: np.ndarray
    weight: np.ndarray | None
    outlier: np.ndarray
    centers: dict[str, np.ndarray]


def outlier_path(x: Any, sample_weight: Any, n_frames: int) -> OutlierPath:
    """Move the value farthest from the median, and find both centres for each of its places.

    It starts at the end of the others' range and moves out to its own place, or by 4 times that
    range if that is farther.
    """
    values, weight = points_on_a_line(x, sample_weight, LEAST_POINTS)
    middle = best_center(values, weight, LOSSES["l1"])
    far = int(np.argmax(np.abs(values - middle)))
    others = np.delete(values, far)
    side = 1.0 if values[far] >= middle else -1.0
    edge = float((side * others).max() * side)
    reach = max(abs(values[far] - edge), LEAST_REACH * float(np.ptp(others)) or 1.0)
    outlier = edge + side * reach * np.linspace(0, 1, n_frames)
    moving = np.repeat(values[None], n_frames, axis=0)
    moving[:, far] = outlier
    centers = {
        name: np.array([best_center(row, weight, loss) for row in moving])
        for name, loss in (("l2", LOSSES["l2"]), ("l1", LOSSES["l1"]))
    }
    return OutlierPath(others, None if weight is None else np.delete(weight, far), outlier, centers)


def plot_mean_vs_median(x: Any, *, sample_weight: Any = None) -> Figure:
    """Draw one cluster while one of its points moves away: the mean follows, the median stays.

    Four strips show the points, their mean in red and their median in blue, for four places of the
    outlier. Below them both centres are drawn over the place of the outlier. The outlier is the
    value of `x` farthest from the median. It starts at the end of the others' range and moves out
    to its own place, or by 4 times that range if that is farther.

    Parameters
    ----------
    x : array-like of shape (n_samples,) or (n_samples, 1)
        One feature, at least 3 values; NumPy, CuPy, PyTorch or another array. Finite.
    sample_weight : array-like of shape (n_samples,), optional
        Non-negative.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        For bad input; the message names the argument, the value and the remedy.
    ImportError
        Without matplotlib; the message says what to install.
    """
    path = outlier_path(x, sample_weight, N_STRIPS)
    figure = new_figure(7, 6.5)
    *strips, below = figure.subplots(
        N_STRIPS + 1, 1, sharex=True, height_ratios=(*[1] * N_STRIPS, 2.6)
    )
    for at, axes in enumerate(strips):
        draw_strip(axes, path, at)
    draw_center_paths(below, path, range(N_STRIPS))
    below.set_xlabel(with_name(PLACE, x), parse_math=False)
    strips[0].set_title(TITLE)
    legend_below(strips[0])
    return figure


def animate_mean_vs_median(x: Any, *, sample_weight: Any = None, n_frames: int = 24) -> Animation:
    """Animate `plot_mean_vs_median`. A notebook shows a player.

    Parameters
    ----------
    x, sample_weight
        As in `plot_mean_vs_median`.
    n_frames : int, default=24
        At least 2; ten are shown a second.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        ``save(filename)`` chooses the format by the ending; ``to_html()`` returns the page.

    Raises
    ------
    ValueError, TypeError
        For bad input; the message names the argument, the value and the remedy.
    ImportError
        Without matplotlib; the message says what to install.
    """
    require_matplotlib()
    from kmgpu.plotting.animation import Animation

    check_integer("n_frames", n_frames, 2)
    path = outlier_path(x, sample_weight, n_frames)
    figure = new_figure(WIDTH, HEIGHT)
    strip, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    draw_strip(strip, path, 0)
    legend_below(strip)
    captions = [
        Caption(
            f"The outlier is at {number(outlier, DIGITS)}",
            f"mean {number(mean, DIGITS)}, median {number(median, DIGITS)}",
        )
        for outlier, mean, median in zip(
            path.outlier, path.centers["l2"], path.centers["l1"], strict=True
        )
    ]

    def draw(at: int, titled: bool) -> None:
        strip.clear()
        below.clear()
        draw_strip(strip, path, at)
        draw_center_paths(below, path, [at])
        below.set_xlabel(with_name(PLACE, x), parse_math=False)
        if titled:
            strip.set_title(f"{TITLE}\n{captions[at].note}", fontsize="medium")

    return Animation(figure, draw, captions, name=TITLE, about=f"{TITLE}.", fps=10, loop=True)


def draw_strip(axes: Axes, path: OutlierPath, at: int) -> None:
    """Draw the points of one frame on a line, the mean above them and the median below them."""
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.scatter(
        path.others,
        np.zeros(len(path.others)),
        s=point_areas(path.weight),
        color=POINT_COLOUR,
        alpha=0.6,
        linewidths=0,
        label="points",
    )
    axes.scatter(
        path.outlier[at : at + 1], [0], s=60, color=OUTLIER_COLOUR, marker="X", label="the outlier"
    )
    for name, height in (("l2", 0.62), ("l1", -0.62)):
        style, center = CENTER_STYLES[name], path.centers[name][at]
        axes.plot([center, center], [0, height], color=style.colour, linewidth=1.5)
        axes.scatter(
            [center], [height], s=60, color=style.colour, marker=style.marker, label=style.name
        )
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    _limit(axes, path)


def draw_center_paths(axes: Axes, path: OutlierPath, marked: Sequence[int]) -> None:
    """Draw mean and median over the place of the outlier, up to the last of the marked frames."""
    until = max(marked) + 1
    for name, centers in path.centers.items():
        style = CENTER_STYLES[name]
        axes.plot(path.outlier[:until], centers[:until], color=style.colour)
        axes.scatter(
            path.outlier[marked], centers[marked], s=60, color=style.colour, marker=style.marker
        )
    low = min(centers.min() for centers in path.centers.values())
    high = max(centers.max() for centers in path.centers.values())
    margin = 0.12 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.set_ylabel("centre")
    axes.grid(alpha=0.3)
    thousands(axes.xaxis, axes.yaxis)
    _limit(axes, path)


def _limit(axes: Axes, path: OutlierPath) -> None:
    """Give every panel and frame the same range of values."""
    low = min(path.others.min(), path.outlier.min())
    high = max(path.others.max(), path.outlier.max())
    margin = 0.06 * (high - low)
    axes.set_xlim(low - margin, high + margin)
