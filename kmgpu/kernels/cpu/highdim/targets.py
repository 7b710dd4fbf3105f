"""The centres about the origin of products, as compiled functions need them."""

from typing import NamedTuple

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import frozen

FAST = {"contract", "reassoc", "nsz", "nnan"}  # values are finite: the engine checks the norms


class Targets(NamedTuple):
    """The centres to be assigned to.

    Attributes
    ----------
    exact : ndarray of shape (n_clusters, n_features), float64
        The centres themselves; they decide where the rounded ones leave a label open.
    centers : ndarray of shape (n_clusters, n_features)
        Less the origin of products, in the dtype of the computation.
    squares : ndarray of shape (n_clusters,)
        Squared lengths of `centers`, summed in float64.
    low_squares : ndarray of shape (n_clusters,)
        `squares` less the error of a score that grows with the centre; see `dense._limit`.
    top : float
        Length of the longest centre.
    moved : ndarray of shape (n_clusters,)
        How far every centre is from where it was in the iteration before, rounded up.
    roundoff : floating scalar of the dtype of `centers`
        (n_features + 16) unit roundoffs.
    least : floating scalar of the same dtype
        What squares that underflow may take off a distance.
    longest : float
        Scores of longer rows are not used: they might overflow. 0 if a centre is that long.
    """

    exact: np.ndarray
    centers: np.ndarray
    squares: np.ndarray
    low_squares: np.ndarray
    top: float
    moved: np.ndarray
    roundoff: np.floating
    least: np.floating
    longest: float


@njit(fastmath=False)
def apart(x, origin, center):
    """``(x - origin) - center``, rounded twice.

    With flags that allow reordering, LLVM would add the origin to the centre, and the origin would
    be of no use.
    """
    return (x - origin) - center


@njit(nogil=True, cache=True, fastmath=FAST)
def place_centers(centers, ref, before, shifted, rounded, squares, moved):
    """Write the centres about the origin `ref`, their squared lengths, and how far they have moved.

    Parameters
    ----------
    centers : ndarray of shape (n_clusters, n_features), float64
    ref : ndarray of shape (n_features,), float32 or float64
    before : ndarray of shape (n_clusters, n_features), float64
        The centres of the iteration before, less the origin.
    shifted : ndarray of shape (n_clusters, n_features), float64, written
        The centres less the origin. With no rows, as where no iteration follows, neither `shifted`
        nor `before` is used.
    rounded : ndarray of shape (n_clusters, n_features), dtype of `ref`, written
    squares : ndarray of shape (n_clusters,), float64, written
        Squared lengths of the rounded centres.
    moved : ndarray of shape (n_clusters,), float64, written
    """
    kind, follows = ref.dtype.type, shifted.shape[0] > 0
    for j in range(centers.shape[0]):
        square = 0.0
        step = 0.0
        for p in range(centers.shape[1]):
            value = centers[j, p] - np.float64(ref[p])
            near = kind(value)
            rounded[j, p] = near
            square += np.float64(near) * np.float64(near)
            if follows:
                difference = apart(centers[j, p], np.float64(ref[p]), before[j, p])
                shifted[j, p] = value
                step += difference * difference
        squares[j] = square
        moved[j] = np.sqrt(step)


def targets_of(
    centers: np.ndarray, ref: np.ndarray, before: np.ndarray, shifted: np.ndarray
) -> Targets:
    """The record of some centres; parameters as in `place_centers`."""
    kind = ref.dtype
    rounded = np.empty(centers.shape, kind)
    squares, moved = np.empty(len(centers)), np.empty(len(centers))
    with np.errstate(over="ignore"):  # the engine widens to float64 then
        place_centers(centers, ref, before, shifted, rounded, squares, moved)
        info, top = np.finfo(kind), float(np.sqrt(squares.max()))
        roundoff = kind.type((centers.shape[1] + 16) * info.eps / 2)
        longest = float(np.sqrt(info.max)) / 8
        return Targets(
            exact=frozen(centers),
            centers=rounded,
            squares=squares.astype(kind),
            low_squares=(squares * (1 - 2.5 * float(roundoff))).astype(kind),
            top=top,
            moved=moved.astype(kind) * (1 + roundoff),
            roundoff=roundoff,
            least=kind.type(4 * np.sqrt(centers.shape[1] * float(info.tiny))),
            longest=longest if top < longest else 0.0,
        )


def product_of(targets: Targets) -> np.ndarray:
    """The matrix by which rows are multiplied, (n_features, n_clusters): ``-2 x·c`` comes out."""
    return np.ascontiguousarray((-2 * targets.centers).T)
