"""k-means, k-medians and spherical k-means, exact, on NumPy, CuPy and PyTorch arrays.

Public names are imported from their homes when first used, so that ``import kmgpu`` and
``kmgpu --help`` import neither NumPy nor scikit-learn.
"""

import importlib
import typing

from kmgpu import startup as startup  # first: a command is ready for Ctrl-C while it imports
from kmgpu.version import __version__ as __version__

if typing.TYPE_CHECKING:
    from kmgpu import kernels as kernels
    from kmgpu import plotting as plotting
    from kmgpu.algorithm.lloyd import HalfStep as HalfStep
    from kmgpu.algorithm.lloyd import lloyd as lloyd
    from kmgpu.algorithm.losses import COSINE as COSINE
    from kmgpu.algorithm.losses import L1 as L1
    from kmgpu.algorithm.losses import L2 as L2
    from kmgpu.algorithm.losses import Loss as Loss
    from kmgpu.algorithm.plan import HistoryEntry as HistoryEntry
    from kmgpu.backend.threads import get_num_threads as get_num_threads
    from kmgpu.backend.threads import set_num_threads as set_num_threads
    from kmgpu.estimators import KMeans as KMeans
    from kmgpu.estimators import KMedians as KMedians
    from kmgpu.estimators import SphericalKMeans as SphericalKMeans
    from kmgpu.functions import k_means as k_means
    from kmgpu.functions import kmeans_plusplus as kmeans_plusplus
    from kmgpu.io.models import load_model as load_model
    from kmgpu.io.models import save_model as save_model
    from kmgpu.io.opening import open_data as open_data
    from kmgpu.selection.sweep import Sweep as Sweep
    from kmgpu.selection.sweep import sweep as sweep
    from kmgpu.sources.row_blocks import RowBlocks as RowBlocks

__all__ = [
    "COSINE",
    "L1",
    "L2",
    "HalfStep",
    "HistoryEntry",
    "KMeans",
    "KMedians",
    "Loss",
    "RowBlocks",
    "SphericalKMeans",
    "Sweep",
    "get_num_threads",
    "k_means",
    "kmeans_plusplus",
    "lloyd",
    "load_model",
    "open_data",
    "save_model",
    "set_num_threads",
    "sweep",
]

# the same as type checkers read above
_HOMES = {
    "COSINE": "algorithm.losses",
    "L1": "algorithm.losses",
    "L2": "algorithm.losses",
    "HalfStep": "algorithm.lloyd",
    "HistoryEntry": "algorithm.plan",
    "KMeans": "estimators",
    "KMedians": "estimators",
    "Loss": "algorithm.losses",
    "RowBlocks": "sources.row_blocks",
    "SphericalKMeans": "estimators",
    "Sweep": "selection.sweep",
    "get_num_threads": "backend.threads",
    "k_means": "functions",
    "kmeans_plusplus": "functions",
    "lloyd": "algorithm.lloyd",
    "load_model": "io.models",
    "open_data": "io.opening",
    "save_model": "io.models",
    "set_num_threads": "backend.threads",
    "sweep": "selection.sweep",
}
_MODULES = ("kernels", "plotting")

if not typing.TYPE_CHECKING:  # a checker shall know that there are no other names

    def __getattr__(name):
        """The public name, or the module; from then on it is there without this."""
        if name in _MODULES:
            return importlib.import_module(f"kmgpu.{name}")
        if name not in _HOMES:
            msg = f"module 'kmgpu' has no attribute {name!r}"
            raise AttributeError(msg)
        found = globals()[name] = getattr(importlib.import_module(f"kmgpu.{_HOMES[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
