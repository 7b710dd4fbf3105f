"""What a task of a cluster does with some chunks of rows: pure functions, which need no Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from scipy.sparse import issparse

from kmgpu.backend.arrays import Array, Place, adopted, asarray, place_of, to_host
from kmgpu.backend.devices import borrowed, device_name
from kmgpu.backend.host_data import host_floats, host_numbers
from kmgpu.sources.base import Block
from kmgpu.sources.kept import Kept
from kmgpu.validation import check_device_array, is_host_data, is_plain
from kmgpu.weights import WeightFacts

KEPT = Kept()


class Chunk(NamedTuple):
    """What the first look at a chunk has found.

    Attributes
    ----------
    n_rows : int
    mark : int
        A checksum of three rows.
    device : str
        Where its worker computes on it, as `device_name` says; empty for a chunk without rows.
    weights : WeightFacts or None
    """

    n_rows: int
    mark: int
    device: str
    weights: WeightFacts | None


@dataclass(frozen=True)
class Piece:
    """One block: the chunk of that number, which is not empty."""

    chunk: int
    index: int
    start: int
    n_rows: int
    mark: int


@dataclass(frozen=True)
class Group:
    """The blocks of one task."""

    pieces: list[Piece]


@dataclass(frozen=True)
class Reader:
    """How a chunk becomes the rows of a block.

    Attributes
    ----------
    n_features : int
    dtype : numpy.dtype
    place_for : callable
        Where the worker computes on a chunk.
    presence : bool
        Whether weights are 0 and one other number, which then counts as 1.
    """

    n_features: int
    dtype: np.dtype[Any]
    place_for: Callable[[Array], Place]
    presence: bool = False

    def rows(self, chunk: Any, number: int) -> Array:
        """The rows of a chunk, of any length, where its library has put them.

        Raises
        ------
        ValueError, TypeError
            For what is not two-dimensional, real, as wide as announced and of the dtype announced.
        """
        name = f"chunk {number} of X"
        x = borrowed(adopted(chunk))
        if issparse(x):
            msg = f"{name} is a sparse {type(x).__name__}; make the chunks of X dense."
            raise TypeError(msg)
        if is_host_data(x) and not is_plain(x) and 0 not in np.shape(x):
            x = host_numbers(x, name)
        if 0 not in x.shape:
            check_device_array(x, name)
        if x.shape[1:] != (self.n_features,):
            msg = f"{name} has shape {tuple(x.shape)}, but X has {self.n_features} features."
            raise ValueError(msg)
        if x.shape[0] and str(x.dtype).rpartition(".")[2] != self.dtype.name:
            msg = (
                f"{name} has dtype {x.dtype}, but X says {self.dtype}. Convert the chunks, for "
                f"example by X.map_blocks(lambda chunk: chunk.astype('{self.dtype}'))."
            )
            raise ValueError(msg)
        return x

    def weights(self, chunk: Any, number: int, n_rows: int) -> np.ndarray:
        """The weights of a chunk, float64, on the host."""
        found = host_floats(to_host(chunk), "sample_weight").reshape(-1)
        if len(found) != n_rows:
            msg = (
                f"chunk {number} of sample_weight has {len(found)} rows, that of X has {n_rows}: "
                f"one weight a row, in the chunks of X."
            )
            raise ValueError(msg)
        return (found > 0).astype(np.float64) if self.presence else found


@dataclass(frozen=True)
class Call:
    """What a pass asks of every block; it is sent once, apart from the tasks.

    Attributes
    ----------
    function, merge : callable
    broadcast : tuple
    reader : Reader
    source : str
        Name of the source, under which workers keep what blocks leave beside themselves.
    number : int
        Of the pass.
    """

    function: Callable[..., Any]
    merge: Callable[[Any, Any], Any]
    broadcast: tuple[Any, ...]
    reader: Reader
    source: str
    number: int


def look(reader: Reader, number: int, chunk: Any, weight: Any) -> Chunk:
    """Check the form of a chunk, and of its weights where there are any."""
    rows = reader.rows(chunk, number)
    n = rows.shape[0]
    weights = None if weight is None else WeightFacts.of(reader.weights(weight, number, n))
    device = device_name(reader.place_for(rows)) if n else ""
    return Chunk(n, _mark(rows) if n else 0, device, weights)


def visit(call: Call, group: Group, chunks: list[Any], weights: list[Any] | None) -> Any:
    """The merged results of the blocks of a group."""
    return reduce(call.merge, _results(call, group, chunks, weights))


def _results(
    call: Call, group: Group, chunks: list[Any], weights: list[Any] | None
) -> Iterator[Any]:
    for at, piece in enumerate(group.pieces):
        rows = call.reader.rows(chunks[at], piece.chunk)
        if (rows.shape[0], _mark(rows)) != (piece.n_rows, piece.mark):
            msg = (
                f"X is not the same at every pass: chunk {piece.chunk} has other rows now. A fit "
                f"reads its data several times; give the same rows each time, or persist X."
            )
            raise ValueError(msg)
        weight = None
        if weights is not None:
            weight = call.reader.weights(weights[at], piece.chunk, piece.n_rows)
        with KEPT.beside(call.source, piece.index, call.number) as cache:
            yield _applied(call, rows, weight, piece.index, piece.start, cache)


def join(call: Call, parts: list[Any]) -> Any:
    """The results of consecutive groups as one."""
    with np.errstate(all="ignore"):
        return reduce(call.merge, parts)


def forget(source: str) -> None:
    """Drop what this process keeps beside the blocks of a source."""
    KEPT.drop(source)


def each_row(
    chunk: Any,
    weight: Any = None,
    *,
    call: Call,
    like: np.ndarray,
    starts: list[int] | None,
    block_id: tuple[int, ...],
) -> Array:
    """A result for every row of a chunk, where the chunk is."""
    number = block_id[0]
    x = call.reader.rows(chunk, number)
    home = place_of(x)
    if not x.shape[0]:
        return asarray(like, home)
    if weight is not None:
        weight = call.reader.weights(weight, number, x.shape[0])
    start = 0 if starts is None else starts[number]
    return asarray(_applied(call, x, weight, number, start, {}), home)


def _applied(
    call: Call, x: Array, weight: np.ndarray | None, index: int, start: int, cache: Any
) -> Any:
    place = call.reader.place_for(x)
    with place.current(), np.errstate(all="ignore"):
        rows = x if place == place_of(x) else asarray(x, place)
        beside = None if weight is None else asarray(weight, place)
        return call.function(Block(rows, beside, index, start, cache), *call.broadcast)


def _mark(rows: Array) -> int:
    few = [rows[i : i + 1, ...] for i in (0, rows.shape[0] // 2, rows.shape[0] - 1)]
    return crc32(b"".join(to_host(row).tobytes() for row in few))
