"""Rows that are relabelled between two assignments count as changed since the first of them."""

import numpy as np
import pytest

from kmgpu.kernels.cpu.lowlevel.relocation import Relocations
from kmgpu.kernels.cpu.lowlevel.rows import weight_of


@pytest.mark.parametrize("weighted", [False, True])
def test_changes_are_counted_from_the_assignment_before(weighted):
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 2, 20).astype(float) if weighted else None
    counts = np.ones(20, bool) if weight is None else weight > 0
    relocations = Relocations(weight_of(weight))
    labels = rng.integers(3, size=20)
    for _ in range(30):  # one record serves all assignments
        before, moved = labels.copy(), labels.copy()
        for row in rng.integers(20, size=rng.integers(8)).tolist():
            cluster = int(rng.integers(3))
            relocations.note(row, int(moved[row]), cluster)
            moved[row] = cluster
        labels = np.where(rng.random(20) < 0.5, moved, rng.integers(3, size=20))
        found = int(((labels != moved) & counts).sum())
        assert found + relocations.correction(labels) == ((labels != before) & counts).sum()
