"""Pictures and the demo: what is drawn, checked through matplotlib's own objects."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.cli import main
from kmgpu.demo import demo_figure, fit_colours, load_photo
from kmgpu.plotting import new_figure, plot_history
from kmgpu.plotting.curves import draw_history
from kmgpu.quantize import colours_of

PIL = pytest.importorskip("PIL.Image")
FigureCanvasAgg = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg


@pytest.fixture
def photo():
    """Three colours: 1 pixel of red, 5 of blue, 6 of near-greens around (0, 100, 0)."""
    colours = [[255, 0, 0]] + [[0, 0, 255]] * 5 + [[0, 98, 0], [0, 102, 0]] * 3
    return np.array(colours, np.uint8).reshape(3, 4, 3)


@pytest.fixture
def fits(photo):
    pixels = photo.reshape(-1, 3)
    init = pixels[[0, 1, 6]]
    return [cls(3, init=init, n_init=1).fit(pixels) for cls in (KMeans, KMedians)]


def drawn_texts(axes):
    """The texts of some axes that reach the paper."""
    yield from (axes.title, *axes.texts)
    if not axes.axison:
        return
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        yield from (axis.label, axis.get_offset_text())
        yield from (t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high)
    yield from axes.get_legend().get_texts()


def assert_nothing_overlaps(figure):
    """No two texts of a drawn figure cover each other, and none leaves it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for axes in figure.axes for text in drawn_texts(axes) if text.get_text()]
    assert len(texts) > 20
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    for at, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        assert figure.bbox.contains(box.x0, box.y0), text
        assert figure.bbox.contains(box.x1, box.y1), text
        for other in range(at):
            assert not box.overlaps(boxes[other]), (text, texts[other])


def test_colours_of_centres_beyond_a_pixels_range_are_clipped(fits):
    fits[0].cluster_centers_[0] = [300.0, -4.0, 0.6]
    np.testing.assert_array_equal(colours_of(fits[0])[0], [255, 0, 1])


def test_every_half_step_has_its_marker(fits):
    history = fits[1].history_
    axes = new_figure(4, 3).subplots()
    draw_history(axes, history, "units")
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), [entry.loss for entry in history])
    assigned, refitted = (part.get_offsets() for part in axes.collections)
    for points, kind in ((assigned, "assign"), (refitted, "refit")):
        expected = [(i + 1, e.loss) for i, e in enumerate(history) if e.kind == kind]
        np.testing.assert_array_equal(points, expected)
    shapes = [part.get_paths()[0].vertices for part in axes.collections]
    assert shapes[0].shape != shapes[1].shape
    assert axes.get_ylabel() == "loss (units)"


def test_the_picture_of_the_demo(photo, fits):
    figure = demo_figure(photo, fits)
    assert_nothing_overlaps(figure)
    by_title = {axes.get_title(): axes for axes in figure.axes if axes.images}
    quantised = photo.copy()
    quantised[quantised[..., 1] > 0] = [0, 100, 0]
    for name in ("k-means", "k-medians"):
        shown = by_title[f"3 {name} colours"].images[0].get_array()
        np.testing.assert_array_equal(shown, quantised)
    palettes = [axes for axes in figure.axes if axes.images and not axes.get_title()]
    for axes in palettes:
        largest_first = [[[0, 100, 0], [0, 0, 255], [255, 0, 0]]]
        np.testing.assert_array_equal(axes.images[0].get_array(), largest_first)
    images = [axes for axes in figure.axes if axes.images]
    assert len(images) == 5
    assert all(axes.get_aspect() == 1.0 for axes in images)
    titles = [axes.get_title() for axes in figure.axes]
    assert "3 k-means colours" in titles
    assert "3 k-medians colours" in titles
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels == ["loss (squared units of the data)", "loss (units of the data)"]


def test_the_picture_of_the_demo_is_a_success(small):
    """The flower keeps its colours: few are far from those of the photograph."""
    fits, _ = fit_colours(small, "cpu", False)
    for fit in fits:
        gaps = colours_of(fit)[fit.labels_].astype(int) - small.reshape(-1, 3)
        assert np.sqrt((gaps**2).mean()) < 7.5
        assert (np.abs(gaps).max(axis=1) > 40).mean() < 0.01


def test_pictures_touch_no_global_state(photo, fits):
    sys.modules.pop("matplotlib.pyplot", None)
    demo_figure(photo, fits)
    assert "matplotlib.pyplot" not in sys.modules


def test_a_notebook_shows_a_figure():
    assert new_figure(1, 1)._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def small(monkeypatch):
    """The demo on every tenth row and column of its photograph."""
    thumbnail = np.ascontiguousarray(load_photo()[::10, ::10])
    monkeypatch.setattr("kmgpu.demo.load_photo", lambda: thumbnail)
    return thumbnail


def test_demo_writes_the_picture_and_prints_the_table(tmp_path, monkeypatch, capsys, small):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    header, rows, *_ = out.splitlines()
    assert header.split() == ["k-means", "k-medians"]
    assert rows.split() == ["rows", *[f"{small.shape[0] * small.shape[1]:,}"] * 2]
    assert [path.name for path in tmp_path.iterdir()] == ["kmgpu-demo.png"]
    with PIL.open("kmgpu-demo.png") as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1200
        assert np.asarray(picture.convert("L")).std() > 10


def test_demo_writes_where_it_is_told(tmp_path, small):
    assert main(["demo", "--out", str(tmp_path / "p.png"), "--device", "cpu"]) == 0
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_demo_without_pillow_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert main(["demo"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("kmgpu: error: reading and writing pictures needs Pillow")
    assert "pip install 'kmgpu[plot]'" in err


def test_demo_without_matplotlib_prints_the_table_alone(tmp_path, monkeypatch, capsys, small):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert out.split()[:2] == ["k-means", "k-medians"]
    assert "no picture was drawn: " in out
    assert "pip install 'kmgpu[plot]'" in out
    assert list(tmp_path.iterdir()) == []


def test_a_picture_asked_for_by_name_needs_matplotlib(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "--out", str(tmp_path / "p.png")]) == 2
    assert "pip install 'kmgpu[plot]'" in capsys.readouterr().err


def test_drawing_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"needs matplotlib.*pip install 'kmgpu\[plot\]'"):
        new_figure(1, 1)


def test_a_history_is_drawn_on_axes_that_are_given(fits):
    figure = new_figure(6, 3)
    left, right = figure.subplots(1, 2)
    assert plot_history(fits[0], ax=right) is figure
    assert right.lines
    assert not left.lines
