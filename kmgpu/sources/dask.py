"""Dask's arrays and frames: every chunk is worked on where it lies, by pure tasks.

A pass is one graph of its own: a task for every group of chunks, a tree of merges in the order of
the chunks, one small result. Whatever Dask computes with at that moment runs it: the current
`distributed.Client`, or threads of this process. What a worker loses is computed anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial, reduce
from itertools import accumulate
from operator import add
from typing import Any
from uuid import uuid4

import dask
import dask.array as da
import dask.base
import numpy as np
from dask._task_spec import DataNode, List, Task, TaskRef
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import funcname

from kmgpu.backend.arrays import HOST, Array, Place, asarray, place_of
from kmgpu.sources.base import Block, Source
from kmgpu.sources.chunks import (
    Call,
    Chunk,
    Group,
    Piece,
    Reader,
    each_row,
    forget,
    join,
    look,
    visit,
)
from kmgpu.sources.dask_arrays import rows_of, weights_of
from kmgpu.weights import WeightFacts, relative_weights

GROUP_BYTES = 1 << 27  # of the chunks that one task works on, unless it is one chunk,
FEWEST_GROUPS = 256  # and of small data so few that there are tasks for many workers
FAN_IN = 16  # results that one task merges
# how errors of Dask begin where chunks were another client's: of today, and of 2025
GONE = "Missing dependency", "Found no accessible jobs"

Layer = dict[Any, Any]


class DaskRows(Source):
    """The rows of a Dask array or frame, a block for every chunk that is not empty.

    Nothing is computed before rows are asked for. Chunks are merged across columns.

    Parameters
    ----------
    data : dask.array.Array or dask.dataframe.DataFrame
    sample_weight : array-like of shape (n_samples,), optional
        Also a Dask array or series, of the chunks of the rows or of known lengths.
    place_for : callable
        Where workers compute on a chunk, which is its argument.
    of_chunk : callable, optional
        What is done to the rows of every chunk first, wherever they are.

    Attributes
    ----------
    array : dask.array.Array of shape (n_samples, n_features)
        The rows, of one chunk across the columns.
    names : ndarray of str, or None
        Of the columns of a frame.
    n_passes : int
        How often the rows have been asked for.
    n_tasks : int
        Of the last pass, besides those that make the rows.
    """

    place = HOST  # of results

    def __init__(
        self,
        data: Any,
        sample_weight: Any = None,
        place_for: Callable[[Array], Place] = place_of,
        of_chunk: Callable[[Array], Array] | None = None,
    ) -> None:
        self.array = rows_of(data)
        if of_chunk is not None:
            like = of_chunk(self.array._meta)
            self.array = self.array.map_blocks(of_chunk, dtype=like.dtype, meta=like)
        self.n_features, self.dtype = int(self.array.shape[1]), self.array.dtype
        self.n_passes = self.n_tasks = 0
        self._key = uuid4().hex
        self._reader = Reader(self.n_features, self.dtype, place_for)
        self._given, self._factor = sample_weight, 1.0
        self._weight: da.Array | None = None
        self._chunks: list[Chunk] = []
        self._groups: list[Group] = []
        self._graphs: list[Any] = []  # of the rows, and of their weights

    @property
    def weighted(self) -> bool:  # type: ignore[override]
        self._look()
        return self._weight is not None

    @property
    def weight_factor(self) -> float:
        """What weights have been divided by; see `kmgpu.weights.relative_weights`."""
        self._look()
        return self._factor

    @property
    def n_samples(self) -> int:
        self._look()
        return sum(chunk.n_rows for chunk in self._chunks)

    @property
    def devices(self) -> str:
        """Where the workers compute: "cpu", "cuda:0", or several, each once."""
        self._look()
        return ", ".join(sorted({chunk.device for chunk in self._chunks if chunk.n_rows}))

    def map(self, function: Callable[..., Any], *broadcast: Any) -> list[Any]:
        return self._run(_name_of(function), partial(_listed, function), add, broadcast)

    def fold(
        self, function: Callable[..., Any], merge: Callable[[Any, Any], Any], *broadcast: Any
    ) -> Any:
        return self._run(_name_of(function), function, merge, broadcast)

    def rowwise(self, function: Callable[..., Any], *broadcast: Any) -> Array:
        """As `Source.rowwise`, in the chunks of the rows; computed when it is asked for."""
        probe = Block(np.zeros((1, self.n_features), self.dtype), np.ones(1), 0, 0, {})
        like = np.asarray(function(probe, *broadcast))[:0]
        lengths = (chunk.n_rows for chunk in self._chunks)
        starts = [*accumulate(lengths, initial=0)] if self._chunks else None
        call = Call(function, add, broadcast, self._reader, "", 0)
        return da.map_blocks(
            each_row,
            self.array,
            *([] if self._weight is None else [self._weight[:, None]]),
            call=dask.delayed(call, traverse=False),
            like=like,
            starts=starts,
            chunks=(self.array.chunks[0], *((size,) for size in like.shape[1:])),
            drop_axis=[1] if like.ndim == 1 else [],
            dtype=like.dtype,
            meta=asarray(like, place_of(self.array._meta)),
            name=f"kmgpu-{_name_of(function)}-{uuid4().hex}",
        )

    def where(self, row: int) -> str:
        self._look()
        if len(self._chunks) == 1:
            return f"row {row}"
        stops = [*accumulate(chunk.n_rows for chunk in self._chunks)]
        number = next(i for i, stop in enumerate(stops) if row < stop)
        own = row - stops[number] + self._chunks[number].n_rows
        return f"row {own} of chunk {number} (row {row} of all)"

    def close(self) -> None:
        """Forget what this process, and the current client's workers, keep beside the blocks."""
        forget(self._key)
        client = getattr(dask.base.get_scheduler(), "__self__", None)
        if client is not None and client.status == "running":
            with suppress(OSError):  # of a connection that breaks now
                client.run(forget, self._key, on_error="ignore")

    def _run(
        self,
        name: str,
        function: Callable[..., Any],
        merge: Callable[[Any, Any], Any],
        broadcast: tuple[Any, ...],
    ) -> Any:
        self._look()
        self.n_passes += 1
        name = f"kmgpu-{name}-{self._key}-{self.n_passes}"
        call = Call(function, merge, broadcast, self._reader, self._key, self.n_passes)
        layer, key = self._pass(name, call)
        self.n_tasks = len(layer) - 1
        return self._computed(name, layer, key)

    def _look(self) -> None:
        """The first pass: lengths, dtypes, weights."""
        if self._chunks:
            return
        if hasattr(self._given, "__dask_graph__"):
            self._weight = weights_of(self._given, self.array)
        collections = [self.array] if self._weight is None else [self.array, self._weight]
        self._graphs = list(dask.optimize(*collections))
        name = f"kmgpu-look-{self._key}"
        layer = _shared(f"{name}-reader", self._reader)
        keys, weights = self._keys()
        for i, key in enumerate(keys):
            beside = weights[i] if weights else None
            _add(layer, (name, i), look, TaskRef(f"{name}-reader"), i, key, beside)
        _add(layer, name, list, List(*(TaskRef((name, i)) for i in range(len(keys)))))
        chunks: list[Chunk] = self._computed(name, layer, name)
        if not any(chunk.n_rows for chunk in chunks):
            msg = "X gives no rows: none of its chunks holds any; a minimum of 1 is required."
            raise ValueError(msg)
        self._weigh(chunks)
        self._chunks, self._groups = chunks, self._grouped(chunks)

    def _weigh(self, chunks: list[Chunk]) -> None:
        """Leave weights out where all are the same, as `relative_weights` does."""
        lengths = tuple(chunk.n_rows for chunk in chunks)
        if self._weight is None:
            weight, self._factor = relative_weights(self._given, sum(lengths), HOST)
            if weight is not None:
                self._weight = da.from_array(weight, chunks=(lengths,)).persist()
                self._graphs.append(self._weight)
            return
        found = reduce(WeightFacts.and_then, (c.weights for c in chunks if c.weights is not None))
        found.check()
        if found.equal:
            self._factor = found.most
            self._reader = replace(self._reader, presence=True)
            if not found.n_absent:
                self._weight = None
                self._graphs.pop()

    def _grouped(self, chunks: list[Chunk]) -> list[Group]:
        row_bytes = self.n_features * self.dtype.itemsize
        n_rows = sum(chunk.n_rows for chunk in chunks)
        most = min(GROUP_BYTES, n_rows * row_bytes // FEWEST_GROUPS)
        groups: list[list[Piece]] = [[]]
        index = start = waiting = 0
        for number, chunk in enumerate(chunks):
            if not chunk.n_rows:
                continue
            if groups[-1] and waiting + chunk.n_rows * row_bytes > most:
                groups.append([])
                waiting = 0
            groups[-1].append(Piece(number, index, start, chunk.n_rows, chunk.mark))
            index, start = index + 1, start + chunk.n_rows
            waiting += chunk.n_rows * row_bytes
        return [Group(pieces) for pieces in groups]

    def _keys(self) -> tuple[list[TaskRef], list[TaskRef]]:
        """The chunks, and those of the weights, if any."""
        rows, *weights = self._graphs
        return (
            [TaskRef(key) for (key,) in rows.__dask_keys__()],
            [TaskRef(key) for weight in weights for key in weight.__dask_keys__()],
        )

    def _pass(self, name: str, call: Call) -> tuple[Layer, Any]:
        """The tasks of a pass, and the name of its result."""
        layer, shared = _shared(f"{name}-call", call), TaskRef(f"{name}-call")
        keys, weights = self._keys()
        for i, group in enumerate(self._groups):
            own = List(*(keys[piece.chunk] for piece in group.pieces))
            beside = List(*(weights[piece.chunk] for piece in group.pieces)) if weights else None
            _add(layer, (name, 0, i), visit, shared, group, own, beside)
        level, n = 0, len(self._groups)
        while n > 1:
            for i in range(0, n, FAN_IN):
                parts = List(*(TaskRef((name, level, j)) for j in range(i, min(n, i + FAN_IN))))
                _add(layer, (name, level + 1, i // FAN_IN), join, shared, parts)
            level, n = level + 1, -(-n // FAN_IN)
        return layer, (name, level, 0)

    def _computed(self, name: str, layer: Layer, key: Any) -> Any:
        graph = HighLevelGraph.from_collections(name, layer, dependencies=self._graphs)
        try:
            return Delayed(key, graph, layer=name).compute()
        except Exception as error:
            if not (str(error).startswith(GONE) or "Cancelled" in repr(error)):
                raise
            msg = (
                "chunks of X are no longer there: they were persisted by a distributed.Client that "
                "is closed or another one now. Open a Client, and persist X again."
            )
            raise RuntimeError(msg) from error


def _shared(key: str, value: Any) -> Layer:
    """A layer of one value, which is sent once."""
    return {key: DataNode(key, value)}


def _add(layer: Layer, key: Any, function: Callable[..., Any], *arguments: Any) -> None:
    layer[key] = Task(key, function, *arguments)


def _listed(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    return [function(*arguments)]


def _name_of(function: Callable[..., Any]) -> str:
    return str(funcname(function)).strip("_")
