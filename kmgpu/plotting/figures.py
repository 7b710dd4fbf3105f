"""Figures and the PNG files they are written to. Matplotlib is imported only when one is drawn."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from kmgpu.files import PathLike, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INSTALL_PLOT = "pip install 'kmgpu[plot]'"
ASSIGN_COLOUR = "#0072b2"
REFIT_COLOUR = "#d55e00"


def require_matplotlib() -> None:
    """Raise ImportError, naming what to install, if matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        msg = f"drawing a picture needs matplotlib ({error}); {INSTALL_PLOT}"
        raise ImportError(msg) from error


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure, `width` by `height` inches, without pyplot and its global state.

    A notebook shows the figure if it is the value of a cell.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        Without matplotlib; the message says what to install.
    """
    require_matplotlib()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return _notebook_figure()(figsize=(width, height), layout=layout)


@cache
def _notebook_figure() -> type[Figure]:
    """The class of our figures; it is defined here because matplotlib may be missing."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure that IPython shows even if pyplot is not loaded."""

        def _repr_png_(self) -> bytes:
            out = BytesIO()
            self.savefig(out, format="png")
            return out.getvalue()

    return NotebookFigure


def axes_to_draw_on(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """The figure of `ax`, and `ax`; those of a new figure of that size if `ax` is None."""
    if ax is not None:
        return ax.figure.figure, ax  # ax.figure may be a subfigure, whose figure is the whole
    figure = new_figure(width, height)
    return figure, figure.subplots()


def legend_below(axes: Axes, **options: Any) -> None:
    """Explain the marks of `axes` in one row below all panels of its figure."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        frameon=False,
        **options,
    )


def save_figure(figure: Figure, path: PathLike) -> None:
    """Write `figure` to `path` as a PNG of 120 dots an inch, whole or not at all."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)
