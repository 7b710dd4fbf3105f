"""Weighted sums of clusters in float64: means and losses follow from them without a pass."""

import numpy as np

from kmgpu.kernels.cpu.highdim.targets import FAST, apart
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import frozen, weight_of
from kmgpu.kernels.cpu.lowlevel.sums import about_zero, add_rows, lost_too_much

_RECOUNT_EVERY = 64  # updates: incremental sums drift
_CANCELLED = 1e-5  # a loss below this share of the total is summed over the rows
_PARTS = 4  # of the rows, that threads add up
_WORTH_PARTS = 1 << 20  # numbers to be added, above which parts pay
_MOST_SUMS = 1 << 20  # numbers of the sums of one part


@njit(nogil=True, cache=True, fastmath=FAST)
def costs_about(X, ref, centers, labels, lo, hi, costs):
    """Write the float64 squared distance of each row to its centre, which is given less `ref`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, read-only
    ref : ndarray of shape (n_features,), float32 or float64
    centers : ndarray of shape (n_clusters, n_features), float64
        The centres less `ref`.
    labels : ndarray of shape (n_samples,), int32
    lo, hi : int
    costs : ndarray of shape (n_samples,), float64, written from lo to hi
    """
    for i in range(lo, hi):
        label = labels[i]
        cost = 0.0
        for p in range(X.shape[1]):
            difference = apart(np.float64(X[i, p]), np.float64(ref[p]), centers[label, p])
            cost += difference * difference
        costs[i] = cost


class ClusterSums:
    """Weighted sums of ``X - ref`` by label, which rows that change label keep up to date.

    Centres and means are relative to `ref`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
    ref : ndarray of shape (n_features,), float32 or float64
    norms : ndarray of shape (n_samples,), float64
        Lengths of ``X - ref``, rounded to the dtype of `ref`.
    sample_weight : ndarray of shape (n_samples,), float64, or None
    n_clusters : int
    block : int
        Rows of one call.
    workers : Workers

    Attributes
    ----------
    sizes : ndarray of shape (n_clusters,), int64
        Rows of positive weight.
    """

    def __init__(self, X, ref, norms, sample_weight, n_clusters, block, workers):
        self._X, self._ref, self._norms = frozen(X), ref, norms
        self._block, self._workers = block, workers
        self._positive = None if sample_weight is None else sample_weight > 0
        self._weight = weight_of(sample_weight)
        self.sizes = np.zeros(n_clusters, np.int64)
        self._sums = np.zeros((n_clusters, X.shape[1]))
        self._masses = np.zeros(n_clusters)
        # of rows that left since the last recount: weight, and weight times length
        self._left, self._lengths_left = np.zeros((2, n_clusters))
        self._at: tuple[np.ndarray, float] = self._sums, np.inf  # centres, and the loss there
        self._updates = 0
        squares = norms * norms
        if ref.dtype != np.float64 and ref.any():  # rounded: not exact enough
            squares = self.costs(np.zeros((1, X.shape[1])), np.zeros(len(X), np.int32))
        self._total = (squares * self._weight).sum() if self._weight.size else squares.sum()

    def _map_rows(self, function):
        return self._workers.map_rows(function, len(self._X), self._block)

    def _means(self, centers):
        """Return the means; a cluster without weight keeps its row of `centers`."""
        held = self.sizes > 0
        masses = np.where(held, self._masses, 1.0)
        return np.where(held[:, None], self._sums / masses[:, None], centers)

    def costs(self, centers, labels):
        """Return every row's squared distance to its centre."""
        costs = np.empty(len(self._X))
        self._map_rows(
            lambda lo, hi: costs_about(self._X, self._ref, centers, labels, lo, hi, costs)
        )
        return costs

    def loss(self, centers, labels):
        """Return the loss at some centres, from the sums; from the rows where sums would cancel."""
        products = np.einsum("jp,jp->j", centers, self._sums)
        squares = np.einsum("jp,jp->j", centers, centers)
        loss = self._total - 2 * products.sum() + (self._masses * squares).sum()
        if not loss > _CANCELLED * self._total:
            costs = self.costs(centers, labels)
            loss = (costs * self._weight).sum() if self._weight.size else costs.sum()
        self._at = centers, float(loss)
        return self._at[1]

    def count_positive(self, rows):
        """Return how many of `rows` have positive weight."""
        return rows.size if self._positive is None else int(self._positive[rows].sum())

    def update(self, changed, before, labels):
        """Move the rows `changed` from labels `before` to `labels` in the sums.

        Incrementally, or from scratch when that costs no more; also where a cluster has lost nearly
        all its weight, or rows from far away: its sums may be mere rounding of what has left.
        """
        if not changed.size and self._updates:
            return
        self._updates += 1
        many = 2 * changed.size >= len(self._X)
        recount = many or self._updates % _RECOUNT_EVERY == 1
        if not recount:
            self._add(changed, before[changed], -1.0)
            self._add(changed, labels[changed], 1.0)
            recount = self._stale()
        if recount:
            self._recount(labels)
        self._sums[self.sizes == 0] = 0.0  # empty clusters keep no rounding errors
        self._masses[self.sizes == 0] = 0.0

    def _stale(self):
        lost = self._left, self._lengths_left
        return lost_too_much(self.sizes, self._masses, *lost, *self._at)

    def _recount(self, labels):
        lost = self._left, self._lengths_left
        for total in (self._sums, self._masses, self.sizes, *lost):
            total[:] = 0
        self._add(np.arange(len(self._X)), labels, 1.0)

    def refit(self, centers, labels):
        """Return the means, see `_means`, and the loss there."""
        found = self._means(centers)
        loss = self.loss(found, labels)
        if self._stale():  # the loss at the means may be far less, so that rounding shows now
            self._recount(labels)
            found = self._means(centers)
            loss = self.loss(found, labels)
        return found, loss

    def placed(self, centers, labels):
        """Turn means less `ref` into means; see `lowlevel.sums.about_zero`."""
        ref = self._ref.astype(np.float64)
        centers = centers + ref
        about_zero(
            lambda rows: self._X[rows], self._weight, labels, self.sizes, self._masses, ref, centers
        )
        return centers

    def _add(self, rows, labels, sign):
        k, d = self._sums.shape
        # rows in their order are read fastest; the split depends on sizes alone, so results repeat
        parts = _PARTS if rows.size * d > _WORTH_PARTS and k * d <= _MOST_SUMS else 1
        edges = [p * rows.size // parts for p in range(parts + 1)]

        def add(part):
            lo, hi = edges[part], edges[part + 1]
            sums = self._sums if part == 0 else np.zeros_like(self._sums)
            add_rows(self._X, self._ref, self._weight, rows[lo:hi], labels[lo:hi], sign, sums)
            return sums

        for sums in self._workers.map(add, range(parts))[1:]:
            self._sums += sums
        if self._positive is None:
            masses = counts = np.bincount(labels, minlength=k)
        else:
            masses = np.bincount(labels, self._weight[rows], minlength=k)
            counts = np.bincount(labels[self._positive[rows]], minlength=k)
        self._masses += sign * masses
        if sign < 0:
            lengths = self._norms[rows] * (self._weight[rows] if self._weight.size else 1.0)
            self._left += masses
            self._lengths_left += np.bincount(labels, lengths, minlength=k)
        self.sizes += int(sign) * counts
