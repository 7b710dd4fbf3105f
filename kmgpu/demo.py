"""The colours of a photograph, by k-means and by k-medians."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from kmgpu.backend.arrays import to_host
from kmgpu.base import AlternatingMinimizer
from kmgpu.estimators import KMeans, KMedians
from kmgpu.plotting import plot_history
from kmgpu.plotting.figures import new_figure
from kmgpu.quantize.colours import colours_of
from kmgpu.quantize.reading import require_pillow
from kmgpu.summary import NAMES, fit_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["demo_figure", "fit_colours", "load_photo"]

N_COLOURS = 32
SEED = 0


def load_photo() -> np.ndarray:
    """Load the photograph flower.jpg of scikit-learn, (427, 640, 3) uint8.

    Raises
    ------
    ImportError
        Without Pillow, which decodes it.
    """
    require_pillow()
    from sklearn.datasets import load_sample_image

    return load_sample_image("flower.jpg")


def fit_colours(
    photo: np.ndarray, device: str | None, progress: bool
) -> tuple[list[AlternatingMinimizer], list[dict[str, str]]]:
    """Fit k-means and k-medians to all pixels; return the fits and a summary of each."""
    pixels = photo.reshape(-1, photo.shape[2])
    fits: list[AlternatingMinimizer] = []
    summaries = []
    for estimator in (KMeans, KMedians):
        fit = estimator(N_COLOURS, random_state=SEED, device=device, progress=progress)
        start = perf_counter()
        fit.fit(pixels)
        summaries.append(fit_summary(fit, perf_counter() - start))
        fits.append(fit)
    return fits, summaries


def demo_figure(photo: np.ndarray, fits: Sequence[AlternatingMinimizer]) -> Figure:
    """Draw a photograph, the same in the colours of each fit, the palettes, and the losses.

    Parameters
    ----------
    photo : numpy.ndarray of shape (height, width, 3), uint8
    fits : sequence of KMeans or KMedians
        Fitted on the pixels of `photo`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        Without matplotlib; the message says what to install.
    """
    figure = new_figure(13.5, 8)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.05), squeeze=False)[:, 0]
    strip = photo.shape[1] / photo.shape[0] / max(fit.n_clusters for fit in fits)
    grid = above.subplots(2, 1 + len(fits), height_ratios=(1, strip), squeeze=False)
    _draw_picture(grid[0, 0], photo, "the photograph")
    grid[1, 0].set_axis_off()
    n_pixels = photo.shape[0] * photo.shape[1]
    caption = f"{n_pixels:,} pixels. Palettes: the largest cluster first."
    grid[1, 0].text(0.5, 0.5, caption, ha="center", va="center")
    losses = below.subplots(1, len(fits), squeeze=False)[0]
    for (picture, palette), axes, fit in zip(grid.T[1:], losses, fits, strict=True):
        name, colours, labels = NAMES[fit.loss.name], colours_of(fit), to_host(fit.labels_)
        quantised = colours[labels].reshape(photo.shape)
        _draw_picture(picture, quantised, f"{fit.n_clusters} {name} colours")
        by_size = np.argsort(-np.bincount(labels, minlength=fit.n_clusters), kind="stable")
        palette.imshow(colours[by_size][None])
        palette.set_anchor("N")
        palette.set_axis_off()
        plot_history(fit, ax=axes)
        axes.set_title(f"{name}: {len(fit.history_)} half-steps")
    return figure


def _draw_picture(axes: Axes, picture: np.ndarray, title: str) -> None:
    axes.imshow(picture)
    axes.set_title(title)
    axes.set_anchor("S")
    axes.set_axis_off()
