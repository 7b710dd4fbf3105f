"""The grid of half-steps: its cells, its texts, its legend; centres that would cover each other."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kmgpu import KMeans
from kmgpu.plotting import animate, plot_clusters, plot_steps
from kmgpu.plotting.centers import LARGE, SMALL, places_apart
from kmgpu.plotting.record import record_steps
from tests.support import oracles

Agg = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg

HOW = {"init": "random", "random_state": 1, "max_iter": 300, "most": 57}
VIEW = (-10.0, 10.0, -10.0, 10.0)
CENTER, CHANGED, BEFORE, HALVES, TRUE = (
    "centre and its number",
    "has changed cluster",
    "centre before the step",
    "halves its cluster",
    "true place of a centre",
)


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_the_grid_has_the_first_steps_the_last_and_the_loss(loss):
    x = oracles.blobs(200, 2, 3, spread=1.5, seed=3)
    figure = plot_steps(x, 3, loss=loss, init="random", m=3, random_state=1)
    record = record_steps(x, 3, loss=loss, **(HOW | {"most": 3}))
    titles = [axes.get_title() for axes in figure.axes]
    for frame, title in zip(record.frames[1:], titles, strict=False):
        said = [*frame.title.split(": "), *frame.note.replace(" (", "\n(").split("\n")]
        assert title == "\n".join(said)
    assert len(titles) == len(record.frames)
    assert titles[-1].startswith("The loss: L(µ) = ")
    said = float(titles[-1].split()[4].replace(",", ""))
    assert said == pytest.approx(record.history[-1].loss, rel=1e-5)
    assert figure.legends[0].get_title().get_text() == record.caption
    assert record.caption == f"{record.name} on 200 points."


def test_texts_of_the_grid_do_not_overlap(loss):
    x = oracles.blobs(900, 5, 6, spread=3)
    figure = plot_steps(x, 6, loss=loss, init="random", m=4)
    assert "half-steps left out" in figure.axes[5].get_title()
    canvas = Agg(figure)
    canvas.draw()
    (legend,) = figure.legends
    texts = [axes.title for axes in figure.axes]
    texts += [axes.xaxis.label for axes in figure.axes]
    texts += [figure._suptitle, legend.get_title(), *legend.get_texts()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    for at, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0, texts[at]
        assert box.x1 <= figure.bbox.x1, texts[at]
        assert figure.bbox.y0 <= box.y0, texts[at]
        assert not any(box.overlaps(other) for other in boxes[:at]), texts[at]


@pytest.mark.parametrize(("m", "n_panels"), [(1, 4), (2, 5), (3, 6), (4, 7), (5, 8)])
def test_no_cell_of_the_grid_is_empty(m, n_panels):
    figure = plot_steps(oracles.blobs(200, 2, 3, spread=2), 2, init="random", m=m)
    assert len(figure.axes) == n_panels
    taken = [cell for axes in figure.axes for cell in _cells(axes)]
    assert len(set(taken)) == len(taken)
    n_rows, n_columns = figure.axes[0].get_subplotspec().get_gridspec().get_geometry()
    assert len(taken) == n_rows * n_columns


def _cells(axes):
    cell = axes.get_subplotspec()
    return [(row, column) for row in cell.rowspan for column in cell.colspan]


def test_two_clusters_that_part_at_once_leave_no_cell_empty():
    figure = plot_steps(np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]]), 2)
    assert len(figure.axes) == 5
    assert len(_cells(figure.axes[-1])) == 2


def test_the_legend_explains_the_marks_that_are_there(loss):
    middles = np.repeat([[-8, -8], [8, 8], [8, -8]], 60, axis=0)
    x = np.random.default_rng(0).normal(size=(180, 2)) + middles
    lines = [HALVES] if loss == "l1" else []
    apart = np.array([[-8.0, -8], [8, -1], [8, -16]])
    assert legend_of(plot_steps(x, init=apart, loss=loss)) == [CENTER, CHANGED, BEFORE, *lines]
    beside = np.array([[-8.0, -8], [8, 9], [8, 9.1]])
    assert legend_of(plot_steps(x, init=beside, loss=loss))[-1] == TRUE
    still = np.array([[0.0, 0], [9, 9]])
    assert legend_of(plot_steps(still, init=still, loss=loss)) == [CENTER, *lines]
    in_space = oracles.blobs(200, 4, 3, spread=1.5)
    assert HALVES not in legend_of(plot_steps(in_space, 3, init="random", loss=loss))


def test_an_animation_has_the_legend_on_every_frame_within_its_part():
    movie = animate(oracles.blobs(200, 2, 3, spread=1.5), 3, loss="l1", init="random")
    left, right = movie.figure.subfigs
    canvas = Agg(movie.figure)
    for at in range(len(movie.captions)):
        movie.draw(at, False)
        assert set(legend_of(left)) >= {CENTER, CHANGED, BEFORE, HALVES}
    canvas.draw()
    box = left.legends[0].get_window_extent(canvas.get_renderer())
    assert left.bbox.x0 <= box.x0
    assert box.x1 <= left.bbox.x1
    assert not right.legends


@pytest.mark.parametrize("scale", [LARGE, SMALL])
def test_centres_that_are_far_apart_stand_where_they_are(scale):
    at = np.array([[-8.0, 1], [0, 1], [7, -5]]) / 3
    np.testing.assert_array_equal(places_apart(3 * at, VIEW, scale), 3 * at)
    moved = places_apart(np.array([[0.0, 0], [0.1, 0], [7, -5]]), VIEW, scale)
    np.testing.assert_array_equal(moved[2], [7, -5])
    assert moved[0, 0] < 0 < 0.1 < moved[1, 0]
    np.testing.assert_allclose(moved[:2].mean(axis=0), [0.05, 0], atol=1e-9)


@pytest.mark.parametrize("scale", [LARGE, SMALL])
@pytest.mark.parametrize(
    "at",
    [
        np.zeros((2, 2)),
        np.zeros((5, 2)),
        np.linspace([0, 0], [2, 1], 8),
        np.random.default_rng(0).normal(size=(12, 2)) * 2,
        np.zeros((3, 2)) + 9.9,
    ],
)
def test_no_two_centres_cover_each_other(at, scale):
    moved = places_apart(at, VIEW, scale)
    points = moved / 20 * scale.panel
    for one, other in combinations(points, 2):
        assert np.linalg.norm(one - other) > 1.1 * scale.center
    assert np.abs(points - at / 20 * scale.panel).max() < 5 * scale.center
    np.testing.assert_array_equal(places_apart(at, VIEW, scale), moved)


def test_a_centre_drawn_beside_its_place_has_a_dot_there_and_a_line():
    x = np.array([[0.0, 0], [0.2, 0], [9, 9], [10, 10]])
    figure = plot_steps(x, init=x[:3], m=1)
    first = figure.axes[0]
    dots = [one for one in first.collections if one.get_sizes()[0] < 10]
    np.testing.assert_array_equal(dots[-1].get_offsets(), x[:2])
    ends = np.array([line.get_xydata()[1] for line in first.lines])
    np.testing.assert_array_equal(ends, x[:2])
    tips = np.array([line.get_xydata()[0] for line in first.lines])
    numbers = {text.get_text(): text.xy for text in first.texts}
    np.testing.assert_array_equal(tips, [numbers["0"], numbers["1"]])
    np.testing.assert_array_equal(numbers["2"], x[2])


def test_the_picture_of_a_fit_explains_dots_where_there_are_any():
    x = np.array([[0.0, 0], [0.2, 0], [9, 9], [10, 10]])
    for n_clusters, said in ((2, False), (3, True)):
        fit = KMeans(n_clusters, init=x[[0, 2, 1][:n_clusters]], n_init=1).fit(x)
        (axes,) = plot_clusters(fit, x).axes
        assert ("dots: true places of centres" in axes.get_xlabel()) == said


def test_more_clusters_than_there_are_styles_stay_in_their_places():
    at = np.zeros((71, 2))
    assert places_apart(at, VIEW, LARGE) is at
