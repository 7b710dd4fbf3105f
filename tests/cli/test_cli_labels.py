"""``--labels`` and ``predict --out``: the rows of the data with a column of labels."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest

from kmgpu.io import labelled, opening, text_tables
from tests.support import oracles
from tests.support.commands import cli, refused

X = oracles.blobs(120, 3, 3, seed=3).round(3)
LABELS = oracles.lloyd(X, X[:3], "l2")[1]
FIT = "-k 3 --init init.npy --tol 0 --device cpu --columns 1,2,3"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: a table with text in it, and few rows and cells at a time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(labelled, "AT_A_TIME", 7)
    monkeypatch.setattr(labelled, "CELLS", 50)
    table().to_csv("x.csv", index=False)
    np.save("init.npy", X[:3])
    return tmp_path


def table(**more):
    frame = pd.DataFrame(X, columns=list("abc"))
    frame.insert(0, "id", [f"{n:03d}" for n in range(len(X))])
    frame["note"] = [f'ä; "note", {n}\nof two lines' for n in range(len(X))]
    return frame.assign(**more)


def cells(path, **options):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, **options))


@pytest.mark.parametrize("long", [False, True])
def test_text_stays_as_it_is(folder, capsys, monkeypatch, long):
    if long:
        table(note="n").to_csv("x.csv", index=False)
        monkeypatch.setattr(opening, "AT_ONCE", 1)
        monkeypatch.setattr(text_tables.text_blocks, "__defaults__", (300,))
    before = cells("x.csv")
    assert cli(f"fit x.csv {FIT} --out m.npz --labels z.csv") == 0
    assert "rows and labels (column cluster) written to z.csv\n" in capsys.readouterr().out
    labels = ["cluster", *map(str, LABELS)]
    expected = [[*row, label] for row, label in zip(before, labels, strict=True)]
    assert cells("z.csv") == expected
    assert cli("predict m.npz x.csv --out p.csv") == 0
    assert Path("p.csv").read_bytes() == Path("z.csv").read_bytes()
    # what was written can be read, and the new column is no obstacle
    assert cli("predict m.npz z.csv --out q.csv") == 0
    assert cells("q.csv") == [
        [*row, label] for row, label in zip(expected, ["cluster_2", *labels[1:]], strict=True)
    ]


@pytest.mark.parametrize(
    ("options", "delimiter"),
    [
        ({"sep": ";", "decimal": ","}, ";"),
        ({"sep": "\t", "decimal": ","}, ";"),
        ({"sep": "\t"}, ","),
        ({"sep": ";"}, ";"),
    ],
)
def test_delimiters_and_decimal_marks(folder, options, delimiter):
    table().to_csv("x.csv", index=False, **options)
    before = cells("x.csv", delimiter=options["sep"])
    for name in ("z.csv", "z.parquet"):
        assert cli(f"fit x.csv {FIT} --labels {name}") == 0
    found = cells("z.csv", delimiter=delimiter)
    assert [row[:-1] for row in found] == before
    assert cli("fit z.csv -k 3 --init init.npy --tol 0 --columns a,b,c --labels again.npy") == 0
    np.testing.assert_array_equal(np.load("again.npy"), LABELS)
    pd.testing.assert_frame_equal(pd.read_parquet("z.parquet")[["a", "b", "c"]], table()[[*"abc"]])


def test_text_becomes_parquet(folder):
    assert cli(f"fit x.csv {FIT} --labels z.parquet") == 0
    found = pd.read_parquet("z.parquet")
    expected = table(cluster=LABELS.astype(np.int32))
    assert found["id"].tolist() == expected["id"].tolist()  # codes, not numbers
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found["cluster"].dtype == np.int32


@pytest.mark.parametrize("shards", [False, True])
def test_parquet_keeps_its_columns(folder, shards):
    frame = table(day=pd.Timestamp("2026-01-02"), cluster="mine", cluster_2=True)
    if shards:
        Path("x.parquet").mkdir()
        for number, part in enumerate(np.array_split(np.arange(len(X)), 3)):
            frame.iloc[part].to_parquet(f"x.parquet/{number}.parquet", index=False)
    else:
        frame.to_parquet("x.parquet")
    for name in ("z.parquet", "z.csv"):
        assert cli(f"fit x.parquet {FIT} --labels {name}") == 0
    found = pd.read_parquet("z.parquet")
    pd.testing.assert_frame_equal(found, frame.assign(cluster_3=LABELS.astype(np.int32)))
    text = pd.read_csv("z.csv", dtype={"id": str})
    assert text.columns.tolist() == found.columns.tolist()
    np.testing.assert_array_equal(text["cluster_3"], LABELS)
    assert text["note"].tolist() == frame["note"].tolist()
    np.testing.assert_array_equal(text[["a", "b", "c"]], X)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "?"])
@pytest.mark.parametrize("kind", ["npy", "h5", "shards", "plain.csv"])
def test_numbers_without_names(folder, dtype, kind):
    x = (X > 0 if dtype == "?" else X).astype(dtype)
    name = {"npy": "y.npy", "h5": "y.h5", "shards": "y", "plain.csv": "y.csv"}[kind]
    if kind == "npy":
        np.save(name, x)
    elif kind == "h5":
        with h5py.File(name, "w") as file:
            file["rows"] = x.astype("u1") if dtype == "?" else x
    elif kind == "shards":
        Path("y").mkdir()
        for number, part in enumerate(np.array_split(x, 3)):
            np.save(f"y/{number}.npy", part)
    else:
        x = x.astype("i4") if dtype == "?" else x
        pd.DataFrame(x).to_csv(name, index=False, header=False)
    for made in ("z.csv", "z.parquet"):
        assert cli(f"fit {name} -k 2 --seed 0 --tol 0 --labels z.npy --device cpu") == 0
        assert cli(f"fit {name} -k 2 --seed 0 --tol 0 --labels {made} --device cpu") == 0
        found = pd.read_csv(made) if made == "z.csv" else pd.read_parquet(made)
        assert found.columns.tolist() == ["x0", "x1", "x2", "cluster"]
        np.testing.assert_array_equal(found[["x0", "x1", "x2"]].to_numpy().astype(dtype), x)
        np.testing.assert_array_equal(found["cluster"], np.load("z.npy"))


def test_standard_input_is_read_once(folder, capsys, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(Path("x.csv").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    refused(f"fit - {FIT} --labels z.csv", capsys, "z.csv would hold the rows, and standard input")
    assert not Path("z.csv").exists()


def test_long_text_becomes_no_parquet(folder, capsys, monkeypatch):
    monkeypatch.setattr(labelled, "AT_ONCE", 1)
    said = "z.parquet: text of more than 1 GB becomes no parquet"
    refused(f"fit x.csv {FIT} --labels z.parquet", capsys, said)


def test_without_pyarrow(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(f"fit x.csv {FIT} --labels z.parquet", capsys, "pip install 'kmgpu[parquet]'")
    assert cli(f"fit x.csv {FIT} --labels z.csv") == 0


@pytest.mark.parametrize("change", ["shorter", "longer"])
@pytest.mark.parametrize("made", ["z.csv", "z.parquet"])
@pytest.mark.parametrize("data", ["x.csv", "x.npy", "x.parquet"])
def test_data_that_change_meanwhile_leave_the_old_file(
    folder, capsys, monkeypatch, change, made, data
):
    def save(rows):
        if data == "x.npy":
            np.save(data, X[rows])
        else:
            frame = table().iloc[rows]
            frame.to_csv(data, index=False) if data == "x.csv" else frame.to_parquet(data)

    save(np.arange(len(X)))
    rows = np.arange(100) if change == "shorter" else np.arange(121) % len(X)
    real = labelled.write_labelled

    def changed(*args):
        save(rows)
        return real(*args)

    monkeypatch.setattr("kmgpu.cli.labels.write_labelled", changed)
    Path(made).write_text("old")
    choice = "--columns 0,1,2" if data == "x.npy" else "--columns a,b,c"
    said = f"{data} has changed while it was read; run the command again."
    refused(f"fit {data} -k 3 --seed 0 {choice} --labels {made}", capsys, said)
    assert Path(made).read_text() == "old"
    assert not list(folder.glob(".kmgpu*"))


def test_an_interrupt_leaves_no_part_of_a_file(folder, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(labelled, "_labelled", interrupted)
    assert cli(f"fit x.csv {FIT} --labels z.csv") == 130
    assert not Path("z.csv").exists()
    assert not list(folder.glob(".kmgpu*"))


def test_the_data_are_never_overwritten(folder, capsys):
    refused(f"fit x.csv {FIT} --labels x.csv", capsys, "x.csv is an input and would be overwritten")
