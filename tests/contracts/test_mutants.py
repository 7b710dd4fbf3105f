"""Planted mistakes fit the kernels, and some are caught; all of them: python -m tests.mutants."""

import subprocess
import sys

import pytest

from kmgpu.kernels.cuda import module
from tests.mutants.cpu import CPU_MUTANTS, source_of
from tests.mutants.cuda import MUTANTS

QUICK = ["wrong tie between lanes", "the last of equal centres"]  # one on a GPU, one on the CPU
ESCAPES = """
import pytest
from tests.mutants.cuda import Mutant, passes_on_host
mutant = Mutant("nearest", (), lambda gpu: pytest.fail("caught"))
assert not passes_on_host(mutant)
assert passes_on_host(mutant._replace(test=lambda gpu: None))
"""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_can_be_planted(name):
    mutant = MUTANTS[name]
    source = "nearest" if mutant.source == "common" else mutant.source
    assert mutant.planted(module.text(source)) != module.text(source)


@pytest.mark.parametrize("name", CPU_MUTANTS)
def test_a_mistake_can_be_planted_on_the_cpu(name):
    code = source_of(CPU_MUTANTS[name]).read_text("utf-8")
    assert CPU_MUTANTS[name].planted(code) != code


@pytest.mark.slow
def test_what_pytest_fail_raises_is_a_failure(request):
    root = request.config.rootpath
    subprocess.run([sys.executable, "-c", ESCAPES], cwd=root, check=True, timeout=120)


@pytest.mark.slow
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
