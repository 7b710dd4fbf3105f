"""The losses: what a point costs at a centre, and where a cluster's centre belongs.

A loss is a frozen record, so the loop, the seeding and the estimators never ask which one it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from kmgpu.algorithm.refit import means, medians
from kmgpu.backend.arrays import Array, namespace


@dataclass(frozen=True)
class Loss:
    """One loss of the family: a cost between points and the centre that minimises its sum.

    A cost depends on the difference x - µ alone: data and centres are moved together to where
    arithmetic is most precise. A loss of your own, such as
    ``dataclasses.replace(L2, name="mine", …)``, is taken wherever "l2" and "l1" are. It is computed
    as it says, by its own functions: kernels are for L2 and L1.

    Attributes
    ----------
    name : str
        "l2", "l1", or what pictures and tables shall call a loss of your own.
    scorer : callable
        ``scorer(centers)(x)`` is (n, k): the cost of every row of `x` at every centre, up to a
        constant of each row; (n, d) float32 or float64 in, the same dtype out.
    limit : callable
        ``limit(centers)(x, least)`` is (n, 1), where `least` (n, 1) is each row's smallest
        computed score. A centre whose score is above the limit is certainly not the nearest, even
        if rows and centres were rounded to their dtype.
    pairwise : callable
        ``pairwise(x, centers)`` is (n, k): the costs themselves, added feature after
        feature from the differences x - µ. In float64 they decide labels; kernels round alike.
    cost : callable
        ``cost(differences)`` is (n,): the cost of each row of differences x - µ.
    distance : callable
        The distance that `transform` reports, from a cost.
    refit : callable
        The refitting step: ``refit(x, groups, sample_weight, previous, budget)``, as
        `kmgpu.algorithm.refit.means` and `kmgpu.algorithm.refit.medians`.
    block_columns : callable
        ``block_columns(k, d)``: numbers that one row takes while it is scored.
    squared : bool
        Whether costs are squared Euclidean distances. If so, `scorer` leaves out ‖x‖², and a
        cluster costs weight × cost(µ - mean) more at µ than at its mean. If not, `scorer` leaves
        out nothing.
    units : str
        Of the loss: squared units of the data, or plain ones.
    unit : bool
        Whether rows and centres are of length 1: rows are divided by their lengths before anything
        else (`kmgpu.algorithm.unit.unit_rows`), refitted centres after
        (`kmgpu.algorithm.sphere.OnSphere`).
    factor : float
        The loss that is reported, as a share of the summed costs.
    """

    name: str
    scorer: Callable[[Array], Callable[[Array], Array]]
    limit: Callable[[Array], Callable[[Array, Array], Array]]
    pairwise: Callable[[Array, Array], Array]
    cost: Callable[[Array], Array]
    distance: Callable[[Array], Array]
    refit: Callable[..., Array]
    block_columns: Callable[[int, int], int]
    squared: bool
    units: str
    unit: bool = False
    factor: float = 1.0

    @property
    def known_name(self) -> str | None:
        """The name, for `L2`, `L1` and `COSINE` themselves; None for any other record."""
        return self.name if self is L2 or self is L1 or self is COSINE else None

    @property
    def kernel_name(self) -> str | None:
        """Whose kernels compute the costs, "l2" or "l1"; None for a loss of the user's own."""
        return L2.name if self is COSINE else self.known_name

    def __reduce__(self) -> Any:
        # in another process the known losses are its own, which have kernels
        if self.known_name is not None:
            return get_loss, (self.name,)
        return super().__reduce__()


def _squared_scorer(centers: Array) -> Callable[[Array], Array]:
    """‖x - µ‖² less ‖x‖², as one matrix product: -2 x·µ + ‖µ‖²."""
    xp = namespace(centers)
    doubled = -2 * centers.T
    norms = xp.sum(centers * centers, axis=1)

    def score(x: Array) -> Array:
        scores = xp.matmul(x, doubled)
        scores += norms
        return scores

    return score


def _roundoff(centers: Array) -> tuple[float, float]:
    """(d + 16) unit roundoffs of the dtype of `centers`; what underflow may take off a cost."""
    info = namespace(centers).finfo(centers.dtype)
    d = centers.shape[1]
    return float(info.eps) * (d + 16) / 2, 16 * d * float(info.smallest_normal)


def _squared_limit(centers: Array) -> Callable[[Array, Array], Array]:
    """Rounding. A score errs by at most ``roundoff (|x| + |µ|)²``.

    Of (d + 16) unit roundoffs, d are for the product, the rest for norms and for rows and centres,
    which are rounded. |µ| is at most that of the longest centre; it is also at most |x| plus the
    distance, whose square is the score + |x|².
    """
    xp = namespace(centers)
    roundoff, tiny = _roundoff(centers)
    longest = xp.sqrt(xp.max(xp.sum(centers * centers, axis=1)))

    def limit(x: Array, least: Array) -> Array:
        square = xp.sum(x * x, axis=1)[:, None]
        wide = xp.sqrt(square) + longest
        near = 10 * square + 2 * xp.maximum(least + square, xp.zeros_like(square))
        error = xp.minimum(wide * wide, 2 * near)
        return least + 2.1 * roundoff * error + tiny

    return limit


def _squared_pairwise(x: Array, centers: Array) -> Array:
    features = centers.T
    apart = x[:, :1] - features[0, :]
    costs = apart * apart
    for feature in range(1, x.shape[1]):
        apart = x[:, feature : feature + 1] - features[feature, :]
        costs += apart * apart
    return costs


def _squared_cost(differences: Array) -> Array:
    return namespace(differences).vecdot(differences, differences)


def _absolute_scorer(centers: Array) -> Callable[[Array], Array]:
    """‖x - µ‖₁, feature by feature: the (n, k, d) array never exists."""
    xp = namespace(centers)
    features = centers.T

    def score(x: Array) -> Array:
        scores = xp.abs(x[:, :1] - features[0, :])
        for feature in range(1, x.shape[1]):
            scores += xp.abs(x[:, feature : feature + 1] - features[feature, :])
        return scores

    return score


def _absolute_limit(centers: Array) -> Callable[[Array, Array], Array]:
    """Rounding. A cost errs by at most ``roundoff cost + 2 u |x|``, u the unit roundoff.

    d unit roundoffs for the sum; rounding x and µ changes the cost by ``u (|x| + |µ|)``, and |µ| is
    at most |x| plus the cost.
    """
    xp = namespace(centers)
    roundoff, tiny = _roundoff(centers)
    rounding = 2 * float(xp.finfo(centers.dtype).eps)

    def limit(x: Array, least: Array) -> Array:
        length = xp.sum(xp.abs(x), axis=1)[:, None]
        return (least * (1 + roundoff) + rounding * length + tiny) * (1 + 2 * roundoff)

    return limit


def _absolute_pairwise(x: Array, centers: Array) -> Array:
    return _absolute_scorer(centers)(x)


def _absolute_cost(differences: Array) -> Array:
    xp = namespace(differences)
    return xp.sum(xp.abs(differences), axis=1)


L2 = Loss(
    name="l2",
    scorer=_squared_scorer,
    limit=_squared_limit,
    pairwise=_squared_pairwise,
    cost=_squared_cost,
    distance=lambda costs: namespace(costs).sqrt(costs),
    refit=means,
    block_columns=lambda k, d: max(k, 2 * d) + d,
    squared=True,
    units="squared units of the data",
)
L1 = Loss(
    name="l1",
    scorer=_absolute_scorer,
    limit=_absolute_limit,
    pairwise=_absolute_pairwise,
    cost=_absolute_cost,
    distance=lambda costs: costs,
    refit=medians,
    block_columns=lambda k, d: 2 * max(k, d) + d,
    squared=False,
    units="units of the data",
)
# between unit rows, 1 - cos is half of the squared distance
COSINE = replace(
    L2,
    name="cosine",
    distance=lambda costs: 0.5 * costs,
    units="1 - cos",
    unit=True,
    factor=0.5,
)
LOSSES = {loss.name: loss for loss in (L2, L1, COSINE)}


def get_loss(loss: str | Loss) -> Loss:
    """The loss of that name, "l2", "l1" or "cosine"; a `Loss` is returned as it is."""
    if isinstance(loss, Loss):
        return loss
    if loss not in LOSSES:
        msg = (
            f"loss={loss!r} is not known; use 'l2' (k-means), 'l1' (k-medians) or 'cosine' "
            f"(spherical k-means)."
        )
        raise ValueError(msg)
    return LOSSES[loss]
