"""Mean against median, as a picture and moving: what is drawn against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from kmgpu.plotting import animate_mean_vs_median, plot_mean_vs_median
from tests.support import oracles
from tests.support.drawn import assert_nothing_overlaps, points_at

pytest.importorskip("matplotlib")

NAMES = {"l2": "mean", "l1": "median"}


def brute_center(x, weight, loss):
    weight = np.ones(len(x)) if weight is None else weight
    return oracles.CENTER[loss](x[:, None], weight)[0]


def test_two_values_are_too_few():
    with pytest.raises(ValueError, match="at least 3 are needed"):
        plot_mean_vs_median([1.0, 2, 9], sample_weight=[1, 1, 0])


@pytest.mark.parametrize("weight", [None, np.array([1, 2, 1, 1, 0.5])])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_mean_follows_and_the_median_stays(weight, sign):
    x = sign * np.array([1.0, 2, 3, 4, 100])
    figure = plot_mean_vs_median(x, sample_weight=weight)
    *strips, below = figure.axes
    assert len(strips) == 4
    outliers, centers = [], {"mean": [], "median": []}
    for axes in strips:
        np.testing.assert_array_equal(points_at(axes, "points").get_offsets()[:, 0], x[:4])
        outliers.append(points_at(axes, "the outlier").get_offsets()[0, 0])
        moved = np.append(x[:4], outliers[-1])
        for loss, name in NAMES.items():
            at = points_at(axes, name).get_offsets()[0, 0]
            assert at == pytest.approx(brute_center(moved, weight, loss), rel=1e-12)
            centers[name].append(at)
    assert outliers[0] == sign * 4
    assert outliers[-1] == sign * 100
    assert (sign * np.diff(outliers) > 0).all()
    assert (sign * np.diff(centers["mean"]) > 0).all()
    assert len(set(centers["median"])) == 1
    for line, name in zip(below.lines, ("mean", "median"), strict=True):
        np.testing.assert_array_equal(line.get_data(), [outliers, centers[name]])


def test_an_outlier_that_is_near_is_sent_far():
    *strips, _ = plot_mean_vs_median([0.0, 1, 2, 3.5]).axes
    assert points_at(strips[-1], "the outlier").get_offsets()[0, 0] == 2 + 4 * 2


def test_equal_values_are_drawn():
    assert_nothing_overlaps(plot_mean_vs_median([3.0, 3, 3]))


@pytest.fixture
def moving():
    return animate_mean_vs_median([1.0, 2, 3, 4, 100], n_frames=5)


def test_as_the_outlier_moves_the_mean_follows_and_the_median_stays(moving):
    figure = moving.figure
    strip, below = figure.axes
    seen = []
    for at in range(5):
        moving.draw(at, True)
        outlier = points_at(strip, "the outlier").get_offsets()[0, 0]
        assert outlier == pytest.approx(4 + 24 * at)
        x = np.array([1, 2, 3, 4, outlier])
        mean, median = (brute_center(x, None, loss) for loss in ("l2", "l1"))
        assert points_at(strip, "mean").get_offsets()[0, 0] == pytest.approx(mean, rel=1e-12)
        assert points_at(strip, "median").get_offsets()[0, 0] == median
        said = f"mean {mean:.4g}, median {median:.4g}"
        assert strip.get_title().endswith(f"\n{said}")
        assert moving.captions[at] == (f"The outlier is at {outlier:.4g}", said, "")
        seen.append((outlier, mean, median))
        expected = np.transpose(seen)
        for line, row in zip(below.lines, (1, 2), strict=True):
            np.testing.assert_allclose(line.get_data(), expected[[0, row]])
        assert_nothing_overlaps(figure)
    assert seen[0][1] < seen[-1][1]
    assert {median for _, _, median in seen} == {3.0}


@pytest.mark.slow
def test_the_page_leaves_out_no_frame_whatever_its_size(moving, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "animation.embed_limit", 0.01)
    assert moving._repr_html_().startswith("<iframe srcdoc=")
    html = moving.to_html()
    assert html.partition('<script id="animation"')[2].count("data:image/png;base64,") == 5


@pytest.mark.slow
def test_an_animation_is_saved_by_its_ending(moving, tmp_path):
    image = pytest.importorskip("PIL.Image")
    moving.save(tmp_path / "a.gif")
    with image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 5
        first = np.asarray(film.convert("RGB")).copy()
        film.seek(4)
        assert (first != np.asarray(film.convert("RGB"))).any()
    moving.save(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(ValueError, match="must end in one of"):
        moving.save(tmp_path / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.html"]


def test_one_frame_is_no_animation():
    with pytest.raises(ValueError, match="n_frames=1 must be at least 2"):
        animate_mean_vs_median([1.0, 2, 9], n_frames=1)
