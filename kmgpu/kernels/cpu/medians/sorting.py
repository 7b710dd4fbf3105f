"""Sorting rows out by cluster and feature, as `selection` reads them: compiled kernels."""

from kmgpu.kernels.cpu.lowlevel.compiled import njit


@njit(nogil=True, cache=True)
def count_rows(labels, weight, wanted, counts):
    """Count the rows of positive weight of every wanted cluster.

    Parameters
    ----------
    labels : ndarray of shape (n,), int32
    weight : ndarray of shape (n,) or (0,), float64, read-only
    wanted : ndarray of shape (k,), bool
    counts : ndarray of shape (k,), int64, added to
    """
    for i in range(labels.shape[0]):
        j = labels[i]
        counts[j] += wanted[j] and not (weight.shape[0] and weight[i] <= 0)


@njit(nogil=True, cache=True)
def order_rows(labels, weight, wanted, starts, order):
    """List the rows of positive weight cluster after cluster (a stable counting sort).

    Parameters
    ----------
    labels : ndarray of shape (n,), int32
    weight : ndarray of shape (n,) or (0,), float64, read-only
    wanted : ndarray of shape (k,), bool
        Rows of other clusters are left out.
    starts : ndarray of shape (k + 1,), int64
        First place of every cluster in `order`.
    order : ndarray of shape (starts[k],), int32, written
    """
    place = starts[:-1].copy()
    for i in range(labels.shape[0]):
        j = labels[i]
        if wanted[j] and not (weight.shape[0] and weight[i] <= 0):
            order[place[j]] = i
            place[j] += 1


@njit(nogil=True, cache=True)
def sort_out(x, rows, ends, clusters, weight, starts, place, buffer, masses):
    """Copy rows into the layout that ``solve_medians`` reads.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    rows : ndarray of shape (p,), int32
        Rows of x, cluster after cluster.
    ends : ndarray of shape (k + 1,), int64
        Cluster j is ``rows[ends[j] : ends[j + 1]]``.
    clusters : ndarray of shape (c,), int64
        The clusters to copy.
    weight : ndarray of shape (m,) or (0,), float64, read-only
    starts : ndarray of shape (k + 1,), int64
        First row of every cluster in the buffer.
    place : ndarray of shape (k,), int64
        How many rows of each cluster other calls put before these.
    buffer : ndarray of shape (starts[k] * n_features,), dtype of x, written
    masses : ndarray of shape (starts[k],), or (0,) where all weights are one, float64, written
    """
    d = x.shape[1]
    for j in clusters:
        m = starts[j + 1] - starts[j]
        to = place[j] - ends[j]
        first = starts[j] * d + to
        for i in range(ends[j], ends[j + 1]):
            r = rows[i]
            for q in range(d):
                buffer[first + i + q * m] = x[r, q]
            if weight.shape[0]:
                masses[starts[j] + to + i] = weight[r]
