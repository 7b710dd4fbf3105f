"""k-means and k-medians by alternating minimisation, on NumPy, CuPy and PyTorch arrays."""

from kmgpu.estimators import KMeans as KMeans
from kmgpu.estimators import KMedians as KMedians
from kmgpu.lloyd import HalfStep as HalfStep
from kmgpu.lloyd import lloyd as lloyd
from kmgpu.losses import L1 as L1
from kmgpu.losses import L2 as L2
from kmgpu.losses import Loss as Loss
from kmgpu.model_io import load_model as load_model
from kmgpu.model_io import save_model as save_model
from kmgpu.sweep import Sweep as Sweep
from kmgpu.sweep import sweep as sweep

__version__ = "0.1.0"
__all__ = [
    "L1",
    "L2",
    "HalfStep",
    "KMeans",
    "KMedians",
    "Loss",
    "Sweep",
    "lloyd",
    "load_model",
    "save_model",
    "sweep",
]
