"""Dask's arrays and frames as a source: blocks, tasks, order of merging, errors."""

from itertools import chain, pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from kmgpu.sources import dask as source_module
from kmgpu.sources.dask import DaskRows
from kmgpu.sources.kept import Kept

X = np.arange(60.0, dtype=np.float32).reshape(20, 3)
WEIGHTS = np.arange(20.0)
CHUNKED = da.from_array(X, chunks=((6, 0, 9, 0, 5), 3))
FRAME = dd.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=3)


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="sync"):
        yield


def seen(block, add):
    weight = None if block.weight is None else block.weight.tolist()
    return block.index, block.start, block.rows.tolist(), weight, add


def in_order(block):
    return [block.index]


def joined(a, b):
    return a + b


def bracketed(a, b):
    return f"({a}{b})"


def letter(block):
    return chr(ord("a") + block.index)


def counted(block):
    block.cache["calls"] = block.cache.get("calls", 0) + 1
    return block.cache["calls"]


def total(block):
    return block.rows.sum(axis=1)


KINDS = {
    "chunks": (da.from_array(X, chunks=(7, 3)), [7, 7, 6]),
    "chunks across columns": (da.from_array(X, chunks=(7, 2)), [7, 7, 6]),
    "empty chunks": (CHUNKED, [6, 9, 5]),
    "unknown lengths": (CHUNKED[CHUNKED[:, 0] >= 0], [6, 9, 5]),
    "a frame": (FRAME, [7, 7, 6]),
    "nullable columns": (FRAME.astype("Float32"), [7, 7, 6]),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("weights", [None, WEIGHTS, da.from_array(WEIGHTS, chunks=20)])
def test_every_chunk_is_a_block(name, weights):
    data, lengths = KINDS[name]
    if not isinstance(weights, np.ndarray | None) and name in (
        "unknown lengths",
        "a frame",
        "nullable columns",
    ):
        parts = tuple(int(n) for n in DaskRows(data).map(_length))
        full = (6, 0, 9, 0, 5) if name == "unknown lengths" else parts
        weights = weights.rechunk((full,))
    source = DaskRows(data, weights)
    starts = np.cumsum([0, *lengths])
    expected = [
        (i, a, X[a:b].tolist(), None if weights is None else WEIGHTS[a:b].tolist(), "more")
        for i, (a, b) in enumerate(pairwise(starts))
    ]
    assert source.map(seen, "more") == expected
    dtype = np.float64 if name == "nullable columns" else np.float32
    assert (source.n_samples, source.n_features, source.dtype) == (20, 3, dtype)
    assert source.weighted is (weights is not None)
    assert source.devices == "cpu"
    np.testing.assert_array_equal(source.rowwise(total).compute(), X.sum(axis=1))


def _length(block):
    return len(block.rows)


@pytest.mark.parametrize("kind", [np.asarray, lambda w: da.from_array(w, chunks=5)])
def test_weights_of_one_value_are_none(kind):
    source = DaskRows(CHUNKED, kind(np.full(20, 3.0)))
    assert (source.weighted, source.weight_factor) == (False, 3.0)
    some = DaskRows(CHUNKED, kind(np.where(WEIGHTS < 8, 0, 3.0)))
    assert (some.weighted, some.weight_factor) == (True, 3.0)
    assert list(chain(*(found[3] for found in some.map(seen, 0)))) == [0.0] * 8 + [1.0] * 12


@pytest.mark.parametrize("n_chunks", [1, 2, 16, 17, 300])
def test_results_are_merged_in_a_tree_in_the_order_of_chunks(n_chunks):
    x = da.zeros((n_chunks * 512, 2), chunks=(512, 2))
    source = DaskRows(x)
    assert source.fold(in_order, joined) == list(range(n_chunks))
    n_groups = len(source._groups)
    assert n_groups == n_chunks
    assert source.n_tasks <= n_groups * 17 / 15 + 1
    if n_chunks == 17:
        first = "a"
        for i in range(1, 16):
            first = f"({first}{chr(ord('a') + i)})"
        assert source.fold(letter, bracketed) == f"({first}q)"


def test_small_chunks_are_worked_on_by_one_task(monkeypatch):
    monkeypatch.setattr(source_module, "FEWEST_GROUPS", 4)
    source = DaskRows(da.from_array(X, chunks=(1, 3)))
    assert source.fold(in_order, joined) == list(range(20))
    assert [len(group.pieces) for group in source._groups] == [5, 5, 5, 5]
    assert source.n_tasks == 5
    monkeypatch.setattr(source_module, "GROUP_BYTES", 24)
    assert len(DaskRows(da.from_array(X, chunks=(1, 3))).map(_length)) == 20


def test_nothing_is_computed_before_it_is_asked_for():
    made = []

    def make(chunk):
        made.append(len(chunk))
        return chunk

    lazy = da.from_array(X, chunks=(6, 3)).map_blocks(make, dtype=X.dtype, meta=X[:0])
    found = DaskRows(lazy).rowwise(total)
    assert (found.chunks, found.dtype) == (((6, 6, 6, 2),), np.float32)
    assert made == []
    np.testing.assert_array_equal(found[6:12].compute(), X[6:12].sum(axis=1))
    assert made == [6]


def test_a_block_finds_what_its_last_call_has_left():
    source = DaskRows(CHUNKED)
    assert [source.map(counted) for _ in range(3)] == [[1] * 3, [2] * 3, [3] * 3]
    assert DaskRows(CHUNKED).map(counted) == [1] * 3
    source.close()
    assert source.map(counted) == [1] * 3


def leave(kept, source, block, number, value):
    with kept.beside(source, block, number) as cache:
        before = dict(cache)
        cache["it"] = value
    return before


def test_what_another_process_has_worked_on_since_is_forgotten():
    kept = Kept()
    assert leave(kept, "s", 0, 1, 1) == {}
    assert leave(kept, "s", 0, 2, 2) == {"it": 1}
    assert leave(kept, "s", 0, 4, 4) == {}  # pass 3 was made elsewhere
    assert leave(kept, "s", 0, 4, 4) == {}  # the same pass again


def test_an_error_leaves_nothing_beside_the_block():
    kept = Kept()
    leave(kept, "s", 0, 1, 1)
    with pytest.raises(ZeroDivisionError), kept.beside("s", 0, 2) as cache:
        cache["it"] /= 0
    assert leave(kept, "s", 0, 3, 3) == {}


class Holder:
    def __init__(self, array):
        self.array = array


def test_caches_are_bounded_and_old_sources_make_room():
    kept = Kept(most_bytes=1000)
    leave(kept, "old", 0, 1, np.zeros(50))
    leave(kept, "new", 0, 1, [Holder(np.zeros(80))])
    assert leave(kept, "old", 0, 2, None) == {}
    leave(kept, "new", 1, 1, (np.zeros(40), 3))
    leave(kept, "new", 2, 1, np.zeros(60))
    assert leave(kept, "new", 0, 2, None) != {}
    assert leave(kept, "new", 2, 2, None) == {}


def test_rows_have_names():
    source = DaskRows(CHUNKED)
    assert source.where(5) == "row 5 of chunk 0 (row 5 of all)"
    assert source.where(6) == "row 0 of chunk 2 (row 6 of all)"
    assert DaskRows(da.from_array(X)).where(6) == "row 6"


class Changing:
    """Other rows at every look."""

    shape, dtype, ndim = X.shape, X.dtype, 2

    def __init__(self):
        self.looks = 0

    def __getitem__(self, at):
        self.looks += 1
        return X[at] + (self.looks > 4)


def test_other_rows_at_the_second_pass_are_noticed():
    data = da.from_array(Changing(), chunks=(10, 3), asarray=False, meta=X[:0])
    source = DaskRows(data)
    source.map(total)
    with pytest.raises(ValueError, match=r"not the same at every pass: chunk . has other rows"):
        source.map(total)


def mixed(*chunks):
    parts = [dask.delayed(chunk) for chunk in chunks]
    arrays = [da.from_delayed(part, shape=(np.nan, 3), dtype=X.dtype, meta=X[:0]) for part in parts]
    return da.concatenate(arrays, allow_unknown_chunksizes=True)


MISTAKES = {
    "1-d": (lambda: da.zeros(3), None, "2D array, got 1D of shape"),
    "complex": (lambda: da.zeros((3, 2), dtype=complex), None, "dtype complex128; Complex data"),
    "no rows": (lambda: mixed(X[:0], X[:0]), None, "gives no rows"),
    "another dtype": (
        lambda: mixed(X, X.astype(np.float64)),
        None,
        "chunk 1 of X has dtype float64, but X says float32",
    ),
    "another width": (lambda: mixed(X, X[:, :2]), None, "chunk 1 of X has shape .20, 2."),
    "text": (
        lambda: dd.from_pandas(pd.DataFrame({"a": [1.0], "b": ["x"]}), npartitions=1),
        None,
        "column 'b' of X has dtype",
    ),
    "one column": (lambda: FRAME["a"], None, r"pass a frame, such as X.to_frame\(\)"),
    "weights of other length": (lambda: CHUNKED, da.ones(19), r"shape == \(19,\)"),
    "weights of other chunks": (
        lambda: KINDS["unknown lengths"][0],
        da.ones(20, chunks=5),
        "sample_weight has 4 chunks and X has 5",
    ),
    "weights that do not match": (
        lambda: KINDS["unknown lengths"][0],
        da.ones(20, chunks=4),
        "chunk . of sample_weight has 4 rows, that of X has",
    ),
    "weights of two axes": (lambda: CHUNKED, da.ones((20, 1)), "2-dimensional"),
    "a negative weight": (
        lambda: CHUNKED,
        da.where(da.arange(20, chunks=3) == 7, -1, 1),
        r"sample_weight\[7\] is -1.0",
    ),
    "no weight": (lambda: CHUNKED, da.zeros(20, chunks=3), "zero for every row"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_an_error_says_what_is_wrong_where(name):
    make, weights, message = MISTAKES[name]
    with pytest.raises((ValueError, TypeError), match=message):
        DaskRows(make(), weights).map(total)
