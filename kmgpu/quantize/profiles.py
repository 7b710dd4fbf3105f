"""Pictures in sRGB by their colour profiles."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

# of LittleCMS; Pillow's name for it differs between its versions
BLACK_POINT_COMPENSATION = 0x2000


def from_cmyk(image: Any, profile: bytes) -> Any:
    """A Pillow image of CMYK in RGB, by its profile if that is possible; a warning says how."""
    converted = _in_srgb(image, profile) if profile else None
    if converted is not None:
        warnings.warn("CMYK was converted to RGB by the profile in the file.", stacklevel=2)
        return converted
    why = "its profile cannot be used" if profile else "the file has no profile"
    warnings.warn(
        f"CMYK was converted to RGB by a plain formula, as {why}; print may look different.",
        stacklevel=2,
    )
    return image.convert("RGB")


def from_profile(image: Any, profile: bytes) -> Any:
    """A Pillow image of RGB in sRGB; a warning if its profile cannot be used."""
    converted = _in_srgb(image, profile)
    if converted is None:
        warnings.warn("its profile cannot be used; its colours are taken as sRGB.", stacklevel=2)
        return image
    return converted


def _in_srgb(image: Any, profile: bytes) -> Any:
    """The image, converted as Photoshop does by default; None if the profile cannot be used."""
    from PIL import ImageCms

    try:
        return ImageCms.profileToProfile(
            image,
            BytesIO(profile),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=BLACK_POINT_COMPENSATION,
        )
    except (ImageCms.PyCMSError, ImportError):  # damaged, or Pillow was built without LittleCMS
        return None
