"""The constants of the policy of high dimension: their fit and their form, with a clock made up."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import costs
from benchmarks.rows import blobs
from kmgpu.kernels.cpu.highdim import policy

TRUE = {
    "dense": [60, 0.8, 0.5, 0.016],
    "screen": [30, 0.2, 0.15, 0.0035, 20, 0.14],
    "prune": [20, 0.2, 0.15, 15, 0.06],
}
SLOWER = {name: [2 * constant for constant in known] for name, known in TRUE.items()}


def a_pass(known, shares):
    """Stands in for `measured_pass`: what the model says, for shares that vary."""

    def measured(way, x, n_clusters, move):
        active, passed = shares.uniform(0.1, 1), shares.uniform(1, 20)
        terms = costs.WAYS[way].terms(n_clusters, x.shape[1], active, passed)
        return costs.Pass(np.dot(known[way], terms), active, passed)

    return measured


@pytest.fixture
def fits(monkeypatch):
    """What processes with all instructions, and with AVX2 alone, would tell."""
    monkeypatch.setattr(costs, "N_SAMPLES", 8)

    def told(known):
        monkeypatch.setattr(costs, "measured_pass", a_pass(known, np.random.default_rng(0)))
        return {way: costs.fitted(way) for way in costs.WAYS}

    return told(TRUE), told(SLOWER)


def test_the_fit_finds_the_constants(fits):
    for way, found in fits[0].items():
        np.testing.assert_allclose(found["constants"], TRUE[way], rtol=1e-6)
        assert found["error"] < 1e-6


def test_the_lines_can_be_pasted(fits, monkeypatch, capsys):
    monkeypatch.setattr(costs, "has", {"avx512f": True, "avx512vnni": True, "avx2": True}.get)
    best, avx2 = fits
    monkeypatch.setattr(costs, "in_process", lambda settings: avx2 if settings else best)
    assert costs.main([]) == 0
    printed = capsys.readouterr().out
    assert '_FLOATS = {"avx512f": 0.016}  # elsewhere 0.032\n' in printed
    assert '_BYTES = {"avx512vnni": 0.0035, "avx2": 0.007}\n' in printed
    assert "pruned = 20 + active * (0.2 * k + 0.15 * d) + passed * (15 + 0.06 * d)" in printed
    assert "# screen, AVX2 alone: within 0%\n" in printed
    ast.parse("def paste(self, k, d, active, passed):\n  " + printed.replace("\n", "\n  "))


def test_every_line_is_one_of_the_policy(fits, monkeypatch):
    """Figures apart; where the policy loses a way, `costs.WAYS` must, too."""
    monkeypatch.setattr(costs, "has", {"avx512f": True, "avx512vnni": True, "avx2": True}.get)
    number = re.compile(r"(?<![\w])[\d.]+(e[+-]\d+)?")
    source = number.sub("#", Path(policy.__file__).read_text())
    for line in costs.table(fits[0], fits[1]).splitlines():
        if not line.startswith("#"):
            assert number.sub("#", line.partition("  #")[0]) in source


@pytest.mark.parametrize("way", costs.WAYS)
def test_a_pass_is_what_labelling_adds(way, monkeypatch):
    """0.75 s with labelling and 0.25 s with labels that are given."""
    times = [0.75, 0.25] * costs.REPEATS

    def stub(call):
        call()
        return times.pop(0)

    monkeypatch.setattr(costs, "thread_seconds", stub)
    x = blobs(1000, 40, 8, spread=0.5)
    found = costs.measured_pass(way, x, 8, 0.1)
    assert found.cost == pytest.approx(1e9 * 0.5 / 1000)
    assert 0 < found.active <= 1
    assert (found.passed == 0) == (way == "dense")
    assert not times


def test_a_thread_that_sleeps_costs_nothing():
    assert costs.thread_seconds(lambda: costs.time.sleep(0.1)) < 0.05
