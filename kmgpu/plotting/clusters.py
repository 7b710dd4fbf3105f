"""The clusters that an estimator found."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from kmgpu.backend.arrays import to_host
from kmgpu.base import AlternatingMinimizer
from kmgpu.plotting.figures import Figure, new_figure
from kmgpu.plotting.panel import LARGE, draw_centers, draw_points, prepare, view_of
from kmgpu.plotting.points import drawn_rows, plane_of, taken
from kmgpu.plotting.regions import draw_regions
from kmgpu.summary import NAMES


def plot_clusters(estimator: AlternatingMinimizer, X: Any) -> Figure:
    """The points of `X` in the looks of their clusters, the regions and the centres.

    Parameters
    ----------
    estimator : KMeans or KMedians
        Fitted.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The data of the fit, or new ones, of any array library. Two features are drawn as they
        are, more on the first two principal axes, without regions; above 5,000 rows a seeded
        sample is drawn.

    Returns
    -------
    matplotlib.figure.Figure

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
    figure = new_figure(6, 6.2)
    axes = figure.subplots()
    loss, name = estimator.loss, NAMES[estimator.loss.name]
    labels = estimator.predict(X)
    drawn = drawn_rows(X)
    labels = taken(labels, drawn)
    centers = to_host(estimator.cluster_centers_).astype(np.float64)
    plane = plane_of(drawn.points)
    view = view_of(plane, drawn, centers)
    prepare(axes, plane, view)
    if plane.n_features <= 2:
        draw_regions(axes, centers, loss, view, LARGE.pixels)
    unchanged = np.zeros(len(labels), np.bool_)
    draw_points(axes, plane.place_points(drawn.points), labels, unchanged, LARGE)
    draw_centers(axes, plane.place(centers), LARGE)
    axes.set_title(f"{name}, k = {len(centers)}: the loss of the fit is {estimator.inertia_:.6g}")
    caption = "; ".join(filter(None, [drawn.caption, plane.caption]))
    figure.supxlabel(fill(caption, 80), fontsize=9)
    return figure
