"""Tables in files: what is read, and the one line that says why not."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from kmgpu.io.tables import read_weights
from tests.support.tables import read_data

TABLE = np.array([[1.5, -2.0], [3.25, 4e6], [0.0, 7.0]])


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file of that name; the file."""

    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "u1", "i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_memory_mapped_and_read_only(tmp_path, dtype, order):
    table = np.asarray(TABLE % 2, dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", table)
    found = read_data(tmp_path / "x.npy")
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    assert found.dtype == table.dtype
    np.testing.assert_array_equal(found, table)


def test_npz_with_one_array_needs_no_name(tmp_path):
    np.savez(tmp_path / "x.npz", anything=TABLE)
    np.testing.assert_array_equal(read_data(tmp_path / "x.npz"), TABLE)


def test_npz_with_several_arrays_needs_a_name(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=TABLE, b=TABLE + 1)
    np.testing.assert_array_equal(read_data(str(path), array="b"), TABLE + 1)
    with pytest.raises(ValueError, match=r"x\.npz holds the arrays a, b; name one with --array"):
        read_data(path)
    with pytest.raises(ValueError, match=r"holds the arrays a, b; there is no 'c'"):
        read_data(path, array="c")


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2\n3.25,4e6\n0,7\n",
        "1.5,-2\r\n3.25,4e6\r\n0,7",
        "width,height\n1.5,-2\n3.25,4e6\n0,7\n",
        "\n\nwidth,height\n\n1.5,-2\n3.25,4e6\n\n0,7\n\n",
        "\n1.5,-2\n3.25,4e6\n0,7\n",
        '"the width","height, in m"\n"1.5",-2\n3.25,"4e6"\n0,7\n',
        "\ufeffwidth;height\n1.5;-2\n3.25;4e6\n0;7\n",
        "1.5\t-2\n3.25\t4e6\n0\t7\n",
        "# width, height\n1.5, -2\n3.25, 4e6\n0, 7\n",
    ],
)
def test_csv_with_and_without_names(write, text):
    found = read_data(write("x.CSV", text))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, TABLE)


def test_csv_of_one_column_and_of_one_row(write):
    np.testing.assert_array_equal(read_data(write("x.csv", "1\n2\n")), [[1], [2]])
    np.testing.assert_array_equal(read_data(write("x.csv", "1,2\n")), [[1, 2]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3,red\n", r"line 3, column 2 holds the text 'red'; every column must"),
        ("1,2\n\n\nx,4\n", r"line 4, column 1 holds the text 'x'"),
        ("1,red\n3,4\n", r"line 1, column 2 holds the text 'red'"),
        ("1,2\n3,\n", r"line 2, column 2 is empty; fill it in"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 values where the first line has 2"),
        ("1,2\n1_0,3\n", r"line 2, column 1 holds the text '1_0'"),
        (",a\n0,1\n", r"first column has no name.*index=False"),
        ("", r"is empty; expected one line of numbers"),
        ("a,b\n", r"holds an array of shape \(0, \d\); expected \(n_samples, n_features\)"),
        (b"1,2\n\xff\xfe,3\n", r"is not UTF-8 text"),
        (b"1,2\n" * 100_000 + b"\xff,3\n", r"is not UTF-8 text"),
    ],
)
def test_csv_faults_are_located(write, text, said):
    with pytest.raises(ValueError, match=rf"x\.csv.*{said}") as caught:
        read_data(write("x.csv", text))
    one_line(caught)


def test_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"w": [1, 2, 3], "h": [0.5, np.nan, 2.5]}).to_parquet(path)
    found = read_data(path)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[1, 0.5], [2, np.nan], [3, 2.5]])


def test_parquet_keeps_a_common_narrow_dtype(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame(TABLE.astype("f4"), columns=["a", "b"]).to_parquet(path)
    assert read_data(path).dtype == np.float32


def test_parquet_booleans_and_nulls(tmp_path):
    path = tmp_path / "x.parquet"
    columns = {"a": pa.array([True, None]), "b": pa.array([1, 2], pa.int8())}
    pyarrow.parquet.write_table(pa.table(columns), path)
    np.testing.assert_array_equal(read_data(path), [[1, 1], [np.nan, 2]])


def test_parquet_without_the_index_of_pandas(tmp_path):
    path = tmp_path / "x.parquet"
    index = pd.Index(["p", "q", "r"], name="who")
    pd.DataFrame(TABLE, columns=["a", "b"], index=index).to_parquet(path)
    np.testing.assert_array_equal(read_data(path), TABLE)


def test_parquet_with_text_names_the_column(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": [1.0], "colour": ["red"]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"x\.parquet, column 'colour' holds .*string"):
        read_data(path)


def test_parquet_without_columns(tmp_path):
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pa.table({}), path)
    with pytest.raises(ValueError, match=r"shape \(0, 0\)"):
        read_data(path)


def test_parquet_without_pyarrow(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"x\.parquet.*pip install 'kmgpu\[parquet\]'"):
        read_data(write("x.parquet", ""))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.npy", "is not an .npy file; write one with numpy.save"),
        ("x.npz", "is not an .npz archive; write one with numpy.savez"),
        ("x.parquet", "cannot be read"),
        ("x.xlsx", "give one of .npy, .npz, .csv, .parquet"),
        ("x", "give one of .npy, .npz, .csv, .parquet"),
    ],
)
def test_files_that_are_something_else(write, name, said):
    with pytest.raises(ValueError, match=rf"{name} .*{said}") as caught:
        read_data(write(name, "something else"))
    one_line(caught)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.npy: there is no such file"):
        read_data(tmp_path / "x.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ValueError, match=r"folder\.npy is not a file"):
        read_data(tmp_path / "folder.npy")


def test_a_truncated_npy(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, TABLE)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"x\.npy cannot be read"):
        read_data(path)


class Trap:
    """Unpickling one of these fails the test."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_objects_are_never_unpickled(tmp_path, name):
    objects = np.array([[Trap()]], dtype=object)
    (np.save if name == "x.npy" else np.savez)(tmp_path / name, objects)
    with pytest.raises(ValueError, match=rf"{name} .*Python objects, which kmgpu never unpickles"):
        read_data(tmp_path / name)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (np.zeros(4), r"shape \(4,\); expected \(n_samples, n_features\)"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((3, 0)), r"shape \(3, 0\)"),
        (np.array([["a"]]), r"dtype <U1, which are not real numbers"),
        (np.zeros((2, 2), complex), r"dtype complex128"),
        (np.zeros((2, 2), "M8[s]"), r"dtype datetime64"),
    ],
)
def test_arrays_that_are_no_table_of_numbers(tmp_path, table, said):
    np.savez(tmp_path / "x.npz", table)
    with pytest.raises(ValueError, match=rf"x\.npz holds .*{said}"):
        read_data(tmp_path / "x.npz")


def test_an_array_name_is_for_npz_only(tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    with pytest.raises(ValueError, match="array='a' was given; leave it out"):
        read_data(tmp_path / "x.npy", array="a")


def test_weights_are_a_vector_or_a_single_column(tmp_path, write):
    np.save(tmp_path / "w.npy", np.arange(3))
    np.testing.assert_array_equal(read_weights(tmp_path / "w.npy"), [0, 1, 2])
    np.testing.assert_array_equal(read_weights(write("w.csv", "weight\n2\n5\n")), [2, 5])
    with pytest.raises(ValueError, match=r"w\.csv .*shape \(1, 2\); expected weights"):
        read_weights(write("w.csv", "2,5\n"))
