"""One way to fit one loss: ``prepare(x, init)`` once, untimed, then ``run(n_iter)``, timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple


class Found(NamedTuple):
    """What one run found.

    Attributes
    ----------
    centers : array of shape (n_clusters, n_features), of the engine's own library
    n_iter : int
        Iterations that it says it made.
    seconds : float or None
        By a clock of the engine's own, where it works in another process; None elsewhere.
    """

    centers: Any
    n_iter: int
    seconds: float | None = None


Run = Callable[[int], Found]


@dataclass(frozen=True)
class Engine:
    """One way to fit one loss on one device.

    Attributes
    ----------
    name, loss : str
    prepare : callable
        ``prepare(x, init) -> run`` moves arrays (NumPy or CSR; CuPy on "cuda") to where the library
        wants them. ``run(n_iter) -> Found`` stops sooner only where no label changes.
    modules : tuple of str
        What must be installed.
    device : {"cpu", "cuda"}
    exact : bool
        Whether it gives Lloyd's answer from the centres given.
    estimator : callable, optional
        Makes the estimator from keywords, for the sections that fit with default settings.
    imports : tuple of str, or None
        What it imports. Its working memory is what comes on top; None where its memory is not this
        process's.
    missing : callable
        What else keeps it from running, or None.
    note : str
        What a reader of its figures must know.
    """

    name: str
    loss: str
    prepare: Callable[[Any, Any], Run]
    modules: tuple[str, ...] = ()
    device: str = "cpu"
    exact: bool = True
    estimator: Callable[..., Any] | None = None
    imports: tuple[str, ...] | None = ()
    missing: Callable[[], str | None] = lambda: None
    note: str = ""

    def absent(self) -> str | None:
        """Why it cannot run here, or None."""
        for module in self.modules:
            if find_spec(module) is None:
                return f"{module} is not installed"
        return self.missing()


def prepare_estimator(make: Callable[..., Any], x: Any, init: Any, **settings: Any) -> Run:
    """`prepare` of a class with scikit-learn's interface; `settings` go to it, too."""
    fixed = {"n_clusters": len(init), "init": init, "n_init": 1, "tol": 0} | settings
    make(max_iter=1, **fixed)  # imports the library before the clock runs

    def run(n_iter: int) -> Found:
        fitted = make(max_iter=n_iter, **fixed).fit(x)
        return Found(fitted.cluster_centers_, int(fitted.n_iter_))

    return run
