"""k-means and k-medians of rows that are read block by block: the answer of a fit in memory.

| file | what it is |
|---|---|
| `door` | which data are read this way; what `predict`, `transform` and `score` ask of them |
| `fit` | what restarts ask of a source |
| `survey` | the first pass: finite rows, their mean, spread and extent |
| `steps` | the engine: functions of a block, and their results merged in block order |
| `tasks` | these functions, and how two results are merged |
| `changes` | sums that follow the rows that change cluster, as long as rounding allows it |
| `labels` | labels and bounds that wait beside a block, and are found again where they are gone |
| `statistics` | sums of a block by cluster; counts of its values in brackets |
| `medians` | from counts to exact medians, with as few looks at the rows as possible |
| `brackets` | where to look: a sample of the rows and the last medians |
| `sample` | some rows, by their numbers or drawn |

k-means needs one pass over the rows an iteration, in which the assignment adds up its sums, or what
relabelled rows change in them; and one more, once, where rounding shows. So does k-medians once
labels settle; the first iterations take two or three, as brackets are wide.
"""
