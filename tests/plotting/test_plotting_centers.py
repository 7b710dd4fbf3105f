"""Loss curves and the elbow: what is drawn against brute force."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from kmgpu.algorithm.losses import L2, LOSSES
from kmgpu.plotting import (
    animate_mean_vs_median,
    plot_elbow,
    plot_loss_curve,
    plot_mean_vs_median,
)
from kmgpu.selection.sweep import Sweep, SweepEntry
from tests.support import oracles
from tests.support.drawn import assert_nothing_overlaps, points_at

pytest.importorskip("matplotlib")

NAMES = {"l2": "mean", "l1": "median"}
SAMPLES = {
    "odd": ([3.0, 1, 2, 10, 4], None),
    "even": ([1.0, 2, 4, 10], None),
    "repeated": ([1.0, 1, 1, 5, 5, 5], None),
    "one": ([2.5], None),
    "weights": ([3.0, 1, 2, 10, 4], [0.5, 2, 1.25, 1, 0]),
    "half the weight": ([1.0, 2, 3, 9], [0.3, 0.1, 0.2, 0.2]),
    "far": ([1e6 + 1, 1e6 + 2, 1e6 + 7], None),
}


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


@pytest.fixture(params=SAMPLES)
def sample(request):
    x, weight = SAMPLES[request.param]
    return np.array(x), None if weight is None else np.array(weight)


def brute_loss(mu, x, weight, loss):
    gaps = np.abs(np.asarray(x)[:, None] - mu)
    return (np.ones(len(x)) if weight is None else weight) @ (gaps**2 if loss == "l2" else gaps)


def brute_center(x, weight, loss):
    weight = np.ones(len(x)) if weight is None else weight
    return oracles.CENTER[loss](x[:, None], weight)[0]


def test_the_curve_is_the_loss(sample, loss):
    x, weight = sample
    above = plot_loss_curve(x, loss, sample_weight=weight).axes[0]
    mu, drawn = above.lines[-1].get_data()
    np.testing.assert_allclose(drawn, brute_loss(mu, x, weight, loss), rtol=1e-9)
    assert mu[0] < x.min()
    assert mu[-1] > x.max()
    if loss == "l1":
        there = x if weight is None else x[weight > 0]
        np.testing.assert_array_equal(mu[1:-1], np.unique(there))


def test_the_minimiser_is_marked_where_the_slope_is_zero(sample, loss):
    x, weight = sample
    figure = plot_loss_curve(x, loss, sample_weight=weight)
    best = brute_center(x, weight, loss)
    above, below = figure.axes
    mark = points_at(above, f"the {NAMES[loss]}").get_offsets()
    value = brute_loss(np.array([best]), x, weight, loss)[0]
    np.testing.assert_allclose(mark, [[best, value]], rtol=1e-12)
    np.testing.assert_allclose(below.collections[-1].get_offsets(), [[best, 0]], rtol=1e-12)
    for axes in (above, below):
        assert any(np.allclose(line.get_xdata(), best) for line in axes.lines)
    place = f"{best:,.0f}" if best > 1e6 else f"{best:.4g}"
    assert above.get_title() == f"The loss is least at the {NAMES[loss]}: L({place}) = {value:.4g}"


def test_the_gradient_of_the_parabola_crosses_zero(sample):
    x, weight = sample
    below = plot_loss_curve(x, sample_weight=weight).axes[1]
    mu, slope = next(line.get_data() for line in below.lines if len(line.get_xdata()) > 2)
    w = np.ones(len(x)) if weight is None else weight
    np.testing.assert_allclose(slope, 2 * (w.sum() * mu - w @ x), atol=1e-8 * w @ np.abs(x))
    assert slope[0] < 0 < slope[-1]


def test_the_slope_of_l1_is_the_weight_left_minus_the_weight_right(sample):
    x, weight = sample
    above, below = plot_loss_curve(x, "l1", sample_weight=weight).axes
    (steps,) = [patch for patch in below.patches if hasattr(patch, "get_data")]
    slopes, edges, _ = steps.get_data()
    w = np.ones(len(x)) if weight is None else weight
    middle = (edges[1:] + edges[:-1]) / 2
    left = np.array([w[x < mu].sum() for mu in middle])
    right = np.array([w[x > mu].sum() for mu in middle])
    np.testing.assert_allclose(slopes, left - right, atol=1e-12)
    what = "points" if weight is None else "weight"
    assert below.get_ylabel() == f"{what} left of µ\n− {what} right of µ"
    flat = [span for span in above.patches if span.get_label() == "every µ of least loss"]
    level = np.abs(left - right) < 1e-12
    assert len(flat) == level.any()
    if flat:
        ends = flat[0].get_extents().transformed(above.transData.inverted()).intervalx
        expected = [edges[:-1][level].min(), edges[1:][level].max()]
        np.testing.assert_allclose(ends, expected)
        assert brute_center(x, weight, "l1") == pytest.approx(np.mean(expected))


def test_even_counts_are_flat_and_odd_ones_are_not():
    for name, count in (("odd", 0), ("even", 1), ("half the weight", 1), ("weights", 0)):
        x, weight = SAMPLES[name]
        above = plot_loss_curve(x, "l1", sample_weight=weight).axes[0]
        assert sum(p.get_label() == "every µ of least loss" for p in above.patches) == count, name


def test_points_stand_at_their_values_their_area_says_the_weight():
    above = plot_loss_curve([3.0, 1, 7], "l1", sample_weight=[1, 2, 0]).axes[0]
    drawn = points_at(above, "points (area: weight)")
    np.testing.assert_array_equal(drawn.get_offsets()[:, 0], [3, 1])
    small, large = drawn.get_sizes()
    assert small < large
    assert len(points_at(plot_loss_curve([3.0, 1, 7]).axes[0], "points").get_sizes()) == 1


def test_the_units_are_said(loss):
    above = plot_loss_curve([1.0, 2, 5], loss).axes[0]
    assert LOSSES[loss].units in above.get_ylabel()


@pytest.mark.parametrize("draw", [plot_loss_curve, plot_mean_vs_median])
def test_arrays_of_every_library_are_drawn(backend, draw):
    x = np.array([1, 2, 3, 4, 50], np.float32)
    for value in (x, x[:, None]):
        lines = [
            line.get_data() for axes in draw(backend.asarray(value)).axes for line in axes.lines
        ]
        expected = [line.get_data() for axes in draw(x).axes for line in axes.lines]
        for found, same in zip(lines, expected, strict=True):
            np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("draw", [plot_loss_curve, plot_mean_vs_median])
def test_a_column_is_named(draw):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"spent ($) of ($)": [1.0, 2, 3, 9]})
    labels = [
        draw(x).axes[-1].xaxis.label
        for x in (frame, frame.iloc[:, 0], frame.to_numpy(), frame.to_numpy()[:, 0])
    ]
    start = "µ" if draw is plot_loss_curve else "place of the outlier"
    assert [label.get_text() for label in labels] == [f"{start} (spent ($) of ($))"] * 2 + [
        start
    ] * 2
    assert not any(label.get_parse_math() for label in labels)


@pytest.mark.parametrize("draw", [plot_loss_curve, plot_mean_vs_median])
@pytest.mark.parametrize(
    ("x", "weight", "said"),
    [
        (np.zeros((4, 2)), None, r"x must be one feature, .* got shape \(4, 2\): pass one column"),
        ([1.0, np.nan, 2], None, "Input x contains NaN: first at row 1"),
        ([1.0, 2, 3], [1, -1, 1], r"sample_weight\[1\] is -1.0"),
        ([1.0, 2, 3], [1, 1], "sample_weight.shape == "),
    ],
)
def test_bad_input_is_told(draw, x, weight, said):
    with pytest.raises(ValueError, match=said):
        draw(x, sample_weight=weight)


def test_a_loss_of_ones_own_is_drawn_as_it_computes_itself():
    x = np.array([1.0, 2, 7])
    mine = replace(L2, name="l1", cost=lambda differences: 5 * L2.cost(differences))
    above, below = plot_loss_curve(x, mine).axes
    mu, drawn = above.lines[-1].get_data()
    np.testing.assert_allclose(drawn, 5 * brute_loss(mu, x, None, "l2"), rtol=1e-12)
    mu, slope = next(line.get_data() for line in below.lines if len(line.get_xdata()) > 2)
    np.testing.assert_allclose(slope[1:-1], 5 * 2 * (3 * mu - x.sum())[1:-1], atol=1e-9)
    best = x.mean()
    np.testing.assert_allclose(points_at(above, "the optimum").get_offsets()[0, 0], best)


def test_a_loss_that_is_not_known():
    with pytest.raises(ValueError, match="loss='l3' is not known"):
        plot_loss_curve([1.0, 2], "l3")


def test_the_mean_is_red_and_the_median_blue_with_markers_of_their_own():
    strip = plot_mean_vs_median([1.0, 2, 3, 9]).axes[0]
    curves = [plot_loss_curve([1.0, 2, 3, 9], loss).axes[0] for loss in ("l2", "l1")]
    marks = [points_at(strip, "mean"), points_at(strip, "median")]
    same = [
        points_at(axes, f"the {name}") for axes, name in zip(curves, NAMES.values(), strict=True)
    ]
    (mean_red, _, mean_blue, _), (median_red, _, median_blue, _) = (
        mark.get_facecolor()[0] for mark in marks
    )
    assert mean_red > 3 * mean_blue
    assert median_blue > 3 * median_red
    for one, two in zip(marks, same, strict=True):
        np.testing.assert_array_equal(one.get_facecolor(), two.get_facecolor())
    shapes = [mark.get_paths()[0].vertices for mark in marks]
    assert not np.array_equal(*shapes)
    heights = [mark.get_offsets()[0, 1] for mark in marks]
    assert heights[0] > 0.3 > -0.3 > heights[1], "one would hide the other where they coincide"


def table(losses, loss="l2"):
    entries = tuple(
        SweepEntry(k, v, 1, 0.1, np.nan if k == 1 else 0.5 / k, np.nan if k == 1 else 0.4 / k)
        for k, v in enumerate(losses, start=1)
    )
    return Sweep(entries, loss, 0, 1234)


def test_the_elbow_shows_the_losses_and_rings_the_knee(loss):
    losses = [100.0, 40, 12, 9, 7, 6]
    figure = plot_elbow(table(losses, loss))
    above, below = figure.axes
    curve, chord = above.lines[:2]
    np.testing.assert_array_equal(curve.get_data(), [np.arange(1, 7), losses])
    np.testing.assert_array_equal(chord.get_data(), [[1, 6], [100, 6]])
    np.testing.assert_array_equal(points_at(above, "knee").get_offsets(), [[3, 12]])
    assert above.get_title() == "knee at k = 3: farthest below the chord"
    assert above.get_ylabel() == f"loss ({LOSSES[loss].units})"
    simplified, exact = below.lines[:2]
    np.testing.assert_array_equal(simplified.get_data(), [range(2, 7), 0.5 / np.arange(2, 7)])
    np.testing.assert_array_equal(exact.get_data(), [range(2, 7), 0.4 / np.arange(2, 7)])
    assert [line.get_label() for line in (simplified, exact)] == [
        "simplified, all rows",
        "exact, 1,234 rows",
    ]
    assert simplified.get_marker() != exact.get_marker()
    for axes in (above, below):
        assert any(list(line.get_xdata()) == [3, 3] for line in axes.lines)


@pytest.mark.parametrize("losses", [[5.0], [5.0, 4], [5.0, 5, 5], [10.0, 9, 0]])
def test_without_a_knee_none_is_drawn(losses):
    above, _ = plot_elbow(table(losses)).axes
    assert len(above.lines) == 1
    assert not above.collections
    assert above.get_title().startswith("no knee")


def figures():
    yield from (
        plot_loss_curve(x, loss, sample_weight=w) for x, w in SAMPLES.values() for loss in NAMES
    )
    yield from (plot_loss_curve(np.random.default_rng(0).normal(size=500), loss) for loss in NAMES)
    yield plot_mean_vs_median([1.0, 2, 3, 4, 100])
    yield plot_mean_vs_median(np.random.default_rng(0).normal(size=300) * 1e6)
    yield plot_elbow(table([100.0, 40, 12, 9, 7, 6]))
    yield plot_elbow(table(list(1e9 / np.arange(1, 40)), "l1"))
    yield plot_elbow(table([5.0]))


@pytest.mark.slow
def test_nothing_overlaps_and_no_window_is_opened():
    sys.modules.pop("matplotlib.pyplot", None)
    for figure in figures():
        assert_nothing_overlaps(figure)
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (
        lambda: plot_loss_curve([1.0, 2]),
        lambda: plot_mean_vs_median([1.0, 2, 3]),
        lambda: plot_elbow(table([3.0, 1, 0])),
        lambda: animate_mean_vs_median([1.0, 2, 3]),
    ):
        with pytest.raises(ImportError, match=r"needs matplotlib.*pip install 'kmgpu\[plot\]'"):
            draw()
