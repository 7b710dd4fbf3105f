"""One cluster of one feature: its loss over the place of its centre, and the slope of the loss."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.algorithm.refit import group_rows
from kmgpu.backend.arrays import HOST, to_host
from kmgpu.backend.blocks import CPU_BLOCK_BYTES
from kmgpu.plotting.figures import legend_below, new_figure, number, thousands
from kmgpu.validation import check_data
from kmgpu.weights import check_sample_weight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.15
N_GRID = 201
DIGITS = 4
FLAT_COLOUR = "0.87"
POINT_COLOUR = "0.45"


class CenterStyle(NamedTuple):
    """The name, the colour and the marker of the centre that a loss leads to.

    Red and blue of Paul Tol's vibrant scheme (https://sronpersonalpages.nl/~pault), which
    colour-blind readers tell apart; the markers differ too.
    """

    name: str
    colour: str
    marker: str


CENTER_STYLES: dict[str | None, CenterStyle] = {
    "l2": CenterStyle("mean", "#cc3311", "v"),
    "l1": CenterStyle("median", "#0077bb", "^"),
    None: CenterStyle("optimum", "#009988", "D"),  # of a loss of the user's own
}


class Curve(NamedTuple):
    """A loss as a function of the centre µ.

    Attributes
    ----------
    at : numpy.ndarray of shape (m,)
        Values of µ, ascending.
    losses : numpy.ndarray of shape (m,)
    slopes : numpy.ndarray of shape (m,) or (m - 1,)
        At every µ, or between neighbours if the slope is constant there.
    best : float
        The centre of the refitting step.
    flat : tuple of float, or None
        The interval of all minimisers, if it is more than a point.
    """

    at: np.ndarray
    losses: np.ndarray
    slopes: np.ndarray
    best: float
    flat: tuple[float, float] | None = None


def points_on_a_line(
    x: Any, sample_weight: Any = None, least: int = 1
) -> tuple[np.ndarray, np.ndarray | None]:
    """The values and their weights, float64 on the host, without rows of zero weight.

    Parameters
    ----------
    x : array-like of shape (n_samples,) or (n_samples, 1)
        Of any array library, finite.
    sample_weight : array-like of shape (n_samples,), optional
        Non-negative.
    least : int, default=1
        Number of values of positive weight that the picture needs.

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


def with_name(label: str, x: Any) -> str:
    """`label`, and the name of the column that `x` is, where it has one."""
    name = next(iter(getattr(x, "columns", ())), getattr(x, "name", None))
    return f"{label} ({name})" if isinstance(name, str) else label


def best_center(values: np.ndarray, weight: np.ndarray | None, loss: Loss) -> float:
    """The centre that the refitting step of `loss` gives a cluster of these values."""
    rows = values[:, None]
    groups = group_rows(np.zeros(len(values), np.int32), 1, weight)
    return float(loss.refit(rows, groups, weight, np.zeros((1, 1)), CPU_BLOCK_BYTES)[0, 0])


def point_areas(weight: np.ndarray | None) -> float | np.ndarray:
    """How large points are drawn: all alike, or by their weights."""
    return 30.0 if weight is None else 12 + 100 * weight / weight.max()


def plot_loss_curve(x: Any, loss: str | Loss = "l2", *, sample_weight: Any = None) -> Figure:
    """Draw the loss of one cluster over the place µ of its centre, and the slope beneath.

    The loss of L2 is a parabola, whose gradient is zero at the mean. The loss of L1 is piecewise
    linear; its slope is the weight left of µ minus the weight right of µ (the numbers of points,
    without weights), which changes sign at the median. If the slope is zero on an interval, as for
    an even number of points, the interval is shaded and its midpoint is marked. Any other loss is
    sampled on a grid.

    Parameters
    ----------
    x : array-like of shape (n_samples,) or (n_samples, 1)
        One feature; NumPy, CuPy, PyTorch or another array. Finite.
    loss : {"l2", "l1"} or Loss, default="l2"
    sample_weight : array-like of shape (n_samples,), optional
        Non-negative.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        For bad input; the message names the argument, the value and the remedy.
    ImportError
        Without matplotlib; the message says what to install.
    """
    loss = get_loss(loss)
    if loss.unit:
        msg = f"loss={loss.name!r} has no curve over one feature; use 'l2', 'l1' or plot_steps."
        raise ValueError(msg)
    values, weight = points_on_a_line(x, sample_weight)
    curve = CURVES[loss.known_name](values, weight, loss)
    figure = new_figure(6.4, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
    style = CENTER_STYLES[loss.known_name]
    if curve.flat is not None:
        for axes in (above, below):
            axes.axvspan(*curve.flat, color=FLAT_COLOUR, zorder=0, label="every µ of least loss")
    for axes in (above, below):
        axes.axvline(curve.best, color=style.colour, linewidth=1, linestyle="--", zorder=1)
        axes.grid(alpha=0.3)
        thousands(axes.xaxis, axes.yaxis)
    _draw_losses(above, curve, values, weight, loss)
    _draw_slopes(below, curve, weight, loss)
    below.set_xlabel(with_name("µ", x), parse_math=False)
    legend_below(above)
    return figure


def _draw_losses(
    axes: Axes, curve: Curve, values: np.ndarray, weight: np.ndarray | None, loss: Loss
) -> None:
    style = CENTER_STYLES[loss.known_name]
    axes.plot(curve.at, curve.losses, color="black", linewidth=1.5, zorder=2)
    least, most = curve.losses.min(), curve.losses.max()
    room = (most - least) or 1.0
    axes.set_ylim(least - 0.2 * room, most + 0.05 * room)
    axes.scatter(
        values,
        np.full(len(values), 0.07),
        s=point_areas(weight),
        color=POINT_COLOUR,
        alpha=0.6,
        linewidths=0,
        transform=axes.get_xaxis_transform(),
        label="points" if weight is None else "points (area: weight)",
    )
    height = float(np.interp(curve.best, curve.at, curve.losses))
    axes.scatter(
        [curve.best],
        [height],
        s=70,
        color=style.colour,
        edgecolors="white",
        marker="D",
        zorder=4,
        label=f"the {style.name}, {number(curve.best, DIGITS)}",
    )
    axes.set_ylabel(f"loss L(µ)\n({loss.units})")
    best, least_loss = number(curve.best, DIGITS), number(height, DIGITS)
    axes.set_title(f"The loss is least at the {style.name}: L({best}) = {least_loss}")


def _draw_slopes(axes: Axes, curve: Curve, weight: np.ndarray | None, loss: Loss) -> None:
    from matplotlib.ticker import MaxNLocator

    style = CENTER_STYLES[loss.known_name]
    axes.axhline(0, color="0.3", linewidth=0.8)
    if len(curve.slopes) == len(curve.at):
        axes.plot(curve.at, curve.slopes, color="black", linewidth=1.5)
        axes.set_ylabel("gradient dL/dµ")
        axes.set_title(f"its gradient is zero at the {style.name}", fontsize="medium")
    else:
        axes.stairs(curve.slopes, curve.at, baseline=None, color="black", linewidth=1.5)
        what = "points" if weight is None else "weight"
        axes.set_ylabel(f"{what} left of µ\n− {what} right of µ")
        axes.set_title(f"its slope changes sign at the {style.name}", fontsize="medium")
        axes.yaxis.set_major_locator(MaxNLocator(integer=weight is None))
    axes.scatter(
        [curve.best], [0], s=70, color=style.colour, edgecolors="white", marker="D", zorder=4
    )


def _parabola(values: np.ndarray, weight: np.ndarray | None, loss: Loss) -> Curve:
    """L(µ) = L(mean) + W (µ - mean)², W the total weight."""
    best = best_center(values, weight, loss)
    low, high = _view(values)
    at = np.unique(np.append(np.linspace(low, high, N_GRID), best))
    weight = np.ones(len(values)) if weight is None else weight
    total = weight.sum()
    least = weight @ loss.cost(values[:, None] - best)
    return Curve(at, least + total * (at - best) ** 2, 2 * total * (at - best), best)


def _piecewise_linear(values: np.ndarray, weight: np.ndarray | None, loss: Loss) -> Curve:
    """L(µ) is straight between the values; at a value its slope rises by twice the weight."""
    best = best_center(values, weight, loss)
    weight = np.ones(len(values)) if weight is None else weight
    low, high = _view(values)
    breaks, member = np.unique(values, return_inverse=True)
    left = np.concatenate([[0.0], np.cumsum(np.bincount(member, weights=weight))])
    slopes = 2 * left - left[-1]
    at = np.concatenate([[low], breaks, [high]])
    first = weight @ loss.cost(values[:, None] - low)
    losses = first + np.concatenate([[0.0], np.cumsum(slopes * np.diff(at))])
    # sums of n weights err by about sqrt(n) roundings
    zero = np.flatnonzero(np.abs(slopes) <= 2.0**-51 * sqrt(len(values)) * left[-1])
    flat = (float(at[zero[0]]), float(at[zero[-1] + 1])) if len(zero) else None
    return Curve(at, losses, slopes, best, flat)


def _sampled(values: np.ndarray, weight: np.ndarray | None, loss: Loss) -> Curve:
    """L(µ) on a grid, from the loss's own cost; gradients are central differences."""
    best = best_center(values, weight, loss)
    low, high = _view(np.append(values, best))
    at = np.concatenate(
        [np.linspace(low, best, N_GRID // 2, endpoint=False), np.linspace(best, high, N_GRID // 2)]
    )
    weight = np.ones(len(values)) if weight is None else weight
    losses = np.array([weight @ loss.cost(values[:, None] - center) for center in at])
    return Curve(at, losses, np.gradient(losses, at), best)


def _view(values: np.ndarray) -> tuple[float, float]:
    """The range of µ that is drawn: the range of the values and a margin."""
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


CURVES = {"l2": _parabola, "l1": _piecewise_linear, None: _sampled}
