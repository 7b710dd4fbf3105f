"""Arrays of .npy and .npz files, where a header is believed only if the bytes agree with it.

Members of archives are read whole, so that their checksums are tested. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from io import SEEK_END, BytesIO
from math import prod
from typing import IO, BinaryIO, NamedTuple

import numpy as np

from kmgpu.io.reading import shortened, told

SUFFIX = ".npy"
CHUNK = 1 << 20
# NumPy refuses headers of more than 10,000 bytes
LONGEST_HEADER = 1 << 14
# bytes that a deflated byte stands for, at most
DEFLATED = 1032
ENCRYPTED = 1
# the record at the end of an archive, which a comment may follow; members too many for it
END, LONGEST_END, UNKNOWN = b"PK\5\6", 22 + 0xFFFF, 0xFFFF
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class WrongDtype(ValueError):
    """An array of something else than what was expected of it; `held` is the dtype."""

    def __init__(self, dtype: np.dtype) -> None:
        self.held = shortened(str(dtype))
        super().__init__(f"it holds values of dtype {self.held}")


class Header(NamedTuple):
    """What .npy data say of themselves; the numbers begin `start` bytes after their beginning."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int


def header_of(beginning: bytes, size: int, kinds: str) -> Header:
    """The header of .npy data of `size` bytes, from the first `LONGEST_HEADER` of them.

    Raises
    ------
    WrongDtype
        For dtypes whose kind is not in `kinds`.
    ValueError
        For anything that cannot be parsed, and a size that is not that of such an array, to the
        byte.
    """
    file = BytesIO(beginning)
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        msg = f".npy data of version {version[0]}.{version[1]} hold no plain numbers"
        raise ValueError(msg)
    try:
        shape, fortran, dtype = HEADERS[version](file)
    except Exception as error:  # so small that a MemoryError is Python's parser, nested too deep
        msg = f"the header cannot be read ({told(error)})"
        raise ValueError(msg) from error
    header = Header(shape, fortran, dtype, file.tell())
    if dtype.hasobject:
        msg = "there are Object arrays in it, Python objects, which kmgpu never unpickles"
        raise ValueError(msg)
    if dtype.kind not in kinds:
        raise WrongDtype(dtype)
    if any(type(n) is not int or n < 0 for n in shape):
        msg = f"the header gives the shape {shortened(str(shape))}"
        raise ValueError(msg)
    expected = prod(shape) * dtype.itemsize
    if size - header.start != expected:
        msg = (
            f"an array of shape {shortened(str(shape))} and dtype {dtype} takes {expected:,} "
            f"bytes, and there are {size - header.start:,}"
        )
        raise ValueError(msg)
    return header


def members_of(archive: zipfile.ZipFile, file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive, which is in `file`, by name.

    Raises
    ------
    ValueError
        For members that have been lost, names that occur twice, encryption, and sizes that the
        archive cannot hold.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    size = file.seek(0, SEEK_END)
    listed, declared = archive.infolist(), _n_declared(file, size)
    if declared not in (len(listed), UNKNOWN):
        msg = f"the archive says that it has {declared} members, and {len(listed)} are found"
        raise ValueError(msg)
    for member in listed:
        name, packed, unpacked = member.filename, member.compress_size, member.file_size
        most = {zipfile.ZIP_STORED: packed, zipfile.ZIP_DEFLATED: DEFLATED * packed}
        if name in found:
            msg = f"the archive holds {shortened(name)!r} twice"
            raise ValueError(msg)
        if member.flag_bits & ENCRYPTED:
            msg = f"its member {shortened(name)!r} is encrypted"
            raise ValueError(msg)
        if packed > size or unpacked > most.get(member.compress_type, unpacked):
            msg = (
                f"its member {shortened(name)!r} is said to hold {unpacked:,} bytes, more than "
                f"the archive can"
            )
            raise ValueError(msg)
        found[name] = member
    return found


def _n_declared(file: BinaryIO, size: int) -> int:
    """How many members the record at the end of an archive says that there are."""
    file.seek(max(0, size - LONGEST_END))
    end = file.read()
    at = end.rfind(END) + len(END) + 6
    return int.from_bytes(end[at : at + 2], "little")


def member_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, kinds: str) -> np.ndarray:
    """The array that a member is, of a dtype whose kind is in `kinds`.

    Raises
    ------
    WrongDtype, ValueError
        When it is something else, or damaged.
    """
    try:
        with archive.open(member) as file:
            return _array(file, member.file_size, kinds)
    except (MemoryError, OSError, WrongDtype):
        raise
    except Exception as error:
        msg = f"its member {shortened(member.filename)!r} is damaged or foreign ({told(error)})"
        raise ValueError(msg) from error


def _array(file: IO[bytes], size: int, kinds: str) -> np.ndarray:
    """All of `file`, .npy data of `size` bytes; with the last of them a checksum is tested."""
    piece = file.read(LONGEST_HEADER)
    header = header_of(piece, size, kinds)
    numbers = np.empty(size - header.start, np.uint8)
    piece, filled = piece[header.start :], 0
    while filled < len(numbers):
        numbers[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
        piece = file.read(min(CHUNK, len(numbers) - filled))
        if not piece and filled < len(numbers):
            msg = f"it ends after {filled:,} of {len(numbers):,} bytes"
            raise ValueError(msg)
    array = numbers.view(header.dtype)
    return array.reshape(header.shape[::-1]).T if header.fortran else array.reshape(header.shape)
