"""The command line on streams that are closed, full, unread or of few characters."""

from __future__ import annotations

import io
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from kmgpu import load_model
from tests.faults.commands import (
    FIT,
    NEEDS_FULL,
    POSIX,
    QUANTIZE,
    cli,
    fitted,
    shell,
)


def full():
    return Path("/dev/full").open("w", buffering=1, encoding="utf-8")


def unread():
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", buffering=1, encoding="utf-8")


def closed():
    return nullcontext()  # Python's streams are None there


def cli_with(name, stream, command):
    """The exit code of the command, where sys.stdout or sys.stderr is a new such stream."""
    with pytest.MonkeyPatch.context() as patch, stream() as made:
        patch.setattr(sys, name, made)
        code = cli(command)
        assert getattr(sys, name) is made
        return code


@NEEDS_FULL
@pytest.mark.parametrize(("stream", "code"), [(full, 2), (unread, 0), (closed, 0)])
def test_files_are_written_whatever_stdout_does(folder, capsys, stream, code):
    assert cli_with("stdout", stream, FIT) == code
    assert fitted()
    assert cli_with("stdout", stream, QUANTIZE) == code
    assert Path("ü.png").exists()
    assert Path("pal.png").exists()
    assert cli_with("stdout", stream, "predict m.npz x.npy --out p.npy") == code
    np.testing.assert_array_equal(np.load("p.npy"), np.load("l.npy"))
    said = "kmgpu: error: standard output cannot be written: No space left on device."
    assert capsys.readouterr().err == (f"{said} All files are written.\n" * 3 if code else "")


@NEEDS_FULL
@pytest.mark.parametrize(
    ("stream", "reason"), [(full, "No space left on device"), (closed, "it is closed")]
)
@pytest.mark.parametrize("command", ["predict m.npz x.npy", "fit x.npy -k 3", "info", "fit --help"])
def test_what_stdout_alone_would_hold_is_no_success(folder, capsys, stream, reason, command):
    assert cli_with("stdout", stream, command) == 2
    said = f"kmgpu: error: standard output cannot be written: {reason}.\n"
    assert capsys.readouterr().err == said


@NEEDS_FULL
@pytest.mark.parametrize("stream", [full, unread, closed])
def test_files_are_written_whatever_stderr_does(folder, capsys, stream):
    command = "fit same.npy -k 3 --seed 0 --out o.npz"  # it warns
    assert cli_with("stderr", stream, command) == 0
    assert (load_model("o.npz").predict(np.load("same.npy")) == 0).all()
    assert cli_with("stderr", stream, "fit absent.npy -k 3") == 2
    assert "absent" not in capsys.readouterr().out


def test_characters_that_a_stream_lacks_are_escaped(folder, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert cli(QUANTIZE) == 0
    text = out.buffer.getvalue().decode("ascii")
    assert r"5 \xd7 4" in text
    assert text.endswith("picture written to \\xfc.png\npalette written to pal.png\n")
    with pytest.raises(SystemExit, match="0"):
        cli("fit --help")


def test_labels_are_whole_lines_in_order(folder, capsys, monkeypatch):
    monkeypatch.setattr("kmgpu.cli.predict.AT_A_TIME", 7)
    assert cli("predict m.npz x.npy") == 0
    expected = load_model("m.npz").predict(np.load("x.npy"))
    assert capsys.readouterr().out == "".join(f"{label}\n" for label in expected)


def test_two_outputs_are_not_one_file(folder, capsys):
    Path("l.npy").symlink_to("o.npz")
    assert cli(FIT) == 2
    assert "l.npy is both --out and --labels; give them two names." in capsys.readouterr().err


@pytest.mark.slow
@NEEDS_FULL
def test_real_streams(folder):
    script = """
    set -o pipefail
    export PYTHONUNBUFFERED=1
    fit() { $kmgpu fit same.npy -k 3 --seed 0 --out "$@"; }
    fit pipe.npz | true || exit 11
    $kmgpu predict m.npz x.npy | head -1 >/dev/null || exit 12
    fit stderr.npz 2>&1 | true || exit 13
    fit head.npz --labels head.npy | head -1 >/dev/null || exit 14
    fit full.npz >/dev/full 2>err && exit 15
    test $(wc -l <err) = 2 || exit 16
    unset PYTHONUNBUFFERED
    fit out-closed.npz >&- || exit 17
    fit err-closed.npz 2>&- >out || exit 18
    fit err-full.npz 2>/dev/full >out || exit 19
    fit closed.npz <&- >&- 2>&- || exit 20
    $kmgpu predict m.npz x.npy 2>&- >labels || exit 21
    $kmgpu predict m.npz x.npy >/dev/full 2>>err && exit 22
    $kmgpu predict m.npz x.npy >&- 2>>err && exit 23
    $kmgpu info >/dev/full 2>>err && exit 24
    $kmgpu --help >/dev/full 2>>err && exit 25
    $kmgpu predict m.npz - <&- 2>>err && exit 26
    $kmgpu --help | true || exit 27
    grep -c Traceback err
    """
    done = shell(script, folder)
    assert (done.returncode, done.stdout) == (1, "0\n"), done
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    names = ["pipe", "stderr", "head", "full", "out-closed", "err-closed", "err-full", "closed"]
    for name in names:
        assert (load_model(f"{name}.npz").predict(np.load("same.npy")) == 0).all()
    assert (np.load("head.npy") == 0).all()
    expected = load_model("m.npz").predict(np.load("x.npy"))
    np.testing.assert_array_equal(np.loadtxt("labels", int), expected)


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
    ],
)
def test_real_locales(folder, variables):
    done = shell(f"$kmgpu {QUANTIZE} && $kmgpu fit -h", folder, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("ü.png").exists()
    assert Path("pal.png").exists()
