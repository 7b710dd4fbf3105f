"""Labels in a file, whole or not at all: .npy, or the rows with a column of labels."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kmgpu.files import replacing
from kmgpu.io.labelled import LABELLED, write_labelled

LABELS_ALONE = ".npy"
ENDINGS = (LABELS_ALONE, *LABELLED)
LABELS_HELP = "write the label of every row there: .npy, or with the rows, .csv or .parquet"

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


def is_alone(path: str) -> bool:
    """Whether labels are written to `path` without the rows."""
    return Path(path).suffix.lower() == LABELS_ALONE


def write_labels(path: str, labels: np.ndarray, args: argparse.Namespace) -> str:
    """Write all labels to `path`: alone, or with the rows of DATA.

    Returns
    -------
    str
        A line that says what was written.
    """
    if is_alone(path):
        with labels_file(path) as write:
            write(labels)
        return f"labels written to {path}\n"
    column = write_labelled(path, labels, args.data, args.array, args.header)
    return f"rows and labels (column {column}) written to {path}\n"


def _header(n_labels: int) -> bytes:
    """The beginning of an .npy file (format 1.0) of so many labels."""
    said = f"{{'descr': '{LABEL.str}', 'fortran_order': False, 'shape': ({n_labels},), }}"
    length = HEADER - len(MAGIC) - 2
    return MAGIC + length.to_bytes(2, "little") + said.ljust(length - 1).encode() + b"\n"
