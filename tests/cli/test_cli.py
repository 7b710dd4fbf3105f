"""The command line, on real files: results, exit codes, the one line on stderr, what is left."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import kmgpu
from kmgpu import KMeans, KMedians, load_model
from kmgpu.algorithm import restarts
from kmgpu.backend.arrays import HOST, Place, Usable
from kmgpu.backend.devices import device_name
from kmgpu.cli import main
from tests.support import oracles

ROOT = Path(kmgpu.__file__).parents[1]
ESTIMATORS = {"l2": KMeans, "l1": KMedians}


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: data, weights and initial centres in it."""
    monkeypatch.chdir(tmp_path)
    x = oracles.blobs()
    np.save("x.npy", x)
    np.save("init.npy", x[:4])
    np.save("w.npy", np.arange(len(x)) % 3)
    return tmp_path


def run(*arguments, code=None, cwd=None):
    """``python -m kmgpu`` (or `code`) in a process of its own."""
    package = str(Path(kmgpu.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, *(["-m", "kmgpu"] if code is None else ["-c", code]), *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def cli(command):
    """The exit code of the command, run in this process."""
    return main(command.split())


def table(text):
    """The rows of a printed table: label -> value."""
    rows = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {label.strip(): value.strip() for label, value in rows}


def assert_one_line(err, said):
    assert err.startswith("kmgpu: error: "), err
    assert err.count("\n") == 1, err
    assert said in err


def test_fit_then_predict(folder, loss, capsys):
    x, start = np.load("x.npy"), np.load("init.npy")
    centers, labels, value = oracles.lloyd(x, start, loss)

    command = f"fit x.npy -k 4 --loss {loss} --init init.npy --tol 0 --device cpu"
    assert main([*command.split(), "--out", "m.npz", "--labels", "z.npy"]) == 0

    shown = table(capsys.readouterr().out)
    assert (shown["rows"], shown["features"], shown["k"]) == ("300", "3", "4")
    assert shown["loss"].startswith(loss)
    assert float(shown["loss before"]) == pytest.approx(oracles.total(x, start, loss), rel=1e-5)
    assert float(shown["loss after"]) == pytest.approx(value, rel=1e-5)
    assert (shown["converged"], shown["device"]) == ("yes", "cpu")
    assert float(shown["seconds"]) >= 0
    model = load_model("m.npz")
    assert type(model) is ESTIMATORS[loss]
    assert shown["iterations"] == str(model.n_iter_)
    assert not model.progress
    np.testing.assert_allclose(model.cluster_centers_, centers, rtol=1e-12)
    np.testing.assert_array_equal(np.load("z.npy"), labels)

    fresh = oracles.blobs(seed=9)
    pd.DataFrame(fresh, columns=["a", "b", "c"]).to_csv("fresh.csv", index=False)
    expected = oracles.labels(fresh, model.cluster_centers_, loss)
    assert main(["predict", "m.npz", "fresh.csv"]) == 0
    assert [int(line) for line in capsys.readouterr().out.split()] == expected.tolist()
    assert main(["predict", "m.npz", "fresh.csv", "--out", "p.npy", "--device", "cpu"]) == 0
    np.testing.assert_array_equal(np.load("p.npy"), expected)
    shown = table(capsys.readouterr().out)
    assert (shown["rows"], shown["k"], shown["device"]) == ("300", "4", "cpu")
    assert not list(folder.glob(".*"))


def test_options_reach_the_estimator(folder):
    command = (
        "fit x.npy -k 5 --loss l1 --init random --n-init 3 --max-iter 2 --tol 0 --seed 7"
        " --empty-cluster keep --weights w.npy --device cpu --out m.npz --no-progress"
    )
    assert cli(command) == 0
    found = load_model("m.npz")
    x, weight = np.load("x.npy"), np.load("w.npy")
    same = KMedians(
        5, init="random", n_init=3, max_iter=2, tol=0, random_state=7, empty_cluster="keep"
    ).fit(x, sample_weight=weight)
    np.testing.assert_array_equal(found.cluster_centers_, same.cluster_centers_)
    assert found.inertia_ == pytest.approx(
        oracles.total(x, found.cluster_centers_, "l1", weight), rel=1e-12
    )
    expected = {"n_clusters": 5, "init": "random", "n_init": 3, "max_iter": 2, "tol": 0.0}
    expected |= {"random_state": 7, "empty_cluster": "keep", "device": "cpu", "progress": False}
    assert expected.items() <= found.get_params().items()


def test_an_interrupted_fit_goes_on_from_its_checkpoint(folder, monkeypatch, capsys):
    """What is left is the checkpoint alone; the next run ends as one that was not interrupted."""
    command = "fit x.npy -k 20 --init random --seed 1 --tol 0 --n-init 2 --max-samples 250"
    monkeypatch.setattr(restarts, "EVERY", 2)
    assert cli(f"{command} --checkpoint other --out whole.npz --labels whole.npy") == 0
    before = set(folder.iterdir())
    save = restarts._Run._save

    def interrupted(run, pause):
        save(run, pause)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restarts._Run, "_save", interrupted)
        assert cli(f"{command} --checkpoint state --out m.npz --labels l.npy") == 130
    assert set(folder.iterdir()) - before == {folder / "state"}
    assert cli(f"{command} --checkpoint state --out m.npz --labels l.npy") == 0
    assert not (folder / "state").exists()
    for a, b in (("whole.npz", "m.npz"), ("whole.npy", "l.npy")):
        assert (folder / a).read_bytes() == (folder / b).read_bytes()
    found = load_model("m.npz")
    assert (found.max_samples, found.checkpoint) == (250, None)
    assert cli("fit x.npy -k 2 --checkpoint x.npy") == 2
    assert "x.npy is an input" in capsys.readouterr().err


def test_a_run_cut_short_says_so(folder, capsys):
    assert cli("fit x.npy -k 4 --seed 0 --tol 0 --max-iter 1") == 0
    assert table(capsys.readouterr().out)["converged"] == "no, max_iter=1"


@pytest.mark.parametrize("name", ["x.npz", "x.csv", "x.parquet"])
def test_every_format_gives_the_same_labels(folder, name):
    x = np.load("x.npy")
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    np.savez("x.npz", table=x, other=x[:5])
    frame.to_csv("x.csv", index=False)
    frame.to_parquet("x.parquet")
    more = ["--array", "table"] if name == "x.npz" else []
    assert main([*f"fit {name} -k 3 --init init3.csv --labels z.npy".split(), *more]) == 2
    np.savetxt("init3.csv", x[:3], delimiter=",")
    assert main([*f"fit {name} -k 3 --init init3.csv --labels z.npy".split(), *more]) == 0
    _, labels, _ = oracles.lloyd(x, x[:3], "l2")
    np.testing.assert_array_equal(np.load("z.npy"), labels)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fit absent.npy -k 2", "absent.npy: there is no such file"),
        ("fit flat.npy -k 2", "flat.npy holds an array of shape (5,)"),
        ("fit text.csv -k 2", "text.csv, line 3, column 2 holds the text 'red'"),
        ("fit nan.npy -k 2", "contains NaN: first at row 1, column 0"),
        ("fit x.npy -k 301", "n_samples=300 should be >= n_clusters=301"),
        ("fit x.npy -k 0", "n_clusters=0 must be at least 1"),
        ("fit x.npy -k two", "-k/--n-clusters: invalid int value: 'two'"),
        ("fit x.npy", "required: -k/--n-clusters (see kmgpu fit --help)"),
        ("fit x.npy -k 2 --loss l3", "--loss: invalid choice: 'l3'"),
        ("fit x.npy -k 2 --n-init few", "--n-init: invalid"),
        ("fit x.npy -k 2 --seed -1", "random_state=-1 cannot be used"),
        ("fit x.npy -k 2 --tol -1", "tol=-1.0 must be at least 0"),
        ("fit x.npy -k 2 --init kmeans", "--init kmeans is neither one of k-means++,"),
        ("fit x.npy -k 2 --init init.npy", "(4, 3) does not match the number of clusters 2"),
        ("fit x.npy -k 2 --weights flat.npy", "sample_weight.shape == (5,), expected (300,)"),
        ("fit x.npy -k 2 --weights x.npy", "expected weights, (n_samples,)"),
        ("fit x.npy -k 2 --device tpu", "device='tpu' is not known"),
        ("fit x.npy -k 2 --device cuda:99", "device='cuda:99'"),
        ("fit x.npy -k 2 --out m.npy", "m.npy cannot be written: its name must end in .npz"),
        ("fit x.npy -k 2 --labels z.txt", "name must end in one of .npy, .csv, .parquet."),
        ("fit x.npy -k 2 --labels x.npy", "x.npy is an input and would be overwritten"),
        ("fit x.npy -k 2 --out nowhere/m.npz", "nowhere/m.npz cannot be written: there is no"),
        ("predict x.npy x.npy", "x.npy is not a model that kmgpu can load"),
        ("predict absent.npz x.npy", "absent.npz: there is no such file"),
        ("predict m.npz wide.npy", "X has 9 features, but KMeans is expecting 3"),
        ("predict m.npz x.npy --out nowhere/z.npy", "nowhere/z.npy cannot be written"),
        ("demo --out picture.jpg", "picture.jpg cannot be written: its name must end in .png"),
        ("", "arguments are required: COMMAND (see kmgpu --help)"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, capsys, command, said):
    np.save("flat.npy", np.arange(5.0))
    np.save("wide.npy", np.zeros((4, 9)))
    np.save("nan.npy", np.array([[1.0, 2], [np.nan, 3]]))
    Path("text.csv").write_text("a,b\n1,2\n3,red\n")
    kmgpu.save_model(KMeans(2, random_state=0).fit(np.load("x.npy")), "m.npz")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert cli(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert_one_line(captured.err, said)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_outputs_are_checked_before_the_work_starts(folder, capsys, monkeypatch):
    monkeypatch.setattr(KMeans, "fit", lambda *_, **__: pytest.fail("the work was done"))
    assert cli("fit x.npy -k 2 --out nowhere/m.npz") == 2

    def full(part, _):
        raise OSError(28, "No space left on device", str(part))

    monkeypatch.setattr("kmgpu.files._created", full)
    capsys.readouterr()
    assert cli("fit x.npy -k 2 --labels z.npy") == 2
    assert_one_line(capsys.readouterr().err, "z.npy cannot be written: No space left on device in")


@pytest.mark.parametrize(
    ("error", "said"),
    [(MemoryError(), "MemoryError"), (ValueError("two\n   lines"), "two lines")],
)
def test_every_error_is_one_line(folder, capsys, monkeypatch, error, said):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(KMeans, "fit", failing)
    assert cli("fit x.npy -k 2") == 2
    assert capsys.readouterr().err == f"kmgpu: error: {said}\n"


def test_an_interrupt_is_one_line(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(KMeans, "fit", interrupted)
    assert cli("fit x.npy -k 2") == 130
    assert capsys.readouterr().err == "kmgpu: interrupted; unfinished output was discarded\n"


def test_the_package_is_a_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kmgpu", "fit", "absent.npy", "-k", "2"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("kmgpu", run_name="__main__")
    assert caught.value.code == 2
    assert_one_line(capsys.readouterr().err, "absent.npy: there is no such file")


def test_the_device_is_named_as_it_is_asked_for():
    cupy_like = SimpleNamespace(type="cuda", id=2)
    torch_like = SimpleNamespace(type="cuda", index=1)
    assert device_name(HOST) == "cpu"
    assert device_name(Place(np, cupy_like)) == "cuda:2"
    assert device_name(Place(np, torch_like)) == "cuda:1"


def test_warnings_are_one_line_and_no_failure(folder, capsys):
    np.save("same.npy", np.ones((5, 2)))
    assert cli("fit same.npy -k 2 --seed 0") == 0
    err = capsys.readouterr().err
    assert err.startswith("kmgpu: warning: Number of distinct clusters (1) found smaller")
    assert err.count("\n") == 1


def test_progress_is_shown_on_a_terminal_unless_unwanted(folder, capsys, monkeypatch):
    assert cli("fit x.npy -k 3 --seed 0") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli("fit x.npy -k 3 --seed 0 --no-progress") == 0
    assert capsys.readouterr().err == ""
    assert cli("fit x.npy -k 3 --seed 0 --out m.npz") == 0
    assert "KMeans" in capsys.readouterr().err
    assert load_model("m.npz").progress is False


def test_info_says_what_is_usable_and_what_to_install(capsys, monkeypatch):
    found = {"numpy (cpu)": Usable(True, "here"), "cupy (cuda)": Usable(False, "install it")}
    monkeypatch.setattr("kmgpu.info.backends", lambda: found)
    monkeypatch.setattr("kmgpu.info.OPTIONAL", {"no-such-package-xyz": "for tea; pip install it"})
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    lines = table(shown)
    assert lines["kmgpu"] == kmgpu.__version__
    assert lines["numpy"] == np.__version__
    assert lines["numpy (cpu)"] == "usable: here"
    assert lines["cupy (cuda)"] == "not usable: install it"
    assert lines["no-such-package-xyz"] == "not installed (for tea; pip install it)"
    assert "Fused kernels: " in shown


@pytest.mark.slow
def test_info_in_a_process_of_its_own():
    done = run("info")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usable: NumPy {np.__version__}" in done.stdout


@pytest.mark.slow
def test_exit_codes_of_the_process(folder):
    good = run("fit", "x.npy", "-k", "3", "--labels", "z.npy", "--device", "cpu", cwd=folder)
    assert (good.returncode, good.stderr) == (0, "")
    assert np.load("z.npy").shape == (300,)
    bad = run("fit", "x.npy", "-k", "301", cwd=folder)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert_one_line(bad.stderr, "n_samples=300")
    assert run("--help").returncode == 0


UNREAD = """
import os, sys
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
from kmgpu.cli import main
sys.exit(main("predict m.npz {data}".split()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 1000])
def test_a_reader_that_stops_reading_is_no_error(folder, repeats):
    x = np.load("x.npy")
    np.save("long.npy", np.tile(x, (repeats, 1)))
    kmgpu.save_model(KMeans(2, random_state=0).fit(x), "m.npz")
    done = run(code=UNREAD.format(data="long.npy"), cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")


INTERRUPTED = """
import os, signal, sys, time
from {home} import {where}
def interrupted(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
{where}.{what} = interrupted
from kmgpu.cli import main
sys.exit(main("fit x.npy -k 3 --seed 0 --out m.npz --labels z.npy".split()))
"""


INTERRUPTED_IN = [("kmgpu", "KMeans", "fit"), ("kmgpu.io", "models", "np.savez")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="os.kill with SIGINT ends the process there")
@pytest.mark.parametrize(("home", "where", "what"), INTERRUPTED_IN)
def test_an_interrupt_is_exit_code_130_and_leaves_no_file(folder, home, where, what):
    before = sorted(path.name for path in folder.iterdir())
    done = run(code=INTERRUPTED.format(home=home, where=where, what=what), cwd=folder)
    assert done.returncode == 130
    assert done.stderr == "kmgpu: interrupted; unfinished output was discarded\n"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_user_files_are_not_unpickled(folder, capsys):
    marker = folder / "executed"
    objects = np.array([[Touch(marker)]], dtype=object)
    np.save("evil.npy", objects)
    np.savez("evil.npz", kmgpu_model=objects, cluster_centers_=objects, labels_=objects)
    for command in ("fit evil.npy -k 1", "fit x.npy -k 2 --weights evil.npy"):
        assert cli(command) == 2
    assert cli("predict evil.npz x.npy") == 2
    assert not marker.exists()
    np.load("evil.npy", allow_pickle=True)
    assert marker.exists(), "the trap does not work: this test says nothing"


class Touch:
    """Unpickling one of these creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"kmgpu {kmgpu.__version__}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_version_that_nobody_can_read_is_an_error():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "kmgpu", "--version"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "standard output cannot be written" in done.stderr
