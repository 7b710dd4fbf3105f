"""Figures: the axes they are drawn on, numbers with commas, the files they are written to."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from kmgpu import KMeans, plotting, sweep
from kmgpu.plotting.figures import number, thousands
from kmgpu.plotting.record import record_steps
from tests.support import oracles

Image = pytest.importorskip("PIL.Image")
Agg = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1110.7712, "1,110.77"),
        (999999.4, "999,999"),
        (1234567.4, "1,234,567"),
        (-98765432, "-98,765,432"),
        (0.000012345678, "1.23457e-05"),
        (3, "3"),
        (1e20, "1e+20"),
    ],
)
def test_numbers_have_commas_and_lose_no_whole_digit(value, text):
    assert number(value) == text


def ticks(axis):
    low, high = sorted(axis.get_view_interval())
    labels = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    return [one.label1.get_text().replace("\N{MINUS SIGN}", "-") for one in labels]


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        ((0, 30000), ["0", "10,000", "20,000", "30,000"]),
        ((-2000, 1000), ["-2,000", "-1,000", "0", "1,000"]),
        ((0, 0.3), ["0.0", "0.1", "0.2", "0.3"]),
        ((9999.5, 10001.0), ["9,999.5", "10,000.0", "10,000.5", "10,001.0"]),
    ],
)
def test_ticks_have_commas(limits, shown):
    figure = plotting.new_figure(6, 3)
    axes = figure.subplots()
    axes.set_xlim(*limits)
    axes.set_xticks(np.linspace(*limits, 4))
    axes.ticklabel_format(useOffset=False)
    thousands(axes.xaxis)
    axes.xaxis.get_major_formatter().set_useOffset(False)
    Agg(figure).draw()
    assert ticks(axes.xaxis) == shown


def pictures():
    """Every function that draws, called once on data of thousands."""
    x = oracles.blobs(60, 2, 3, spread=1.5) * 5000
    fit = KMeans(3, random_state=0).fit(x)
    return {
        "plot_clusters": lambda **how: plotting.plot_clusters(fit, x, **how),
        "plot_elbow": lambda **how: plotting.plot_elbow(sweep(x[:, :1] / 400, [1, 2, 3]), **how),
        "plot_history": lambda **how: plotting.plot_history(fit, **how),
        "plot_loss_curve": lambda **how: plotting.plot_loss_curve(x[:, 0], **how),
        "plot_mean_vs_median": lambda **how: plotting.plot_mean_vs_median(x[:, 0], **how),
        "plot_steps": lambda **how: plotting.plot_steps(x, 3, **how),
    }


def test_a_picture_of_one_axes_is_drawn_on_axes_that_are_given():
    drawn = {name for name in plotting.__all__ if name.startswith("plot_")}
    assert drawn == set(pictures())
    for name, draw in pictures().items():
        figure = draw()
        takes_axes = "ax" in inspect.signature(getattr(plotting, name)).parameters
        assert takes_axes == (len(figure.axes) == 1), name
        if takes_axes:
            mine = plotting.new_figure(6, 3)
            left, right = mine.subplots(1, 2)
            assert draw(ax=right) is mine
            assert right.has_data()
            assert not left.has_data()


@pytest.mark.parametrize(
    "name", ["plot_clusters", "plot_elbow", "plot_loss_curve", "plot_mean_vs_median", "plot_steps"]
)
def test_axes_of_thousands_have_commas(name):
    figure = pictures()[name]()
    Agg(figure).draw()
    axes = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    labels = [label.removeprefix("-") for axis in axes for label in ticks(axis)]
    assert any("," in label for label in labels)
    whole = [label.split(".")[0] for label in labels]
    assert not [label for label in whole if label.isdigit() and len(label) > 3]


def test_the_losses_of_a_fit_have_commas():
    x = oracles.blobs(60, 2, 3, spread=1.5) * 20
    figure = plotting.plot_history(KMeans(3, random_state=0).fit(x))
    Agg(figure).draw()
    labels = ticks(figure.axes[0].yaxis)
    assert labels
    assert all("," in label for label in labels)


def test_the_loss_of_a_record_has_commas():
    x = oracles.blobs(60, 2, 3, spread=1.5) * 100
    record = record_steps(x, 3, loss="l2", init="random", random_state=1, max_iter=9, most=9)
    movie = plotting.animate(x, 3, init="random", random_state=1, max_iter=9)
    assert movie.captions[-1].value == f"L(µ) = {record.history[-1].loss:,.0f}"
    assert "," in movie.captions[-1].value


def test_the_ending_names_the_format_and_a_png_is_fine(tmp_path):
    figure = plotting.new_figure(3, 2)
    figure.subplots().plot([1, 2])
    for name in ("a.png", "a", "a.svg", "a.PDF"):
        plotting.save_figure(figure, tmp_path / name)
    for name in ("a.png", "a"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
            assert picture.size == (720, 480)
    assert "<svg" in Path(tmp_path / "a.svg").read_text(encoding="utf-8")
    assert Path(tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")
