"""kmgpu and its peers on a GPU, ten minutes at most; ``python -m benchmarks.gpu --help``.

The same as ``python -m benchmarks.compare --device cuda``.
"""

import sys

from benchmarks.compare import main

if __name__ == "__main__":
    sys.exit(main(["--device", "cuda", *sys.argv[1:]]))
