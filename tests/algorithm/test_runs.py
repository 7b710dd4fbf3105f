"""Restarts, and the best of them."""

import numpy as np
import pytest

from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.plan import ArrayData, Plan
from kmgpu.algorithm.progress import Progress
from kmgpu.algorithm.restarts import best_restart
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
X = oracles.blobs(60, 2, 4, seed=11)


class Watching(Progress):
    """Keeps the half-steps and the messages of a fit."""

    def __init__(self):
        super().__init__("", 50)
        object.__setattr__(self, "steps", [])
        object.__setattr__(self, "said", [])

    def say(self, message):
        self.said.append(message)

    def shown(self, loop):
        for step in loop:
            self.steps.append(step)
            yield step


def plan(starts, loss, **changes):
    """A plan whose restarts begin at the given centres, one after the other."""
    coming = iter(starts)
    options = {
        "loss": loss,
        "n_clusters": len(starts[0]),
        "dtype": np.float64,
        "init": lambda x, k, random_state: next(coming),
        "n_init": len(starts),
        "max_iter": 50,
        "tol": 0.0,
        "empty_cluster": "farthest",
        "memory_budget": None,
        "algorithm": "auto",
        "weight_factor": 1.0,
        "rng": np.random.default_rng(0),
        "progress": Watching(),
    }
    return Plan(**options | changes)


@BOTH
def test_the_run_of_lowest_loss_wins(loss):
    rng = np.random.default_rng(0)
    starts = [X[rng.choice(60, 4, replace=False)] for _ in range(6)]
    losses = [oracles.lloyd(X, start, loss.name)[2] for start in starts]
    assert max(losses) > min(losses) * 1.01
    best = best_restart(ArrayData(X, None), plan(starts, loss))
    assert best.loss == pytest.approx(min(losses))
    centers, labels, _ = oracles.lloyd(X, starts[int(np.argmin(losses))], loss.name)
    np.testing.assert_allclose(best.last.centers, centers, rtol=1e-12)
    np.testing.assert_array_equal(best.last.labels, labels)
    assert best.history[-1].loss == best.last.loss == best.loss
    assert best.history[-1].iteration == best.last.iteration
    assert best.n_found == 4


@BOTH
@pytest.mark.parametrize(("n_features", "n_clusters"), [(3, 4), (12, 10), (40, 25)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_later_restarts_leave_the_winner_alone(loss, n_features, n_clusters, dtype):
    """Whatever engine runs them, and whatever it keeps from one run to the next."""
    x = oracles.blobs(200, n_features, n_clusters, seed=1)
    x = (10 * x + 120).clip(0, 255).astype(dtype)
    rng = np.random.default_rng(2)
    starts = [x[rng.choice(200, n_clusters, replace=False)] for _ in range(4)]
    starts.sort(key=lambda start: oracles.lloyd(x, start, loss.name)[2])
    progress = Watching()
    best = best_restart(ArrayData(x, None), plan(starts, loss, progress=progress))
    oracles.assert_nearest(best.last.labels, x, best.last.centers, loss.name, 1e-5)
    assert best.loss == pytest.approx(oracles.lloyd(x, starts[0], loss.name)[2], rel=1e-5)
    kinds = [(step.kind, step.iteration) for step in progress.steps]
    firsts = [s for s, kind in zip(progress.steps, kinds, strict=True) if kind == ("assign", 1)]
    assert [step.n_changed for step in firsts] == [200] * 4


@BOTH
def test_the_first_of_equal_runs_wins(loss):
    start = X[:3]
    best = best_restart(ArrayData(X, None), plan([start, start[::-1], start[[1, 0, 2]]], loss))
    np.testing.assert_array_equal(best.last.labels, oracles.lloyd(X, start, loss.name)[1])


def test_history_leaves_out_only_the_initialisation():
    progress = Watching()
    best = best_restart(ArrayData(X, None), plan([X[:3]], L2, progress=progress))
    seen = progress.steps
    assert [step.kind for step in seen][:3] == ["init", "assign", "refit"]
    assert best.history == tuple(
        (s.kind, s.iteration, s.loss, s.shift, s.n_changed, s.n_relocated) for s in seen[1:]
    )


@pytest.mark.parametrize(
    ("changes", "ending"),
    [({}, "strict convergence"), ({"tol": 10.0}, "within tolerance"), ({"max_iter": 1}, None)],
)
def test_what_is_said(changes, ending):
    progress = Watching()
    best_restart(ArrayData(X, None), plan([X[:4]], L2, progress=progress, **changes))
    said = progress.said
    assert said[0] == "Initialization complete"
    assert said[1].startswith("Iteration 1, inertia ")
    if ending is None:
        assert len(said) == 2
    else:
        assert ending in said[-1]
        assert "Converged at iteration" in said[-1]
