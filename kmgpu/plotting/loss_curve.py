"""The loss of one centre over where it lies, and the slope that is zero where it is least."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.plotting.figures import Axes, Figure, new_figure
from kmgpu.plotting.one_dimension import LOOKS, POINTS, best_center, points_on_a_line

MARGIN = 0.15
N_GRID = 201
FLAT_COLOUR = "0.87"


class Curve(NamedTuple):
    """A loss over µ.

    Attributes
    ----------
    at : numpy.ndarray of shape (m,)
        Ascending values of µ.
    losses : numpy.ndarray of shape (m,)
    slopes : numpy.ndarray of shape (m,) or (m - 1,)
        At every µ, or between neighbours where the slope is constant there.
    best : float
        The centre of the refitting step.
    flat : tuple of float, or None
        The interval of all minimisers, where it is more than a point.
    """

    at: np.ndarray
    losses: np.ndarray
    slopes: np.ndarray
    best: float
    flat: tuple[float, float] | None = None


def plot_loss_curve(x: Any, loss: str | Loss = "l2", *, sample_weight: Any = None) -> Figure:
    """Draw the loss of one cluster over the place µ of its centre, and the slope beneath.

    For L2 a parabola: its gradient crosses zero at the mean. For L1 a piecewise linear curve: its
    slope, the weight on the left of µ minus the weight on the right (without weights: counts of
    points), steps over zero at the median. Where it is zero on an interval, as for an even
    count, the interval is shaded and its midpoint marked. A loss of the user's own is drawn as it
    computes itself.

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
    values, weight = points_on_a_line(x, sample_weight)
    curve = CURVES[loss.kernel_name](values, weight, loss)
    figure = new_figure(6.4, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
    look = LOOKS[loss.kernel_name]
    if curve.flat is not None:
        for axes in (above, below):
            axes.axvspan(*curve.flat, color=FLAT_COLOUR, zorder=0, label="every µ of least loss")
    for axes in (above, below):
        axes.axvline(curve.best, color=look.colour, linewidth=1, linestyle="--", zorder=1)
        axes.grid(alpha=0.3)
    _draw_losses(above, curve, values, weight, loss)
    _draw_slopes(below, curve, weight, loss)
    handles, labels = above.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _draw_losses(
    axes: Axes, curve: Curve, values: np.ndarray, weight: np.ndarray | None, loss: Loss
) -> None:
    look = LOOKS[loss.kernel_name]
    axes.plot(curve.at, curve.losses, color="black", linewidth=1.5, zorder=2)
    least, most = curve.losses.min(), curve.losses.max()
    room = (most - least) or 1.0
    axes.set_ylim(least - 0.2 * room, most + 0.05 * room)
    sizes = 30.0 if weight is None else 12 + 100 * weight / weight.max()
    axes.scatter(
        values,
        np.full(len(values), 0.07),
        s=sizes,
        color=POINTS,
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
        color=look.colour,
        edgecolors="white",
        marker="D",
        zorder=4,
        label=f"the {look.name}, {curve.best:.4g}",
    )
    axes.set_ylabel(f"loss L(µ)\n({loss.units})")
    axes.set_title(f"The loss is least at the {look.name}: L({curve.best:.4g}) = {height:.4g}")


def _draw_slopes(axes: Axes, curve: Curve, weight: np.ndarray | None, loss: Loss) -> None:
    from matplotlib.ticker import MaxNLocator

    look = LOOKS[loss.kernel_name]
    axes.axhline(0, color="0.3", linewidth=0.8)
    if len(curve.slopes) == len(curve.at):
        axes.plot(curve.at, curve.slopes, color="black", linewidth=1.5)
        axes.set_ylabel("gradient dL/dµ")
        axes.set_title(f"its gradient crosses zero at the {look.name}", fontsize="medium")
    else:
        axes.stairs(curve.slopes, curve.at, baseline=None, color="black", linewidth=1.5)
        what = "points" if weight is None else "weight"
        axes.set_ylabel(f"{what} left of µ\n− {what} right of µ")
        axes.set_title(f"its slope steps over zero at the {look.name}", fontsize="medium")
        axes.yaxis.set_major_locator(MaxNLocator(integer=weight is None))
    axes.scatter(
        [curve.best], [0], s=70, color=look.colour, edgecolors="white", marker="D", zorder=4
    )
    axes.set_xlabel("µ")


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
    """Straight between the values; there the slope rises by twice a value's weight."""
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
    """As the loss computes it; its gradient is that of parabolas through neighbours."""
    best = best_center(values, weight, loss)
    low, high = _view(np.append(values, best))
    at = np.concatenate(
        [np.linspace(low, best, N_GRID // 2, endpoint=False), np.linspace(best, high, N_GRID // 2)]
    )
    weight = np.ones(len(values)) if weight is None else weight
    losses = np.array([weight @ loss.cost(values[:, None] - center) for center in at])
    return Curve(at, losses, np.gradient(losses, at), best)


def _view(values: np.ndarray) -> tuple[float, float]:
    """The range of µ that is drawn: that of the values and a margin."""
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


CURVES = {"l2": _parabola, "l1": _piecewise_linear, None: _sampled}
