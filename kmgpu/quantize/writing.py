"""Write a picture in the colours of its clusters as PNG."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmgpu.files import PathLike, replacing
from kmgpu.quantize.colours import INDEXED, Quantised
from kmgpu.quantize.reading import require_pillow


def save_picture(quantised: Quantised, path: PathLike) -> None:
    """Write a PNG, whole or not at all; it has a palette if 256 entries are enough.

    An entry is a pair of a colour and an alpha.
    """
    require_pillow()
    image, options = _image(quantised)
    with replacing(path) as file:
        image.save(file, format="PNG", icc_profile=quantised.icc_profile, **options)


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
