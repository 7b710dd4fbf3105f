"""The weights of rows: checked wherever they are, and freed of a common factor."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from kmgpu.backend.arrays import (
    Array,
    Place,
    adopted,
    asarray,
    is_array,
    is_real,
    namespace,
    place_of,
    to_host,
)
from kmgpu.validation import floats

# with room for sums in another order
MOST_WEIGHT = float(np.finfo(np.float64).max) / 2


class WeightFacts(NamedTuple):
    """What the checks need to know of the weights of some rows.

    Attributes
    ----------
    n_rows : int
    most : float
        The largest weight.
    total : float
    n_most, n_absent : int
        Rows of the largest weight, and of none.
    bad : tuple of int and float, or None
        The first weight that is negative, NaN or infinite: its row, and itself.
    """

    n_rows: int
    most: float
    total: float
    n_most: int
    n_absent: int
    bad: tuple[int, float] | None

    @classmethod
    def of(cls, weight: Array) -> WeightFacts:
        """Five numbers come to the host, wherever the weights are."""
        n, xp = weight.shape[0], namespace(weight)
        if not n:
            return cls(0, 0.0, 0.0, 0, 0, None)
        good = xp.logical_and(xp.isfinite(weight), weight >= 0)
        most = xp.max(weight)
        with np.errstate(over="ignore", invalid="ignore"):
            counts = (xp.count_nonzero(each) for each in (good, weight == most, weight == 0))
            facts = (most, xp.sum(weight), *(xp.astype(count, xp.float64) for count in counts))
        largest, total, n_good, n_most, n_absent = to_host(xp.stack(facts)).tolist()
        bad = None
        if n_good < n:
            row = int(xp.argmin(xp.astype(good, xp.int8)))
            bad = row, float(weight[row])
        return cls(n, largest, total, int(n_most), int(n_absent), bad)

    def and_then(self, other: WeightFacts) -> WeightFacts:
        """Those of these weights and the ones after them."""
        bad = self.bad
        if bad is None and other.bad is not None:
            bad = self.n_rows + other.bad[0], other.bad[1]
        most = max(self.most, other.most)
        return WeightFacts(
            self.n_rows + other.n_rows,
            most,
            self.total + other.total,
            sum(facts.n_most for facts in (self, other) if facts.most == most),
            self.n_absent + other.n_absent,
            bad,
        )

    @property
    def equal(self) -> bool:
        """Whether all rows that weigh anything weigh the same."""
        return self.n_most + self.n_absent == self.n_rows

    def check(self) -> None:
        """Raise ValueError; see `check_sample_weight`."""
        if self.bad is not None:
            row, value = self.bad
            msg = (
                f"sample_weight[{row}] is {value}; weights must be finite and non-negative "
                f"(0 leaves the row out)."
            )
            raise ValueError(msg)
        if not self.most:
            msg = "sample_weight is zero for every row; at least one weight must be positive."
            raise ValueError(msg)
        if not self.total < MOST_WEIGHT:
            msg = (
                f"sample_weight sums to {self.total:g}, with weights up to {self.most:g}: too much "
                f"for float64. Scale the weights down; a common factor changes no centre."
            )
            raise ValueError(msg)


def check_sample_weight(sample_weight: Any, n_samples: int, place: Place) -> Array | None:
    """Weights as float64 at `place`, or None if there are none.

    Raises
    ------
    ValueError
        For a wrong shape, a weight that is negative, NaN or infinite (naming the row), weights
        that are all zero, or whose sum cannot be represented.
    """
    weight = _weights(sample_weight, n_samples, place)
    if weight is None:
        return None
    WeightFacts.of(weight).check()
    return asarray(weight, place)


def relative_weights(
    sample_weight: Any, n_samples: int, place: Place
) -> tuple[Array | None, float]:
    """Weights as `check_sample_weight` gives them up to a common factor, and that factor.

    Where all rows weigh the same there are no weights, and where some rows weigh nothing and all
    others the same, weights are 0 and 1: equal weights give the very bits that no weights give.
    """
    weight = _weights(sample_weight, n_samples, place)
    if weight is None:
        return None, 1.0
    facts = WeightFacts.of(weight)
    facts.check()
    if not facts.equal:
        return asarray(weight, place), 1.0
    if not facts.n_absent:
        return None, facts.most
    xp = namespace(weight)
    return asarray(xp.astype(weight > 0, xp.float64), place), facts.most


def _weights(sample_weight: Any, n_samples: int, place: Place) -> Array | None:
    """The weights as new float64 numbers: at `place` if both are on a GPU, else on the host."""
    if sample_weight is None:
        return None
    if issparse(sample_weight):
        msg = "sample_weight is a sparse matrix; pass sample_weight.toarray().ravel()."
        raise TypeError(msg)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, float(sample_weight))
    weight = adopted(sample_weight)
    if place.on_gpu and is_array(weight) and place_of(weight).on_gpu:
        if not is_real(weight):
            msg = f"sample_weight has dtype {weight.dtype}; pass real numbers."
            raise ValueError(msg)
        weight = place.xp.astype(asarray(weight, place), place.xp.float64, copy=True)
    else:
        weight = floats(weight, "sample_weight")
    if weight.shape != (n_samples,):
        msg = (
            f"sample_weight.shape == {tuple(weight.shape)}, expected {(n_samples,)}: one weight a "
            f"row."
        )
        raise ValueError(msg)
    return weight
