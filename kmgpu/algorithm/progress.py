"""What a user sees while a fit runs: messages and a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kmgpu.algorithm.lloyd import HalfStep


@dataclass(frozen=True)
class Progress:
    """How a fit reports.

    Attributes
    ----------
    title : str
        Of the progress bar.
    max_iter : int
        Iterations after which the loop ends.
    messages : bool
        Whether messages are printed.
    bar : bool
        Whether a progress bar is shown.
    """

    title: str
    max_iter: int
    messages: bool = False
    bar: bool = False

    def say(self, message: str) -> None:
        if self.messages:
            print(message)

    def shown(self, loop: Iterator[HalfStep]) -> Iterator[HalfStep]:
        """The same half-steps, each shown on the progress bar if one is wanted."""
        if not self.bar:
            yield from loop
            return
        from tqdm.auto import tqdm

        changed = 0
        with tqdm(total=self.max_iter, desc=self.title, unit="iteration") as bar:
            for step in loop:
                if step.kind == "assign":
                    changed = step.n_changed
                elif step.kind == "refit":
                    bar.update()
                    bar.set_postfix(loss=f"{step.loss:.6g}", changed=changed)
                yield step

    def passing(self, blocks: Iterator[Any], n_rows: int | None) -> Iterator[Any]:
        """The same blocks of rows, those of one pass; if a bar is wanted, another one counts rows.

        It says how many rows a second are read and when the pass will end; then it goes.
        """
        if not self.bar:
            yield from blocks
            return
        from tqdm.auto import tqdm

        with tqdm(total=n_rows, desc="rows", unit="row", unit_scale=True, leave=False) as bar:
            for block in blocks:
                yield block
                bar.update(block.rows.shape[0])
