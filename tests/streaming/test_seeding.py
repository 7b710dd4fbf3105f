"""Initial centres of rows that are read block by block are those of the same rows in memory."""

import numpy as np
import pytest

from kmgpu import RowBlocks
from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.seeding import initial_centers
from kmgpu.backend.arrays import place_of
from kmgpu.sources.stream import Stream
from kmgpu.streaming.seeding import streamed_start
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
WEIGHTED = pytest.mark.parametrize("weighted", [False, True])
X = oracles.blobs(230, 3, 5, seed=8).astype(np.float32)
WEIGHT = np.random.default_rng(4).integers(0, 4, 230).astype(float)


def rng(seed=0):
    return np.random.default_rng(seed)


def stream(backend, x=X, weight=None, block_rows=50):
    place = place_of(backend.asarray(np.zeros((1, 1))))
    return Stream(RowBlocks([x]), place, weight, block_rows)


@BOTH
@WEIGHTED
@pytest.mark.parametrize(
    ("init", "passes"), [("k-means||", 7), ("k-means++", 7), ("greedy", 18), ("random", None)]
)
def test_the_centres_are_those_of_the_rows_in_memory(backend, loss, weighted, init, passes):
    weight = WEIGHT if weighted else None
    in_memory = "k-means||" if init == "k-means++" else init
    block_sizes = (1, 50, 1000) if backend.name == "numpy" else (50,)
    for seed, block_rows in enumerate(block_sizes):
        source = stream(backend, X, weight, block_rows)
        found = streamed_start(source, init, 8, loss, rng(seed)).centers
        expected = initial_centers(X, in_memory, 8, loss, weight, rng(seed)).centers
        np.testing.assert_array_equal(backend.to_numpy(found), expected)
        assert passes is None or source.n_passes == passes
        assert not any(source._caches)


@BOTH
def test_greedy_seeding_of_few_distinct_rows(backend, loss):
    points = np.array([[0.0, 1, 3], [5, 5, 2], [2, 7, 7]], np.float32)
    x = np.repeat(points, [50, 2, 7], axis=0)
    found = streamed_start(stream(backend, x, None, 7), "greedy", 5, loss, rng()).centers
    np.testing.assert_array_equal(
        np.unique(backend.to_numpy(found), axis=0), np.unique(points, axis=0)
    )


@WEIGHTED
def test_given_centres_and_functions(backend, weighted):
    source = stream(backend, X, WEIGHT if weighted else None)
    found = streamed_start(source, X[:4], 4, L2, rng()).centers
    np.testing.assert_array_equal(backend.to_numpy(found), X[:4])
    assert source.n_passes == 0
    with pytest.raises(ValueError, match="number of features"):
        streamed_start(source, X[:4, :2], 4, L2, rng())
    with pytest.raises(TypeError, match=r"init is a function of all rows.*'k-means\|\|'"):
        streamed_start(source, lambda *_: X[:4], 4, L2, rng())
