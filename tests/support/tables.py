"""Rows and features of a data file, as most tests want them."""

from typing import Any

import numpy as np

from kmgpu.io.tables import read_table


def read_data(*args: Any, **options: Any) -> np.ndarray:
    """``read_table(...).data``."""
    return read_table(*args, **options).data
