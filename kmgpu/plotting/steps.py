"""The algorithm step by step: a grid of pictures, or a moving one."""

from __future__ import annotations

from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Any

from kmgpu.algorithm.losses import Loss
from kmgpu.plotting.figures import Axes, Figure, new_figure, require_matplotlib
from kmgpu.plotting.history import draw_history
from kmgpu.plotting.panel import SMALL, draw_frame, story_view
from kmgpu.plotting.story import Story, tell
from kmgpu.validation import check_integer

if TYPE_CHECKING:
    from kmgpu.plotting.animation import StepsAnimation

PANEL = 3.3


def plot_steps(
    X: Any,
    n_clusters: int | None = None,
    *,
    init: Any = "k-means++",
    loss: str | Loss = "l2",
    m: int = 6,
    random_state: int | None = 0,
    max_iter: int = 300,
) -> Figure:
    """A grid of pictures: the initialisation, the first `m` half-steps, the last, and the loss.

    The steps are those of `kmgpu.lloyd`, which every fit runs.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Of any array library; computed where it is. Two features are drawn as they are, more on
        the first two principal axes, without regions; above 5,000 rows a seeded sample is drawn.
    n_clusters : int, optional
        Needed unless `init` is an array. Up to about 20 can be told apart.
    init : {"k-means++", "random"}, array of shape (n_clusters, n_features), or callable, \
            default="k-means++"
        As in `kmgpu.KMeans`.
    loss : {"l2", "l1"} or Loss, default="l2"
        k-means or k-medians.
    m : int, default=6
    random_state : None or int, default=0
        Seeds the initialisation.
    max_iter : int, default=300

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
    story = tell(
        X,
        n_clusters,
        init=init,
        loss=loss,
        random_state=random_state,
        max_iter=max_iter,
        most=m,
    )
    return _grid(story)


def _grid(story: Story) -> Figure:
    frames = story.frames[1:]
    n_columns = min(3, len(frames) + 1)
    n_rows = ceil((len(frames) + 1) / n_columns)
    figure = new_figure(n_columns * PANEL + 0.3, n_rows * (PANEL + 0.45) + 0.7)
    figure.suptitle(f"{story.name}, step by step", fontsize=13)
    figure.supxlabel(fill(story.caption, 42 * n_columns), fontsize=9)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    view = story_view(story)
    for axes, frame in zip(panels, frames, strict=False):
        draw_frame(axes, story, frame, view, SMALL)
        title = frame.title.replace(": ", "\n")
        note = frame.note.replace(" (", "\n(")
        axes.set_title(f"{title}\n{note}", fontsize=8.5)
    _draw_loss(panels[len(frames)], story)
    for axes in panels:
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
    for axes in panels[len(frames) + 1 :]:
        axes.set_axis_off()
    return figure


def _draw_loss(axes: Axes, story: Story) -> None:
    draw_history(axes, story.history, story.loss.units)
    axes.legend(title="after", title_fontsize=7.5, fontsize=7.5, frameon=False)
    axes.set_title(f"The loss: L(µ) = {story.history[-1].loss:.6g} at the end", fontsize=8.5)


def animate(
    X: Any,
    n_clusters: int | None = None,
    *,
    init: Any = "k-means++",
    loss: str | Loss = "l2",
    max_frames: int = 60,
    random_state: int | None = 0,
    max_iter: int = 300,
) -> StepsAnimation:
    """The same as a moving picture, the loss beside it.

    The data, the initialisation, every half-step, until nothing moves. A notebook shows it as a
    player; ``save`` writes a page (.html), .gif or, with ffmpeg, .mp4.

    Parameters
    ----------
    X, n_clusters, init, loss, random_state, max_iter
        As in `plot_steps`.
    max_frames : int, default=60
        Of a longer run the first frames and the last are shown.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        With ``save(filename)``, which chooses the writer by the name, and ``to_html()``.

    Raises
    ------
    ValueError, TypeError
        For bad input.
    ImportError
        Without matplotlib; the message says what to install.
    """
    require_matplotlib()
    from kmgpu.plotting.animation import StepsAnimation

    check_integer("max_frames", max_frames, 4)
    story = tell(
        X,
        n_clusters,
        init=init,
        loss=loss,
        random_state=random_state,
        max_iter=max_iter,
        most=max_frames - 3,
    )
    return StepsAnimation(story)
