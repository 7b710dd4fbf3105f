"""Loss and silhouettes over the number of clusters."""

from __future__ import annotations

import numpy as np

from kmgpu.plotting.figures import ASSIGN_COLOUR, REFIT_COLOUR, Axes, Figure, new_figure
from kmgpu.selection.sweep import Sweep

KNEE_COLOUR = "#cc3311"


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
        there = np.isfinite(values)
        axes.plot(
            k[there],
            values[there],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle=style,
            label=name,
        )
    axes.set_ylabel("mean silhouette")
    axes.set_xlabel("number of clusters k")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.figure.legend(
        *axes.get_legend_handles_labels(),
        title="silhouette",
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
