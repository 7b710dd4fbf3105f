"""CMYK, colour profiles, and pictures of more pixels than Pillow opens."""

import struct
from io import BytesIO

import numpy as np
import pytest

from kmgpu.quantize import read_picture
from tests.quantize.commands import Image, assert_refused, cli, saved, shown

ImageCms = pytest.importorskip("PIL.ImageCms")

# the inks of four pixels, 0 to 255: cyan, magenta, none, black
INKS = np.array([[[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)
PLAIN = [[0, 255, 255], [255, 0, 255], [255, 255, 255], [0, 0, 0]]
# L* of these inks in a profile of our own, all of them grey, 0 to 255
LIGHTNESS = {"cyan": 128, "magenta": 200}


def cmyk_profile():
    """An ICC profile (version 2, lut8) of CMYK that prints grey: black is 0, cyan over magenta."""
    table = bytearray()
    for corner in range(16):
        cyan, magenta, yellow, black = (corner >> bit & 1 for bit in (3, 2, 1, 0))
        light = LIGHTNESS["cyan"] if cyan else LIGHTNESS["magenta"] if magenta else 255
        table += bytes([0 if black or yellow else light, 128, 128])
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (at % 4 == 0) for at in range(9)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * straight + table + 3 * straight
    lut += bytes(-len(lut) % 4)
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(lut))
    white = struct.pack(">3i", *(round(65536 * part) for part in (0.9642, 1, 0.8249)))
    head = struct.pack(
        ">I4sI4s4s4s", 144 + len(lut), bytes(4), 0x02100000, b"prtr", b"CMYK", b"Lab "
    )
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + tags + lut


def grey_of(lightness):
    """SRGB of a grey of L*, by the formulas."""
    f = (lightness + 16) / 116
    light = f**3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29)
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


def swapped_profile():
    """A profile of sRGB in which red is green and green is red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert profile.count(b"rXYZ") == profile.count(b"gXYZ") == 1
    return profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def save_inks(name, **options):
    Image.fromarray(INKS.repeat(8, axis=0).repeat(8, axis=1), "CMYK").save(name, **options)


@pytest.mark.parametrize("name", ["in.tiff", "in.jpg"])
def test_cmyk_without_a_profile_says_that_print_looks_different(name, capsys):
    save_inks(name, **({"quality": 100} if name == "in.jpg" else {}))
    assert cli(f"quantize {name} -k 4 -o out.png") == 0
    said = "by a plain formula, as the file has no profile; print may look different.\n"
    assert capsys.readouterr().err == f"kmgpu: warning: {name}: CMYK was converted to RGB {said}"
    np.testing.assert_allclose(shown()[4, 4::8], PLAIN, atol=2)


@pytest.mark.parametrize("name", ["in.tiff", "in.jpg"])
def test_cmyk_is_converted_by_its_profile(name, capsys):
    save_inks(name, icc_profile=cmyk_profile(), **({"quality": 100} if name == "in.jpg" else {}))
    assert cli(f"quantize {name} -k 4 -o out.png") == 0
    said = f"kmgpu: warning: {name}: CMYK was converted to RGB by the profile in the file.\n"
    assert capsys.readouterr().err == said
    greys = [grey_of(100 * light / 255) for light in (*LIGHTNESS.values(), 255, 0)]
    np.testing.assert_allclose(shown()[4, 4::8], np.repeat(np.c_[greys], 3, axis=1), atol=2)
    assert "icc_profile" not in saved().info


def test_cmyk_with_a_damaged_profile(capsys):
    save_inks("in.tiff", icc_profile=cmyk_profile()[:200])
    assert cli("quantize in.tiff -k 4 -o out.png") == 0
    assert "by a plain formula, as its profile cannot be used" in capsys.readouterr().err
    np.testing.assert_array_equal(shown()[4, 4::8], PLAIN)


@pytest.mark.parametrize("alpha", [False, True])
def test_in_lab_a_profile_is_applied_and_left_out(photo, alpha):
    pixels, _ = photo
    seen = np.full((6, 8), 255, np.uint8)
    seen[0] = 0 if alpha else 255
    image = Image.fromarray(np.dstack([pixels, seen]) if alpha else pixels)
    image.save("in.png", icc_profile=swapped_profile())
    picture = read_picture("in.png", srgb=True)
    assert picture.icc_profile is None
    np.testing.assert_allclose(picture.pixels, pixels[..., [1, 0, 2]].astype(int), atol=1)
    np.testing.assert_array_equal(255 if picture.alpha is None else picture.alpha, seen)
    np.testing.assert_array_equal(read_picture("in.png").pixels, pixels)
    assert cli("quantize in.png -k 48 --space lab -o out.png") == 0
    assert "icc_profile" not in saved().info
    expected = picture.pixels[seen > 0]
    np.testing.assert_array_equal(shown()[seen > 0], expected)


def test_in_lab_a_damaged_profile_is_told(photo, capsys):
    Image.fromarray(photo[0]).save("in.png", icc_profile=swapped_profile()[:150])
    assert cli("quantize in.png -k 48 --space lab -o out.png --no-progress") == 0
    said = "its profile cannot be used; its colours are taken as sRGB."
    assert f"kmgpu: warning: in.png: {said}\n" in capsys.readouterr().err
    np.testing.assert_array_equal(shown(), photo[0])


def test_a_picture_of_too_many_pixels_needs_a_flag(photo, capsys, monkeypatch, folder):
    Image.fromarray(photo[0]).save("in.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 23)
    said = "in.png is too large: Image size (48 pixels) exceeds limit of 46 pixels"
    assert_refused(capsys, "quantize in.png -o out.png", said)
    assert_refused(capsys, "quantize in.png -o out.png", "if you trust the file, give --large")
    assert Image.MAX_IMAGE_PIXELS == 23
    assert cli("quantize in.png -k 48 -o out.png --large") == 0
    assert Image.MAX_IMAGE_PIXELS == 23, "the limit of other code is back"
    monkeypatch.undo()
    np.testing.assert_array_equal(shown(folder / "out.png"), photo[0])


def test_the_limit_is_back_after_a_damaged_picture(tmp_path):
    buffer = BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:43])
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ValueError, match=r"cut\.png cannot be read"):
        read_picture("cut.png", large=True)
    assert limit == Image.MAX_IMAGE_PIXELS
