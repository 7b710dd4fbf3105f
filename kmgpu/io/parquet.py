"""Parquet: one file as an array, or files row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kmgpu.io.columns import Choice, Picked, as_fitted, picked
from kmgpu.io.reading import BadFile, reading, shortened
from kmgpu.sources.row_blocks import RowBlocks

INSTALL_PARQUET = "pip install 'kmgpu[parquet]'"
BLOCK_BYTES = 1 << 25


def read_parquet(
    path: Path, choose: Choice | None = None
) -> tuple[np.ndarray, tuple[str, ...], Picked | None]:
    """The columns chosen, or all but indexes that pandas stored; their names; which they are.

    Nulls become NaN.
    """
    parquet = _parquet(path)
    fields, found = _fields(path, parquet.read_schema(path), choose)
    wanted = None if found is None else [name for _, name, _ in fields]
    table = parquet.read_table(path, columns=wanted)
    columns = [
        _numeric(table.column(at if found is None else name).to_numpy()) for at, name, _ in fields
    ]
    data = np.empty((table.num_rows, len(columns)), np.result_type(*columns, np.bool_))
    for at, column in enumerate(columns):
        data[:, at] = column
    return data, tuple(name for _, name, _ in fields), found


def common_schema(paths: Sequence[Path]) -> Any:
    """Of the rows of all files; what one of them has and another has not is missing there.

    Raises
    ------
    BadFile
        When a column of one file cannot be made one with that of another.
    """
    parquet = _parquet(paths[0])
    import pyarrow as pa

    try:
        schemas = [parquet.read_schema(path).remove_metadata() for path in paths]
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        msg = (
            f"the files of {paths[0].parent} have columns that do not go together ({error}); give "
            f"a name in .npy for the labels alone."
        )
        raise BadFile(msg) from error


def nested_columns(schema: Any) -> list[str]:
    """The names of the columns that hold lists or records."""
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_nested(field.type)]


def parquet_blocks(
    paths: Sequence[Path], choose: Choice | None = None
) -> tuple[RowBlocks, tuple[str, ...], Picked | None]:
    """The rows of these files, one file after the other, the names of the columns, which they are.

    Every footer is read at once: all files must have the columns of the first, in any order; where
    columns are chosen, all must have these.

    Raises
    ------
    BadFile
        The message names the file, and the column where there is one.
    ImportError
        Without pyarrow.
    """
    names: tuple[str, ...] = ()
    chosen: Picked | None = None
    dtypes: list[np.dtype] = [np.dtype(np.bool_)]
    n_samples = 0
    for path in paths:
        with reading(path):
            file = _parquet(path).ParquetFile(path)
            how = as_fitted(str(path), names, chosen) if chosen is not None else choose
            fields, taken = _fields(path, file.schema_arrow, how)
            found = tuple(name for _, name, _ in fields)
            names, chosen = names or found, chosen or taken
            if sorted(names) != sorted(found) or len(set(found)) < len(found):
                shown = shortened(", ".join(sorted(set(names) ^ set(found)) or found))
                msg = (
                    f"{path} has other columns than {paths[0]}, or one twice ({shown}); all files "
                    f"must have the same columns, each once."
                )
                raise BadFile(msg)
            dtypes.extend(dtype for _, _, dtype in fields)
            n_samples += file.metadata.num_rows
    dtype = np.result_type(*dtypes)

    def blocks() -> Iterator[np.ndarray]:
        for path in paths:
            with reading(path):
                yield from _blocks_of(path, names, dtype)

    return RowBlocks(blocks, n_samples=n_samples), names, chosen


class Part(NamedTuple):
    """Some consecutive row groups of a file."""

    path: Path
    row_groups: list[int]
    n_rows: int


def parquet_parts(paths: Sequence[Path], most: int) -> list[Part]:
    """The row groups of these files in parts of at most `most` rows, larger groups apart."""
    parts: list[Part] = []
    for path in paths:
        with reading(path):
            found = _parquet(path).ParquetFile(path).metadata
        part = Part(path, [], 0)
        for group in range(found.num_row_groups):
            n_rows = found.row_group(group).num_rows
            if part.row_groups and part.n_rows + n_rows > most:
                parts.append(part)
                part = Part(path, [], 0)
            part = Part(path, [*part.row_groups, group], part.n_rows + n_rows)
        parts.append(part)
    return [part for part in parts if part.n_rows]


def read_part(part: Part, names: Sequence[str], dtype: np.dtype) -> np.ndarray:
    """The rows of a part, with the columns in the order of `names`."""
    with reading(part.path):
        blocks = _blocks_of(part.path, names, dtype, part.row_groups)
        return np.concatenate(list(blocks))


def _blocks_of(
    path: Path, names: Sequence[str], dtype: np.dtype, row_groups: list[int] | None = None
) -> Iterator[np.ndarray]:
    n_rows = max(1, BLOCK_BYTES // (len(names) * dtype.itemsize))
    file = _parquet(path).ParquetFile(path)
    columns = list(names)
    for batch in file.iter_batches(n_rows, row_groups, columns=columns, use_threads=False):
        block = np.empty((batch.num_rows, len(names)), dtype)
        for at, name in enumerate(names):
            column = batch.column(name)
            if column.null_count:
                msg = f"{path}, column {shortened(name)!r} holds nulls; fill them in or drop them."
                raise BadFile(msg)
            block[:, at] = column.to_numpy(zero_copy_only=False)
        yield block


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        msg = f"{path}: reading .parquet needs pyarrow ({error}); {INSTALL_PARQUET}"
        raise ImportError(msg) from error
    return parquet


def _fields(
    path: Path, schema: Any, choose: Choice | None = None
) -> tuple[list[tuple[int, str, np.dtype]], Picked | None]:
    """Position, name and dtype of the columns that are features, and which of all they are.

    BadFile for one of no numbers.
    """
    import pyarrow as pa

    stored = (schema.pandas_metadata or {}).get("index_columns", ())
    columns = [(at, field) for at, field in enumerate(schema) if field.name not in stored]
    taken, _ = picked(choose, tuple(field.name for _, field in columns), len(columns))
    found = []
    for at, field in columns if taken is None else [columns[at] for at in taken.positions]:
        kind = field.type
        number = (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        )
        if not number:
            msg = (
                f"{path}, column {shortened(field.name)!r} holds {shortened(str(kind))}, not "
                f"numbers; convert it, or leave it out (kmgpu fit: --drop or --columns)."
            )
            raise BadFile(msg)
        found.append((at, field.name, np.dtype(kind.to_pandas_dtype())))
    return found, taken


def _numeric(column: np.ndarray) -> np.ndarray:
    """Booleans with nulls arrive as objects; they become floats with NaN."""
    return column.astype(np.float64) if column.dtype == object else column
