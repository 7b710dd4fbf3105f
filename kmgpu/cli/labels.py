"""Labels in an .npy file, written block by block, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from kmgpu.files import replacing

MAGIC = b"\x93NUMPY\x01\x00"
# bytes of a header, so that one of any number of rows fits
HEADER = 128
LABEL = np.dtype("<i4")


@contextmanager
def labels_file(path: str) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that writes the labels of the next rows to `path`.

    The file has its name once the block ends without an error.
    """
    n_written = 0

    def write(labels: np.ndarray) -> None:
        nonlocal n_written
        # by NumPy itself an error would not say why
        file.write(np.ascontiguousarray(labels, LABEL).data)
        n_written += len(labels)

    with replacing(path) as file:
        file.write(_header(0))
        yield write
        file.seek(0)
        file.write(_header(n_written))


def write_labels(path: str, labels: np.ndarray) -> None:
    """Write all labels to `path`."""
    with labels_file(path) as write:
        write(labels)


def _header(n_labels: int) -> bytes:
    """The beginning of an .npy file (format 1.0) of so many labels."""
    said = f"{{'descr': '{LABEL.str}', 'fortran_order': False, 'shape': ({n_labels},), }}"
    length = HEADER - len(MAGIC) - 2
    return MAGIC + length.to_bytes(2, "little") + said.ljust(length - 1).encode() + b"\n"
