"""The rows of the benchmark tables: seeded float32 data and a number of clusters each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from benchmarks.embeddings import sentence_like
from benchmarks.gpu_cases import Case, made
from benchmarks.sparse import scattered, words

INIT_SEED = 1


@dataclass(frozen=True)
class Row:
    """One data set of a table.

    Attributes
    ----------
    name : str
    n_clusters : int
    make : callable
        The rows, (n_samples, n_features), the same at every call: C-contiguous float32, or CSR.
    """

    name: str
    n_clusters: int
    make: Callable[[], Any]


def initial_centers(x: Any, n_clusters: int) -> np.ndarray:
    """Distinct rows drawn by a fixed seed: every engine starts from them.

    Equal centres would leave clusters empty, which every engine treats in its own way.
    """
    drawn = x[np.random.default_rng(INIT_SEED).permutation(x.shape[0])[: 8 * n_clusters]]
    if issparse(drawn):
        return drawn[:n_clusters].toarray()  # sparse rows of ours are all distinct
    _, first = np.unique(drawn, axis=0, return_index=True)
    return drawn[np.sort(first)[:n_clusters]]


def plane(n_samples: int = 2_000_000) -> np.ndarray:
    """One round cloud in the plane: no structure to find."""
    return np.random.default_rng(0).standard_normal((n_samples, 2), dtype=np.float32)


def pixels() -> np.ndarray:
    """Colours of scikit-learn's two photographs, twice, the second time with a little noise."""
    from sklearn.datasets import load_sample_image

    photos = [load_sample_image(name).reshape(-1, 3) for name in ("china.jpg", "flower.jpg")]
    colours = np.concatenate(photos).astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(0, 0.01, colours.shape).astype(np.float32)
    return np.concatenate([colours, colours + noise])


def blobs(
    n_samples: int, n_features: int, n_blobs: int, spread: float, noise: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Normal clouds of standard deviation `noise`, their centres of `spread` about the origin."""
    rng = np.random.default_rng(seed)
    at = spread * rng.standard_normal((n_blobs, n_features), dtype=np.float32)
    x = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    x *= np.float32(noise)
    x += at[rng.integers(n_blobs, size=n_samples)]
    return x


def tabular() -> np.ndarray:
    """500,000 × 16: fifty overlapping clouds in a box."""
    rng = np.random.default_rng(0)
    at = rng.uniform(-10, 10, (50, 16)).astype(np.float32)
    x = 3 * rng.standard_normal((500_000, 16), dtype=np.float32)
    x += at[rng.integers(50, size=len(x))]
    return x


def iris() -> np.ndarray:
    from sklearn.datasets import load_iris

    return np.ascontiguousarray(load_iris().data, dtype=np.float32)


FIT = (
    Row("plane", 8, plane),
    Row("pixels", 64, pixels),
    Row("tabular", 32, tabular),
    Row("blobs128", 512, lambda: blobs(100_000, 128, 400, spread=1.0, noise=1.2)),
    Row("blobs768", 256, lambda: blobs(50_000, 768, 300, spread=0.5)),
    Row("embeddings256", 256, sentence_like),
    Row("embeddings1000", 1000, sentence_like),
)
SMALL = (
    Row("small", 3, lambda: blobs(1_000, 4, 3, spread=4.0)),
    Row("iris", 3, iris),
)
SPARSE = (
    Row("scattered", 20, scattered),
    Row("words20", 20, words),
    Row("words100", 100, words),
    Row("words100-float32", 100, partial(words, np.float32)),
)
# One that the emulation of a GPU can do.
TOY = Row("toy", 5, lambda: blobs(600, 4, 5, spread=1.0))
CUDA = tuple(
    Row(name, k, partial(made, Case(n, d, k)))
    for name, n, d, k in (
        ("1Mx128", 1_000_000, 128, 1000),
        ("10Mx32", 10_000_000, 32, 256),
        ("1Mx768", 1_000_000, 768, 4096),
        ("100Mx8", 100_000_000, 8, 64),
    )
)
ROWS = {row.name: row for row in (*FIT, *SMALL, *SPARSE, *CUDA, TOY)}


def from_file(path: str, n_clusters: int) -> Row:
    """A row of the user's own: a .npy file of shape (n_samples, n_features)."""

    def load() -> np.ndarray:
        return np.ascontiguousarray(np.load(path, allow_pickle=False), dtype=np.float32)

    return Row(Path(path).stem, n_clusters, load)


BASE = (100_000, 64, 16)
SIZES = dict.fromkeys(
    [(n, *BASE[1:]) for n in (25_000, 100_000, 400_000)]
    + [(BASE[0], k, BASE[2]) for k in (16, 64, 256, 1024)]
    + [(*BASE[:2], d) for d in (2, 8, 16, 64, 256)]
)


def sized(n: int, k: int, d: int) -> Row:
    """Blobs of a given size, for the scaling tables."""
    return Row(f"n={n},k={k},d={d}", k, lambda: blobs(n, d, k, spread=2.0))


SCALING = tuple(sized(*size) for size in SIZES)
