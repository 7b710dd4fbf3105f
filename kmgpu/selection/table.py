"""What `kmgpu.sweep` returns: a small table of fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.losses import LOSSES
from kmgpu.text_table import as_html, as_text, titles
from kmgpu.validation import check_choice


class SweepEntry(NamedTuple):
    """What one k led to.

    Attributes
    ----------
    k : int
    loss : float
        Squared units of the data for L2, plain ones for L1.
    iterations : int
    seconds : float
        Of the fit alone, by the wall clock: what Numba compiles at its first use is in it, and
        several fits at a time slow each other down.
    simplified_silhouette : float
        Weighted mean over all rows of (b - a) / max(a, b), where a is the distance to the own
        centre and b that to the nearest other one; 0 for a row where both are 0; NaN for k = 1.
    silhouette : float
        Mean silhouette of the sample; NaN where the sample lies in one cluster, or every row of
        it in a cluster of its own.
    """

    k: int
    loss: float
    iterations: int
    seconds: float
    simplified_silhouette: float
    silhouette: float


@dataclass(frozen=True)
class Sweep:
    """A small table: one `SweepEntry` for every k, in ascending order.

    It has a length and is iterated as the tuple of its entries is; `at` finds the entry of a k and
    `best` the one to take. ``pandas.DataFrame(table.to_dict())`` makes a frame of it.

    Attributes
    ----------
    entries : tuple of SweepEntry
    loss : str
        "l2", "l1", or the name of a loss of the user's own.
    random_state : int
        ``KMeans(k, random_state=random_state)``, or KMedians, repeats the fit of an entry.
    n_sampled : int
        Rows that the exact silhouette was computed on.
    """

    entries: tuple[SweepEntry, ...]
    loss: str
    random_state: int
    n_sampled: int

    @property
    def units(self) -> str:
        """Of the loss."""
        return LOSSES[self.loss].units if self.loss in LOSSES else "in its own units"

    @property
    def knee(self) -> int | None:
        """The k where the loss stops falling fast; None where the curve has no such point.

        The point farthest below the chord from the first to the last point, both axes scaled to
        [0, 1]; the smallest k of equals. That is the rule of Kneedle, without its smoothing.

        References
        ----------
        V. Satopää, J. Albrecht, D. Irwin, B. Raghavan, "Finding a 'Kneedle' in a haystack:
        detecting knee points in system behavior", ICDCS Workshops 2011, section III.
        """
        k = np.array([entry.k for entry in self.entries], np.float64)
        loss = np.array([entry.loss for entry in self.entries])
        if len(k) < 3 or not loss[0] > loss[-1]:
            return None
        across = (k - k[0]) / (k[-1] - k[0])
        left = (loss - loss[-1]) / (loss[0] - loss[-1])
        below = 1 - across - left
        at = int(np.argmax(below))
        return self.entries[at].k if below[at] > 0 else None

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns by name."""
        columns = zip(*self.entries, strict=True)
        return dict(zip(SweepEntry._fields, map(list, columns), strict=True))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[SweepEntry]:
        return iter(self.entries)

    def __getitem__(self, at: Any) -> Any:
        """Not there: a position is too easily taken for a k."""
        msg = f"a Sweep has no [{at!r}]; use .at(k) for a k, or .entries[i] for a position."
        raise TypeError(msg)

    def at(self, k: int) -> SweepEntry:
        """The entry of `k` clusters.

        Raises
        ------
        KeyError
            Where `k` was not among those fitted.
        """
        for entry in self.entries:
            if entry.k == k:
                return entry
        msg = f"k={k!r} was not fitted; ks are {[entry.k for entry in self.entries]}."
        raise KeyError(msg)

    def best(self, by: str = "silhouette") -> SweepEntry | None:
        """The entry to take.

        Parameters
        ----------
        by : {"silhouette", "simplified_silhouette", "knee"}, default="silhouette"
            The largest of these, the smallest k of equals; or the entry of `knee`.

        Returns
        -------
        SweepEntry or None
            None where the losses have no knee, or no k has a silhouette (k = 1 has none).

        Raises
        ------
        ValueError
            For another `by`.
        """
        check_choice("by", by, ("silhouette", "simplified_silhouette", "knee"))
        if by == "knee":
            return None if self.knee is None else self.at(self.knee)
        scored = [entry for entry in self.entries if not isnan(getattr(entry, by))]
        return max(scored, key=lambda entry: getattr(entry, by), default=None)

    def __repr__(self) -> str:
        return "\n".join([as_text(self._lines()), self._notes()])

    def _repr_html_(self) -> str:
        return as_html(self._lines(), self._notes())

    def _lines(self) -> list[tuple[str, ...]]:
        return [titles(SweepEntry._fields), *map(_cells, self.entries)]

    def _notes(self) -> str:
        knee = "no knee" if self.knee is None else f"knee at k = {self.knee}"
        return f"loss {self.loss}, {self.units}; silhouette of {self.n_sampled:,} rows; {knee}"


def _cells(entry: SweepEntry) -> tuple[str, ...]:
    return (
        f"{entry.k}",
        f"{entry.loss:.6g}",
        f"{entry.iterations}",
        f"{entry.seconds:.2f}",
        f"{entry.simplified_silhouette:.3f}",
        f"{entry.silhouette:.3f}",
    )
