"""The legend of the marks on pictures of half-steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kmgpu.plotting.centers import INK, Scale, places_apart
from kmgpu.plotting.panel import NO_CLUSTER, view_of_all
from kmgpu.plotting.record import Frame, StepRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend


def draw_marks(
    figure: Figure | SubFigure,
    record: StepRecord,
    frames: Sequence[Frame],
    scale: Scale,
    **how: Any,
) -> Legend:
    """Explain, below all panels of `figure`, the marks that these frames have.

    The other arguments are those of matplotlib's legends.
    """
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", label=label, **style)
        for label, style in _marks(record, frames, scale)
    ]
    return figure.legend(handles=handles, loc="outside lower center", frameon=False, **how)


def _marks(
    record: StepRecord, frames: Sequence[Frame], scale: Scale
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The label and the style of every kind of mark."""
    large = {"marker": "o", "markersize": 10, "markerfacecolor": NO_CLUSTER}
    yield "centre and its number", large | {"markeredgecolor": "black", "markeredgewidth": 1.4}
    if any(frame.changed is not None and frame.changed.any() for frame in frames):
        ringed = {"markersize": 7, "markeredgecolor": "black", "markeredgewidth": 1.5}
        yield "has changed cluster", large | ringed
    placed = [frame.centers for frame in frames if frame.centers is not None]
    moves = [frame.previous for frame in frames if frame.previous is not None]
    if len(np.unique(placed, axis=0)) > 1:
        empty = {"markersize": 8, "markerfacecolor": "white", "markeredgecolor": INK}
        yield "centre before the step", large | empty
    in_the_plane = record.plane.n_features <= 2
    if moves and in_the_plane and not record.loss.squared:
        cross = {"marker": "+", "markersize": 13, "markeredgewidth": 2.2}
        yield "halves its cluster", cross | {"markeredgecolor": NO_CLUSTER}
    view = view_of_all(record)
    shown = [record.plane.place(centers) for centers in placed]
    if any((places_apart(at, view, scale) != at).any() for at in shown):
        dot = {
            "marker": ".",
            "markersize": 7,
            "markerfacecolor": "black",
            "markeredgecolor": "black",
        }
        yield "true place of a centre", dot
