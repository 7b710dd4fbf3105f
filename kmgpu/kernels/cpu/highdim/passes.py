"""Labels of rows of many features: a dense, pruned or screened pass, chosen each time."""

from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers, single_threaded_blas
from kmgpu.kernels.cpu.highdim import dense, pruning, stored, targets
from kmgpu.kernels.cpu.highdim.policy import Policy
from kmgpu.kernels.cpu.highdim.screen import Screen
from kmgpu.kernels.cpu.lowlevel.rows import LONGEST, SHORTEST, frozen
from kmgpu.kernels.cpu.lowlevel.sums import origin_of
from kmgpu.kernels.cpu.seeding.sketch import MOST_SKETCHED, bytes_of

BYTES_OF_LABELS = 28  # a row: label, norm, and two bounds
_SCORES = 1 << 18  # of a block
_PRUNED = 2048  # rows that one call prunes
_SAMPLE = 256  # rows on which pruning is tried
_UNTRIED = 2  # screened passes in a row, after which the next is not tried on a sample first
_MOST_OPEN = 0.1  # share of exact costs in a dense float32 pass, beyond which float64 pays


def block_rows(n_clusters: int, n_features: int) -> int:
    """Rows whose scores and copies fit the caches of a core."""
    most = max(256, min(4096, _SCORES // n_features))
    return int(np.clip(_SCORES // n_clusters, 64, most))


class Passes:
    """Labels of rows for a sequence of centres, in Euclidean distance.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n_samples, n_features)
        C-contiguous and finite; never written to.
    n_clusters : int
    room : int
        Bytes for a sketch and stored bounds, beyond `BYTES_OF_LABELS` a row.
    workers : Workers
    algorithm : {"auto", "dense", "elkan"}
        Choose the pass, see `Policy`; or compute all distances; or use stored bounds always.

    Attributes
    ----------
    labels : ndarray of int32, shape (n_samples,)
    origin : ndarray of shape (n_features,), dtype of the computation
        The origin of all products. Its values never change; its dtype may widen.
    norms : ndarray of shape (n_samples,), float64
        Lengths of the rows about the origin.
    centers : ndarray of shape (n_clusters, n_features), float64
        Those of the last assignment, less the origin.
    row_bounds : pair of ndarrays of shape (n_samples,), or None
        Bounds on every row's distance to its own centre (above) and to the nearest other (below),
        where the last pass left any.
    stored_bounds : Bounds or None
        Those of every centre or group of centres, where the last dense pass stored them.
    """

    def __init__(
        self, X: np.ndarray, n_clusters: int, room: int, workers: Workers, algorithm: str = "auto"
    ) -> None:
        self.n_clusters = n_clusters
        self._room_for_bounds, self._algorithm = room, algorithm
        self._block = block_rows(n_clusters, X.shape[1])
        self._every = max(1, len(X) // _SAMPLE)
        self._n_sampled = len(range(0, len(X), self._every))
        self.labels = np.full(len(X), -1, np.int32)
        self.turn_to(X, workers)
        self._targets: Any = None
        self.origin = origin_of(self._x).astype(X.dtype)
        self._prepare()
        if X.dtype == np.float32 and not SHORTEST < self.norms.max() < LONGEST:
            self._widen()

    @property
    def row_bounds(self):
        return (self._upper, self._lower) if self._bounded else None

    @property
    def stored_bounds(self):
        return None if self._bounds is None else self._bounds.record

    def turn_to(self, X: np.ndarray, workers: Workers) -> None:
        """Read the rows from here on, which are the same; see `let_go`."""
        self._x, self._workers = frozen(X), workers  # one compiled version serves all arrays

    def let_go(self) -> None:
        """Hold the rows no longer, nor scratch memory, until `turn_to`."""
        self._x = self._workers = self._targets = None  # type: ignore[assignment]

    def _prepare(self):
        """Compute the norms of the rows about the origin, and make room for bounds."""
        n, d = self._x.shape
        k, kind = self.n_clusters, self.origin.dtype
        self._shifted = kind != self._x.dtype or bool(self.origin.any())
        self.norms = np.empty(n)
        self._workers.map_rows(
            lambda lo, hi: dense.row_norms(self._x, self.origin, lo, hi, self.norms), n, self._block
        )
        self.centers = np.zeros((k, d))
        self._policy = Policy(k, d, self._algorithm)
        budget, sketch = self._room_for_bounds, bytes_of(n, d)
        narrow = k > 1 and d <= MOST_SKETCHED
        self._may_screen = narrow and sketch <= budget and self._policy.screens()
        self._screen: Screen | None = None
        budget -= sketch if self._may_screen else 0
        most = stored.most_center_groups(n, k, kind, budget) if k > 1 else 0
        self._upper, self._lower = known = np.empty((2, n), kind)
        self._room = stored.StoredBounds(k, most, *known) if most else None
        self._bounds: Any = None  # `_room` while it holds the bounds of the present centres
        self._bounded = False  # whether `_upper` and `_lower` hold
        self._n_screened = 0  # passes in a row

    def _widen(self):
        """Compute in float64 from now on."""
        self.origin = self.origin.astype(np.float64)
        self._prepare()

    def assign(self, centers: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Set ``labels`` to the nearest centres.

        Parameters
        ----------
        centers : ndarray of shape (n_clusters, n_features), float64, C-contiguous
        labels : ndarray of shape (n_samples,), int32, optional
            The nearest centres where they are known: they spare the pass.
        """
        with single_threaded_blas():
            self._label(centers, labels)

    def forget(self, rows: np.ndarray, before: np.ndarray) -> None:
        """Follow rows that were given other labels, whose bounds say nothing now.

        `before` are the labels of these rows until then.
        """
        if self._bounds is not None:
            self._bounds.forget(rows, before)
        self._forget(rows)

    def _label(self, centers, labels):
        self._place(centers)
        if self.origin.dtype == np.float32 and self._targets.top > LONGEST:
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
        """Set `centers` (float64, less the origin) and `_targets`."""
        before = self.centers
        self.centers = np.empty_like(centers)
        self._targets = targets.targets_of(centers, self.origin, before, self.centers)

    def _worth_pruning(self, bounds):
        """Whether pruning costs less than a dense pass, by what it would meet in some rows."""
        counts = pruning.count_survivors(
            *(self._x, self.origin, self._every, self._targets, self._targets.moved.max()),
            *(self.norms, bounds.record, self.labels),
        )
        active, passed = np.array(counts) / self._n_sampled
        return self._policy.prunes(active, passed * bounds.largest_center_group)

    def _prune(self, bounds):
        self._n_screened = 0
        furthest = self._targets.moved.max()

        def pruned(lo, hi):
            pruning.prune_rows(
                *(self._x, self.origin, lo, hi, self._targets, furthest, self.norms),
                *(bounds, self.labels),
            )

        self._workers.map_rows(pruned, len(self._x), _PRUNED)

    def _screened(self):
        """Make a screened pass and return True; or False, and no pass, where it does not pay."""
        if not (self._may_screen and self._policy.screens()):
            return False
        if self._screen is None:
            self._screen = Screen(self._x, self.origin, self.norms, self._workers)
        given = self._x, self._workers, self._targets, self._upper, self._lower, self.labels
        if not self._bounded:
            self._forget(slice(None))
        untried = self._n_screened < _UNTRIED
        if untried and not self._policy.sampled(self._screen.sample(*given)):
            return False
        self._policy.screened(self._screen.assign(*given))
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
            bounds.restart(self.norms, self._targets.squares.astype(np.float64))

        def block(lo, hi):
            scores = self._buffer("scores", self.n_clusters)[: hi - lo]
            np.matmul(self._rows(lo, hi), product, out=scores)
            known = self.norms[lo:hi], self.labels[lo:hi]
            if bounds is None:
                return dense.nearest_rows(self._x[lo:hi], scores, self._targets, *known)
            return dense.nearest_rows_bounds(
                self._x[lo:hi], scores, self._targets, lo, *known, bounds.record
            )

        n_exact = sum(self._workers.map_rows(block, len(self._x), self._block))
        pairs = len(self._x) * self.n_clusters
        if self.origin.dtype == np.float32 and n_exact > max(_MOST_OPEN * pairs, 4 * len(self._x)):
            self._widen()
            self._place(self._targets.exact)

    def _rows(self, lo, hi):
        """Rows less the origin; a view where it is zero."""
        if not self._shifted:
            return self._x[lo:hi]
        out = self._buffer("rows", self._x.shape[1])[: hi - lo]
        dense.center_rows(self._x, self.origin, lo, hi, out)
        return out

    def _buffer(self, name, columns):
        """Return this thread's scratch block."""
        return self._workers.scratch(name, (self._block, columns), self.origin.dtype)

    def _forget(self, rows):
        """Make the two bounds of some rows say nothing."""
        self._upper[rows] = np.finfo(self.origin.dtype).max / 4
        self._lower[rows] = 0
