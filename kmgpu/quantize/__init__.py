"""Reduce a picture to k colours: read a file, replace every colour, write a PNG.

Pillow is optional and imported only when a picture is read or written. The rows that are clustered
are the 8-bit values of red, green and blue, or these colours in CIELAB. Pixels of one colour become
one row, weighted by their number: the loss is the same and the fit is many times faster.
"""

from kmgpu.quantize.colours import Colours, Quantised, colours_of, distinct_colours, quantise
from kmgpu.quantize.lab import lab_to_srgb, srgb_to_lab
from kmgpu.quantize.palettes import save_palette
from kmgpu.quantize.reading import Picture, read_picture
from kmgpu.quantize.writing import save_picture

__all__ = [
    "Colours",
    "Picture",
    "Quantised",
    "colours_of",
    "distinct_colours",
    "lab_to_srgb",
    "quantise",
    "read_picture",
    "save_palette",
    "save_picture",
    "srgb_to_lab",
]
