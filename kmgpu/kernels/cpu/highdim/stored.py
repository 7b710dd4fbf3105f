"""Where the bounds of all rows are kept, and how they age as centres move."""

import numpy as np

from kmgpu.kernels.cpu.highdim.records import Bounds
from kmgpu.kernels.cpu.highdim.scan import FULL
from kmgpu.kernels.cpu.lowlevel.intrinsics import WORD

_MOST_KINDS = 16
_ROOM = 1.5  # what a bound can hold, at least, in lengths of the row and of a mean centre


def most_groups(n: int, n_clusters: int, kind: np.dtype, budget: int) -> int:
    """Return how many groups of centres can have bounds within `budget` bytes, none where 0."""
    columns = (budget // n - 1 - 2 * kind.itemsize) // 2
    return max(0, min(n_clusters, columns // WORD * WORD))


def _columns(n_groups: int) -> int:
    return -(-n_groups // WORD) * WORD


class StoredBounds:
    """Bounds in 16-bit steps, a power of two long: rows of like size have steps of one length.

    A length that most rows share lets every iteration turn the paths of the centres into steps
    once for all of them. Where bounds for every centre take too much memory, groups of centres
    share one (Yinyang: Ding et al., ICML 2015).

    Parameters
    ----------
    n_clusters, n_groups : int
    upper, lower : ndarrays of shape (n,), dtype of the computation
        See `Bounds`.
    """

    def __init__(
        self, n_clusters: int, n_groups: int, upper: np.ndarray, lower: np.ndarray
    ) -> None:
        self._kind = kind = upper.dtype
        n = len(upper)
        self._path = np.zeros(n_groups)
        self.largest_group = -(-n_clusters // n_groups)
        steps = np.empty((n, _columns(n_groups)), np.uint16)
        none = np.zeros(0, kind)
        self.record = Bounds(
            n_groups=n_groups,
            steps=steps,
            kinds=np.zeros(n, np.uint8),
            strides=none,
            paths=np.zeros((0, steps.shape[1]), np.uint16),
            path_down=none,
            upper=upper,
            lower=lower,
        )

    def restart(self, norms: np.ndarray, squares: np.ndarray) -> None:
        """Choose steps for new bounds of rows of length `norms` to centres of lengths² `squares`.

        The greatest of them decide where they span more than 16 powers of two.
        """
        reach = _ROOM * (norms + np.sqrt(squares.mean())) + np.finfo(self._kind).tiny * FULL
        exponents = np.frexp(reach / FULL)[1]
        first = max(int(exponents.min()), int(exponents.max()) - _MOST_KINDS + 1)
        np.maximum(exponents - first, 0, out=self.record.kinds, casting="unsafe")
        count = int(exponents.max()) - first + 1
        self._path[:] = 0
        self._strides = np.ldexp(1.0, first + np.arange(count))
        self._age()

    def travel(self, moved: np.ndarray) -> None:
        """Add the movement of the centres, rounded up, to their paths."""
        n_groups = len(self._path)
        furthest = np.zeros(self.largest_group * n_groups)
        furthest[: len(moved)] = moved
        self._path += furthest.reshape(self.largest_group, n_groups).max(axis=0)
        self._age()

    def _age(self) -> None:
        rounding = 4 * float(np.finfo(self._kind).eps)
        paths = np.zeros((len(self._strides), self.record.steps.shape[1]), np.uint16)
        with np.errstate(over="ignore"):  # further than any bound reaches
            steps = np.ceil(self._path * (1 + rounding) / self._strides[:, None])
        paths[:, : len(self._path)] = np.minimum(steps, FULL)
        self.record = self.record._replace(
            strides=self._strides.astype(self._kind),
            paths=paths,
            path_down=(self._path * (1 - rounding)).astype(self._kind),
        )

    def forget(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Let nothing be known of the distances of `rows`, which leave the clusters `labels`."""
        self.record.steps[rows, labels % self.record.n_groups] = 0
