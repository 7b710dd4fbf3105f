"""A table of what a fit did, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kmgpu.backend.arrays import Place
from kmgpu.backend.devices import device_name
from kmgpu.base import AlternatingMinimizer

__all__ = ["fit_summary", "predict_summary", "table"]

NAMES = {"l2": "k-means", "l1": "k-medians", "cosine": "spherical k-means"}


def fit_summary(estimator: AlternatingMinimizer, seconds: float) -> dict[str, str]:
    """What a fit that ran for `seconds` started from and where it ended."""
    loss = estimator.loss
    return {
        "": NAMES[loss.name],
        "rows": f"{len(estimator.labels_):,}",
        "features": f"{estimator.n_features_in_:,}",
        "k": f"{estimator.n_clusters:,}",
        "loss": f"{loss.name}, {loss.units}",
        "loss before": f"{estimator.history_[0].loss:.6g}",
        "loss after": f"{estimator.inertia_:.6g}",
        "iterations": f"{estimator.n_iter_:,}",
        "converged": "yes" if estimator.converged_ else f"no, max_iter={estimator.max_iter}",
        "seconds": f"{seconds:.2f}",
        "device": estimator.device_,
    }


def predict_summary(
    model: AlternatingMinimizer, shape: tuple[int, int], place: Place, seconds: float
) -> dict[str, str]:
    """What a prediction of rows × features, at `place` for `seconds`, was about."""
    return {
        "": NAMES[model.loss.name],
        "rows": f"{shape[0]:,}",
        "features": f"{shape[1]:,}",
        "k": f"{model.n_clusters:,}",
        "seconds": f"{seconds:.2f}",
        "device": device_name(place),
    }


def table(columns: Sequence[Mapping[str, str]]) -> str:
    """Lines of a label and one value of each column; all columns have the labels of the first."""
    labels = list(columns[0])
    cells = [labels, *([column[label] for label in labels] for column in columns)]
    widths = [max(map(len, column)) for column in cells]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*cells, strict=True)
    )
    return "\n".join(lines)
