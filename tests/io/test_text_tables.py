"""Tables in text: layouts, names, what is refused; the same whoever reads the numbers."""

from __future__ import annotations

import gzip
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from kmgpu.io import text_tables
from kmgpu.io.tables import read_table
from tests.support.tables import read_data

TABLE = np.array([[1.5, -2.0], [3.25, 4e6], [0.0, 7.0]])


@pytest.fixture(params=["pyarrow", "pandas", "neither"])
def reader(request, monkeypatch):
    """Which library is installed to read numbers."""
    if request.param == "pandas":  # which itself uses PyArrow where it has found it
        monkeypatch.setattr(text_tables, "READERS", (text_tables._by_pandas,))
        return request.param
    for name in ("pyarrow", "pandas"):
        if name != request.param:
            monkeypatch.setitem(sys.modules, name, None)
    return request.param


@pytest.fixture
def write(tmp_path):
    def written(content, name="x.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


READ = {
    "commas": ("a,b\n1.5,-2\n3.25,4e6\n0,7\n", "ab"),
    "no names": ("1.5,-2\n3.25,4e6\n0,7\n", None),
    "decimal commas": ("a;b\n1,5;-2\n3,25;4e6\n0;7\n", "ab"),
    "decimal commas, no names": ("1,5;-2\n3,25;4e6\n0;7,0\n", None),
    "decimal commas, tabs": ("1,5\t-2\n3,25\t4e6\n0\t7\n", None),
    "decimal commas, blanks": ("1,5  -2\n3,25 4e6\n 0 7\n", None),
    "semicolons in quotes": ('"a; in m",b\n1.5,-2\n3.25,4e6\n0,7\n', ("a; in m", "b")),
    "commas in quotes": ('"a, in m";"b, c, d"\n1.5;-2\n3.25;4e6\n0;7\n', ("a, in m", "b, c, d")),
    "commas in names": ("a, in m;b, in s\n1.5;-2\n3.25;4e6\n0;7\n", ("a, in m", "b, in s")),
    "tabs": ("a\tb\n1.5\t-2\n3.25\t4e6\n0\t7\n", "ab"),
    "bars": ("a|b\n1.5|-2\n3.25|4e6\n0|7\n", "ab"),
    "blanks": ("  a   b\n  1.5 -2\n 3.25   4e6\n0 7  \n", "ab"),
    "savetxt": ("# a b\n1.5e+00 -2\n3.25 4e6\n0 7\n", "ab"),
    "a commented header": ("# a, b\n1.5, -2\n3.25, 4e6\n0, 7\n", "ab"),
    "blank last lines": ("a,b\n1.5,-2\n3.25,4e6\n0,7\n\n  \n\r\n\n", "ab"),
    "blank lines": ("\n \n\na,b\n\n1.5,-2\n\n\n3.25,4e6\n0,7", "ab"),
    "quoted newlines": (
        '"a\n(in m)","b\r\n\nc"\n1.5,-2\n3.25,4e6\n0,7\n',
        ("a\n(in m)", "b\r\n\nc"),
    ),
    "quoted numbers": ('"a","b"\n"1.5","-2"\n"3.25","4e6"\n"0","7"\n', "ab"),
    "old line ends": ("a,b\r1.5,-2\r3.25,4e6\r0,7\r", "ab"),
    "windows": ("\ufeffa;b\r\n1,5;-2\r\n3,25;4e6\r\n0;7\r\n", "ab"),
    "a mark, no names": ("\ufeff1.5,-2\r\n3.25,4e6\r\n0,7\r\n", None),
    "plus": ("+1.5,-2\n3.25,+4E6\n-0,7\n", None),
    "a name like a marker": ("NA,b\n1.5,-2\n3.25,4e6\n0,7\n", ("NA", "b")),
    "names beyond ASCII": ("größe,β\n1.5,-2\n3.25,4e6\n0,7\n", ("größe", "β")),
}


@pytest.mark.parametrize(("text", "names"), READ.values(), ids=READ)
def test_what_is_read(reader, write, text, names):
    found = read_table(write(text))
    np.testing.assert_array_equal(found.data, TABLE)
    assert found.data.dtype == np.float64
    assert found.names == (names and tuple(names))


@pytest.mark.parametrize("name", ["x.tsv", "x.txt", "x.csv.gz", "x.TSV.GZ", "x.txt.gz"])
def test_other_endings(reader, write, name):
    text = b"a\tb\n1.5\t-2\n3.25\t4e6\n0\t7\n"
    found = read_table(write(gzip.compress(text) if name.lower().endswith("gz") else text, name))
    np.testing.assert_array_equal(found.data, TABLE)
    assert found.names == ("a", "b")


def test_standard_input(reader, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a,b\n1.5,-2\n0,7\n")))
    found = read_table("-")
    np.testing.assert_array_equal(found.data, TABLE[[0, 2]])
    assert found.names == ("a", "b")


def test_a_fault_on_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"1,2\n3,red\n")))
    with pytest.raises(ValueError, match="standard input, line 2, column 2 holds the text 'red'"):
        read_table("-")


LABELS = r"the first column has no name, as where pandas or R writes row labels; .*index=False"
ASKED = r"the first line \(.*\) may be numbers or the names of columns; say --no-header or --header"
REFUSED = {
    "R": ('"a","b"\n"1",1.5,2\n"2",3,4\n', r"2 names where line 2 has 3 values.*row\.names=FALSE"),
    "a name too many": ("a,b,c\n1,2\n3,4\n", "3 names where line 2 has 2 values"),
    "decimal commas": ("x\n1,5\n2,5\n", "1 names where line 2 has 2 values"),
    "index": (",a,b\n0,1,2\n", LABELS),
    "index, numbered": (",0,1,2\n0,1.5,2,3\n1,4,5,6\n", LABELS),
    "index, read before": ("Unnamed: 0,a\n0,1\n", LABELS),
    "index, numbered, read before": ("Unnamed: 0,0,1\n0,1.5,2\n", LABELS),
    "index, twice": ("Unnamed: 0.1,Unnamed: 0,a\n0,0,1\n", LABELS),
    "index, quoted, tabs": ('""\t"a"\n1\t2\n', LABELS),
    "a hole": ("a,,c\n1,2,3\n", "column 2 has no name"),
    "pandas": ("0,1,2\n1.5,2,3\n4,5,6\n", ASKED),
    "pandas, whole": ("0,1\n3,4\n5,6\n", ASKED),
    "pandas, one column": ("0\n1.5\n2.5\n", ASKED),
    "years": ("2019,2020\n1.5,2.5\n3.5,4.5\n", ASKED),
    "years over whole numbers": ("2019,2020,2021\n7,2,30\n4,5,9\n", ASKED),
    "wavelengths": ("400.5,410.5,420.5,430.5,440.5\n1,2,4,5,6\n3,5,2,5,6\n", ASKED),
    "quoted": ('"3","7"\n4,9\n6,1\n', ASKED),
    "NA first": ("NA,NA\n1,2\n", "line 1, column 1 holds 'NA', which marks a missing value"),
    "MySQL first": (
        "\\N,\\N\n1,2\n3,4\n",
        "line 1, column 1 holds .*, which marks a missing value",
    ),
    "C's NaN first": (
        "1.#QNAN,-1.#IND\n1,2\n3,4\n",
        "line 1, column 1 holds .*, which marks a missing value",
    ),
    "Excel's errors first": (
        "#DIV/0!,#VALUE!\n1,2\n3,4\n",
        "line 1, column 1 holds '#DIV/0!', which marks a missing value",
    ),
    "thousands first": ('"1,234","2,345"\n1,2\n3,4\n', ASKED),
    "amounts first": ("$1,-$2\n1,2\n3,4\n", ASKED),
    "shares first": ("1%,2%\n1,2\n3,4\n", ASKED),
    "truth first": ("TRUE,FALSE\n1,2\n3,4\n", ASKED),
    "dates first": ("01/02/2020,02/02/2020\n1,2\n3,4\n", ASKED),
    "another minus first": ("−1,−2\n1,2\n3,4\n", ASKED),
    "underscores first": ("1_1,1_2\n1,2\n3,4\n", ASKED),
    "? first": ("?\n1\n", r"line 1, column 1 holds '\?', which marks a missing value"),
    "nan first": ("nan,NaN\n1,2\n", "line 1, column 1 holds 'nan', which marks a missing value"),
    "mixed first": ("1,?\n3,4\n", r"line 1, column 2 holds '\?', which marks a missing value"),
    "empty first": (",3\n1,2\n", "line 1, column 1 is empty"),
    "NA": ("a,b\n1,2\n\n3,NA\n", "line 4, column 2 holds 'NA', which marks a missing value"),
    "NaN": ("a,b\n1,NaN\n3,4\n", "line 2, column 2 holds 'NaN', which marks a missing value"),
    "-nan": ("a,b\n1,-nan\n3,4\n", "line 2, column 2 holds '-nan', which marks"),
    "null": ("a;b\n1,5;null\n3;4\n", "line 2, column 2 holds 'null', which marks"),
    "#N/A": ("a,b\n1,#N/A\n3,4\n", "line 2, column 2 holds '#N/A', which marks"),
    "empty": ("a,b\n1,2\n3,\n", "line 3, column 2 is empty; fill it in or drop the line"),
    "blank": ("a,b\n1,2\n3,  \n", "line 3, column 2 is empty"),
    "short": ("a,b\n1,2\n3\n", "line 3 has 1 values where the first line has 2"),
    "long": ("a,b\n1,2\n3,4,5\n", "line 3 has 3 values where the first line has 2"),
    "only delimiters": ("a,b\n1,2\n,\n", "line 3 holds nothing but delimiters and is empty; drop"),
    "text": ("a,b\n1,2\n3,red\n", "line 3, column 2 holds the text 'red'"),
    "text first": ("1,red\n3,4\n", "line 1, column 2 holds the text 'red'"),
    "true": ("a,b\n1,True\n3,4\n", "line 2, column 2 holds the text 'True'"),
    "hexadecimal": ("a,b\n1,0x10\n3,4\n", "line 2, column 2 holds the text '0x10'"),
    "thousands": ("a;b\n1,5;2\n1.234,5;3\n", r"line 3, column 1 holds the text '1\.234,5'"),
    "a point beside commas": ("a;b\n1,5;2\n1.234;3\n", r"line 3, column 1 holds the text '1\.234'"),
    "a quoted newline": ('a,b\n"1\n2",2\n', r"line 3, column 1 holds the text '1\\n2'"),
    "after a quoted newline": ('"a\nb",c\n1,2\nx,4\n', "line 4, column 1 holds the text 'x'"),
    "an open quote": ('a,b\n1,2\n"3,4\n' + "5,6\n" * 50_000, "cannot be read: .*quotation mark"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text"),
    "late bytes": (b"1,2\n" * 100_000 + b"\xff,3\n", "is not UTF-8 text"),
    "late text": (b"1,2\n" * 100_000 + b"red,3\n", "line 100001, column 1 holds the text 'red'"),
    "nothing": ("\n  \n", "is empty; expected one line of numbers"),
    "names alone": ("a,b\n", r"shape \(0, 2\); expected"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(reader, write, text, said):
    with pytest.raises(ValueError, match=rf"x\.csv.*{said}") as caught:
        read_data(write(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n",
        "1,2,3\n4,5,6\n7,8,9\n",
        "0,0,1\n0,1,0\n",
        "3\n1\n2\n",
        "0\n1\n2\n",
        "5,1.5\n2.5,3\n",
        "1,2\n",
        "10,20,30\n5,7,9\n1,1,2\n",
    ],
)
def test_numbers_that_are_no_names(write, text):
    np.testing.assert_array_equal(
        read_data(write(text)), np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)
    )


def test_the_header_is_what_one_says(reader, write):
    path = write("0,1\n3,4\n5,6\n")
    without, named = read_table(path, header=False), read_table(path, header=True)
    np.testing.assert_array_equal(without.data, [[0, 1], [3, 4], [5, 6]])
    np.testing.assert_array_equal(named.data, [[3, 4], [5, 6]])
    assert without.names is named.names is None, "0, 1 are the names of no columns"
    mixed = read_table(write("id,2020\n3,4\n"), header=True)
    assert mixed.names == ("id", "2020")
    with pytest.raises(ValueError, match="line 1, column 1 holds the text 'a'"):
        read_table(write("a,b\n1,2\n"), header=False)


def test_a_header_is_of_text_alone(tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    with pytest.raises(ValueError, match=r"x\.npy is no text, and header=True was given"):
        read_data(tmp_path / "x.npy", header=True)


@pytest.mark.parametrize("shape", [(20_000, 3), (3, 40_000), (500, 1)])
def test_numbers_are_those_that_were_written(reader, tmp_path, shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300, shape)
    names = tuple(f"c{at}" for at in range(shape[1]))
    how = {"delimiter": ",", "header": ",".join(names), "comments": "", "fmt": "%.17g"}
    np.savetxt(tmp_path / "x.csv", x, **how)
    found = read_table(tmp_path / "x.csv")
    np.testing.assert_array_equal(found.data, x)
    assert found.names == names


@pytest.mark.parametrize("reader", ["pyarrow", "pandas"], indirect=True)
def test_a_well_kept_reader_reads_where_there_is_one(reader, write, monkeypatch):
    monkeypatch.setattr(text_tables, "_plainly", lambda *_: pytest.fail("read by NumPy"))
    for text in ("a,b\n1.5,-2\n\n3.25,4e6\n0,7\n\n", "a;b\n1,5;-2\n3,25;4e6\n0;7\n"):
        np.testing.assert_array_equal(read_data(write(text)), TABLE)


@pytest.mark.parametrize(
    "content",
    [b"1,2\n", gzip.compress(b"1,2\n" * 9999)[:-9], gzip.compress(b"1,2\n" * 99)[:9]],
    ids=["text", "cut", "cut in its header"],  # archives hold the time at which they were made
)
def test_a_damaged_archive(reader, write, content):
    with pytest.raises(ValueError, match=r"x\.csv\.gz cannot be read: ") as caught:
        read_data(write(content, "x.csv.gz"))
    assert "\n" not in str(caught.value)
