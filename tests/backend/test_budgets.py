"""What an iteration may cost on CuPy: launches, copies to the host, bytes of the pool."""

import numpy as np
import pytest

from kmgpu import KMeans, KMedians, kernels, lloyd
from kmgpu.algorithm.assignment import costs_at, nearest
from kmgpu.algorithm.lloyd import half_steps
from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.refit import group_rows
from kmgpu.algorithm.seeding import initial_centers
from kmgpu.algorithm.steps import engine
from kmgpu.backend.arrays import namespace
from kmgpu.kernels import dispatch
from kmgpu.kernels.cuda import screen, tensor
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", [L1, L2], ids=lambda loss: loss.name)
MIB = 1 << 20
# of an iteration: three sort the rows, two make centres and losses; weights in whole units, three
AFTER_ASSIGNMENT = {("l2", False): 5, ("l2", True): 5, ("l1", False): 5, ("l1", True): 8}
# centres about an origin (2), the ranking, the list of open rows, and what settles them; tensor
# cores take centres in halves and rank twice, and list what stays open as they rank
ASSIGNMENT = 5
BUDGETS = {"one block": None, "many blocks": 20_000}


def costs_of_half_steps(
    counted, x, start, loss, weight=None, memory_budget=None, max_iter=300, empty_cluster="farthest"
):
    """(kind, what it cost) of every half-step."""
    xp = namespace(x)
    steps = engine(x, weight, start.shape[0], loss, memory_budget)
    options = {"max_iter": max_iter, "tol": 0, "empty_cluster": empty_cluster}
    loop, found = half_steps(steps, weight, xp.astype(start, xp.float64), x.dtype, **options), []
    while True:
        with counted() as cost:
            step = next(loop, None)
        if step is None:
            return found
        found.append((step.kind, cost))


def launches_of_an_assignment(loss, d):
    return ASSIGNMENT + (loss is L2 and d >= tensor.FEWEST_FEATURES)


@BOTH
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("an_empty_cluster", [False, True])
def test_an_iteration(backend, counted, loss, d, weighted, budget, an_empty_cluster):
    """One small copy, for the stopping rule; the refit is under way by then."""
    x = oracles.blobs(400, d, 6, seed=3, spread=2).astype(np.float32)
    weight = backend.asarray(np.arange(400.0) % 3 + 1) if weighted else None
    start = x[:6].copy()
    start[5] = 1e4 if an_empty_cluster else start[5]
    steps = costs_of_half_steps(
        counted,
        *(backend.asarray(each) for each in (x, start)),
        loss,
        weight=weight,
        empty_cluster="keep",
        memory_budget=BUDGETS[budget],
        max_iter=4,
    )
    assert len(steps) > 4
    most = launches_of_an_assignment(loss, d)
    most += AFTER_ASSIGNMENT[loss.name, weighted]
    assert most <= 12 or (loss is L1 and weighted)
    for assign, refit in zip(steps[1:-1:2], steps[2:-1:2], strict=True):
        assert (assign[0], refit[0]) == ("assign", "refit")
        both = [vars(cost) for _, cost in (assign, refit)]
        assert sum(cost["device_to_host_copies"] for cost in both) == 1, both
        assert sum(cost["host_to_device_copies"] for cost in both) == 0, both
        assert sum(cost["launches"] for cost in both) <= most, both
    kind, last = steps[-1]
    assert kind == "assign"
    assert last.device_to_host_copies <= 3  # the stopping rule, the rounded centres, their loss


def test_free_memory_is_asked_once_a_fit(backend, counted, monkeypatch):
    import cupy

    asked = []
    ask = cupy.cuda.runtime.memGetInfo
    monkeypatch.setattr(cupy.cuda.runtime, "memGetInfo", lambda: asked.append(1) or ask())
    x = backend.asarray(np.random.default_rng(0).standard_normal((300, 40)).astype(np.float32))
    numbers = []
    for max_iter in (2, 6):
        asked.clear()
        steps = list(lloyd(x, x[:6, :], "l2", max_iter=max_iter))
        assert steps[-1].stop == "max_iter"
        numbers.append(len(asked))
    assert numbers[0] == numbers[1] > 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "digits"), [(4000, 0), (4100, 4)])
def test_medians(backend, counted, n, digits, weighted):
    """Two launches for each digit, where there are enough rows for a cluster to be cut.

    With weights three more, which turn them into whole units of each cluster's weight.
    """
    x = oracles.blobs(n, 3, seed=4).astype(np.float32)
    weight = backend.asarray(np.ones(n)) if weighted else None
    there, centers = backend.asarray(x), backend.asarray(x[:2].astype(np.float64))
    groups = group_rows(nearest(there, centers, L1), 2, weight)
    L1.refit(there, groups, weight, centers, MIB)
    with counted() as cost:
        L1.refit(there, groups, weight, centers, MIB)
    assert cost.device_to_host_copies == cost.host_to_device_copies == 0
    assert cost.launches <= 1 + 2 * digits * (1 + weighted) + 3 * weighted


@BOTH
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_no_half_step_waits(backend, counted, loss, d, dtype):
    x = backend.asarray(np.abs(9 * oracles.blobs(300, d, seed=1)).astype(dtype))
    centers = backend.xp.astype(x[:7, :], backend.xp.float64)
    weight = backend.asarray(np.ones(300))
    with counted() as cost:
        labels = nearest(x, centers, loss, memory_budget=20_000)
        costs_at(x, centers, labels, loss)
        loss.refit(x, group_rows(labels, 7), None, centers, MIB)
        loss.refit(x, group_rows(labels, 7, weight), weight, centers, MIB)
    assert cost.device_to_host_copies == 0
    assert cost.host_to_device_copies == 0


def test_open_rows_of_all_blocks_are_ranked_together(backend, counted, monkeypatch):
    """Beside the first, a block costs three launches: rows about the origin, product, scores."""
    monkeypatch.setattr(tensor, "_has_tensor_cores", lambda x: False)
    x = backend.asarray(oracles.blobs(300, 40, seed=1).astype(np.float32))
    centers = backend.xp.astype(x[:7, :], backend.xp.float64)
    launches = []
    for budget in (MIB, 20_000):
        with counted() as cost:
            nearest(x, centers, L2, memory_budget=budget)
        launches.append(cost.launches)
    n_blocks = -(-300 * 4 * (40 + 7) // 20_000)
    assert n_blocks == 3
    assert launches[1] - launches[0] <= 3 * (n_blocks - 1)


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("d", [8, 40, 128, 200, 300])
def test_an_assignment_on_tensor_cores(backend, counted, n, d):
    """Six launches, however many rows and blocks; the host reads nothing."""
    x = backend.asarray(np.random.default_rng(0).standard_normal((n, d)).astype(np.float32))
    centers = backend.xp.astype(x[:70, :], backend.xp.float64)
    with counted() as cost:
        nearest(x, centers, L2, memory_budget=20_000)
    assert cost.launches <= 6
    assert cost.device_to_host_copies == cost.host_to_device_copies == 0


@pytest.mark.parametrize("n", [100, 1000])
def test_an_assignment_by_halves(backend, counted, n):
    """Two launches more than without: centres are packed, and open rows are ranked once more."""
    x = backend.asarray(np.random.default_rng(0).standard_normal((n, 40)).astype(np.float32))
    centers = backend.xp.astype(x[:70, :], backend.xp.float64)
    few, many = centers[: screen.FEWEST_CLUSTERS - 1, :], backend.xp.concat([centers] * 3)
    launches = []
    for at in (few, many):
        with counted() as cost:
            nearest(x, at, L1)
        assert cost.device_to_host_copies == cost.host_to_device_copies == 0
        launches.append(cost.launches)
    assert launches == [ASSIGNMENT, ASSIGNMENT + 2]


@BOTH
def test_launches_do_not_grow_with_rows_features_or_clusters(backend, counted, loss):
    launches = []
    for n, d, k in ((200, 8, 3), (2000, 30, 60)):
        x = backend.asarray(np.random.default_rng(0).standard_normal((n, d)).astype(np.float32))
        steps = costs_of_half_steps(counted, x, x[:k, :], loss, max_iter=2)
        launches.append([cost.launches for _, cost in steps[1:5]])
    assert launches[0] == launches[1]


@BOTH
def test_a_relocation_copies_no_data(backend, counted, loss):
    """Rows and labels stay; a handful of candidates goes to the host."""
    x = oracles.blobs(500, 3, seed=2).astype(np.float32)
    start = np.concatenate([x[:4], np.full((2, 3), 1e4, np.float32)])
    steps = costs_of_half_steps(counted, backend.asarray(x), backend.asarray(start), loss)
    assert steps[2][0] == "refit"
    assert 0 < steps[2][1].device_to_host_copies <= 5


@BOTH
@pytest.mark.parametrize("weighted", [False, True])
def test_seeding(backend, counted, loss, weighted):
    """Four launches a round, and no copy: one brings the random numbers, one takes the rows."""
    x = backend.asarray(oracles.blobs(300, 5, seed=3).astype(np.float32))
    weight = backend.asarray(np.arange(300.0)) if weighted else None
    launches = []
    for k in (10, 20):
        with counted() as cost:
            initial_centers(x, "k-means++", k, loss, weight, np.random.default_rng(0))
        assert cost.device_to_host_copies == 1
        assert cost.host_to_device_copies == 2  # random numbers, and the rows come back
        launches.append(cost.launches)
    assert launches[1] - launches[0] == 4 * 10
    assert launches[0] <= 4 * 10 + 20


@BOTH
def test_peak_bytes_of_seeding(backend, counted, loss):
    """Beyond the data: some 20 bytes a row."""
    import cupy

    n, d, k = 10_000, 40, 6
    x = backend.asarray(np.random.default_rng(0).standard_normal((n, d)).astype(np.float32))
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    used, limit = pool.used_bytes(), pool.get_limit()
    pool.set_limit(size=used + 24 * n + 65_536)
    try:
        initial_centers(x, "k-means++", k, loss, None, np.random.default_rng(0))
    finally:
        pool.set_limit(size=limit)


@BOTH
def test_reference_means_plain_calls(backend, counted, loss):
    """And it gives the same clustering."""
    x = oracles.blobs(300, 4, 5, seed=6, spread=2).astype(np.float32)
    there, start = backend.asarray(x), backend.asarray(x[:5])
    assert dispatch.lookup("nearest", there) is not None
    with kernels.use("fused"):
        fused = list(lloyd(there, start, loss))
    with kernels.use("reference"):
        assert dispatch.lookup("nearest", there) is None
        plain = list(lloyd(there, start, loss))
    assert [step.kind for step in fused] == [step.kind for step in plain]
    for a, b in zip(fused[1:], plain[1:], strict=True):
        np.testing.assert_array_equal(a.labels.get(), b.labels.get())
        assert a.loss == pytest.approx(b.loss, rel=1e-12)
        assert a.n_changed == b.n_changed
    np.testing.assert_allclose(fused[-1].centers.get(), plain[-1].centers.get(), rtol=1e-6)


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
@pytest.mark.parametrize(("n", "d", "k"), [(8_000, 2, 4), (2_000, 200, 9)])
def test_peak_bytes_of_a_fit(backend, counted, estimator, n, d, k):
    """Beyond the data: some 80 bytes a row, the budget of a block, and no copy of the data."""
    import cupy

    x = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    there = backend.asarray(x)
    model = estimator(k, init=x[:k].astype(float), max_iter=2, tol=0, memory_budget=MIB // 4)
    model.fit(there)
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    used, limit = pool.used_bytes(), pool.get_limit()
    partial_sums = 8 * min(1 << 20, n * d // 32 + d)
    allowed = 80 * n + MIB // 2 + partial_sums
    assert allowed < 4 * n * d or d == 2, "a copy of the data would pass"
    pool.set_limit(size=used + allowed)
    try:
        model.fit(there)
    finally:
        pool.set_limit(size=limit)


def test_work_stays_on_the_datas_device(backend, counted, pretend_gpus):
    """Whatever the current device is; an array on the wrong one raises."""
    import cupy

    x = oracles.blobs(200, 3, 4, seed=1).astype(np.float32)
    with pretend_gpus(devices=2):
        with cupy.cuda.Device(1):
            there, centers = cupy.asarray(x), cupy.asarray(x[:4].astype(np.float64))
        for loss in (L1, L2):
            labels = nearest(there, centers, loss)
            cost = costs_at(there, centers, labels, loss)
            assert {labels.device.id, cost.device.id} == {1}
            np.testing.assert_array_equal(labels.get(), oracles.labels(x, x[:4], loss.name))


@BOTH
def test_the_callers_stream_is_used(backend, counted, loss, monkeypatch):
    import cupy

    from kmgpu.kernels.cuda import module

    seen = []
    compiled = module.raw_module

    def spy(source, name):
        function = compiled(source, name).get_function(name)

        class Spied:
            @staticmethod
            def get_function(_):
                def launch(*args):
                    seen.append(cupy.cuda.get_current_stream().ptr)
                    return function(*args)

                return launch

        return Spied

    monkeypatch.setattr(module, "raw_module", spy)
    module._function.cache_clear()
    x = backend.asarray(oracles.blobs(50, 3).astype(np.float32))
    with cupy.cuda.Stream() as stream:
        nearest(x, backend.xp.astype(x[:3, :], backend.xp.float64), loss)
    module._function.cache_clear()
    assert seen
    assert set(seen) == {stream.ptr}
