"""Additive statistics of clusters (float64): they give means and losses without a pass."""

import numpy as np

from kmgpu.kernels.cpu.highdim import kernels

_RECOUNT_EVERY = 16  # updates by difference, so that nothing drifts
_CANCELLED = 1e-5  # a loss below this share of the total is summed directly


class ClusterSums:
    """Weighted sums of ``X - ref`` by label, kept up to date by difference.

    Centres and means are relative to `ref`. ``norms`` are the rows' lengths, ``sizes`` the numbers
    of rows of positive weight.
    """

    def __init__(self, X, ref, sample_weight, n_clusters, block, workers):
        self._X, self._ref, self._block, self._workers = X, ref, block, workers
        self._positive = None if sample_weight is None else sample_weight > 0
        self._weight = np.empty(0) if sample_weight is None else np.array(sample_weight, np.float64)
        self.sizes = np.zeros(n_clusters, np.int64)
        self._sums = np.zeros((n_clusters, X.shape[1]))
        self._masses = np.zeros(n_clusters)
        self._updates = 0
        self.norms = np.empty(len(X))
        self._total = sum(
            self._map_rows(
                lambda lo, hi: kernels.row_norms(X, ref, self._weight, lo, hi, self.norms)
            )
        )

    def _map_rows(self, function):
        return self._workers.map_rows(function, len(self._X), self._block)

    def means(self, centers):
        """Return the means; a cluster without weight keeps its row of `centers`."""
        held = self.sizes > 0
        centers = centers.copy()
        centers[held] = self._sums[held] / self._masses[held, None]
        return centers

    def costs(self, centers, labels):
        """Return every row's squared distance to its centre."""
        costs = np.empty(len(self._X))
        self._map_rows(
            lambda lo, hi: kernels.own_costs(self._X, self._ref, centers, labels, lo, hi, costs)
        )
        return costs

    def loss(self, centers, labels):
        """Expand the loss in the sums; add up rows directly where that would cancel."""
        squares = (centers * centers).sum(axis=1)
        loss = self._total - 2 * (centers * self._sums).sum() + (self._masses * squares).sum()
        if loss > _CANCELLED * self._total:
            return float(loss)
        costs = self.costs(centers, labels)
        return float((costs * self._weight).sum() if self._weight.size else costs.sum())

    def count_positive(self, rows):
        """Return how many of `rows` have positive weight."""
        return rows.size if self._positive is None else int(self._positive[rows].sum())

    def update(self, changed, before, labels):
        """Follow the rows `changed` from labels `before`: by difference, or anew if no dearer."""
        if not changed.size and self._updates:
            return
        self._updates += 1
        many = 2 * changed.size >= len(self._X)
        if many or self._updates % _RECOUNT_EVERY == 1:
            self._sums[:] = 0
            self._masses[:] = 0
            self.sizes[:] = 0
            changed = np.arange(len(self._X))
        else:
            self._add(changed, before, -1.0)
        self._add(changed, labels, 1.0)
        self._sums[self.sizes == 0] = 0.0  # what rounding left of a cluster that is gone
        self._masses[self.sizes == 0] = 0.0

    def _add(self, rows, labels, sign):
        k, d = self._sums.shape
        width = int(np.clip(-(-d // self._workers.n_threads), 16, 128))
        self._workers.map(
            lambda b: kernels.add_rows(
                self._X,
                self._ref,
                self._weight,
                rows,
                labels,
                sign,
                b * width,
                min(d, (b + 1) * width),
                self._sums,
            ),
            range(-(-d // width)),
        )
        labels = labels[rows]
        if self._positive is None:
            counts = np.bincount(labels, minlength=k)
            self._masses += sign * counts
        else:
            self._masses += sign * np.bincount(labels, self._weight[rows], minlength=k)
            counts = np.bincount(labels[self._positive[rows]], minlength=k)
        self.sizes += int(sign) * counts
