"""The engine of k-means of many features: labels by passes, means from sums kept up to date."""

import numpy as np

from kmgpu.backend.blocks import kept_bytes
from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.highdim.passes import Passes, block_rows
from kmgpu.kernels.cpu.highdim.sums import ClusterSums
from kmgpu.kernels.cpu.lowlevel.relocation import Relocations
from kmgpu.kernels.cpu.lowlevel.rows import weight_of

_BYTES_A_ROW = 40  # labels twice, norms, row numbers, changes


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
        See `Passes`.
    n_threads : int or None
        None takes the number of usable CPUs. Results do not depend on it.

    Attributes
    ----------
    passes : Passes
    labels : ndarray of int32, shape (n_samples,)
    """

    def __init__(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
        n_clusters: int,
        *,
        memory_budget: int | None = None,
        algorithm: str = "auto",
        n_threads: int | None = None,
    ) -> None:
        workers = Workers(n_threads)
        room = kept_bytes(X.nbytes, memory_budget) - _BYTES_A_ROW * len(X)
        self.passes = passes = Passes(X, n_clusters, room, workers, algorithm)
        self._sums = ClusterSums(
            *(X, passes.origin, passes.norms, sample_weight, n_clusters),
            *(block_rows(n_clusters, X.shape[1]), workers),
        )
        self._relocations = Relocations(weight_of(sample_weight))

    @property
    def labels(self) -> np.ndarray:
        return self.passes.labels

    def assign(self, centers: np.ndarray, labels: np.ndarray | None = None) -> tuple[float, int]:
        """Label every row with its nearest centre; return the loss and how many rows changed.

        `labels`, if given, are the nearest centres, and spare the pass.
        """
        before = self.labels.copy()
        self.passes.assign(np.ascontiguousarray(centers, np.float64), labels)
        changed = np.flatnonzero(self.labels != before)
        self._sums.update(changed, before, self.labels)
        n_changed = self._sums.count_positive(changed) + self._relocations.correction(self.labels)
        return self._sums.loss(self.passes.centers, self.labels), n_changed

    def refit(self) -> tuple[np.ndarray, float]:
        """Return the means of the labelled rows (float64) and the loss there."""
        centers, loss = self._sums.refit(self.passes.centers, self.labels)
        return self._sums.placed(centers, self.labels), loss

    def move(self, rows: np.ndarray, clusters: np.ndarray) -> None:
        """Relabel a few rows, as the relocation of empty clusters does."""
        before = self.labels.copy()
        self.labels[rows] = clusters
        rows = np.flatnonzero(self.labels != before)
        self.passes.forget(rows, before[rows])
        self._sums.update(rows, before, self.labels)
        for row in rows.tolist():
            self._relocations.note(row, int(before[row]), int(self.labels[row]))

    def costs(self) -> np.ndarray:
        """Return every row's squared distance to its centre of the last assignment."""
        return self._sums.costs(self.passes.centers, self.labels)

    @property
    def sizes(self) -> np.ndarray:
        """Rows of positive weight in each cluster, int64, shape (n_clusters,)."""
        return self._sums.sizes
