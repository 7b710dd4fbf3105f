"""Palettes are read by readers written from the public descriptions of the formats, or Pillow's."""

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from kmgpu.quantize import Quantised, save_palette
from tests.quantize.commands import assert_refused, cli, shown

Image = pytest.importorskip("PIL.Image")
GimpPaletteFile = pytest.importorskip("PIL.GimpPaletteFile").GimpPaletteFile

COLOURS = np.array([[200, 30, 40], [0, 7, 255], [255, 255, 255], [9, 180, 60]], np.uint8)
SHARES = np.array([0.5, 0.3, 0.12345678, 0.07654322])
CODES = ["#c81e28", "#0007ff", "#ffffff", "#09b43c"]


def quantised(palette=COLOURS, shares=SHARES):
    return Quantised(palette, shares, np.zeros((1, 1), np.uint8), None, None)


def random_palette(n_colours):
    palette = np.random.default_rng(0).integers(256, size=(n_colours, 3)).astype(np.uint8)
    return quantised(palette, np.full(n_colours, 1 / n_colours))


def read_png(path):
    squares = shown(path, "RGBA")[24::48, 24::48].reshape(-1, 4)
    return squares[squares[:, 3] > 0, :3]


def read_json(path):
    return [entry["rgb"] for entry in json.loads(Path(path).read_text("utf-8"))]


def read_css(path):
    text = Path(path).read_text("utf-8")
    body = re.fullmatch(r":root \{\n(.*)\}\n", re.sub(r" ?/\*.*?\*/", "", text), re.DOTALL)[1]
    values = []
    for number, line in enumerate(body.splitlines(), start=1):
        name, value = re.fullmatch(r"  --([\w-]+): #([0-9a-f]{6});", line).groups()
        assert name == f"color-{number}"
        values.append(list(bytes.fromhex(value)))
    return values


def read_gpl(path):
    return np.frombuffer(GimpPaletteFile.frombytes(Path(path).read_bytes()).palette, np.uint8)


def read_act(path):
    content = Path(path).read_bytes()
    assert len(content) == 772
    n_colours, transparent = struct.unpack(">HH", content[768:])
    assert transparent == 0xFFFF
    assert not any(content[3 * n_colours : 768])
    return list(struct.iter_unpack("3B", content[: 3 * n_colours]))


def ase_blocks(path):
    """The kind, name and rest of every block."""
    content = Path(path).read_bytes()
    signature, major, minor, n_blocks = struct.unpack_from(">4sHHI", content)
    assert (signature, major, minor) == (b"ASEF", 1, 0)
    at, blocks = 12, []
    while at < len(content):
        kind, length = struct.unpack_from(">HI", content, at)
        body = content[at + 6 : at + 6 + length]
        assert len(body) == length
        at += 6 + length
        name = ""
        if length:
            n_units = int.from_bytes(body[:2], "big")
            name, body = body[2 : 2 + 2 * n_units].decode("utf-16-be"), body[2 + 2 * n_units :]
            assert name[-1] == "\0"
        blocks.append((kind, name[:-1], body))
    assert len(blocks) == n_blocks
    return blocks


def read_ase(path):
    first, *middle, last = ase_blocks(path)
    assert (first, last) == ((0xC001, Path(path).stem, b""), (0xC002, "", b""))
    values = []
    for kind, name, body in middle:
        model, red, green, blue, ink = struct.unpack(">4s3fH", body)
        assert (kind, model, ink) == (1, b"RGB ", 2)
        values.append([255 * red, 255 * green, 255 * blue])
        assert bytes.fromhex(name.removeprefix("#")) == bytes(map(round, values[-1]))
    return values


READERS = {
    ".png": read_png,
    ".json": read_json,
    ".css": read_css,
    ".gpl": read_gpl,
    ".ase": read_ase,
    ".act": read_act,
}


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("n_colours", [1, 4, 17, 256])
def test_a_palette_is_read_back(ending, n_colours):
    palette = random_palette(n_colours)
    save_palette(palette, f"pal{ending}")
    found = np.array(READERS[ending](f"pal{ending}")).reshape(-1, 3)
    np.testing.assert_allclose(found, palette.palette, rtol=1e-6)


@pytest.mark.parametrize("ending", [".png", ".json", ".css", ".gpl", ".ase"])
def test_more_colours_than_256(ending):
    palette = random_palette(300)
    save_palette(palette, f"pal{ending}")
    found = np.array(READERS[ending](f"pal{ending}")).reshape(-1, 3)
    np.testing.assert_allclose(found, palette.palette, rtol=1e-6)


def test_the_texts():
    for ending in (".json", ".css", ".gpl"):
        save_palette(quantised(), f"warm{ending}")
    entries = json.loads(Path("warm.json").read_text())
    assert [entry["hex"] for entry in entries] == CODES
    assert [entry["share"] for entry in entries] == [0.5, 0.3, 0.123457, 0.076543]
    assert Path("warm.css").read_text().splitlines()[1:3] == [
        "  --color-1: #c81e28; /* 50.00% */",
        "  --color-2: #0007ff; /* 30.00% */",
    ]
    assert Path("warm.gpl").read_text().splitlines()[:6] == [
        "GIMP Palette",
        "Name: warm",
        "Columns: 16",
        "#",
        "200  30  40\t#c81e28",
        "  0   7 255\t#0007ff",
    ]


@pytest.mark.parametrize("name", ["\u00fc\U0001f33b", "two\nlines", "Columns: 3", "lone\udcff"])
def test_any_name_of_a_file(name):
    for ending in (".gpl", ".ase"):
        save_palette(quantised(), f"{name}{ending}")
    shown_name = name.replace("\n", "_").replace("\udcff", "_")
    np.testing.assert_array_equal(read_gpl(f"{name}.gpl"), COLOURS.ravel())
    lines = Path(f"{name}.gpl").read_text("utf-8").splitlines()
    assert (lines[1], len(lines)) == (f"Name: {shown_name}", 4 + len(COLOURS))
    assert ase_blocks(f"{name}.ase")[0][1] == shown_name


@pytest.mark.parametrize("ending", READERS)
def test_the_command_writes_what_the_ending_says(photo, ending):
    Image.fromarray(photo[0]).save("in.png")
    assert cli(f"quantize in.png -k 3 -o out.png --palette PAL{ending.upper()}") == 0
    colours, counts = np.unique(shown().reshape(-1, 3), axis=0, return_counts=True)
    Path(f"PAL{ending.upper()}").rename(f"PAL{ending}")
    found = np.array(READERS[ending](f"PAL{ending}")).reshape(-1, 3)
    np.testing.assert_allclose(found, colours[np.argsort(-counts)], rtol=1e-6)


@pytest.mark.parametrize("name", ["pal.jpg", "pal", ".gpl", "pal.ase.txt"])
def test_other_endings_are_refused(photo, capsys, name):
    Image.fromarray(photo[0]).save("in.png")
    known = "must end in .png, .json, .css, .gpl, .ase or .act."
    said = f"{name} cannot be written: the name of a palette {known}"
    assert_refused(capsys, f"quantize in.png -o out.png --palette {name}", said)


def test_an_adobe_color_table_holds_256_colours(photo, capsys):
    with pytest.raises(ValueError, match=r"\.act holds 256 colours, 300 are more"):
        save_palette(random_palette(300), "pal.act")
    Image.fromarray(photo[0]).save("in.png")
    said = "give a name that ends in .ase, or fewer colours"
    assert_refused(capsys, "quantize in.png -k 257 -o out.png --palette pal.act", said)
