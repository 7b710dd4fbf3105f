"""The screened pass: byte scores rule out nearly all centres of a row, the rest are measured.

A byte score costs a fraction of a score of floats, and `seeding.sketch` turns it into a rigorous
lower bound of a distance. Two bounds a row (Hamerly, SDM 2010) settle rows before any byte score.
Rows are ``X[i] - ref``.
"""

from typing import Any, NamedTuple

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.highdim.pruning import aged, rounding_of, row_square
from kmgpu.kernels.cpu.highdim.targets import FAST, Targets
from kmgpu.kernels.cpu.lowlevel.byte_scores import TILE, byte_scores
from kmgpu.kernels.cpu.lowlevel.chunks import CHUNK_ROWS, ChunkWorkers
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.intrinsics import fetch_row, lowest_bit, mask_not_above
from kmgpu.kernels.cpu.seeding.sketch import ROUNDOFF, Factors, Sketch, byte_factors, row_limit

PAIR = 2 * TILE  # rows of two tiles, whose byte scores are computed together
_CHUNKS = 8  # that one call labels
_SAMPLED = 2  # chunks


class Codes(NamedTuple):
    """What compiled functions need of a `Sketch`.

    Attributes
    ----------
    codes, length, unit
        As in `Sketch`.
    error : ndarray of shape (n_samples,), float64
        That of `Sketch`, plus what rounding ``X - ref`` adds.
    """

    codes: np.ndarray
    length: np.ndarray
    error: np.ndarray
    unit: float


@njit()
def _gather(quads, rows, tiles):
    """Copy the codes of some rows (m,), four bytes an int32, to `tiles`; -1 stands for no row."""
    for e in range(rows.shape[0]):
        if rows[e] >= 0:
            chunk, inside = divmod(rows[e], CHUNK_ROWS)
            for g in range(quads.shape[2]):
                tiles[e // TILE, g, e % TILE] = quads[chunk, inside // TILE, g, inside % TILE]


@njit(fastmath=FAST)
def _likeliest(sums, units, offsets, best, arg):
    """Write the centre of the least score of every row of a pair of tiles to `arg`."""
    best[:] = np.float32(np.inf)
    arg[:] = 0
    for j in range(units.shape[0]):
        unit, offset, row = units[j], offsets[j], sums[j]
        for e in range(PAIR):
            score = np.float32(row[e]) * unit - offset
            arg[e] = np.int32(j) if score < best[e] else arg[e]
            best[e] = score if score < best[e] else best[e]


@njit(fastmath=FAST)
def _measure(X, ref, i, e, j, centers, best, second, labels):
    """Measure row i, row e of its pair of tiles, against centre j, and keep the nearest two."""
    far = row_square(X, ref, i, centers[j])
    if far < best[e] or (far == best[e] and j < labels[i]):
        second[e], best[e] = best[e], far
        labels[i] = j
    elif far < second[e]:
        second[e] = far


@njit()
def _rank_again(x, e, own, limit, targets, factors, sums, found):
    """The nearest, by exact costs, of `own` and all centres that byte scores do not exclude.

    They are the centres that `_label_pair` has measured for row e of the pair.
    """
    found[0] = own
    count = 1
    wide = limit + abs(limit) * np.float32(ROUNDOFF)  # the vector code may round otherwise
    for j in range(targets.centers.shape[0]):
        score = np.float32(sums[j, e]) * factors.units[j] - factors.offsets[j]
        found[count] = j
        count += not (score > wide) and j != own
    return exact_among(x, targets.exact, True, found, count)[0]


@njit(fastmath=FAST)
def _reach(square, rest, more):
    """Upper bound of a true distance, given its rounded square."""
    return np.sqrt(square) * more + rest


@njit(fastmath=FAST)
def _label_pair(
    X, ref, targets, norms, sketch, factors, rows, tiles, sums, near, upper, lower, labels
):
    """Label `rows` (PAIR,), whose codes are `tiles`; -1 stands for no row.

    `near` (PAIR,) holds the squared distances of rows that have a label to their centre. Returns
    how many distances to other centres were measured. `sums` is scratch memory for byte scores.
    """
    centers = targets.centers
    kind = centers.dtype.type
    more, less, tiny = kind(1) + targets.roundoff, kind(1) - targets.roundoff, targets.least
    byte_scores(tiles, factors.factors, factors.starts, np.empty(0, np.int16), True, sums)
    own = np.empty(PAIR, np.int32)
    second = np.empty(PAIR, centers.dtype)
    limits, least = np.empty(PAIR, np.float32), np.empty(PAIR, np.float32)
    unknown = False
    for e in range(PAIR):
        unknown |= rows[e] >= 0 and labels[rows[e]] < 0
    if unknown:
        _likeliest(sums, factors.units, factors.offsets, least, own)
    for e in range(PAIR):
        i = rows[e]
        limits[e] = np.float32(-np.inf)
        if i < 0:
            continue
        if labels[i] < 0:
            near[e] = row_square(X, ref, i, centers[own[e]])
            labels[i] = own[e]
        own[e] = labels[i]
        second[e] = kind(np.inf)
        # doubled: the sketch bounds distances to rounded centres
        reach = np.float64(
            _reach(near[e], kind(2) * rounding_of(norms[i], tiny, kind), more) * more
        )
        limits[e] = row_limit(reach * reach, sketch.length[i], sketch.error[i], sketch.unit, True)
    least[:] = np.float32(np.inf)
    n_measured = 0
    for j in range(centers.shape[0]):
        mask = mask_not_above(sums, j, factors.units[j], factors.offsets[j], limits, least)
        while mask:
            e = lowest_bit(mask)
            mask &= mask - np.uint64(1)
            if own[e] != j:
                _measure(X, ref, rows[e], e, np.int32(j), centers, near, second, labels)
                n_measured += 1
    found = np.empty(centers.shape[0] + 1, np.int32)
    for e in range(PAIR):
        i = rows[e]
        if i >= 0:
            rest = rounding_of(norms[i], tiny, kind)
            known = sketch.length[i] * (1.0 - 2.0 * ROUNDOFF)
            beyond = np.sqrt(max(known + 2.0 * np.float64(least[e]), 0.0)) - sketch.error[i]
            upper[i] = _reach(near[e], rest, more)
            next_ = np.sqrt(second[e]) * less - rest
            if not next_ > upper[i]:
                labels[i] = _rank_again(X[i], e, own[e], limits[e], targets, factors, sums, found)
                next_ = np.sqrt(near[e]) * less - rest
            lower[i] = min(next_, kind(beyond * sketch.unit) * less - rest)
    return n_measured


@njit(nogil=True, cache=True, fastmath=FAST)
def screen_rows(
    lo, hi, X, ref, targets, furthest, norms, sketch, factors, upper, lower, labels, measured
):
    """Label the rows of the chunks lo to hi - 1, measuring only distances that nothing excludes.

    Parameters
    ----------
    X, ref, targets, furthest, norms
        As in `pruning.prune_rows`.
    sketch : Codes
    factors : Factors
    upper, lower : ndarrays of shape (n_samples,), dtype of the computation, updated
        Bounds on the distance to the row's own centre, and to the nearest other one.
    labels : ndarray of shape (n_samples,), int32, updated
        -1: none yet.
    measured : ndarray of shape (n_chunks, 2), int64, written
        Rows whose byte scores were needed, and distances that were measured for them.
    """
    n = X.shape[0]
    centers = targets.centers
    kind = centers.dtype.type
    moved, roundoff, tiny = targets.moved, targets.roundoff, targets.least
    more = kind(1) + roundoff
    quads = sketch.codes.view(np.int32)
    sums = np.empty((factors.factors.shape[0], PAIR), np.int32)
    tiles = np.zeros((2, quads.shape[2], TILE), np.int32)
    rows = np.empty(PAIR, np.int64)
    waiting = np.full(2 * PAIR, -1)
    near = np.empty(PAIR, centers.dtype)
    count = 0
    for b in range(lo, hi):
        measured[b] = 0
        chunk = sketch.codes[b]
        for first in range(0, min(CHUNK_ROWS, n - b * CHUNK_ROWS), PAIR):
            active = 0
            for e in range(PAIR):
                i = b * CHUNK_ROWS + first + e
                rows[e] = -1
                if i >= n:
                    continue
                fetch_row(X, min(n - 1, i + PAIR))
                label = labels[i]
                if label >= 0:
                    limit, others = aged(upper[i], lower[i], moved[label], furthest, roundoff, kind)
                    upper[i], lower[i] = limit, others
                    if limit < others:
                        continue
                    near[e] = row_square(X, ref, i, centers[label])
                    upper[i] = _reach(near[e], rounding_of(norms[i], tiny, kind), more)
                    if upper[i] < others:
                        continue
                rows[e] = i
                active += 1
            measured[b, 0] += active
            if 2 * active >= PAIR:
                tile = first // TILE
                measured[b, 1] += _label_pair(
                    X, ref, targets, norms, sketch, factors, rows, chunk[tile : tile + 2],
                    sums, near, upper, lower, labels,
                )  # fmt: skip
            else:
                for e in range(PAIR):
                    waiting[count] = rows[e]
                    count += rows[e] >= 0
            # at the end, what is left does not fill a pair of tiles
            last = b == hi - 1 and first + PAIR >= min(CHUNK_ROWS, n - b * CHUNK_ROWS)
            while count >= PAIR or (last and count > 0):
                for e in range(PAIR):  # slices cost seconds of compilation, for their messages
                    rows[e] = waiting[e] if e < count else -1
                    waiting[e] = waiting[PAIR + e]
                count = max(0, count - PAIR)
                for e in range(PAIR):
                    if rows[e] >= 0 and labels[rows[e]] >= 0:
                        near[e] = row_square(X, ref, rows[e], centers[labels[rows[e]]])
                _gather(quads, rows, tiles)
                measured[b, 1] += _label_pair(
                    X, ref, targets, norms, sketch, factors, rows, tiles.view(np.int8),
                    sums, near, upper, lower, labels,
                )  # fmt: skip


class Screen:
    """Labels rows by a sketch of all of them, which it keeps; each call is given the rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous, finite
    ref : ndarray of shape (n_features,), dtype of the computation
    norms : ndarray of shape (n_samples,), float64
        Lengths of ``X - ref``.
    workers : Workers
    """

    def __init__(self, X: np.ndarray, ref: np.ndarray, norms: np.ndarray, workers: Workers) -> None:
        self._ref, self._norms = ref, norms
        self._sketch = s = Sketch.of(X, True, ChunkWorkers(workers, len(X)))
        info: Any = np.finfo(ref.dtype)
        error = s.error + norms * (float(info.eps) / s.unit)
        self._codes = Codes(s.codes, s.length, error, s.unit)
        self._measured = np.empty((len(s.codes), 2), np.int64)

    def sample(self, *given: Any) -> float:
        """Label the rows of a few chunks; returns how many distances an active row needed.

        `given` is X, workers, targets, and upper, lower and labels of `screen_rows`.
        """
        every = max(1, len(self._measured) // _SAMPLED)
        return self._label(range(0, len(self._measured), every), 1, *given)

    def assign(self, *given: Any) -> float:
        """Do the same with all rows."""
        return self._label(range(0, len(self._measured), _CHUNKS), _CHUNKS, *given)

    def _label(
        self,
        starts: range,
        count: int,
        X: np.ndarray,
        workers: Workers,
        targets: Targets,
        *known: Any,
    ) -> float:
        """Label `count` chunks from each of the `starts` on."""
        s, k, n_chunks = self._sketch, len(targets.centers), len(self._measured)
        factors = Factors.empty(k, len(s.quanta))
        origin = self._ref.astype(np.float64) - s.middle
        way = (targets.centers, origin, s.scale, s.unit, s.longest)
        workers.map_rows(lambda lo, hi: byte_factors(lo, hi, *way, *factors), k, 128)
        fixed = X, self._ref, targets, targets.moved.max(), self._norms, self._codes, factors
        self._measured[:] = 0

        def chunks(first: int) -> None:
            last = min(n_chunks, first + count)
            screen_rows(first, last, *fixed, *known, self._measured)

        workers.map(chunks, starts)
        active, measured = self._measured.sum(axis=0)
        return float(measured / max(1, active))
