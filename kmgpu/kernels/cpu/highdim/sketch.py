"""A short lower bound on distances: leading axes and the length of what they leave out.

With orthonormal V of few columns, y = (Vᵀx, |x - VVᵀx|) never lies further from another such vector
than x from its: the last coordinate is the reverse triangle inequality on the remaining axes.
V spans nearly the leading principal axes (randomised subspace iteration: Halko, Martinsson & Tropp
2011, SIAM Review 53), because most of the distance lies along them; any V is correct.

Rounding: products are taken in float64. A coordinate errs by at most d ε |x| (ε = 2⁻⁵³), so the
square of the last one errs by a few d ε |x|², itself by a few √(d ε) |x|; then all are rounded to
the working precision.
"""

from collections.abc import Callable

import numpy as np

N_AXES = 63
_N_SAMPLE = 1024


def sample_rows(take: Callable[[int, int], np.ndarray], n: int) -> np.ndarray:
    """Return about 1024 rows in 64 even runs; ``take(lo, hi)`` gives rows less the reference."""
    run = min(n, _N_SAMPLE // 64)
    starts = np.unique(np.linspace(0, n - run, 64).astype(int))
    return np.concatenate([take(lo, lo + run).copy() for lo in starts])


def leading_axes(sample: np.ndarray) -> tuple[np.ndarray, float]:
    """Return columns near the leading axes of a sample's rows, and the share of variance they hold.

    The columns are orthonormal, float64, shape (n_features, 63).
    """
    sample = sample - sample.mean(axis=0)
    start = np.random.default_rng(0).standard_normal((sample.shape[1], N_AXES)).astype(sample.dtype)
    for _ in range(2):
        start = np.linalg.qr(sample.T @ (sample @ start))[0]
    axes = np.linalg.qr(start.astype(np.float64))[0]
    total = float(np.square(sample, dtype=np.float64).sum())
    held = float(np.square(sample @ axes).sum())
    return axes, held / total if total > 0 else 0.0


class Sketches:
    """Sketches of all rows, shape (n, 64), in the working precision; filled by blocks."""

    def __init__(self, axes: np.ndarray, n: int, kind: np.dtype) -> None:
        self._axes = axes
        self.rows = np.empty((n, N_AXES + 1), kind)
        # How much two sketches may err, as a share of the sum of the two vectors' lengths.
        rounding = np.sqrt(len(axes) * np.finfo(np.float64).eps)
        self.margin = 4 * float(np.finfo(kind).eps) + 4 * float(rounding)

    def fill(self, lo: int, hi: int, rows: np.ndarray, norms: np.ndarray) -> None:
        """Sketch `rows`, which are rows `lo` to `hi` of the data; `norms` are those of all rows."""
        self.rows[lo:hi] = self.of(rows, norms[lo:hi])

    def of(self, rows: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Return the sketches of `rows`, whose Euclidean lengths are `norms` (float64)."""
        leading = rows.astype(np.float64) @ self._axes
        held = np.square(leading).sum(axis=1)
        rest = np.sqrt(np.maximum(norms * norms - held, 0.0))
        return np.column_stack([leading, rest]).astype(self.rows.dtype)
