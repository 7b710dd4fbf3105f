"""Damaged models, tables and pictures: each is read rightly, or refused in one line.

    python -m tests.faults.fuzz --seconds 60            # with the seed of the day
    python -m tests.faults.fuzz --seed 1 --case 17      # one file again

Prints its seed, a line to repeat every failure with, and how many files were read and refused; the
exit status is 1 if anything failed.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kmgpu import load_model
from kmgpu.io.tables import read_table
from kmgpu.quantize import read_picture
from tests.faults import mutations, samples
from tests.support.children import Child, Lost, parser_of

SHOWN = 3  # failures of a kind
HANGS = 20  # seconds
LONGEST = 700  # characters of a message, the path apart
PYTHON_2 = "additional header parsing"  # NumPy reads such headers, and says so
MOST_BYTES = 256 << 20  # of memory, for files of a few kB


class Case(NamedTuple):
    """A damaged file: what reads it, its name, the damage done to it, and its content."""

    reader: str
    name: str
    damage: tuple[str, ...]
    original: bytes
    content: bytes


def drawn(rng: np.random.Generator) -> Case:
    reader = str(rng.choice(["model", "table", "picture"], p=[0.4, 0.4, 0.2]))
    if reader == "model":
        made = {"l2.npz": samples.model("l2"), "l1.npz": samples.model("l1")}
        made |= {"named.npz": samples.named_model()}
    elif reader == "table":
        made = samples.tables()
    else:
        made = {name: samples.picture(name) for name in samples.PICTURES}
    name = str(rng.choice(list(made)))
    content = original = made[name]
    ways = mutations.FORMATS.get(Path(name).suffix, mutations.BLIND)
    damage = []
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        if content:
            way = ways[rng.integers(len(ways))]
            content = way(content, rng)
            damage.append(way.__name__)
    return Case(reader, name, tuple(damage), original, content)


def failures(case: Case, folder: Path) -> tuple[bool, list[tuple[str, str]]]:
    """Whether a file was read, and ``(kind, what)`` of all that is wrong with how it was met."""
    path = folder / case.name
    path.write_bytes(case.content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, wrong = True, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            wrong += READERS[case.reader](case, path)
        except (ValueError, OSError) as error:
            read = False
            wrong += _message(error, path)
        except Exception as error:
            read = False
            wrong.append((f"error {type(error).__name__}", str(error)))
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if grown > MOST_BYTES:
        wrong.append(("memory", f"{grown:,} bytes"))
    said = {str(one.message) for one in caught if PYTHON_2 not in str(one.message)}
    if said and case.reader != "picture":  # Pillow warns of what it can do without
        wrong.append(("warning", "; ".join(sorted(said))))
    return read, wrong


def _message(error: Exception, path: Path) -> Iterator[tuple[str, str]]:
    text = str(error)
    if str(path) not in text:
        yield "message without the file's name", text
    if len(text.splitlines()) != 1 or len(text) > LONGEST + len(str(path)):
        yield "message of several lines", text
    if not isinstance(error, ValueError):
        yield f"damage is no {type(error).__name__}", text


def _model(case: Case, path: Path) -> Iterator[tuple[str, str]]:
    model = load_model(path)
    if case.damage == ("flip",):
        intact = path.with_name("intact.npz")
        intact.write_bytes(case.original)
        if state(model) != state(load_model(intact)):
            yield "silently another model", ""
    centers = model.cluster_centers_
    if centers.shape != (model.n_clusters, model.n_features_in_) or not np.isfinite(centers).all():
        yield "centres", str(centers)
    if not np.isin(getattr(model, "labels_", 0), range(model.n_clusters)).all():
        yield "labels", str(model.labels_)
    if not np.isfinite(model.inertia_):
        yield "inertia", str(model.inertia_)
    model.set_params(device="cpu")
    if hasattr(model, "feature_names_in_"):
        del model.feature_names_in_
    if np.abs(centers).max() < 1e100 and len(model.predict(centers)) != len(centers):
        yield "predict", ""


def state(model: Any) -> dict[str, Any]:
    """The attributes of a model, arrays as their bytes."""
    return {
        name: (value.dtype.str, value.shape, value.tobytes())
        if isinstance(value, np.ndarray) and value.dtype != object
        else repr(value)
        for name, value in vars(model).items()
    }


def _table(case: Case, path: Path) -> Iterator[tuple[str, str]]:
    table = read_table(path)
    if table.data.ndim != 2 or table.data.dtype.kind not in "biuf" or not table.data.size:
        yield "no table", f"{table.data.dtype} {table.data.shape}"
    if table.names is not None and len(table.names) != table.data.shape[1]:
        yield "names", str(table.names)
    checked = case.name.endswith((".npz", ".gz"))
    if checked and case.damage == ("flip",) and not np.array_equal(table.data, samples.TABLE):
        yield "silently another table", str(table.data)


def _picture(case: Case, path: Path) -> Iterator[tuple[str, str]]:
    del case
    pixels = read_picture(path).pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        yield "no picture", f"{pixels.dtype} {pixels.shape}"


READERS = {"model": _model, "table": _table, "picture": _picture}


def run(seed: int, number: int) -> tuple[Case, bool, list[tuple[str, str]]]:
    """One numbered case of a seed: what it is, whether it was read, and what is wrong."""
    case = drawn(np.random.default_rng([seed, number]))
    with tempfile.TemporaryDirectory() as folder:
        return case, *failures(case, Path(folder))


def search(seed: int, seconds: float) -> int:
    """Run cases for so long; the number that failed."""
    kinds: Counter[str] = Counter()
    counts: Counter[tuple[str, bool]] = Counter()
    n_failed = 0
    for number, reader, read, found in _results(seed, seconds):
        counts[reader, read] += 1
        n_failed += bool(found)
        for kind, what in found:
            kinds[kind] += 1
            if kinds[kind] <= SHOWN:
                print(f"FAILED {kind}: {what[:LONGEST]}")
                print(f"    python -m tests.faults.fuzz --seed {seed} --case {number}", flush=True)
    for (reader, read), count in sorted(counts.items()):
        print(f"{count:7d}  {reader} {'read' if read else 'refused'}")
    print(f"{n_failed} of {counts.total()} damaged files failed (seed {seed})")
    return n_failed


def _results(seed: int, seconds: float) -> Iterator[tuple[int, str, bool, list[Any]]]:
    """Results of one case after the other."""
    child, end, number = Child(_found, seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            yield number, *child.ask(number, HANGS if number else 10 * HANGS)  # the first imports
        except Lost as lost:
            yield number, "?", False, [lost.args]
        number += 1


def _found(seed: int, number: int) -> tuple[str, bool, list[tuple[str, str]]]:
    Image.MAX_IMAGE_PIXELS = 1 << 20  # so that damaged sizes take no minutes
    case, read, found = run(seed, number)
    return case.reader, read, found


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser_of("tests.faults.fuzz", __doc__).parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    if options.case is None:
        return int(search(options.seed, options.seconds) > 0)
    case, read, found = run(options.seed, options.case)
    print(f"{case.reader} {case.name}, {len(case.content)} bytes: {', '.join(case.damage)}")
    print("read" if read else "refused")
    for kind, what in found:
        print(f"FAILED {kind}: {what}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
