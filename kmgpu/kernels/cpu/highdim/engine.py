"""Half-steps of k-means (squared L2) for NumPy arrays of many features: exact pruned assignment."""

import numpy as np

from kmgpu.kernels.cpu.highdim import kernels, pruning, sketch
from kmgpu.kernels.cpu.highdim.policy import Policy, lowest_copies
from kmgpu.kernels.cpu.highdim.sums import ClusterSums
from kmgpu.threads import Workers, single_threaded_blas

_LEAST_BUDGET = 256 << 20
_SCORES = 1 << 17  # elements of a block of scores: they stay in the second-level cache
_SKETCH_FROM = 4.0  # distances a row that make a sketch worth its cost
_SKETCH_HOLDS = 0.4  # share of the variance on its axes
_SAMPLE = 256
_FINEST = 1024  # float32 ranks rows finely enough while they cost less than this more at the ref


class HighDimensionalL2:
    """Assign and refit with bounds carried from one iteration to the next.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n_samples, n_features)
        C-contiguous and finite; never written to.
    sample_weight : ndarray of float64, shape (n_samples,), or None
    n_clusters : int
    memory_budget : int or None
        Bytes beyond the data; None takes the size of the data or 256 MB, whichever is larger.
    n_threads : int or None
        None takes the number of usable CPUs. Results do not depend on it.

    Attributes
    ----------
    labels : ndarray of int32, shape (n_samples,)
    """

    def __init__(self, X, sample_weight, n_clusters, *, memory_budget=None, n_threads=None):
        self.X = X.view()
        self.X.flags.writeable = False  # one compiled version serves writable and read-only arrays
        self.n_clusters = n_clusters
        self._workers = Workers(n_threads)
        n = len(X)
        most = max(256, min(4096, 2 * _SCORES // X.shape[1]))
        self._block = int(np.clip(_SCORES // n_clusters, 64, most))
        self._sample_weight, self._memory_budget = sample_weight, memory_budget
        self.labels = np.full(n, -1, np.int32)
        self._centers = None
        self._rounded = None
        self._set_reference()

    # ---- set-up

    def _set_reference(self):
        """Choose the origin of all products."""
        n = len(self.X)
        kind = self.X.dtype
        sample = self.X[:: max(1, n // 512)].astype(np.float64)
        middle = np.median(sample, axis=0)
        if middle @ middle <= ((sample - middle) ** 2).sum(axis=1).mean():
            middle[:] = 0.0  # near the origin already: blocks are multiplied where they lie
        self._shifted = bool(middle.any())
        self._ref = middle.astype(kind)
        self._prepare()
        if self._norms.max() ** 2 > np.finfo(kind).max / 64 and kind == np.float32:
            self._widen()  # squares of such data would overflow

    def _prepare(self):
        """Compute the norms of the rows about the reference, and make room for bounds."""
        roundoff = np.finfo(self._ref.dtype).eps / 2
        self._slack = self._ref.dtype.type((self.X.shape[1] + 8) * roundoff)
        self._sums = ClusterSums(
            *(self.X, self._ref, self._sample_weight, self.n_clusters),
            *(self._block, self._workers),
        )
        self._norms = self._sums.norms
        self._reserve_bounds()

    def _reserve_bounds(self):
        n, k, memory_budget = len(self.X), self.n_clusters, self._memory_budget
        columns = -(-k // kernels.GROUP) * kernels.GROUP
        kind = self._ref.dtype
        if memory_budget is None:
            memory_budget = max(self.X.nbytes, _LEAST_BUDGET)
        fixed = n * 40  # labels twice, norms, row numbers, changes
        bounds = n * (2 * columns + 3 * kind.itemsize)
        sketches = n * (sketch.N_AXES + 1) * kind.itemsize
        self._fits = fixed + bounds <= memory_budget and k > 1
        self._bounded = False
        self._policy = Policy(k, self.X.shape[1])
        if self._fits:
            self._bounds = np.empty((n, columns), np.uint16)
            self._upper, self._lower, self._step = (np.empty(n, kind) for _ in range(3))
            self._path = np.zeros(columns)
        self._sketch = None
        affordable = fixed + bounds + sketches <= memory_budget
        self._sketchable = affordable and self.X.shape[1] > 3 * sketch.N_AXES

    def _map_rows(self, function):
        self._workers.map_rows(function, len(self.X), self._block)

    # ---- assignment

    def assign(self, centers):
        """Label every row with its nearest centre; return the loss and how many rows changed."""
        centers = np.asarray(centers, np.float64) - self._ref.astype(np.float64)
        rounded = np.ascontiguousarray(centers, self._ref.dtype)
        before = self.labels.copy()
        with single_threaded_blas():
            self._label(rounded)
            if not self._resolves(centers):
                self._widen()
                rounded = centers
                self._label(rounded)
        self._centers, self._rounded = centers, rounded
        self._lowest_duplicate(rounded)
        changed = np.flatnonzero(self.labels != before)
        self._sums.update(changed, before, self.labels)
        return self._sums.loss(centers, self.labels), self._sums.count_positive(changed)

    def _resolves(self, centers):
        """Whether rounding is small beside the costs, by a sample of rows; see `assignment`."""
        if self._ref.dtype == np.float64 or self.n_clusters == 1:
            return True
        every = max(1, len(self.X) // _SAMPLE)
        rows = self.X[::every].astype(np.float64) - self._ref
        extent = np.square(rows).sum()
        return extent < _FINEST * np.square(rows - centers[self.labels[::every]]).sum()

    def _widen(self):
        """Compute in float64 from now on."""
        self._ref = self._ref.astype(np.float64)
        self._shifted = True
        self._prepare()

    def _label(self, rounded):
        if self._bounded:
            self._travel(rounded)
        if self._bounded and self._worth_pruning(rounded):
            self._prune(rounded)
        else:
            self._dense(rounded)

    def _travel(self, rounded):
        """Add the movement of the centres to their paths."""
        moved = np.sqrt(((rounded.astype(np.float64) - self._rounded) ** 2).sum(axis=1))
        self._moved = moved.astype(rounded.dtype) * rounded.dtype.type(1 + self._slack)
        self._path[: len(moved)] += moved
        kind = rounded.dtype
        self._path_up = (self._path * (1 + 4 * np.finfo(kind).eps)).astype(kind)
        self._path_down = (self._path * (1 - 4 * np.finfo(kind).eps)).astype(kind)

    def _worth_pruning(self, rounded):
        """Try a sample of rows; prefer the dense pass where what is left would cost more."""
        active, passed, pairs = self._count_survivors(rounded)
        if self._sketchable and passed > _SKETCH_FROM:
            self._sketchable = False
            if self._make_sketch():
                active, passed, pairs = self._count_survivors(rounded)
        return self._policy.prunes(active, passed, pairs, self._sketch is not None)

    def _count_survivors(self, rounded):
        """Return, for the mean row: share to be read, distances left, those after sketches."""
        every = max(1, len(self.X) // _SAMPLE)
        counts = pruning.count_survivors(
            *(self.X, self._ref, every, rounded, self._moved.max(), self._path_up),
            *(self._path_down, self._slack, *self._sketch_arguments(rounded), self.labels),
            *(self._lower, self._step, self._bounds),
        )
        return np.array(counts) / -(-len(self.X) // every)

    def _make_sketch(self):
        """Sketch all rows if a few axes hold enough of them."""
        n = len(self.X)
        axes, held = sketch.leading_axes(sketch.sample_rows(self._rows, n))
        if held < _SKETCH_HOLDS:
            return False
        self._sketch = sketch.Sketches(axes, n, self._ref.dtype)
        self._map_rows(lambda lo, hi: self._sketch.fill(lo, hi, self._rows(lo, hi), self._norms))
        return True

    def _sketch_arguments(self, rounded):
        """Return what the kernels take: sketches of rows, of centres, their margin, and norms."""
        norms = np.sqrt((rounded.astype(np.float64) ** 2).sum(axis=1))
        top = float(norms.max())
        if self._sketch is None:
            nothing = np.empty((0, sketch.N_AXES + 1), rounded.dtype)
            return nothing, nothing, 0.0, self._norms, top
        centers = self._sketch.of(rounded, norms)
        return self._sketch.rows, centers, self._sketch.margin, self._norms, top

    def _prune(self, rounded):
        rows, sketches, margin, norms, top = extra = self._sketch_arguments(rounded)
        product = np.ascontiguousarray((-2 * sketches).T)
        offset = (rounded.astype(np.float64) ** 2).sum(axis=1).astype(rounded.dtype)
        furthest = self._moved.max()

        def block(lo, hi):
            if self._policy.refresh:
                scores = np.matmul(
                    rows[lo:hi], product, out=self._buffer("scores", self.n_clusters)[: hi - lo]
                )
                known = norms, top, self._slack, margin, self._path_down, self._step, self._bounds
                pruning.raise_rows(scores, offset, lo, hi, *known)
            pruning.prune_rows(
                *(self.X, self._ref, lo, hi, rounded, self._moved, furthest, self._path_up),
                *(self._path_down, self._slack, *extra, self.labels, self._upper),
                *(self._lower, self._step, self._bounds),
            )

        self._map_rows(block)

    def _dense(self, rounded):
        """Compute all distances by blocks; store them as bounds unless those proved useless."""
        product = np.ascontiguousarray((-2 * rounded).T)
        squares = (rounded.astype(np.float64) ** 2).sum(axis=1)
        offset = squares.astype(rounded.dtype)
        self._bounded = self._fits and self._policy.stores()
        top = np.sqrt(squares.max())
        if self._bounded:
            self._path[:] = 0

        def block(lo, hi):
            scores = np.matmul(
                self._rows(lo, hi), product, out=self._buffer("scores", self.n_clusters)[: hi - lo]
            )
            if self._bounded:
                kernels.nearest_rows_bounds(
                    *(scores, offset, lo, hi, self._norms, top, self._slack, self.labels),
                    *(self._upper, self._lower, self._step, self._bounds),
                )
            else:
                kernels.nearest_rows(scores, offset, lo, hi, self.labels)

        self._map_rows(block)

    def _rows(self, lo, hi):
        if not self._shifted:
            return self.X[lo:hi]
        out = self._buffer("rows", self.X.shape[1])[: hi - lo]
        kernels.center_rows(self.X, self._ref, lo, hi, out)
        return out

    def _buffer(self, name, columns):
        """Return this thread's scratch block."""
        return self._workers.scratch(name, (self._block, columns), self._ref.dtype)

    def _lowest_duplicate(self, rounded):
        """Give rows of a repeated centre to its first copy: equal centres can round apart."""
        lowest = lowest_copies(rounded)
        if lowest is not None:
            target = lowest[self.labels]
            self._relabel(np.flatnonzero(target != self.labels), target)

    def _relabel(self, rows, target):
        """Set labels of `rows` to ``target[rows]``; of their distances nothing is known then."""
        if self._bounded:
            self._bounds[rows, self.labels[rows]] = 0
            self._upper[rows] = np.finfo(self._upper.dtype).max / 4
            self._lower[rows] = 0
        self.labels[rows] = target[rows]

    # ---- refitting

    def refit(self):
        """Return the means of the labelled rows (float64) and the loss there."""
        centers = self._sums.means(self._centers)
        return centers + self._ref.astype(np.float64), self._sums.loss(centers, self.labels)

    def move(self, rows, clusters):
        """Relabel a few rows, as the relocation of empty clusters does."""
        before = self.labels.copy()
        target = before.copy()
        target[rows] = clusters
        rows = np.flatnonzero(target != before)
        self._relabel(rows, target)
        self._sums.update(rows, before, self.labels)

    def costs(self):
        """Return every row's squared distance to its centre of the last assignment."""
        return self._sums.costs(self._centers, self.labels)

    @property
    def sizes(self):
        """Rows of positive weight in each cluster, int64, shape (n_clusters,)."""
        return self._sums.sizes
