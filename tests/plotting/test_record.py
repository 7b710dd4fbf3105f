"""The record of a run: its frames, their losses, and the regions of the plane."""

from __future__ import annotations

import numpy as np
import pytest

import kmgpu
from kmgpu.plotting.plane import BORDER, draw_regions, region_labels
from kmgpu.plotting.record import record_steps
from tests.support import oracles

HOW = {"init": "random", "random_state": 1, "max_iter": 300, "most": 57}


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


def flat(n_samples=120, **how):
    return oracles.blobs(n_samples, 2, 3, spread=1.5, **how)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_frames_are_the_lecture_and_the_losses_brute_force(backend, loss, d):
    x = oracles.blobs(200, d, 4, spread=2)
    record = record_steps(backend.asarray(x), 4, loss=loss, **HOW)
    kinds = [frame.kind for frame in record.frames]
    n_rounds = (len(kinds) - 3) // 2
    assert kinds == ["data", "init", *["assign", "refit"] * n_rounds, "assign"]
    assert n_rounds > 1
    labels = centers = None
    for frame in record.frames[1:]:
        if frame.kind == "assign":
            labels = oracles.labels(x, centers, loss)
            np.testing.assert_array_equal(frame.labels, labels)
        elif frame.kind == "refit":
            np.testing.assert_array_equal(frame.previous, centers)
            np.testing.assert_allclose(
                frame.centers, oracles.centers(x, labels, centers, loss), rtol=1e-9, atol=1e-9
            )
        centers = frame.centers
        if labels is not None:
            costs = oracles.costs(x, centers, loss)[np.arange(len(x)), labels]
            assert frame.loss == pytest.approx(costs.sum(), rel=1e-9)
    shown = [frame.loss for frame in record.frames[2:]]
    assert shown == [entry.loss for entry in record.history]
    assert (np.diff(shown) <= 1e-9 * shown[0]).all()
    last, before = record.frames[-1], record.frames[-2]
    assert last.title == "Converged"
    np.testing.assert_array_equal(last.labels, before.labels)
    np.testing.assert_array_equal(last.centers, before.centers)


def test_the_steps_are_named_as_in_a_lecture(loss):
    frames = record_steps(flat(), 3, loss=loss, **HOW).frames
    cost, center = {
        "l2": ("‖xᵢ − µⱼ‖₂²", "mean"),
        "l1": ("‖xᵢ − µⱼ‖₁", "coordinatewise median"),
    }[loss]
    assert [frame.title for frame in frames[:4]] == [
        "The data",
        "Initialisation: µ₀, µ₁, µ₂",
        f"Assignment step 1: zᵢ = argminⱼ {cost}",
        f"Refitting step 1: µⱼ = {center} of its points",
    ]
    assert frames[2].note == "each point takes the nearest centre"
    assert not frames[2].changed.any()
    changed = frames[4].labels != frames[2].labels
    assert changed.any()
    np.testing.assert_array_equal(frames[4].changed, changed)
    assert frames[4].note == f"{changed.sum()} points changed cluster"
    assert "µ₀, …, µ₁₁" in record_steps(flat(), 12, loss=loss, **HOW).frames[1].title


def test_long_runs_keep_the_first_frames_and_the_last(loss):
    x = oracles.blobs(900, 2, 6, spread=3)
    whole = record_steps(x, 6, loss=loss, **HOW)
    assert len(whole.history) > 8
    short = record_steps(x, 6, loss=loss, **(HOW | {"most": 3}))
    assert len(short.frames) == 6
    assert short.history == whole.history
    assert short.frames[-1].loss == whole.frames[-1].loss
    assert short.frames[-1].n_done == len(whole.history)
    assert short.frames[-1].note.endswith(f"({len(whole.history) - 4} half-steps left out)")


def test_a_run_cut_short_and_a_refilled_cluster_say_so():
    cut = record_steps(flat(), 3, loss="l2", **(HOW | {"max_iter": 1}))
    assert cut.frames[-1].title == "Stopped after 1 iteration"
    init = np.array([[0.0, 0], [99, 99]])
    empty = record_steps(flat(), None, loss="l2", **(HOW | {"init": init}))
    assert empty.frames[3].note == "2 of 2 centres moved, 1 empty cluster refilled"
    assert empty.frames[3].changed.sum() == 1


def test_what_is_drawn_is_what_a_fit_ran(loss):
    x, estimator = flat(), {"l2": kmgpu.KMeans, "l1": kmgpu.KMedians}[loss]
    record = record_steps(x, 3, loss=loss, **(HOW | {"init": "k-means++"}))
    fit = estimator(3, random_state=1, tol=0).fit(x)
    np.testing.assert_array_equal(record.frames[-1].labels, fit.labels_)
    np.testing.assert_allclose(record.frames[-1].centers, fit.cluster_centers_, rtol=1e-12)
    assert len(record.history) == len(fit.history_)


def test_regions_are_those_of_the_nearest_centre(loss):
    centers = np.array([[0.0, 0], [3, 1], [-1, 4]])
    view = (-5.0, 5.0, -6.0, 4.0)
    found = region_labels(centers, kmgpu.algorithm.losses.LOSSES[loss], view, 40)
    for row, column in ((0, 0), (39, 39), (20, 30), (33, 12)):
        middle = [[-5 + (column + 0.5) / 4, -6 + (row + 0.5) / 4]]
        assert found[row, column] == oracles.labels(middle, centers, loss)[0]
    line = region_labels(centers[:, :1], kmgpu.algorithm.losses.LOSSES[loss], view, 40)
    expected = oracles.labels((-5 + (np.arange(40) + 0.5) / 4)[:, None], centers[:, :1], loss)
    np.testing.assert_array_equal(line[0], expected)


def test_regions_are_straight_for_l2_and_bent_for_l1():
    centers, view = np.array([[0.0, 0], [3, 1]]), (-5.0, 5.0, -5.0, 5.0)
    widths = {}
    for name in ("l2", "l1"):
        labels = region_labels(centers, kmgpu.algorithm.losses.LOSSES[name], view, 400)
        widths[name] = (labels == 0).sum(axis=1)
    slope = np.diff(widths["l2"])
    assert set(slope) <= {0, -1}  # x + y / 3 is constant
    assert slope.mean() == pytest.approx(-1 / 3, abs=0.01)
    assert (widths["l1"][:190] == widths["l1"][0]).all()
    assert (widths["l1"][250:] == widths["l1"][-1]).all()
    assert widths["l1"][0] - widths["l1"][-1] == pytest.approx(40, abs=2)


def test_a_border_is_two_pixels_wide_so_that_no_half_of_the_picture_loses_it():
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots()
    loss, view = kmgpu.algorithm.losses.LOSSES["l2"], (-5.0, 5.0, -5.0, 5.0)
    for centers in ([[-3.0, 0], [2, 0]], [[0, -3.0], [0, 2]]):
        draw_regions(axes, np.array(centers), loss, view, 60)
        picture = np.asarray(axes.images[-1].get_array())
        for first in (0, 1):
            half = picture[first::2, first::2]
            assert (half == BORDER).all(axis=-1).sum() == 30
