"""What holds for any data: properties checked on many small random problems."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from kmgpu import KMeans, KMedians, kernels, lloyd
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", ["l2", "l1"])
ESTIMATOR = {"l2": KMeans, "l1": KMedians}


@pytest.fixture(params=["reference", "fused"], scope="module")
def mode(request):
    """So small problems meet no kernel unless it is forced."""
    with kernels.use(request.param):
        yield


EACH_WAY = pytest.mark.usefixtures("mode")


@st.composite
def problems(draw, max_rows=24, widths=(1, 2, 3, 40, 200), grid=8, max_clusters=5):
    """Rows on a grid (so ties and duplicates abound), some of them as centres, integer weights."""
    n = draw(st.integers(1, max_rows))
    d = draw(st.sampled_from(widths))
    if d <= 3:
        coordinate = st.integers(-grid, grid).map(lambda i: i / 2)
        x = np.array(draw(st.lists(coordinate, min_size=n * d, max_size=n * d))).reshape(n, d)
    else:  # as a seed: so many numbers are slow to draw
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        distinct = rng.integers(-grid, grid + 1, size=(draw(st.integers(1, n)), d)) / 2
        x = distinct[rng.integers(len(distinct), size=n)]
    k = draw(st.integers(1, min(n, max_clusters)))
    start = x[draw(st.permutations(range(n)))[:k]] + draw(st.sampled_from([0.0, 0.25]))
    weight = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), dtype=float)
    weight[draw(st.integers(0, n - 1))] += 1
    return x, start, weight


@EACH_WAY
@BOTH
@given(problem=problems(), empty_cluster=st.sampled_from(["farthest", "keep"]))
def test_the_loss_never_rises_over_a_half_step(loss, problem, empty_cluster):
    x, start, weight = problem
    steps = list(lloyd(x, start, loss, sample_weight=weight, empty_cluster=empty_cluster))
    for before, after in pairwise(steps[1:]):
        assert after.loss <= before.loss + 1e-12 * (1 + before.loss), (before, after)
    assert steps[-1].stop in ("labels", "shift")
    assert steps[-1].loss == pytest.approx(oracles.total(x, steps[-1].centers, loss, weight))


@EACH_WAY
@BOTH
@given(problem=problems())
def test_every_refit_is_stationary(loss, problem):
    """Weighted differences sum to zero; as much weight left of a median as right of it."""
    x, start, weight = problem
    for step in lloyd(x, start, loss, sample_weight=weight, max_iter=3):
        if step.kind != "refit":
            continue
        for j in np.unique(step.labels[weight > 0]):
            own = step.labels == j
            gaps, mass = x[own] - step.centers[j], weight[own][:, None]
            if loss == "l2":
                np.testing.assert_allclose((mass * gaps).sum(axis=0), 0, atol=1e-11)
            else:
                left, right = (mass * (gaps < 0)).sum(axis=0), (mass * (gaps > 0)).sum(axis=0)
                here = (mass * (gaps == 0)).sum(axis=0)
                assert (np.abs(left - right) <= here).all()


@EACH_WAY
@BOTH
@given(problem=problems())
def test_the_result_is_a_fixed_point(loss, problem):
    x, start, weight = problem
    last = list(lloyd(x, start, loss, sample_weight=weight))[-1]
    again = list(lloyd(x, last.centers, loss, sample_weight=weight))[-1]
    np.testing.assert_array_equal(again.labels, last.labels)
    np.testing.assert_allclose(again.centers, last.centers, atol=1e-13)


@EACH_WAY
@BOTH
@settings(max_examples=8)
@given(
    problem=problems(max_rows=7, widths=(1, 2), max_clusters=3),
    copies=st.sampled_from([1, 20, 100]),
)
def test_the_global_optimum_is_reached_and_never_beaten(loss, problem, copies):
    """Also where there are more features: copies of the first ones."""
    x, start, weight = problem
    k = len(start)
    best = copies * oracles.optimum(x, k, loss, weight)
    x = np.repeat(x, copies, axis=1)
    distinct = len(np.unique(x[weight > 0], axis=0))
    assume(distinct >= k)
    reached = np.inf
    for seed in range(30):
        model = ESTIMATOR[loss](k, random_state=seed, tol=0).fit(x, sample_weight=weight)
        assert model.inertia_ >= best * (1 - 1e-9) - 1e-9
        reached = min(reached, model.inertia_)
        if reached <= best * (1 + 1e-9) + 1e-9:
            break
    assert reached <= best * (1 + 1e-9) + 1e-9


@EACH_WAY
@BOTH
@given(problem=problems())
def test_integer_weights_are_repetition(loss, problem):
    """To the bit for medians; for means up to the order of summation."""
    x, start, weight = problem
    copies = weight.astype(int)
    assume(copies.sum() >= len(start))
    once = list(lloyd(x, start, loss, sample_weight=weight, empty_cluster="keep"))
    often = list(lloyd(np.repeat(x, copies, axis=0), start, loss, empty_cluster="keep"))
    assert len(once) == len(often)
    rtol, atol = (0, 0) if loss == "l1" else (1e-13, 1e-13)
    for one, other in zip(once[1:], often[1:], strict=True):
        np.testing.assert_array_equal(np.repeat(one.labels, copies), other.labels)
        np.testing.assert_allclose(one.centers, other.centers, rtol=rtol, atol=atol)
        assert one.loss == pytest.approx(other.loss, rel=1e-13)


@EACH_WAY
@BOTH
@given(problem=problems(), data=st.data())
def test_permuting_the_rows_permutes_the_labels(loss, problem, data):
    x, start, weight = problem
    order = np.array(data.draw(st.permutations(range(len(x)))))
    here = list(lloyd(x, start, loss, sample_weight=weight, empty_cluster="keep"))[-1]
    there = list(lloyd(x[order], start, loss, sample_weight=weight[order], empty_cluster="keep"))
    np.testing.assert_array_equal(there[-1].labels, here.labels[order])
    np.testing.assert_allclose(there[-1].centers, here.centers, atol=1e-12)


@EACH_WAY
@BOTH
@given(
    problem=problems(),
    factor=st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**30, -2.0]),
    offset=st.sampled_from([0.0, 1024.0, -(2.0**20)]),
)
def test_translation_and_scaling(loss, problem, factor, offset):
    """Steps that are exact in binary, so that labels stay to the last tie."""
    x, start, weight = problem
    here = list(lloyd(x, start, loss, sample_weight=weight, max_iter=1))
    there = list(
        lloyd(
            factor * (x + offset),
            factor * (start + offset),
            loss,
            sample_weight=weight,
            max_iter=1,
        )
    )
    np.testing.assert_array_equal(there[1].labels, here[1].labels)
    scale = abs(factor) ** (2 if loss == "l2" else 1)
    assert there[1].loss == pytest.approx(scale * here[1].loss, rel=1e-9)
    np.testing.assert_allclose(there[2].centers / factor - offset, here[2].centers, atol=1e-8)


@EACH_WAY
@BOTH
@given(problem=problems(max_rows=12))
def test_as_many_clusters_as_rows(loss, problem):
    x = np.unique(problem[0], axis=0)
    model = ESTIMATOR[loss](len(x), random_state=0).fit(x)
    assert model.inertia_ == 0
    np.testing.assert_array_equal(model.cluster_centers_[model.labels_], x)


@EACH_WAY
@BOTH
@given(problem=problems())
@example(problem=(np.array([[3.0]]), np.array([[3.0]]), np.array([1.0])))
def test_one_cluster(loss, problem):
    x, _, weight = problem
    model = ESTIMATOR[loss](1, random_state=0).fit(x, sample_weight=weight)
    expected = oracles.CENTER[loss](x, weight)
    np.testing.assert_allclose(model.cluster_centers_[0], expected, atol=1e-13)
    assert (model.labels_ == 0).all()


@EACH_WAY
@BOTH
@given(problem=problems(), constant=st.sampled_from([0.0, -3.5, 1e6]))
def test_a_constant_feature_changes_nothing(loss, problem, constant):
    x, start, weight = problem
    wider = [np.column_stack([array, np.full(len(array), constant)]) for array in (x, start)]
    plain = list(lloyd(x, start, loss, sample_weight=weight))[-1]
    extended = list(lloyd(*wider, loss, sample_weight=weight))[-1]
    np.testing.assert_array_equal(extended.labels, plain.labels)
    np.testing.assert_allclose(extended.centers[:, :-1], plain.centers, atol=1e-12)
    np.testing.assert_allclose(extended.centers[:, -1], constant)


@EACH_WAY
@BOTH
@given(problem=problems(widths=(1,)))
def test_one_feature_gives_intervals(loss, problem):
    x, start, _ = problem
    last = list(lloyd(x, start, loss, empty_cluster="keep"))[-1]
    by_value = np.argsort(x[:, 0], kind="stable")
    centers = last.centers[last.labels[by_value], 0]
    assert (np.diff(centers) >= 0).all()
