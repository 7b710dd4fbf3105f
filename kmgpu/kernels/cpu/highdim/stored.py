"""Bounds of all rows at all centres, in 16 bits each, and how they age as centres move.

A bound is stored once, as a distance plus the path that its centre has travelled until then. It is
compared less the present path, so an iteration reads bounds but rewrites few of them.
"""

from typing import NamedTuple

import numpy as np

from kmgpu.kernels.cpu.highdim.scan import FULL
from kmgpu.kernels.cpu.lowlevel.intrinsics import BITS

_MOST_KINDS = 16  # of strides
_ROOM = 1.5  # the largest bound, in lengths of the row and of a mean centre


class Bounds(NamedTuple):
    """Bounds on the distances of all rows, as compiled functions take them.

    A column belongs to a centre group, mostly of one centre: centre j is in group
    ``j % n_center_groups``. The number of columns is rounded up to a multiple of 64.

    Attributes
    ----------
    n_center_groups : int
    levels : ndarray of shape (n_samples, columns), uint16
        Level of a bound: a lower bound of the distances to the centres of a group, the row's own
        centre left out, plus the path of the group until then, in strides of the row, rounded down.
    kinds : ndarray of shape (n_samples,), uint8
        Index of the row's stride in `strides` and `paths`.
    strides : ndarray of shape (n_kinds,), dtype of the computation
        Lengths of one level: powers of two.
    paths : ndarray of shape (n_kinds, columns), uint16
        How far the centres of every group have travelled, in levels of each stride, rounded up.
    path_down : ndarray of shape (n_center_groups,), dtype of the computation
        How far they have travelled, as a length, rounded down.
    upper, lower : ndarrays of shape (n_samples,), dtype of the computation
        Bounds on the distance to the row's own centre, and to the nearest other one.
    """

    n_center_groups: int
    levels: np.ndarray
    kinds: np.ndarray
    strides: np.ndarray
    paths: np.ndarray
    path_down: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


def most_center_groups(n: int, n_clusters: int, kind: np.dtype, budget: int) -> int:
    """Return for how many centre groups bounds fit in `budget` bytes; 0: for none."""
    columns = (budget // n - 1 - 2 * kind.itemsize) // 2
    return max(0, min(n_clusters, columns // BITS * BITS))


def _columns(n_center_groups: int) -> int:
    return -(-n_center_groups // BITS) * BITS


class StoredBounds:
    """Bounds as levels of 16 bits (Elkan, ICML 2003), the stride of a level a power of two.

    Rows of similar length share a stride, so an iteration turns the paths of the centres into
    levels once for all of them. Where bounds for every centre take too much memory, centre groups
    share one (Yinyang: Ding et al., ICML 2015).

    Parameters
    ----------
    n_clusters, n_center_groups : int
    upper, lower : ndarrays of shape (n,), dtype of the computation
        See `Bounds`.
    """

    def __init__(
        self, n_clusters: int, n_center_groups: int, upper: np.ndarray, lower: np.ndarray
    ) -> None:
        self._kind = kind = upper.dtype
        n = len(upper)
        self._path = np.zeros(n_center_groups)
        self.largest_center_group = -(-n_clusters // n_center_groups)
        levels = np.empty((n, _columns(n_center_groups)), np.uint16)
        none = np.zeros(0, kind)
        self.record = Bounds(
            n_center_groups=n_center_groups,
            levels=levels,
            kinds=np.zeros(n, np.uint8),
            strides=none,
            paths=np.zeros((0, levels.shape[1]), np.uint16),
            path_down=none,
            upper=upper,
            lower=lower,
        )

    def restart(self, norms: np.ndarray, squares: np.ndarray) -> None:
        """Choose strides for new bounds and set all paths to zero.

        `norms` are the lengths of the rows, `squares` the squared lengths of the centres. Where
        strides would span more than 16 powers of two, the shortest rows get a longer one.
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
        n_center_groups = len(self._path)
        furthest = np.zeros(self.largest_center_group * n_center_groups)
        furthest[: len(moved)] = moved
        self._path += furthest.reshape(self.largest_center_group, n_center_groups).max(axis=0)
        self._age()

    def _age(self) -> None:
        rounding = 4 * float(np.finfo(self._kind).eps)
        paths = np.zeros((len(self._strides), self.record.levels.shape[1]), np.uint16)
        with np.errstate(over="ignore"):  # further than any bound reaches
            levels = np.ceil(self._path * (1 + rounding) / self._strides[:, None])
        paths[:, : len(self._path)] = np.minimum(levels, FULL)
        self.record = self.record._replace(
            strides=self._strides.astype(self._kind),
            paths=paths,
            path_down=(self._path * (1 - rounding)).astype(self._kind),
        )

    def forget(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Make the bounds of `rows` to the clusters `labels`, which they leave, say nothing."""
        self.record.levels[rows, labels % self.record.n_center_groups] = 0
