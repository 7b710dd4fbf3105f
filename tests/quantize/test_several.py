"""Several pictures in one command: each has its own files, and ``{}`` stands for its name."""

from pathlib import Path

import numpy as np
import pytest

from tests.quantize.commands import Image, assert_refused, cli, files


@pytest.fixture
def pictures(folder):
    """a.png, b.jpg and in/a.tiff, of other colours each."""
    Path("in").mkdir()
    Path("out").mkdir()
    for seed, name in enumerate(("a.png", "b.jpg", "in/a.tiff")):
        pixels = np.random.default_rng(seed).integers(256, size=(9, 7, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(name)
    return folder


def test_each_picture_has_the_files_of_a_command_of_its_own(pictures, capsys):
    assert cli("quantize a.png b.jpg -k 3 -o out/{}-3.png --palette out/{}.gpl") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *("a-3.png", "a.gpl"),
        *("b-3.png", "b.gpl"),
    ]
    for name, picture in (("a", "a.png"), ("b", "b.jpg")):
        assert cli(f"quantize {picture} -k 3 -o {name}-3.png --palette {name}.gpl") == 0
        assert f"picture written to out/{name}-3.png\npalette written to out/{name}.gpl\n" in out
        for file in (f"{name}-3.png", f"{name}.gpl"):
            assert Path(file).read_bytes() == Path("out", file).read_bytes(), file


def test_one_picture_may_be_named_so_too(pictures):
    assert cli("quantize in/a.tiff -k 2 -o out/{}.png --palette {}.css") == 0
    assert cli("quantize in/a.tiff in/a.tiff -k 2 -o out/again.png") == 0, "twice the same"
    assert Path("out/a.png").read_bytes() == Path("out/again.png").read_bytes()
    assert "a.css" in files()


def test_a_name_with_braces_is_not_named_again(pictures):
    Path("a.png").rename("{}.png")
    assert cli("quantize {}.png -k 2 -o out/{}{}.png") == 0
    assert Path("out/{}{}.png").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-o out/o.png", "--out out/o.png is one file for 2 pictures; write {} where the name of"),
        ("-o out/o.png", "as in --out 'out/{}-o.png'"),
        ("-o out", "as in --out 'out/{}.png'"),
        ("-o {}.png --palette p.ase", "--palette p.ase is one file for 2 pictures"),
        ("-o {}.png", "a.png is an input and would be overwritten"),
        ("-o out/{}.png --palette out/{}.png", "out/a.png is both --out of a.png and --palette of"),
        ("-o {}/o.png", "there is no folder"),
        ("-o out/{}.gif", "out/a.gif cannot be written: its name must end in .png"),
        ("-o out/{}.png --palette {}.pal", "must end in .png, .json"),
        ("-o out/{}.png --palette {}.act -k 300", ".act holds 256 colours"),
    ],
)
def test_what_several_pictures_cannot_share_is_one_line(pictures, capsys, options, said):
    assert_refused(capsys, f"quantize a.png b.jpg {options}", said)
    assert not list(Path("out").iterdir())


def test_two_pictures_of_one_name(pictures, capsys):
    said = "out/a.png is both --out of a.png and --out of in/a.tiff; give them two names."
    assert_refused(capsys, "quantize a.png in/a.tiff -o out/{}.png", said)


def test_a_damaged_picture_is_named_and_the_others_are_written(pictures, capsys):
    Path("b.jpg").write_text("no picture")
    Image.new("RGBA", (2, 2)).save("clear.png")
    Path("in/a.tiff").rename("c.tiff")
    assert cli("quantize a.png b.jpg clear.png c.tiff absent.png -k 2 -o out/{}.png") == 2
    out, err = capsys.readouterr()
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "c.png"]
    assert "picture written to out/a.png\n" in out
    assert out.endswith("picture written to out/c.png\n")
    damaged, clear, absent, last = err.splitlines()
    assert damaged.startswith("kmgpu: warning: b.jpg cannot be read as a picture: ")
    assert clear.startswith("kmgpu: warning: clear.png: every pixel")
    assert absent == "kmgpu: warning: absent.png: there is no such file."
    assert last == "kmgpu: error: 3 of 5 pictures could not be read; the others are written."


def test_what_is_wrong_for_all_is_said_once(pictures, capsys):
    assert_refused(capsys, "quantize a.png b.jpg -k 0 -o out/{}.png", "n_clusters=0 must be at")
