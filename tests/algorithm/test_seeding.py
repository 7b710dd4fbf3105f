"""Where the initial centres come from."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.seeding import draw, greedy_seed, initial_centers, random_rows
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
WEIGHT = np.array([1.0, 0, 2, 0.5, 1, 3])
FEW = np.array([[0.0, 0], [9, 9], [1, 0], [0, 3], [6, 6], [5, 1]])


def rng(seed=0):
    return np.random.default_rng(seed)


def seeded_rows(*args):
    return greedy_seed(*args)[0]


def assert_frequencies(observed, probability):
    """Chi-square of the counts, rare cells pooled; what cannot happen never did."""
    assert observed[probability == 0].sum() == 0
    expected = probability * observed.sum()
    rare = expected < 10
    counted = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    assert stats.chisquare(counted[kept], expected[kept]).pvalue > 1e-3


def exact_greedy_pairs(x, weight, loss):
    """Probability of each ordered pair of rows as the first two centres, with two trials."""
    cost = oracles.costs(x, x, loss.name)
    pairs = np.zeros((len(x), len(x)))
    for first in np.flatnonzero(weight):
        mass = weight * cost[first]
        mass /= mass.sum()
        left = (np.minimum(cost[first], cost) * weight).sum(axis=1)
        for one, two in product(range(len(x)), repeat=2):
            kept = one if left[one] <= left[two] else two
            pairs[first, kept] += weight[first] / weight.sum() * mass[one] * mass[two]
    return pairs


@BOTH
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_greedy_seeding_draws_by_the_exact_probabilities(loss, weight):
    """Arthur and Vassilvitskii's greedy variant, its mass weight x cost of that loss."""
    used = np.ones(len(FEW)) if weight is None else weight
    generator, observed = rng(1), np.zeros((len(FEW), len(FEW)))
    for _ in range(2500):
        observed[tuple(seeded_rows(FEW, 2, loss, weight, generator))] += 1
    assert_frequencies(observed, exact_greedy_pairs(FEW, used, loss))


@BOTH
def test_integer_weights_draw_as_repeated_rows_do(loss):
    weight = np.array([1, 0, 2, 1, 1, 3])
    repeated = np.repeat(FEW, weight, axis=0)
    probability = exact_greedy_pairs(FEW, weight.astype(float), loss)
    generator, observed = rng(2), np.zeros(6)
    origin = np.repeat(np.arange(6), weight)
    for _ in range(1500):
        observed[origin[seeded_rows(repeated, 2, loss, None, generator)[1]]] += 1
    assert_frequencies(observed, probability.sum(axis=0))


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_random_rows_are_distinct_and_drawn_by_weight(weight):
    used = np.ones(6) if weight is None else weight
    generator, observed = rng(3), np.zeros(6)
    for _ in range(3000):
        rows = random_rows(6, 3, weight, generator)
        assert len(set(rows.tolist())) == 3
        observed[rows[0]] += 1
    assert observed[used == 0].sum() == 0
    if weight is None:
        assert_frequencies(observed, used / 6)
    else:
        assert observed.argmax() == weight.argmax()


def test_random_rows_repeat_when_too_few_have_weight():
    weight = np.array([0.0, 1, 0, 2])
    assert sorted(set(random_rows(4, 3, weight, rng()).tolist())) == [1, 3]


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_seed_picks_the_same_rows_on_every_backend(backend, loss, dtype, weighted):
    x = (20 * oracles.blobs(120, 3, seed=5) + 120).clip(0, 255).astype(dtype)
    weight = rng(9).integers(0, 3, size=120).astype(float) if weighted else None
    there = backend.asarray(x), None if weight is None else backend.asarray(weight)
    for seed in range(3):
        expected = seeded_rows(x, 9, loss, weight, rng(seed))
        found = seeded_rows(there[0], 9, loss, there[1], rng(seed))
        np.testing.assert_array_equal(found, expected)
        assert len(set(found.tolist())) == 9
        for init in ("k-means++", "random"):
            one = initial_centers(there[0], init, 9, loss, there[1], rng(seed)).centers
            two = initial_centers(x, init, 9, loss, weight, rng(seed)).centers
            assert one.dtype == backend.xp.float64
            np.testing.assert_array_equal(backend.to_numpy(one), two)


@BOTH
def test_the_rows_do_not_depend_on_the_blocks(backend, loss):
    x = backend.asarray(oracles.blobs(80, 2, seed=6))
    whole = seeded_rows(x, 5, loss, None, rng(4))
    np.testing.assert_array_equal(seeded_rows(x, 5, loss, None, rng(4), 1 << 10), whole)


@BOTH
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_an_offset_moves_no_seed(loss, offset):
    x = np.round(oracles.blobs(200, 2, seed=7) * 64) / 64
    np.testing.assert_array_equal(
        seeded_rows(x + offset, 8, loss, None, rng(1)), seeded_rows(x, 8, loss, None, rng(1))
    )


@BOTH
def test_distinct_points_are_taken_before_any_twice(backend, loss):
    points = np.array([[0.0, 1], [5, 5], [2, 7]])
    x = np.repeat(points, [50, 2, 7], axis=0)
    for seed in range(4):
        rows = seeded_rows(backend.asarray(x), 3, loss, None, rng(seed))
        assert len(np.unique(x[rows], axis=0)) == 3
    more = seeded_rows(backend.asarray(x), 6, loss, None, rng(0))
    assert more.shape == (6,)
    assert len(np.unique(x[more], axis=0)) == 3


@BOTH
def test_zero_weight_is_never_drawn(backend, loss):
    x = np.concatenate([oracles.blobs(20, 2), np.full((20, 2), 1e3)])
    weight = np.repeat([1.0, 0.0], 20)
    rows = seeded_rows(backend.asarray(x), 20, loss, backend.asarray(weight), rng())
    np.testing.assert_array_equal(np.sort(rows), np.arange(20))


@pytest.mark.parametrize(
    ("mass", "u", "row"),
    [
        ([1.0, 1, 2], 0.0, 0),
        ([1.0, 1, 2], 0.25, 1),
        ([1.0, 1, 2], 0.4999, 1),
        ([1.0, 1, 2], 0.5, 2),
        ([0.0, 0, 3, 0], 0.0, 2),
        ([0.0, 0, 3, 0], np.nextafter(1, 0), 2),
        ([0.1] * 10 + [0.0], np.nextafter(1, 0), 9),
    ],
)
def test_draw_inverts_the_cumulative_mass(backend, mass, u, row):
    found = draw(backend.asarray(np.array(mass)), np.array([u, 0.0]))
    assert found.dtype == np.int64
    assert found.tolist() == [row, int(np.flatnonzero(mass)[0])]


def test_given_centres_are_copied(backend):
    given = FEW[:2].copy()
    centers = initial_centers(backend.asarray(FEW), given, 2, L2, None, rng()).centers
    centers[...] = 0
    np.testing.assert_array_equal(given, FEW[:2])


def test_a_callable_gets_what_scikit_learn_gives_it(backend):
    seen = {}

    def init(x, n_clusters, random_state):
        seen.update(x=x, state=random_state)
        return x[:n_clusters, ...]

    x = backend.asarray(FEW)
    centers = initial_centers(x, init, 2, L2, None, rng()).centers
    np.testing.assert_array_equal(backend.to_numpy(centers), FEW[:2])
    assert seen["x"] is x
    first = seen["state"].randint(1 << 30)
    initial_centers(x, init, 2, L2, None, rng())
    assert seen["state"].randint(1 << 30) == first


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"init='kmeans' is not known; use one of 'k-means\+\+'"):
        initial_centers(FEW, "kmeans", 2, L2, None, rng())
