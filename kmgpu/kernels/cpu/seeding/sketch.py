"""An 8-bit sketch of the rows, and rigorous bounds from it on the distance of a row to any point.

Row x is written mu + s q + e: q whole numbers up to 63 (L2) or 127 (L1), mu and s one float64 a
feature, e what rounding and clipping leave. With z = p - mu for a point p, the triangle inequality
gives

    L2: ||x - p|| >= ||s q - z|| - ||e||,  ||s q - z||^2 = ||s q||^2 + ||z||^2 - 2 q . (s z)
    L1: |x - p|   >= |s (q - z / s)| - |e|

so x can be nearer to p than `closest` only if

    L2: q . (-s z)       <  ((sqrt(closest) + ||e||)^2 - ||s q||^2) / 2  -  ||z||^2 / 2
    L1: |s (q - z / s)|  <  closest + |e|

that is, score(row, point) < limit(row) + offset(point). Only the score costs n d, and it is an
exact integer times a factor of the point: -s z is rounded to int8, z / s to int16, and what that
leaves goes into the offset (L2: by Cauchy-Schwarz, with the longest q); L1 steps s are integer
multiples of a common one. (A scalar-quantised copy that screens: the VA-file of Weber, Schek and
Blott, VLDB 1998.)

Rounding. All lengths are divided by `unit`, which is about that of the longest row. Scores are at
most (||s q||^2 + ||z||^2) / 2 (L2), |s q| + |z| (L1); they, limits and offsets are rounded to
float32 fewer than 8 times in all, so 8 * 2^-24 of each of the terms is added to limits and offsets,
and 1e-30 for underflow. Overflow makes a score or a sum NaN or infinite, never a wrong "no": what
is tested is `not score >= limit + offset`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kmgpu.kernels.cpu.lowlevel.blocks import ROWS, BlockWorkers
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import sampled_features
from kmgpu.kernels.cpu.lowlevel.scores import (
    FRACTION_BITS,
    MOST_CODE,
    MOST_CODE_L1,
    MOST_FACTOR,
    POINTS,
    SHIFT,
    TILE,
    features_a_group,
)

MARGIN = 8 * 2.0**-24
# The sum of all L1 steps, each times a difference below 2**15, must fit in int32.
MOST_FEATURES = 1 << 15
_MOST_STEPS = 1 << 16
_SAMPLE = 1024


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _quantise(lo, hi, X, middle, scale, unit, is_l1, codes, length, error, longest):
    n, d = X.shape
    inverse, known, rest = 1.0 / scale, scale / unit, 1.0 / unit
    most = float(MOST_CODE_L1 if is_l1 else MOST_CODE)
    shift = np.int8(0 if is_l1 else SHIFT)
    row = np.zeros(codes.shape[2] * codes.shape[3] // TILE, np.int8)
    pairs, fours = codes.view(np.int16), codes.view(np.int32)
    for b in range(lo, hi):
        for i in range(b * ROWS, min(n, b * ROWS + ROWS)):
            tile, at = divmod(i - b * ROWS, TILE)
            known_sum = 0.0
            rest_sum = 0.0
            square_sum = 0.0
            for q in range(d):
                y = X[i, q] - middle[q]
                code = np.rint(min(max(y * inverse[q], -most), most))
                row[q] = np.int8(np.int32(code)) + shift
                kept = code * known[q]
                lost = y * rest - kept
                known_sum += kept * kept
                rest_sum += abs(lost) if is_l1 else lost * lost
                square_sum += code * code
            if is_l1:
                for g, word in enumerate(row.view(np.int16)):
                    pairs[b, tile, g, at] = word
            else:
                for g, word in enumerate(row.view(np.int32)):
                    fours[b, tile, g, at] = word
            length[i] = 0.0 if is_l1 else known_sum
            error[i] = (rest_sum if is_l1 else np.sqrt(rest_sum)) * (1.0 + 1e-9)
            longest[b] = max(longest[b], np.sqrt(square_sum))


@njit(error_model="numpy")
def row_limit(closest, length, error, unit, is_l1):
    """Limit, float32 rounded up, of a row with `closest`, `length` and `error`."""
    if closest == 0.0:
        return np.float32(-np.inf)
    if is_l1:
        return np.float32((closest / unit + error) * (1.0 + MARGIN))
    reach = np.sqrt(closest) / unit + error
    reach *= reach
    return np.float32(0.5 * (reach - length) + MARGIN * (reach + length))


@njit(nogil=True, cache=True, error_model="numpy")
def byte_factors(lo, hi, points, origin, scale, unit, longest, factors, starts, units, offsets):
    """What points lo to hi bring to L2 scores.

    Parameters
    ----------
    points : (t, d), float
    origin : (d,) float64
        ``points + origin`` is z, the points less the middle of the sketch.
    scale, unit, longest
        Of the sketch.
    factors, starts, units, offsets
        As `Sketch.factors` returns them, written; what pads them is left alone.
    """
    exact = np.empty(points.shape[1])
    for t in range(lo, hi):
        widest = 0.0
        square = 0.0
        for q in range(points.shape[1]):
            z = (points[t, q] + origin[q]) / unit
            square += z * z
            exact[q] = z * (scale[q] / -unit)
            widest = max(widest, abs(exact[q]))
        step = widest / MOST_FACTOR if widest > 0.0 else 1.0
        lost = 0.0
        total = 0.0
        for q in range(points.shape[1]):
            factor = np.rint(exact[q] / step)
            factors[t, q] = np.int8(factor)
            total += factor
            rest = exact[q] - factor * step
            lost += rest * rest
        starts[t] = np.int32(-SHIFT * total)
        units[t] = step
        lost = longest * np.sqrt(lost) * (1.0 + 1e-9)
        offsets[t] = (MARGIN - 0.5) * square + lost + 1e-30


def _ranges(X: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Middle and step (d,) of codes up to `most`, from a sample: they decide how tight bounds are.

    A step balances the rounding of all values against the clipping of a few (mean squares).
    """
    middle, best = np.empty((2, X.shape[1]))
    for features, sample in sampled_features(X, _SAMPLE):
        middle[features] = sample.mean(axis=0)
        best[features] = _edge(np.abs(sample - middle[features]), most)
    return middle, np.where(best > 0, best / most, best.max() / most**2 or 1.0)


def _edge(spread: np.ndarray, most: int) -> np.ndarray:
    """Where codes of up to `most` clip distances from the middle, (m, p): (p,)."""
    best = widest = spread.max(axis=0)
    best_loss = np.full(len(widest), np.inf)
    for share in (1.0, 0.7, 0.5, 0.35, 0.25):
        edge = share * widest
        clipped = np.maximum(spread - edge, 0.0)
        loss = edge**2 / (12 * most**2) + (clipped**2).mean(axis=0)
        best = np.where(loss < best_loss, edge, best)
        best_loss = np.minimum(loss, best_loss)
    return best


class Factors(NamedTuple):
    """What points bring to scores: ``score = integer score * unit``.

    Attributes
    ----------
    factors : (t4, 4 g) int8
        See scores.integer_scores; padded with zeros, points to a multiple of POINTS.
    starts : (t4,) int32
    units, offsets : (t,) float32
    """

    factors: np.ndarray
    starts: np.ndarray
    units: np.ndarray
    offsets: np.ndarray

    @classmethod
    def empty(cls, n_points: int, n_bytes: int) -> Factors:
        """Room for `n_points` of `n_bytes` each."""
        padded = -(-n_points // POINTS) * POINTS
        units, offsets = np.empty((2, n_points), np.float32)
        return cls(np.zeros((padded, n_bytes), np.int8), np.zeros(padded, np.int32), units, offsets)


def bytes_of(n: int, d: int) -> int:
    """Bytes that a sketch of n rows of d features takes: codes and what pads them, two numbers."""
    return n * (d + 3 + 16)


@dataclass(frozen=True)
class Sketch:
    """Codes and what the bounds need of them; see the module's docstring.

    Attributes
    ----------
    codes : (n_blocks, ROWS / TILE, g, features_a_group * TILE) int8
        See scores.integer_scores; what pads rows and features does not matter.
    length : (n,) float64
        ||s q||^2 / unit^2 (0 for L1).
    error : (n,) float64
        ||e|| / unit, rounded up.
    middle, scale : (d,) float64
        mu and s.
    steps : (d2,) int16
        s in units of the common step (L1), 0 where features are padded.
    longest : float
        The largest ||q||.
    unit : float
    is_l1 : bool
    """

    codes: np.ndarray
    length: np.ndarray
    error: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    steps: np.ndarray
    longest: float
    unit: float
    is_l1: bool

    @classmethod
    def of(cls, X: np.ndarray, is_l1: bool, workers: BlockWorkers) -> Sketch:
        """Sketch the rows of X (n, d), d <= MOST_FEATURES."""
        n, d = X.shape
        n_blocks, group = -(-n // ROWS), features_a_group(is_l1)
        padded = -(-d // group) * group
        most = MOST_CODE_L1 if is_l1 else MOST_CODE
        middle, scale = _ranges(X, most)
        steps = np.zeros(padded, np.int16)
        if is_l1:
            common = max(scale.sum() / (_MOST_STEPS - d), scale.max() / (2**15 - 1))
            steps[:d] = np.maximum(np.ceil(scale / common * (1 - 1e-12)), 1)
            scale = steps[:d] * common
        unit = most * float(scale.sum() if is_l1 else np.sqrt((scale**2).sum()))
        codes = np.zeros((n_blocks, ROWS // TILE, padded // group, group * TILE), np.int8)
        length, error, longest = np.empty(n), np.empty(n), np.zeros(n_blocks)
        way = (middle, scale, unit, is_l1)
        workers.run(_quantise, 3 * n * d, X, *way, codes, length, error, longest)
        return cls(codes, length, error, middle, scale, steps, longest.max(), unit, is_l1)

    def factors(self, points: np.ndarray) -> Factors:
        """What `points` (t, d) float64 bring to scores."""
        factors = Factors.empty(len(points), len(self.steps) * (2 if self.is_l1 else 1))
        if not self.is_l1:
            way = (-self.middle, self.scale, self.unit, self.longest)
            byte_factors(0, len(points), points, *way, *factors)
            return factors
        with np.errstate(over="ignore", invalid="ignore"):
            found, factors.units[:], offsets = self._factors_l1(points - self.middle)
            factors.offsets[:] = offsets + 1e-30
        factors.factors.view(np.int16)[: len(points), : points.shape[1]] = found
        return factors

    def _factors_l1(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Past the codes' range a difference is what it is at the edge plus a constant."""
        fraction = 2.0**FRACTION_BITS
        exact = z / self.scale
        inside = np.clip(exact, -MOST_CODE_L1 - 0.5, MOST_CODE_L1 + 0.5)
        factors = np.rint(inside * fraction)
        lost = np.abs(inside - factors / fraction) - np.abs(exact - inside)
        scale = self.scale / self.unit
        offsets = (lost * scale).sum(axis=1) + MARGIN * (np.abs(z) / self.unit).sum(axis=1)
        common = float(scale.sum()) / float(self.steps.sum(dtype=np.int64))
        return factors, np.full(len(z), common / fraction), offsets
