"""What compiled functions take together: the centres of an iteration, bounds."""

from typing import NamedTuple

import numpy as np


class Targets(NamedTuple):
    """The centres to be assigned to.

    Attributes
    ----------
    exact : ndarray of shape (n_clusters, n_features), float64
        As they are; what decides where the others round too much.
    centers : ndarray of shape (n_clusters, n_features)
        Less the reference, in the dtype of the computation.
    squares : ndarray of shape (n_clusters,)
        Their squared lengths, summed in float64.
    low_squares : ndarray of shape (n_clusters,)
        The same, less what a score may err by at this centre; see `dense.nearest_rows`.
    top : float
        The largest length.
    moved : ndarray of shape (n_clusters,)
        How far each is from where it was in the iteration before, rounded up.
    slack : floating scalar of the dtype of `centers`
        (n_features + 16) unit roundoffs.
    least : the same
        What squares that underflow may take off a distance.
    longest : float
        Of longer rows no product is formed: it might overflow. 0 where one with a centre might.
    """

    exact: np.ndarray
    centers: np.ndarray
    squares: np.ndarray
    low_squares: np.ndarray
    top: float
    moved: np.ndarray
    slack: np.floating
    least: np.floating
    longest: float


class Bounds(NamedTuple):
    """Bounds on the distances of all rows; see `stored`.

    A column is a group of centres, mostly of one: centre j is in group ``j % n_groups``.

    Attributes
    ----------
    n_groups : int
    steps : ndarray of shape (n_samples, columns), uint16
        Lower bounds of the distances to the nearest centre of every group, the row's own left out,
        with the paths of the groups then; in steps of the row, rounded down.
    kinds : ndarray of shape (n_samples,), uint8
        Which of `strides` and `paths` is the row's.
    strides : ndarray of shape (n_kinds,), dtype of the computation
        Lengths of a step: powers of two.
    paths : ndarray of shape (n_kinds, columns), uint16
        How far the centres of every group have travelled, in steps, rounded up.
    path_down : ndarray of shape (n_groups,), dtype of the computation
        The same as a length, rounded down.
    upper, lower : ndarrays of shape (n_samples,), dtype of the computation
        Bounds on the distance to the row's own centre, and to the nearest other one.
    """

    n_groups: int
    steps: np.ndarray
    kinds: np.ndarray
    strides: np.ndarray
    paths: np.ndarray
    path_down: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
