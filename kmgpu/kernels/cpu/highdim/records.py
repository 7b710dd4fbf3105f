"""What compiled functions take together: the centres of an iteration, bounds."""

from typing import NamedTuple

import numpy as np


class Targets(NamedTuple):
    """The centres to be assigned to, less the reference, in the dtype of the computation.

    Attributes
    ----------
    centers : ndarray of shape (n_clusters, n_features)
    squares : ndarray of shape (n_clusters,)
        Their squared lengths, summed in float64.
    top : float
        The largest length.
    moved : ndarray of shape (n_clusters,)
        How far each is from where it was in the iteration before, rounded up.
    slack : floating scalar of the dtype of `centers`
        (n_features + 8) unit roundoffs.
    """

    centers: np.ndarray
    squares: np.ndarray
    top: float
    moved: np.ndarray
    slack: np.floating


class Bounds(NamedTuple):
    """Bounds on the distances of all rows; see `bounds`.

    Attributes
    ----------
    steps : ndarray of shape (n_samples, columns), uint16
        Lower bounds with the paths of the centres then, in steps of the row, rounded down.
    kinds : ndarray of shape (n_samples,), uint8
        Which of `strides` and `paths` is the row's.
    strides : ndarray of shape (n_kinds,), dtype of the computation
        Lengths of a step: powers of two.
    paths : ndarray of shape (n_kinds, columns), uint16
        How far every centre has travelled, in steps, rounded up.
    path_down : ndarray of shape (n_clusters,), dtype of the computation
        The same as a length, rounded down.
    upper, lower : ndarrays of shape (n_samples,), dtype of the computation
        Bounds on the distance to the row's own centre, and to the nearest other one.
    """

    steps: np.ndarray
    kinds: np.ndarray
    strides: np.ndarray
    paths: np.ndarray
    path_down: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
