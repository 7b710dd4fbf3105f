"""kmgpu in a process of its own, with data to fit, and what it leaves in a folder."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import kmgpu
from kmgpu import load_model
from kmgpu.cli import main

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="of POSIX")
NEEDS_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
X = np.random.default_rng(0).normal(size=(90, 3))
FIT = "fit x.npy -k 3 --seed 0 --no-progress --out o.npz --labels l.npy"
QUANTIZE = "quantize ö.png -k 2 --no-progress -o ü.png --palette pal.png"
K = 3
# A job in the background ignores SIGINT, and so would all that it starts. Python itself, before it
# runs anything, is not under test.
START = """
import runpy, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("started", flush=True)
runpy.run_module("kmgpu", run_name="__main__", alter_sys=True)
"""


def cli(command: str) -> int:
    return main(command.split())


def fitted() -> bool:
    """What FIT has written is whole."""
    for name in ("o.npz", "m.npz"):
        np.testing.assert_array_equal(load_model(name).predict(np.load("x.npy")), np.load("l.npy"))
    return True


def environment(**variables: str) -> dict[str, str]:
    """The variables of a process that imports the kmgpu under test."""
    package = str(Path(kmgpu.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg", **variables}


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script of bash in which ``$kmgpu`` is the command."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(kmgpu=f"{sys.executable} -m kmgpu", **variables),
        capture_output=True,
        text=True,
        timeout=400,
    )


def parts(folder: Path) -> set[str]:
    """The files that were begun and neither put in place nor removed."""
    return {path.name for path in folder.glob(".kmgpu-*")}


def kill_often(folder: Path, n_kills: int, seed: int) -> Counter[str]:
    """Kill ``kmgpu fit --out`` that many times; half of them while the model is written.

    Every time the model must be the old one or the new one, whole, and nothing else be left; but
    after SIGKILL a part may be, which the next fit removes.

    Returns
    -------
    Counter
        How often the process was ended by which signal, left a part, or was done before.
    """
    rng = random.Random(seed)
    x = np.random.default_rng(seed).normal(size=(400_000, 2))
    np.save(folder / "x.npy", x)
    models, seconds = {}, 0.0
    for name, start in {"old": 0, "new": 1}.items():
        np.save(folder / "init.npy", x[start : start + K])
        seconds = _undisturbed(folder)
        models[name] = load_model(folder / "m.npz").cluster_centers_
        (folder / "m.npz").rename(folder / f"{name}.npz")
    assert (models["old"] != models["new"]).any()
    old = (folder / "old.npz").read_bytes()
    found: Counter[str] = Counter()
    for n in range(n_kills):
        (folder / "m.npz").write_bytes(old)
        before = parts(folder)
        how = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[n % 3]
        after = None if n // 3 % 2 else rng.uniform(0, seconds)
        found[_killed(folder, how, rng, after)] += 1
        found[_what_is_there(folder, models)] += 1
        left = parts(folder) - before
        found["parts left"] += len(left)
        assert how == signal.SIGKILL or not left, (how, n)
    _undisturbed(folder)
    assert parts(folder) == set()
    return found


def _undisturbed(folder: Path) -> float:
    """Fit to the end; the seconds that it takes."""
    with _fit(folder) as process:
        assert process.stdout.readline() == "started\n"
        start = time.perf_counter()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    return time.perf_counter() - start


def _fit(folder: Path) -> subprocess.Popen[str]:
    command = f"fit x.npy -k {K} --init init.npy --max-iter 20 --out m.npz --no-progress"
    return subprocess.Popen(
        [sys.executable, "-c", START, *command.split()],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _killed(folder: Path, how: signal.Signals, rng: random.Random, after: float | None) -> str:
    """End a fit after so many seconds, or while it writes, and say how it ended."""
    before = parts(folder)
    with _fit(folder) as process:
        assert process.stdout.readline() == "started\n"
        if after is None:
            while process.poll() is None and not _is_writing(folder, before):
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.003))
        else:
            time.sleep(after)
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
    code = process.returncode
    if code == 0:
        assert said == "", said
        return f"done before {how.name}"
    assert code in (-how, 128 + how), (how, code, said)
    assert said in ("", "kmgpu: interrupted; unfinished output was discarded\n"), said
    return f"ended by {how.name}{' while writing' if after is None else ''}"


def _is_writing(folder: Path, before: set[str]) -> bool:
    """Whether there is a new part with something in it."""
    for name in parts(folder) - before:
        try:
            if (folder / name).stat().st_size:
                return True
        except FileNotFoundError:
            continue
    return False


def _what_is_there(folder: Path, models: dict[str, np.ndarray]) -> str:
    centers = load_model(folder / "m.npz").cluster_centers_
    (name,) = (name for name, known in models.items() if np.array_equal(centers, known))
    return f"the {name} model"
