"""An 8-bit sketch of the rows, and rigorous bounds from it on the distance of a row to any point.

Row x is written mu + s q + e: q int8, mu and s one float64 a feature, e what rounding and clipping
leave. With z = p - mu for a point p, the triangle inequality gives

    L2: ||x - p|| >= ||s q - z|| - ||e||,  ||s q - z||^2 = ||s q||^2 + ||z||^2 - 2 q . (s z)
    L1: |x - p|   >= |s (q - z / s)| - |e|

so x can be nearer to p than `closest` only if

    L2: q . (-s z)       <  ((sqrt(closest) + ||e||)^2 - ||s q||^2) / 2  -  ||z||^2 / 2
    L1: |s (q - z / s)|  <  closest + |e|

that is, score(row, point) < limit(row) + offset(point). Only the score costs n d, and it is an
exact integer times a factor of the point: -s z or z / s is rounded to int16 and what that leaves
goes into the offset; L1 steps s are integer multiples of a common one. (A scalar-quantised copy
that screens: the VA-file of Weber, Schek and Blott, VLDB 1998.)

Rounding. All lengths are divided by `unit`, which is about that of the longest row. Scores are at
most (||s q||^2 + ||z||^2) / 2 (L2), |s q| + |z| (L1); they, limits and offsets are rounded to
float32 fewer than 8 times in all, so 8 * 2^-24 of each of the terms is added to limits and offsets,
and 1e-30 for underflow. Overflow makes a score or a sum NaN or infinite, never a wrong "no": what
is tested is `not score >= limit + offset`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.seeding.blocks import ROWS, BlockWorkers
from kmgpu.kernels.cpu.seeding.vector import FRACTION_BITS, POINTS, TILE

MARGIN = 8 * 2.0**-24
# The sum of all L1 steps, each times a difference below 2**15, must fit in int32.
MOST_FEATURES = 1 << 15
_MOST_STEPS = 1 << 16
_SAMPLE = 4096


@njit(nogil=True, cache=True, error_model="numpy")
def _quantise(lo, hi, X, middle, scale, unit, is_l1, codes, length, error):
    n, d = X.shape
    inverse = 1.0 / scale
    for b in range(lo, hi):
        for i in range(b * ROWS, min(n, b * ROWS + ROWS)):
            tile, at = divmod(i - b * ROWS, TILE)
            known_sum = 0.0
            rest_sum = 0.0
            for q in range(d):
                y = X[i, q] - middle[q]
                code = np.rint(min(max(y * inverse[q], -127.0), 127.0))
                codes[b, tile, q // 2, 2 * at + q % 2] = np.int8(code)
                known = code * scale[q] / unit
                rest = y / unit - known
                known_sum += known * known
                rest_sum += abs(rest) if is_l1 else rest * rest
            length[i] = 0.0 if is_l1 else known_sum
            error[i] = (rest_sum if is_l1 else np.sqrt(rest_sum)) * (1.0 + 1e-9)


@njit(nogil=True, cache=True, error_model="numpy")
def row_limits(closest, length, error, unit, is_l1, limit):
    """Limits (m,) float32, rounded up, of rows with `closest`, `length`, `error` (m,)."""
    for r in range(closest.shape[0]):
        if is_l1:
            limit[r] = (closest[r] / unit + error[r]) * (1.0 + MARGIN)
        else:
            reach = np.sqrt(closest[r]) / unit + error[r]
            reach *= reach
            limit[r] = 0.5 * (reach - length[r]) + MARGIN * (reach + length[r])


def _ranges(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle and step (d,) of the codes, from a sample: they decide how tight bounds are, no more.

    A step balances the rounding of all values against the clipping of a few (mean squares).
    """
    sample = X[:: max(1, len(X) // _SAMPLE)].astype(np.float64)
    middle = sample.mean(axis=0)
    spread = np.abs(sample - middle)
    best = widest = spread.max(axis=0)
    best_loss = np.full(len(widest), np.inf)
    for share in (1.0, 0.7, 0.5, 0.35, 0.25):
        edge = share * widest
        clipped = np.maximum(spread - edge, 0.0)
        loss = edge**2 / (12 * 127.0**2) + (clipped**2).mean(axis=0)
        best = np.where(loss < best_loss, edge, best)
        best_loss = np.minimum(loss, best_loss)
    return middle, np.where(best > 0, best / 127.0, best.max() / 127.0**2 or 1.0)


@dataclass(frozen=True)
class Sketch:
    """Codes and what the bounds need of them; see the module's docstring.

    Attributes
    ----------
    codes : (n_blocks, ROWS / TILE, d2 / 2, 2 * TILE) int8
        See vector.integer_scores; features and rows are padded with zeros.
    length : (n,) float64
        ||s q||^2 / unit^2 (0 for L1).
    error : (n,) float64
        ||e|| / unit, rounded up.
    middle, scale : (d,) float64
        mu and s.
    steps : (d2,) int16
        s in units of the common step (L1).
    unit : float
    is_l1 : bool
    """

    codes: np.ndarray
    length: np.ndarray
    error: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    steps: np.ndarray
    unit: float
    is_l1: bool

    @classmethod
    def of(cls, X: np.ndarray, is_l1: bool, workers: BlockWorkers) -> Sketch:
        """Sketch the rows of X (n, d), d <= MOST_FEATURES."""
        n, d = X.shape
        n_pairs = -(-d // 2)
        middle, scale = _ranges(X)
        steps = np.zeros(2 * n_pairs, np.int16)
        if is_l1:
            common = max(scale.sum() / (_MOST_STEPS - d), scale.max() / (2**15 - 1))
            steps[:d] = np.maximum(np.ceil(scale / common * (1 - 1e-12)), 1)
            scale = steps[:d] * common
        unit = 127.0 * float(scale.sum() if is_l1 else np.sqrt((scale**2).sum()))
        codes = np.zeros((-(-n // ROWS), ROWS // TILE, n_pairs, 2 * TILE), np.int8)
        length, error = np.empty(n), np.empty(n)
        workers.run(_quantise, 3 * n * d, X, middle, scale, unit, is_l1, codes, length, error)
        return cls(codes, length, error, middle, scale, steps, unit, is_l1)

    def factors(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `points` (t, d) float64 bring to scores.

        Returns
        -------
        factors : (t4, d2) int16
            Padded with zeros, points to a multiple of POINTS.
        units, offsets : (t,) float32
            score = integer score * unit.
        """
        t, d = points.shape
        factors = np.zeros((-(-t // POINTS) * POINTS, len(self.steps)), np.int16)
        with np.errstate(over="ignore", invalid="ignore"):
            way = self._factors_l1 if self.is_l1 else self._factors_l2
            factors[:t, :d], units, offsets = way(points - self.middle)
            return factors, units.astype(np.float32), (offsets + 1e-30).astype(np.float32)

    def _factors_l2(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        most = min(2.0**15 - 1, (2.0**31 - 1) / (127 * z.shape[1]) - 1)
        z = z / self.unit
        exact = -z * (self.scale / self.unit)
        widest = np.abs(exact).max(axis=1)
        units = np.where(widest > 0, widest / most, 1.0)
        factors = np.rint(exact / units[:, None])
        lost = np.abs(exact - factors * units[:, None]).sum(axis=1)
        return factors, units, (MARGIN - 0.5) * (z * z).sum(axis=1) + 127.0 * lost

    def _factors_l1(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Past the codes' range a difference is what it is at the edge plus a constant."""
        fraction = 2.0**FRACTION_BITS
        exact = z / self.scale
        inside = np.clip(exact, -127.5, 127.5)
        factors = np.rint(inside * fraction)
        lost = np.abs(inside - factors / fraction) - np.abs(exact - inside)
        scale = self.scale / self.unit
        offsets = (lost * scale).sum(axis=1) + MARGIN * (np.abs(z) / self.unit).sum(axis=1)
        common = float(scale.sum()) / float(self.steps.sum(dtype=np.int64))
        return factors, np.full(len(z), common / fraction), offsets
