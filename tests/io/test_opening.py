"""`open_data`: the same rows in the same order, whatever holds them and however they are read."""

import builtins
import gzip

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import zarr

import kmgpu
from kmgpu import RowBlocks, open_data
from kmgpu.io import opening, parquet, text_tables
from kmgpu.io.opening import open_table
from kmgpu.io.tables import read_table
from tests.support import oracles

X = oracles.blobs(97, 3, 4, seed=6)


def all_rows(data, least_blocks=1):
    """Two passes over blocks must give the same; the rows of one."""
    if isinstance(data, np.ndarray):
        return data
    passes = [[np.array(block) for block in data.blocks()] for _ in range(2)]
    for one, two in zip(*passes, strict=True):
        np.testing.assert_array_equal(one, two)
    found = np.concatenate(passes[0])
    assert data.n_samples in (None, len(found))
    assert (data.n_features, data.dtype) == (found.shape[1], found.dtype)
    assert len(passes[0]) >= least_blocks
    return found


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def shards(tmp_path):
    """A folder of shards whose names say their order only to who can count."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, part in enumerate(np.array_split(X.astype(np.float32), 12)):
        np.save(folder / f"part-{number}.npy", part)
    return folder


def test_shards_are_one_table_in_the_order_of_their_numbers(shards):
    (shards / "_SUCCESS").touch()
    (shards / ".hidden.txt").touch()
    found = open_data(shards)
    assert isinstance(found, RowBlocks)
    assert found.n_samples == 97
    np.testing.assert_array_equal(all_rows(found, 12), X.astype(np.float32))


def test_shards_in_fortran_order_and_of_vectors(tmp_path):
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", np.asfortranarray(X))
    np.testing.assert_array_equal(all_rows(open_data(tmp_path)), np.concatenate([X, X]))
    folder = tmp_path / "v"
    folder.mkdir()
    for number in range(3):
        header = np.array(X.shape, "<i4").tobytes()
        (folder / f"{number}.u8bin").write_bytes(header + np.abs(X).astype(np.uint8).tobytes())
    assert all_rows(open_data(folder), 3).shape == (3 * 97, 3)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("part-3.npy", lambda x: x[:, :2], r"part-3\.npy has 2 features .*part-0\.npy has 3"),
        ("part-11.npy", lambda x: x.astype("f8"), r"part-11\.npy has 3 .*float64.*of float32"),
        ("part-0.npy", lambda x: x[:0], r"part-0\.npy holds an array of shape \(0, 3\)"),
        ("part-4.npy", lambda x: x[0], r"part-4\.npy holds an array of shape \(3,\)"),
        ("notes.csv", lambda x: x, r"is a folder of \.csv, \.npy; give one whose files all"),
    ],
)
def test_shards_must_be_alike(shards, name, change, said):
    changed = change(np.load(shards / "part-0.npy"))
    with (shards / name).open("wb") as file:
        np.save(file, changed)
    with pytest.raises(ValueError, match=said) as caught:
        open_data(shards)
    one_line(caught)


def test_folders_of_nothing_and_of_pictures(tmp_path):
    with pytest.raises(ValueError, match="is a folder of no files; give one"):
        open_data(tmp_path)
    (tmp_path / "x.png").touch()
    with pytest.raises(ValueError, match=r"is a folder of \.png; give one"):
        open_data(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        open_data(tmp_path / "none")


@pytest.fixture
def parquets(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame[:10].to_parquet(folder / "part-0.parquet")
    frame[10:60][["c", "a", "b"]].to_parquet(folder / "part-2.parquet", row_group_size=7)
    frame[60:].to_parquet(folder / "part-10.parquet", index=True)
    return folder


@pytest.mark.parametrize("large", [False, True])
def test_a_folder_of_parquet(parquets, monkeypatch, large):
    if large:
        monkeypatch.setattr(opening, "AT_ONCE", 100)
        monkeypatch.setattr(parquet, "BLOCK_BYTES", 24 * 20)
    found = open_table(parquets)
    assert isinstance(found.data, RowBlocks) == large
    assert found.names == ("a", "b", "c")
    np.testing.assert_array_equal(all_rows(found.data, 6), X)


def test_one_large_parquet_file_is_read_by_blocks(parquets, monkeypatch):
    path = parquets / "part-2.parquet"
    monkeypatch.setattr(opening, "AT_ONCE", 100)
    found = open_table(path)
    assert isinstance(found.data, RowBlocks)
    assert found.names == ("c", "a", "b")
    np.testing.assert_array_equal(all_rows(found.data), read_table(path).data)


def test_parquet_of_mixed_numbers_has_one_dtype(tmp_path):
    for number, kind in enumerate(["int8", "float32", "bool"]):
        pd.DataFrame({"a": np.arange(4).astype(kind)}).to_parquet(tmp_path / f"{number}.parquet")
    found = all_rows(open_data(tmp_path))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": [1.0], "b": [2.0]}, r"part-3\.parquet has other columns than .*part-0.*\(c\)"),
        ({"a": [1.0], "b": [2.0], "d": [1.0]}, r"\(c, d\)"),
        ({"a": [1.0], "b": [2.0], "c": ["red"]}, r"part-3\.parquet, column 'c' holds .*string"),
        ({"a": [1.0], "b": pa.array([None], pa.float64()), "c": [1.0]}, "column 'b' holds nulls"),
    ],
)
def test_parquet_files_must_be_alike(parquets, columns, said):
    pyarrow.parquet.write_table(pa.table(columns), parquets / "part-3.parquet")
    with pytest.raises(ValueError, match=said) as caught:
        open_data(parquets)
    one_line(caught)


def test_a_damaged_parquet_file_is_named(parquets):
    (parquets / "part-2.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match=r"part-2\.parquet cannot be read"):
        open_data(parquets)


TEXT = "länge;breite\n" + "".join(f"{a:.17g};{b:.17g}\n\n" for a, b, _ in X)


@pytest.fixture(params=["pandas", "pyarrow", "numpy"])
def reader(request, monkeypatch):
    chosen = {"pandas": (text_tables._by_pandas,), "pyarrow": (text_tables._by_arrow,)}
    monkeypatch.setattr(text_tables, "READERS", chosen.get(request.param, ()))


@pytest.mark.slow
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("n_bytes", "packed", "end"),
    [
        (1, False, "\n"),
        (50, True, "\r\n"),
        (50, False, ""),
        (1 << 20, False, "\r\n"),
        (1 << 20, True, ""),
    ],
)
def test_long_text_is_read_by_blocks(tmp_path, monkeypatch, n_bytes, packed, end):
    text = TEXT.replace("\n", end) if end else TEXT.rstrip()
    content = text.encode("utf-8-sig")
    path = tmp_path / ("x.csv.gz" if packed else "x.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    monkeypatch.setattr(opening, "AT_ONCE", 1)
    monkeypatch.setattr(text_tables.text_blocks, "__defaults__", (n_bytes,))
    found = open_table(path)
    assert isinstance(found.data, RowBlocks)
    assert found.names == ("länge", "breite")
    np.testing.assert_array_equal(all_rows(found.data), X[:, :2])
    assert len(list(found.data.blocks())) > (1 if n_bytes < 99 else 0)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("1,2\n3,x\n", r"line 52, column 2 holds the text 'x'"),
        ("1,2\n\n3\n", r"line 53 has 1 values where the first line has 2"),
        ("1,2\n3,\n", r"line 52, column 2 is empty"),
        ("nan,2\n", r"line 51, column 1 holds 'nan', which marks a missing value"),
    ],
)
def test_faults_of_long_text_are_located(tmp_path, monkeypatch, fault, said):
    path = tmp_path / "x.csv"
    path.write_text("0.5,1\n" * 50 + fault + "4,5\n" * 50)
    monkeypatch.setattr(opening, "AT_ONCE", 1)
    monkeypatch.setattr(text_tables.text_blocks, "__defaults__", (64,))
    found = open_data(path)
    with pytest.raises(ValueError, match=rf"x\.csv, {said}") as caught:
        list(found.blocks())
    one_line(caught)


def test_text_that_is_no_utf8_further_on(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,2\n" * 50_000 + b"\xff,3\n")
    monkeypatch.setattr(opening, "AT_ONCE", 1)
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        list(open_data(path).blocks())


@pytest.fixture
def texts(tmp_path):
    """A folder of tables with names, in the order of their numbers."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, part in enumerate(np.array_split(X, 11)):
        pd.DataFrame(part, columns=["a", "b", "c"]).to_csv(folder / f"{number}.csv", index=False)
    return folder


@pytest.mark.parametrize("large", [False, True])
def test_a_folder_of_text(texts, monkeypatch, large):
    if large:
        monkeypatch.setattr(opening, "AT_ONCE", 1)
        monkeypatch.setattr(text_tables.text_blocks, "__defaults__", (300,))
    found = open_table(texts)
    assert isinstance(found.data, RowBlocks) == large
    assert found.names == ("a", "b", "c")
    np.testing.assert_array_equal(all_rows(found.data, 22), X)


def test_a_folder_of_packed_text_without_names(tmp_path):
    for number, part in enumerate(np.array_split(X, 2)):
        content = "".join(f"{a:.17g} {b:.17g} {c:.17g}\n" for a, b, c in part)
        (tmp_path / f"{number}.txt.gz").write_bytes(gzip.compress(content.encode()))
    found = open_table(tmp_path, header=False)
    assert found.names is None
    np.testing.assert_array_equal(found.data, X)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", r"10\.csv has 2 columns \(a, b\), .*0\.csv has 3 columns \(a, b, c\)"),
        ("a,c,b\n1,2,3\n", r"10\.csv has 3 columns \(a, c, b\), .*in the same order"),
        ("1,2,3\n", r"10\.csv has 3 columns without names, .*0\.csv has 3 columns \(a"),
        ("a,b,c\n1,2,3\n1,2,x\n", r"10\.csv, line 3, column 3 holds the text 'x'"),
        ("", r"10\.csv is empty"),
    ],
)
def test_text_files_must_be_alike(texts, content, said):
    (texts / "10.csv").write_text(content)
    with pytest.raises(ValueError, match=said) as caught:
        open_data(texts)
    one_line(caught)
    with pytest.raises(ValueError, match="holds one table, and array='a' was given"):
        open_data(texts, "a")


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=array)
    return path


def zarrs(path, **arrays):
    group = zarr.open_group(str(path), mode="w")
    for name, array in arrays.items():
        group.create_array(name.replace("__", "/"), data=np.asarray(array))
    return path


STORES = pytest.mark.parametrize(("write", "name"), [(hdf5, "x.h5"), (zarrs, "x.zarr")])


@STORES
def test_stores_of_one_table_need_no_name(tmp_path, write, name):
    path = write(tmp_path / name, rows=X, deep__ids=np.arange(97))
    found = open_data(path)
    assert isinstance(found, RowBlocks)
    np.testing.assert_array_equal(all_rows(found), X)


@STORES
def test_stores_of_several_tables_need_a_name(tmp_path, write, name):
    path = write(tmp_path / name, a=X, deep__b=X + 1, c=X[0])
    np.testing.assert_array_equal(all_rows(open_data(path, "deep/b")), X + 1)
    with pytest.raises(ValueError, match=r"holds the arrays a, c, deep/b; name one with --array"):
        open_data(path)
    with pytest.raises(ValueError, match=r"there is no 'd'"):
        open_data(path, "d")
    with pytest.raises(ValueError, match=r"an array of shape \(3,\) and dtype float64; expected"):
        open_data(path, "c")
    with pytest.raises(ValueError, match=r"is no text, and header=True was given"):
        open_data(path, "a", header=True)


def test_a_zarr_array_is_read_in_whole_chunks(tmp_path, monkeypatch):
    array = zarr.create_array(str(tmp_path / "x.zarr"), shape=X.shape, dtype="f4", chunks=(10, 2))
    array[:] = X
    monkeypatch.setattr("kmgpu.sources.arrays.READ_BYTES", 3 * 4 * 25)
    found = open_data(tmp_path / "x.zarr")
    np.testing.assert_array_equal(all_rows(found, 5), X.astype(np.float32))
    assert [len(block) for block in found.blocks()] == [20, 20, 20, 20, 17]


@pytest.mark.parametrize("library", ["zarr", "h5py", "pyarrow"])
def test_a_library_that_is_missing_is_named_with_its_extra(
    tmp_path, monkeypatch, library, parquets
):
    paths = {
        "zarr": lambda: zarrs(tmp_path / "x.zarr", a=X),
        "h5py": lambda: hdf5(tmp_path / "x.hdf5", a=X),
        "pyarrow": lambda: parquets,
    }
    path, real = paths[library](), builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == library:
            msg = f"No module named {library!r}"
            raise ModuleNotFoundError(msg)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    extra = {"h5py": "hdf5", "pyarrow": "parquet"}.get(library, library)
    with pytest.raises(ImportError, match=rf"needs {library} .*pip install 'kmgpu\[{extra}\]'"):
        open_data(path)


def test_a_damaged_hdf5_file_is_named(tmp_path):
    path = hdf5(tmp_path / "x.h5", a=X)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"x\.h5 cannot be read"):
        open_data(path)


@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.parquet", "x.npz"])
def test_what_fits_is_an_array_as_before(tmp_path, name):
    path = tmp_path / name
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    {
        "x.npy": lambda: np.save(path, X),
        "x.npz": lambda: np.savez(path, X),
        "x.csv": lambda: frame.to_csv(path, index=False),
        "x.parquet": lambda: frame.to_parquet(path),
    }[name]()
    found = open_table(path)
    assert isinstance(found.data, np.ndarray)
    np.testing.assert_array_equal(found.data, X)
    assert (found.names == ("a", "b", "c")) == (name in ("x.csv", "x.parquet"))
    if name != "x.npz":
        with pytest.raises(ValueError, match="holds one table, and array='a' was given"):
            kmgpu.open_data(path, array="a")
