"""Assignment by a sketch of the rows (Numba): byte products rule out nearly all centres.

A score of bytes costs a fraction of one of floats, and `sketch` turns it into a rigorous lower
bound of a distance. What that does not exclude is measured. Hamerly's (2010, SDM) two bounds a row
settle the rows that need no scores.
"""

from typing import Any, NamedTuple

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.highdim.dense import FAST
from kmgpu.kernels.cpu.highdim.pruning import aged, rounding_of, row_square
from kmgpu.kernels.cpu.highdim.records import Targets
from kmgpu.kernels.cpu.lowlevel.blocks import ROWS, BlockWorkers
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.exact import exact_among
from kmgpu.kernels.cpu.lowlevel.intrinsics import fetch_row, lowest_bit, word_not_above
from kmgpu.kernels.cpu.lowlevel.scores import TILE, integer_scores
from kmgpu.kernels.cpu.seeding.sketch import MARGIN, Factors, Sketch, byte_factors, row_limit

GROUP = 2 * TILE  # rows whose scores are computed together
_BLOCKS = 8  # that one call labels
_SAMPLED = 2  # blocks


class Codes(NamedTuple):
    """What compiled functions need of a sketch; see `Sketch`. Errors cover those of ``X - ref``."""

    codes: np.ndarray
    length: np.ndarray
    error: np.ndarray
    unit: float


@njit()
def _gather(words, rows, tiles):
    """Copy the codes of rows, four bytes a word, to tiles; those below 0 stand for none."""
    for e in range(rows.shape[0]):
        if rows[e] >= 0:
            block, inside = divmod(rows[e], ROWS)
            for g in range(words.shape[2]):
                tiles[e // TILE, g, e % TILE] = words[block, inside // TILE, g, inside % TILE]


@njit(fastmath=FAST)
def _likeliest(scores, units, offsets, best, arg):
    """Write to `arg` for every row of a group the centre of least score."""
    best[:] = np.float32(np.inf)
    arg[:] = 0
    for j in range(units.shape[0]):
        unit, offset, row = units[j], offsets[j], scores[j]
        for e in range(GROUP):
            score = np.float32(row[e]) * unit - offset
            arg[e] = np.int32(j) if score < best[e] else arg[e]
            best[e] = score if score < best[e] else best[e]


@njit(fastmath=FAST)
def _measure(X, ref, i, e, j, centers, best, second, labels):
    """Measure row i, the e-th of its group, against centre j."""
    far = row_square(X, ref, i, centers[j])
    if far < best[e] or (far == best[e] and j < labels[i]):
        second[e], best[e] = best[e], far
        labels[i] = j
    elif far < second[e]:
        second[e] = far


@njit()
def _rank_again(x, e, own, limit, targets, factors, scores, found):
    """The nearest of `own` and of the centres whose scores do not exclude row e of a group.

    What `_label_group` measured were all of these.
    """
    found[0] = own
    count = 1
    wide = limit + abs(limit) * np.float32(MARGIN)  # the vector code may round otherwise
    for j in range(targets.centers.shape[0]):
        score = np.float32(scores[j, e]) * factors.units[j] - factors.offsets[j]
        found[count] = j
        count += not (score > wide) and j != own
    return exact_among(x, targets.exact, True, found, count)[0]


@njit(fastmath=FAST)
def _reach(square, rest, more):
    """What no true distance of that rounded square exceeds."""
    return np.sqrt(square) * more + rest


@njit(fastmath=FAST)
def _label_group(
    X, ref, targets, norms, sketch, factors, rows, tiles, scores, near, upper, lower, labels
):
    """Label `rows`, whose codes are `tiles`; those below 0 stand for none.

    `near` holds the squared distance of labelled ones to their centre. Returns how many others
    were measured.
    """
    centers = targets.centers
    kind = centers.dtype.type
    more, less, tiny = kind(1) + targets.slack, kind(1) - targets.slack, targets.least
    integer_scores(tiles, factors.factors, factors.starts, np.empty(0, np.int16), False, scores)
    own = np.empty(GROUP, np.int32)
    second = np.empty(GROUP, centers.dtype)
    limits, least = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
    unknown = False
    for e in range(GROUP):
        unknown |= rows[e] >= 0 and labels[rows[e]] < 0
    if unknown:
        _likeliest(scores, factors.units, factors.offsets, least, own)
    for e in range(GROUP):
        i = rows[e]
        limits[e] = np.float32(-np.inf)
        if i < 0:
            continue
        if labels[i] < 0:
            near[e] = row_square(X, ref, i, centers[own[e]])
            labels[i] = own[e]
        own[e] = labels[i]
        second[e] = kind(np.inf)
        # the sketch bounds distances to rounded centres: once more what they are off
        reach = np.float64(
            _reach(near[e], kind(2) * rounding_of(norms[i], tiny, kind), more) * more
        )
        limits[e] = row_limit(reach * reach, sketch.length[i], sketch.error[i], sketch.unit, False)
    least[:] = np.float32(np.inf)
    n_measured = 0
    for j in range(centers.shape[0]):
        word = word_not_above(scores, j, factors.units[j], factors.offsets[j], limits, least)
        while word:
            e = lowest_bit(word)
            word &= word - np.uint64(1)
            if own[e] != j:
                _measure(X, ref, rows[e], e, np.int32(j), centers, near, second, labels)
                n_measured += 1
    found = np.empty(centers.shape[0] + 1, np.int32)
    for e in range(GROUP):
        i = rows[e]
        if i >= 0:
            rest = rounding_of(norms[i], tiny, kind)
            known = sketch.length[i] * (1.0 - 2.0 * MARGIN)
            beyond = np.sqrt(max(known + 2.0 * np.float64(least[e]), 0.0)) - sketch.error[i]
            upper[i] = _reach(near[e], rest, more)
            next_ = np.sqrt(second[e]) * less - rest
            if not next_ > upper[i]:
                labels[i] = _rank_again(X[i], e, own[e], limits[e], targets, factors, scores, found)
                next_ = np.sqrt(near[e]) * less - rest
            lower[i] = min(next_, kind(beyond * sketch.unit) * less - rest)
    return n_measured


@njit(nogil=True, cache=True, fastmath=FAST)
def screen_rows(
    lo, hi, X, ref, targets, furthest, norms, sketch, factors, upper, lower, labels, measured
):
    """Label the rows of blocks lo to hi, measuring only distances that nothing excludes.

    Parameters
    ----------
    X, ref, targets, furthest, norms
        As in `pruning.prune_rows`.
    sketch : Codes
    factors : Factors
    upper, lower : (n,), dtype of the computation, updated
        Bounds on the distance to the row's own centre, and to the nearest other one.
    labels : (n,) int32, updated
        Below 0 where nothing is known.
    measured : (n_blocks, 2) int64, written
        Rows whose scores were needed, and distances that were measured for them.
    """
    n = X.shape[0]
    centers = targets.centers
    kind = centers.dtype.type
    moved, slack, tiny = targets.moved, targets.slack, targets.least
    more = kind(1) + slack
    words = sketch.codes.view(np.int32)
    scores = np.empty((factors.factors.shape[0], GROUP), np.int32)
    tiles = np.zeros((2, words.shape[2], TILE), np.int32)
    rows = np.empty(GROUP, np.int64)
    waiting = np.full(2 * GROUP, -1)
    near = np.empty(GROUP, centers.dtype)
    count = 0
    for b in range(lo, hi):
        measured[b] = 0
        block = sketch.codes[b]
        for first in range(0, min(ROWS, n - b * ROWS), GROUP):
            active = 0
            for e in range(GROUP):
                i = b * ROWS + first + e
                rows[e] = -1
                if i >= n:
                    continue
                fetch_row(X, min(n - 1, i + GROUP))
                label = labels[i]
                if label >= 0:
                    limit, others = aged(upper[i], lower[i], moved[label], furthest, slack, kind)
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
            if 2 * active >= GROUP:
                tile = first // TILE
                measured[b, 1] += _label_group(
                    X, ref, targets, norms, sketch, factors, rows, block[tile : tile + 2],
                    scores, near, upper, lower, labels,
                )  # fmt: skip
            else:
                for e in range(GROUP):
                    waiting[count] = rows[e]
                    count += rows[e] >= 0
            # what is left at the end does not fill a group
            last = b == hi - 1 and first + GROUP >= min(ROWS, n - b * ROWS)
            while count >= GROUP or (last and count > 0):
                rows[:] = waiting[:GROUP]
                rows[count:] = -1
                waiting[:GROUP] = waiting[GROUP:]
                count = max(0, count - GROUP)
                for e in range(GROUP):
                    if rows[e] >= 0 and labels[rows[e]] >= 0:
                        near[e] = row_square(X, ref, rows[e], centers[labels[rows[e]]])
                _gather(words, rows, tiles)
                measured[b, 1] += _label_group(
                    X, ref, targets, norms, sketch, factors, rows, tiles.view(np.int8),
                    scores, near, upper, lower, labels,
                )  # fmt: skip


class Screen:
    """The sketch of all rows, and what an assignment by it needs.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous, finite
    ref : ndarray of shape (n_features,), dtype of the computation
    norms : ndarray of shape (n_samples,), float64
        Lengths of ``X - ref``.
    workers : Workers
    """

    def __init__(self, X: np.ndarray, ref: np.ndarray, norms: np.ndarray, workers: Workers) -> None:
        self._X, self._ref, self._norms, self._workers = X, ref, norms, workers
        self._sketch = s = Sketch.of(X, False, BlockWorkers(workers, -(-len(X) // ROWS)))
        info: Any = np.finfo(ref.dtype)
        error = s.error + norms * (float(info.eps) / s.unit)
        self._codes = Codes(s.codes, s.length, error, s.unit)
        self._measured = np.empty((len(s.codes), 2), np.int64)

    def sample(
        self, targets: Targets, upper: np.ndarray, lower: np.ndarray, labels: np.ndarray
    ) -> float:
        """Label the rows of a few blocks; returns how many distances one of them needed."""
        every = max(1, len(self._measured) // _SAMPLED)
        return self._label(range(0, len(self._measured), every), 1, targets, upper, lower, labels)

    def assign(
        self, targets: Targets, upper: np.ndarray, lower: np.ndarray, labels: np.ndarray
    ) -> float:
        """Label all rows, see `screen_rows`; returns how many distances an active one needed."""
        starts = range(0, len(self._measured), _BLOCKS)
        return self._label(starts, _BLOCKS, targets, upper, lower, labels)

    def _label(
        self,
        starts: range,
        count: int,
        targets: Targets,
        upper: np.ndarray,
        lower: np.ndarray,
        labels: np.ndarray,
    ) -> float:
        s, k, n_blocks = self._sketch, len(targets.centers), len(self._measured)
        factors = Factors.empty(k, len(s.steps))
        origin = self._ref.astype(np.float64) - s.middle
        way = (targets.centers, origin, s.scale, s.unit, s.longest)
        self._workers.map_rows(lambda lo, hi: byte_factors(lo, hi, *way, *factors), k, 128)
        known = (
            *(self._X, self._ref, targets, targets.moved.max(), self._norms),
            *(self._codes, factors),
        )
        self._measured[:] = 0

        def blocks(first: int) -> None:
            last = min(n_blocks, first + count)
            screen_rows(first, last, *known, upper, lower, labels, self._measured)

        self._workers.map(blocks, starts)
        active, measured = self._measured.sum(axis=0)
        return float(measured / max(1, active))
