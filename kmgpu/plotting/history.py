"""The loss after every half-step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmgpu.plotting.figures import ASSIGN_COLOUR, REFIT_COLOUR, Axes
from kmgpu.runs import HistoryEntry


def draw_history(axes: Axes, history: Sequence[HistoryEntry], units: str) -> None:
    """The loss after every half-step: a line, with a marker for each kind of half-step."""
    at = np.arange(1, len(history) + 1)
    losses = np.array([entry.loss for entry in history])
    axes.plot(at, losses, color="0.6", linewidth=1, zorder=1)
    for kind, marker, colour, name in (
        ("assign", "o", ASSIGN_COLOUR, "assignment"),
        ("refit", "s", REFIT_COLOUR, "refitting"),
    ):
        of_kind = np.array([entry.kind == kind for entry in history])
        axes.scatter(
            at[of_kind], losses[of_kind], s=14, c=colour, marker=marker, label=name, zorder=2
        )
    axes.set_xlabel("half-step")
    axes.set_ylabel(f"loss ({units})")
    axes.grid(alpha=0.3)
    axes.legend(title="after", frameon=False)
