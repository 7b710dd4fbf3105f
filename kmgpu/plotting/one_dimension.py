"""One cluster of one feature: its points, its mean and its median, on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.refit import group_rows
from kmgpu.backend.arrays import HOST, to_host
from kmgpu.backend.blocks import CPU_BLOCK_BYTES
from kmgpu.validation import check_data, check_sample_weight


class Look(NamedTuple):
    """How a picture names and marks the centre of a loss.

    Red and blue of Paul Tol's vibrant scheme (https://sronpersonalpages.nl/~pault), which
    colour-blind readers tell apart; the markers differ too.
    """

    name: str
    colour: str
    marker: str


LOOKS: dict[str | None, Look] = {
    "l2": Look("mean", "#cc3311", "v"),
    "l1": Look("median", "#0077bb", "^"),
    None: Look("optimum", "#009988", "D"),  # of a loss of the user's own
}
POINTS = "0.45"


def points_on_a_line(
    x: Any, sample_weight: Any = None, least: int = 1
) -> tuple[np.ndarray, np.ndarray | None]:
    """The values and their weights, float64 on the host; rows of zero weight are left out.

    Parameters
    ----------
    x : array-like of shape (n_samples,) or (n_samples, 1)
        Of any array library, finite.
    sample_weight : array-like of shape (n_samples,), optional
        Non-negative.
    least : int, default=1
        How many values of positive weight the picture needs.

    Raises
    ------
    TypeError, ValueError
    """
    values = to_host(x)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        msg = (
            f"x must be one feature, of shape (n_samples,) or (n_samples, 1); got shape "
            f"{values.shape}: pass one column, such as x[:, 0]."
        )
        raise ValueError(msg)
    values = check_data(values[:, None], "x")[:, 0].astype(np.float64)
    weight = check_sample_weight(sample_weight, len(values), HOST)
    if weight is not None:
        values, weight = values[weight > 0], weight[weight > 0]
    if len(values) < least:
        msg = f"x holds {len(values)} value(s) of positive weight; at least {least} are needed."
        raise ValueError(msg)
    return values, weight


def best_center(values: np.ndarray, weight: np.ndarray | None, loss: Loss) -> float:
    """The centre that the refitting step of `loss` gives a cluster of these values."""
    rows = values[:, None]
    groups = group_rows(np.zeros(len(values), np.int32), 1, weight)
    return float(loss.refit(rows, groups, weight, np.zeros((1, 1)), CPU_BLOCK_BYTES)[0, 0])
