"""What pictures of points share: the styles of clusters, the rows that are drawn, the plane."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kmgpu.plotting.plane import (
    MARKERS,
    MAX_DRAWN,
    cluster_style,
    drawn_rows,
    names_of_columns,
    plane_of,
    rgb,
    tints,
    values_of_drawn,
)

# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision
# deficiency", IEEE TVCG 15(6), 2009: severity 1, on linear RGB
VISION = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
RGB_TO_XYZ = [
    [0.4124, 0.3576, 0.1805],
    [0.2126, 0.7152, 0.0722],
    [0.0193, 0.1192, 0.9505],
]


def lab(colours, vision):
    """CIELAB of sRGB colours, (n, 3) in [0, 1], as seen with that vision."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISION[vision]), 0, 1)
    xyz = seen @ np.transpose(RGB_TO_XYZ) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def gaps(styles, vision):
    """The colour difference ΔE (1976) of every pair of styles."""
    seen = lab(np.array([rgb(one.colour) for one in styles]), vision)
    return {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in pairs(styles)}


def pairs(styles):
    return list(combinations(range(len(styles)), 2))


@pytest.mark.parametrize("vision", VISION)
def test_twenty_clusters_can_be_told_apart_with_any_colour_vision(vision):
    styles = [cluster_style(cluster) for cluster in range(20)]
    assert len(set(styles)) == 20
    for (one, other), gap in gaps(styles, vision).items():
        assert gap > 20 or styles[one].marker != styles[other].marker, (one, other)
    assert min(gaps(styles[:7], vision).values()) > 20


def test_styles_repeat_only_after_seventy():
    assert len({cluster_style(cluster) for cluster in range(70)}) == 70
    assert len(set(MARKERS)) == 7


def contrast(one, other):
    """The ratio of contrast of the WCAG 2.2, 1 to 21, of sRGB colours."""
    levels = []
    for c in (one, other):
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        levels.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return np.maximum(*levels) / np.minimum(*levels)


def test_backgrounds_are_light():
    assert contrast(tints(20), np.zeros(3)).min() > 12
    assert tints(20).max() <= 1


def test_every_region_stands_out_from_white_and_its_points_from_it():
    colours = np.array([rgb(cluster_style(cluster).colour) for cluster in range(20)])
    assert contrast(tints(20), np.ones(3)).min() > 1.12
    assert contrast(colours, tints(20)).min() > 1.5


def test_axes_have_the_names_of_the_columns():
    pd = pytest.importorskip("pandas")
    x = np.ones((2, 2))
    frame = pd.DataFrame(x, columns=["age", "income"])
    assert names_of_columns(frame, 2, None) == ("age", "income")
    assert names_of_columns(frame, 2, ["a", 1]) == ("a", "1")
    for nameless in (x, x.tolist(), pd.DataFrame(x)):
        assert names_of_columns(nameless, 2, None) == ("feature 0", "feature 1")
    with pytest.raises(ValueError, match="feature_names has 3 names, the data have 2 features"):
        names_of_columns(x, 2, "abc")


def test_many_rows_are_drawn_by_a_seeded_sample(backend):
    x = np.random.default_rng(0).normal(size=(MAX_DRAWN + 1000, 2)).astype(np.float32)
    drawn = drawn_rows(backend.asarray(x))
    assert drawn.caption == "a seeded sample of 5,000 of the 6,000 points"
    assert len(set(drawn.rows)) == MAX_DRAWN
    np.testing.assert_array_equal(drawn.points, x[drawn.rows])
    assert drawn.points.dtype == np.float64
    np.testing.assert_array_equal(drawn_rows(backend.asarray(x)).rows, drawn.rows)
    labels = np.arange(len(x), dtype=np.int32)
    np.testing.assert_array_equal(values_of_drawn(backend.asarray(labels), drawn), drawn.rows)


def test_few_rows_are_all_drawn():
    drawn = drawn_rows([[1, 2], [3, 4]])
    np.testing.assert_array_equal(drawn.points, [[1.0, 2], [3, 4]])
    assert drawn.caption == "2 points"
    assert drawn_rows([[1]]).caption == "1 point"


def test_rows_that_cannot_be_drawn_are_named():
    with pytest.raises(ValueError, match="contains NaN: first at row 1, column 0"):
        drawn_rows([[1.0], [np.nan]])


def test_two_features_are_the_plane():
    x = np.random.default_rng(0).normal(size=(9, 2))
    plane = plane_of(x, names_of_columns(x, x.shape[1], None))
    np.testing.assert_array_equal(plane.place_points(x), x)
    assert (plane.caption, plane.labels) == ("", ("feature 0", "feature 1"))


def test_one_feature_is_the_horizontal_axis():
    x = np.linspace(0, 1, 50)[:, None]
    plane = plane_of(x, names_of_columns(x, x.shape[1], None))
    points = plane.place_points(x)
    np.testing.assert_array_equal(points[:, 0], x[:, 0])
    assert 0.3 < np.abs(points[:, 1]).max() <= 0.5
    np.testing.assert_array_equal(plane.place(x)[:, 1], 0)
    assert "the height is random" in plane.caption


def test_more_features_are_drawn_on_the_principal_axes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)) * [0.1, 9, 0.2, 3, 0.1] + 100
    plane = plane_of(x, names_of_columns(x, x.shape[1], None))
    at = plane.place_points(x)
    np.testing.assert_allclose(np.abs(plane.directions[[0, 1], [1, 3]]), 1, atol=0.01)
    np.testing.assert_allclose(at.mean(axis=0), 0, atol=1e-9)
    values = np.linalg.eigvalsh(np.cov(x.T))
    np.testing.assert_allclose(at.var(axis=0, ddof=1), values[[-1, -2]])
    share = values[-2:].sum() / values.sum()
    assert f"the first two principal axes ({share:.0%} of the variance)" in plane.caption
    assert "regions omitted" in plane.caption


@pytest.mark.parametrize("n", [1, 3])
def test_points_without_variance_have_a_place(n):
    assert (plane_of(np.ones((n, 4)), "abcd").place_points(np.ones((n, 4))) == 0).all()
