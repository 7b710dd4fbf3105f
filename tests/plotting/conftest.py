"""Both animations as pages, and a browser."""

from __future__ import annotations

import pytest

from kmgpu.plotting import animate, animate_mean_vs_median
from tests.support import oracles
from tests.support.player import start


def steps():
    return animate(oracles.blobs(60, 2, 3, spread=1.5), 3, loss="l1", init="random", random_state=3)


def mean_vs_median():
    return animate_mean_vs_median([1.0, 2, 3, 4, 100], n_frames=12)


@pytest.fixture(scope="session", params=[steps, mean_vs_median])
def movie(request):
    return request.param()


@pytest.fixture(scope="session")
def page(movie, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "animation.html"
    movie.save(path)
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()
