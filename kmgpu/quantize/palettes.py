"""Write the colours of a picture as a palette."""

from __future__ import annotations

import numpy as np

from kmgpu.files import PathLike, replacing
from kmgpu.quantize.colours import Quantised
from kmgpu.quantize.reading import OPAQUE, require_pillow

SQUARE, SQUARES_A_ROW = 48, 16


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
