"""The mean follows an outlier, the median stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kmgpu.algorithm.losses import LOSSES
from kmgpu.plotting.figures import Axes, Figure, new_figure, require_matplotlib
from kmgpu.plotting.one_dimension import LOOKS, POINTS, best_center, points_on_a_line
from kmgpu.validation import check_integer

if TYPE_CHECKING:
    from kmgpu.plotting.moving import JourneyAnimation

LEAST_POINTS = 3
N_STRIPS = 4
LEAST_REACH = 4
OUTLIER = "black"


@dataclass(frozen=True)
class Journey:
    """An outlier that moves away from the others, and where the centres are meanwhile.

    Attributes
    ----------
    others : numpy.ndarray of shape (n_samples - 1,)
    weight : numpy.ndarray of shape (n_samples - 1,), or None
        Of the others.
    outlier : numpy.ndarray of shape (n_frames,)
        Where it is, frame by frame.
    centers : dict of str to numpy.ndarray of shape (n_frames,)
        The mean ("l2") and the median ("l1") of all points, frame by frame.
    """

    others: np.ndarray
    weight: np.ndarray | None
    outlier: np.ndarray
    centers: dict[str, np.ndarray]


def journey(x: Any, sample_weight: Any, n_frames: int) -> Journey:
    """The value farthest from the median is the outlier: it moves from the edge of the others
    out to its place, or to 4 times their range where that is farther.
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
        for name, loss in LOSSES.items()
    }
    return Journey(others, None if weight is None else np.delete(weight, far), outlier, centers)


def plot_mean_vs_median(x: Any, *, sample_weight: Any = None) -> Figure:
    """Draw one cluster while one of its points moves away: the mean follows, the median stays.

    Four strips show the points with their mean, in red, and their median, in blue, as the
    outlier leaves; beneath, both centres over where the outlier is. The outlier is the value
    farthest from the median of `x`. It moves from the edge of the others out to where it is, or
    to 4 times their range where that is farther.

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
    path = journey(x, sample_weight, N_STRIPS)
    figure = new_figure(7, 6.5)
    *strips, below = figure.subplots(
        N_STRIPS + 1, 1, sharex=True, height_ratios=(*[1] * N_STRIPS, 2.6)
    )
    for at, axes in enumerate(strips):
        draw_strip(axes, path, at)
    draw_centers(below, path, range(N_STRIPS))
    strips[0].set_title("The mean follows the outlier, the median stays")
    add_legend(figure, strips[0])
    return figure


def animate_mean_vs_median(
    x: Any, *, sample_weight: Any = None, n_frames: int = 24
) -> JourneyAnimation:
    """The same as a moving picture. A notebook shows it as a player.

    Parameters
    ----------
    x, sample_weight
        As in `plot_mean_vs_median`.
    n_frames : int, default=24
        At least 2; ten are shown a second.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        With ``save(filename)``, which chooses the writer by the name, and ``to_html()``.

    Raises
    ------
    ValueError, TypeError
        For bad input; the message names the argument, the value and the remedy.
    ImportError
        Without matplotlib; the message says what to install.
    """
    require_matplotlib()
    from kmgpu.plotting.moving import JourneyAnimation

    check_integer("n_frames", n_frames, 2)
    return JourneyAnimation(journey(x, sample_weight, n_frames))


def draw_strip(axes: Axes, path: Journey, at: int) -> None:
    """The points of one frame on a line, the mean above them and the median below."""
    sizes = 30.0 if path.weight is None else 12 + 100 * path.weight / path.weight.max()
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.scatter(
        path.others,
        np.zeros(len(path.others)),
        s=sizes,
        color=POINTS,
        alpha=0.6,
        linewidths=0,
        label="points",
    )
    axes.scatter(
        path.outlier[at : at + 1], [0], s=60, color=OUTLIER, marker="X", label="the outlier"
    )
    for name, height in (("l2", 0.62), ("l1", -0.62)):
        look, center = LOOKS[name], path.centers[name][at]
        axes.plot([center, center], [0, height], color=look.colour, linewidth=1.5)
        axes.scatter(
            [center], [height], s=60, color=look.colour, marker=look.marker, label=look.name
        )
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    _frame(axes, path)


def draw_centers(axes: Axes, path: Journey, marked: Sequence[int]) -> None:
    """Mean and median over where the outlier is, up to the last of the marked frames."""
    until = max(marked) + 1
    for name, centers in path.centers.items():
        look = LOOKS[name]
        axes.plot(path.outlier[:until], centers[:until], color=look.colour)
        axes.scatter(
            path.outlier[marked], centers[marked], s=60, color=look.colour, marker=look.marker
        )
    low = min(centers.min() for centers in path.centers.values())
    high = max(centers.max() for centers in path.centers.values())
    margin = 0.12 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("where the outlier is")
    axes.set_ylabel("centre")
    axes.grid(alpha=0.3)
    _frame(axes, path)


def add_legend(figure: Figure, axes: Axes) -> None:
    """What the marks of a strip are, below everything."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


def _frame(axes: Axes, path: Journey) -> None:
    """The same range of values in every panel and frame."""
    low = min(path.others.min(), path.outlier.min())
    high = max(path.others.max(), path.outlier.max())
    margin = 0.06 * (high - low)
    axes.set_xlim(low - margin, high + margin)
