"""A recorded run of the algorithm: what a picture shows of the data and of every half-step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from kmgpu.algorithm.lloyd import HalfStep, lloyd
from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.algorithm.plan import HistoryEntry
from kmgpu.algorithm.seeding import initial_centers
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import Array, to_host
from kmgpu.kernels import use
from kmgpu.plotting.plane import (
    Drawn,
    Plane,
    drawn_rows,
    names_of_columns,
    plane_of,
    values_of_drawn,
)
from kmgpu.summary import NAMES
from kmgpu.validation import check_data, check_integer, check_n_clusters

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
ASSIGNED = {
    "l2": "zᵢ = argminⱼ ‖xᵢ − µⱼ‖₂²",
    "l1": "zᵢ = argminⱼ ‖xᵢ − µⱼ‖₁",
    "cosine": "zᵢ = argmaxⱼ xᵢ·µⱼ",
    None: "zᵢ = argminⱼ cost(xᵢ − µⱼ)",
}
REFITTED = {
    "l2": "mean",
    "l1": "coordinatewise median",
    "cosine": "direction of the mean",
    None: "optimal centre",
}
# with fewer (rows × features × clusters), compiling kernels takes longer than the reference
LEAST_WORK = 1 << 22


@dataclass(frozen=True)
class Frame:
    """One picture of a run: the data, the initialisation, or a half-step.

    Attributes
    ----------
    kind : str
        "data", "init", "assign" or "refit".
    title, note : str
        The name of the half-step, and what it did.
    n_done : int
        Number of half-steps so far; 0 for "data" and "init".
    loss : float or None
        After this half-step; None for "data" and "init".
    centers : numpy.ndarray of shape (n_clusters, n_features) or None
        After this half-step; None for "data".
    previous : numpy.ndarray of shape (n_clusters, n_features) or None
        For "refit", the centres before it.
    labels : numpy.ndarray of shape (n_drawn,) or None
        Of the drawn points; None for "data" and "init".
    changed : numpy.ndarray of shape (n_drawn,), bool, or None
        Which drawn points have just changed their labels; all False at the first assignment.
    """

    kind: str
    title: str
    note: str
    n_done: int = 0
    loss: float | None = None
    centers: np.ndarray | None = None
    previous: np.ndarray | None = None
    labels: np.ndarray | None = None
    changed: np.ndarray | None = None


@dataclass(frozen=True)
class StepRecord:
    """A run of the loop, as frames and as a history of losses.

    Attributes
    ----------
    loss : Loss
    drawn : Drawn
        The points that are shown.
    plane : Plane
        The plane they are shown in.
    frames : tuple of Frame
        The data, the initialisation, the first half-steps and the last.
    history : tuple of HistoryEntry
        Every half-step, including those without a frame.
    """

    loss: Loss
    drawn: Drawn
    plane: Plane
    frames: tuple[Frame, ...]
    history: tuple[HistoryEntry, ...]

    @property
    def name(self) -> str:
        """Of the algorithm: "k-means", "k-medians", or the name of a loss of the user's own."""
        known = self.loss.known_name
        return self.loss.name if known is None else NAMES[known]

    @property
    def caption(self) -> str:
        """What is drawn, in a sentence."""
        parts = [self.drawn.caption, self.plane.caption]
        return f"{self.name} on {'; '.join(filter(None, parts))}."


def record_steps(
    X: Any,
    n_clusters: int | None,
    *,
    init: Any,
    loss: str | Loss,
    random_state: int | None,
    max_iter: int,
    most: int,
    feature_names: Sequence[str] | None = None,
) -> StepRecord:
    """Run the loop; record the data, the initialisation, the first `most` half-steps and the last.

    The other parameters are those of `kmgpu.plotting.plot_steps`.
    """
    check_integer("max_iter", max_iter, 1)
    if random_state is not None:
        check_integer("random_state", random_state, 0)
    loss, x = get_loss(loss), check_data(X)
    names = names_of_columns(X, x.shape[1], feature_names)
    x = unit_rows(x) if loss.unit else x
    n_clusters = _n_clusters(n_clusters, init, x)
    small = x.shape[0] * x.shape[1] * n_clusters < LEAST_WORK
    with use("reference" if small else "auto"):
        rng = np.random.default_rng(random_state)
        centers = initial_centers(x, init, n_clusters, loss, None, rng).centers
        loop = lloyd(x, centers, loss, max_iter=max_iter)
    drawn = drawn_rows(x)
    plane = plane_of(drawn.points, names)
    opening = [
        Frame("data", "The data", drawn.caption),
        Frame("init", f"Initialisation: {_center_names(n_clusters)}", "", centers=to_host(centers)),
    ]
    history: list[HistoryEntry] = []
    kept: list[Frame] = []
    frame = opening[-1]
    for step in _with_loss(loop, history):
        n_shown = kept[-1].n_done if kept else 0
        frame = _frame(step, frame, loss, drawn, n_shown, len(history))
        if len(kept) < most or step.stop is not None:
            kept.append(frame)
    return StepRecord(loss, drawn, plane, (*opening, *kept), tuple(history))


def _n_clusters(n_clusters: int | None, init: Any, x: Array) -> int:
    if n_clusters is None:
        if isinstance(init, str) or callable(init):
            msg = f"n_clusters=None and init={init!r}: give n_clusters, or the initial centres."
            raise ValueError(msg)
        n_clusters = init.shape[0] if issparse(init) else len(init)
    check_integer("n_clusters", n_clusters, 1)
    check_n_clusters(n_clusters, x.shape[0])
    return n_clusters


def _with_loss(loop: Iterator[HalfStep], history: list[HistoryEntry]) -> Iterator[HalfStep]:
    """Yield the half-steps that have a loss, and add them to `history`."""
    for step in loop:
        if step.loss is not None:
            numbers = (step.shift, step.n_changed, step.n_relocated)
            history.append(HistoryEntry(step.kind, step.iteration, step.loss, *numbers))
            yield step


def _frame(
    step: HalfStep, before: Frame, loss: Loss, drawn: Drawn, n_shown: int, n_done: int
) -> Frame:
    labels = values_of_drawn(step.labels, drawn)
    first = before.labels is None
    return Frame(
        kind=step.kind,
        title=_title(step, loss),
        note=_note(step, before, n_done - n_shown - 1),
        n_done=n_done,
        loss=step.loss,
        centers=to_host(step.centers).astype(np.float64),
        previous=before.centers if step.kind == "refit" else None,
        labels=labels,
        changed=np.zeros(len(labels), np.bool_) if first else labels != before.labels,
    )


def _title(step: HalfStep, loss: Loss) -> str:
    if step.stop == "max_iter":
        return f"Stopped after {step.iteration} iteration{'' if step.iteration == 1 else 's'}"
    if step.stop is not None:
        return "Converged"
    if step.kind == "assign":
        return f"Assignment step {step.iteration}: {ASSIGNED[loss.known_name]}"
    return f"Refitting step {step.iteration}: µⱼ = {REFITTED[loss.known_name]} of its points"


def _note(step: HalfStep, before: Frame, n_left_out: int) -> str:
    if step.kind == "refit":
        moved = (to_host(step.centers) != before.centers).any(axis=1)
        note = f"{np.count_nonzero(moved)} of {_count(len(moved), 'centre')} moved"
        if step.n_relocated:
            note += f", {_count(step.n_relocated, 'empty cluster')} refilled"
    elif before.labels is None:
        note = "each point takes the nearest centre"
    elif step.n_changed:
        note = f"{_count(step.n_changed, 'point')} changed cluster"
    else:
        note = "no point changes cluster"
    return f"{note} ({_count(n_left_out, 'half-step')} left out)" if n_left_out else note


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _center_names(k: int) -> str:
    """µ₀, …, µ_(k - 1): numbered as labels are."""
    names = [f"µ{number}".translate(SUBSCRIPTS) for number in range(k)]
    return ", ".join(names if k <= 3 else [names[0], "…", names[-1]])
