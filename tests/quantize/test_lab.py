"""CIELAB against its formulas, colour by colour in Python's floats, and against known values."""

import re

import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.quantize import (
    distinct_colours,
    lab_to_srgb,
    quantise,
    read_picture,
    srgb_to_lab,
)
from tests.quantize.commands import Image, assert_refused, cli, shown
from tests.support import oracles

ESTIMATORS = {"l2": KMeans, "l1": KMedians}
# of the primaries, white and black, as they are published, to 2 digits
KNOWN = {
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.74, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.20, -107.86),
    (0, 255, 255): (91.12, -48.08, -14.14),
    (255, 255, 255): (100, 0, 0),
    (119, 119, 119): (50.03, 0, 0),
    (0, 0, 0): (0, 0, 0),
}
WHITE = (0.4124 + 0.3576 + 0.1805, 1.0, 0.0193 + 0.1192 + 0.9505)


MATRIX = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab_of(colour):
    """IEC 61966-2-1 and CIE 15 for one colour, in floats."""
    light = []
    for value in colour:
        part = int(value) / 255
        light.append(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
    red, green, blue = light
    x = 0.4124 * red + 0.3576 * green + 0.1805 * blue
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = 0.0193 * red + 0.1192 * green + 0.9505 * blue
    f = []
    for value, white in zip((x, y, z), WHITE, strict=True):
        ratio = value / white
        dark = (841 / 108) * ratio + 16 / 116
        f.append(ratio ** (1 / 3) if ratio > 216 / 24389 else dark)
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def rgb_of(lab):
    """The way back of `lab_of`, rounded; for colours inside sRGB."""
    y = (lab[0] + 16) / 116
    xyz = []
    for f, white in zip((y + lab[1] / 500, y, y - lab[2] / 200), WHITE, strict=True):
        xyz.append(white * (f**3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29)))
    colour = []
    for light in np.linalg.solve(MATRIX, xyz):
        dark = light * 12.92
        colour.append(
            round(255 * (dark if light <= 0.0031308 else 1.055 * light ** (5 / 12) - 0.055))
        )
    return colour


def colours():
    """All greys, the corners and edges of the cube, and 3,000 at random."""
    steps = np.array([0, 1, 2, 10, 11, 12, 60, 128, 200, 254, 255])
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    random = np.random.default_rng(0).integers(256, size=(3000, 3))
    return np.concatenate([np.arange(256)[:, None].repeat(3, axis=1), grid, random]).astype("uint8")


def test_the_formulas():
    some = colours()
    np.testing.assert_allclose(srgb_to_lab(some), list(map(lab_of, some)), rtol=1e-12, atol=1e-11)


def test_published_values():
    found = srgb_to_lab(np.array(list(KNOWN), np.uint8))
    np.testing.assert_allclose(found, list(KNOWN.values()), atol=0.05)


def test_there_and_back_is_the_same_colour():
    np.testing.assert_array_equal(lab_to_srgb(srgb_to_lab(colours())), colours())


def test_colours_outside_srgb_are_cut():
    found = lab_to_srgb(np.array([[50, 200, 0], [120, 0, 0], [-5, 0, 0]]))
    assert found[0, 0] == 255
    assert found[0, 1] == 0
    assert found[1:].tolist() == [[255] * 3, [0] * 3]


def test_lightness_not_light_is_averaged():
    """Half black and half white is grey of L* = 50, which is 119, where numbers give 128."""
    Image.fromarray(np.array([[0, 255]], np.uint8)).save("in.png")
    assert cli("quantize in.png -k 1 -o rgb.png") == 0
    assert cli("quantize in.png -k 1 --space lab -o lab.png --palette lab.css") == 0
    assert (shown("rgb.png") == 128).all()
    assert (shown("lab.png") == 119).all()


def test_the_picture_and_palette_are_those_of_clusters_in_lab(photo, loss, capsys):
    pixels, group = photo
    Image.fromarray(pixels).save("in.png")
    assert cli(f"quantize in.png -k 3 --loss {loss} --space lab -o out.png --palette p.png") == 0
    rows = np.array([lab_of(colour) for colour in pixels.reshape(-1, 3)])
    members = [rows[group.ravel() == j] for j in range(3)]
    centers = np.array([oracles.CENTER[loss](rows, np.ones(len(rows))) for rows in members])
    palette = shown("p.png")[24, 24::48]
    assert palette.tolist() == [rgb_of(center) for center in centers]
    np.testing.assert_array_equal(shown(), palette[group])
    out = capsys.readouterr().out
    assert re.search(r"^space +lab$", out, re.MULTILINE)
    assert re.search(f"^#{bytes(palette[0]).hex()} +50.00%$", out, re.MULTILINE)


def test_each_pixel_has_the_nearest_colour_in_lab(loss):
    base = np.random.default_rng(0).integers(60, 190, size=(20, 30, 3)).astype(np.uint8)
    Image.fromarray(base).save("in.png")
    picture = read_picture("in.png")
    found = distinct_colours(picture)
    model = ESTIMATORS[loss](7, random_state=0).fit(srgb_to_lab(found.rgb), None, found.weight)
    result = quantise(picture, found, model, space="lab")
    rows = np.array([lab_of(colour) for colour in base.reshape(-1, 3)])
    nearest = oracles.labels(rows, model.cluster_centers_, loss)
    expected = np.array([rgb_of(center) for center in model.cluster_centers_])[nearest]
    np.testing.assert_array_equal(result.palette[result.index].reshape(-1, 3), expected)
    assert cli(f"quantize in.png -k 7 --loss {loss} --space lab -o out.png") == 0
    np.testing.assert_array_equal(shown(), expected.reshape(base.shape))


def test_another_space_is_refused(photo, capsys):
    Image.fromarray(photo[0]).save("in.png")
    picture = read_picture("in.png")
    found = distinct_colours(picture)
    model = KMeans(2, random_state=0).fit(found.rgb, None, found.weight)
    with pytest.raises(ValueError, match="space='hsv' must be one of 'rgb', 'lab'"):
        quantise(picture, found, model, space="hsv")
    assert_refused(capsys, "quantize in.png -o o.png --space hsv", "--space: invalid choice")
