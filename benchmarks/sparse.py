"""Sparse rows for the tables: CSR, as text and one-hot columns give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse


def scattered() -> sparse.csr_array:
    """20,000 × 5,000, one value in a hundred, uniform: no structure to find."""
    rng = np.random.default_rng(0)
    return sparse.random_array((20_000, 5_000), density=0.01, format="csr", rng=rng)


def words(dtype: Any = np.float64) -> sparse.csr_array:
    """50,000 × 20,000 like tf-idf: about 60 words of a text, frequent ones first, of 30 topics.

    Half of a text's words are its topic's: the same ranks of frequency, each topic's own words.
    Rows have length 1.
    """
    n, d, length, n_topics = 50_000, 20_000, 60, 30
    rng = np.random.default_rng(0)
    frequency = np.arange(1, d + 1) ** -0.9
    word = rng.choice(d, size=(n, length), p=frequency / frequency.sum()).astype(np.int32)
    topics = np.stack([rng.permutation(d) for _ in range(n_topics)]).astype(np.int32)
    own = rng.integers(n_topics, size=(n, 1))
    word[:, : length // 2] = topics[own, word[:, : length // 2]]
    starts = np.arange(0, n * length + 1, length, dtype=np.int32)
    x = sparse.csr_array((rng.random(n * length), word.ravel(), starts), shape=(n, d))
    x.sum_duplicates()
    x.data /= np.repeat(np.sqrt(x.multiply(x).sum(axis=1)), np.diff(x.indptr))
    return x.astype(dtype)


def save(folder: Path, x: Any) -> str:
    """Where `x`, dense or sparse, has been written."""
    if sparse.issparse(x):
        sparse.save_npz(folder / "x.npz", x, compressed=False)
        return str(folder / "x.npz")
    np.save(folder / "x.npy", x)
    return str(folder / "x.npy")


def load(path: str, *, mapped: bool = False) -> Any:
    """What `save` wrote; dense rows stay in their file where `mapped`."""
    if path.endswith(".npz"):
        return sparse.load_npz(path)
    return np.load(path, mmap_mode="r" if mapped else None)
