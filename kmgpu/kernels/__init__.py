"""Kernels: the same operations as the algorithm's reference, faster.

A kernel has the signature and the meaning of the reference it stands for, and passes the same
tests. NumPy arrays have kernels that Numba compiles (`cpu`), CuPy arrays have CUDA C++ (`cuda`),
SciPy's sparse rows have operations of their own (`sparse`). Kernels are compiled when first needed
and cached on disk. `dispatch` decides which one runs; `use` is the user's choice.
"""

from kmgpu.kernels.dispatch import describe as describe
from kmgpu.kernels.dispatch import use as use

__all__ = ["describe", "use"]
