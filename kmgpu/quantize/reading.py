"""Read a picture of any format that Pillow reads, as 8-bit red, green and blue."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, BinaryIO

import numpy as np

from kmgpu.files import PathLike
from kmgpu.io.reading import BadFile, opened, shortened, told
from kmgpu.plotting.figures import INSTALL_PLOT
from kmgpu.quantize.profiles import from_cmyk, from_profile

EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
CMYK = "CMYK"
OPAQUE = 255
LIMIT = Lock()
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


def require_pillow() -> None:
    """Raise ImportError, naming what to install, if Pillow is missing."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        msg = f"reading and writing pictures needs Pillow ({error}); {INSTALL_PLOT}"
        raise ImportError(msg) from error


def read_picture(path: PathLike, *, large: bool = False, srgb: bool = False) -> Picture:
    """Read a picture of any format that Pillow reads.

    The picture is turned as its EXIF orientation says. Greyscale and palettes become red, green
    and blue. Of 16 bits a channel the upper 8 are kept. CMYK becomes sRGB by the profile of the
    file, if it has one.

    Parameters
    ----------
    path : str or path-like
    large : bool, default=False
        Accept pictures of more than 178 million pixels. Small files can claim to be as large, to
        exhaust the memory of who opens them.
    srgb : bool, default=False
        Convert colours that have a profile to sRGB, instead of keeping both.

    Raises
    ------
    ImportError
        Without Pillow.
    ValueError
        One line with the file, what was found, and the remedy. Animations are refused, and so are
        colours that can be converted in several ways (Lab, HSV, 32-bit values).
    OSError, MemoryError
        The same, if the file cannot be opened or there is too little memory.

    Warns
    -----
    UserWarning, RuntimeWarning
        That CMYK was converted, and how; that a profile cannot be used; Pillow's warnings about
        a picture that it can read, such as damaged metadata.
    """
    require_pillow()
    with opened(path, "cannot be read as a picture", REMEDY) as file:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with _unlimited() if large else _limited(path):
                picture = _decoded(file, path, srgb)
        # not reached if the picture cannot be read: the error says enough
        for text, kind in dict.fromkeys((str(one.message), one.category) for one in caught):
            warnings.warn(f"{path}: {shortened(text)}", kind, stacklevel=2)
    return picture


@contextmanager
def _limited(path: PathLike) -> Iterator[None]:
    """Say what to do where Pillow refuses to open so many pixels."""
    from PIL import Image

    try:
        yield
    except Image.DecompressionBombError as error:
        msg = (
            f"{path} is too large: {told(error)}; if you trust the file, give --large "
            f"(in Python large=True)."
        )
        raise BadFile(msg) from error


@contextmanager
def _unlimited() -> Iterator[None]:
    """Open any number of pixels; Pillow's limit is a global of it, which is put back."""
    from PIL import Image

    with LIMIT:  # a second thread would take None for the limit to put back
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decoded(file: BinaryIO, path: PathLike, srgb: bool) -> Picture:
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
        ImageOps.exif_transpose(image, in_place=True)
        image.load()
        return _picture(image, srgb)


def _check_kind(image: Any, path: PathLike) -> None:
    n_frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if n_frames > 1:
        msg = f"{path} holds {n_frames} pictures (an animation or pages); save one of them alone."
        raise BadFile(msg)
    sixteen_bit = image.mode in SIXTEEN_BIT and "transparency" not in image.info
    if image.mode not in (*EIGHT_BIT, CMYK) and not sixteen_bit:
        msg = (
            f"{path} has colours of mode {image.mode}, which cannot be clustered as they are; "
            f"convert it to 8-bit RGB first."
        )
        raise BadFile(msg)


def _picture(image: Any, srgb: bool) -> Picture:
    if image.mode in SIXTEEN_BIT:
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return Picture(np.repeat(grey[..., None], 3, axis=2), None, None)
    profile = image.info.get("icc_profile") or b""
    if image.mode == CMYK:
        return Picture(np.asarray(from_cmyk(image, profile)), None, None)
    # a profile of greyscale does not apply to red, green and blue
    profile = profile if profile[16:20] == b"RGB " else None
    alpha = None
    if image.has_transparency_data:
        image = _in_mode(image, "RGBA")
        alpha = np.asarray(image.getchannel("A"))
        alpha = None if (alpha == OPAQUE).all() else alpha
    image = _in_mode(image, "RGB")
    if srgb and profile:
        image, profile = from_profile(image, profile), None
    return Picture(np.asarray(image), alpha, profile)


def _in_mode(image: Any, mode: str) -> Any:
    # Pillow's convert copies a picture that is of that mode
    return image if image.mode == mode else image.convert(mode)
