"""The ratios as a bar chart (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.engines import OUR_PREFIX
from benchmarks.report import Result
from benchmarks.rounds import ratio

BAR, BAR_SLOWER = "#4477aa", "#cc6677"


def draw(results: list[Result], machine: dict[str, str], path: Path) -> None:
    """A bar a row (the best exact peer) and a mark for every peer, on a logarithmic axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    shown = [result for result in results if result.ratio]
    figure = Figure(figsize=(8.5, 2.2 + 0.5 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    ratios = [result.ratio or 1.0 for result in shown]
    colours = [BAR if value >= 1 else BAR_SLOWER for value in ratios]
    axes.barh(range(len(shown)), [value - 1 for value in ratios], left=1, color=colours, height=0.6)
    _marks(axes, shown)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}×")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(shown)), [f"{r.name} ({r.task.loss})" for r in shown])
    axes.invert_yaxis()
    axes.set_xlabel("the peer's time / ours; right of 1 we are faster")
    axes.set_title(
        f"bar: against the best exact peer\n"
        f"{machine['processor']}, {machine['cores']} cores, {machine['date']}",
        fontsize="medium",
    )
    axes.grid(axis="x", which="both", alpha=0.25)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=150)


def _marks(axes: Any, shown: list[Result]) -> None:
    points: dict[str, list[tuple[float, int]]] = {}
    for height, result in enumerate(shown):
        for outcome in result.outcomes[1:]:
            value = ratio(outcome, result.ours)
            if value is not None and not outcome.engine.startswith(OUR_PREFIX):
                label = outcome.engine if outcome.exact else f"{outcome.engine} (approximate)"
                points.setdefault(label, []).append((value, height))
    for (label, at), marker in zip(points.items(), "osD^vP*X", strict=False):
        values, heights = zip(*at, strict=True)
        hollow = "none" if "approximate" in label else None
        axes.scatter(
            values, heights, s=28, marker=marker, facecolor=hollow or "white",
            edgecolor="black", linewidth=0.8, label=label, zorder=3,
        )  # fmt: skip
    if points:
        axes.figure.legend(loc="outside lower center", ncols=4, fontsize="small")
