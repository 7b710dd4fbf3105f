"""Results as a table, as JSON and as a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from typing import Any

from benchmarks.rounds import Outcome, Task, ratio

HEADER = f"{'':20s}{'seconds':>10s}{'ratio':>9s}{'iter':>6s}{'loss':>11s}{'first':>9s}{'peak':>9s}"
SUMMARY = (
    f"{'row':24s}{'best exact peer':>20s}{'seconds':>10s}{'ours':>10s}{'ratio':>9s}{'loss':>11s}"
)
OUR_PREFIX = "kmgpu"


@dataclass
class Result:
    """The outcomes of one task; the first is ours."""

    section: str
    loss: str
    task: Task
    shape: tuple[int, ...]
    n_iter: int
    outcomes: list[Outcome]

    @property
    def name(self) -> str:
        """The row, and the threads where that is what varies."""
        suffix = {"predict": " predict", "default": " default"}.get(self.task.do, "")
        return (
            self.task.row.name
            + suffix
            + (f" t={self.task.n_threads}" if self.section == "threads" else "")
        )

    @property
    def ours(self) -> Outcome:
        return self.outcomes[0]

    @property
    def best(self) -> Outcome | None:
        """The fastest exact peer."""
        timed = [
            o for o in self.outcomes[1:]
            if o.exact and o.seconds and not o.engine.startswith(OUR_PREFIX)
        ]  # fmt: skip
        return min(timed, key=lambda o: o.median or 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        return ratio(self.best, self.ours) if self.best else None

    def loss_difference(self, outcome: Outcome) -> float | None:
        """Relative to the first exact peer that ran all iterations: dense Lloyd where present."""
        peers = [o for o in self.outcomes[1:] if o.exact and o.loss and not o.scaled]
        if not peers or outcome.loss is None or outcome.scaled:
            return None
        reference = next((o for o in peers if not o.engine.startswith(OUR_PREFIX)), peers[0])
        assert reference.loss is not None
        return outcome.loss / reference.loss - 1

    def record(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "name": self.name,
            "loss": self.loss,
            "n_samples": self.shape[0],
            "n_features": self.shape[1],
            "n_clusters": self.task.row.n_clusters,
            "n_iter": self.n_iter,
            "n_threads": self.task.n_threads,
            "best_exact_peer": self.best.engine if self.best else None,
            "ratio": self.ratio,
            "loss_difference": self.loss_difference(self.ours),
            "engines": [
                asdict(o) | {"median": o.median, "ratio": ratio(o, self.ours)}
                for o in self.outcomes
            ],
        }


def block(result: Result) -> str:
    """Every engine on one task."""
    n, d = result.shape
    title = (
        f"\n{result.name} ({result.loss}): {n:,} × {d}, k={result.task.row.n_clusters}, "
        f"{result.task.n_threads} thread(s)"
    )
    return "\n".join([title, HEADER, *(_line(result, o) for o in result.outcomes)])


def _line(result: Result, outcome: Outcome) -> str:
    if outcome.why_not is not None:
        return f"{outcome.engine:20s}  absent: {outcome.why_not}"
    marks = {"approximate, own seeding": not outcome.exact, "scaled": outcome.scaled}
    marks["one call"] = len(outcome.seconds) == 1 and not outcome.scaled
    return (
        f"{outcome.engine:20s}{_number(outcome.median, '10.4g')}"
        f"{_number(ratio(outcome, result.ours), '9.2f')}{outcome.n_iter:6d}"
        f"{_number(result.loss_difference(outcome), '+11.1e')}"
        f"{_number(outcome.first_extra, '+9.2f')}"
        f"{_number(None if outcome.memory is None else outcome.memory / 1e6, '9.0f')}"
        f"  {', '.join(mark for mark, true in marks.items() if true)}"
    ).rstrip()


def _number(value: float | None, form: str) -> str:
    width = int(form.lstrip("+").partition(".")[0])
    return f"{'–':>{width}s}" if value is None else f"{value:{form}}"


def summary(results: list[Result]) -> str:
    """One line a task, and the geometric mean of the ratios."""
    lines = ["", SUMMARY]
    for result in results:
        best = result.best
        lines.append(
            f"{result.name:24s}{best.engine if best else '–':>20s}"
            f"{_number(best.median if best else None, '10.4g')}"
            f"{_number(result.ours.median, '10.4g')}{_number(result.ratio, '9.2f')}"
            f"{_number(result.loss_difference(result.ours), '+11.1e')}"
        )
    mean = geometric_mean(results)
    if mean is not None:
        lines.append(f"{'geometric mean':64s}{mean:9.2f}")
    return "\n".join(lines)


def geometric_mean(results: list[Result]) -> float | None:
    """Of the ratios there are."""
    logs = [log(result.ratio) for result in results if result.ratio]
    return exp(sum(logs) / len(logs)) if logs else None


def write_json(results: list[Result], machine: dict[str, str], path: Path) -> None:
    """Everything measured, with the machine it was measured on."""
    content = {
        "machine": machine,
        "geometric_mean": geometric_mean(results),
        "results": [result.record() for result in results],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
