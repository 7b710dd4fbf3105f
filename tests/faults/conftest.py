"""A folder to run commands in."""

from __future__ import annotations

import numpy as np
import pytest

from kmgpu import KMeans, save_model
from tests.faults.commands import X


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: data, a picture, and a model in it."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("same.npy", np.ones((9, 2)))
    pixels = np.random.default_rng(0).integers(256, size=(4, 5, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("ö.png")
    save_model(KMeans(3, random_state=0).fit(X), "m.npz")
    return tmp_path
