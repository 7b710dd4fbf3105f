"""``--columns``, ``--drop`` and ``--standardize``, from the file to the labels of another file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from kmgpu import load_model
from kmgpu.cli import main
from kmgpu.io import opening, parquet, text_tables
from kmgpu.sources import stream
from tests.support import oracles
from tests.support.commands import cli, refused

X = oracles.blobs(120, 3, 3, seed=3) * [1, 10, 100] + [5, 50, 0]
FRESH = oracles.blobs(60, 3, 3, seed=4) * [1, 10, 100] + [5, 50, 0]
NAMES = ["a", "b", "c"]
CHOICES = ["--columns a,b,c", "--drop id,note", "--columns 1,2,4", "--drop 0,note"]


def wide(x, order=("id", "a", "b", "note", "c"), **more):
    """A table of which three columns are numbers to be used."""
    frame = pd.DataFrame(x, columns=NAMES)
    frame["id"] = [f"{n:03d}" for n in range(len(x))]
    frame["note"] = [f'a "note", {n}\nof two lines' for n in range(len(x))]
    return frame.assign(**more)[[*order, *more]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: wide tables, next week's in another order, and a model's files."""
    monkeypatch.chdir(tmp_path)
    wide(X).to_csv("x.csv", index=False)
    wide(X).to_parquet("x.parquet")
    later = wide(FRESH, order=("c", "note", "b", "a", "id"), new="x")
    later.to_csv("later.csv", index=False)
    later.to_parquet("later.parquet")
    np.save("init.npy", X[:3])
    np.save("w.npy", np.arange(len(X)) % 3)
    return tmp_path


@pytest.fixture
def in_blocks(monkeypatch):
    """Files are read by blocks of few rows."""
    monkeypatch.setattr(opening, "AT_ONCE", 1)
    monkeypatch.setattr(opening, "PIECE_BYTES", 24 * 7)
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 24 * 11)
    monkeypatch.setattr(stream, "PIECE_BYTES", 24 * 13)


def scaled(x, weight=None, of=X):
    """Less the mean, divided by the standard deviation, of the rows `of`."""
    mean = np.average(of, axis=0, weights=weight)
    return (x - mean) / np.sqrt(np.average((of - mean) ** 2, axis=0, weights=weight))


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_columns_chosen_are_those_of_predict(folder, capsys, choice, kind):
    _, labels, _ = oracles.lloyd(X, X[:3], "l2")
    fit = f"fit x.{kind} -k 3 --init init.npy --tol 0 --device cpu --out m.npz --labels z.npy"
    assert cli(f"{fit} {choice}") == 0
    np.testing.assert_array_equal(np.load("z.npy"), labels)
    model = load_model("m.npz")
    assert model.feature_names_in_.tolist() == NAMES
    expected = oracles.labels(FRESH, model.cluster_centers_, "l2")
    assert cli(f"predict m.npz later.{kind} --out p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), expected)
    pd.DataFrame(FRESH, columns=NAMES)[["b", "c", "a"]].to_csv("narrow.csv", index=False)
    assert cli("predict m.npz narrow.csv --out p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), expected)
    assert capsys.readouterr().err == ""


def test_columns_have_the_order_that_is_given(folder):
    assert cli("fit x.csv -k 3 --seed 0 --columns c,a --out m.npz") == 0
    model = load_model("m.npz")
    assert model.feature_names_in_.tolist() == ["c", "a"]
    assert np.ptp(model.cluster_centers_[:, 0]) > np.ptp(model.cluster_centers_[:, 1])


def test_columns_without_names_have_numbers(folder, capsys):
    table = np.column_stack([X[:, 0], np.full(len(X), 7), X[:, 1:]])
    np.save("x.npy", table)
    np.save("fresh.npy", np.column_stack([FRESH[:, 0], np.zeros(len(FRESH)), FRESH[:, 1:]]))
    np.save("narrow.npy", FRESH)
    assert cli("fit x.npy -k 3 --init init.npy --tol 0 --drop 1 --out m.npz") == 0
    captured = capsys.readouterr()
    assert ["centre", "x0", "x2", "x3"] in [line.split() for line in captured.out.splitlines()]
    expected = oracles.labels(FRESH, load_model("m.npz").cluster_centers_, "l2")
    for name in ("fresh.npy", "narrow.npy"):
        assert cli(f"predict m.npz {name} --out p.npy") == 0
        np.testing.assert_array_equal(np.load("p.npy"), expected)
    np.save("wider.npy", np.zeros((3, 5)))
    refused("predict m.npz wider.npy", capsys, "wider.npy has 5 columns; the model was fitted to 3")
    refused("fit x.npy -k 3 --columns a", capsys, "has no names of columns; give numbers from 0 to")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--columns a,B", "--columns 'B': x.csv has no column 'B'; close to it: 'b'."),
        ("--columns nota", "close to it: 'note'."),
        ("--drop zzzz", "--drop 'zzzz': x.csv has no column 'zzzz'; there are id, a, b, note, c."),
        ("--columns a,5", "Numbers of columns go from 0 to 4."),
        ("--columns a,1", "lists column '1' twice"),
        ("--columns a,,b", "give names or numbers of columns between commas"),
        ("--columns a,note", "line 3, column 4 holds the text 'a \"note\", 0\\nof two lines'"),
        ("--drop id,a,b,note,c", "--drop leaves none of the 5 columns of x.csv"),
        ("--columns a --drop b", "not allowed with argument --columns"),
        ("", "leave the column out (kmgpu fit: --drop or --columns"),
    ],
)
def test_columns_that_cannot_be_used(folder, capsys, options, said):
    refused(f"fit x.csv -k 3 {options}", capsys, said)


def test_names_that_need_care(folder, capsys):
    frame = pd.DataFrame(X, columns=["a,b", "2", "a,b"])
    frame.to_csv("y.csv", index=False)
    assert cli("fit y.csv -k 3 --seed 0 --header --columns 2 --out m.npz") == 0
    captured = capsys.readouterr()
    assert ["centre", "2"] in [line.split() for line in captured.out.splitlines()]
    assert load_model("m.npz")._columns == ((1,), 3)  # by the name, not the number
    assert captured.err == ""
    given = ["fit", "y.csv", "-k", "3", "--header", "--columns", '"a,b"']
    assert main(given) == 2
    assert "2 columns of the name 'a,b'; rename them, or give numbers" in capsys.readouterr().err
    pd.DataFrame(X, columns=["2", "2", "a"]).to_csv("y.csv", index=False)
    said = "y.csv has 2 columns of the name '2'"
    refused("fit y.csv -k 3 --header --columns 2", capsys, said)


def test_a_column_that_later_files_lack(folder, capsys):
    assert cli("fit x.csv -k 3 --seed 0 --columns a,b,c --out m.npz") == 0
    wide(FRESH).rename(columns={"b": "bb"}).to_csv("later.csv", index=False)
    said = "later.csv has no column 'b', to which the model was fitted; close to it: 'bb'."
    refused("predict m.npz later.csv", capsys, said)


def test_rows_of_another_width_are_found(folder, capsys):
    """Cells of a column that is left out must not move those of others."""
    text = Path("x.csv").read_text().replace("009,", '009,"one too many",')
    Path("x.csv").write_text(text)
    refused("fit x.csv -k 3 --columns a,b,c", capsys, "has 6 values where the first line has 5")


def test_text_without_pyarrow(folder, monkeypatch):
    monkeypatch.setattr(text_tables, "READERS", ())
    wide(X).to_csv("x.csv", index=False, sep=";", decimal=",")
    command = "fit x.csv -k 3 --init init.npy --tol 0 --columns a,b,c --labels z.npy"
    assert cli(command) == 0
    np.testing.assert_array_equal(np.load("z.npy"), oracles.lloyd(X, X[:3], "l2")[1])


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("loss", ["l2", "l1"])
@pytest.mark.parametrize("blocks", [False, True])
def test_standardized_columns(folder, capsys, weights, loss, blocks, request):
    if blocks:
        wide(X).drop(columns="note").to_csv("x.csv", index=False)
        request.getfixturevalue("in_blocks")
    weight = np.load("w.npy") if weights else None
    z = scaled(X, weight)
    centers, labels, value = oracles.lloyd(z, z[:3], loss, weight)
    command = "fit x.csv -k 3 --init init.npy --tol 0 --columns a,b,c --standardize --device cpu"
    more = f" --loss {loss} --out m.npz --labels z.npy{' --weights w.npy' if weights else ''}"
    assert cli(command + more) == 0
    np.testing.assert_array_equal(np.load("z.npy"), labels)

    model = load_model("m.npz")
    assert type(model) is Pipeline
    assert model.feature_names_in_.tolist() == NAMES
    np.testing.assert_allclose(model[0].mean_, np.average(X, axis=0, weights=weight), rtol=1e-12)
    np.testing.assert_allclose(model[1].cluster_centers_, centers, rtol=1e-9, atol=1e-12)
    assert model[1].inertia_ == pytest.approx(value, rel=1e-9)
    expected = oracles.labels(scaled(FRESH, weight), model[1].cluster_centers_, loss)
    assert (expected != oracles.labels(FRESH, model[1].cluster_centers_, loss)).any()
    assert cli("predict m.npz later.parquet --out p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), expected)
    np.testing.assert_array_equal(model.predict(pd.DataFrame(FRESH, columns=NAMES)), expected)

    captured = capsys.readouterr()
    assert captured.err == ""
    shown = [line.split() for line in captured.out.splitlines()]
    at = shown.index(["centre", *NAMES])
    means = np.average(X, axis=0, weights=weight)
    scale = np.sqrt(np.average((X - means) ** 2, axis=0, weights=weight))
    expected = [*(centers * scale + means), means, scale]
    found = [[float(cell.replace(",", "")) for cell in line[1:]] for line in shown[at + 1 : at + 6]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert [line[0] for line in shown[at + 1 : at + 6]] == ["0", "1", "2", "mean", "std"]
    assert ["standardized", "yes"] in shown


def test_constant_columns_are_said(folder, capsys):
    wide(X).assign(c=4, id=9).to_csv("x.csv", index=False)
    assert cli("fit x.csv -k 3 --seed 0 --drop note --standardize --out m.npz") == 0
    said = "kmgpu: warning: --standardize: id, c are constant and cannot tell rows apart; --drop "
    assert said in capsys.readouterr().err
    assert load_model("m.npz")[0].scale_[0] == 1


def test_rows_without_weight_are_not_there(folder, in_blocks):
    """Whole blocks of them, too."""
    np.save("w.npy", np.r_[np.zeros(30), np.ones(90)])
    np.save("x.npy", X)
    np.save("init.npy", X[40:43])
    assert cli("fit x.npy -k 3 --init init.npy --weights w.npy --standardize --out m.npz") == 0
    scaler = load_model("m.npz")[0]
    np.testing.assert_allclose(scaler.mean_, X[30:].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_, X[30:].std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("blocks", [False, True])
def test_bad_values_have_the_number_of_their_row(folder, capsys, value, blocks, request):
    if blocks:
        request.getfixturevalue("in_blocks")
    x = X.copy()
    x[70, 1] = value
    np.save("x.npy", x)
    said = "first at row 70, column 1"
    refused("fit x.npy -k 3 --standardize", capsys, said)
    assert cli("fit init.npy -k 2 --seed 0 --standardize --out m.npz") == 0
    refused("predict m.npz x.npy", capsys, said)


def test_bad_weights_of_standardized_rows(folder, capsys):
    np.save("w.npy", np.full(len(X), -1.0))
    np.save("x.npy", X)
    refused("fit x.npy -k 3 --standardize --weights w.npy", capsys, "negative")


def test_initial_centres_are_in_the_units_of_the_data(folder):
    """Those of a standardized model too, whatever the new scale is."""
    command = "fit x.csv -k 3 --init init.npy --max-iter 3 --columns a,b,c --standardize"
    assert cli(f"{command} --out m.npz") == 0
    old = load_model("m.npz")
    start = old[1].cluster_centers_ * old[0].scale_ + old[0].mean_
    z = scaled(FRESH, of=FRESH)
    command = "fit later.csv -k 3 --init m.npz --tol 0 --columns c,a,b --labels z.npy"
    assert cli(f"{command} --standardize") == 0
    expected = oracles.lloyd(z, scaled(start, of=FRESH), "l2")[1]
    np.testing.assert_array_equal(np.load("z.npy"), expected)
    assert cli(command) == 0
    np.testing.assert_array_equal(np.load("z.npy"), oracles.lloyd(FRESH, start, "l2")[1])
    later = wide(FRESH)
    later[:3].to_csv("rows.csv", index=False)  # as wide as the data
    assert cli(command.replace("m.npz", "rows.csv")) == 0
    np.testing.assert_array_equal(np.load("z.npy"), oracles.lloyd(FRESH, FRESH[:3], "l2")[1])


@pytest.mark.parametrize("kind", ["csv", "parquet", "npy"])
def test_columns_and_scale_of_folders(folder, in_blocks, kind):
    Path("f").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(X)), 4)):
        table = wide(X).drop(columns="note").iloc[part]
        if kind == "csv":
            table.to_csv(f"f/{number}.csv", index=False)
        elif kind == "parquet":
            table.to_parquet(f"f/{number}.parquet", index=False)
        else:
            np.save(f"f/{number}.npy", table.to_numpy(float))
    choice = "--drop 0 --standardize" if kind == "npy" else "--columns a,b,c --standardize"
    assert cli(f"fit f -k 3 --init init.npy --tol 0 --labels z.npy --out m.npz {choice}") == 0
    z = scaled(X)
    np.testing.assert_array_equal(np.load("z.npy"), oracles.lloyd(z, z[:3], "l2")[1])
    assert cli("predict m.npz f --out p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), np.load("z.npy"))


def test_a_long_memmap_is_read_by_pieces(folder, in_blocks):
    np.save("x.npy", np.column_stack([X[:, 0], np.zeros(len(X)), X[:, 1:]]))
    command = "fit x.npy -k 3 --init init.npy --tol 0 --drop 1 --labels z.npy --out m.npz"
    assert cli(f"{command} --standardize") == 0
    z = scaled(X)
    np.testing.assert_array_equal(np.load("z.npy"), oracles.lloyd(z, z[:3], "l2")[1])
    assert cli("predict m.npz x.npy --out p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), np.load("z.npy"))


@pytest.mark.parametrize("kind", ["npy", "csv"])
@pytest.mark.parametrize("more", ["", " --standardize"])
def test_all_columns_in_another_order_without_names(folder, capsys, kind, more):
    np.save("p.npy", X)
    np.savetxt("p.csv", X, delimiter=",")
    assert cli(f"fit p.{kind} -k 3 --seed 0 --columns 2,1,0{more} --out p.npz --labels a.npy") == 0
    assert cli(f"predict p.npz p.{kind} --out b.npy") == 0
    np.testing.assert_array_equal(np.load("b.npy"), np.load("a.npy"))


def test_centres_of_a_model_without_names_have_the_order_of_the_data(folder, capsys):
    np.save("four.npy", np.column_stack([np.arange(len(X)), X]))
    assert cli("fit four.npy -k 3 --seed 0 --columns 1,2,3 --out m.npz --labels a.npy") == 0
    again = "fit four.npy -k 3 --tol 0 --init m.npz --max-iter 1 --out n.npz --labels b.npy"
    assert cli(f"{again} --columns 3,2,1") == 0
    np.testing.assert_array_equal(np.load("b.npy"), np.load("a.npy"))
    np.testing.assert_allclose(
        load_model("n.npz").cluster_centers_, load_model("m.npz").cluster_centers_[:, ::-1]
    )
    capsys.readouterr()
    refused(f"{again} --columns 0,1,2", capsys, "was fitted to other columns than these")


def test_columns_of_one_name_go_by_position_where_they_are_the_same(folder, capsys):
    text = "\n".join(",".join(map(str, row)) for row in X.tolist())
    Path("d.csv").write_text(f"a,b,a\n{text}\n")
    Path("e.csv").write_text(f"a,b,a1\n{text}\n")
    for choice in ("", " --columns 0,2"):
        assert cli(f"fit d.csv -k 3 --seed 0{choice} --out d.npz --labels a.npy") == 0
        assert cli("predict d.npz d.csv --out b.npy") == 0
        np.testing.assert_array_equal(np.load("b.npy"), np.load("a.npy"))
        capsys.readouterr()
        refused("predict d.npz e.csv --out b.npy", capsys, "several columns of one name")


def test_files_whose_columns_differ_are_written_as_one_table(folder, capsys):
    Path("fa").mkdir()
    pd.DataFrame({"x": [0, 1, 9], "y": [0.0, 1, 9], "note": list("uvw")}).to_parquet("fa/1.parquet")
    pd.DataFrame({"y": [0.5, 9.5], "x": [0.25, 9.25]}).to_parquet("fa/2.parquet")
    for ending in ("csv", "parquet"):
        assert cli(f"fit fa -k 2 --seed 0 --columns x,y --labels fa.{ending}") == 0
    for found in (pd.read_csv("fa.csv"), pd.read_parquet("fa.parquet")):
        assert list(found.columns) == ["x", "y", "note", "cluster"]
        np.testing.assert_array_equal(found["x"], [0, 1, 9, 0.25, 9.25])
        assert found["note"].isna().tolist() == [False, False, False, True, True]
        assert found["cluster"].nunique() == 2


def test_what_no_file_could_hold_is_said_before_any_work(folder, capsys):
    Path("fb").mkdir()
    pd.DataFrame({"x": [0, 1], "note": list("uv")}).to_parquet("fb/1.parquet")
    pd.DataFrame({"x": [0.5, 9.5], "note": [1, 2]}).to_parquet("fb/2.parquet")
    refused("fit fb -k 2 --columns x --labels fb.csv", capsys, "columns that do not go together")
    pd.DataFrame({"x": [0, 1, 9], "of": [[1], [2], [3]]}).to_parquet("l.parquet")
    refused("fit l.parquet -k 2 --columns x --labels l.csv", capsys, "column 'of' of l.parquet")
    assert cli("fit l.parquet -k 2 --columns x --labels m.parquet") == 0
