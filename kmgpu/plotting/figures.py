"""Figures, the files they are written to, and numbers on them.

Matplotlib is imported only when a figure is drawn.
"""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmgpu.files import PathLike, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

INSTALL_PLOT = "pip install 'kmgpu[plot]'"
ASSIGN_COLOUR = "#0072b2"
REFIT_COLOUR = "#d55e00"
VECTORS = (".svg", ".pdf")
DOTS = 240


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


def number(value: float, digits: int = 6) -> str:
    """A number as text, with commas: so many digits, but all of its whole part."""
    if 10**digits <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}"


def thousands(*axes_of_numbers: Axis) -> None:
    """Write the numbers at these axes with commas: 20,000."""
    for axis in axes_of_numbers:
        axis.set_major_formatter(_thousands_formatter()())


@cache
def _thousands_formatter() -> type[ScalarFormatter]:
    from matplotlib.ticker import ScalarFormatter

    class ThousandsFormatter(ScalarFormatter):
        """Matplotlib's own, with commas in whole parts of four digits and more."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            text = super().__call__(x, pos)
            return re.sub(r"^\D?\d{4,}", lambda found: _with_commas(found[0]), text)

    return ThousandsFormatter


def _with_commas(digits: str) -> str:
    """A whole number, maybe with a minus before it, with commas."""
    return re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", digits)


def save_figure(figure: Figure, path: PathLike) -> None:
    """Write `figure` to `path`, whole or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path-like
        The ending chooses the format: .svg or .pdf, which stay sharp at any size, else PNG of 240
        dots an inch.
    """
    suffix = Path(path).suffix.lower()
    kind = suffix.removeprefix(".") if suffix in VECTORS else "png"
    with replacing(path) as file:
        figure.savefig(file, format=kind, dpi=DOTS)
