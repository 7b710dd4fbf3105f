"""Bookkeeping of rows that the relocation of empty clusters relabels between two assignments."""

import numpy as np


class Relocations:
    """The rows that an engine's `move` has relabelled since its last assignment.

    An assignment counts the rows whose label differs from the one that it finds. For a row that was
    moved in between, that is the label of the move, but the label of the assignment before counts.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,) or (0,), float64
        Empty: all one. Rows without weight are never counted.
    """

    def __init__(self, weight: np.ndarray) -> None:
        self._weight = weight
        self._moved: dict[int, tuple[int, int]] = {}  # labels before the first, after the last move

    def note(self, row: int, before: int, after: int) -> None:
        """Remember that `row` has been moved from cluster `before` to `after`."""
        if not self._weight.size or self._weight[row] > 0:
            first = self._moved.get(row, (before,))[0]
            self._moved[row] = first, after

    def correction(self, labels: np.ndarray) -> int:
        """What to add to the number of rows that an assignment has found changed; forgets them."""
        moved = self._moved.items()
        count = sum(int(labels[row] != a) - int(labels[row] != b) for row, (a, b) in moved)
        self._moved.clear()
        return count
