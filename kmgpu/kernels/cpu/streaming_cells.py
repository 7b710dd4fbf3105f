"""Blocks of a stream on a CPU: the cells of brackets around medians, and their solution."""

from itertools import pairwise
from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cells import solve_columns as plain_solve
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.intrinsics import lowest_bit
from kmgpu.kernels.cpu.lowlevel.rows import CONVERTED, frozen, row_ranges, weight_of
from kmgpu.kernels.cpu.streaming import ranges_of

SORTED = 64  # columns that one thread sorts at a time

_solve = njit(nogil=True, cache=True)(plain_solve)


@njit(nogil=True, cache=True)
def _sort_out(keys, values, weights, starts, out, out_weights):
    """Copy values (and weights, if any) column after column; `starts` holds the first places."""
    place = starts[:-1].copy()
    for p in range(keys.shape[0]):
        at = place[keys[p]]
        out[at] = values[p]
        if weights.shape[0]:
            out_weights[at] = weights[p]
        place[keys[p]] = at + 1


def sorted_columns(
    n_columns: int, keys: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kmgpu.streaming.medians.sorted_columns`."""
    starts = np.zeros(n_columns + 1, np.int64)
    np.cumsum(np.bincount(keys, minlength=n_columns), out=starts[1:])
    out, out_weights = np.empty_like(values), np.empty_like(weights)
    _sort_out(keys, values, weights, starts, out, out_weights)
    edges = starts.tolist()

    def sort(lo: int, hi: int) -> None:
        for a, b in pairwise(edges[lo : hi + 1]):
            if weights.size:
                order = np.argsort(out[a:b])
                out[a:b], out_weights[a:b] = out[a:b][order], out_weights[a:b][order]
            else:
                out[a:b].sort()

    Workers().map_rows(sort, n_columns, SORTED)
    return starts, out, out_weights


def solve_columns(*arguments: np.ndarray) -> None:
    """See `kmgpu.kernels.cells.solve_columns`."""
    _solve(*arguments)


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _add_cells(
    x, weight, labels, centers, half, rest, first, last, edges, collected,
    counts, mass, sums, units, below, at_first, at_last, lower, inside, inside_sums,
    keys, values, weights, n_kept,
):  # fmt: skip
    """Add rows to the cells of their clusters' columns.

    Parameters
    ----------
    x : ndarray of shape (m, d), float32 or float64, read-only
    weight : ndarray of shape (m,) or (0,), float64, read-only
        Empty: all one.
    labels : ndarray of shape (m,), int32
    centers : ndarray of shape (k, d), float64, read-only
    half, rest : ndarrays of shape (k,), float64
        What turns weights into units.
    first, last : ndarrays of shape (k, d), dtype of x
        The least and the greatest edge.
    edges : ndarray of shape (k, d, e), dtype of x
    collected : ndarray of shape (k, d), int64
    counts, mass, sums : ndarrays of shape (k,), (k,) and (k, d), added to
        int64, float64, float64; see `kmgpu.streaming.statistics.Moments`.
    units : ndarray of shape (k,), int64, added to
    below, at_first, at_last : ndarrays of shape (k, d), int32 without weights, else int64, added to
        Units of the values below the first edge, at it, and at the last one.
    lower : ndarray of shape (k, d), float64, added to
    inside, inside_sums : ndarrays of shape (k, d, 2 e - 1), int64 and float64, added to
        Of the values between the first and the last edge; many may lie at these.
    keys, values, weights : ndarrays of shape (p,), int32, dtype of x and float64, written
        `weights` may be empty where all are one.
    n_kept : int
        Values collected before.

    Returns
    -------
    cost : float
    n_kept : int
        Values that were to be collected, also where there was no room for them.
    """
    d, most, room = x.shape[1], edges.shape[2], keys.shape[0]
    near = np.zeros((d + 7) // 8 * 8, np.uint8)  # which features of a row lie in the brackets
    words = near.view(np.uint64)
    total = 0.0
    for i in range(x.shape[0]):
        w = weight[i] if weight.size else 1.0
        if not w > 0:
            continue
        j = np.uint64(labels[i])
        unit = np.int64(np.rint(w * half[j] * rest[j])) if weight.size else np.int64(1)
        counts[j] += 1
        units[j] += unit
        mass[j] += w
        cost = 0.0
        for q in range(d):
            apart = np.float64(x[i, q]) - centers[j, q]
            cost += abs(apart)
            sums[j, q] += w * apart
            lower[j, q] += w * apart if x[i, q] < first[j, q] else 0.0
        total += w * cost
        if weight.size:
            for q in range(d):
                below[j, q] += unit if x[i, q] < first[j, q] else 0
                at_first[j, q] += unit if x[i, q] == first[j, q] else 0
                at_last[j, q] += unit if x[i, q] == last[j, q] else 0
        else:
            for q in range(d):
                below[j, q] += np.int32(x[i, q] < first[j, q])
            for q in range(d):
                at_first[j, q] += np.int32(x[i, q] == first[j, q])
            for q in range(d):
                at_last[j, q] += np.int32(x[i, q] == last[j, q])
        for q in range(d):
            near[q] = (x[i, q] > first[j, q]) & (x[i, q] < last[j, q])
        for word in range(words.shape[0]):
            mask = words[word]
            while mask != 0:
                q = np.uint64(8 * word) + (lowest_bit(mask) >> np.uint64(3))
                mask = mask & (mask - np.uint64(1))
                v, cell = x[i, q], 1
                if most > 2:
                    e = np.int32(-1)
                    for s in range(most):
                        e += np.int32(edges[j, q, s] <= v)
                    cell = 2 * e + (v > edges[j, q, e])
                inside[j, q, cell] += unit
                inside_sums[j, q, cell] += w * (np.float64(v) - centers[j, q])
                if cell == collected[j, q]:
                    if n_kept < room:
                        keys[n_kept] = np.int64(j) * d + np.int64(q)
                        values[n_kept] = v
                        if weight.size:
                            weights[n_kept] = w
                    n_kept += 1
    return total, n_kept


def cells(
    x: np.ndarray,
    centers: np.ndarray,
    labels: np.ndarray,
    sample_weight: np.ndarray | None,
    brackets: Any,
    loss: Any,
    memory_budget: int | None = None,
) -> Any:
    """See `kmgpu.streaming.statistics.cells`; returns the fields of its result."""
    del loss, memory_budget
    edges, weight, (k, d) = brackets.edges, weight_of(sample_weight), centers.shape
    n_cells = 2 * edges.shape[2] - 1
    centers = frozen(np.ascontiguousarray(centers))
    first, last = np.ascontiguousarray(edges[..., 0]), np.ascontiguousarray(edges[..., -1])
    half, rest = np.ones((2, k)) if brackets.factors is None else brackets.factors

    def of(item: tuple[int, int, int]) -> tuple[Any, ...]:
        _, begin, end = item
        room = min(brackets.most, (end - begin) * d)  # memory that is not written to costs nothing
        counts, mass, sums = np.zeros(k, np.int64), np.zeros(k), np.zeros((k, d))
        units, lower = np.zeros(k, np.int64), np.zeros((k, d))
        ends = np.zeros((3, k, d), np.int64 if weight.size else np.int32)
        inside, inside_sums = np.zeros((k, d, n_cells), np.int64), np.zeros((k, d, n_cells))
        keys, values = np.empty(room, np.int32), np.empty(room, edges.dtype)
        weights = np.empty(room if weight.size else 0)
        cost, n_kept, step = 0.0, 0, max(256, CONVERTED // d)
        for lo in range(begin, end, step):
            hi = min(end, lo + step)
            added, n_kept = _add_cells(
                frozen(np.ascontiguousarray(x[lo:hi], edges.dtype)), weight[lo:hi], labels[lo:hi],
                centers, half, rest, first, last, edges, brackets.collected, counts, mass, sums,
                units, *ends, lower, inside, inside_sums, keys, values, weights, n_kept,
            )  # fmt: skip
            cost += added
        kept = tuple(a[:n_kept].copy() for a in (keys, values, weights)) if n_kept <= room else ()
        return (cost, counts, mass, sums, units, ends.astype(np.int64), inside, lower,
                inside_sums, kept)  # fmt: skip

    parts = Workers().map(of, row_ranges(len(x), ranges_of(k * d * (2 * n_cells + 4))))
    *fields, kept = zip(*parts, strict=True)
    totals = [sum(field[1:], start=field[0]) for field in fields]
    cost, counts, mass, sums, units, (below, *at_ends), inside, lower, inside_sums = totals
    unit = (mass / np.maximum(units, 1))[:, None]
    at_ends[1][first == last] = 0
    for cell, edge, at in zip((0, -1), (first, last), at_ends, strict=True):
        there = at > 0  # an edge without values may be infinite
        inside[..., cell] += at
        inside_sums[..., cell][there] += (unit * at * (edge - centers))[there]
    complete = all(kept)
    picked = [tuple(p[i] for p in kept) if complete else () for i in range(3 if weight.size else 2)]
    picked += [()] if not weight.size else []
    moments = cost, counts, mass, sums
    return moments, units, below, inside, lower, inside_sums, *picked, complete
