"""Sources in this process: the same blocks however data are cut, and errors that name the block."""

from itertools import pairwise

import numpy as np
import pytest

from kmgpu import RowBlocks
from kmgpu.sources.arrays import ArrayBlocks
from kmgpu.sources.stream import Stream

X = np.arange(60.0, dtype=np.float32).reshape(20, 3)


def cut(x, *sizes):
    """Blocks of these lengths, then of the rest."""
    edges = np.cumsum([0, *sizes, len(x) - sum(sizes)])
    return [x[a:b] for a, b in pairwise(edges)]


def seen(block, add):
    return block.index, block.start, block.rows.tolist(), add


class Sliced:
    """What zarr and h5py give: shape, dtype, rows by slices."""

    shape, dtype, chunks = X.shape, X.dtype, (6, 3)

    def __getitem__(self, at):
        assert isinstance(at, slice)
        return X[at]


SOURCES = {
    "an array": lambda: ArrayBlocks(X),
    "columns": lambda: ArrayBlocks(np.asfortranarray(X)),
    "slices": lambda: ArrayBlocks(Sliced()),
    "a list": lambda: RowBlocks(cut(X, 1, 7)),
    "empty ones": lambda: RowBlocks(cut(X, 0, 5, 0, 0, 4)),
    "a function": lambda: RowBlocks(lambda: (X[i : i + 3] for i in range(0, 20, 3))),
    "rows": lambda: RowBlocks(cut(X, *[1] * 19)),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("size", [1, 6, 7, 20, 100])
def test_blocks_do_not_depend_on_how_data_are_cut(name, size):
    stream = Stream(SOURCES[name](), block_rows=size)
    expected = [(i, a, X[a : a + size].tolist(), "more") for i, a in enumerate(range(0, 20, size))]
    for _ in range(2):
        assert stream.map(seen, "more") == expected
    assert (stream.n_samples, stream.n_features, stream.dtype) == (20, 3, np.float32)
    assert stream.n_passes == 2
    np.testing.assert_array_equal(stream.rowwise(lambda block: block.rows), X)


def test_blocks_have_their_weights_and_what_was_left_beside_them():
    weight = np.arange(20.0)
    stream = Stream(ArrayBlocks(X), sample_weight=weight, block_rows=6)

    def total(block):
        block.cache["calls"] = block.cache.get("calls", 0) + 1
        return float(block.weight.sum()), block.cache["calls"]

    assert stream.map(total) == [(15.0, 1), (51.0, 1), (87.0, 1), (37.0, 1)]
    assert [calls for _, calls in stream.map(total)] == [2] * 4


def test_rows_are_named_as_they_were_given():
    stream = Stream(RowBlocks(cut(X, 4, 0, 9)), block_rows=5)
    assert stream.n_samples == 20
    assert stream.where(12) == "row 8 of block 2 (row 12 of all)"
    assert Stream(ArrayBlocks(X)).where(12) == "row 12"


@pytest.mark.parametrize("given", [iter(cut(X, 4)), (block for block in cut(X, 4))])
def test_what_is_read_once_is_refused_by_name(given):
    with pytest.raises(TypeError, match=rf"{type(given).__name__}.*kmgpu\.RowBlocks\(function\)"):
        RowBlocks(given)


@pytest.mark.parametrize(
    ("last", "error", "said"),
    [
        (X[:, :2], ValueError, "block 2 of X has 2 features, the first one has 3"),
        (X.astype(float), ValueError, "block 2 of X has dtype float64, the first one has float32"),
        (X[0], ValueError, "block 2 of X is 1-dimensional"),
        (X.astype(complex), TypeError, "block 2 of X has dtype complex128"),
    ],
)
def test_a_block_unlike_the_first_is_named(last, error, said):
    with pytest.raises(error, match=said):
        Stream(RowBlocks([X, X, last])).map(seen, 0)


def changing(*passes):
    """Blocks that differ from pass to pass; the first opening is that of the prototype."""
    remaining = iter([passes[0], *passes])
    return RowBlocks(lambda: next(remaining))


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (X[:19], r"rows 18 to 18 are others \(pass 2\)"),
        (X[:18], "it gives 18 rows now, 20 were announced"),
        (X + 1, "rows 0 to 5 are others"),
        (np.concatenate([X, X[:1]]), "rows 18 to 20 are others"),
        (X[:0], "X gives no rows at pass 2"),
    ],
)
def test_other_rows_at_a_later_pass_are_noticed(later, said):
    stream = Stream(changing([X], [later]), block_rows=6)
    stream.map(seen, 0)
    with pytest.raises(ValueError, match=said):
        stream.map(seen, 0)


def test_no_rows_at_all_and_wrong_weights_are_said():
    with pytest.raises(ValueError, match="X gives no rows"):
        Stream(RowBlocks([X[:0], X[:0]]))
    for n in (19, 21):
        with pytest.raises(ValueError, match=rf"shape == \({n},\), but X has .*20 rows"):
            Stream(RowBlocks([X]), sample_weight=np.ones(n)).map(seen, 0)
