"""Rows in several launches, on GPUs that draw a display alone."""

import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.backend import gpus
from kmgpu.backend.cards import Rates
from kmgpu.kernels.cuda import watchdog
from tests.support import oracles

pytestmark = pytest.mark.usefixtures("cupy")
X = oracles.blobs(700, 40, 5, seed=9, spread=3)


@pytest.fixture
def display(monkeypatch):
    """A GPU that draws a display and ranks 100 rows × 7 centres × 40 features in half a second."""
    monkeypatch.setattr(watchdog, "draws_display", lambda index: True)
    slow = Rates(1e12, 2 * 100 * 7 * 40 * 2 * 3.0)
    monkeypatch.setattr(watchdog, "cupy_rates", lambda index: slow)


def ranges(x, k):
    return list(watchdog.row_ranges(x, k))


@pytest.mark.usefixtures("display")
def test_ranges_cover_all_rows_and_are_as_long_as_the_time_allows(backend):
    x = backend.asarray(X)
    assert ranges(x, 7) == [(start, start + 100) for start in range(0, 700, 100)]
    assert ranges(x[:650], 14) == [(start, start + 50) for start in range(0, 650, 50)]
    assert ranges(x, 1) == [(0, 700)]
    assert ranges(x[:2], 10**6) == [(0, 1), (1, 2)]


def test_without_a_display_there_is_one_range(backend, cupy, monkeypatch):
    monkeypatch.setattr(watchdog, "cupy_rates", lambda index: Rates(1.0, 1.0))
    assert ranges(backend.asarray(X), 10**9) == [(0, 700)]
    gpus._draws_display.cache_clear()
    known = {"KernelExecTimeout": 1}
    monkeypatch.setattr(gpus, "_draws_display", gpus._draws_display.__wrapped__)
    monkeypatch.setattr(
        cupy.cuda, "Device", lambda index: type("Device", (), {"attributes": known})
    )
    assert gpus.draws_display(0)
    known["KernelExecTimeout"] = 0
    assert not gpus.draws_display(0)


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
@pytest.mark.parametrize("k", [7, 60])
def test_labels_are_the_same_bits(backend, estimator, k, request, counted):
    """Of as many rows as take seven launches, or a few more."""
    x = backend.asarray(X[: 700 * 7 // k].astype(np.float32))
    whole = estimator(k, random_state=0, max_iter=3).fit(x)
    whole.predict(x)
    with counted() as once:
        whole.predict(x)
    request.getfixturevalue("display")
    cut = estimator(k, random_state=0, max_iter=3).fit(x)
    with counted() as often:
        labels = cut.predict(x)
    assert often.launches > once.launches
    np.testing.assert_array_equal(labels.get(), whole.labels_.get())
    np.testing.assert_array_equal(cut.labels_.get(), whole.labels_.get())
    np.testing.assert_array_equal(cut.cluster_centers_.get(), whole.cluster_centers_.get())
