"""Rows that are read block by block: where they come from when they do not fit one memory.

| file | what it is |
|---|---|
| `base` | `Source`: what the algorithm asks of rows that it never holds all at once; `Block` |
| `row_blocks` | `RowBlocks`: what a user or a file gives, 2-d blocks that can be read again |
| `arrays` | `ArrayBlocks`: a NumPy array, a memmap, anything with shape, dtype and row slicing |
| `whole` | `Whole`: a `Source` of one block, an array in memory |
| `stream` | `Stream`: a `Source` in this process over `RowBlocks`, on a CPU or uploaded to a GPU |

The algorithm knows `Source` alone. A file format is a function that returns `RowBlocks` (or an
array that is sliced); a cluster of machines is another `Source`.
"""
