"""The algorithm step by step, as a grid or as an animation; the clusters that a fit found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import to_host
from kmgpu.base import AlternatingMinimizer
from kmgpu.plotting.centers import LARGE, SMALL, draw_centers
from kmgpu.plotting.curves import draw_history
from kmgpu.plotting.figures import axes_to_draw_on, new_figure, number, require_matplotlib
from kmgpu.plotting.marks import draw_marks
from kmgpu.plotting.page import Caption
from kmgpu.plotting.panel import draw_frame, draw_points, prepare, view_of_all
from kmgpu.plotting.plane import (
    draw_regions,
    drawn_rows,
    names_of_columns,
    plane_of,
    values_of_drawn,
    view_of,
)
from kmgpu.plotting.record import StepRecord, record_steps
from kmgpu.summary import NAMES
from kmgpu.validation import check_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kmgpu.plotting.animation import Animation

PANEL, FLAT = 3.2, 0.65
WIDTH, HEIGHT, LEFT_SHARE = 8.4, 5.2, 0.56


def plot_steps(
    X: Any,
    n_clusters: int | None = None,
    *,
    init: Any = "k-means++",
    loss: str | Loss = "l2",
    m: int = 6,
    random_state: int | None = 0,
    max_iter: int = 300,
    feature_names: Sequence[str] | None = None,
) -> Figure:
    """Draw a grid: the initialisation, the first `m` half-steps, the last one, and the loss.

    The half-steps are those of `kmgpu.lloyd`, which every fit runs.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Of any array library; computed on its device. Two features are drawn as they are, more on
        the first two principal axes, without regions. Of more than 5,000 rows a seeded sample is
        drawn.
    n_clusters : int, optional
        Needed unless `init` is an array. About 20 clusters can be told apart.
    init : {"k-means++", "random"}, array of shape (n_clusters, n_features), or callable, \
            default="k-means++"
        As in `kmgpu.KMeans`.
    loss : {"l2", "l1"} or Loss, default="l2"
        k-means or k-medians.
    m : int, default=6
        Half-steps to draw, besides the last.
    random_state : None or int, default=0
        Seeds the initialisation.
    max_iter : int, default=300
    feature_names : sequence of str, optional
        Names of the columns, for the axes. By default those of a frame.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        For bad input.
    ImportError
        Without matplotlib; the message says what to install.
    """
    require_matplotlib()
    check_integer("m", m, 1)
    record = record_steps(
        X,
        n_clusters,
        init=init,
        loss=loss,
        random_state=random_state,
        max_iter=max_iter,
        feature_names=feature_names,
        most=m,
    )
    return _grid(record)


def _grid(record: StepRecord) -> Figure:
    """Half-steps in rows of three, and the loss, which takes what is left of the last row."""
    frames = record.frames[1:]
    n_columns = 2 if len(frames) == 3 else 3
    row, column = divmod(len(frames), n_columns)
    heights = [1.0] * row + [1.0 if column else FLAT]  # the loss alone needs less height
    figure = new_figure(n_columns * PANEL + 0.3, sum(heights) * (PANEL + 0.55) + 1.2)
    figure.suptitle(f"{record.name}, step by step", fontsize=14)
    cells = figure.add_gridspec(row + 1, n_columns, height_ratios=heights)
    view = view_of_all(record)
    for at, frame in enumerate(frames):
        axes = figure.add_subplot(cells[divmod(at, n_columns)])
        draw_frame(axes, record, frame, view, SMALL)
        title = frame.title.replace(": ", "\n")
        note = frame.note.replace(" (", "\n(")
        axes.set_title(f"{title}\n{note}", fontsize=9.5)
    _draw_loss(figure.add_subplot(cells[row, column:]), record)
    for axes in figure.axes:
        axes.tick_params(labelsize=8.5)
        axes.xaxis.label.set_fontsize(9.5)
        axes.yaxis.label.set_fontsize(9.5)
    caption = fill(record.caption, 36 * n_columns)
    draw_marks(figure, record, frames, SMALL, ncols=n_columns, fontsize=9.5, title=caption)
    return figure


def _draw_loss(axes: Axes, record: StepRecord) -> None:
    draw_history(axes, record.history, record.loss.units)
    axes.legend(title="after", title_fontsize=9, fontsize=9, frameon=False, loc="upper right")
    axes.set_title(f"The loss: L(µ) = {number(record.history[-1].loss)} at the end", fontsize=9.5)


def animate(
    X: Any,
    n_clusters: int | None = None,
    *,
    init: Any = "k-means++",
    loss: str | Loss = "l2",
    max_frames: int = 60,
    random_state: int | None = 0,
    max_iter: int = 300,
    feature_names: Sequence[str] | None = None,
) -> Animation:
    """Animate `plot_steps`: the points on the left, the loss on the right.

    It shows the data, the initialisation and every half-step until nothing moves. A notebook shows
    a player; ``save`` writes a page (.html), .gif or, with ffmpeg, .mp4.

    Parameters
    ----------
    X, n_clusters, init, loss, random_state, max_iter, feature_names
        As in `plot_steps`.
    max_frames : int, default=60
        A longer run is cut: its first frames and its last one are shown.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        ``save(filename)`` chooses the format by the ending; ``to_html()`` returns the page.

    Raises
    ------
    ValueError, TypeError
        For bad input.
    ImportError
        Without matplotlib; the message says what to install.
    """
    require_matplotlib()
    from kmgpu.plotting.animation import Animation

    check_integer("max_frames", max_frames, 4)
    record = record_steps(
        X,
        n_clusters,
        init=init,
        loss=loss,
        random_state=random_state,
        max_iter=max_iter,
        feature_names=feature_names,
        most=max_frames - 3,
    )
    figure = new_figure(WIDTH, HEIGHT)
    captions = [
        Caption(
            frame.title, frame.note, "" if frame.loss is None else f"L(µ) = {number(frame.loss)}"
        )
        for frame in record.frames
    ]
    return Animation(
        figure,
        _drawer(figure, record, captions),
        captions,
        name=f"{record.name}, step by step",
        about=record.caption,
        fps=1,
        left_share=LEFT_SHARE,
    )


def _drawer(
    figure: Figure, record: StepRecord, captions: list[Caption]
) -> Callable[[int, bool], None]:
    """Return the function that draws one frame: points on the left, losses on the right."""
    shares = (LEFT_SHARE, 1 - LEFT_SHARE)
    left, right = figure.subfigures(1, 2, width_ratios=shares, squeeze=False)[0]
    points, losses = left.subplots(), right.subplots()
    caption = fill(record.caption, 60)
    how: dict[str, Any] = {"ncols": 2, "fontsize": 9, "columnspacing": 1, "title": caption}
    about = draw_marks(left, record, record.frames, LARGE, **how).get_title()
    view = view_of_all(record)
    values = [entry.loss for entry in record.history]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.08 * abs(high) or 1.0

    def draw(at: int, titled: bool) -> None:
        frame, said = record.frames[at], captions[at]
        points.clear()
        losses.clear()
        draw_frame(points, record, frame, view, LARGE)
        draw_history(losses, record.history[: frame.n_done], record.loss.units)
        losses.set_xlim(0.5, max(2, len(values)) + 0.5)
        losses.set_ylim(low - margin, high + margin)
        if frame.loss is not None:
            losses.plot(frame.n_done, frame.loss, "o", markersize=13, mfc="none", mec="black")
        if titled:
            points.set_title(f"{said.title}\n{said.note}", fontsize=11)
            losses.set_title(f"{said.value}\n", fontsize=11)
        about.set_visible(titled)

    return draw


def plot_clusters(
    estimator: AlternatingMinimizer,
    X: Any,
    *,
    feature_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the points of `X` in the styles of their clusters, the regions and the centres.

    Parameters
    ----------
    estimator : KMeans or KMedians
        Fitted.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The data of the fit, or new ones, of any array library. Two features are drawn as they
        are, more on the first two principal axes, without regions. Of more than 5,000 rows a
        seeded sample is drawn.
    feature_names : sequence of str, optional
        Names of the columns, for the axes. By default those of the frame of the fit, else of `X`.
    ax : matplotlib.axes.Axes, optional
        Where to draw. By default a figure is made.

    Returns
    -------
    matplotlib.figure.Figure
        The new figure, or that of `ax`.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ValueError, TypeError
        For bad input.
    ImportError
        Without matplotlib; the message says what to install.
    """
    check_is_fitted(estimator)
    figure, axes = axes_to_draw_on(ax, 6, 6.2)
    loss = estimator.loss
    labels = estimator.predict(X)
    drawn = drawn_rows(X)
    centers = to_host(estimator.cluster_centers_).astype(np.float64)
    if feature_names is None:
        feature_names = getattr(estimator, "feature_names_in_", None)
    plane = plane_of(drawn.points, names_of_columns(X, centers.shape[1], feature_names))
    view = view_of(plane, drawn, centers)
    prepare(axes, plane, view)
    if plane.n_features <= 2:
        draw_regions(axes, centers, loss, view, LARGE.pixels)
    points = plane.place_points(drawn.points)
    draw_points(axes, points, values_of_drawn(labels, drawn), None, LARGE)
    beside = draw_centers(axes, plane.place(centers), view, LARGE)
    name = NAMES[loss.name]
    axes.set_title(
        f"{name}, k = {len(centers)}: the loss of the fit is {number(estimator.inertia_)}"
    )
    dots = "dots: true places of centres drawn beside them" if beside else ""
    caption = fill("; ".join(filter(None, [drawn.caption, plane.caption, dots])), 80)
    axes.set_xlabel(f"{plane.labels[0]}\n{caption}", linespacing=1.6)
    return figure
