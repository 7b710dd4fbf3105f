"""The animation as a file: .html, .gif, .mp4 and .png; the command that writes them."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans

import kmgpu
from kmgpu.cli import main
from kmgpu.plotting import animate
from kmgpu.plotting.examples import EXAMPLES, load_example
from kmgpu.plotting.record import record_steps
from tests.support import oracles

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")
REFERENCES = Path(__file__).parent / "reference_images"


STEPS = {"loss": "l1", "init": "random", "random_state": 3}


def blobs():
    return oracles.blobs(60, 2, 3, spread=1.5)


@pytest.fixture(scope="module")
def movie():
    return animate(blobs(), 3, **STEPS)


def test_a_page_of_thirty_steps_is_small(tmp_path):
    movie = animate(oracles.blobs(5000, 2, 20, spread=2), 20, init="random", max_frames=5)
    movie.save(tmp_path / "x.html")
    sizes = [
        len(line) for line in (tmp_path / "x.html").read_text().splitlines() if ";base64" in line
    ]
    assert len(sizes) == 6  # one more is for browsers without scripts
    assert 30 * max(sizes) + 50_000 < 5_000_000
    assert (tmp_path / "x.html").stat().st_size < sum(sizes) + 50_000


@pytest.mark.slow
def test_a_gif_has_every_frame(movie, tmp_path):
    movie.save(tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.n_frames == len(movie.captions)
        assert gif.info["duration"] == 1000
        frames = []
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("RGB")))
        assert gif.info["duration"] > 1000
    assert all((one != other).any() for one, other in pairwise(frames))


@pytest.mark.slow
def test_titles_are_whole_after_a_page_without_them(tmp_path):
    movie = animate(load_example("blobs"), 5, **STEPS, max_frames=4)
    movie.to_html()
    movie.save(tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            frame = np.asarray(gif.convert("RGB"))
            for edge in (frame[0], frame[-1], frame[:, 0], frame[:, -1]):
                assert (edge > 250).all()


def test_an_mp4_needs_ffmpeg(tmp_path, monkeypatch):
    from matplotlib.animation import FFMpegWriter

    movie = animate(oracles.blobs(60, 2, 3), 3, max_frames=4)
    if FFMpegWriter.isAvailable():
        movie.save(tmp_path / "x.mp4")
        assert b"ftyp" in (tmp_path / "x.mp4").read_bytes()[:16]
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda _: False))
    with pytest.raises(RuntimeError, match=r"y\.mp4: writing \.mp4 needs ffmpeg; install it"):
        movie.save(tmp_path / "y.mp4")
    assert not (tmp_path / "y.mp4").exists()


def test_a_writer_of_matplotlibs_own_is_taken(tmp_path):
    movie = animate(oracles.blobs(60, 2, 3), 3, max_frames=4)
    movie.save(tmp_path / "x.gif", writer="pillow", dpi=30)
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.size == (252, 156)


def test_other_formats_are_refused_before_anything_is_drawn(movie, tmp_path, monkeypatch):
    monkeypatch.setattr(movie, "draw", lambda *_: pytest.fail("something was drawn"))
    with pytest.raises(ValueError, match=r"must end in one of \.html, \.gif, \.mp4"):
        movie.save(tmp_path / "x.avi")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        movie.save(tmp_path / "nowhere" / "x.gif")


@pytest.mark.parametrize("name", ["init", "assign", "refit"])
def test_frames_look_as_they_did(name, tmp_path):
    """Blurred and small, so that fonts and versions of matplotlib matter little."""
    movie = animate(blobs(), 3, **STEPS)
    number = {"init": 1, "assign": 4, "refit": 3}[name]
    record = record_steps(blobs(), 3, **STEPS, max_iter=300, most=57)
    assert record.frames[number].kind == name
    movie.draw(number, False)
    movie.figure.savefig(tmp_path / "x.png", dpi=40)
    with Image.open(tmp_path / "x.png") as found, Image.open(REFERENCES / f"{name}.png") as kept:
        small = [np.asarray(one.convert("RGB").resize((60, 34)), float) for one in (found, kept)]
    difference = np.abs(small[0] - small[1])
    assert difference.mean() < 6, f"compare with {REFERENCES / name}.png"
    assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.9


def test_examples_are_always_the_same():
    for name in EXAMPLES:
        x = load_example(name)
        assert x.ndim == 2
        np.testing.assert_array_equal(x, load_example(name))
    assert load_example("line").shape[1] == 1
    with pytest.raises(ValueError, match="example='square' is not known; use one of 'blobs'"):
        load_example("square")


@pytest.mark.slow
def test_the_command_writes_what_the_name_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt("x.csv", oracles.blobs(40, 2, 2), delimiter=",")
    np.save("init.npy", np.array([[0.0, 0], [1, 1]]))
    for command in (
        "x.csv -k 2 --init init.npy --max-frames 4 -o a.html",
        "--example line -k 3 --loss l1 --seed 4 --max-frames 4 -o a.gif",
        "--example iris -k 3 --max-iter 1 -o a.png",
    ):
        assert main(["animate", *command.split()]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "animation written to a.html",
        "animation written to a.gif",
        "picture written to a.png",
    ]
    assert Path("a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for kind in ("gif", "png"):
        with Image.open(f"a.{kind}") as picture:
            assert picture.format == kind.upper()


def test_options_reach_the_record(tmp_path, monkeypatch):
    told = {}
    monkeypatch.chdir(tmp_path)

    def record(x, k, **how):
        told.update(how, k=k, x=x)
        msg = "that is enough"
        raise ValueError(msg)

    monkeypatch.setattr("kmgpu.plotting.steps.record_steps", record)
    command = "animate --example moons -k 4 --loss l1 --init random --seed 5 --max-iter 6"
    assert main([*command.split(), "--max-frames", "20", "-o", "a.gif"]) == 2
    np.testing.assert_array_equal(told.pop("x"), load_example("moons"))
    assert told == {
        "k": 4,
        "loss": "l1",
        "init": "random",
        "random_state": 5,
        "max_iter": 6,
        "feature_names": None,
        "most": 17,
    }


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_an_example_moves_far_and_ends_well(tmp_path, monkeypatch, k):
    told = []

    def record(x, k, **how):
        told.append(record_steps(x, k, **how))
        raise ValueError(tmp_path)

    monkeypatch.setattr("kmgpu.plotting.steps.record_steps", record)
    assert main(["animate", "--example", "blobs", "-k", str(k), "-o", str(tmp_path / "a.gif")]) == 2
    x = load_example("blobs")
    (moves,) = told
    assert len(moves.history) >= 15
    centers = [frame.centers for frame in moves.frames if frame.centers is not None]
    ways = np.linalg.norm(centers[-1] - centers[0], axis=1)
    assert ways.mean() > 0.75 * np.sqrt(x.var(axis=0).mean())
    best = KMeans(k, n_init=10, random_state=1).fit(x).inertia_
    assert moves.history[-1].loss < 1.01 * best


def test_data_of_ones_own_start_as_a_fit_does(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("kmgpu.plotting.plot_steps", lambda *_, init, **__: told.append(init))
    monkeypatch.setattr("kmgpu.plotting.save_figure", lambda *_: None)
    np.save(tmp_path / "x.npy", blobs())
    out = ["-k", "2", "-o", str(tmp_path / "a.png")]
    assert main(["animate", str(tmp_path / "x.npy"), *out]) == 0
    assert main(["animate", "--example", "blobs", *out]) == 0
    assert main(["animate", "--example", "blobs", "--init", "k-means++", *out]) == 0
    assert told == ["k-means++", "random", "k-means++"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("-k 2 -o a.html", "give either DATA or --example (blobs,"),
        ("x.npy --example blobs -k 2 -o a.html", "give either DATA or --example"),
        ("--example spiral -k 2 -o a.html", "--example: invalid choice: 'spiral'"),
        ("--example blobs -o a.html", "required: -k/--n-clusters"),
        ("--example blobs -k 2", "required: -o/--out"),
        ("--example blobs -k 2 -o a.avi", "must end in one of .html, .gif, .mp4, .png, .svg, .pdf"),
        ("--example blobs -k 2 -o no/a.html", "no/a.html cannot be written: there is no folder"),
        ("x.npy -k 2 -o x.npy", "must end in one of"),
        ("--example blobs -k 2 --init best -o a.html", "--init best is neither one of"),
        ("--example blobs -k 2 --max-frames 3 -o a.html", "max_frames=3 must be at least 4"),
        ("--example blobs -k 401 -o a.png", "n_samples=400 should be >= n_clusters=401"),
        ("--example blobs -k 2 --seed -1 -o a.png", "random_state=-1 must be at least 0"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, command, said):
    monkeypatch.chdir(tmp_path)
    assert main(["animate", *command.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith("kmgpu: error: ")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_without_matplotlib_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(f"animate --example blobs -k 2 -o {tmp_path / 'a.html'}".split()) == 2
    assert "pip install 'kmgpu[plot]'" in capsys.readouterr().err
    assert kmgpu.__version__
