"""The benchmark on a cluster runs to its end, on few rows."""

import sys

import pytest

from benchmarks import dask as benchmark


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_it_tells_all_that_it_measures(monkeypatch, capsys):
    line = "dask --rows 3000 --features 3 --clusters 4 --iterations 2 --rounds 1 --workers 1"
    monkeypatch.setattr(sys, "argv", line.split())
    monkeypatch.setattr(benchmark, "MANY", 20)
    assert benchmark.main() == 0
    said = capsys.readouterr().out
    for text in ("l2, 3,000 x 3", "l1, 3,000 x 3", "in memory", "a task costs", "10,669 tasks"):
        assert text in said
    assert said.count("over ours   1.00") >= 2


def test_a_loss_that_is_higher_is_told(monkeypatch, capsys):
    class Model:
        def __init__(self, center):
            self.cluster_centers_ = [[center]]

    x = benchmark.np.zeros((4, 1), "float32")
    fits = {"kmgpu": lambda: Model(1.0), "in memory": lambda: Model(0.5)}
    monkeypatch.setattr(benchmark, "fits", lambda *args: fits)
    assert not benchmark.compare(None, x, "l2", x[:1], 1, 1)
    assert "loss 1 (-7.5e-01)" in capsys.readouterr().out
