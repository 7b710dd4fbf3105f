"""Runs pytest on the real CuPy, whose kernels run on the CPU.

python -m tests.gpuless.run                      # everything
python -m tests.gpuless.run -m backend -n 2      # the arguments are pytest's
"""

from __future__ import annotations

import sys

from tests.gpuless.cupy_on_cpu import NAME, main

if __name__ == "__main__":
    main([sys.executable, "-m", "pytest", "--backend", NAME, *sys.argv[1:]])
