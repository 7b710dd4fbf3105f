"""A sketch of the rows, one byte a feature, and rigorous bounds of distances that follow from it.

Row x is written as mu + s q + e: q are whole numbers up to 63 (L2) or 127 (L1), the codes; mu and s
are one float64 a feature; e is what rounding and clipping leave. With z = p - mu for a point p, the
triangle inequality gives

    L2: ||x - p|| >= ||s q - z|| - ||e||,  ||s q - z||^2 = ||s q||^2 + ||z||^2 - 2 q . (s z)
    L1: |x - p|   >= |s (q - z / s)| - |e|

so x can be nearer to p than `closest` only if

    L2: q . (-s z)       <  ((sqrt(closest) + ||e||)^2 - ||s q||^2) / 2  -  ||z||^2 / 2
    L1: |s (q - z / s)|  <  closest + |e|

that is, score(row, point) < limit(row) + offset(point). Only the score costs d for every row and
point. It is a byte score (`lowlevel.byte_scores`), an exact integer, times a unit of the point: -s
z is rounded to int8 (L2), z / s to int16 (L1), and what that leaves goes into the offset (L2: by
Cauchy-Schwarz, with the longest q). For L1, s are integer multiples, the quanta, of one number.
(The idea of a coarse copy that screens is that of the VA-file: Weber, Schek and Blott, VLDB 1998.)

Rounding. All lengths are divided by `unit`, which is about that of the longest row. Scores are at
most (||s q||^2 + ||z||^2) / 2 (L2), |s q| + |z| (L1); they, limits and offsets are rounded to
float32 fewer than 8 times in all, so ROUNDOFF = 8 * 2^-24 of each of the terms is added to limits
and offsets, and 1e-30 for underflow. Overflow makes a score or a sum NaN or infinite, and then no
row is excluded: what is tested is `not score >= limit + offset`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kmgpu.kernels.cpu.lowlevel.byte_scores import (
    FRACTION_BITS,
    MOST_CODE,
    MOST_CODE_L1,
    MOST_FACTOR,
    POINTS,
    SHIFT,
    TILE,
    feature_group_size,
)
from kmgpu.kernels.cpu.lowlevel.chunks import CHUNK_ROWS, ChunkWorkers, chunks_of
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import sampled_features

ROUNDOFF = 8 * 2.0**-24
# the sum of all L1 quanta, each times a difference below 2**15, must fit in int32
MOST_SKETCHED = 1 << 15  # features
_MOST_QUANTA = 1 << 16  # their sum
_SAMPLE = 1024  # rows that choose mu and s


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _quantise(lo, hi, X, middle, scale, unit, squared, codes, length, error, longest):
    """Write the codes of the rows of chunks lo to hi - 1, and what bounds need of them.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64, read-only
    middle, scale, unit, squared
        Of `Sketch`.
    codes, length, error
        Of `Sketch`, written.
    longest : ndarray of shape (n_chunks,), float64, updated
        The largest ||q|| of every chunk.
    """
    n, d = X.shape
    inverse, known, rest = 1.0 / scale, scale / unit, 1.0 / unit
    most = float(MOST_CODE if squared else MOST_CODE_L1)
    shift = np.int8(SHIFT if squared else 0)
    row = np.zeros(codes.shape[2] * codes.shape[3] // TILE, np.int8)
    pairs, fours = codes.view(np.int16), codes.view(np.int32)
    for b in range(lo, hi):
        for i in range(b * CHUNK_ROWS, min(n, b * CHUNK_ROWS + CHUNK_ROWS)):
            tile, at = divmod(i - b * CHUNK_ROWS, TILE)
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
                rest_sum += lost * lost if squared else abs(lost)
                square_sum += code * code
            if squared:
                for g, four in enumerate(row.view(np.int32)):
                    fours[b, tile, g, at] = four
            else:
                for g, pair in enumerate(row.view(np.int16)):
                    pairs[b, tile, g, at] = pair
            length[i] = known_sum if squared else 0.0
            error[i] = (np.sqrt(rest_sum) if squared else rest_sum) * (1.0 + 1e-9)
            longest[b] = max(longest[b], np.sqrt(square_sum))


@njit(error_model="numpy")
def row_limit(closest, length, error, unit, squared):
    """The limit of a row, float32 rounded up; `length`, `error` and `unit` as in `Sketch`.

    `closest` is its cost, float64, that a point must undercut.
    """
    if closest == 0.0:
        return np.float32(-np.inf)
    if not squared:
        return np.float32((closest / unit + error) * (1.0 + ROUNDOFF))
    reach = np.sqrt(closest) / unit + error
    reach *= reach
    return np.float32(0.5 * (reach - length) + ROUNDOFF * (reach + length))


@njit(nogil=True, cache=True, error_model="numpy")
def byte_factors(lo, hi, points, origin, scale, unit, longest, factors, starts, units, offsets):
    """Write the L2 `Factors` of the points lo to hi - 1.

    Parameters
    ----------
    points : ndarray of shape (t, d), float32 or float64
    origin : ndarray of shape (d,), float64
        ``points + origin`` is z, the points less the middle of the sketch.
    scale, unit, longest
        Of `Sketch`.
    factors, starts, units, offsets
        Of `Factors`, written; their padding is left alone.
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
        offsets[t] = (ROUNDOFF - 0.5) * square + lost + 1e-30


def _ranges(X: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Mu and s of the module's docstring, each (d,), for codes up to `most`, from a sample of rows.

    They decide how tight bounds are. s balances the mean square of rounding all values against that
    of clipping a few.
    """
    middle, best = np.empty((2, X.shape[1]))
    for features, sample in sampled_features(X, _SAMPLE):
        middle[features] = sample.mean(axis=0)
        best[features] = _edge(np.abs(sample - middle[features]), most)
    return middle, np.where(best > 0, best / most, best.max() / most**2 or 1.0)


def _edge(spread: np.ndarray, most: int) -> np.ndarray:
    """The best edges (p,) at which codes up to `most` clip the distances (m, p) from the middle."""
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
    """What points bring to scores: ``score = byte score * unit``.

    Attributes
    ----------
    factors : ndarray of shape (t4, 4 g), int8
        See `byte_scores`; padded with zeros, t4 is t rounded up to a multiple of POINTS.
    starts : ndarray of shape (t4,), int32
        See `byte_scores`.
    units, offsets : ndarrays of shape (t,), float32
    """

    factors: np.ndarray
    starts: np.ndarray
    units: np.ndarray
    offsets: np.ndarray

    @classmethod
    def empty(cls, n_points: int, n_bytes: int) -> Factors:
        """Factors to be written, of `n_points` of `n_bytes` each."""
        padded = -(-n_points // POINTS) * POINTS
        units, offsets = np.empty((2, n_points), np.float32)
        return cls(np.zeros((padded, n_bytes), np.int8), np.zeros(padded, np.int32), units, offsets)


def bytes_of(n: int, d: int) -> int:
    """Bytes of a sketch of n rows of d features: padded codes, and two float64 a row."""
    return n * (d + 3 + 16)


@dataclass(frozen=True)
class Sketch:
    """The codes of all rows, and what bounds need of them; see the module's docstring.

    Attributes
    ----------
    codes : ndarray of shape (n_chunks, CHUNK_ROWS / TILE, g, feature_group_size * TILE), int8
        See `byte_scores`; the padding of rows and features may hold anything.
    length : ndarray of shape (n,), float64
        ||s q||^2 / unit^2 (L2), 0 (L1).
    error : ndarray of shape (n,), float64
        ||e|| / unit, rounded up.
    middle, scale : ndarrays of shape (d,), float64
        mu and s.
    quanta : ndarray of shape (padded d,), int16
        s as multiples of one number (L1); 0 where features are padded.
    longest : float
        The largest ||q||.
    unit : float
        What all lengths are divided by.
    squared : bool
        L2, or else L1.
    """

    codes: np.ndarray
    length: np.ndarray
    error: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    quanta: np.ndarray
    longest: float
    unit: float
    squared: bool

    @classmethod
    def of(cls, X: np.ndarray, squared: bool, workers: ChunkWorkers) -> Sketch:
        """Sketch the rows of X, an array of shape (n, d) with d <= MOST_SKETCHED."""
        n, d = X.shape
        n_chunks, size = chunks_of(n), feature_group_size(squared)
        padded = -(-d // size) * size
        most = MOST_CODE if squared else MOST_CODE_L1
        middle, scale = _ranges(X, most)
        quanta = np.zeros(padded, np.int16)
        if not squared:
            common = max(scale.sum() / (_MOST_QUANTA - d), scale.max() / (2**15 - 1))
            quanta[:d] = np.maximum(np.ceil(scale / common * (1 - 1e-12)), 1)
            scale = quanta[:d] * common
        unit = most * float(np.sqrt((scale**2).sum()) if squared else scale.sum())
        codes = np.zeros((n_chunks, CHUNK_ROWS // TILE, padded // size, size * TILE), np.int8)
        length, error, longest = np.empty(n), np.empty(n), np.zeros(n_chunks)
        way = (middle, scale, unit, squared)
        workers.run(_quantise, 3 * n * d, X, *way, codes, length, error, longest)
        return cls(codes, length, error, middle, scale, quanta, longest.max(), unit, squared)

    def factors(self, points: np.ndarray) -> Factors:
        """The factors of some points, an array of shape (t, d), float64."""
        factors = Factors.empty(len(points), len(self.quanta) * (1 if self.squared else 2))
        if self.squared:
            way = (-self.middle, self.scale, self.unit, self.longest)
            byte_factors(0, len(points), points, *way, *factors)
            return factors
        with np.errstate(over="ignore", invalid="ignore"):
            found, factors.units[:], offsets = self._factors_l1(points - self.middle)
            factors.offsets[:] = offsets + 1e-30
        factors.factors.view(np.int16)[: len(points), : points.shape[1]] = found
        return factors

    def _factors_l1(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Factors, units and offsets of z, the points less the middle, (t, d).

        Beyond the range of codes a difference is that at the edge plus a constant.
        """
        fraction = 2.0**FRACTION_BITS
        exact = z / self.scale
        inside = np.clip(exact, -MOST_CODE_L1 - 0.5, MOST_CODE_L1 + 0.5)
        factors = np.rint(inside * fraction)
        lost = np.abs(inside - factors / fraction) - np.abs(exact - inside)
        scale = self.scale / self.unit
        offsets = (lost * scale).sum(axis=1) + ROUNDOFF * (np.abs(z) / self.unit).sum(axis=1)
        common = float(scale.sum()) / float(self.quanta.sum(dtype=np.int64))
        return factors, np.full(len(z), common / fraction), offsets
