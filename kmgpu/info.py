"""What is installed here and what can compute: the text of ``kmgpu info``."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from kmgpu.backend.devices import explain_auto
from kmgpu.backend.gpus import backends
from kmgpu.io.parquet import INSTALL_PARQUET
from kmgpu.io.stores import INSTALL_HDF5, INSTALL_ZARR
from kmgpu.kernels import describe
from kmgpu.plotting.figures import INSTALL_PLOT
from kmgpu.version import __version__

__all__ = ["info"]

REQUIRED = ("numpy", "array-api-compat", "scikit-learn", "numba", "tqdm")
AUTO = "device='auto'"
OPTIONAL = {
    "matplotlib": f"for pictures; {INSTALL_PLOT}",
    "pillow": f"for photographs; {INSTALL_PLOT}",
    "pyarrow": f"for .parquet; {INSTALL_PARQUET}",
    "zarr": f"for zarr; {INSTALL_ZARR}",
    "h5py": f"for HDF5; {INSTALL_HDF5}",
}


def info() -> str:
    """Versions, backends (for those that cannot be used, why and what to install), kernels."""
    lines = [
        f"{'kmgpu':<16}  {__version__}",
        f"{'Python':<16}  {platform.python_version()}, {platform.platform()}",
    ]
    for name in REQUIRED:
        lines.append(f"{name:<16}  {_version(name) or 'not installed'}")
    for name, purpose in OPTIONAL.items():
        lines.append(f"{name:<16}  {_version(name) or f'not installed ({purpose})'}")
    lines += ["", "Backends"]
    for name, usable in backends().items():
        lines.append(f"{name:<16}  {'usable' if usable.yes else 'not usable'}: {usable.why}")
    lines.append(f"{AUTO:<16}  {explain_auto()}")
    lines += ["", f"Fused kernels: {describe()}"]
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
