"""A photograph in the colours of its clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmgpu.backend.arrays import to_host
from kmgpu.base import AlternatingMinimizer
from kmgpu.plotting.figures import Axes, Figure, new_figure
from kmgpu.plotting.history import draw_history
from kmgpu.summary import NAMES


def colours_of(estimator: AlternatingMinimizer) -> np.ndarray:
    """The centres of clusters of pixels as colours, (n_clusters, 3) uint8."""
    return np.rint(to_host(estimator.cluster_centers_)).clip(0, 255).astype(np.uint8)


def quantised(estimator: AlternatingMinimizer, shape: tuple[int, ...]) -> np.ndarray:
    """The picture in its clusters' colours.

    Parameters
    ----------
    estimator : KMeans or KMedians
        Fitted on pixels, (height × width, 3), of values 0 to 255.
    shape : tuple of int
        (height, width, 3).

    Returns
    -------
    numpy.ndarray of `shape`, uint8
    """
    return colours_of(estimator)[to_host(estimator.labels_)].reshape(shape)


def draw_palette(axes: Axes, estimator: AlternatingMinimizer) -> None:
    """One square for the colour of every cluster, the largest cluster first."""
    sizes = np.bincount(to_host(estimator.labels_), minlength=estimator.n_clusters)
    by_size = np.argsort(-sizes, kind="stable")
    axes.imshow(colours_of(estimator)[by_size][None])
    axes.set_anchor("N")
    axes.set_axis_off()


def demo_figure(photo: np.ndarray, fits: Sequence[AlternatingMinimizer]) -> Figure:
    """A photograph, the same in the colours of each fit with its palette, and the losses.

    Parameters
    ----------
    photo : numpy.ndarray of shape (height, width, 3), uint8
    fits : sequence of KMeans or KMedians
        Fitted on the pixels of `photo`.
    """
    figure = new_figure(13.5, 8)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.05))
    strip = photo.shape[1] / photo.shape[0] / max(fit.n_clusters for fit in fits)
    grid = above.subplots(2, 1 + len(fits), height_ratios=(1, strip), squeeze=False)
    _draw_photo(grid[0, 0], photo, "the photograph")
    grid[1, 0].set_axis_off()
    n_pixels = photo.shape[0] * photo.shape[1]
    caption = f"{n_pixels:,} pixels. Palettes: the largest cluster first."
    grid[1, 0].text(0.5, 0.5, caption, ha="center", va="center")
    losses = below.subplots(1, len(fits), squeeze=False)[0]
    for column, (fit, axes) in enumerate(zip(fits, losses, strict=True), start=1):
        name = NAMES[fit.loss.name]
        _draw_photo(
            grid[0, column], quantised(fit, photo.shape), f"{fit.n_clusters} {name} colours"
        )
        draw_palette(grid[1, column], fit)
        draw_history(axes, fit.history_, fit.loss.units)
        axes.set_title(f"{name}: {len(fit.history_)} half-steps")
    return figure


def _draw_photo(axes: Axes, photo: np.ndarray, title: str) -> None:
    axes.imshow(photo)
    axes.set_title(title)
    axes.set_anchor("S")
    axes.set_axis_off()
