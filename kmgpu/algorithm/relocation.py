"""What happens to clusters without rows, before each refit."""

from __future__ import annotations

import numpy as np

from kmgpu.algorithm.steps import Steps

EMPTY_CLUSTER = ("farthest", "keep", "error")


def fill_empty(steps: Steps, empty_cluster: str) -> int:
    """Treat empty clusters as `empty_cluster` says; return how many rows were moved into them."""
    empty = np.flatnonzero(steps.sizes == 0)
    if empty.size == 0 or empty_cluster == "keep":
        return 0
    if empty_cluster == "error":
        msg = (
            f"empty_cluster='error': cluster(s) {empty.tolist()} have no row of positive weight; "
            f"use fewer clusters, other initial centres, or empty_cluster='farthest'."
        )
        raise ValueError(msg)
    rows = _costliest_rows(steps, int(empty.size))
    if rows:
        steps.move(rows, empty[: len(rows)].tolist())
    return len(rows)


def _costliest_rows(steps: Steps, n_wanted: int) -> list[int]:
    """Rows of largest weighted cost that leave no cluster empty; among equals the lowest index.

    A row is refused if it is the only one left in its cluster, so at most n_clusters are refused.
    """
    sizes = steps.sizes.copy()
    chosen: list[int] = []
    for row, cost, label in zip(*steps.costliest(n_wanted + sizes.shape[0]), strict=True):
        if len(chosen) == n_wanted or not cost > 0:
            break
        if sizes[label] > 1:
            sizes[label] -= 1
            chosen.append(int(row))
    return chosen
