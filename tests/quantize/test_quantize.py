"""``kmgpu quantize`` on real files: colours, orientation, transparency, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import kmgpu
from kmgpu import KMeans, KMedians
from kmgpu.quantize import distinct_colours, quantise, read_picture
from tests.quantize.commands import assert_refused, cli, saved, shown
from tests.support import oracles

Image = pytest.importorskip("PIL.Image")
ImageCms = pytest.importorskip("PIL.ImageCms")

ESTIMATORS = {"l2": KMeans, "l1": KMedians}
ORIENTATION = 0x0112
# how a viewer shows what is stored, by EXIF's orientation
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


def centers(pixels, group, loss):
    """The colour of every group, unrounded."""
    return np.array(
        [oracles.CENTER[loss](pixels[group == j], np.ones((group == j).sum())) for j in range(3)]
    )


def decoded(name):
    with Image.open(name) as image:
        return np.asarray(image)


def test_a_picture_in_the_colours_of_its_groups(photo, loss, capsys):
    pixels, group = photo
    Image.fromarray(pixels).save("in.png")
    assert cli(f"quantize in.png -k 3 --loss {loss} -o out.png --palette pal.png") == 0
    expected = np.rint(centers(pixels, group, loss)).astype(np.uint8)
    image = saved()
    assert image.mode == "P"
    np.testing.assert_array_equal(image.getpalette()[:9], expected.ravel())
    np.testing.assert_array_equal(image, group)
    np.testing.assert_array_equal(shown(), expected[group])
    squares = shown("pal.png", "RGBA")
    np.testing.assert_array_equal(squares[24, 24::48, :3], expected)
    assert (squares[..., 3] == 255).all()

    out, err = capsys.readouterr()
    assert err == ""
    lines = dict(line.rsplit("  ", 1) for line in out.splitlines() if "  " in line)
    lines = {label.strip(): value.strip() for label, value in lines.items()}
    assert lines["pixels"] == "8 × 6"
    assert lines["colours"] == f"{len(np.unique(pixels.reshape(-1, 3), axis=0))}"
    value = oracles.total(pixels.reshape(-1, 3), centers(pixels, group, loss), loss)
    assert float(lines["loss after"]) == pytest.approx(value, rel=1e-5)
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in expected]
    assert [lines[colour] for colour in colours] == ["50.00%", "33.33%", "16.67%"]
    assert out.splitlines()[-2:] == ["picture written to out.png", "palette written to pal.png"]


def test_distinct_colours_by_number_are_the_pixels(photo, loss):
    pixels, _ = photo
    Image.fromarray(pixels).save("in.png")
    colours = distinct_colours(read_picture("in.png"))
    expected, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    np.testing.assert_array_equal(colours.rgb, expected)
    np.testing.assert_array_equal(colours.weight, counts)
    start = pixels.reshape(-1, 3)[[0, 5, 9]]
    all_pixels, distinct = (ESTIMATORS[loss](3, init=start, n_init=1) for _ in range(2))
    all_pixels.fit(pixels.reshape(-1, 3))
    distinct.fit(colours.rgb, sample_weight=colours.weight)
    exact = {"l2": 1e-13, "l1": 0}[loss]
    np.testing.assert_allclose(distinct.cluster_centers_, all_pixels.cluster_centers_, rtol=exact)
    found = quantise(read_picture("in.png"), colours, distinct)
    same = np.rint(all_pixels.cluster_centers_[all_pixels.labels_]).reshape(pixels.shape)
    np.testing.assert_array_equal(found.palette[found.index], same)


def test_a_picture_is_worked_on_in_blocks_of_lines(photo, monkeypatch):
    pixels, _ = photo
    Image.fromarray(np.dstack([pixels, np.arange(48, dtype=np.uint8).reshape(6, 8)])).save("in.png")
    assert cli("quantize in.png -k 3 -o whole.png") == 0
    monkeypatch.setattr("kmgpu.quantize.colours.BLOCK_BYTES", 16 * 8 * 4)
    assert cli("quantize in.png -k 3 -o parts.png") == 0
    assert Path("whole.png").read_bytes() == Path("parts.png").read_bytes()


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["jpg", "png", "tiff"])
def test_the_picture_stays_upright(photo, orientation, kind):
    pixels, _ = photo
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "jpg" else {}
    Image.fromarray(pixels).save(f"in.{kind}", exif=exif, **options)
    assert cli(f"quantize in.{kind} -k 48 -o out.png") == 0
    stored = decoded("in.jpg") if kind == "jpg" else pixels
    np.testing.assert_array_equal(shown(), UPRIGHT[orientation](stored))
    assert ORIENTATION not in saved().getexif()


def test_transparent_pixels_weigh_nothing_and_stay_transparent(photo, loss):
    pixels, group = photo
    pixels = pixels.copy()
    alpha = np.where(group == 1, 0, 255).astype(np.uint8)
    pixels[group == 1] = np.random.default_rng(1).integers(256, size=(16, 3))
    Image.fromarray(np.dstack([pixels, alpha])).save("in.png")
    assert cli(f"quantize in.png -k 2 --loss {loss} -o out.png") == 0
    assert saved().mode == "P"
    found = shown(mode="RGBA")
    np.testing.assert_array_equal(found[..., 3], alpha)
    expected = np.rint(centers(pixels, group, loss)).astype(np.uint8)
    there = group != 1
    np.testing.assert_array_equal(found[there, :3], expected[group[there]])


def test_half_transparent_pixels_weigh_half(loss):
    grey = np.array([[0, 90, 200]], np.uint8)
    alpha = np.array([[255, 127, 255]], np.uint8)
    Image.fromarray(np.dstack([grey, grey, grey, alpha])).save("in.png")
    assert cli(f"quantize in.png -k 1 --loss {loss} -o out.png") == 0
    found = shown(mode="RGBA")
    weight = alpha[0] / 255
    expected = round(oracles.CENTER[loss](grey.T, weight)[0])
    np.testing.assert_array_equal(found[0, :, 0], expected)
    np.testing.assert_array_equal(found[..., 3], alpha)
    assert saved().mode == "P"


def test_many_degrees_of_transparency_are_kept():
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(40, 40, 4)).astype(np.uint8)
    Image.fromarray(pixels).save("in.png")
    assert cli("quantize in.png -k 8 -o out.png") == 0
    assert saved().mode == "RGBA"
    found = shown(mode="RGBA")
    np.testing.assert_array_equal(found[..., 3], pixels[..., 3])
    assert len(np.unique(found[found[..., 3] > 0][:, :3], axis=0)) == 8


def test_an_alpha_channel_without_transparency_is_left_out(photo):
    pixels, _ = photo
    Image.fromarray(np.dstack([pixels, np.full((6, 8), 255, np.uint8)])).save("in.png")
    assert cli("quantize in.png -k 3 -o out.png") == 0
    assert "transparency" not in saved().info


GREY = np.array([[0, 10, 200, 210], [0, 10, 200, 210]], np.uint8)
CLEAR = np.array([[255, 255, 255, 0]] * 2, np.uint8)


def save_grey_and_alpha():
    Image.fromarray(np.dstack([GREY, CLEAR])).save("in.tiff")
    return "in.tiff"


def save_palette_picture():
    image = Image.fromarray(GREY).convert("P")
    image.save("in.png", transparency=210)
    return "in.png"


def save_keyed_grey():
    Image.fromarray(GREY).save("in.png", transparency=210)
    return "in.png"


@pytest.mark.parametrize("save", [save_grey_and_alpha, save_palette_picture, save_keyed_grey])
def test_every_way_to_say_transparent(save):
    assert cli(f"quantize {save()} -k 2 -o out.png") == 0
    found = shown(mode="RGBA")
    np.testing.assert_array_equal(found[..., 3], CLEAR)
    assert found[0, :3].tolist() == [[5, 5, 5, 255]] * 2 + [[200, 200, 200, 255]]


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (GREY, "png"),
        (GREY.astype(np.uint16) * 256 + 255, "png"),
        (GREY.astype(np.uint16) * 256 + 255, "tiff"),
    ],
    ids=["8 bits", "16 bits", "16 bits, TIFF"],
)
def test_greyscale_of_8_and_16_bits(pixels, kind):
    Image.fromarray(pixels).save(f"in.{kind}")
    assert cli(f"quantize in.{kind} -k 2 -o out.png") == 0
    np.testing.assert_array_equal(shown(), np.repeat([[[5], [5], [205], [205]]] * 2, 3, axis=2))


def test_black_and_white():
    Image.fromarray(GREY > 100).save("in.png")
    assert cli("quantize in.png -k 2 -o out.png") == 0
    np.testing.assert_array_equal(shown()[..., 0], np.where(GREY > 100, 255, 0))


def test_a_phones_second_picture_is_not_a_frame(photo):
    first, other = Image.fromarray(photo[0]), Image.fromarray(255 - photo[0])
    first.save("in.jpg", "MPO", save_all=True, append_images=[other], quality=100, subsampling=0)
    with Image.open("in.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2), "the test says nothing"
    assert cli("quantize in.jpg -k 48 -o out.png") == 0
    np.testing.assert_array_equal(shown(), decoded("in.jpg"))


def test_the_profile_of_colours_is_kept_and_one_of_grey_is_not(photo):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photo[0]).save("in.png", icc_profile=profile)
    assert cli("quantize in.png -k 3 -o out.png --palette pal.png") == 0
    assert saved().info["icc_profile"] == saved("pal.png").info["icc_profile"] == profile
    grey = profile[:16] + b"GRAY" + profile[20:]
    Image.fromarray(GREY).save("in.png", icc_profile=grey)
    assert cli("quantize in.png -k 2 -o out.png") == 0
    assert "icc_profile" not in saved().info


def test_more_colours_than_a_palette_holds():
    pixels = np.random.default_rng(0).integers(256, size=(30, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("in.png")
    assert cli("quantize in.png -k 300 -o out.png --palette pal.png") == 0
    assert saved().mode == "RGB"
    assert len(np.unique(shown().reshape(-1, 3), axis=0)) <= 300
    squares = shown("pal.png", "RGBA")[24::48, 24::48]
    assert squares.shape == (19, 16, 4)
    assert (squares[..., 3] > 0).sum() == 300


def test_fewer_colours_than_asked_for_are_all_kept(capsys):
    Image.fromarray(GREY).save("in.png")
    assert cli("quantize in.png -o out.png") == 0
    err = capsys.readouterr().err
    assert err == "kmgpu: warning: in.png has 4 colours, fewer than -k 16; all are kept.\n"
    np.testing.assert_array_equal(shown()[..., 0], GREY)


def test_the_same_seed_gives_the_same_file(photo):
    Image.fromarray(photo[0]).save("in.png")
    for name in ("one.png", "two.png"):
        assert cli(f"quantize in.png -k 5 -o {name}") == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


def refused_files():
    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    Image.fromarray(np.zeros((4, 4), np.float32)).save("float.tiff")
    Image.fromarray(np.zeros((4, 4), np.int32)).save("int.tiff")
    other = Image.fromarray(np.full((4, 4, 3), 99, np.uint8))
    for name in ("moving.gif", "moving.png", "moving.webp", "pages.tiff"):
        image.save(name, save_all=True, append_images=[other])
    image.save("whole.png")
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:-30])
    Path("text.jpg").write_text("no picture")
    Path("folder.png").mkdir()
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save("clear.png")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("quantize float.tiff -o o.png", "float.tiff has colours of mode F"),
        ("quantize int.tiff -o o.png", "int.tiff has colours of mode I,"),
        ("quantize moving.gif -o o.png", "moving.gif holds 2 pictures"),
        ("quantize moving.png -o o.png", "moving.png holds 2 pictures"),
        ("quantize moving.webp -o o.png", "moving.webp holds 2 pictures"),
        ("quantize pages.tiff -o o.png", "pages.tiff holds 2 pictures"),
        ("quantize cut.png -o o.png", "cut.png cannot be read as a picture"),
        ("quantize text.jpg -o o.png", "text.jpg cannot be read as a picture"),
        ("quantize folder.png -o o.png", "folder.png cannot be read as a picture"),
        ("quantize absent.jpg -o o.png", "absent.jpg: there is no such file"),
        ("quantize clear.png -o o.png", "clear.png: every pixel of the picture is transparent"),
        ("quantize whole.png", "required: -o/--out"),
        ("quantize whole.png -o o.jpg", "o.jpg cannot be written: its name must end in .png"),
        ("quantize whole.png -o whole.png", "whole.png is an input and would be overwritten"),
        ("quantize whole.png -o o.png --palette whole.png", "whole.png is an input"),
        ("quantize whole.png -o o.png --palette o.png", "o.png is both --out and --palette"),
        ("quantize whole.png -o nowhere/o.png", "nowhere/o.png cannot be written"),
        ("quantize whole.png -k 0 -o o.png", "n_clusters=0 must be at least 1"),
        ("quantize whole.png --loss l3 -o o.png", "--loss: invalid choice"),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, command, said):
    refused_files()
    assert_refused(capsys, command, said)


def test_without_pillow_the_extra_is_named(capsys, monkeypatch):
    Image.fromarray(GREY).save("in.png")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert_refused(capsys, "quantize in.png -o out.png", "pip install 'kmgpu[plot]'")


def test_a_process_of_its_own_without_matplotlib(photo):
    Image.fromarray(photo[0]).save("in.png")
    code = (
        "import sys; sys.modules['matplotlib'] = None; from kmgpu.cli import main; sys.exit(main())"
    )
    command = "quantize in.png -k 3 -o out.png --device cpu"
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        env={"PYTHONPATH": str(Path(kmgpu.__file__).parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("picture written to out.png\n")
    assert saved().mode == "P"


def test_an_icon_takes_the_memory_of_an_icon(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(32, 32, 4)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "icon.png")
    picture = read_picture(tmp_path / "icon.png")
    tracemalloc.start()
    try:
        colours = distinct_colours(picture)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        model = KMeans(16, random_state=0).fit(colours.rgb, sample_weight=colours.weight)
        tracemalloc.reset_peak()
        quantise(picture, colours, model)
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()
