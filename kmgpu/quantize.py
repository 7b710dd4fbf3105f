"""Reduce a picture to k colours: read a file, replace every colour, write a PNG.

Pillow is optional and imported only when a picture is read or written. The rows that are clustered
are the 8-bit values of red, green and blue. Pixels of one colour become one row, weighted by their
number: the loss is the same and the fit is many times faster.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from kmgpu.backend.arrays import to_host
from kmgpu.backend.blocks import row_blocks
from kmgpu.base import AlternatingMinimizer
from kmgpu.files import PathLike, replacing
from kmgpu.io.reading import BadFile, opened, shortened
from kmgpu.plotting.figures import INSTALL_PLOT

__all__ = [
    "Colours",
    "Picture",
    "Quantised",
    "colours_of",
    "distinct_colours",
    "quantise",
    "read_picture",
    "save_palette",
    "save_picture",
]

EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
OPAQUE = 255
N_CODES = 1 << 24
BLOCK_BYTES = 1 << 26
INDEXED = 256
SQUARE, SQUARES_A_ROW = 48, 16
REMEDY = "take another copy, or save it as PNG"


@dataclass(frozen=True)
class Picture:
    """The pixels of a file, the right way up.

    Attributes
    ----------
    pixels : numpy.ndarray of shape (height, width, 3), uint8
    alpha : numpy.ndarray of shape (height, width), uint8, or None
        0 is transparent, 255 opaque; None if every pixel is opaque.
    icc_profile : bytes or None
        The colour profile of the file, if it has one for RGB.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc_profile: bytes | None


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


def require_pillow() -> None:
    """Raise ImportError, naming what to install, if Pillow is missing."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        msg = f"reading and writing pictures needs Pillow ({error}); {INSTALL_PLOT}"
        raise ImportError(msg) from error


def read_picture(path: PathLike) -> Picture:
    """Read a picture of any format that Pillow reads.

    The picture is turned as its EXIF orientation says. Greyscale and palettes become red, green
    and blue. Of 16 bits a channel the upper 8 are kept.

    Raises
    ------
    ImportError
        Without Pillow.
    ValueError
        One line with the file, what was found, and the remedy. Animations are refused, and so are
        colours that can be converted in several ways (CMYK, Lab, HSV, 32-bit values).
    OSError, MemoryError
        The same, if the file cannot be opened or there is too little memory.

    Warns
    -----
    UserWarning, RuntimeWarning
        Pillow's warnings about a picture that it can read, such as damaged metadata.
    """
    require_pillow()
    with opened(path, "cannot be read as a picture", REMEDY) as file:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            picture = _decoded(file, path)
        # not reached if the picture cannot be read: the error says enough
        for text, kind in dict.fromkeys((str(one.message), one.category) for one in caught):
            warnings.warn(f"{path}: {shortened(text)}", kind, stacklevel=2)
    return picture


def _decoded(file: BinaryIO, path: PathLike) -> Picture:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(file)
    except UnidentifiedImageError as error:
        msg = "it is damaged, or of no format that Pillow knows"
        raise ValueError(msg) from error
    with image:
        _check_kind(image, path)
        # the other images of a phone's photograph are previews or depth maps, not frames
        image.seek(0)
        upright = ImageOps.exif_transpose(image)
        upright.load()
        return _picture(upright)


def _check_kind(image: Any, path: PathLike) -> None:
    n_frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if n_frames > 1:
        msg = f"{path} holds {n_frames} pictures (an animation or pages); save one of them alone."
        raise BadFile(msg)
    sixteen_bit = image.mode in SIXTEEN_BIT and "transparency" not in image.info
    if image.mode not in EIGHT_BIT and not sixteen_bit:
        msg = (
            f"{path} has colours of mode {image.mode}, which cannot be clustered as they are; "
            f"convert it to 8-bit RGB first."
        )
        raise BadFile(msg)


def _picture(image: Any) -> Picture:
    if image.mode in SIXTEEN_BIT:
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return Picture(np.repeat(grey[..., None], 3, axis=2), None, None)
    profile = image.info.get("icc_profile")
    # a profile of greyscale does not apply to red, green and blue
    profile = profile if profile and profile[16:20] == b"RGB " else None
    if not image.has_transparency_data:
        return Picture(np.asarray(image.convert("RGB")), None, profile)
    channels = np.asarray(image.convert("RGBA"))
    alpha = channels[..., 3]
    opaque = bool((alpha == OPAQUE).all())
    return Picture(channels[..., :3], None if opaque else alpha, profile)


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


def colours_of(estimator: AlternatingMinimizer) -> np.ndarray:
    """The centres of clusters of pixels, rounded to 8-bit colours, (n_clusters, 3) uint8."""
    return np.rint(to_host(estimator.cluster_centers_)).clip(0, 255).astype(np.uint8)


def quantise(picture: Picture, colours: Colours, estimator: AlternatingMinimizer) -> Quantised:
    """Replace every colour of the picture by its centre.

    `estimator` has been fitted to ``colours.rgb``.
    """
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
        colours_of(estimator)[by_size],
        sizes[by_size] / sizes.sum(),
        index,
        picture.alpha,
        picture.icc_profile,
    )


def save_picture(quantised: Quantised, path: PathLike) -> None:
    """Write a PNG, whole or not at all; it has a palette if 256 entries are enough.

    An entry is a pair of a colour and an alpha.
    """
    require_pillow()
    image, options = _image(quantised)
    with replacing(path) as file:
        image.save(file, format="PNG", icc_profile=quantised.icc_profile, **options)


def save_palette(quantised: Quantised, path: PathLike) -> None:
    """Write the colours to a PNG, as squares, 16 a row, the most frequent first."""
    require_pillow()
    from PIL import Image

    n_colours = len(quantised.palette)
    n_columns = min(n_colours, SQUARES_A_ROW)
    squares = np.full((-(-n_colours // n_columns), n_columns, 4), [255, 255, 255, 0], np.uint8)
    squares.reshape(-1, 4)[:n_colours] = np.pad(
        quantised.palette, [(0, 0), (0, 1)], constant_values=OPAQUE
    )
    image = Image.fromarray(squares.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1))
    with replacing(path) as file:
        image.save(file, format="PNG", icc_profile=quantised.icc_profile)


def _image(quantised: Quantised) -> tuple[Any, dict[str, Any]]:
    """The Pillow image, and the options that its PNG needs."""
    from PIL import Image

    palette, index, alpha = quantised.palette, quantised.index, quantised.alpha
    if alpha is None:
        if len(palette) > INDEXED:
            return Image.fromarray(palette[index]), {}
        return _indexed(index, palette), {}
    # all transparent pixels share one entry
    pairs = np.where(alpha > 0, index, 0).astype(np.int32) * INDEXED + alpha
    used_pairs = np.flatnonzero(np.bincount(pairs.ravel()))
    if len(used_pairs) > INDEXED:
        return Image.fromarray(np.dstack([palette[pairs // INDEXED], alpha])), {}
    entry = np.zeros(used_pairs[-1] + 1, np.uint8)
    entry[used_pairs] = np.arange(len(used_pairs))
    colours, alphas = palette[used_pairs // INDEXED], (used_pairs % INDEXED).astype(np.uint8)
    return _indexed(entry[pairs], colours), {"transparency": alphas.tobytes()}


def _indexed(index: np.ndarray, palette: np.ndarray) -> Any:
    """The Pillow image of an index of uint8 and a palette of at most 256 colours."""
    from PIL import Image

    image = Image.fromarray(index)
    image.putpalette(palette.tobytes())
    return image
