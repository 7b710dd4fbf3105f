"""Restarts, and the best of them."""

import numpy as np
import pytest

from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.restarts import Plan, best_run
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
X = oracles.blobs(60, 2, 4, seed=11)


def plan(starts, loss, said=None, **changes):
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
        "watch": lambda loop: loop,
        "say": (lambda message: None) if said is None else said.append,
    }
    return Plan(**options | changes)


@BOTH
def test_the_run_of_lowest_loss_wins(loss):
    rng = np.random.default_rng(0)
    starts = [X[rng.choice(60, 4, replace=False)] for _ in range(6)]
    losses = [oracles.lloyd(X, start, loss.name)[2] for start in starts]
    assert max(losses) > min(losses) * 1.01
    best = best_run(X, None, plan(starts, loss))
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
    firsts = []

    def watch(loop):
        for step in loop:
            firsts.extend([step.n_changed] if (step.kind, step.iteration) == ("assign", 1) else [])
            yield step

    best = best_run(x, None, plan(starts, loss, watch=watch))
    oracles.assert_nearest(best.last.labels, x, best.last.centers, loss.name, 1e-5)
    assert best.loss == pytest.approx(oracles.lloyd(x, starts[0], loss.name)[2], rel=1e-5)
    assert firsts == [200] * 4


@BOTH
def test_the_first_of_equal_runs_wins(loss):
    start = X[:3]
    best = best_run(X, None, plan([start, start[::-1], start[[1, 0, 2]]], loss))
    np.testing.assert_array_equal(best.last.labels, oracles.lloyd(X, start, loss.name)[1])


def test_history_leaves_out_only_the_initialisation():
    seen = []

    def watch(loop):
        for step in loop:
            seen.append(step)
            yield step

    best = best_run(X, None, plan([X[:3]], L2, watch=watch))
    assert [step.kind for step in seen][:3] == ["init", "assign", "refit"]
    assert best.history == tuple(
        (s.kind, s.iteration, s.loss, s.shift, s.n_changed, s.n_relocated) for s in seen[1:]
    )


@pytest.mark.parametrize(
    ("changes", "ending"),
    [({}, "strict convergence"), ({"tol": 10.0}, "within tolerance"), ({"max_iter": 1}, None)],
)
def test_what_is_said(changes, ending):
    said = []
    best_run(X, None, plan([X[:4]], L2, said, **changes))
    assert said[0] == "Initialization complete"
    assert said[1].startswith("Iteration 1, inertia ")
    if ending is None:
        assert len(said) == 2
    else:
        assert ending in said[-1]
        assert "Converged at iteration" in said[-1]
