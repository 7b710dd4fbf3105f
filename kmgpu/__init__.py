"""k-means, k-medians and spherical k-means, exact, on arrays of any Array API library."""

from kmgpu import startup as startup  # first: a command is ready for Ctrl-C while it imports
from kmgpu.algorithm.lloyd import HalfStep as HalfStep
from kmgpu.algorithm.lloyd import lloyd as lloyd
from kmgpu.algorithm.losses import COSINE as COSINE
from kmgpu.algorithm.losses import L1 as L1
from kmgpu.algorithm.losses import L2 as L2
from kmgpu.algorithm.losses import Loss as Loss
from kmgpu.algorithm.restarts import HistoryEntry as HistoryEntry
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
from kmgpu.version import __version__ as __version__

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
