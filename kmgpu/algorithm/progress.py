"""What a user sees while a fit runs: messages and a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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

        with tqdm(total=self.max_iter, desc=self.title, unit="iteration") as bar:
            for step in loop:
                if step.kind == "refit":
                    bar.update()
                    bar.set_postfix(loss=f"{step.loss:.6g}", changed=step.n_changed)
                yield step
