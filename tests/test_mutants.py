"""Planted mistakes fit the kernels, and some are caught; all of them: python -m tests.mutants."""

import subprocess
import sys

import pytest

from kmgpu.kernels.cuda import module
from tests.mutants import MUTANTS

QUICK = ["wrong tie between lanes", "a median off by one", "a chunk's carry lost"]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_can_be_planted(name):
    mutant = MUTANTS[name]
    source = "nearest" if mutant.source == "common" else mutant.source
    assert mutant.planted(module.text(source)) != module.text(source)


def test_mistakes_are_caught(host_module, request):
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants", *QUICK],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stdout.count("caught") == len(QUICK), done.stdout + done.stderr
    assert done.returncode == 0
