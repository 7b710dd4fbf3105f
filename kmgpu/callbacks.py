"""Who is told of a fit while it runs: the parameter `callback`, and scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kmgpu.algorithm.lloyd import HalfStep
from kmgpu.algorithm.plan import entry_of

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: such a scikit-learn knows no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The same, one call deeper, as where there are callbacks to take leave of."""

        def called(*arguments: Any) -> Any:
            return method(*arguments)

        return called


class Watch:
    """Tells of every half-step of one fit, and whether somebody wants it to end there.

    scikit-learn's callbacks see the fit as a task that has one for each iteration: from centres,
    through an assignment, to those of the refit. The assignment at the end is a last one.

    Parameters
    ----------
    estimator : AlternatingMinimizer
    X, y, sample_weight : object
        As `fit` was given them.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self._estimator, self._callback = estimator, estimator.callback
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._told = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._fit: Any = None
        self._iteration: Any = None
        # of its own, or of a pipeline or another estimator around it
        if hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx"):
            self._fit = estimator._init_callback_context(max_subtasks=None)
            self._fit.call_on_fit_task_begin(**self._told)

    def __call__(self, step: HalfStep) -> bool:
        stop = False
        if self._callback is not None and step.loss is not None:
            stop = bool(self._callback(entry_of(step)))
        return (self._fit is not None and self._tell(step)) or stop

    def ended(self) -> None:
        """The estimator is fitted."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._told, reconstruction_attributes={})

    def _tell(self, step: HalfStep) -> bool:
        told = {**self._told, "reconstruction_attributes": partial(_attributes, step)}
        stop = False
        if self._iteration is not None and (step.kind == "refit" or step.stop is not None):
            stop = self._iteration.call_on_fit_task_end(**told)
            self._iteration = None
        if self._iteration is None and step.stop is None:
            self._iteration = self._fit.subcontext(task_name="iteration")
            self._iteration.call_on_fit_task_begin(**told)
        return stop


def _attributes(step: HalfStep) -> dict[str, Any]:
    """Those that `predict`, `transform` and `score` need."""
    return {"cluster_centers_": step.centers, "_n_features_out": step.centers.shape[0]}
