"""The CUDA kernels of seeding: on NumPy arrays by way of HostModule, and on CuPy's own."""

import numpy as np
import pytest

from kmgpu import kernels
from kmgpu.algorithm.losses import LOSSES
from kmgpu.algorithm.seeding import greedy_seed
from kmgpu.kernels.cuda import seeding
from tests.support import oracles
from tests.support.cuda import BOTH, LAYOUTS

NARROW_AND_WIDE = pytest.mark.parametrize("d", [2, 40])
WEIGHTS = {
    "none": lambda rng, n: None,
    "small integers": lambda rng, n: rng.integers(0, 3, n).astype(np.float64),
    "mostly zero": lambda rng, n: rng.random(n) * (np.arange(n) % 20 == 3),
    "reals": lambda rng, n: rng.exponential(size=n),
}


def first_beyond(mass, uniform, total):
    rows = np.searchsorted(np.cumsum(mass), uniform * total, side="right")
    return np.minimum(rows, np.flatnonzero(mass)[-1])


def expected_rows(x, loss, weight, uniforms):
    """Greedy weighted k-means++, word for word, in float64."""
    weight = np.ones(len(x)) if weight is None else weight
    chosen = [first_beyond(weight, uniforms[0, :1], weight.sum())[0]]
    closest = oracles.costs(x, x[chosen], loss)[:, 0]
    for uniform in uniforms[1:]:
        mass = weight * closest
        if mass.sum() == 0:
            chosen.append(first_beyond(weight, uniform[:1], weight.sum())[0])
            continue
        trials = first_beyond(mass, uniform, mass.sum())
        left = np.minimum(closest[:, None], oracles.costs(x, x[trials], loss))
        masses = weight @ left
        best = np.argmax(masses <= masses.min() + 1e-11 * mass.sum())
        chosen.append(trials[best])
        closest = left[:, best]
    return np.array(chosen)


def rounds_on(gpu, loss, x, weight, uniforms):
    there = None if weight is None else gpu.asarray(np.asarray(weight, np.float64))
    return seeding.Rounds(loss, gpu.asarray(x), there, uniforms)


def found_rows(gpu, loss, x, weight, uniforms):
    rounds = rounds_on(gpu, loss, x, weight, uniforms)
    for number in range(len(uniforms)):
        rounds.run(number)
    assert rounds.chosen.dtype == gpu.xp.int64
    return gpu.to_numpy(rounds.chosen)


def problem(n, d, dtype, seed=0):
    x = 20 * oracles.blobs(n, d, 7, seed=seed)
    return np.abs(x).clip(0, 255).astype(dtype) if dtype == "uint8" else x.astype(dtype)


def draws(rounds, trials, seed=0):
    return np.random.default_rng(seed).random((rounds, trials))


KINDS = [("float32", weights) for weights in WEIGHTS]
KINDS += [(dtype, "small integers") for dtype in ("float16", "float64", "uint8")]
# rows on either side of a thread's, a block's and two blocks'; features of a lane and of a tile
SHAPES = [(1, 1), (2, 3), (1030, 2), (700, 16), (129, 17), (257, 40), (130, 128), (70, 300)]


@BOTH
@pytest.mark.parametrize(("dtype", "weights"), KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_brute_force(gpu, loss, dtype, weights, shape):
    x = problem(*shape, dtype)
    weight = WEIGHTS[weights](np.random.default_rng(1), shape[0])
    if weight is not None and not weight.any():
        weight[0] = 1
    uniforms = draws(min(12, shape[0]), 4)
    np.testing.assert_array_equal(
        found_rows(gpu, loss, x, weight, uniforms), expected_rows(x, loss, weight, uniforms)
    )


@BOTH
@NARROW_AND_WIDE
@pytest.mark.parametrize("trials", [1, 4, 5, 8, 9, 12, 13, 30])
def test_any_number_of_trials(gpu, loss, d, trials):
    x, uniforms = problem(300, d, "float32", seed=2), draws(9, trials, seed=trials)
    np.testing.assert_array_equal(
        found_rows(gpu, loss, x, None, uniforms), expected_rows(x, loss, None, uniforms)
    )


@BOTH
@NARROW_AND_WIDE
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_blocks_of_many_rows(gpu, loss, d, blocks, monkeypatch):
    """As data of millions of rows have them: a block takes its rows in several steps."""
    monkeypatch.setattr(seeding, "MOST_BLOCKS", blocks)
    n = 5000 if d == 2 else 600
    x, uniforms = problem(n, d, "float32", seed=3), draws(6, 5)
    weight = WEIGHTS["reals"](np.random.default_rng(2), n)
    np.testing.assert_array_equal(
        found_rows(gpu, loss, x, weight, uniforms), expected_rows(x, loss, weight, uniforms)
    )


@BOTH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
@pytest.mark.parametrize("shape", [(300, 3), (150, 21), (140, 130)], ids=str)
@pytest.mark.parametrize("offset", [0, 100])
def test_costs_and_masses_are_those_of_float64(gpu, loss, dtype, shape, offset):
    """Contract 5: no difference is taken in less, wherever the data lie."""
    x = (problem(*shape, "float64", seed=4).clip(0, 100) / 64 + offset).astype(dtype)
    weight = WEIGHTS["reals"](np.random.default_rng(3), len(x))
    rounds = rounds_on(gpu, loss, x, weight, draws(5, 4))
    closest = np.full(len(x), np.inf)
    for number in range(5):
        rounds.run(number)
        trials = gpu.to_numpy(rounds.drawn)
        costs = oracles.costs(x, x[trials], loss)
        left = np.minimum(closest[:, None], costs)
        masses = gpu.to_numpy(rounds.masses)[:4].sum(axis=1)
        np.testing.assert_allclose(masses, weight @ left, rtol=1e-13)
        bits = gpu.to_numpy(rounds.lowered)[:, None] >> np.arange(4) & 1
        clear = np.abs(costs - closest[:, None]) > 1e-12 * costs
        np.testing.assert_array_equal(bits[clear], (costs < closest[:, None])[clear])
        chosen = gpu.to_numpy(rounds.chosen)[number]
        closest = left[:, trials.tolist().index(chosen)]
        np.testing.assert_allclose(gpu.to_numpy(rounds.closest), closest, rtol=1e-14)
        total = gpu.to_numpy(rounds.totals)[number + 1]
        assert total == pytest.approx(weight @ closest, rel=1e-13)


@BOTH
@NARROW_AND_WIDE
@pytest.mark.parametrize("weights", ["none", "small integers"])
def test_trials_that_tie_go_to_the_first(gpu, loss, d, weights):
    """Rows on a lattice: many are alike, and every cost is exact."""
    rng = np.random.default_rng(d)
    x = rng.integers(0, 2, (400, d)).astype(np.float32)
    x[:, 3:] = 0
    weight = WEIGHTS[weights](rng, len(x))
    for seed in range(4):
        uniforms = draws(12, 6, seed)
        np.testing.assert_array_equal(
            found_rows(gpu, loss, x, weight, uniforms), expected_rows(x, loss, weight, uniforms)
        )


@BOTH
@NARROW_AND_WIDE
@pytest.mark.parametrize("weights", ["none", "mostly zero"])
def test_rows_that_are_all_centres_are_drawn_by_weight(gpu, loss, d, weights):
    x = np.repeat(problem(4, d, "float32"), [20, 30, 40, 70], axis=0)
    x = x[np.random.default_rng(0).permutation(len(x))]
    weight = WEIGHTS[weights](np.random.default_rng(1), len(x))
    uniforms = draws(9, 3)
    found = found_rows(gpu, loss, x, weight, uniforms)
    np.testing.assert_array_equal(found, expected_rows(x, loss, weight, uniforms))
    same = found_rows(gpu, loss, np.ones_like(x), weight, uniforms)
    np.testing.assert_array_equal(same, expected_rows(np.ones_like(x), loss, weight, uniforms))


@pytest.mark.parametrize("u", [0.0, 0.25, 0.4999, 0.5, np.nextafter(1, 0)])
@pytest.mark.parametrize(
    "weight",
    [[1.0, 1, 2], [0.0, 0, 3, 0], [0.1] * 10 + [0.0], [0.0] * 1500 + [2, 0, 1] + [0.0] * 2000],
    ids=lambda weight: str(len(weight)),
)
def test_a_draw_inverts_the_cumulative_weight(gpu, weight, u):
    x, weight = np.zeros((len(weight), 1)), np.array(weight)
    found = found_rows(gpu, "l2", x, weight, np.array([[u]]))
    np.testing.assert_array_equal(found, first_beyond(weight, np.array([u]), weight.sum()))


def test_a_draw_by_cost_takes_no_row_of_zero_weight(gpu):
    """Not even where rounding leaves no row beyond, as with a total that is a bit too high."""
    x = np.r_[0.0, np.full(1400, 0.1), np.full(2000, 7.0)][:, None]
    weight = np.r_[np.full(1401, 0.1), np.zeros(2000)]
    uniforms = np.array([[0.0, 0], [np.nextafter(1, 0), 0.5]])
    rounds = rounds_on(gpu, "l1", x, weight, uniforms)
    rounds.run(0)
    rounds.totals[1:2] *= 1 + 1e-12
    rounds.run(1)
    drawn = gpu.to_numpy(rounds.drawn)
    assert drawn[0] == 1400
    assert abs(drawn[1] - 701) <= 1


@BOTH
@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-30, 1e17, 1e36])
def test_values_at_the_ends_of_float32(gpu, loss, scale):
    x = (problem(300, 3, "float64") / 20 * scale).astype(np.float32)
    uniforms = draws(8, 4)
    np.testing.assert_array_equal(
        found_rows(gpu, loss, x, None, uniforms), expected_rows(x, loss, None, uniforms)
    )


def test_costs_beyond_float64_draw_rows_that_exist(gpu):
    x = 1e200 * problem(300, 3, "float64")
    with np.errstate(over="ignore", invalid="ignore"):
        found = found_rows(gpu, "l2", x, None, draws(8, 4))
    assert ((found >= 0) & (found < 300)).all()


@BOTH
def test_the_order_of_blocks_and_threads_changes_no_bit(gpu, loss):
    """They run in another order each time."""
    x, uniforms = problem(500, 20, "float32"), draws(6, 4)
    weight = WEIGHTS["reals"](np.random.default_rng(5), len(x))
    states = set()
    for _ in range(3):
        rounds = rounds_on(gpu, loss, x, weight, uniforms)
        for number in range(6):
            rounds.run(number)
        arrays = rounds.closest, rounds.masses, rounds.totals, rounds.chosen
        states.add(b"".join(gpu.to_numpy(array).tobytes() for array in arrays))
    assert len(states) == 1


@BOTH
@NARROW_AND_WIDE
@pytest.mark.parametrize("n_clusters", [1, 2, 30])
@pytest.mark.parametrize("weights", ["none", "reals"])
def test_seeding_is_that_of_the_reference(gpu, loss, d, n_clusters, weights):
    """And leaves the generator where the reference does."""
    x = problem(200, d, "float32", seed=6)
    weight = WEIGHTS[weights](np.random.default_rng(7), len(x))
    one, two = np.random.default_rng(8), np.random.default_rng(8)
    there = gpu.asarray(x), n_clusters, None if weight is None else gpu.asarray(weight)
    found, _ = seeding.greedy_seed(loss, *there, one)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int64
    with kernels.use("reference"):
        expected, _ = greedy_seed(x, n_clusters, LOSSES[loss], weight, two)
    np.testing.assert_array_equal(found, expected)
    assert one.random() == two.random()


@BOTH
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [5, 140])
@pytest.mark.only("cupy")
def test_any_strides(gpu, loss, layout, d):
    x, uniforms = problem(270, d, "float32"), draws(8, 4)
    rounds = seeding.Rounds(loss, LAYOUTS[layout](gpu.asarray(x)), None, uniforms)
    for number in range(8):
        rounds.run(number)
    np.testing.assert_array_equal(
        gpu.to_numpy(rounds.chosen), expected_rows(x, loss, None, uniforms)
    )


@BOTH
@NARROW_AND_WIDE
@pytest.mark.only("numpy")
def test_columns_side_by_side_in_memory(gpu, loss, d, monkeypatch):
    """A thread takes a row, though its features be many."""
    x, uniforms = np.asfortranarray(problem(270, d, "float32")), draws(8, 4)
    memory = x.T, np.int64(1), np.int64(len(x))
    monkeypatch.setattr(seeding, "matrix", lambda _: memory)
    rounds = seeding.Rounds(loss, x, None, uniforms)
    for number in range(8):
        rounds.run(number)
    np.testing.assert_array_equal(rounds.chosen, expected_rows(x, loss, None, uniforms))


@pytest.mark.only("numpy")
def test_row_offsets_have_64_bits(gpu, monkeypatch):
    """Three rows, 2**30 bytes apart, in memory of which nothing else is ever touched."""
    memory = np.zeros(2**31 + 1, np.uint8)
    memory[2**30], memory[2**31] = 5, 7
    x = np.lib.stride_tricks.as_strided(memory, (3, 1), (2**30, 1))
    monkeypatch.setattr(seeding, "matrix", lambda _: (memory, np.int64(2**30), np.int64(1)))
    rounds = seeding.Rounds("l1", x, None, np.array([[0.5, 0], [0.9, 0.1], [0.5, 0.5]]))
    for number, closest in enumerate(([5, 0, 2], [0, 0, 2], [0, 0, 0])):
        rounds.run(number)
        np.testing.assert_array_equal(rounds.closest, closest)


def test_arguments_are_checked_before_a_launch(gpu):
    x, uniforms = gpu.asarray(problem(10, 3, "float32")), draws(2, 3)
    with pytest.raises(TypeError, match=r"sample_weight\.dtype=float32"):
        seeding.Rounds("l1", x, gpu.asarray(np.ones(10, np.float32)), uniforms)
    with pytest.raises(ValueError, match=r"sample_weight\.shape=\(9,\)"):
        seeding.Rounds("l1", x, gpu.asarray(np.ones(9)), uniforms)
    with pytest.raises(TypeError, match=r"X\.dtype=complex64: the kernels read float16"):
        seeding.Rounds("l1", gpu.asarray(np.ones((3, 2), np.complex64)), None, uniforms)
