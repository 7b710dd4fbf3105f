"""The loss after every half-step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.utils.validation import check_is_fitted

from kmgpu.algorithm.restarts import HistoryEntry
from kmgpu.base import AlternatingMinimizer
from kmgpu.plotting.figures import ASSIGN_COLOUR, REFIT_COLOUR, Axes, Figure, new_figure
from kmgpu.summary import NAMES


def draw_history(axes: Axes, history: Sequence[HistoryEntry], units: str) -> None:
    """The loss after every half-step: a line, with a marker for each kind of half-step."""
    at = np.arange(1, len(history) + 1)
    losses = np.array([entry.loss for entry in history])
    axes.plot(at, losses, color="0.6", linewidth=1, zorder=1)
    for kind, marker, colour, name in (
        ("assign", "o", ASSIGN_COLOUR, "assignment"),
        ("refit", "s", REFIT_COLOUR, "refitting"),
    ):
        of_kind = np.array([entry.kind == kind for entry in history])
        axes.scatter(
            at[of_kind], losses[of_kind], s=14, c=colour, marker=marker, label=name, zorder=2
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("half-step")
    axes.set_ylabel(f"loss ({units})")
    axes.grid(alpha=0.3)
    axes.legend(title="after", frameon=False)


def plot_history(estimator: AlternatingMinimizer) -> Figure:
    """The loss of a fit after every half-step, which never rises.

    Parameters
    ----------
    estimator : KMeans or KMedians
        Fitted.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ImportError
        Without matplotlib; the message says what to install.
    """
    check_is_fitted(estimator)
    figure = new_figure(6, 4)
    axes = figure.subplots()
    draw_history(axes, estimator.history_, estimator.loss.units)
    n_done, n_clusters = len(estimator.history_), estimator.n_clusters
    stopped = "converged" if estimator.converged_ else f"stopped by max_iter={estimator.max_iter}"
    axes.set_title(
        f"{NAMES[estimator.loss.name]}, k = {n_clusters}: {n_done} half-steps, {stopped}"
    )
    return figure
