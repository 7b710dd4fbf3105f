"""Small data sets for pictures; scikit-learn generates or ships all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kmgpu.validation import check_choice

__all__ = ["load_example"]

SEED = 0


def _blobs() -> np.ndarray:
    from sklearn.datasets import make_blobs

    return make_blobs(400, centers=5, cluster_std=1.3, random_state=SEED)[0]


def _moons() -> np.ndarray:
    from sklearn.datasets import make_moons

    return make_moons(300, noise=0.08, random_state=SEED)[0]


def _anisotropic() -> np.ndarray:
    return _blobs() @ np.array([[0.6, -0.6], [-0.4, 0.8]])


def _outlier() -> np.ndarray:
    from sklearn.datasets import make_blobs

    points = make_blobs(60, centers=[[0, 0], [6, 1]], cluster_std=1, random_state=SEED)[0]
    return np.concatenate([points, [[18.0, 9.0]]])


def _line() -> np.ndarray:
    from sklearn.datasets import make_blobs

    return make_blobs(150, 1, centers=[[-4], [0], [5]], random_state=SEED)[0]


def _iris() -> np.ndarray:
    from sklearn.datasets import load_iris

    return load_iris().data


def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return load_digits().data


EXAMPLES: dict[str, Callable[[], np.ndarray]] = {
    "blobs": _blobs,
    "moons": _moons,
    "anisotropic": _anisotropic,
    "outlier": _outlier,
    "line": _line,
    "iris": _iris,
    "digits": _digits,
}


def load_example(name: str) -> np.ndarray:
    """Load the example of that name, (n_samples, n_features) float64; its rows never change."""
    check_choice("example", name, tuple(EXAMPLES))
    return EXAMPLES[name]()
