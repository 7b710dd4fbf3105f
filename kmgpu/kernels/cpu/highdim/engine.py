"""The engine of k-means of many features: it chooses a dense, pruned or screened pass each time."""

import numpy as np

from kmgpu.backend.blocks import kept_bytes
from kmgpu.backend.threads import Workers, single_threaded_blas
from kmgpu.kernels.cpu.highdim import dense, pruning, stored, targets
from kmgpu.kernels.cpu.highdim.policy import Policy
from kmgpu.kernels.cpu.highdim.screen import Screen
from kmgpu.kernels.cpu.highdim.sums import ClusterSums
from kmgpu.kernels.cpu.lowlevel.relocation import Relocations
from kmgpu.kernels.cpu.lowlevel.rows import LONGEST, SHORTEST, weight_of
from kmgpu.kernels.cpu.seeding.sketch import MOST_SKETCHED, bytes_of

_SCORES = 1 << 18  # of a block
_PRUNED = 2048  # rows that one call prunes
_SAMPLE = 256  # rows on which pruning is tried
_UNTRIED = 2  # screened passes in a row, after which the next is not tried on a sample first
_MOST_OPEN = 0.1  # share of exact costs in a dense float32 pass, beyond which float64 pays


class HighDimensionalL2:
    """Half-steps of k-means on NumPy arrays of many features.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n_samples, n_features)
        C-contiguous and finite; never written to.
    sample_weight : ndarray of float64, shape (n_samples,), or None
    n_clusters : int
    memory_budget : int or None
        Bytes beyond the data; None takes the size of the data or 256 MB, whichever is larger.
    algorithm : {"auto", "dense", "elkan"}
        Choose the pass, see `Policy`; or compute all distances; or use stored bounds always.
    n_threads : int or None
        None takes the number of usable CPUs. Results do not depend on it.

    Attributes
    ----------
    labels : ndarray of int32, shape (n_samples,)
    origin : ndarray of shape (n_features,), dtype of the computation
        The origin of all products.
    row_bounds : pair of ndarrays of shape (n_samples,), or None
        Bounds on every row's distance to its own centre (above) and to the nearest other (below),
        where the last pass left any.
    stored_bounds : Bounds or None
        Those of every centre or group of centres, where the last dense pass stored them.
    """

    def __init__(
        self,
        X,
        sample_weight,
        n_clusters,
        *,
        memory_budget=None,
        algorithm="auto",
        n_threads=None,
    ):
        self.X = X.view()
        self.X.flags.writeable = False  # one compiled version serves writable and read-only arrays
        self.n_clusters = n_clusters
        self._workers = Workers(n_threads)
        n = len(X)
        most = max(256, min(4096, _SCORES // X.shape[1]))
        self._block = int(np.clip(_SCORES // n_clusters, 64, most))
        self._every = max(1, n // _SAMPLE)
        self._sample_weight, self._memory_budget = sample_weight, memory_budget
        self._algorithm = algorithm
        self.labels = np.full(n, -1, np.int32)
        self._relocations = Relocations(weight_of(sample_weight))
        self._set_reference()

    @property
    def origin(self):
        return self._ref

    @property
    def row_bounds(self):
        return (self._upper, self._lower) if self._bounded else None

    @property
    def stored_bounds(self):
        return None if self._bounds is None else self._bounds.record

    def _set_reference(self):
        """Choose the origin of all products, and the dtype of the computation."""
        kind = self.X.dtype
        self._ref = targets.origin_of(self.X).astype(kind)
        self._shifted = bool(self._ref.any())
        self._prepare()
        if kind == np.float32 and not SHORTEST < self._norms.max() < LONGEST:
            self._widen()

    def _prepare(self):
        """Compute the norms of the rows about the origin, and make room for bounds."""
        self._sums = ClusterSums(
            *(self.X, self._ref, self._sample_weight, self.n_clusters),
            *(self._block, self._workers),
        )
        self._norms = self._sums.norms
        self._n_sampled = len(range(0, len(self.X), self._every))
        self._centers = np.zeros((self.n_clusters, self.X.shape[1]))
        self._policy = Policy(self.n_clusters, self.X.shape[1], self._algorithm)
        self._reserve_bounds()

    def _reserve_bounds(self):
        n, k = len(self.X), self.n_clusters
        kind = self._ref.dtype
        budget = kept_bytes(self.X.nbytes, self._memory_budget)
        budget -= 40 * n  # labels twice, norms, row numbers, changes
        sketch = bytes_of(n, self.X.shape[1])
        narrow = k > 1 and self.X.shape[1] <= MOST_SKETCHED
        self._may_screen = narrow and sketch <= budget and self._policy.screens()
        self._screen = None
        budget -= sketch if self._may_screen else 0
        most = stored.most_center_groups(n, k, kind, budget) if k > 1 else 0
        self._upper, self._lower = known = np.empty((2, n), kind)
        self._room = stored.StoredBounds(k, most, *known) if most else None
        self._bounds = None  # `_room` while it holds the bounds of the present centres
        self._bounded = False  # whether `_upper` and `_lower` hold
        self._n_screened = 0  # passes in a row

    def assign(self, centers, labels=None):
        """Label every row with its nearest centre; return the loss and how many rows changed.

        `labels`, if given, are the nearest centres, and spare the pass.
        """
        centers = np.ascontiguousarray(centers, np.float64)
        before = self.labels.copy()
        with single_threaded_blas():
            self._label(centers, labels)
        changed = np.flatnonzero(self.labels != before)
        self._sums.update(changed, before, self.labels)
        n_changed = self._sums.count_positive(changed) + self._relocations.correction(self.labels)
        return self._sums.loss(self._centers, self.labels), n_changed

    def _widen(self):
        """Compute in float64 from now on."""
        self._ref = self._ref.astype(np.float64)
        self._shifted = True
        self._prepare()

    def _label(self, centers, labels):
        self._place(centers)
        if self._ref.dtype == np.float32 and self._targets.top > LONGEST:
            self._widen()
            self._place(centers)
        if labels is not None:
            self.labels[:] = labels
            self._bounds, self._bounded, self._n_screened = None, False, 0
            self._policy.skips()
            return
        if self._bounds is not None:
            self._bounds.travel(self._targets.moved)
            if self._worth_pruning(self._bounds):
                self._prune(self._bounds.record)
                return
            self._bounds = None
        store = self._policy.stores() and self._room is not None
        if store or not self._screened():
            self._dense(store)

    def _place(self, centers):
        """Set `_centers` (float64, less the origin) and `_targets`."""
        before = self._centers
        self._centers = np.empty_like(centers)
        self._targets = targets.targets_of(centers, self._ref, before, self._centers)

    def _worth_pruning(self, bounds):
        """Whether pruning costs less than a dense pass, by what it would meet in some rows."""
        counts = pruning.count_survivors(
            *(self.X, self._ref, self._every, self._targets, self._targets.moved.max()),
            *(self._norms, bounds.record, self.labels),
        )
        active, passed = np.array(counts) / self._n_sampled
        return self._policy.prunes(active, passed * bounds.largest_center_group)

    def _prune(self, bounds):
        self._n_screened = 0
        furthest = self._targets.moved.max()

        def pruned(lo, hi):
            pruning.prune_rows(
                *(self.X, self._ref, lo, hi, self._targets, furthest, self._norms),
                *(bounds, self.labels),
            )

        self._workers.map_rows(pruned, len(self.X), _PRUNED)

    def _screened(self):
        """Make a screened pass and return True; or False, and no pass, where it does not pay."""
        if not (self._may_screen and self._policy.screens()):
            return False
        if self._screen is None:
            self._screen = Screen(self.X, self._ref, self._norms, self._workers)
        known = self._upper, self._lower, self.labels
        if not self._bounded:
            self._forget(slice(None))
        untried = self._n_screened < _UNTRIED
        if untried and not self._policy.sampled(self._screen.sample(self._targets, *known)):
            return False
        self._policy.screened(self._screen.assign(self._targets, *known))
        self._bounded = True
        self._n_screened += 1
        return True

    def _dense(self, store):
        """Make a dense pass; keep its distances as bounds if asked."""
        product = targets.product_of(self._targets)
        bounds = self._room if store else None
        self._bounds, self._bounded = bounds, bounds is not None
        self._n_screened = 0
        self._policy.computed()
        if bounds is not None:
            bounds.restart(self._norms, self._targets.squares.astype(np.float64))

        def block(lo, hi):
            scores = self._buffer("scores", self.n_clusters)[: hi - lo]
            np.matmul(self._rows(lo, hi), product, out=scores)
            known = self._norms[lo:hi], self.labels[lo:hi]
            if bounds is None:
                return dense.nearest_rows(self.X[lo:hi], scores, self._targets, *known)
            return dense.nearest_rows_bounds(
                self.X[lo:hi], scores, self._targets, lo, *known, bounds.record
            )

        n_exact = sum(self._workers.map_rows(block, len(self.X), self._block))
        pairs = len(self.X) * self.n_clusters
        if self._ref.dtype == np.float32 and n_exact > max(_MOST_OPEN * pairs, 4 * len(self.X)):
            self._widen()
            self._place(self._targets.exact)

    def _rows(self, lo, hi):
        """Rows less the origin; a view where it is zero."""
        if not self._shifted:
            return self.X[lo:hi]
        out = self._buffer("rows", self.X.shape[1])[: hi - lo]
        dense.center_rows(self.X, self._ref, lo, hi, out)
        return out

    def _buffer(self, name, columns):
        """Return this thread's scratch block."""
        return self._workers.scratch(name, (self._block, columns), self._ref.dtype)

    def _forget(self, rows):
        """Make the two bounds of some rows say nothing."""
        self._upper[rows] = np.finfo(self._ref.dtype).max / 4
        self._lower[rows] = 0

    def refit(self):
        """Return the means of the labelled rows (float64) and the loss there."""
        centers, loss = self._sums.refit(self._centers, self.labels)
        return self._sums.placed(centers, self.labels), loss

    def move(self, rows, clusters):
        """Relabel a few rows, as the relocation of empty clusters does."""
        before = self.labels.copy()
        self.labels[rows] = clusters
        rows = np.flatnonzero(self.labels != before)
        if self._bounds is not None:
            self._bounds.forget(rows, before[rows])
        self._forget(rows)
        self._sums.update(rows, before, self.labels)
        for row in rows.tolist():
            self._relocations.note(row, int(before[row]), int(self.labels[row]))

    def costs(self):
        """Return every row's squared distance to its centre of the last assignment."""
        return self._sums.costs(self._centers, self.labels)

    @property
    def sizes(self):
        """Rows of positive weight in each cluster, int64, shape (n_clusters,)."""
        return self._sums.sizes
