"""sRGB to CIELAB of D65, where distances are closer to what the eye sees, and back.

sRGB is linearised as IEC 61966-2-1 says; white, the sum of the lines of its matrix, is L* = 100.
"""

from __future__ import annotations

import numpy as np

# of linear red, green and blue, each 0 to 1, to X, Y and Z of D65
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)
FROM_XYZ = np.linalg.inv(TO_XYZ)
# below DELTA³ of white the cube root is replaced by its tangent there
DELTA = 6 / 29
SLOPE, OFFSET = 1 / (3 * DELTA**2), 4 / 29


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Colours of sRGB in CIELAB.

    Parameters
    ----------
    rgb : numpy.ndarray of shape (n_colours, 3), uint8

    Returns
    -------
    numpy.ndarray of shape (n_colours, 3), float64
        L*, 0 to 100, a* and b*.
    """
    xyz = _times(TO_XYZ, _linear()[rgb]) / WHITE
    root = np.where(xyz > DELTA**3, np.cbrt(xyz), SLOPE * xyz + OFFSET)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Colours of CIELAB in sRGB, each channel rounded and cut to 0 to 255.

    Parameters
    ----------
    lab : numpy.ndarray of shape (n_colours, 3)

    Returns
    -------
    numpy.ndarray of shape (n_colours, 3), uint8
    """
    lightness, a, b = lab.T.astype(np.float64)
    y = (lightness + 16) / 116
    root = np.stack([y + a / 500, y, y - b / 200], axis=1)
    xyz = np.where(root > DELTA, root**3, (root - OFFSET) / SLOPE) * WHITE
    linear = _times(FROM_XYZ, xyz).clip(0, 1)
    encoded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.rint(255 * encoded).astype(np.uint8)


def _linear() -> np.ndarray:
    """The light of each of the 256 values of a channel, 0 to 1."""
    value = np.arange(256) / 255
    return np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)


def _times(matrix: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The matrix times each colour; a BLAS might sum in another order on another machine."""
    first, second, third = colours.T
    lines = [line[0] * first + line[1] * second + line[2] * third for line in matrix]
    return np.stack(lines, axis=1)
