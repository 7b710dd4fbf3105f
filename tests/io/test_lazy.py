"""Data that workers of Dask read: the rows of the files, in order, in chunks of known lengths."""

import sys

import dask
import numpy as np
import pandas as pd
import pytest
import zarr

from kmgpu.io import lazy, parquet
from kmgpu.io.lazy import open_lazy

X = np.arange(240.0, dtype=np.float32).reshape(80, 3)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 12 * 25)  # 25 rows
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 12 * 4)
    with dask.config.set(scheduler="sync"):
        yield


def parquets(path, lengths, names="abc", row_group_size=10):
    path.mkdir()
    start = 0
    for number, n in enumerate(lengths):
        frame = pd.DataFrame(X[start : start + n], columns=list(names))
        name = path / f"part-{number}.parquet"
        frame.to_parquet(name, row_group_size=row_group_size)
        start += n


def test_parquet_is_read_by_row_groups_in_natural_order(tmp_path):
    lengths = [20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 51]  # part-10 comes after part-9
    parquets(tmp_path / "p", lengths)
    found = open_lazy("p")
    assert found.names == ("a", "b", "c")
    assert found.data.chunks == ((20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 20, 20, 11), (3,))
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(found.data.compute(), X)
    one = open_lazy(tmp_path / "p" / "part-0.parquet")
    np.testing.assert_array_equal(one.data[15:].compute(), X[15:20])


def test_columns_are_those_of_the_first_file(tmp_path):
    parquets(tmp_path / "p", [40, 40])
    frame = pd.DataFrame(X[40:], columns=list("abc"))[list("cab")]
    frame.to_parquet(tmp_path / "p" / "part-1.parquet")
    np.testing.assert_array_equal(open_lazy("p").data.compute(), X)


def test_zarr_is_read_by_whole_chunks():
    group = zarr.open_group("z", mode="w")
    for name in ("one", "two"):
        group.create_array(name, shape=X.shape, chunks=(10, 2), dtype=X.dtype)[:] = X
    found = open_lazy("z", "two")
    assert (found.names, found.data.chunks) == (None, ((20, 20, 20, 20), (3,)))
    np.testing.assert_array_equal(found.data.compute(), X)
    with pytest.raises(ValueError, match="z holds the arrays one, two; name one with --array"):
        open_lazy("z")


def test_files_may_be_read_elsewhere(tmp_path, monkeypatch):
    parquets(tmp_path / "p", [80])
    found = open_lazy("p")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    np.testing.assert_array_equal(found.data.compute(), X)


@pytest.mark.parametrize("name", ["x.npy", "folder"])
def test_other_files_are_refused(tmp_path, name):
    np.save("x.npy", X)
    (tmp_path / "folder").mkdir()
    np.save("folder/x.npy", X)
    with pytest.raises(ValueError, match=rf"{name}: workers of Dask read \.parquet, a folder"):
        open_lazy(name)


def test_parquet_that_is_no_table_is_refused(tmp_path):
    parquets(tmp_path / "p", [80])
    with pytest.raises(ValueError, match="array='a' was given; leave it out"):
        open_lazy("p", "a")
    parquets(tmp_path / "q", [0])
    with pytest.raises(ValueError, match="holds no rows"):
        open_lazy("q")
    with pytest.raises(FileNotFoundError):
        open_lazy("nothing.parquet")


def test_without_dask_the_extra_is_named(tmp_path, monkeypatch):
    parquets(tmp_path / "p", [80])
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(ImportError, match=r"pip install 'kmgpu\[dask\]'"):
        open_lazy("p")
