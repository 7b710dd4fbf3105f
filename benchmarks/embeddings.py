"""Rows that a clustering cannot tell from sentence embeddings, made of random numbers alone.

Fitted once to 30,000 sentences in 384 dimensions (all-MiniLM): the decay of the eigenvalues is
theirs, and a three-level tree of groups (topics, subtopics, near-paraphrases of uneven number and
tightness) gives about their loss at 32 to 1,000 clusters and their share of (row, centre) pairs
that a bound on the leading axes cannot rule out.
"""

from __future__ import annotations

import numpy as np

N_FEATURES = 384
# share of the variance held by that many leading principal axes
CUMULATIVE = {
    0: 0.0,
    1: 0.031,
    2: 0.060,
    4: 0.108,
    8: 0.183,
    16: 0.288,
    32: 0.428,
    64: 0.602,
    96: 0.717,
    128: 0.800,
    192: 0.910,
    256: 0.971,
    320: 0.993,
    384: 1.0,
}
MEAN_LENGTH = 0.339
N_TOPICS, N_SUBTOPICS, N_GROUPS = 19, 97, 2286
TOPIC_SHARE, SUBTOPIC_SHARE, GROUP_SHARE = 0.132, 0.062, 0.339
GROUP_SHARE_SPREAD = 0.271
GROUP_SIZE_TAIL = 0.656
TOPIC_DECAY = 2.135


def spectrum() -> np.ndarray:
    """Eigenvalues of the covariance, descending, summing to 1, (384,)."""
    from scipy.interpolate import PchipInterpolator

    cumulative = PchipInterpolator(list(CUMULATIVE), list(CUMULATIVE.values()))
    values = np.maximum(np.diff(cumulative(np.arange(N_FEATURES + 1))), 1e-5)
    return np.sort(values / values.sum())[::-1]


def sentence_like(n_samples: int = 30_000, seed: int = 0) -> np.ndarray:
    """Unit-norm rows of 384 features, float32, in an arbitrary rotation of their axes."""
    rng = np.random.default_rng(seed)
    eigenvalues = spectrum()
    x = _tree(rng, n_samples, eigenvalues)
    x -= x.mean(axis=0)
    found, axes = np.linalg.eigh(x.T @ x / n_samples)
    x = x @ axes[:, ::-1]
    x *= np.sqrt(eigenvalues / found[::-1] * (1 - MEAN_LENGTH**2))
    x += MEAN_LENGTH / np.sqrt(N_FEATURES)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rotation, _ = np.linalg.qr(rng.standard_normal((N_FEATURES, N_FEATURES)))
    return np.ascontiguousarray(x @ rotation, dtype=np.float32)


def _tree(rng: np.random.Generator, n_samples: int, eigenvalues: np.ndarray) -> np.ndarray:
    """Sums of a topic, a subtopic, a group and noise, (n_samples, 384) float64."""
    steep = eigenvalues**TOPIC_DECAY
    steep, plain = np.sqrt(steep / steep.sum()), np.sqrt(eigenvalues)

    def points(count: int, share: float | np.ndarray, scales: np.ndarray) -> np.ndarray:
        return np.sqrt(share) * rng.standard_normal((count, N_FEATURES)) * scales

    sizes = 0.3 + rng.pareto(1 / GROUP_SIZE_TAIL, N_GROUPS)
    group = rng.choice(N_GROUPS, size=n_samples, p=sizes / sizes.sum())
    subtopic = rng.integers(N_SUBTOPICS, size=N_GROUPS)[group]
    topic = rng.integers(N_TOPICS, size=N_SUBTOPICS)[subtopic]
    left = 1 - TOPIC_SHARE - SUBTOPIC_SHARE
    tightness = GROUP_SHARE + GROUP_SHARE_SPREAD * rng.uniform(-1, 1, N_GROUPS)
    tightness = np.clip(tightness, 0.02, left - 0.05)[:, None]
    x = points(n_samples, left - tightness[group], plain)
    x += points(N_TOPICS, TOPIC_SHARE, steep)[topic]
    x += points(N_SUBTOPICS, SUBTOPIC_SHARE, steep)[subtopic]
    x += points(N_GROUPS, tightness, plain)[group]
    return x
