"""Damaged tables and pictures: one line with the file's name and a fitting remedy, or the data."""

from __future__ import annotations

import errno
import gzip
import os
import re
import resource
import struct
import sys
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmgpu.io import text_tables
from kmgpu.io.npz import CHUNK
from kmgpu.io.tables import read_table, read_weights
from kmgpu.quantize import read_picture
from tests.faults import samples
from tests.support.tables import read_data

TABLES = sorted(samples.tables())
PICTURES = sorted(samples.PICTURES)
CHECKED = [name for name in TABLES if name.endswith((".npz", ".gz"))]
ENDINGS = [".npy", ".npz", ".csv", ".tsv", ".txt", ".csv.gz", ".parquet"]


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """Read a file of this name and content: the numbers or pixels, or the line that says why not.

    Whatever else is raised fails the test.
    """
    folder = tmp_path_factory.mktemp("met")

    def meet(name, content):
        path = folder / name
        path.write_bytes(content)
        try:
            return read_picture(path).pixels if name in samples.PICTURES else read_data(path)
        except (ValueError, OSError, MemoryError) as error:
            line = str(error)
        assert str(path) in line
        assert len(line.splitlines()) == 1
        assert len(line) < 700
        return line.replace(str(path), name)

    return meet


def flipped(content, bits):
    for bit in bits:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.mark.parametrize("name", TABLES)
def test_undamaged_tables(met, name):
    np.testing.assert_array_equal(met(name, samples.tables()[name]), samples.TABLE)


@pytest.mark.parametrize("name", PICTURES)
def test_undamaged_pictures(met, name):
    assert met(name, samples.picture(name)).shape == (16, 16, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_cut(met, name):
    content = samples.tables()[name]
    for length in range(0, len(content), 1 + len(content) // 200):
        found = met(name, content[:length])
        # text may end anywhere
        assert isinstance(found, str) or name.endswith(".csv"), length


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_are_cut(met, name):
    content = samples.picture(name)
    for length in range(0, len(content) // 2, 1 + len(content) // 80):
        assert "cannot be read as a picture" in met(name, content[:length])


def assert_checksums_are_tested(met, name, step):
    content = samples.tables()[name]
    for damaged in flipped(content, range(0, 8 * len(content), step)):
        found = met(name, damaged)
        assert isinstance(found, str) or np.array_equal(found, samples.TABLE)


@pytest.mark.parametrize("name", CHECKED)
def test_some_flips_where_there_are_checksums(met, name):
    assert_checksums_are_tested(met, name, 7)


@pytest.mark.parametrize("packing", samples.PACKINGS)
def test_checksums_of_members_of_several_chunks(met, packing):
    table = np.zeros((CHUNK, 2), np.uint8)
    for at in (200, CHUNK, -1):
        data = bytearray(samples.npy(table))
        data[at] ^= 1
        content = bytearray(samples.archive([("x.npy", bytes(data))], samples.PACKINGS[packing]))
        intact = samples.archive([("x.npy", samples.npy(table))], samples.PACKINGS[packing])
        np.testing.assert_array_equal(met("x.npz", intact), table)
        checksum = struct.pack("<I", zlib.crc32(samples.npy(table)))
        entry = content.index(b"PK\1\2")
        content[entry + 16 : entry + 20] = checksum
        assert "cannot be read" in met("x.npz", bytes(content))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKED)
def test_all_flips_where_there_are_checksums(met, name):
    assert_checksums_are_tested(met, name, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TABLES, *PICTURES])
def test_some_flips_of_other_files(met, name):
    content = samples.picture(name) if name in PICTURES else samples.tables()[name]
    for damaged in flipped(content, range(3, 8 * len(content), 1 + len(content) // 20)):
        met(name, damaged)


def npy_with(shape, descr="'<f8'", order="False", n_numbers=6):
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(8 * n_numbers)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy_with("(3, 3)"), r"takes 72 bytes, and there are 48"),
        (npy_with("(2, 2)"), r"takes 32 bytes, and there are 48"),
        (npy_with("(10000000000000000000000, 3)"), "bytes, and there are 48"),
        (npy_with("(-2, -3)"), r"the header gives the shape \(-2, -3\)"),
        (npy_with("(True, 6)"), "the header gives the shape"),
        (npy_with("(3, 2"), "the header cannot be read"),
        (npy_with("(" * 300), "the header cannot be read"),
        (npy_with("-" * 9000 + "1"), "the header cannot be read"),
        (npy_with("(6, 1)", "'|O'"), "Python objects, which kmgpu never unpickles"),
        (npy_with("(6, 1)", "[('a', 'O')]"), "Python objects, which kmgpu never unpickles"),
        (npy_with("(6, 1)", "'<M8[s]'"), r"dtype datetime64\[s\], which are not real numbers"),
        (npy_with("(6, 1)", "'nonsense'"), "the header cannot be read"),
        (b"\x93NUMPY\3\0" + bytes(20), r"version 3\.0 hold no plain numbers"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(20), "the header cannot be read"),
        (b"\x93NUMPY", "cannot be read"),
        (samples.npy(samples.TABLE) * 2, r"takes 48 bytes, and there are"),
    ],
)
def test_headers(met, content, said):
    for name, whole in (("x.npy", content), ("x.npz", samples.archive([("a.npy", content)]))):
        line = met(name, whole)
        assert re.search(said, line), line


def test_members_that_are_no_arrays(met, tmp_path):
    table = ("x.npy", samples.npy(samples.TABLE))
    readme = ("README.txt", b"what this is")
    found = met("x.npz", samples.archive([readme, table]))
    np.testing.assert_array_equal(found, samples.TABLE)
    assert "holds the arrays (none)" in met("x.npz", samples.archive([readme]))
    (tmp_path / "x.npz").write_bytes(samples.archive([readme, table]))
    with pytest.raises(ValueError, match=r"there is no 'README\.txt'"):
        read_data(tmp_path / "x.npz", array="README.txt")


def test_a_member_that_the_directory_has_lost_is_missed(met):
    """Else the array that is left would be read as if there had been no other."""
    content = samples.archive([("a.npy", samples.npy(samples.TABLE)), ("b.npy", b"else")])
    entry = content.rindex(b"PK\1\2")
    before = content.rindex(b"PK\1\2", 0, entry)
    length = struct.pack("<H", content.index(b"PK\5\6") - entry)
    line = met("x.npz", content[: before + 32] + length + content[before + 34 :])
    assert "2 members, and 1 are found" in line


def test_archives_that_cannot_be(met):
    member = ("x.npy", samples.npy(samples.TABLE))
    assert "twice" in met("x.npz", samples.archive([member, member]))
    content = bytearray(samples.archive([member]))
    content[content.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in met("x.npz", bytes(content))
    huge = samples.archive([member], zipfile.ZIP_DEFLATED)
    at = huge.index(b"PK\1\2") + 24
    for size in (10**6, 2**31, 2**32 - 2):
        damaged = huge[:at] + struct.pack("<I", size) + huge[at + 4 :]
        assert "more than the archive can" in met("x.npz", damaged)


def test_weights_are_read_as_strictly(tmp_path):
    path = tmp_path / "w.npy"
    path.write_bytes(samples.npy(np.arange(3.0))[:-1])
    with pytest.raises(ValueError, match=r"w\.npy cannot be read: .*take an undamaged copy"):
        read_weights(path)


OPEN = "quotation mark"
TEXTS = {
    "a cell that is too long": (f"{'1' * 140_000},2\n3,4\n", "on line 1 has more than 131,072"),
    "a long name": (f"{'x' * 140_000},b\n1,2\n", "on line 1 has more than 131,072"),
    "a long cell, late": ("1,2\n" * 30_000 + f"x{'1' * 140_000},2\n", "on line 30001 has more"),
    "a quote to the end": ('"a,b\n1,2\n3,4\n', OPEN),
    "a quote to the end, second name": ('a,"b\n1,2\n3,4\n', OPEN),
    "a quote over a row": ('a,"b\n1,2"\n3,4\n5,6\n', OPEN),
    "a quote over two rows": ('"a","b\n1,2\n3,4"\n5,6\n', OPEN),
    "a quote over a row, one column": ('"a\n1"\n2\n3\n', OPEN),
    "a quote over decimal commas": ('a;"b\n1,5;2"\n3;4,5\n', OPEN),
    "a quote over a missing value": ('a,"b\n1,NA"\n3,4\n', OPEN),
    "a quote over blanks": ('a "b\n1 2\n" 3 4\n', OPEN),
    "a quote over much": ('"a","b\n' + "1,2\n" * 50_000, OPEN),
    "numbers, a quote to the end": ('"1,2\n3,4\n5,6\n', OPEN),
    "numbers, a quote over much": ('"1","2\n' + "1,2\n" * 50_000, OPEN),
    "a quote in the second line": ('a,b\n"1,2\n' + "3,4\n" * 50, OPEN),
    "a quote in the second line, over much": ('a,b\n"1,2\n' + "3,4\n" * 50_000, OPEN),
    "a quote in the middle": (
        "1,2\n" * 300 + '"3,4\n' + "5,6\n" * 300,
        "quotation mark on line 301",
    ),
    "a late quote over much": ("1,2\n" * 50_000 + '"3,4\n' + "5,6\n" * 50_000, "on line 50001"),
    "zeros in the middle": ("1,2\n\0\0\0\0,4\n5,6\n", "line 2, column 1 holds the text"),
    "zeros after a number": ("1,2\n3\0,4\n5,6\n", "line 2, column 1 holds the text"),
    "zeros at the end": ("1,2\n3,4\n" + "\0" * 4096, "line 3 has 1 values"),
    "a picture": (samples.picture("a.png").decode("latin1"), "x.csv"),
    "a very long text": ("1,2\n" + "z" * 9999 + ",2\n", "line 2, column 1 holds the text 'zzz"),
}


@pytest.mark.parametrize("reader", ["pandas", "pyarrow", "neither"])
@pytest.mark.parametrize(("text", "said"), TEXTS.values(), ids=TEXTS)
def test_texts(met, monkeypatch, reader, text, said):
    readers = {"pandas": (text_tables._by_pandas,), "pyarrow": (text_tables._by_arrow,)}
    monkeypatch.setattr(text_tables, "READERS", readers.get(reader, ()))
    line = met("x.csv", text.encode())
    assert isinstance(line, str)
    assert said in line


def test_names_over_several_lines_are_still_names(met, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('"Year\n2019","Year\n(see 1, 2)"\n1,2\n3,4\n')
    assert read_table(path).names == ("Year\n2019", "Year\n(see 1, 2)")


def test_packed_text(met):
    packed = gzip.compress(samples.CSV.encode())
    assert "take an undamaged copy" in met("x.csv.gz", packed + b"more")
    assert "take an undamaged copy" in met("x.csv.gz", packed[:-8] + bytes(4) + packed[-4:])
    assert "x.csv.gz" in met("x.csv.gz", gzip.compress(gzip.compress(samples.CSV.encode())))
    np.testing.assert_array_equal(met("x.csv.gz", packed + bytes(512)), samples.TABLE)


def test_a_tiff_without_dimensions(met):
    content = samples.picture("c.tiff")
    for tag in (b"\x00\x01\x04\x00", b"\x00\x01\x03\x00"):
        damaged = content.replace(tag, b"\x00\x7f" + tag[2:])
        if damaged != content:
            line = met("c.tiff", damaged)
            assert line.startswith("c.tiff cannot be read as a picture: ")
            assert "save it as PNG" in line


def test_a_picture_that_is_cut_is_one_line_without_warnings(met, recwarn):
    content = samples.picture("d.tiff")
    for length in range(8, len(content), 37):
        met("d.tiff", content[:length])
    assert not recwarn.list


def test_warnings_of_a_picture_that_is_read_name_the_file(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 1
    pixels = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    broken = samples.written(lambda file: pixels.save(file, "JPEG", exif=exif.tobytes()[:-8]))
    (tmp_path / "a.jpg").write_bytes(broken)
    with pytest.warns(UserWarning, match=r"a\.jpg: .*EXIF") as caught:
        read_picture(tmp_path / "a.jpg")
    assert len(caught) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_only_regular_files_are_opened(tmp_path, ending):
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / f"zero{ending}").symlink_to("/dev/zero")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=f"{path} is not a file that kmgpu can read"):
            read_data(path)
        with pytest.raises(ValueError, match=f"{path} cannot be read as a picture: .*no.* regular"):
            read_picture(path)


@contextmanager
def no_more_files():
    """No file can be opened in this block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", [*TABLES, "a.png", "c.tiff"])
def test_too_few_descriptors(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(samples.picture(name) if name in PICTURES else samples.tables()[name])
    read = read_picture if name in PICTURES else read_data
    read(path)  # and what it imports
    with no_more_files(), pytest.raises(OSError, match="Too many open files; close some") as caught:
        read(path)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", [*TABLES, "a.png"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(samples.picture(name) if name in PICTURES else samples.tables()[name])
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything
        monkeypatch.setattr(Path, "stat", raising(PermissionError(errno.EACCES, "no")))
    with pytest.raises(PermissionError, match=rf"{name} cannot be read: Permission denied; let it"):
        (read_picture if name in PICTURES else read_data)(path)


def raising(error):
    def fails(*_, **__):
        raise error

    return fails


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "no memory")])
@pytest.mark.parametrize("name", ["c.npy", "deflated.npz", "none.parquet", "commas.csv", "a.png"])
def test_too_little_memory(tmp_path, monkeypatch, name, error):
    path = tmp_path / name
    path.write_bytes(samples.picture(name) if name in PICTURES else samples.tables()[name])
    monkeypatch.setattr(np, "memmap", raising(error))
    monkeypatch.setattr(np, "empty", raising(error))
    monkeypatch.setattr(text_tables, "_numbers", raising(error))
    monkeypatch.setattr(Image, "open", raising(error))
    with pytest.raises(MemoryError, match=rf"{name} cannot be read: it needs more memory than is"):
        (read_picture if name in PICTURES else read_data)(path)


def test_names_that_cannot_be_files(tmp_path):
    (tmp_path / "round.npy").symlink_to("round.npy")
    (tmp_path / "text.txt").write_text("1,2")
    for name, said in {
        "round.npy": r"round\.npy cannot be read: .*the file that the link should point to",
        "x" * 300 + ".npy": r"\.npy cannot be read: File name too long; give a shorter name",
        "text.txt/x.npy": r"x\.npy cannot be read: Not a directory; give the path of a file",
        "": r"is not a file that kmgpu can read; give one of",
    }.items():
        for read in (read_data, read_picture) if name else (read_data,):
            with pytest.raises((OSError, ValueError), match=said):
                read(tmp_path / name)


def test_a_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="standard input is closed; give a file"):
        read_data("-")


def test_a_standard_input_that_cannot_be_read(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as write_only:
        monkeypatch.setattr(sys, "stdin", write_only)
        with pytest.raises((OSError, ValueError), match="standard input cannot be read: "):
            read_data("-")
