"""The command line and signals: what is unfinished is discarded, no half file is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kmgpu.cli.interrupts import Interrupts
from tests.faults.commands import (
    FIT,
    POSIX,
    cli,
    environment,
    fitted,
    kill_often,
    parts,
)


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("disguise", [None, ImportError, SystemError])
def test_a_signal_discards_what_is_unfinished(folder, capsys, monkeypatch, name, disguise):
    number = getattr(signal, name)
    usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    before = signal.signal(number, usual)

    def half(file, **_):
        file.write(b"half")
        try:
            os.kill(os.getpid(), number)
            pytest.fail("no signal came")
        except KeyboardInterrupt:
            os.kill(os.getpid(), number)  # the second one, to the group
            if disguise is not None:
                raise disguise from None
            raise

    try:
        monkeypatch.setattr(np, "savez", half)
        assert cli(FIT) == 128 + number
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)
    assert capsys.readouterr() == ("", "kmgpu: interrupted; unfinished output was discarded\n")
    assert parts(folder) == set()
    assert not Path("o.npz").exists()


SWALLOWED = """
import os, signal, sys, time
import numpy as np
from kmgpu.io import models
from kmgpu.cli import interrupts, main
interrupts.TOGETHER = 0.05
def half(file, **_):
    file.write(b"half")
    file.flush()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.1)
    print("goes on", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
np.savez = half
sys.exit(main("fit x.npy -k 3 --out o.npz".split()))
"""


@POSIX
def test_a_second_signal_ends_what_swallowed_the_first(folder):
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "goes on\n", "")
    assert parts(folder) == set()


@POSIX
def test_signals_that_are_ignored_or_handled_stay_so(folder):
    seen = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handled = signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    try:
        with Interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, handled)
    assert seen == [1]


def test_a_command_runs_in_any_thread(folder):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(cli(FIT)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert fitted()


@POSIX
def test_ctrl_c_during_imports_prints_nothing(folder):
    Path("array_api_compat.py").write_text(
        "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    )
    script = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\nimport os, sys\n"
    script += "os.execv(sys.executable, [sys.executable, '-m', 'kmgpu', 'info'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGINT
    assert (done.stdout, done.stderr) == ("", "")


def test_a_library_leaves_signals_and_streams_alone(folder):
    code = "import signal, sys; before = signal.getsignal(signal.SIGINT); import kmgpu; "
    code += "assert signal.getsignal(signal.SIGINT) is before is not signal.SIG_DFL"
    done = subprocess.run(
        [sys.executable, "-c", f"import signal; "
         f"signal.signal(signal.SIGINT, signal.default_int_handler); {code}"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@POSIX
def test_kills_at_random_moments(tmp_path):
    found = kill_often(tmp_path, n_kills=6, seed=12)
    assert found["the old model"] + found["the new model"] == 6
