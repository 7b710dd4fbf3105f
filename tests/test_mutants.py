"""Planted mistakes still fit the kernels, and one is caught; the rest: python -m tests.mutants."""

import pytest

from kmgpu.kernels.cuda import module
from tests.mutants import MUTANTS, run


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_can_be_planted(name):
    mutant = MUTANTS[name]
    source = "nearest" if mutant.source == "common" else mutant.source
    assert mutant.planted(module.text(source)) != module.text(source)


def test_a_mistake_is_caught(host_module):
    done = run("a median off by one")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_medians_by_hand" in done.stdout
