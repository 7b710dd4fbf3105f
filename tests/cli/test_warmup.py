"""``kmgpu warmup``: what it has compiled is not compiled again."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kmgpu
from kmgpu import kernels
from kmgpu.cli import main, warmup
from kmgpu.kernels.compilation import BEGINS, Compilation

FIT_ALOUD = """
import numpy as np
from kmgpu import KMeans
x = np.random.default_rng(0).standard_normal((3000, 3), dtype=np.float32)
KMeans(4, random_state=0, verbose=1).fit(x).predict(x)
"""


@pytest.mark.slow
def test_a_fit_after_it_compiles_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    root = str(Path(kmgpu.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(warmup, "SHAPES", {"l2": ((3, 8),)})
    monkeypatch.setattr(warmup, "DTYPES", ("float32",))
    assert main(["warmup", "--jobs", "1"]) == 0
    assert "are compiled" in capsys.readouterr().out
    # what this says without a cache: tests/kernels/test_kernels.py
    command = [sys.executable, "-c", FIT_ALOUD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Iteration" in done.stdout
    assert "Compiling" not in done.stdout


def test_no_process_is_an_error(capsys):
    assert main(["warmup", "--jobs", "0"]) == 2
    assert "--jobs 0 must be at least 1" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stderr", "lines"), [(Terminal(), 1), (io.StringIO(), 0)])
def test_one_line_is_told_on_a_terminal(stderr, lines, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr)
    compilation = Compilation()
    compilation.begins()
    compilation.begins()
    assert stderr.getvalue() == f"kmgpu: {BEGINS}\n" * lines


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_a_gpu_is_warmed_by_its_kernels(loss, cupy):
    with kernels.use("fused"):
        warmup.fit_once(warmup.Case(loss, "float32", 3, 4, "cuda"))
