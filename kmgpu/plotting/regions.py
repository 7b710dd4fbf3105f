"""The plane as the loss divides it among the centres."""

from __future__ import annotations

import numpy as np

from kmgpu.algorithm.assignment import nearest
from kmgpu.algorithm.losses import Loss
from kmgpu.plotting.figures import Axes
from kmgpu.plotting.palette import tints

View = tuple[float, float, float, float]
BORDER = 0.62


def region_labels(centers: np.ndarray, loss: Loss, view: View, pixels: int) -> np.ndarray:
    """The nearest centre of every pixel's middle, by the loss's own assignment.

    Parameters
    ----------
    centers : numpy.ndarray of shape (n_clusters, 1 or 2), float64
        With one feature the pixels are columns.
    loss : Loss
    view : tuple of float
        left, right, bottom, top.
    pixels : int
        Along each side.

    Returns
    -------
    numpy.ndarray of shape (pixels, pixels), or (1, pixels) with one feature, int32
        The first row is the bottom.
    """
    left, right, bottom, top = view
    middles = (np.arange(pixels) + 0.5) / pixels
    x = left + (right - left) * middles
    if centers.shape[1] == 1:
        return nearest(x[:, None], centers, loss)[None]
    y = bottom + (top - bottom) * middles
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return nearest(grid, centers, loss).reshape(pixels, pixels)


def draw_regions(axes: Axes, centers: np.ndarray, loss: Loss, view: View, pixels: int) -> None:
    """A light background in each region's colour, and a line where two meet."""
    labels = region_labels(centers, loss, view, pixels)
    picture = tints(len(centers))[labels]
    border = np.zeros(labels.shape, np.bool_)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    picture[border] = BORDER
    axes.imshow(
        picture,
        extent=view,
        origin="lower",
        aspect=axes.get_aspect(),  # left out, it would be changed
        interpolation="nearest",
        zorder=0,
    )
