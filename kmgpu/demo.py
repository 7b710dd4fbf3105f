"""The colours of a photograph, by k-means and by k-medians."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from kmgpu.base import AlternatingMinimizer
from kmgpu.estimators import KMeans, KMedians
from kmgpu.quantize import require_pillow
from kmgpu.summary import fit_summary

N_COLOURS = 16
SEED = 0


def load_photo() -> np.ndarray:
    """The photograph china.jpg that scikit-learn ships, (427, 640, 3) uint8.

    Raises
    ------
    ImportError
        Without Pillow, which decodes it.
    """
    require_pillow()
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")


def fit_colours(
    photo: np.ndarray, device: str | None, progress: bool
) -> tuple[list[AlternatingMinimizer], list[dict[str, str]]]:
    """k-means and k-medians of all pixels, and the summary of each fit."""
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
