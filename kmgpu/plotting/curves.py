"""Curves of the loss: over the half-steps of one fit, and over the number of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from kmgpu.algorithm.plan import HistoryEntry
from kmgpu.base import AlternatingMinimizer
from kmgpu.plotting.figures import (
    ASSIGN_COLOUR,
    REFIT_COLOUR,
    axes_to_draw_on,
    legend_below,
    new_figure,
    thousands,
)
from kmgpu.selection.sweep import Sweep
from kmgpu.summary import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KNEE_COLOUR = "#cc3311"


def plot_history(estimator: AlternatingMinimizer, *, ax: Axes | None = None) -> Figure:
    """Draw the loss of a fit after every half-step; it never rises.

    Parameters
    ----------
    estimator : KMeans or KMedians
        Fitted.
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
    ImportError
        Without matplotlib; the message says what to install.
    """
    check_is_fitted(estimator)
    figure, axes = axes_to_draw_on(ax, 6, 4)
    loss = estimator.loss
    draw_history(axes, estimator.history_, loss.units)
    n_done, n_clusters = len(estimator.history_), estimator.n_clusters
    stopped = "converged" if estimator.converged_ else f"stopped by max_iter={estimator.max_iter}"
    axes.set_title(f"{NAMES[loss.name]}, k = {n_clusters}: {n_done} half-steps, {stopped}")
    return figure


def draw_history(axes: Axes, history: Sequence[HistoryEntry], units: str) -> None:
    """Draw a line through the losses, with one marker for assignments and one for refits."""
    from matplotlib.ticker import MaxNLocator

    at = np.arange(1, len(history) + 1)
    losses = np.array([entry.loss for entry in history])
    axes.plot(at, losses, color="0.6", linewidth=1, zorder=1)
    for kind, marker, colour, name in (
        ("assign", "o", ASSIGN_COLOUR, "assignment"),
        ("refit", "s", REFIT_COLOUR, "refitting"),
    ):
        of_kind = np.array([entry.kind == kind for entry in history], np.bool_)
        axes.scatter(
            at[of_kind], losses[of_kind], s=14, c=colour, marker=marker, label=name, zorder=2
        )
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("half-step")
    axes.set_ylabel(f"loss ({units})")
    thousands(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(title="after", frameon=False, loc="upper right")  # the loss falls: it is free


def plot_elbow(sweep: Sweep) -> Figure:
    """Draw the loss over k with its knee marked, and the silhouettes over k beneath.

    Parameters
    ----------
    sweep : Sweep
        What `kmgpu.sweep` returned. Its knee is the k whose loss lies farthest below the chord
        from the first to the last point, both axes scaled to [0, 1] (see `Sweep.knee`).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        Without matplotlib; the message says what to install.
    """
    figure = new_figure(6.4, 6.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
    _draw_losses(above, sweep)
    _draw_silhouettes(below, sweep)
    for axes in (above, below):
        axes.grid(alpha=0.3)
        thousands(axes.yaxis)
        if sweep.knee is not None:
            axes.axvline(sweep.knee, color=KNEE_COLOUR, linewidth=1, linestyle="--", zorder=1)
    return figure


def _draw_losses(axes: Axes, sweep: Sweep) -> None:
    k = np.array([entry.k for entry in sweep])
    losses = np.array([entry.loss for entry in sweep])
    axes.plot(k, losses, color="0.2", marker="o", markersize=4, label="loss")
    if sweep.knee is None:
        axes.set_title("no knee: nowhere is the loss below its chord")
    else:
        axes.plot(k[[0, -1]], losses[[0, -1]], color="0.6", linestyle=":", label="chord")
        axes.scatter(
            [sweep.knee],
            losses[k == sweep.knee],
            s=140,
            facecolors="none",
            edgecolors=KNEE_COLOUR,
            linewidths=1.8,
            zorder=3,
            label="knee",
        )
        axes.set_title(f"knee at k = {sweep.knee}: farthest below the chord")
    axes.set_ylabel(f"loss ({sweep.units})")
    axes.legend(loc="upper right", frameon=False)


def _draw_silhouettes(axes: Axes, sweep: Sweep) -> None:
    from matplotlib.ticker import MaxNLocator

    k = np.array([entry.k for entry in sweep])
    for column, name, colour, marker, style in (
        ("simplified_silhouette", "simplified, all rows", ASSIGN_COLOUR, "o", "-"),
        ("silhouette", f"exact, {sweep.n_sampled:,} rows", REFIT_COLOUR, "s", "--"),
    ):
        values = np.array([getattr(entry, column) for entry in sweep])
        finite = np.isfinite(values)
        axes.plot(
            k[finite],
            values[finite],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle=style,
            label=name,
        )
    axes.set_ylabel("mean silhouette")
    axes.set_xlabel("number of clusters k")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes, title="silhouette")
