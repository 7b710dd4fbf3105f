"""The distinct colours of a picture, and the picture in the colours of their clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kmgpu.backend.arrays import to_host
from kmgpu.backend.blocks import row_blocks
from kmgpu.base import AlternatingMinimizer
from kmgpu.quantize.lab import lab_to_srgb, srgb_to_lab
from kmgpu.quantize.reading import OPAQUE, Picture

N_CODES = 1 << 24
BLOCK_BYTES = 1 << 26
# colours that an index of uint8 tells apart
INDEXED = 256


class Colours(NamedTuple):
    """The distinct colours of a picture, without those of transparent pixels.

    Attributes
    ----------
    codes : numpy.ndarray of shape (n_colours,), int64
        256² red + 256 green + blue, ascending.
    rgb : numpy.ndarray of shape (n_colours, 3), uint8
    weight : numpy.ndarray of shape (n_colours,), float64
        The sum of the opacities, 0 to 1, of the pixels of that colour.
    """

    codes: np.ndarray
    rgb: np.ndarray
    weight: np.ndarray


def distinct_colours(picture: Picture) -> Colours:
    """Find the visible colours, and how much there is of each.

    Raises
    ------
    ValueError
        If every pixel is transparent.
    """
    keys, counts = _tally(picture)
    alphas = keys & OPAQUE
    keys, weights = keys[alphas > 0], (counts * alphas)[alphas > 0]
    if not len(keys):
        msg = "every pixel of the picture is transparent; there are no colours to cluster."
        raise ValueError(msg)
    codes, starts = np.unique(keys >> 8, return_index=True)
    rgb = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
    return Colours(codes, rgb, np.add.reduceat(weights, starts) / OPAQUE)


def _tally(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Count the distinct pairs of a colour and an alpha; a key is 256 code + alpha, ascending."""
    found = []
    for start, stop in _blocks(picture):
        alpha = OPAQUE if picture.alpha is None else picture.alpha[start:stop].ravel()
        keys = (_codes(picture, start, stop).astype(np.uint32) << 8) | alpha
        found.append(np.unique(keys, return_counts=True))
    keys, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(found) > 1:
        keys, member = np.unique(keys, return_inverse=True)
        counts = np.bincount(member, weights=counts).astype(np.int64)
    return keys.astype(np.int64), counts


def _blocks(picture: Picture) -> Iterator[tuple[int, int]]:
    height, width, _ = picture.pixels.shape
    return row_blocks(height, 16 * width, BLOCK_BYTES)


def _codes(picture: Picture, start: int, stop: int) -> np.ndarray:
    """The code of every pixel of the lines from `start` to `stop`."""
    red, green, blue = (picture.pixels[start:stop, :, at].astype(np.int32) for at in range(3))
    return ((red << 16) + (green << 8) + blue).ravel()


@dataclass(frozen=True)
class Quantised:
    """A picture in the colours of its clusters.

    Attributes
    ----------
    palette : numpy.ndarray of shape (n_clusters, 3), uint8
        The colours, the most frequent first.
    shares : numpy.ndarray of shape (n_clusters,)
        The share of the visible pixels that each colour has; the sum is 1.
    index : numpy.ndarray of shape (height, width)
        The index of every pixel's colour; arbitrary for transparent pixels.
    alpha, icc_profile
        As in `Picture`.
    """

    palette: np.ndarray
    shares: np.ndarray
    index: np.ndarray
    alpha: np.ndarray | None
    icc_profile: bytes | None

    @property
    def hex_codes(self) -> list[str]:
        """The colours of the palette as ``#rrggbb``."""
        return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in self.palette]


def colours_of(estimator: AlternatingMinimizer) -> np.ndarray:
    """The centres of clusters of pixels, rounded to 8-bit colours, (n_clusters, 3) uint8."""
    return _rounded(to_host(estimator.cluster_centers_))


def _rounded(centers: np.ndarray) -> np.ndarray:
    return np.rint(centers).clip(0, 255).astype(np.uint8)


# by name: what is clustered, of uint8 colours, and the uint8 colours of centres
SPACES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]]
SPACES = {"rgb": (np.asarray, _rounded), "lab": (srgb_to_lab, lab_to_srgb)}


def quantise(
    picture: Picture, colours: Colours, estimator: AlternatingMinimizer, space: str = "rgb"
) -> Quantised:
    """Replace every colour of the picture by its centre.

    Parameters
    ----------
    picture : Picture
    colours : Colours
        Of the picture.
    estimator : KMeans or KMedians
        Fitted to ``colours.rgb``, or to ``srgb_to_lab(colours.rgb)``.
    space : {"rgb", "lab"}, default="rgb"
        Which of the two.

    Raises
    ------
    ValueError
        For another space.
    """
    if space not in SPACES:
        msg = f"space={space!r} must be one of {', '.join(map(repr, SPACES))}."
        raise ValueError(msg)
    _, to_rgb = SPACES[space]
    labels = to_host(estimator.labels_)
    sizes = np.bincount(labels, weights=colours.weight, minlength=estimator.n_clusters)
    by_size = np.argsort(-sizes, kind="stable")
    rank = np.argsort(by_size)
    dtype = np.uint8 if estimator.n_clusters <= INDEXED else np.int32
    table = np.zeros(N_CODES, dtype)
    table[colours.codes] = rank[labels]
    index = np.empty(picture.pixels.shape[:2], dtype)
    for start, stop in _blocks(picture):
        index[start:stop] = table[_codes(picture, start, stop)].reshape(stop - start, -1)
    return Quantised(
        to_rgb(to_host(estimator.cluster_centers_))[by_size],
        sizes[by_size] / sizes.sum(),
        index,
        picture.alpha,
        picture.icc_profile,
    )
