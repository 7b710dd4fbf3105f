"""Sums of streamed k-means follow the rows that change cluster, as long as rounding allows it."""

import numpy as np
import pytest

from kmgpu import KMeans, RowBlocks
from kmgpu.algorithm.losses import L2
from kmgpu.sources.stream import Stream
from kmgpu.streaming import changes, tasks
from kmgpu.streaming.steps import StreamedSteps
from kmgpu.streaming.tasks import Task


def steps_of(x, k, weight=None, block_rows=300):
    return StreamedSteps(Stream(RowBlocks([x]), sample_weight=weight, block_rows=block_rows), k,
                         Task(L2, None, 1e3))  # fmt: skip


def oracle(x, labels, weight, k):
    """Float64 means about a row of each cluster, their masses, and the loss there."""
    x, weight = x.astype(np.float64), np.ones(len(x)) if weight is None else weight
    means, masses, loss = np.zeros((k, x.shape[1])), np.zeros(k), 0.0
    for j in range(k):
        own, w = x[labels == j], weight[labels == j, None]
        masses[j] = w.sum()
        means[j] = own[0] + (w * (own - own[0])).sum(axis=0) / masses[j]
        loss += (w * (own - means[j]) ** 2).sum()
    return means, masses, loss


@pytest.fixture
def added(monkeypatch):
    """How many rows each call of `moments` has added up."""
    rows, moments = [], changes.moments

    def noted(x, *others):
        rows.append(len(x))
        return moments(x, *others)

    for module in (changes, tasks):
        monkeypatch.setattr(module, "moments", noted)
    return rows


@pytest.mark.parametrize("d", [3, 40, 200])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "float16"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_that_follow_are_those_of_all_rows(d, dtype, weighted, added):
    rng = np.random.default_rng(d)
    x = (100 + 20 * rng.normal(size=(2000, d)) + 5 * rng.integers(0, 6, (2000, 1))).astype(dtype)
    weight = rng.random(2000) * (np.arange(2000) % 5 > 0) if weighted else None
    steps, centers = steps_of(x, 6, weight), x[:6].astype(np.float64)
    for _ in range(12):
        cost, changed = steps.assign(centers, True)
        labels = steps.gathered_labels().copy()
        own = (x.astype(np.float64) - centers[labels]) ** 2
        expected = own.sum() if weight is None else (weight * own.sum(axis=1)).sum()
        assert cost == pytest.approx(expected, rel=1e-11)
        centers, loss, _ = steps.refit()
        means, masses, least = oracle(x, labels, weight, 6)
        np.testing.assert_allclose(centers, means, rtol=1e-12)
        np.testing.assert_allclose(steps.masses, masses, rtol=1e-12)
        np.testing.assert_array_equal(
            steps.sizes, np.bincount(labels[weight > 0] if weighted else labels)
        )
        assert loss == pytest.approx(least, rel=1e-11)
    assert changed < 400
    assert sum(added) < 6 * len(x)  # 12 passes


def test_changes_are_counted_as_when_all_rows_are_read(monkeypatch):
    x = np.random.default_rng(0).normal(size=(3000, 5)).astype(np.float32)
    weight = (np.arange(3000) % 4).astype(float)
    found = []
    for few in (4, np.inf):
        monkeypatch.setattr("kmgpu.streaming.changes.FEW", few)
        model = KMeans(9, init=x[:9], tol=0, max_iter=25).fit(RowBlocks([x]), sample_weight=weight)
        found.append([entry.n_changed for entry in model.history_])
    assert found[0] == found[1]


def near_and_broad(d):
    """30 rows of length about 1, 870 of spread 1e8 at 1e10, one at 1e8; the first feature is ours.

    The broad group's costs hide those of the others.
    """
    x = np.random.default_rng(d).normal(size=(901, d)) / np.sqrt(d)
    x[30:900] *= 1e8
    x[30:900, 0] += 1e10
    x[900] = 0.5
    x[900, 0] = 1e8
    return x


def along(d, *first):
    """Centres that differ in the first feature alone."""
    return np.array(first, np.float64)[:, None] * (np.arange(d) == 0)


def assert_at_means(steps, x, labels, weight=None):
    np.testing.assert_array_equal(steps.gathered_labels(), labels)
    k = len(steps.sizes)
    centers, loss, _ = steps.refit()
    means, masses, least = oracle(x, labels, weight, k)
    lengths = np.sqrt((means * means).sum(axis=1))
    assert (np.sqrt(((centers - means) ** 2).sum(axis=1)) < 1e-12 * (lengths + 1)).all()
    np.testing.assert_allclose(steps.masses, masses, rtol=2e-14)
    assert loss == pytest.approx(least, rel=1e-11)


WIDE = pytest.mark.parametrize("d", [3, 40, 200])


@WIDE
@pytest.mark.parametrize("heavy", [1.0, 1000.0])
def test_a_row_that_leaves_for_far_away_leaves_no_rounding_behind(d, heavy):
    x, weight = near_and_broad(d), None
    if heavy > 1:  # weighted lengths alone tell
        x[900, 0], weight = 1e4, np.ones(901)
        weight[900] = heavy
    away = 1.5 * x[900, 0]
    steps, own = steps_of(x, 3, weight), np.repeat([0, 1, 0], [30, 870, 1])
    for at in (0.3, 0.301):
        steps.assign(along(d, at, 1e10, -9 * away), True)
    np.testing.assert_array_equal(steps.gathered_labels(), own)
    steps.assign(along(d, 0.301, 1e10, away), True)
    own[900] = 2
    assert_at_means(steps, x, own, weight)


@WIDE
def test_a_centre_that_comes_from_far_away_leaves_no_rounding_behind(d):
    x = near_and_broad(d)[:900]
    steps = steps_of(x, 2)
    for at in (0, 1e-3, 1e8, 0):
        steps.assign(along(d, at, 1e10), True)
    assert_at_means(steps, x, np.repeat([0, 1], [30, 870]))


@WIDE
def test_rounding_that_shows_at_the_means_alone(d, added):
    x, own = near_and_broad(d), np.repeat([0, 1, 2], [30, 870, 1])
    steps = steps_of(x, 3)
    for at in (0, 1e-3):
        steps.assign(along(d, at, 1e10, -9e8), True)
    steps.assign(along(d, 5e3, 1e10, 1e8), True)
    assert_at_means(steps, x, own)
    del added[:]
    steps.assign(along(d, 0, 1e10, 1e8), True)
    assert max(added) == 300  # all rows from now on: reading again may become the rule


@WIDE
def test_a_loss_that_falls_far_keeps_its_digits(d):
    """As far as centres may go without their sums being taken anew."""
    x = np.random.default_rng(0).normal(size=(900, d))
    x[:, 0] *= 100
    x[:, 1] = 0
    steps, own = steps_of(x, 2), (x[:, 0] >= 0).astype(int)
    at, up = along(d, -80, 80), np.zeros(d)
    up[1] = 4e4
    heights = 1.4 ** np.arange(-30, 1)  # no further at once, or all rows are added up
    for height in [0, *heights, *heights[::-1], 0]:
        cost, _ = steps.assign(at + height * up, True)
    expected = ((x - at[own]) ** 2).sum()
    assert cost == pytest.approx(expected, rel=2e-13)
    assert_at_means(steps, x, own)


@pytest.mark.parametrize("refit", [False, True])
def test_weight_that_leaves_a_light_cluster(refit):
    x = np.random.default_rng(0).normal(size=(900, 5))
    x[450:] += 10
    x[0] = 4
    weight = np.full(900, 1 / 3)
    weight[0] = 1e17
    own = (np.arange(900) >= 450).astype(int)
    own[0] = 1
    at = np.array([[0.0], [9.5]]) * np.ones(5)
    steps = steps_of(x, 2, weight)
    for centers in (at, at + 0.01, at - np.array([[0.0], [1.6]])):
        steps.assign(centers, True)
    if not refit:  # `counts_` of a fit whose last half-step is an assignment
        np.testing.assert_allclose(steps.masses, oracle(x, own, weight, 2)[1], rtol=1e-13)
    assert_at_means(steps, x, own, weight)


def test_centres_of_another_restart(added):
    """Many rows change cluster, and are not added up twice."""
    x = np.random.default_rng(0).normal(size=(900, 5))
    steps = steps_of(x, 3)
    for centers in (x[:3], x[:3] + 0.01, x[:3] + 0.02):
        del added[:]
        steps.assign(centers, True)
    assert max(added) < 100
    del added[:]
    steps.assign(x[100:103], True)
    assert added == [300, 300, 300]


def test_weight_that_leaves_without_going_far():
    x = np.random.default_rng(0).normal(size=(1000, 5))
    x[:, 0] += 10 * (np.arange(1000) >= 10)
    x[0] = 0.9 * (np.arange(5) == 0)
    weight = np.full(1000, 1 / 3)
    weight[0] = 7e3 / 9
    steps, own = steps_of(x, 3, weight), np.repeat([0, 0, 1], [1, 9, 990])
    for third in (-9, -9.01):
        steps.assign(along(5, 0.3, 10, third), True)
    np.testing.assert_array_equal(steps.gathered_labels(), own)
    at = along(5, -0.3, 10, 0.9)
    steps.assign(at, True)
    own = ((x[:, None] - at) ** 2).sum(axis=2).argmin(axis=1)
    assert own[0] == 2
    assert (own[1:10] == 0).sum() > 3
    assert_at_means(steps, x, own, weight)


def test_empty_clusters_have_no_weight():
    x = np.random.default_rng(0).normal(size=(900, 5))
    x[:30, 0] += 10
    weight = np.random.default_rng(1).random(900)
    steps = steps_of(x, 3, weight)
    for aside in (0, 0.1, 1.5, 3, 6):
        centers = along(5, 0, 9, 10)
        centers[2, 1] = aside
        steps.assign(centers, True)
    assert steps.masses[2] == 0
    np.testing.assert_array_equal(steps.refit()[0][2], centers[2])


def test_rows_that_were_moved_count_as_they_were_assigned():
    x = np.random.default_rng(0).normal(size=(900, 5))
    steps = steps_of(x, 3)
    for at in (0, 0.01):
        steps.assign(x[:3] + at, True)
    before = steps.gathered_labels().copy()
    rows = np.flatnonzero(before == 0)[:5].tolist()
    steps.move(rows, [1] * 5)
    steps.refit()
    _, changed = steps.assign(x[:3] + 0.02, True)
    labels = steps.gathered_labels()
    assert changed == (labels != before).sum()
    means, masses, _ = oracle(x, labels, None, 3)
    np.testing.assert_array_equal(steps.masses, masses)
    np.testing.assert_allclose(steps.refit()[0], means, rtol=1e-12)


def test_rounding_that_has_shown_once_costs_one_pass_alone(added):
    """Afterwards all rows are added up at every pass, and none is read in vain."""
    x = np.random.default_rng(0).normal(size=(900, 3))
    x[0] += 1e12
    steps = steps_of(x, 2)
    for at in (0, 1e-3):
        steps.assign(np.array([[at] * 3, [-2e12] * 3]), True)
    for n in range(3):
        del added[:]
        steps.assign(np.array([[n * 1e-3] * 3, [1e12] * 3]), True)
        assert max(added) == 300
        steps.refit()
    assert steps.looks == [2, 1, 1]
