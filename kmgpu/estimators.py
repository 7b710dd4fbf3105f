"""KMeans, KMedians and SphericalKMeans: one estimator, three losses."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import indent
from typing import Any, TypeVar

from kmgpu.algorithm.losses import COSINE, L1, L2
from kmgpu.base import AlternatingMinimizer
from kmgpu.batches import MiniBatches

E = TypeVar("E", bound=type[AlternatingMinimizer])
# of all estimators; what differs is filled in
PARAMETERS = """\
Parameters
----------
n_clusters : int, default=8
init : {{"k-means++", "k-means||", "greedy", "random"}}, array of shape \
        (n_clusters, n_features), or callable, default="k-means++"
    "k-means++": greedy k-means++ with 2 + ⌊ln k⌋ trials, drawing by weight × {cost}; where
    `X` is read by blocks, "k-means||". "k-means||": that among some 10 × n_clusters rows,
    which 5 rounds of such draws have chosen; 7 passes over `X`, whatever n_clusters is. "greedy":
    greedy k-means++ even by blocks, in 2 passes for each centre. "random": distinct rows drawn by
    weight. Or given centres, or ``init(X, n_clusters, random_state=…)``.
n_init : "auto" or int, default="auto"
    Restarts, of which the one of lowest loss is kept. "auto": 10 for "random" and a
    callable, 1 otherwise.
max_iter : int, default=300
    Iterations (an assignment and a refitting step) of one restart.
tol : float, default=1e-4
    {tol}
verbose : int, default=0
    Print the loss of every iteration.
random_state : None, int, numpy.random.Generator or RandomState, default=None
    The same seed draws the same rows on every backend.
copy_x : bool, default=True
    Accepted for scikit-learn's sake: `X` is never written to.
algorithm : {{"lloyd", "auto", "dense", "elkan"}}, default="lloyd"
    All give the answer of Lloyd's algorithm. Kernels on a CPU keep bounds on distances where
    that pays ("lloyd", "auto"), never ("dense") or whenever they fit the memory ("elkan");
    elsewhere all distances are computed.
empty_cluster : {{"farthest", "keep", "error"}}, default="farthest"
    An empty cluster takes the row of largest weight × cost, keeps its centre, or raises.
device : {{None, "cpu", "cuda", "cuda:N", "auto"}}, default=None
    Where to compute: where `X` is; on the CPU; on a GPU; or, for "auto", on the fastest usable GPU
    if the work fits there and is enough for it to be faster, else on the CPU, where a fit also goes
    on if the GPU's memory runs out. Results come back to where `X` is.
memory_budget : int, optional
    Bytes for the temporary arrays of one block of rows: by default what a CPU's cache holds
    or a share of a GPU's free memory, halved where that is still too much. Also bytes for what
    kernels on a CPU keep of rows: by default the size of `X` or 256 MB, whichever is larger,
    but at most half of the memory that is free. On a CPU, rows that are neither float32 nor
    float64 in C order are copied once where that takes at most half of the budget (by default
    half of the memory that is free), else converted block by block.
progress : bool, default=False
    Show a progress bar.
max_samples : int or float, optional
    Fit so many rows, or this share of them, drawn without replacement among those of positive
    weight; labels, loss and counts are of all rows. By default all rows are fitted.
checkpoint : str or path-like, optional
    A file that keeps the state of a fit: written as a whole every 10 iterations (a few more where
    clusters were empty) and between restarts, read by a fit that finds it, removed when a fit
    ends. A fit that was killed goes on from there and ends in the same bits as one with a
    checkpoint that was not. The data, the parameters and the version of kmgpu must be the same,
    which is checked, though of an array's rows only 256; give
    `random_state` with `max_samples`.
callback : callable, optional
    Called with the `HistoryEntry` of every half-step of `fit`, right after it; a true result ends
    the fit there, restarts included. Attributes are then those of the best restart so far. Of the
    restart that was ended, these are the centres after that half-step with their own labels and
    loss, which take one more assignment, the last entry. An error that it raises leaves the
    estimator as it was, and the file of a checkpoint where it is. Pickles hold the callable;
    `save_model` leaves it out.

Attributes
----------
cluster_centers_ : array of shape (n_clusters, n_features)
    Of the floating dtype of `X` (float32 for float16, float64 for integers).
labels_ : array of shape (n_samples,), int32
    Nearest centre of every row; ties go to the lowest index.
inertia_ : float
    {inertia}
n_iter_ : int
converged_ : bool
    Whether the loop stopped by itself: before `max_iter`, and not by `callback`.
history_ : tuple of HistoryEntry
    ``(kind, iteration, loss, shift, n_changed, n_relocated)`` of every half-step.
n_relocated_ : int
    How often an empty cluster was given a row.
counts_ : array of shape (n_clusters,), float64
    Weight of each cluster's rows{counts}.
device_ : str
    Where the fit was computed: "cpu" or "cuda:N".
n_features_in_ : int
feature_names_in_ : array of shape (n_features,)
    Only where `X` was a frame with string column names.
"""


def documented(**differences: str) -> Callable[[E], E]:
    """Put `PARAMETERS`, with these differences, where a docstring says ``{parameters}``."""

    def fill(estimator: E) -> E:
        if estimator.__doc__:  # Python may have been told to drop docstrings
            text = indent(PARAMETERS.format(**differences), "    ").strip()
            estimator.__doc__ = estimator.__doc__.replace("{parameters}", text)
        return estimator

    return fill


@documented(
    cost="distance²",
    tol="""Stop when Σⱼ‖Δµⱼ‖₂² is at most `tol` × the mean variance of the features; 0
    iterates until no label changes.""",
    inertia="The loss, Σ weight × ‖x - µ‖₂², in squared units of the data; accumulated in float64.",
    counts="""; after `partial_fit`, of all rows that its centre has been given.
n_steps_ : int
    Batches that `partial_fit` was given; only after it. `n_iter_`, `converged_`, `history_` and
    `n_relocated_` are there only after `fit`""",
)
class KMeans(MiniBatches):
    """k-means: a cluster's centre is the mean of its points, the loss is squared distance.

    {parameters}

    Notes
    -----
    On a GPU, float32 matrix products are computed as CuPy or PyTorch has been told to. Where TF32
    is on (``CUPY_TF32=1``; ``torch.set_float32_matmul_precision("high")``), the product that ranks
    the centres keeps 11 bits of each factor instead of 24. Kernels rank again what that leaves
    open, so it costs time there. Without kernels (PyTorch where there is no CuPy,
    ``kmgpu.kernels.use("reference")``) it costs labels: of two centres whose squared distances to
    a row differ by less than about 2⁻¹⁰ × ‖x - r‖ ‖µ - r‖, where r is the median of the centres,
    either may be taken, and the loss may rise by as much. The loss that is reported is exact for
    the labels that are.

    References
    ----------
    S. P. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28(2), 1982.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import KMeans
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> KMeans(n_clusters=2, init=X[[0, 3]]).fit(X).cluster_centers_
    array([[ 1.,  2.],
           [10.,  2.]])
    """

    loss = L2


@documented(
    cost="distance",
    tol="""Stop when Σⱼ‖Δµⱼ‖₁ is at most `tol` × the mean, over features, of the mean
    absolute deviation from the mean; 0 iterates until no label changes.""",
    inertia="The loss, Σ weight × ‖x - µ‖₁, in units of the data; accumulated in float64.",
    counts="",
)
class KMedians(AlternatingMinimizer):
    """k-medians: a cluster's centre is its coordinatewise median, the loss is L1 distance.

    {parameters}

    Notes
    -----
    The median of an even count, and wherever half the weight lies on either side, is the
    midpoint of the minimising interval.

    References
    ----------
    P. S. Bradley, O. L. Mangasarian, W. N. Street, "Clustering via concave minimization",
    NIPS 9, 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import KMedians
    >>> X = np.array([[1.0], [2], [3], [50], [51], [1000]])
    >>> KMedians(n_clusters=2, init=X[[0, 3]]).fit(X).cluster_centers_
    array([[ 2.],
           [51.]])
    """

    loss = L1

    @property
    def partial_fit(self) -> Any:
        """Not there, and the error says what to do: a median is no running mean."""
        msg = (
            "KMedians has no partial_fit: no median of rows that are gone can be kept up to date. "
            "Where new rows come, fit all of them from the old centres, KMedians(n_clusters, "
            "init=old.cluster_centers_).fit(X); where X is larger than memory, give fit a "
            "numpy.memmap or kmgpu.RowBlocks, which it reads by blocks."
        )
        raise AttributeError(msg)

    @property
    def to_sklearn(self) -> Any:
        """Not there, and the error says what to do: scikit-learn has no k-medians."""
        msg = (
            "KMedians has no to_sklearn: scikit-learn has no clustering by L1 distances. For "
            "labels alone, sklearn.neighbors.KNeighborsClassifier(1, metric='manhattan')"
            ".fit(model.cluster_centers_, range(model.n_clusters)) predicts the nearest centre; "
            "kmgpu.save_model keeps the whole model without pickle."
        )
        raise AttributeError(msg)


@documented(
    cost="(1 - cos)",
    tol="""Stop when Σⱼ‖Δµⱼ‖₂² is at most `tol` × the mean variance of the features of the rows
    divided by their lengths; 0 iterates until no label changes.""",
    inertia="The loss, Σ weight × (1 - cos(x, µ)); accumulated in float64.",
    counts="",
)
class SphericalKMeans(AlternatingMinimizer):
    """Spherical k-means: clusters of directions, for cosine similarity; the loss is 1 - cos.

    Every row is divided by its length; a cluster's centre is the direction of the mean of such
    rows, of length 1. `transform` reports 1 - cos, from 0 to 2, and `score` minus the loss.

    {parameters}

    Notes
    -----
    Between rows and centres of length 1, 1 - cos(x, µ) is ‖x - µ‖₂² / 2, so the loop and kernels
    are those of k-means, and a label is the nearest centre of the row that was divided by its
    length, in the floating dtype of `X`. Costs are computed from the differences
    of these, so they are exact for directions that are close together, too.

    The rows of length 1 are a copy of `X` in float32 or float64, which `memory_budget` does not
    count; rows that are read by blocks are divided in every pass and not kept. A row of zeros has
    no direction and raises ValueError. A cluster whose rows cancel keeps its centre. Given initial
    centres are divided by their lengths. A picture's black has no direction either: colours are
    better clustered by `KMeans`.

    References
    ----------
    I. S. Dhillon, D. S. Modha, "Concept decompositions for large sparse text data using
    clustering", Machine Learning 42, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import SphericalKMeans
    >>> X = np.array([[3.0, 0], [9, 0], [0, 2], [0, 5]])
    >>> model = SphericalKMeans(n_clusters=2, init=X[[0, 2]]).fit(X)
    >>> model.cluster_centers_, model.labels_
    (array([[1., 0.],
           [0., 1.]]), array([0, 0, 1, 1], dtype=int32))
    """

    loss = COSINE

    @property
    def partial_fit(self) -> Any:
        """Not there, and the error says what to do."""
        msg = (
            "SphericalKMeans has no partial_fit. Where new rows come, fit all of them from the old "
            "centres, SphericalKMeans(n_clusters, init=old.cluster_centers_).fit(X); where X is "
            "larger than memory, give fit a numpy.memmap or kmgpu.RowBlocks."
        )
        raise AttributeError(msg)


ESTIMATORS: dict[str, type[AlternatingMinimizer]] = {
    cls.loss.name: cls for cls in (KMeans, KMedians, SphericalKMeans)
}
