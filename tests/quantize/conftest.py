import numpy as np
import pytest


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photo():
    """(6, 8, 3): three groups of colours, 24, 16 and 8 pixels, and the group of every pixel."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat([0, 1, 2], [24, 16, 8])).reshape(6, 8)
    base = np.array([[200, 30, 40], [20, 180, 60], [30, 40, 220]])
    noise = rng.choice([-8, -2, 0, 0, 5], size=(6, 8, 3))
    return (base[group] + noise).astype(np.uint8), group
