"""Figures and the files they are written to. Matplotlib is imported only when one is drawn."""

from __future__ import annotations

from typing import Any

from kmgpu.io.files import PathLike, replacing

Axes = Any
Figure = Any

INSTALL_PLOT = "pip install 'kmgpu[plot]'"
ASSIGN_COLOUR = "#0072b2"
REFIT_COLOUR = "#d55e00"


def require_matplotlib() -> None:
    """Raise ImportError, naming what to install, when there is no matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        msg = f"drawing a picture needs matplotlib ({error}); {INSTALL_PLOT}"
        raise ImportError(msg) from error


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, of that size in inches, that belongs to no window and no global state.

    As the value of a notebook's cell it is shown.
    """
    require_matplotlib()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from kmgpu.plotting.notebook import NotebookFigure

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return NotebookFigure(figsize=(width, height), layout=layout)


def save_figure(figure: Figure, path: PathLike) -> None:
    """Write `figure` to `path` as a PNG, whole or not at all."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)
