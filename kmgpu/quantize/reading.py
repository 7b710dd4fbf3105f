"""Read a picture of any format that Pillow reads, as 8-bit red, green and blue."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from kmgpu.files import PathLike
from kmgpu.io.reading import BadFile, opened, shortened
from kmgpu.plotting.figures import INSTALL_PLOT

EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
OPAQUE = 255
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
