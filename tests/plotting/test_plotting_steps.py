"""How the frames of a run are drawn, one by one and in a grid; the clusters of a fit."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

import kmgpu
from kmgpu import L2
from kmgpu.plotting import animate, plot_clusters, plot_history, plot_steps
from kmgpu.plotting.centers import LARGE
from kmgpu.plotting.panel import draw_frame, view_of_all
from kmgpu.plotting.plane import cluster_style, region_labels, rgb, tints
from kmgpu.plotting.record import record_steps
from tests.support import oracles

Image = pytest.importorskip("PIL.Image")
colors = pytest.importorskip("matplotlib.colors")
Quiver = pytest.importorskip("matplotlib.quiver").Quiver
Figure = pytest.importorskip("matplotlib.figure").Figure
FFMpegWriter = pytest.importorskip("matplotlib.animation").FFMpegWriter
Agg = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg

HOW = {"init": "random", "random_state": 1, "max_iter": 300, "most": 57}


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


@pytest.mark.parametrize("name", ["mine", "l1"])
def test_a_loss_of_ones_own_is_drawn_as_it_assigns(name):
    """A row is nearer where its second feature agrees, whatever the first."""
    loss = replace(
        L2,
        name=name,
        scorer=lambda centers: lambda x: L2.scorer(centers[:, 1:])(x[:, 1:]),
        pairwise=lambda x, centers: L2.pairwise(x[:, 1:], centers[:, 1:]),
        cost=lambda differences: L2.cost(differences[:, 1:]),
    )
    record = record_steps(flat(), 3, loss=loss, **HOW)
    assert record.name == name
    titles = [frame.title for frame in record.frames]
    assert any(title.endswith("zᵢ = argminⱼ cost(xᵢ − µⱼ)") for title in titles)
    assert any(title.endswith("µⱼ = optimal centre of its points") for title in titles)
    end = record.frames[-1]
    nearest = oracles.labels(record.drawn.points[:, 1:], end.centers[:, 1:], "l2")
    np.testing.assert_array_equal(end.labels, nearest)
    regions = region_labels(end.centers, loss, view_of_all(record), 40)
    assert (regions == regions[:, :1]).all()
    figure = plot_steps(flat(), 3, loss=loss)
    assert name in figure.get_suptitle()


def flat(n_samples=120, **how):
    return oracles.blobs(n_samples, 2, 3, spread=1.5, **how)


def offsets(collections):
    return np.concatenate([np.asarray(one.get_offsets()) for one in collections])


def draw(record, number):
    axes = Figure().subplots()
    view = view_of_all(record)
    draw_frame(axes, record, record.frames[number], view, LARGE)
    return axes, view


def test_a_frame_shows_points_regions_and_centres_in_their_styles(loss):
    x = flat()
    record = record_steps(x, 3, loss=loss, **HOW)
    frame = record.frames[4]
    axes, view = draw(record, 4)
    assert axes.get_aspect() == 1.0
    assert view[1] - view[0] == pytest.approx(view[3] - view[2])
    for cluster in range(3):
        colour = rgb(cluster_style(cluster).colour)
        mine = [one for one in axes.collections if np.allclose(one.get_facecolor()[0, :3], colour)]
        *points, center = sorted(mine, key=lambda one: one.get_zorder())
        drawn = {tuple(at) for at in offsets(points)}
        assert drawn == {tuple(at) for at in x[frame.labels == cluster]}
        ringed = [one for one in points if one.get_zorder() == points[-1].get_zorder()]
        if frame.changed[frame.labels == cluster].any():
            assert {tuple(at) for at in offsets(ringed)} == {
                tuple(at) for at in x[frame.changed & (frame.labels == cluster)]
            }
            assert ringed[0].get_sizes()[0] > 2 * points[0].get_sizes()[0]
        np.testing.assert_array_equal(center.get_offsets(), frame.centers[[cluster]])
        assert center.get_zorder() > max(one.get_zorder() for one in points)
        assert center.get_linewidths()[0] > 1
        shape = colors.to_rgb(center.get_edgecolor()[0])
        assert shape == (0, 0, 0)
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    (background,) = axes.images
    assert background.get_zorder() < min(one.get_zorder() for one in axes.collections)
    assert tuple(background.get_extent()) == view
    picture = np.asarray(background.get_array())
    labels = region_labels(frame.centers, record.loss, view, len(picture))
    inside = np.abs(picture - tints(3)[labels]).max(axis=-1) < 1e-6
    assert 0.97 < inside.mean() < 1


def test_a_refit_shows_arrows_and_the_regions_it_was_made_from(loss):
    record = record_steps(flat(), 3, loss=loss, **HOW)
    axes, view = draw(record, 3)
    frame = record.frames[3]
    moved = (frame.centers != frame.previous).any(axis=1)
    assert moved.any()
    (arrows,) = [one for one in axes.collections if isinstance(one, Quiver)]
    whole = frame.centers - frame.previous
    length = np.linalg.norm(whole, axis=1)
    radius = LARGE.center / 2 * (view[1] - view[0]) / (72 * 4.8 * 0.77)  # in units of the data
    far = length > 0.9 * radius  # else the new marker hides the arrow
    assert far.any()
    np.testing.assert_array_equal(arrows.XY, frame.previous[far])
    kept = 1 - 0.9 * radius / length[far]
    moves = np.stack([arrows.U, arrows.V], axis=1)
    np.testing.assert_allclose(moves, whole[far] * kept[:, None], rtol=1e-6)
    markers = [
        one for one in axes.collections if len(one.get_facecolor()) and one.get_zorder() == 5
    ]
    empty = [one for one in markers if (one.get_facecolor() == 1).all()]
    assert {tuple(at) for at in offsets(empty)} == {tuple(at) for at in frame.previous[moved]}
    picture = np.asarray(axes.images[0].get_array())
    labels = region_labels(frame.previous, record.loss, view, len(picture))
    assert (np.abs(picture - tints(3)[labels]).max(axis=-1) < 1e-6).mean() > 0.97


def test_k_medians_shows_the_median_lines_of_each_cluster():
    x = flat()
    for loss, expected in (("l2", 0), ("l1", 6)):
        record = record_steps(x, 3, loss=loss, **HOW)
        axes, _ = draw(record, 3)
        lines = [one for one in axes.collections if hasattr(one, "get_segments")]
        assert len(lines) == expected
    frame = record.frames[3]
    for cluster, (upright, level) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        mine = x[frame.labels == cluster]
        (column, row), (low, high) = frame.centers[cluster], (mine.min(axis=0), mine.max(axis=0))
        np.testing.assert_allclose(upright.get_segments(), [[(column, low[1]), (column, high[1])]])
        np.testing.assert_allclose(level.get_segments(), [[(low[0], row), (high[0], row)]])
        for side in (mine < frame.centers[cluster], mine > frame.centers[cluster]):
            assert (side.sum(axis=0) <= len(mine) / 2).all()


def test_a_refit_that_moves_nothing_has_no_arrows():
    x = np.array([[0.0, 0], [1, 1], [9, 9]])
    record = record_steps(x, None, loss="l2", **(HOW | {"init": np.array([[0.5, 0.5], [9, 9]])}))
    assert record.frames[3].note == "0 of 2 centres moved"
    axes, _ = draw(record, 3)
    assert not [one for one in axes.collections if isinstance(one, Quiver)]


def test_the_data_and_the_initialisation_are_grey():
    record = record_steps(flat(), 3, loss="l2", **HOW)
    data, _ = draw(record, 0)
    (points,) = data.collections
    assert len(points.get_offsets()) == 120
    assert len(set(points.get_facecolor()[0, :3])) == 1
    assert not data.images
    init, _ = draw(record, 1)
    assert len(init.collections) == 1 + 3
    assert not init.images


@pytest.mark.parametrize(("d", "images"), [(1, 1), (2, 1), (4, 0)])
def test_regions_are_drawn_only_where_they_are_true(d, images):
    record = record_steps(oracles.blobs(80, d, 3), 3, loss="l1", **HOW)
    axes, _ = draw(record, 3)
    assert len(axes.images) == images
    assert ("regions omitted" in record.caption) == (images == 0)


def test_twenty_centres_stay_visible():
    record = record_steps(oracles.blobs(500, 2, 20, spread=2), 20, loss="l2", **HOW)
    axes, view = draw(record, len(record.frames) - 1)
    orders = [one.get_zorder() for one in axes.collections]
    centers = [one for one in axes.collections if one.get_zorder() >= 6]
    assert len(offsets(centers)) == 20
    assert len(centers) == 7, "one artist a marker"
    assert max(o for o in orders if o < 6) < min(one.get_zorder() for one in centers)
    styles = {
        (tuple(colour), one.get_paths()[0].vertices.tobytes())
        for one in centers
        for colour in one.get_facecolor()
    }
    assert len(styles) == 20
    at = offsets(centers)
    assert (at > [view[0], view[2]]).all()
    assert (at < [view[1], view[3]]).all()


def test_a_sample_is_drawn_of_many_points_and_all_are_computed():
    x = flat(6000)
    record = record_steps(x, 3, loss="l2", **HOW)
    assert record.caption == "k-means on a seeded sample of 5,000 of the 6,000 points."
    assert len(record.frames[-1].labels) == 5000
    assert record.frames[-1].loss == pytest.approx(
        oracles.total(x, record.frames[-1].centers, "l2"), rel=1e-9
    )


def test_clusters_of_a_fit(backend, loss):
    x = flat()
    estimator = {"l2": kmgpu.KMeans, "l1": kmgpu.KMedians}[loss](3, random_state=0)
    estimator.fit(backend.asarray(x))
    figure = plot_clusters(estimator, backend.asarray(x))
    (axes,) = figure.axes
    centers = backend.to_numpy(estimator.cluster_centers_)
    assert axes.get_title() == (
        f"{'k-means' if loss == 'l2' else 'k-medians'}, k = 3: the loss of the fit is "
        f"{oracles.total(x, centers, loss):.6g}"
    )
    assert axes.get_xlabel() == "feature 0\n120 points"
    by_order = sorted(axes.collections, key=lambda one: one.get_zorder())
    np.testing.assert_allclose(offsets(by_order[-3:]), centers)
    labels = oracles.labels(x, centers, loss)
    np.testing.assert_array_equal(offsets(by_order[:3]), x[np.argsort(labels, kind="stable")])
    assert len(axes.images) == 1


def test_clusters_of_a_frame_with_names():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(oracles.blobs(60), columns=["a", "b", "c"])
    figure = plot_clusters(kmgpu.KMeans(2, random_state=0).fit(frame), frame)
    assert "3 features" in figure.axes[0].get_xlabel()
    frame = frame[["a", "b"]].rename(columns={"a": "spent ($)", "b": "saved ($)"})
    fit = kmgpu.KMeans(2, random_state=0).fit(frame)
    (axes,) = plot_clusters(fit, frame).axes
    assert axes.get_xlabel().startswith("spent ($)\n")
    assert axes.get_ylabel() == "saved ($)"
    assert not axes.yaxis.label.get_parse_math()
    assert not axes.xaxis.label.get_parse_math()
    (axes,) = plot_clusters(fit, frame, feature_names=["x", "y"]).axes
    assert axes.get_ylabel() == "y"


def test_clusters_are_drawn_on_axes_that_are_given():
    x = flat()
    figure = Figure()
    left, right = figure.subfigures(1, 2)[1].subplots(1, 2)
    assert plot_clusters(kmgpu.KMeans(2, random_state=0).fit(x), x, ax=right) is figure
    assert right.collections
    assert not left.collections
    assert figure.get_supxlabel() == "", "the caption belongs to the axes"


def test_history_of_a_fit():
    fit = kmgpu.KMedians(3, random_state=0, max_iter=2, tol=0).fit(flat())
    (axes,) = plot_history(fit).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [e.loss for e in fit.history_])
    assert axes.get_title() == "k-medians, k = 3: 5 half-steps, stopped by max_iter=2"
    assert axes.get_ylabel() == "loss (units of the data)"


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({}, ValueError, "n_clusters=None and init='k-means++': give n_clusters"),
        ({"n_clusters": 0}, ValueError, "n_clusters=0 must be at least 1"),
        ({"n_clusters": 121}, ValueError, "n_samples=120 should be >= n_clusters=121"),
        ({"n_clusters": 2, "loss": "l3"}, ValueError, "loss='l3' is not known"),
        ({"n_clusters": 2, "init": "best"}, ValueError, "init='best' is not known"),
        ({"init": np.zeros((2, 3))}, ValueError, "number of features of the data 2"),
        ({"n_clusters": 2, "m": 0}, ValueError, "m=0 must be at least 1"),
        ({"n_clusters": 2, "max_iter": 0}, ValueError, "max_iter=0 must be at least 1"),
        ({"n_clusters": 2, "random_state": -1}, ValueError, "random_state=-1 must be at least 0"),
    ],
)
def test_bad_input_is_named(how, error, said):
    with pytest.raises(error, match=re.escape(said)):
        plot_steps(flat(), **how)


def test_drawing_before_a_fit_is_an_error():
    for draws in (
        lambda: plot_history(kmgpu.KMeans()),
        lambda: plot_clusters(kmgpu.KMeans(), [[1]]),
    ):
        with pytest.raises(ValueError, match="not fitted yet"):
            draws()


@pytest.mark.parametrize("make", [plot_steps, animate])
def test_without_matplotlib_the_extra_is_named(monkeypatch, make):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'kmgpu\[plot\]'"):
        make(flat(), 2)
