"""The command line and tables: names of columns, headers, options without effect, exit codes."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kmgpu import KMeans, load_model, save_model
from tests.support import oracles
from tests.support.commands import cli, refused

X = oracles.blobs(120, 3, 3, seed=3) * [1, 10, 100]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: a table in it, and a model fitted to it."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame.to_csv("x.csv", index=False)
    np.save("x.npy", X)
    assert cli("fit x.csv -k 3 --seed 0 --out m.npz --labels z.npy") == 0
    return tmp_path


def test_a_model_keeps_the_names(folder, capsys):
    model = load_model("m.npz")
    np.testing.assert_array_equal(model.feature_names_in_, ["a", "b", "c"])
    labels = model.predict(pd.DataFrame(X, columns=["a", "b", "c"]))
    np.testing.assert_array_equal(labels, np.load("z.npy"))
    assert cli("fit x.npy -k 3 --out plain.npz") == 0
    assert not hasattr(load_model("plain.npz"), "feature_names_in_")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["y.csv", "y.tsv", "y.csv.gz", "y.parquet"])
def test_columns_in_another_order_are_put_right(folder, capsys, name):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])[["c", "a", "b"]]
    if name.endswith("parquet"):
        frame.to_parquet(name)
    else:
        frame.to_csv(name, index=False, sep="\t" if "tsv" in name else ",")
    capsys.readouterr()
    assert cli(f"predict m.npz {name} --out p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), np.load("z.npy"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("abd", "(a, b, c), each once: 'd' is unknown, 'c' is missing"),
        ("ABC", "'A' is unknown"),
        ("abcd", "'d' is unknown"),
        ("ab", "'c' is missing"),
        ("abb", "'c' is missing"),
        ("abcc", "some occur more than once"),
    ],
)
def test_other_columns_are_refused(folder, capsys, names, said):
    x = np.random.default_rng(0).normal(size=(4, len(names)))
    np.savetxt("y.csv", x, delimiter=",", header=",".join(names), comments="")
    refused("predict m.npz y.csv", capsys, "y.csv: the names of the columns must be")
    refused("predict m.npz y.csv", capsys, said)


def test_names_on_one_side_alone_are_warned_of(folder, capsys):
    capsys.readouterr()
    assert cli("predict m.npz x.npy --out p.npy") == 0
    said = capsys.readouterr().err
    assert "the model has names of columns, but x.npy has none; nothing says that they" in said
    assert said.count("names") == 1
    save_model(KMeans(3, random_state=0).fit(X), "plain.npz")
    assert cli("predict plain.npz x.csv --out p.npy") == 0
    assert "x.csv has names of columns, but the model was fitted" in capsys.readouterr().err


def test_initial_centres_are_put_in_the_order_of_the_data(folder, capsys):
    start = pd.DataFrame(X[:3], columns=["a", "b", "c"])
    start[["b", "c", "a"]].to_csv("init.csv", index=False)
    assert cli("fit x.csv -k 3 --tol 0 --init init.csv --labels p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), oracles.lloyd(X, X[:3], "l2")[1])
    start.rename(columns={"a": "d"}).to_csv("init.csv", index=False)
    refused("fit x.csv -k 3 --init init.csv", capsys, "init.csv: the names of the columns must be")


def test_numbers_over_columns_are_asked_about(folder, capsys):
    pd.DataFrame(X).to_csv("y.csv", index=False)
    refused("fit y.csv -k 3", capsys, "say --no-header or --header")
    assert cli("fit y.csv -k 3 --seed 0 --header --labels p.npy") == 0
    np.testing.assert_array_equal(np.load("p.npy"), np.load("z.npy"))
    assert cli("fit y.csv -k 3 --seed 0 --no-header --labels p.npy") == 0
    assert len(np.load("p.npy")) == len(X) + 1
    refused("fit x.csv -k 3 --no-header", capsys, "line 1, column 1 holds the text 'a'")
    refused("fit x.npy -k 3 --header", capsys, "x.npy is no text, and header=True was given")


def test_standard_input_is_a_table(folder, capsys, monkeypatch):
    content = (folder / "x.csv").read_bytes()
    chosen = "fit - -k 3 --seed 0 --columns a,1,c --labels p.npy"
    for command in ("fit - -k 3 --seed 0 --labels p.npy", "predict m.npz - --out p.npy", chosen):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        assert cli(command) == 0
        np.testing.assert_array_equal(np.load("p.npy"), np.load("z.npy"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("animate x.npy -k 2 --max-frames 5 -o a.png", "--max-frames has no effect on a.png"),
        ("animate --example blobs -k 2 --array a -o a.png", "--array has no effect with --example"),
        ("animate --example blobs -k 2 --header -o a.png", "--header has no effect with --exam"),
        (
            "animate x.npy -k 3 --seed 0 --init init.npy -o a.png",
            "--seed has no effect with --init",
        ),
        ("fit x.npy -k 3 --seed 0 --init init.npy", "--seed has no effect with --init init.npy"),
        ("fit x.npy -k 3 --n-init 4 --init init.npy", "--n-init has no effect with --init"),
        ("fit x.csv -k 3 --array a", "array='a' was given; leave it out"),
        ("fit - -k 3 --array a", "array='a' was given; leave it out"),
    ],
)
def test_options_without_effect_are_refused(folder, capsys, command, said):
    np.save("init.npy", X[:3])
    refused(command, capsys, said)


@pytest.mark.parametrize("error", [RecursionError("deep"), KeyError("k"), RuntimeError("bug")])
def test_an_internal_error_is_exit_code_1_with_the_traceback(folder, capsys, monkeypatch, error):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(KMeans, "fit", failing)
    capsys.readouterr()
    assert cli("fit x.npy -k 2 --out n.npz") == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert type(error).__name__ in err.splitlines()[-1]
    assert not (folder / "n.npz").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions there")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_written_again_keeps_its_permissions(folder, mode):
    for name in ("m.npz", "z.npy"):
        (folder / name).chmod(mode)
    assert cli("fit x.csv -k 2 --seed 0 --out m.npz --labels z.npy") == 0
    for name in ("m.npz", "z.npy"):
        assert (folder / name).stat().st_mode & 0o777 == mode
    assert load_model("m.npz").n_clusters == 2


def test_few_clusters_and_columns_are_shown(folder, capsys):
    np.save("x.npy", np.random.default_rng(0).normal(size=(100, 11)))
    assert cli("fit x.npy -k 30 --seed 0") == 0
    shown = capsys.readouterr().out
    assert "… and 10 more clusters\n" in shown
    assert "… and 10 more centres\n… and 3 more columns\n" in shown
    assert " x7\n" in shown
    assert "x8" not in shown
